//! Who would have to go so that a pod fits.
//!
//! Pods are taken off a node and put back on the snapshot itself: it counts along, so that what plugins then say is what
//! they would say. At the end it is as it was. Upstream: plugins/defaultpreemption, framework/preemption.

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, meta, selector::Selector};

use crate::{
    Around, Diagnosis, Pod, Profile, Refusal, Slot, Snapshot,
    cycle::{self, Course},
};

const NEVER: &str = "not eligible due to preemptionPolicy=Never.";
const ONE_IS_GOING: &str = "not eligible due to a terminating pod on the nominated node.";
const NO_HELP: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// What preemption comes to.
#[derive(Debug)]
pub enum Outcome {
    /// These go, and the pod waits for the node.
    Make(Candidate),
    /// Nobody goes; why, in upstream's words. `forget` what room was made before.
    Nothing { message: String, forget: bool },
}

/// A node and who would go there.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub slot: Slot,
    /// The most important first.
    pub victims: Vec<Arc<Pod>>,
    /// How many of them a budget protects.
    pub violations: usize,
}

/// Looks for the node where the least is lost.
pub fn preempt(
    snapshot: &mut Snapshot,
    around: &Around,
    profile: &Profile,
    pod: &Pod,
    diagnosis: &Diagnosis,
    course: &mut Course,
) -> Outcome {
    if let Some(why) = ineligible(snapshot, pod, diagnosis) {
        return Outcome::Nothing { message: format!("preemption: {why}"), forget: false };
    }
    let nodes: Vec<Slot> = diagnosis.refusals.iter().filter(|(_, r)| r.is_resolvable).map(|(slot, _)| *slot).collect();
    let mut refusals = Vec::new();
    let candidates = candidates(snapshot, around, profile, pod, &nodes, course, &mut refusals);
    match best(candidates) {
        Some(best) => Outcome::Make(best),
        None => {
            let said = Diagnosis {
                nodes: snapshot.len(),
                refusals,
                others: Some(Refusal::unresolvable(NO_HELP)),
                ..Diagnosis::default()
            };
            Outcome::Nothing { message: format!("preemption: {}", said.message()), forget: true }
        }
    }
}

/// Upstream: `PodEligibleToPreemptOthers`.
fn ineligible(snapshot: &Snapshot, pod: &Pod, diagnosis: &Diagnosis) -> Option<&'static str> {
    if !pod.preempts() {
        return Some(NEVER);
    }
    let slot = snapshot.slot(&pod.nominated).filter(|_| !pod.nominated.is_empty())?;
    let said = diagnosis.refusals.iter().find(|(other, _)| *other == slot);
    if said.is_some_and(|(_, refusal)| !refusal.is_resolvable) {
        return None;
    }
    let going = |other: &Arc<Pod>| other.priority < pod.priority && other.is_terminating && is_preempted(&other.object);
    snapshot.node(slot).pods.iter().any(going).then_some(ONE_IS_GOING)
}

fn is_preempted(pod: &Value) -> bool {
    let conditions = pod.at("status").list("conditions");
    conditions.iter().any(|c| {
        c.str("type") == "DisruptionTarget" && c.str("status") == "True" && c.str("reason") == "PreemptionByScheduler"
    })
}

/// Tries nodes from a random one on until enough would do. Upstream: `DryRunPreemption`.
fn candidates(
    snapshot: &mut Snapshot,
    around: &Around,
    profile: &Profile,
    pod: &Pod,
    nodes: &[Slot],
    course: &mut Course,
    refusals: &mut Vec<(Slot, Refusal)>,
) -> Vec<Candidate> {
    if nodes.is_empty() {
        return Vec::new();
    }
    let enough = (nodes.len() * profile.candidates_percent_min / 100).max(profile.candidates_min).min(nodes.len());
    let offset = usize::try_from(course.draw() >> 33).unwrap_or(0) % nodes.len();
    let mut found: Vec<Candidate> = Vec::new();
    for i in 0..nodes.len() {
        let slot = nodes[(offset + i) % nodes.len()];
        match on_node(snapshot, around, profile, pod, slot) {
            Ok(candidate) => found.push(candidate),
            Err(refusal) => refusals.push((slot, refusal)),
        }
        if found.len() >= enough && found.iter().any(|c| c.violations == 0) {
            break;
        }
    }
    found
}

/// Who would have to go from one node. Upstream: `SelectVictimsOnNode`.
fn on_node(
    snapshot: &mut Snapshot,
    around: &Around,
    profile: &Profile,
    pod: &Pod,
    slot: Slot,
) -> Result<Candidate, Refusal> {
    let mut lesser: Vec<Arc<Pod>> =
        snapshot.node(slot).pods.iter().filter(|other| other.priority < pod.priority).cloned().collect();
    if lesser.is_empty() {
        return Err(Refusal::unresolvable(NO_VICTIMS));
    }
    lesser.iter().for_each(|victim| drop(snapshot.take(&victim.uid)));
    let refusal = cycle::fits(snapshot, around, profile, pod, slot);
    if let Some((_, refusal)) = refusal {
        lesser.into_iter().for_each(|victim| snapshot.put_at(victim, slot));
        return Err(refusal);
    }
    lesser.sort_by(|a, b| importance(a).cmp(&importance(b)));
    let (protected, free) = by_budget(around, lesser);
    let (mut victims, mut violations) = (Vec::new(), 0);
    // As many as possible stay, those whom a budget protects first.
    for (victim, is_protected) in protected.into_iter().map(|v| (v, true)).chain(free.into_iter().map(|v| (v, false))) {
        snapshot.put_at(victim.clone(), slot);
        if cycle::fits(snapshot, around, profile, pod, slot).is_some() {
            snapshot.take(&victim.uid);
            violations += usize::from(is_protected);
            victims.push(victim);
        }
    }
    victims.iter().for_each(|victim| snapshot.put_at(victim.clone(), slot));
    victims.sort_by(|a, b| importance(a).cmp(&importance(b)));
    if victims.is_empty() {
        return Err(Refusal::unresolvable(NO_VICTIMS));
    }
    Ok(Candidate { slot, victims, violations })
}

/// Higher priority first, then who has run longer. Upstream: `MoreImportantVictim`.
fn importance(pod: &Pod) -> (std::cmp::Reverse<i64>, &str) {
    // Without a start it has not started: it is the youngest.
    let started = pod.object.at("status").opt_str("startTime").unwrap_or("~");
    (std::cmp::Reverse(pod.priority), started)
}

/// Those whom a disruption budget protects now, and the others. Upstream: `FilterVictimsWithPDBViolation`.
fn by_budget(around: &Around, pods: Vec<Arc<Pod>>) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut left: BTreeMap<String, i64> = BTreeMap::new();
    pods.into_iter().partition(|pod| {
        if pod.labels().is_empty() {
            return false;
        }
        for budget in around.budgets.in_namespace(&pod.key.namespace) {
            let selector = Selector::from_label_selector(budget.at("spec").at("selector"));
            let is_meant = selector.is_ok_and(|s| !s.is_everything() && s.matches(pod.labels()));
            let status = budget.at("status");
            if !is_meant || status.at("disruptedPods").has(&pod.key.name) {
                continue;
            }
            let budget = meta::of(&budget).uid().to_string();
            let left = left.entry(budget).or_insert_with(|| status.int("disruptionsAllowed"));
            *left -= 1;
            if *left < 0 {
                return true;
            }
        }
        false
    })
}

/// Where the least is lost. Upstream: `pickOneNodeForPreemption`.
fn best(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().min_by_key(|candidate| {
        let highest = candidate.victims.first().map_or(0, |v| v.priority);
        let sum: i64 = candidate.victims.iter().map(|v| v.priority + i64::from(i32::MAX) + 1).sum();
        (candidate.violations, highest, sum, candidate.victims.len(), std::cmp::Reverse(earliest_start(candidate)))
    })
}

/// When the first of the most important victims started. Upstream: `GetEarliestPodStartTime`.
fn earliest_start(candidate: &Candidate) -> String {
    let highest = candidate.victims.first().map_or(0, |v| v.priority);
    let peers = candidate.victims.iter().filter(|v| v.priority == highest);
    peers.map(|v| v.object.at("status").opt_str("startTime").unwrap_or("~").to_string()).min().unwrap_or_default()
}
