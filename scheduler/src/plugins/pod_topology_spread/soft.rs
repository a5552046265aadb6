//! `ScheduleAnyway`: the emptier a node's domains, the better.
//!
//! Upstream: plugins/podtopologyspread/scoring.go.

use std::sync::Arc;

use super::{HOSTNAME, counting, counts};
use crate::{
    Slot,
    cycle::{Cycle, SCORE_MAX},
    plugins::Score,
    pod::Spread,
    snapshot::Topology,
};

/// Each constraint with how full its domains are.
pub struct Crowd {
    standings: Vec<Standing>,
    /// Nodes that lack a label have no say: they get nothing.
    must_be_everywhere: bool,
}

struct Standing {
    topology: Arc<Topology>,
    fill: Fill,
    max_skew: i64,
    /// Larger where there are more domains.
    weight: f64,
}

enum Fill {
    /// Each node is a domain of its own.
    BySlot(Arc<Vec<u32>>),
    ByDomain(Vec<i64>),
}

// === impl Crowd ===

impl Crowd {
    pub fn new(cycle: &Cycle<'_>, constraints: Vec<Spread>, feasible: &[Slot]) -> Crowd {
        let must_be_everywhere = !cycle.pod.spread.is_empty() || !cycle.profile.is_spread_by_system;
        let topologies: Vec<_> = constraints.iter().map(|c| cycle.snapshot.topology(&c.key)).collect();
        let takes_part =
            |slot: Slot| !must_be_everywhere || topologies.iter().all(|topology| topology.domain(slot).is_some());
        let nodes = feasible.iter().filter(|slot| takes_part(**slot)).count();
        let standing = |(constraint, topology): (&Spread, &Arc<Topology>)| {
            let counts = counts(cycle, constraint);
            let (fill, domains) = if constraint.key == HOSTNAME {
                (Fill::BySlot(counts), nodes)
            } else {
                let seen = domains_of(feasible.iter().copied().filter(|slot| takes_part(*slot)), topology);
                let counts_here = counting(cycle, constraint);
                let mut sums = vec![0; topology.count];
                for slot in cycle.snapshot.order().iter().copied().filter(|slot| takes_part(*slot)) {
                    if let Some(domain) = topology.domain(slot).filter(|d| seen[*d] && counts_here(slot)) {
                        sums[domain] += i64::from(counts.get(slot as usize).copied().unwrap_or(0));
                    }
                }
                (Fill::ByDomain(sums), seen.iter().filter(|seen| **seen).count())
            };
            #[expect(clippy::cast_precision_loss, reason = "a number of domains")]
            let weight = ((domains + 2) as f64).ln();
            Standing { topology: topology.clone(), fill, max_skew: constraint.max_skew, weight }
        };
        let standings = constraints.iter().zip(&topologies).map(standing).collect();
        Crowd { standings, must_be_everywhere }
    }

    fn is_left_out(&self, slot: Slot) -> bool {
        self.must_be_everywhere && self.standings.iter().any(|s| s.topology.domain(slot).is_none())
    }
}

/// Which domains these nodes are in.
fn domains_of(slots: impl Iterator<Item = Slot>, topology: &Topology) -> Vec<bool> {
    let mut seen = vec![false; topology.count];
    slots.filter_map(|slot| topology.domain(slot)).for_each(|domain| seen[domain] = true);
    seen
}

impl Score for Crowd {
    /// How many there are already, weighed; fewer are better.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "numbers of pods")]
    fn points(&self, slot: Slot) -> i64 {
        if self.is_left_out(slot) {
            return 0;
        }
        let mut sum = 0.0;
        for standing in &self.standings {
            let Some(domain) = standing.topology.domain(slot) else { continue };
            let count = match &standing.fill {
                Fill::BySlot(counts) => i64::from(counts.get(slot as usize).copied().unwrap_or(0)),
                Fill::ByDomain(sums) => sums[domain],
            };
            sum += count as f64 * standing.weight + (standing.max_skew - 1) as f64;
        }
        sum.round() as i64
    }

    fn normalize(&self, feasible: &[Slot], points: &mut [i64]) {
        let part = || feasible.iter().zip(points.iter()).filter(|(slot, _)| !self.is_left_out(**slot)).map(|(_, p)| *p);
        let (least, most) = (part().min().unwrap_or(i64::MAX), part().max().unwrap_or(0));
        for (slot, points) in feasible.iter().zip(points) {
            *points = match most {
                _ if self.is_left_out(*slot) => 0,
                0 => SCORE_MAX,
                most => SCORE_MAX * (most + least - *points) / most,
            };
        }
    }
}
