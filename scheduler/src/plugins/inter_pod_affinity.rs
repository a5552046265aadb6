//! Pods that want to be, or not to be, where other pods are.
//!
//! Upstream: plugins/interpodaffinity.

mod filter;
mod score;

use api::{Value, meta};

use super::{Event, Filtering, Plugin, Score};
use crate::{Pod, Slot, cycle::Cycle, pod::Term};

pub struct InterPodAffinity;

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        filter::Company::new(cycle).map_or(Filtering::Skip, |company| Filtering::Each(Box::new(company)))
    }

    fn score<'a>(&'a self, cycle: &'a Cycle<'a>, _: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        score::Pull::new(cycle).map(|pull| Box::new(pull) as Box<dyn Score>)
    }

    fn may_help(&self, pod: &Pod, event: &Event) -> bool {
        let all = |other: &Pod| matches_all(&pod.affinity, other);
        let any = |terms: &[Term], other: &Pod| terms.iter().any(|t| t.matches(other, Value::NULL));
        match event {
            Event::PodPlaced(other) => all(other),
            Event::PodChanged { old, new } => {
                (!all(old) && all(new)) || (any(&pod.anti_affinity, old) && !any(&pod.anti_affinity, new))
            }
            Event::PodGone(other) => any(&pod.anti_affinity, other) || any(&other.anti_affinity, pod),
            Event::Itself { old, new } => old.labels() != new.labels(),
            Event::NodeAdded(node) => {
                !pod.anti_affinity.is_empty() || pod.affinity.iter().any(|t| label(node, t).is_some())
            }
            Event::NodeChanged { old, new } => {
                pod.affinity.iter().any(|t| label(new, t).is_some() && label(old, t) != label(new, t))
                    || pod.anti_affinity.iter().any(|t| label(old, t).is_some() && label(old, t) != label(new, t))
            }
            Event::NodeRemoved(_) | Event::Other => false,
        }
    }
}

fn label<'a>(node: &'a Value, term: &Term) -> Option<&'a str> {
    meta::of(node).label(&term.key)
}

/// Upstream: `podMatchesAllAffinityTerms`: no terms match nobody.
fn matches_all(terms: &[Term], pod: &Pod) -> bool {
    !terms.is_empty() && terms.iter().all(|t| t.matches(pod, Value::NULL))
}
