//! What came of looking for a node, in upstream's words.
//!
//! Upstream: pkg/scheduler/framework/types.go FitError, Diagnosis.

use std::{borrow::Cow, collections::BTreeMap};

use crate::Slot;

/// Where the pod goes, or why nowhere.
#[derive(Debug)]
pub enum Verdict {
    Node { slot: Slot, evaluated: usize, feasible: usize },
    Nowhere(Box<Diagnosis>),
}

/// A node's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Cow<'static, str>,
    /// Most plugins have one reason: of thousands of nodes, none should need memory to say no.
    pub more: Vec<Cow<'static, str>>,
    /// Whether it could be otherwise with fewer pods on the node. Upstream: Unschedulable, and not
    /// UnschedulableAndUnresolvable.
    pub is_resolvable: bool,
}

/// Why no node would do.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// So many nodes there are.
    pub nodes: usize,
    /// What was said of each node that was looked at.
    pub refusals: Vec<(Slot, Refusal)>,
    /// What holds for all nodes that were not looked at.
    pub others: Option<Refusal>,
    /// What was said before any node was looked at.
    pub beforehand: Option<String>,
    /// What trying to make room came to, beginning with `preemption: `.
    pub preemption: String,
    /// Who refused: what would have to change.
    pub plugins: Vec<&'static str>,
}

// === impl Refusal ===

impl Refusal {
    /// Taking pods away might help.
    pub fn resolvable(reason: &'static str) -> Refusal {
        Refusal { is_resolvable: true, ..Refusal::unresolvable(reason) }
    }

    /// Taking pods away would not help.
    pub fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { reason: reason.into(), more: Vec::new(), is_resolvable: false }
    }

    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.reason).chain(&self.more).map(AsRef::as_ref)
    }
}

// === impl Diagnosis ===

impl Diagnosis {
    pub fn refused_by(&mut self, plugin: &'static str) {
        if !self.plugins.contains(&plugin) {
            self.plugins.push(plugin);
        }
    }

    /// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …`
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let mut text = format!("0/{} nodes are available:", self.nodes);
        match &self.beforehand {
            Some(beforehand) => text.push_str(&format!(" {beforehand}.")),
            None => {
                let reasons = self.reasons();
                if !reasons.is_empty() {
                    text.push_str(&format!(" {}.", reasons.join(", ")));
                }
            }
        }
        if !self.preemption.is_empty() {
            text.push_str(&format!(" {}", self.preemption));
        }
        text
    }

    /// `2 Insufficient cpu`: how many nodes gave each reason, ordered as text.
    fn reasons(&self) -> Vec<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in self.refusals.iter().flat_map(|(_, refusal)| refusal.reasons()) {
            *counts.entry(reason).or_default() += 1;
        }
        let unseen = self.nodes.saturating_sub(self.refusals.len());
        if let Some(others) = self.others.as_ref().filter(|_| unseen > 0) {
            for reason in others.reasons() {
                *counts.entry(reason).or_default() += unseen;
            }
        }
        let mut texts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        texts.sort_unstable();
        texts
    }
}
