//! How many pods of a sort are on each node, kept while pods come and go.
//!
//! Spreading and affinity ask such questions for every pod. Upstream counts all pods of all nodes anew each time; here a
//! question that was asked once stays answered, and a pod that comes or goes changes the answers that are about it.

use std::{collections::HashMap, sync::Arc};

use api::{EcoString, selector::Selector};

use crate::{
    Around, Pod,
    pod::Term,
    snapshot::{Nodes, Slot},
};

/// So many answers are kept; the one that was not asked for the longest goes first.
const KEPT_MAX: usize = 512;

/// A question: which pods are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    /// All of them have to hold.
    pub conditions: Vec<Condition>,
    /// Pods that are going away do not count.
    pub living: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Ordered; none stands for all.
    pub namespaces: Option<Vec<EcoString>>,
    pub selector: Selector,
}

/// Answers to questions, by slot.
#[derive(Debug, Default)]
pub struct Tallies {
    answers: HashMap<Sort, Answer>,
    asked: u64,
}

#[derive(Debug)]
struct Answer {
    counts: Arc<Vec<u32>>,
    asked: u64,
}

/// What a carried term is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Nothing of that sort in its domain: required anti-affinity.
    Apart,
    /// Required affinity, which draws others in a little.
    Together,
    /// Preferred affinity (positive) and anti-affinity (negative).
    Rather(i64),
}

/// The terms that pods on nodes carry, each distinct one once, and how many pods on each node carry it.
#[derive(Debug, Default)]
pub struct Carried {
    terms: HashMap<(Wish, Term), Carriers>,
}

#[derive(Clone, Debug, Default)]
pub struct Carriers {
    pub counts: Vec<u32>,
    total: usize,
}

// === impl Sort ===

impl Sort {
    pub fn means(&self, pod: &Pod) -> bool {
        !(self.living && pod.is_terminating) && self.conditions.iter().all(|c| c.means(pod))
    }
}

impl Condition {
    /// What a term of a pod means, its namespaces looked up by their labels.
    /// Upstream: `mergeAffinityTermNamespacesIfNotEmpty`.
    pub fn of_term(term: &Term, around: &Around) -> Condition {
        let namespaces = (!term.namespace_selector.is_everything()).then(|| {
            let mut all = term.namespaces.clone();
            if !term.namespace_selector.is_nothing() {
                all.extend(around.namespaces_with(&term.namespace_selector));
            }
            all.sort_unstable();
            all.dedup();
            all
        });
        Condition { namespaces, selector: term.selector.clone() }
    }

    pub fn means(&self, pod: &Pod) -> bool {
        let here = self.namespaces.as_ref().is_none_or(|all| all.binary_search(&pod.key.namespace).is_ok());
        here && self.selector.matches(pod.labels())
    }
}

// === impl Tallies ===

impl Tallies {
    /// How many pods of that sort each slot has.
    pub fn ask(&mut self, sort: &Sort, nodes: &Nodes) -> Arc<Vec<u32>> {
        self.asked += 1;
        let asked = self.asked;
        if let Some(answer) = self.answers.get_mut(sort) {
            answer.asked = asked;
            return answer.counts.clone();
        }
        if self.answers.len() >= KEPT_MAX {
            let oldest = self.answers.iter().min_by_key(|(_, answer)| answer.asked).map(|(sort, _)| sort.clone());
            oldest.map(|sort| self.answers.remove(&sort));
        }
        let count = |slot: &crate::Node| slot.pods.iter().filter(|pod| sort.means(pod)).count();
        let counts = Arc::new(nodes.iter().map(|node| u32::try_from(count(node)).unwrap_or(u32::MAX)).collect());
        self.answers.insert(sort.clone(), Answer { counts: Arc::clone(&counts), asked });
        counts
    }

    /// A pod came to a slot (`by` is 1) or left it (-1).
    pub fn change(&mut self, pod: &Pod, slot: Slot, by: i32) {
        #[expect(clippy::iter_over_hash_type, reason = "each answer is changed for itself")]
        for (sort, answer) in &mut self.answers {
            if sort.means(pod) {
                let counts = Arc::make_mut(&mut answer.counts);
                grow(counts, slot);
                counts[slot as usize] = counts[slot as usize].saturating_add_signed(by);
            }
        }
    }
}

// === impl Carried ===

impl Carried {
    pub fn change(&mut self, pod: &Pod, slot: Slot, by: i32) {
        for (wish, term) in wishes(pod) {
            let key = (wish, term.clone());
            let carriers = self.terms.entry(key.clone()).or_default();
            grow(&mut carriers.counts, slot);
            carriers.counts[slot as usize] = carriers.counts[slot as usize].saturating_add_signed(by);
            carriers.total = carriers.total.saturating_add_signed(by as isize);
            if carriers.total == 0 {
                self.terms.remove(&key);
            }
        }
    }

    /// All distinct terms with those who carry them. Sums are made of them, so that their order does not matter.
    pub fn iter(&self) -> impl Iterator<Item = (Wish, &Term, &Carriers)> {
        self.terms.iter().map(|((wish, term), carriers)| (*wish, term, carriers))
    }
}

fn wishes(pod: &Pod) -> impl Iterator<Item = (Wish, &Term)> {
    let apart = pod.anti_affinity.iter().map(|term| (Wish::Apart, term));
    let together = pod.affinity.iter().map(|term| (Wish::Together, term));
    let rather = pod.preferred.iter().map(|(weight, term)| (Wish::Rather(*weight), term));
    let rather_not = pod.preferred_anti.iter().map(|(weight, term)| (Wish::Rather(-weight), term));
    apart.chain(together).chain(rather).chain(rather_not)
}

fn grow(counts: &mut Vec<u32>, slot: Slot) {
    if counts.len() <= slot as usize {
        counts.resize(slot as usize + 1, 0);
    }
}
