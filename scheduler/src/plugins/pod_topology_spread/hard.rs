//! `DoNotSchedule`: no domain may be ahead of the emptiest by more than the skew.
//!
//! Upstream: plugins/podtopologyspread/filtering.go.

use std::sync::Arc;

use super::{counting, counts};
use crate::{Refusal, Slot, cycle::Cycle, plugins::Filter, pod::Spread, snapshot::Topology};

const AHEAD: &str = "node(s) didn't match pod topology spread constraints";
const NOWHERE: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

/// Each constraint with how its domains stand.
pub struct Skew(Vec<Standing>);

struct Standing {
    topology: Arc<Topology>,
    by_domain: Vec<i64>,
    /// The most that a domain may have before this pod.
    most: i64,
}

// === impl Skew ===

impl Skew {
    pub fn new(cycle: &Cycle<'_>, constraints: &[Spread]) -> Skew {
        let topologies: Vec<_> = constraints.iter().map(|c| cycle.snapshot.topology(&c.key)).collect();
        let is_everywhere = |slot: Slot| topologies.iter().all(|t| t.domain(slot).is_some());
        let standing = |(constraint, topology): (&Spread, &Arc<Topology>)| {
            let (counts, counts_here) = (counts(cycle, constraint), counting(cycle, constraint));
            let mut by_domain = vec![0; topology.count];
            let mut is_there = vec![false; topology.count];
            for slot in cycle.snapshot.order().iter().copied().filter(|slot| is_everywhere(*slot)) {
                if let Some(domain) = topology.domain(slot).filter(|_| counts_here(slot)) {
                    by_domain[domain] += i64::from(counts.get(slot as usize).copied().unwrap_or(0));
                    is_there[domain] = true;
                }
            }
            let there = || by_domain.iter().zip(&is_there).filter(|(_, there)| **there).map(|(count, _)| *count);
            let domains = i64::try_from(there().count()).unwrap_or(i64::MAX);
            let least = if domains < constraint.min_domains { 0 } else { there().min().unwrap_or(i64::from(i32::MAX)) };
            let own = i64::from(constraint.selector.matches(cycle.pod.labels()));
            Standing { topology: topology.clone(), by_domain, most: constraint.max_skew + least - own }
        };
        Skew(constraints.iter().zip(&topologies).map(standing).collect())
    }
}

impl Filter for Skew {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        for standing in &self.0 {
            let Some(domain) = standing.topology.domain(slot) else { return Some(Refusal::unresolvable(NOWHERE)) };
            if standing.by_domain[domain] > standing.most {
                return Some(Refusal::resolvable(AHEAD));
            }
        }
        None
    }
}
