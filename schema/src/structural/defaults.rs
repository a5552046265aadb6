//! Whether the defaults that a schema declares are values of the schema.
//!
//! Upstream: apiserver/schema/defaulting/validation.go ValidateDefaults.

use api::{
    Value,
    field::{Errors, Path},
};

use super::{
    Node, embedded,
    fit::{self, Malformed, ReadMeta},
    validate,
};

/// How defaults are judged.
pub struct Rules<'a> {
    pub reader: &'a dyn ReadMeta,
    /// The rule for embedded metadata.
    pub metadata: &'a dyn Fn(&Value, &Path) -> Errors,
    /// Defaults may hold nothing that would be taken out.
    pub pruned: bool,
    /// What the schema's expressions say of a default that is right otherwise. True: it is of an object with metadata.
    pub expressions: &'a dyn Fn(&Node, bool, &Value, &Path) -> Errors,
}

/// What is wrong with the defaults of a schema that stands at `at`.
pub fn validate(node: &Node, at: &Path, rules: &Rules<'_>) -> Errors {
    let mut errors = Errors::new();
    walk(node, at, rules, Within::Root, &mut errors);
    errors
}

/// Where in an object a schema stands.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    Root,
    Object,
    Metadata,
}

fn walk(node: &Node, at: &Path, rules: &Rules<'_>, within: Within, errors: &mut Errors) {
    let within = if node.embedded { Within::Root } else { within };
    if let Some(default) = &node.default {
        errors.extend(one(node, default, &at.child("default"), rules, within));
    }
    let below = if within == Within::Root { Within::Object } else { within };
    if let Some(items) = &node.items {
        walk(items, &at.child("items"), rules, below, errors);
    }
    for (name, of) in &node.properties {
        let is_meta = node.embedded && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        let below = if is_meta { Within::Metadata } else { below };
        walk(of, &at.child("properties").key(name), rules, below, errors);
    }
}

fn one(node: &Node, default: &Value, at: &Path, rules: &Rules<'_>, within: Within) -> Errors {
    let mut errors = Errors::new();
    let mut found = Errors::new();
    if within != Within::Metadata {
        let mut fitted = default.clone();
        if rules.pruned {
            fit::prune(&mut fitted, node);
            if fitted != *default {
                errors.invalid(at, default.clone(), "must not have unknown fields");
            }
        }
        found = match fit::coerce(&mut fitted, node, Malformed::Refused, rules.reader, at) {
            Some(refused) => refused,
            None => embedded::validate_at(node, default, at, rules.metadata),
        };
    }
    if found.is_empty() {
        found = validate::validate(node, default, None, Some(at.as_str()));
    }
    if found.is_empty() {
        found = (rules.expressions)(node, within == Within::Root, default, at);
    }
    errors.extend(found);
    errors
}
