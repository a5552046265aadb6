//! Preferred terms, the pod's own and those of pods that are there, add up by domain.
//!
//! Upstream: plugins/interpodaffinity/scoring.go.

use std::{collections::BTreeMap, sync::Arc};

use api::EcoString;

use crate::{
    Slot,
    cycle::{Cycle, SCORE_MAX},
    plugins::Score,
    pod::Term,
    snapshot::Topology,
    tally::{Condition, Sort, Wish},
};

/// For each topology the points of its domains.
pub struct Pull(Vec<(Arc<Topology>, Vec<i64>)>);

// === impl Pull ===

impl Pull {
    /// None when nothing pulls.
    pub fn new(cycle: &Cycle<'_>) -> Option<Pull> {
        let pod = cycle.pod;
        let mut sums: BTreeMap<EcoString, Vec<i64>> = BTreeMap::new();
        let own = pod.preferred.iter().map(|(weight, term)| (*weight, term));
        let against = pod.preferred_anti.iter().map(|(weight, term)| (-weight, term));
        for (weight, term) in own.chain(against) {
            let sort = Sort { conditions: vec![Condition::of_term(term, cycle.around)], living: false };
            add(&mut sums, cycle, term, weight, &cycle.snapshot.tally(&sort));
        }
        let labels = cycle.around.namespace_labels(&pod.key.namespace);
        for (wish, term, carriers) in cycle.snapshot.carried().iter() {
            let weight = match wish {
                Wish::Apart => continue,
                Wish::Together => cycle.profile.hard_affinity_weight,
                Wish::Rather(_) if cycle.profile.ignores_wishes_of_others => continue,
                Wish::Rather(weight) => weight,
            };
            if weight != 0 && term.matches(pod, &labels) {
                add(&mut sums, cycle, term, weight, &carriers.counts);
            }
        }
        let pulls: Vec<_> = sums.into_iter().map(|(key, sums)| (cycle.snapshot.topology(&key), sums)).collect();
        (!pulls.is_empty()).then_some(Pull(pulls))
    }
}

fn add(sums: &mut BTreeMap<EcoString, Vec<i64>>, cycle: &Cycle<'_>, term: &Term, weight: i64, counts: &[u32]) {
    let topology = cycle.snapshot.topology(&term.key);
    let more = topology.sums(counts);
    // Upstream looks at no topology in which nobody was found.
    if more.iter().all(|sum| *sum == 0) {
        return;
    }
    let known = sums.entry(term.key.clone()).or_insert_with(|| vec![0; topology.count]);
    for (sum, more) in known.iter_mut().zip(more) {
        *sum += weight * more;
    }
}

impl Score for Pull {
    fn points(&self, slot: Slot) -> i64 {
        let here =
            |(topology, sums): &(Arc<Topology>, Vec<i64>)| topology.domain(slot).map_or(0, |domain| sums[domain]);
        self.0.iter().map(here).sum()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "shares of 100")]
    fn normalize(&self, _: &[Slot], points: &mut [i64]) {
        let (least, most) = (points.iter().copied().min().unwrap_or(0), points.iter().copied().max().unwrap_or(0));
        for point in points {
            let share = if most > least { (*point - least) as f64 / (most - least) as f64 } else { 0.0 };
            *point = (SCORE_MAX as f64 * share) as i64;
        }
    }
}
