//! Lists of what works, kept by tests; README.md is written from them.
//!
//! A list is text: `# ` and its title, then `STATE<tab>NAME[<tab>REASON]` a line. `cargo xtask fix` writes
//! those of this file (through `examples/lists.rs`), and the pages that are made of the kept figures; the test fails when they
//! are out of date.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use conformance::bench::record::{KEPT, Record};
use serde_json::Value;

/// A file, from the workspace's directory, and what it should say.
pub type List = (&'static str, String);

/// Every list, and what `make bench` writes of the figures that are kept.
fn lists() -> Result<Vec<List>> {
    let mut lists = vec![("conformance/lists/flags.tsv", flags()?), ("conformance/lists/resources.tsv", resources()?)];
    lists.extend(Record::read(&root().join(KEPT))?.files()?);
    Ok(lists)
}

const DISCOVERY: &str = include_str!("../../schema/facts/discovery.json");

/// What of upstream's flags is refused by name.
fn flags() -> Result<String> {
    let mut text = "# Flags of kube-apiserver that `skiff apiserver` does not take\n".to_owned();
    for flag in skiff::flags::upstreams::MISSING {
        writeln!(text, "refused\t--{flag}")?;
    }
    Ok(text)
}

/// Every resource and version that upstream can serve: `served` when there is a row for it with that version.
fn resources() -> Result<String> {
    let facts: Value = serde_json::from_str(DISCOVERY).context("schema/facts/discovery.json")?;
    let ours = served();
    let mut text = "# Resources, each with its versions\n".to_owned();
    for group in items(&facts["groups"]) {
        for version in items(&group["versions"]) {
            for resource in items(&version["resources"]) {
                let of = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
                let key = (of(group, "name"), of(version, "version"), of(resource, "plural"));
                let state = if ours.contains(&key) { "served" } else { "missing" };
                writeln!(text, "{state}\t{}", shown(&key))?;
            }
        }
    }
    Ok(text)
}

/// Group, version and plural of all rows.
fn served() -> BTreeSet<(String, String, String)> {
    let versions = resources::all().flat_map(|row| row.versions.iter().map(move |version| (row, version)));
    versions.map(|(row, version)| (row.group.to_owned(), version.name.to_owned(), row.plural.to_owned())).collect()
}

fn shown((group, version, plural): &(String, String, String)) -> String {
    if group.is_empty() { format!("{version} {plural}") } else { format!("{group}/{version} {plural}") }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Writes every list.
pub fn write() -> Result<()> {
    for (path, text) in lists()? {
        std::fs::write(root().join(path), text).context(path)?;
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_lists_are_up_to_date() {
    for (path, text) in lists().expect("they can be made") {
        let written = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(text == written, "`cargo xtask lists` writes {path}");
    }
}
