//! What `nft -j list table` says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Error;
use crate::{names, ruleset::Ruleset};

/// A table as the kernel has it, as far as it matters whether it is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many rules each chain has.
    pub chains: BTreeMap<String, usize>,
    /// Keys and verdicts.
    pub sets: BTreeMap<String, BTreeMap<String, String>>,
    /// Who is with an endpoint, and for how many seconds more.
    pub affinity: BTreeMap<String, Vec<(String, u64)>>,
}

// === impl Found ===

impl Found {
    pub fn read(text: &str) -> Result<Found, Error> {
        let unread =
            |why: String| Error::Refused { program: "nft".into(), text: format!("its JSON says nothing: {why}") };
        let document: Value = serde_json::from_str(text).map_err(|e| unread(e.to_string()))?;
        let listed = document["nftables"].as_array().ok_or_else(|| unread("no list".into()))?;
        let mut found = Found::default();
        for object in listed {
            found.add(object);
        }
        Ok(found)
    }

    fn add(&mut self, object: &Value) {
        let name = |object: &Value| object["name"].as_str().unwrap_or_default().to_string();
        if let Some(chain) = object.get("chain") {
            self.chains.entry(name(chain)).or_default();
        } else if let Some(rule) = object.get("rule") {
            *self.chains.entry(rule["chain"].as_str().unwrap_or_default().into()).or_default() += 1;
        } else if let Some(set) = object.get("set").or_else(|| object.get("map")) {
            let elements = set["elem"].as_array().map_or(&[][..], Vec::as_slice);
            if names::is_affinity(&name(set)) {
                self.affinity.insert(name(set), elements.iter().filter_map(client).collect());
            } else {
                self.sets.insert(name(set), elements.iter().map(element).collect());
            }
        }
    }

    /// Whether this is what was put there; `stale` chains may be there still.
    pub fn is(&self, ruleset: &Ruleset, stale: &BTreeSet<String>) -> bool {
        let wanted = ruleset.chains.iter().map(|(name, chain)| (name, chain.rules.len()));
        let chains: BTreeMap<&String, usize> =
            self.chains.iter().filter(|(name, _)| !stale.contains(*name)).map(|(name, rules)| (name, *rules)).collect();
        let same = |(name, set): (&String, &crate::ruleset::Set)| {
            if names::is_affinity(name) {
                return self.affinity.contains_key(name);
            }
            let Some(found) = self.sets.get(name) else { return false };
            let wanted = set.elements.iter().map(|(key, element)| (key, &element.verdict));
            wanted.eq(found)
        };
        wanted.eq(chains)
            && ruleset.sets.len() == self.sets.len() + self.affinity.len()
            && ruleset.sets.iter().all(same)
    }

    /// Commands that put clients back to the endpoints they are with, where those still exist.
    pub fn keep_affinity(&self, ruleset: &Ruleset) -> String {
        let table = ruleset.table();
        let mut text = String::new();
        for (name, _) in ruleset.affinity_sets() {
            let clients = self.affinity.get(name).into_iter().flatten().filter(|(_, seconds)| *seconds > 0);
            let clients: Vec<String> = clients.map(|(ip, seconds)| format!("{ip} expires {seconds}s")).collect();
            for batch in clients.chunks(500) {
                text.push_str(&format!("add element {table} {name} {{ {} }}\n", batch.join(", ")));
            }
        }
        text
    }
}

/// An element of a set, or a pair of a map.
fn element(element: &Value) -> (String, String) {
    match element.as_array().map(Vec::as_slice) {
        Some([key, value]) => (key_text(key), verdict(value)),
        _ => (key_text(element), String::new()),
    }
}

/// `10.96.0.1 . tcp . 80`, `10.0.0.0/8`.
fn key_text(key: &Value) -> String {
    if let Some(inner) = key.get("elem") {
        return key_text(&inner["val"]);
    }
    if let Some(parts) = key["concat"].as_array() {
        return parts.iter().map(key_text).collect::<Vec<_>>().join(" . ");
    }
    if let Some(prefix) = key.get("prefix") {
        return format!("{}/{}", key_text(&prefix["addr"]), prefix["len"]);
    }
    key.as_str().map_or_else(|| key.to_string(), String::from)
}

fn verdict(value: &Value) -> String {
    let Some((word, rest)) = value.as_object().and_then(|object| object.iter().next()) else { return String::new() };
    match rest["target"].as_str() {
        Some(target) => format!("{word} {target}"),
        None => word.clone(),
    }
}

fn client(element: &Value) -> Option<(String, u64)> {
    let inner = element.get("elem")?;
    Some((key_text(&inner["val"]), inner["expires"].as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ruleset::{Element, Set},
        snapshot::Family,
    };

    const TEXT: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "ip", "name": "kube-proxy"}},
        {"map": {"name": "m", "elem": [[{"elem": {"val": {"concat": ["10.96.0.1", "tcp", 80]}, "comment": "foo"}},
            {"goto": {"target": "c"}}], [{"concat": ["10.96.0.1", "tcp", 81]}, {"drop": null}]]}},
        {"set": {"name": "affinity-x", "elem": [{"elem": {"val": "10.0.0.1", "timeout": 30, "expires": 27}}]}},
        {"set": {"name": "s", "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}]}},
        {"chain": {"name": "c"}}, {"rule": {"chain": "c", "expr": []}}, {"chain": {"name": "old"}}]}"#;

    #[test]
    fn a_table_is_compared_with_what_was_put_there() {
        let found = Found::read(TEXT).expect("it can be read");
        let mut ruleset = Ruleset::new(Family::V4);
        for (name, is_map) in [("m", true), ("affinity-x", false), ("s", false)] {
            ruleset.sets.insert(name.into(), Set { is_map, ..Set::default() });
        }
        ruleset.element("m", "10.96.0.1 . tcp . 80".into(), Element::verdict("goto c").commented("foo"));
        ruleset.element("m", "10.96.0.1 . tcp . 81".into(), Element::verdict("drop"));
        ruleset.element("s", "10.0.0.0/8".into(), Element::default());
        ruleset.rule("c", "drop");
        let stale = BTreeSet::from(["old".to_string()]);
        assert!(found.is(&ruleset, &stale));
        assert!(!found.is(&ruleset, &BTreeSet::new()), "a chain that nobody put there");
        assert_eq!(found.keep_affinity(&ruleset), "add element ip kube-proxy affinity-x { 10.0.0.1 expires 27s }\n");
        ruleset.rule("c", "drop");
        assert!(!found.is(&ruleset, &stale), "a rule is missing");
    }
}
