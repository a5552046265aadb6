//! Pods of a sort stand in like numbers in all domains of a topology.
//!
//! Upstream: plugins/podtopologyspread.

mod hard;
mod soft;

use api::{Value, meta};

use super::{Event, Filtering, Plugin, Score};
use crate::{
    Pod, Slot,
    cycle::Cycle,
    pod::Spread,
    tally::{Condition, Sort},
};

pub struct PodTopologySpread;

pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        let constraints = constraints(cycle, true);
        if constraints.is_empty() {
            Filtering::Skip
        } else {
            Filtering::Each(Box::new(hard::Skew::new(cycle, &constraints)))
        }
    }

    fn score<'a>(&'a self, cycle: &'a Cycle<'a>, feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let constraints = constraints(cycle, false);
        if constraints.is_empty() {
            return None;
        }
        Some(Box::new(soft::Crowd::new(cycle, constraints, feasible)))
    }

    fn may_help(&self, pod: &Pod, event: &Event) -> bool {
        let hard = || pod.spread.iter().filter(|s| s.is_hard);
        let meant = |other: &Pod| {
            other.key.namespace == pod.key.namespace && hard().any(|s| s.selector.matches(other.labels()))
        };
        let has_keys = |node: &Value| hard().all(|s| meta::of(node).label(&s.key).is_some());
        match event {
            Event::PodPlaced(other) | Event::PodGone(other) => meant(other),
            Event::PodChanged { old, new } => meant(old) != meant(new),
            Event::Itself { old, new } => {
                meant(old) != meant(new) || (old.tolerations() != new.tolerations() && hard().any(|s| s.honors_taints))
            }
            Event::NodeAdded(node) | Event::NodeRemoved(node) => has_keys(node),
            Event::NodeChanged { old, new } => {
                let moved = hard().any(|s| meta::of(old).label(&s.key) != meta::of(new).label(&s.key));
                let tainted = old.at("spec").at("taints") != new.at("spec").at("taints");
                has_keys(old) != has_keys(new) || (has_keys(new) && (moved || tainted))
            }
            Event::Other => false,
        }
    }
}

/// The pod's own constraints, or when it has none those that hold by default for pods that belong together.
/// Upstream: `getConstraints`, `buildDefaultConstraints`.
fn constraints(cycle: &Cycle<'_>, hard: bool) -> Vec<Spread> {
    if !cycle.pod.spread.is_empty() {
        return cycle.pod.spread.iter().filter(|s| s.is_hard == hard).cloned().collect();
    }
    let defaults: Vec<&Spread> = cycle.profile.default_spread.iter().filter(|s| s.is_hard == hard).collect();
    if defaults.is_empty() {
        return Vec::new();
    }
    let Some(selector) = cycle.around.group_of(cycle.pod) else { return Vec::new() };
    defaults.into_iter().map(|s| Spread { selector: selector.clone(), ..s.clone() }).collect()
}

/// How many of the pods that a constraint means stand on each slot. One that means all pods means none.
fn counts(cycle: &Cycle<'_>, constraint: &Spread) -> std::sync::Arc<Vec<u32>> {
    if constraint.selector.is_everything() {
        return std::sync::Arc::default();
    }
    let namespaces = Some(vec![cycle.pod.key.namespace.clone()]);
    let condition = Condition { namespaces, selector: constraint.selector.clone() };
    cycle.snapshot.tally(&Sort { conditions: vec![condition], living: true })
}

/// Tells whether a node counts for a constraint. Upstream: `matchNodeInclusionPolicies`.
fn counting<'a>(cycle: &'a Cycle<'_>, constraint: &Spread) -> impl Fn(Slot) -> bool + use<'a> {
    let required =
        Some(&cycle.pod.required_nodes).filter(|required| constraint.honors_affinity && !required.is_empty());
    let kept_away = constraint.honors_taints.then(|| cycle.snapshot.taints().kept_away(cycle.pod.tolerations()));
    move |slot| {
        let node = cycle.snapshot.node(slot);
        required.is_none_or(|required| required.matches(&node.name, node.labels()))
            && !kept_away.as_ref().is_some_and(|kept_away| kept_away[node.taints as usize])
    }
}
