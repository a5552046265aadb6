//! A table as a value: chains with their rules, sets and maps with their elements; and the texts that make it so.
//!
//! Names are text as nft reads it. A ruleset is what ought to be; [`Ruleset::whole`] puts it in the place of whatever is
//! there, [`Ruleset::changes`] goes from one to the next. Both are one transaction: packets see the one or the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{names, snapshot::Family};

/// The table's name. Upstream's: whichever of the two proxies starts takes it over from the other.
pub const TABLE: &str = "kube-proxy";
/// More elements than this do not stand in one command.
const BATCH_LEN: usize = 500;

/// A whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    pub family: Family,
    pub chains: BTreeMap<String, Chain>,
    pub sets: BTreeMap<String, Set>,
}

/// Rules in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where the kernel enters it; empty for one that is jumped to.
    pub hook: &'static str,
    pub rules: Vec<String>,
}

/// A set, or a map to verdicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    pub is_map: bool,
    /// Its type and flags.
    pub spec: String,
    /// By key, as nft prints it. What packets put in by themselves is not here.
    pub elements: BTreeMap<String, Element>,
}

/// What stands at a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Empty in a set.
    pub verdict: String,
    pub comment: String,
}

/// How to get from one table to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Empty when there is nothing to do.
    pub text: String,
    /// Chains that nothing leads to any more. They are empty now, and are deleted a second later: kernels before 6.2 hear
    /// late that an element which led to one is gone.
    pub stale: BTreeSet<String>,
}

// === impl Ruleset ===

impl Ruleset {
    pub fn new(family: Family) -> Ruleset {
        Ruleset { family, chains: BTreeMap::new(), sets: BTreeMap::new() }
    }

    /// The chain of that name; made when there is none.
    pub fn chain(&mut self, name: &str) -> &mut Chain {
        if !self.chains.contains_key(name) {
            self.chains.insert(name.into(), Chain::default());
        }
        self.chains.get_mut(name).expect("it was put there")
    }

    /// Adds a rule to a chain.
    pub fn rule(&mut self, chain: &str, rule: impl Into<String>) {
        self.chain(chain).rules.push(rule.into());
    }

    /// Puts an element into a set that is there.
    pub fn element(&mut self, set: &str, key: String, element: Element) {
        let set = self.sets.get_mut(set).expect("sets are declared before they are filled");
        set.elements.insert(key, element);
    }

    /// Takes whatever is there away and makes this. `kept` are commands that put back what packets had put in.
    pub fn whole(&self, kept: &str) -> String {
        let table = self.table();
        let mut text = format!(
            "add table {table}\ndelete table {table}\nadd table {table} {{ comment \"rules for kube-proxy\" ; }}\n"
        );
        self.declare(&mut text, self.sets.iter(), self.chains.iter());
        for (name, set) in &self.sets {
            add_elements(&mut text, &table, name, set.elements.iter());
        }
        text.push_str(kept);
        text
    }

    /// From `old` to this; nothing when only [`Ruleset::whole`] can do it: a set that packets fill is made another way.
    pub fn changes(&self, old: &Ruleset) -> Option<Changes> {
        let respecified = |(name, set): (&String, &Set)| {
            old.sets.get(name).is_some_and(|known| (known.is_map, &known.spec) != (set.is_map, &set.spec))
        };
        let rehooked = |(name, chain): (&String, &Chain)| old.chains.get(name).is_some_and(|c| c.hook != chain.hook);
        if self.sets.iter().any(respecified) || self.chains.iter().any(rehooked) {
            return None;
        }
        let table = self.table();
        let mut text = String::new();
        let sets = self.sets.iter().filter(|(name, _)| !old.sets.contains_key(*name));
        let chains = self.chains.iter().filter(|(name, chain)| old.chains.get(*name) != Some(*chain));
        for (name, _) in chains.clone().filter(|(name, _)| old.chains.contains_key(*name)) {
            let _ = writeln!(text, "flush chain {table} {name}");
        }
        self.declare(&mut text, sets, chains);
        for (name, set) in &self.sets {
            let none = BTreeMap::new();
            let known = old.sets.get(name).map_or(&none, |set| &set.elements);
            let gone = known.iter().filter(|(key, element)| set.elements.get(*key) != Some(*element));
            delete_elements(&mut text, &table, name, gone.map(|(key, _)| key));
            let new = set.elements.iter().filter(|(key, element)| known.get(*key) != Some(*element));
            add_elements(&mut text, &table, name, new);
        }
        let stale: BTreeSet<String> =
            old.chains.keys().filter(|name| !self.chains.contains_key(*name)).cloned().collect();
        for name in &stale {
            let _ = writeln!(text, "flush chain {table} {name}");
        }
        for (name, set) in old.sets.iter().filter(|(name, _)| !self.sets.contains_key(*name)) {
            let _ = writeln!(text, "delete {} {table} {name}", set.word());
        }
        Some(Changes { text, stale })
    }

    /// Deletes chains that have been stale for a while.
    pub fn delete_chains<'a>(&self, stale: impl Iterator<Item = &'a String>) -> String {
        let table = self.table();
        stale.fold(String::new(), |mut text, name| {
            let _ = writeln!(text, "delete chain {table} {name}");
            text
        })
    }

    /// Sets that packets fill.
    pub fn affinity_sets(&self) -> impl Iterator<Item = (&String, &Set)> {
        self.sets.iter().filter(|(name, _)| names::is_affinity(name))
    }

    pub fn table(&self) -> String {
        format!("{} {TABLE}", self.family.nft())
    }

    /// Sets, then chains, then the chains' rules: each may name what stands before it.
    fn declare<'a>(
        &self,
        text: &mut String,
        sets: impl Iterator<Item = (&'a String, &'a Set)>,
        chains: impl Iterator<Item = (&'a String, &'a Chain)> + Clone,
    ) {
        let table = self.table();
        for (name, set) in sets {
            let _ = writeln!(text, "add {} {table} {name} {{ {} }}", set.word(), set.spec);
        }
        for (name, chain) in chains.clone() {
            let hook = if chain.hook.is_empty() { String::new() } else { format!(" {{ {} }}", chain.hook) };
            let _ = writeln!(text, "add chain {table} {name}{hook}");
        }
        for (name, chain) in chains {
            for rule in &chain.rules {
                let _ = writeln!(text, "add rule {table} {name} {rule}");
            }
        }
    }
}

// === impl Set ===

impl Set {
    pub fn word(&self) -> &'static str {
        if self.is_map { "map" } else { "set" }
    }
}

// === impl Element ===

impl Element {
    pub fn verdict(verdict: impl Into<String>) -> Element {
        Element { verdict: verdict.into(), comment: String::new() }
    }

    pub fn commented(self, comment: &str) -> Element {
        Element { comment: names::comment(comment), ..self }
    }

    fn written(&self, key: &str) -> String {
        let mut text = key.to_string();
        if !self.comment.is_empty() {
            let _ = write!(text, " comment \"{}\"", self.comment);
        }
        if !self.verdict.is_empty() {
            let _ = write!(text, " : {}", self.verdict);
        }
        text
    }
}

fn add_elements<'a>(
    text: &mut String,
    table: &str,
    name: &str,
    elements: impl Iterator<Item = (&'a String, &'a Element)>,
) {
    let written: Vec<String> = elements.map(|(key, element)| element.written(key)).collect();
    for batch in written.chunks(BATCH_LEN) {
        let _ = writeln!(text, "add element {table} {name} {{ {} }}", batch.join(", "));
    }
}

fn delete_elements<'a>(text: &mut String, table: &str, name: &str, keys: impl Iterator<Item = &'a String>) {
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    for batch in keys.chunks(BATCH_LEN) {
        let _ = writeln!(text, "delete element {table} {name} {{ {} }}", batch.join(", "));
    }
}
