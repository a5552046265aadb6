//! Taints keep pods away that do not tolerate them, or make a node the second choice. Upstream: plugins/tainttoleration.

use api::{Value, taint};

use super::{Event, Filter, Filtering, Plugin, Score};
use crate::{Pod, Refusal, Slot, cycle, cycle::Cycle, node::HARD};

const TAINTED: &str = "node(s) had untolerated taint(s)";

pub struct TaintToleration;

struct Tainted<'a>(&'a Cycle<'a>);

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        Filtering::Each(Box::new(Tainted(cycle)))
    }

    fn score<'a>(&'a self, cycle: &'a Cycle<'a>, _: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(Tainted(cycle)))
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

impl Filter for Tainted<'_> {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        let away = self.0.snapshot.node(slot).keeps_away(self.0.pod.tolerations());
        away.then(|| Refusal::unresolvable(TAINTED))
    }
}

impl Score for Tainted<'_> {
    /// How many taints the pod would rather avoid.
    fn points(&self, slot: Slot) -> i64 {
        let node = self.0.snapshot.node(slot);
        if !node.has_soft_taints {
            return 0;
        }
        let soft = node.taints().iter().filter(|t| t.str("effect") == taint::PREFER_NO_SCHEDULE);
        let avoided = soft.filter(|taint| !taint::is_tolerated(taint, self.0.pod.tolerations()));
        i64::try_from(avoided.count()).unwrap_or(i64::MAX)
    }

    fn normalize(&self, _: &[Slot], points: &mut [i64]) {
        cycle::normalize(points, true);
    }
}
