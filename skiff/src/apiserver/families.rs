//! The families of `/metrics` beside those of upstream's: the same type, stability and labels, and none forgotten.
//!
//! Upstream's are `schema/facts/metrics.json`. What is not counted here stands in `conformance/metrics.tsv` with the reason,
//! and a line that is no longer true fails as one that is missing does: the list gets shorter and no longer.

use std::collections::{BTreeMap, BTreeSet};

use api::Value;
use server::metrics::{Kind, Row, rows};

use super::{auditing, configured, egress, encryption, nodes, outgoing, ranges};

static FACTS: &str = include_str!("../../../schema/facts/metrics.json");
static MISSING: &str = include_str!("../../../conformance/metrics.tsv");

/// Families that are not upstream's own: Prometheus' client's of the process.
const OF_THE_PROCESS: &str = "process_";

/// Everything that this server counts.
fn ours() -> BTreeMap<&'static str, &'static Row> {
    let skiffs = [encryption::ROWS, auditing::ROWS, egress::ROWS, nodes::ROWS, outgoing::ROWS, ranges::ROWS]
        .into_iter()
        .flatten()
        .copied();
    let followed = [&configured::AUTHENTICATION, &configured::AUTHORIZATION].into_iter().flat_map(|rows| rows.all());
    rows::all().chain(skiffs).chain(followed).map(|row| (row.name, row)).collect()
}

fn facts() -> BTreeMap<String, Value> {
    let facts = codec::json::any(FACTS.as_bytes()).expect("facts are JSON").value;
    facts.list("metrics").iter().map(|fact| (fact.str("name").to_owned(), fact.clone())).collect()
}

/// Names with their reasons.
fn missing() -> BTreeMap<&'static str, &'static str> {
    MISSING.lines().skip(1).filter_map(|line| line.split_once('\t')).collect()
}

#[test]
fn families_are_declared_as_upstream_declares_them() {
    let facts = facts();
    let mut wrong = Vec::new();
    for (name, row) in ours() {
        let Some(fact) = facts.get(name) else {
            if !name.starts_with(OF_THE_PROCESS) {
                wrong.push(format!("{name} is no family of upstream's"));
            }
            continue;
        };
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram | Kind::Timing => "histogram",
        };
        let labels: Vec<&str> = fact.list("labels").iter().filter_map(Value::as_str).collect();
        let stability = if name.starts_with(OF_THE_PROCESS) { "" } else { fact.str("stability") };
        if (kind, row.stability, row.labels) != (fact.str("type"), stability, &*labels) {
            wrong.push(format!("{name}: {kind} {} {:?} is {fact:?}", row.stability, row.labels));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_counted_stands_in_the_list_with_its_reason() {
    let (ours, facts, missing) = (ours(), facts(), missing());
    let counted: BTreeSet<&str> = ours.keys().copied().collect();
    let owed: Vec<&str> = facts.keys().map(String::as_str).filter(|name| !counted.contains(name)).collect();
    let listed: Vec<&str> = missing.keys().copied().collect();
    assert_eq!(listed, owed, "conformance/metrics.tsv has other families than those that are missing");
    assert!(missing.values().all(|reason| reason.len() > 10), "each has its reason");
}
