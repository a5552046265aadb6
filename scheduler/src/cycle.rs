//! One pod's turn: filter the nodes, score those that are left, choose.
//!
//! Nothing here waits, writes or looks at a clock; the same snapshot, pod and seed give the same verdict.
//! Upstream: pkg/scheduler/schedule_one.go schedulePod.

use crate::{
    Around, Diagnosis, Pod, Profile, Refusal, Slot, Snapshot, Verdict,
    plugins::{Filter, Filtering, Score},
};

/// Fewer nodes than these are always looked at.
const FEASIBLE_MIN: usize = 100;
const PERCENT_MIN: usize = 5;
/// A node's score of one plugin is at most this. Upstream: MaxNodeScore.
pub const SCORE_MAX: i64 = 100;

/// What plugins see.
pub struct Cycle<'a> {
    pub snapshot: &'a Snapshot,
    pub around: &'a Around,
    pub profile: &'a Profile,
    pub pod: &'a Pod,
}

/// What goes from one pod's turn to the next's.
#[derive(Clone, Debug)]
pub struct Course {
    /// Where the walk over the nodes goes on, so that all get their turn.
    pub next: usize,
    /// Of a plain generator; equal scores are drawn lots for.
    pub seed: u64,
}

/// Filters that have something to say about this pod.
pub(crate) struct Filters<'a> {
    pub active: Vec<(&'static str, Box<dyn Filter + 'a>)>,
    /// The only nodes that can do, when a plugin knows them; who says so.
    pub among: Option<(Vec<Slot>, Vec<&'static str>)>,
}

/// Finds a node for a pod.
pub fn schedule(
    snapshot: &mut Snapshot,
    around: &Around,
    profile: &Profile,
    pod: &Pod,
    course: &mut Course,
) -> Verdict {
    snapshot.settle();
    if snapshot.is_empty() {
        return Verdict::Nowhere(Box::default());
    }
    let shared = awaited(snapshot, around, profile, pod);
    let cycle = Cycle { snapshot, around, profile, pod };
    let mut diagnosis = Diagnosis { nodes: snapshot.len(), ..Diagnosis::default() };
    let Some(filters) = Filters::prepare(&cycle, &mut diagnosis) else {
        return Verdict::Nowhere(Box::new(diagnosis));
    };
    if let Some(slot) = nominated(&cycle, &filters, &shared) {
        return Verdict::Node { slot, evaluated: 1, feasible: 1 };
    }
    let feasible = cycle.feasible(&filters, &shared, course, &mut diagnosis);
    let evaluated = feasible.len() + diagnosis.refusals.len();
    let slot = match feasible.as_slice() {
        [] => return Verdict::Nowhere(Box::new(diagnosis)),
        [only] => *only,
        several => choose(&cycle, several, course),
    };
    Verdict::Node { slot, evaluated, feasible: feasible.len() }
}

/// Whether the pod fits on a node beside those that wait for room there; why not.
/// Upstream: `RunFilterPluginsWithNominatedPods`.
pub fn fits(
    snapshot: &mut Snapshot,
    around: &Around,
    profile: &Profile,
    pod: &Pod,
    slot: Slot,
) -> Option<(&'static str, Refusal)> {
    snapshot.settle();
    let name = snapshot.node(slot).name.clone();
    let rivals: Vec<_> = snapshot
        .nominated(&name)
        .iter()
        .filter(|rival| rival.priority >= pod.priority && rival.uid != pod.uid && snapshot.placed(&rival.uid).is_none())
        .cloned()
        .collect();
    if !rivals.is_empty() {
        rivals.iter().for_each(|rival| snapshot.put_at(rival.clone(), slot));
        let refusal = Cycle { snapshot, around, profile, pod }.refusal(slot);
        rivals.iter().for_each(|rival| drop(snapshot.take(&rival.uid)));
        if refusal.is_some() {
            return refusal;
        }
    }
    Cycle { snapshot, around, profile, pod }.refusal(slot)
}

/// Nodes that other pods wait for, and what they say when those are on them. There are few, so that each is tried apart.
fn awaited(
    snapshot: &mut Snapshot,
    around: &Around,
    profile: &Profile,
    pod: &Pod,
) -> Vec<(Slot, Option<(&'static str, Refusal)>)> {
    let slots: Vec<Slot> = snapshot.awaited_by_others(&pod.uid).collect();
    slots.into_iter().map(|slot| (slot, fits(snapshot, around, profile, pod, slot))).collect()
}

type Awaited = [(Slot, Option<(&'static str, Refusal)>)];

/// The node on which room was made for the pod, when it fits there now.
fn nominated(cycle: &Cycle<'_>, filters: &Filters<'_>, awaited: &Awaited) -> Option<Slot> {
    let slot = cycle.snapshot.slot(&cycle.pod.nominated).filter(|_| !cycle.pod.nominated.is_empty())?;
    filters.ask(slot, awaited).is_none().then_some(slot)
}

impl Cycle<'_> {
    fn feasible(
        &self,
        filters: &Filters<'_>,
        awaited: &Awaited,
        course: &mut Course,
        diagnosis: &mut Diagnosis,
    ) -> Vec<Slot> {
        let nodes: &[Slot] = match &filters.among {
            Some((slots, plugins)) => {
                let reason = format!("node(s) didn't satisfy plugin(s) [{}]", plugins.join(" "));
                diagnosis.others = Some(Refusal::unresolvable(reason));
                plugins.iter().for_each(|plugin| diagnosis.refused_by(plugin));
                slots
            }
            None => self.snapshot.order(),
        };
        let wanted = self.wanted(nodes.len());
        let mut feasible = Vec::with_capacity(wanted.min(nodes.len()));
        let mut seen = 0;
        for i in 0..nodes.len() {
            let slot = nodes[(course.next + i) % nodes.len()];
            seen += 1;
            match filters.ask(slot, awaited) {
                None => feasible.push(slot),
                Some((plugin, refusal)) => {
                    diagnosis.refused_by(plugin);
                    diagnosis.refusals.push((slot, refusal));
                }
            }
            if feasible.len() == wanted {
                break;
            }
        }
        course.next = (course.next + seen) % self.snapshot.len();
        feasible
    }

    /// How many feasible nodes are enough. Upstream: `numFeasibleNodesToFind`.
    fn wanted(&self, nodes: usize) -> usize {
        if nodes < FEASIBLE_MIN {
            return nodes;
        }
        let percent = match self.profile.percent_of_nodes {
            0 => 50usize.saturating_sub(nodes / 125).max(PERCENT_MIN),
            percent => percent,
        };
        (nodes * percent / 100).max(FEASIBLE_MIN)
    }

    /// What one node says.
    fn refusal(&self, slot: Slot) -> Option<(&'static str, Refusal)> {
        let mut diagnosis = Diagnosis::default();
        let Some(filters) = Filters::prepare(self, &mut diagnosis) else {
            let reason = diagnosis.beforehand.unwrap_or_default();
            return Some((diagnosis.plugins.first().copied().unwrap_or(""), Refusal::unresolvable(reason)));
        };
        filters.ask(slot, &[])
    }
}

impl<'a> Filters<'a> {
    /// Asks every plugin for its filter; none when one refuses all nodes beforehand.
    pub(crate) fn prepare(cycle: &'a Cycle<'a>, diagnosis: &mut Diagnosis) -> Option<Filters<'a>> {
        let mut filters = Filters { active: Vec::new(), among: None };
        for plugin in &cycle.profile.filters {
            let name = plugin.name();
            let filter = match plugin.filter(cycle) {
                Filtering::Skip => continue,
                Filtering::Refuse(refusal) => {
                    diagnosis.beforehand = Some(refusal.reasons().collect::<Vec<_>>().join(", "));
                    diagnosis.others = Some(refusal);
                    diagnosis.refused_by(name);
                    return None;
                }
                Filtering::Each(filter) => filter,
                Filtering::Among(slots, filter) => {
                    filters.only(name, slots);
                    filter
                }
            };
            filters.active.push((name, filter));
        }
        if let Some((slots, plugins)) = &filters.among
            && slots.is_empty()
        {
            let text = format!("node(s) didn't satisfy plugin(s) {plugins:?} simultaneously")
                .replace(", ", " ")
                .replace('"', "");
            diagnosis.beforehand = Some(text.clone());
            diagnosis.others = Some(Refusal::unresolvable(text));
            plugins.iter().for_each(|plugin| diagnosis.refused_by(plugin));
            return None;
        }
        Some(filters)
    }

    fn only(&mut self, plugin: &'static str, slots: Vec<Slot>) {
        match &mut self.among {
            None => self.among = Some((slots, vec![plugin])),
            Some((known, plugins)) => {
                known.retain(|slot| slots.contains(slot));
                plugins.push(plugin);
            }
        }
    }

    fn ask(&self, slot: Slot, awaited: &Awaited) -> Option<(&'static str, Refusal)> {
        if let Some((_, said)) = awaited.iter().find(|(other, _)| *other == slot) {
            return said.clone();
        }
        self.active.iter().find_map(|(plugin, filter)| Some((*plugin, filter.refuse(slot)?)))
    }
}

/// The node with the most points; lots are drawn among the first.
fn choose(cycle: &Cycle<'_>, feasible: &[Slot], course: &mut Course) -> Slot {
    let totals = totals(cycle, feasible);
    let most = totals.iter().copied().max().unwrap_or(0);
    let best: Vec<Slot> =
        feasible.iter().zip(&totals).filter(|(_, total)| **total == most).map(|(slot, _)| *slot).collect();
    let lot = usize::try_from(course.draw() >> 33).unwrap_or(0) % best.len();
    best[lot]
}

/// Points of each node: every plugin's, between 0 and 100, times its weight.
fn totals(cycle: &Cycle<'_>, feasible: &[Slot]) -> Vec<i64> {
    let mut totals = vec![0; feasible.len()];
    for (plugin, weight) in &cycle.profile.scores {
        let Some(score) = plugin.score(cycle, feasible) else { continue };
        for (total, points) in totals.iter_mut().zip(of_all(&*score, feasible)) {
            *total += points * weight;
        }
    }
    totals
}

/// What one plugin gives these nodes; none when they are alike to it.
pub fn points(cycle: &Cycle<'_>, plugin: &str, feasible: &[Slot]) -> Option<Vec<i64>> {
    let (plugin, _) = cycle.profile.scores.iter().find(|(p, _)| p.name() == plugin)?;
    Some(of_all(&*plugin.score(cycle, feasible)?, feasible))
}

fn of_all(score: &dyn Score, feasible: &[Slot]) -> Vec<i64> {
    let mut points: Vec<i64> = feasible.iter().map(|slot| score.points(*slot)).collect();
    score.normalize(feasible, &mut points);
    points
}

/// To between 0 and 100, the other way round when fewer points are better. Upstream: `DefaultNormalizeScore`.
pub fn normalize(points: &mut [i64], reverse: bool) {
    let most = points.iter().copied().max().unwrap_or(0);
    for point in points {
        let share = if most == 0 { 0 } else { SCORE_MAX * *point / most };
        *point = if reverse { SCORE_MAX - share } else { share };
    }
}

// === impl Course ===

impl Course {
    pub fn new(seed: u64) -> Course {
        Course { next: 0, seed: seed | 1 }
    }

    /// The next number of a multiplicative generator (Knuth's MMIX constants).
    pub fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed
    }
}
