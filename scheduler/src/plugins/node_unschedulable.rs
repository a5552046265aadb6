//! Nodes that are cordoned. Upstream: plugins/nodeunschedulable.

use api::{Value, taint, value};

use super::{Event, Filter, Filtering, Plugin};
use crate::{Pod, Refusal, Slot, cycle::Cycle};

const CORDONED: &str = "node(s) were unschedulable";

pub struct NodeUnschedulable;

struct Cordoned<'a>(&'a Cycle<'a>);

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        if is_tolerated(cycle.pod) { Filtering::Skip } else { Filtering::Each(Box::new(Cordoned(cycle))) }
    }

    fn may_help(&self, _: &Pod, event: &Event) -> bool {
        let is_cordoned = |node: &Value| node.at("spec").bool("unschedulable");
        match event {
            Event::Itself { new, .. } => is_tolerated(new),
            other => other.node().is_some_and(|node| !is_cordoned(node)) && other.old_node().is_none_or(is_cordoned),
        }
    }
}

impl Filter for Cordoned<'_> {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        self.0.snapshot.node(slot).is_unschedulable.then(|| Refusal::unresolvable(CORDONED))
    }
}

fn is_tolerated(pod: &Pod) -> bool {
    let taint = value!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
    taint::is_tolerated(&taint, pod.tolerations())
}
