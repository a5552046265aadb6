//! The road knows no kind: no kind's name in `store`, `server`, `registry` outside `special/`, `auth/authorize` outside
//! `node`.
//!
//! Names come from `schema/facts/discovery.json`: kinds (`ConfigMap`) and resources (`configmaps`). A name counts when it
//! is a whole word of a string, a whole type name in code, or a whole part of a snake_case name (`pod` in `pod_spec`).
//! Comments and tests may speak of kinds: they explain and try the road by examples. Words that are also words of the
//! mechanism ([`MECHANISM`]) do not count, because a law that cries at `enum Event` is switched off by its readers;
//! of such kinds the compound names (`ServiceAccount`, `node_status`' row) are still caught by the rest.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::source::{Source, words};
use super::{Finding, Tree};

const FACTS: &str = "schema/facts/discovery.json";

/// Where the law holds, but for the places named after it.
const AREAS: &[(&str, &[&str])] = &[
    ("store/src/", &[]),
    ("server/src/", &[]),
    ("registry/src/", &["registry/src/special"]),
    ("auth/src/authorize", &["auth/src/authorize/node"]),
];

/// Words that the road itself needs, in lower case, singular or plural: what HTTP, storage, the API's grammar and
/// authorization are made of.
const MECHANISM: &[&str] = &[
    "binding",
    "bindings",
    "componentstatus",
    "endpoints",
    "event",
    "events",
    "eviction",
    "job",
    "jobs",
    "lease",
    "leases",
    "namespace",
    "namespaces",
    "node",
    "nodes",
    "resize",
    "role",
    "roles",
    "scale",
    "secret",
    "secrets",
    "service",
    "services",
    "status",
];

/// Kinds that an authorizer is made of or speaks to: the policy it reads with the subjects that policy names, and the
/// questions that its protocol and that of tokens ask.
const OWN: &[(&str, &[&str])] = &[
    (
        "auth/src/authorize/rbac",
        &[
            "clusterrole",
            "clusterroles",
            "rolebinding",
            "rolebindings",
            "clusterrolebinding",
            "clusterrolebindings",
            "serviceaccount",
        ],
    ),
    ("auth/src/authorize/webhook", &["subjectaccessreview", "subjectaccessreviews"]),
    ("server/src/outgoing/answer", &["subjectaccessreview", "tokenreview"]),
];

/// The names of `schema/facts/discovery.json`, kinds and resources, without subresources.
pub fn read(root: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(FACTS)).with_context(|| format!("cannot read {FACTS}"))?;
    let facts = serde_json::from_str(&text).with_context(|| format!("{FACTS} is no JSON"))?;
    let mut names = BTreeSet::new();
    collect(&facts, &mut names);
    anyhow::ensure!(names.len() > 100, "{FACTS} names {} kinds and resources only: its shape has changed", names.len());
    Ok(names.into_iter().collect())
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(members) => {
            if members.contains_key("kind") {
                let own = ["kind", "plural"].iter().filter_map(|key| members.get(*key)?.as_str());
                names.extend(own.filter(|name| name.chars().all(char::is_alphanumeric)).map(str::to_owned));
            }
            members.values().for_each(|member| collect(member, names));
        }
        _ => {}
    }
}

pub fn kinds(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources.iter().filter(|source| is_bound(&source.path)) {
        let names = bound_names(&tree.kinds, &source.path);
        let mut found: Vec<(usize, String)> = in_strings(source, &names).chain(in_code(source, &names)).collect();
        found.sort();
        found.dedup();
        findings.extend(found.into_iter().map(|(line, name)| {
            let message = format!("names the kind `{name}`: what tells kinds apart is a row");
            Finding::new("kind", &source.path, line, message).item(&name)
        }));
    }
    findings
}

fn is_bound(path: &str) -> bool {
    AREAS.iter().any(|(area, free)| path.starts_with(area) && !free.iter().any(|place| path.starts_with(place)))
}

fn bound_names(kinds: &[String], path: &str) -> BTreeSet<String> {
    let own = OWN.iter().filter(|(place, _)| path.starts_with(place)).flat_map(|(_, names)| *names);
    let free: BTreeSet<&str> = MECHANISM.iter().chain(own).copied().collect();
    kinds.iter().filter(|name| !free.contains(name.to_lowercase().as_str())).cloned().collect()
}

fn in_strings<'a>(source: &'a Source, names: &'a BTreeSet<String>) -> impl Iterator<Item = (usize, String)> + 'a {
    let outside_tests = source.strings.iter().filter(|(line, _)| !source.is_test(*line));
    outside_tests
        .flat_map(|(line, text)| words(text).filter(|word| names.contains(*word)).map(|word| (*line, word.to_owned())))
}

fn in_code<'a>(source: &'a Source, names: &'a BTreeSet<String>) -> impl Iterator<Item = (usize, String)> + 'a {
    let snake: BTreeSet<String> = names.iter().map(|name| snake_case(name)).collect();
    source.code_lines().filter(|(line, _)| !source.is_test(*line)).flat_map(move |(line, code)| {
        let found: Vec<_> =
            words(code).filter_map(|word| named(word, names, &snake)).map(|name| (line, name)).collect();
        found
    })
}

/// The kind that an identifier names, if it names one.
fn named(word: &str, names: &BTreeSet<String>, snake: &BTreeSet<String>) -> Option<String> {
    if names.contains(word) {
        return Some(word.to_owned());
    }
    let parts: Vec<&str> = word.split('_').collect();
    let lengths = 1..=parts.len().min(4);
    let runs = lengths.flat_map(|len| parts.windows(len).map(|run| run.join("_")).collect::<Vec<_>>());
    runs.map(|run| run.to_lowercase()).find(|run| snake.contains(run))
}

/// `ConfigMap` as `config_map`, `APIService` as `api_service`.
fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, c) in chars.iter().enumerate() {
        let after_lower = index > 0 && !chars[index - 1].is_uppercase();
        let before_lower = chars.get(index + 1).is_some_and(|next| next.is_lowercase());
        if index > 0 && c.is_uppercase() && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
