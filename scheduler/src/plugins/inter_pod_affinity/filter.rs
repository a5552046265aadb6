//! Required terms: the pod's own, and those by which pods that are there keep it away.
//!
//! Upstream: plugins/interpodaffinity/filtering.go.

use std::sync::Arc;

use crate::{
    Refusal, Slot,
    cycle::Cycle,
    plugins::Filter,
    snapshot::Topology,
    tally::{Condition, Sort, Wish},
};

const NOT_TOGETHER: &str = "node(s) didn't match pod affinity rules";
const NOT_APART: &str = "node(s) didn't match pod anti-affinity rules";
const KEPT_AWAY: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// Where the pod's company is, and where company is that it must not have.
pub struct Company {
    /// The domains with pods that the pod wants, for each of its terms.
    wanted: Vec<Domains>,
    /// Nobody is wanted that is there, and the pod itself is wanted: the first of its kind may go anywhere.
    is_first: bool,
    unwanted: Vec<Domains>,
    closed: Vec<Domains>,
}

/// A set of domains of a topology.
struct Domains {
    topology: Arc<Topology>,
    has: Vec<bool>,
}

// === impl Company ===

impl Company {
    /// None when there is nothing to look at.
    pub fn new(cycle: &Cycle<'_>) -> Option<Company> {
        let (pod, around) = (cycle.pod, cycle.around);
        let labels = around.namespace_labels(&pod.key.namespace);
        let carried = cycle.snapshot.carried().iter();
        let against = carried.filter(|(wish, term, _)| *wish == Wish::Apart && term.matches(pod, &labels));
        let closed: Vec<Domains> =
            against.map(|(_, term, carriers)| Domains::with(cycle, &term.key, &carriers.counts)).collect();
        if closed.is_empty() && pod.affinity.is_empty() && pod.anti_affinity.is_empty() {
            return None;
        }
        // Who fits has to fit all terms at once.
        let conditions: Vec<Condition> = pod.affinity.iter().map(|t| Condition::of_term(t, around)).collect();
        let fits_itself = conditions.iter().all(|c| c.means(pod));
        let together = Sort { conditions, living: false };
        let wanted: Vec<Domains> =
            pod.affinity.iter().map(|t| Domains::with(cycle, &t.key, &cycle.snapshot.tally(&together))).collect();
        let is_first = fits_itself && wanted.iter().all(|d| !d.has.contains(&true));
        let apart = |term: &crate::pod::Term| {
            let sort = Sort { conditions: vec![Condition::of_term(term, around)], living: false };
            Domains::with(cycle, &term.key, &cycle.snapshot.tally(&sort))
        };
        let unwanted = pod.anti_affinity.iter().map(apart).collect();
        Some(Company { wanted, is_first, unwanted, closed })
    }

    fn is_wanted(&self, slot: Slot) -> bool {
        // A node without the label is nobody's company, not even of the first.
        self.wanted.iter().all(|d| d.topology.domain(slot).is_some_and(|domain| self.is_first || d.has[domain]))
    }
}

impl Filter for Company {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        if !self.is_wanted(slot) {
            return Some(Refusal::unresolvable(NOT_TOGETHER));
        }
        if self.unwanted.iter().any(|d| d.has(slot)) {
            return Some(Refusal::resolvable(NOT_APART));
        }
        self.closed.iter().any(|d| d.has(slot)).then(|| Refusal::resolvable(KEPT_AWAY))
    }
}

// === impl Domains ===

impl Domains {
    /// Those with anything counted in them.
    fn with(cycle: &Cycle<'_>, key: &str, counts: &[u32]) -> Domains {
        let topology = cycle.snapshot.topology(key);
        let has = topology.sums(counts).into_iter().map(|sum| sum > 0).collect();
        Domains { topology, has }
    }

    fn has(&self, slot: Slot) -> bool {
        self.topology.domain(slot).is_some_and(|domain| self.has[domain])
    }
}
