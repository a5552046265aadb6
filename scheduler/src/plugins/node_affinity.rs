//! Which nodes a pod wants by their labels and names. Upstream: plugins/nodeaffinity.

use api::{Value, meta};

use super::{Event, Filter, Filtering, Plugin, Score};
use crate::{Pod, Refusal, Slot, cycle, cycle::Cycle};

const UNWANTED: &str = "node(s) didn't match Pod's node affinity/selector";
const ENFORCED: &str = "node(s) didn't match scheduler-enforced node affinity";
const CONFLICT: &str = "pod affinity terms conflict";

pub struct NodeAffinity;

struct Wanted<'a>(&'a Cycle<'a>);

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        let required = &cycle.pod.required_nodes;
        if required.is_empty() && cycle.profile.added_nodes.is_empty() {
            return Filtering::Skip;
        }
        let filter = Box::new(Wanted(cycle));
        match required.names() {
            Some(names) if names.is_empty() => Filtering::Refuse(Refusal::unresolvable(CONFLICT)),
            Some(names) => {
                Filtering::Among(names.iter().filter_map(|name| cycle.snapshot.slot(name)).collect(), filter)
            }
            None => Filtering::Each(filter),
        }
    }

    fn score<'a>(&'a self, cycle: &'a Cycle<'a>, _: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let indifferent = cycle.pod.preferred_nodes.is_empty() && cycle.profile.added_preferred_nodes.is_empty();
        (!indifferent).then(|| Box::new(Wanted(cycle)) as Box<dyn Score>)
    }

    fn may_help(&self, pod: &Pod, event: &Event) -> bool {
        let matches = |node: &Value| pod.required_nodes.matches(meta::of(node).name(), meta::of(node).labels());
        event.node().is_some_and(matches) && event.old_node().is_none_or(|old| !matches(old))
    }
}

impl Filter for Wanted<'_> {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        let node = self.0.snapshot.node(slot);
        if !self.0.profile.added_nodes.matches(&node.name, node.labels()) {
            return Some(Refusal::unresolvable(ENFORCED));
        }
        let wanted = self.0.pod.required_nodes.matches(&node.name, node.labels());
        (!wanted).then(|| Refusal::unresolvable(UNWANTED))
    }
}

impl Score for Wanted<'_> {
    fn points(&self, slot: Slot) -> i64 {
        let node = self.0.snapshot.node(slot);
        let terms = self.0.profile.added_preferred_nodes.iter().chain(&self.0.pod.preferred_nodes);
        terms.filter(|(_, term)| term.matches(&node.name, node.labels())).map(|(weight, _)| weight).sum()
    }

    fn normalize(&self, _: &[Slot], points: &mut [i64]) {
        cycle::normalize(points, false);
    }
}
