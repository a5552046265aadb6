//! What all custom resources do alike: rows without names, one for each scope and set of subresources.
//!
//! Upstream: pkg/registry/customresource/{strategy,status_strategy}.go.

use std::collections::BTreeSet;

use api::{Value, field::quote, names};

use crate::{
    checks,
    row::{Context, Generation, Row, Rules, ScaleSelector, StatusRules, Subresource, Version},
};

/// A version of a custom resource: its schema is its definition's.
pub const VERSION: Version = Version::stable("", "");

/// The row of a scope and subresources.
pub fn row(namespaced: bool, status: bool, scale: bool) -> &'static Row {
    &ROWS[usize::from(namespaced) | usize::from(status) << 1 | usize::from(scale) << 2]
}

static ROWS: [Row; 8] = [
    of(false, false, &[]),
    of(true, false, &[]),
    of(false, true, &[STATUS]),
    of(true, true, &[STATUS]),
    of(false, false, &[SCALE]),
    of(true, false, &[SCALE]),
    of(false, true, &[STATUS, SCALE]),
    of(true, true, &[STATUS, SCALE]),
];

const fn of(namespaced: bool, status: bool, subresources: &'static [Subresource]) -> Row {
    Row {
        namespaced,
        subresources,
        reset: if status { &["status"] } else { &[] },
        generation: Generation::Rule(generation),
        unconditional_update: false,
        rules: Rules { warn, ..Rules::NONE },
        ..Row::NAMESPACED
    }
}

const STATUS: Subresource =
    Subresource::Status(StatusRules { prepare: only_status, reset: &["metadata", "spec"], ..StatusRules::STATUS });

/// Its paths are the definition's.
const SCALE: Subresource = Subresource::Scale { replicas: &[], observed: &[], selector: ScaleSelector::Map(&[]) };

/// It counts changes of everything but the metadata.
fn generation(new: &mut Value, old: Option<&Value>) {
    let Some(old) = old else { return new.set_path(&["metadata", "generation"], 1) };
    let covers =
        |a: &Value, b: &Value| a.members().all(|(name, member)| name == "metadata" || checks::same(member, b.at(name)));
    if !covers(new, old) || !covers(old, new) {
        let generation = api::meta::of(old).generation() + 1;
        new.set_path(&["metadata", "generation"], generation);
    }
}

/// Through `status` all else stays as it was, but for who owns what.
fn only_status(new: &mut Value, old: &Value, _context: &Context<'_>) {
    const MANAGED: [&str; 2] = ["metadata", "managedFields"];
    let (status, managed) = (new.remove("status"), new.remove_path(&MANAGED));
    let version = new.at_path(&["metadata", "resourceVersion"]).clone();
    *new = old.clone();
    new.remove("status");
    new.remove_path(&MANAGED);
    if let Some(managed) = managed {
        new.set_path(&MANAGED, managed);
    }
    if !version.is_null() {
        new.set_path(&["metadata", "resourceVersion"], version);
    }
    if let Some(status) = status {
        new.set("status", status);
    }
}

/// Upstream: `generateWarningsFromObj`: finalizers that are new.
fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let of = |object: &Value| api::meta::of(object).finalizers().map(str::to_owned).collect::<BTreeSet<_>>();
    let known = old.map(of).unwrap_or_default();
    of(new).difference(&known).flat_map(|name| finalizer(name)).collect()
}

/// Upstream: `validateKubeFinalizerName`.
fn finalizer(name: &str) -> Vec<String> {
    const STANDARD: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];
    let said = |what: &str| format!("metadata.finalizers: {}: {what}", quote(name));
    let mut warnings: Vec<String> = names::qualified_name(name).iter().map(|what| said(what)).collect();
    if !name.contains('/') && !STANDARD.contains(&name) {
        let with_path = if name.contains('.') { " including a path (/)" } else { "" };
        warnings.push(said(&format!(
            "prefer a domain-qualified finalizer name{with_path} to avoid accidental conflicts with other finalizer writers"
        )));
    }
    warnings
}
