//! Taints keep pods away that do not tolerate them, or make a node the second choice. Upstream: plugins/tainttoleration.

use api::{Value, taint};

use super::{Event, Filter, Filtering, Plugin, Score};
use crate::{Pod, Refusal, Slot, Snapshot, cycle, cycle::Cycle, taints::HARD};

const TAINTED: &str = "node(s) had untolerated taint(s)";

pub struct TaintToleration;

/// By sort of taints: whether it keeps the pod away.
struct Away<'a>(&'a Snapshot, Vec<bool>);

/// By sort of taints: how many of them the pod would rather avoid.
struct Avoided<'a>(&'a Snapshot, Vec<i64>);

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        Filtering::Each(Box::new(Away(cycle.snapshot, cycle.snapshot.taints().kept_away(cycle.pod.tolerations()))))
    }

    fn score<'a>(&'a self, cycle: &'a Cycle<'a>, _: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(Avoided(cycle.snapshot, cycle.snapshot.taints().avoided(cycle.pod.tolerations()))))
    }

    fn may_help(&self, pod: &Pod, event: &Event) -> bool {
        let keeps_away =
            |node: &Value| taint::untolerated(node.at("spec").list("taints"), pod.tolerations(), &HARD).is_some();
        match event {
            Event::Itself { .. } => true,
            other => other.node().is_some_and(|node| !keeps_away(node)) && other.old_node().is_none_or(keeps_away),
        }
    }
}

impl Filter for Away<'_> {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        self.1[self.0.node(slot).taints as usize].then(|| Refusal::unresolvable(TAINTED))
    }
}

impl Score for Avoided<'_> {
    fn points(&self, slot: Slot) -> i64 {
        self.1[self.0.node(slot).taints as usize]
    }

    fn normalize(&self, _: &[Slot], points: &mut [i64]) {
        cycle::normalize(points, true);
    }
}
