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
}

/// What is wrong with the defaults of a schema that stands at `at`.
pub fn validate(node: &Node, at: &Path, rules: &Rules<'_>) -> Errors {
    let mut errors = Errors::new();
    walk(node, at, rules, false, &mut errors);
    errors
}

fn walk(node: &Node, at: &Path, rules: &Rules<'_>, in_metadata: bool, errors: &mut Errors) {
    let in_metadata = in_metadata && !node.embedded;
    if let Some(default) = &node.default {
        one(node, default, &at.child("default"), rules, in_metadata, errors);
    }
    if let Some(items) = &node.items {
        walk(items, &at.child("items"), rules, in_metadata, errors);
    }
    for (name, of) in &node.properties {
        let is_meta = node.embedded && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        walk(of, &at.child("properties").key(name), rules, in_metadata || is_meta, errors);
    }
}

fn one(node: &Node, default: &Value, at: &Path, rules: &Rules<'_>, in_metadata: bool, errors: &mut Errors) {
    if in_metadata {
        return errors.extend(validate::validate(node, default, None, Some(at.as_str())));
    }
    let mut fitted = default.clone();
    if rules.pruned {
        fit::prune(&mut fitted, node);
        if fitted != *default {
            errors.invalid(at, default.clone(), "must not have unknown fields");
        }
    }
    let found = match fit::coerce(&mut fitted, node, Malformed::Refused, rules.reader, at) {
        Some(refused) => refused,
        None => embedded::validate_at(node, default, at, rules.metadata),
    };
    match found.is_empty() {
        true => errors.extend(validate::validate(node, default, None, Some(at.as_str()))),
        false => errors.extend(found),
    }
}
