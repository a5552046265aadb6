//! Objects within objects: what embeds one has kind, apiVersion and metadata like any other.
//!
//! Upstream: apiserver/schema/objectmeta/validation.go.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{Additional, Node};

/// Judges the metadata of embedded objects; `metadata` is the rule for it.
pub fn validate(node: &Node, object: &Value, metadata: &dyn Fn(&Value, &Path) -> Errors) -> Errors {
    let mut errors = Errors::new();
    walk(node, object, &Path::root(), true, metadata, &mut errors);
    errors
}

/// The same of a value that is no object of its own: it may be an embedded one itself.
pub fn validate_at(node: &Node, value: &Value, at: &Path, metadata: &dyn Fn(&Value, &Path) -> Errors) -> Errors {
    let mut errors = Errors::new();
    walk(node, value, at, false, metadata, &mut errors);
    errors
}

fn walk(
    node: &Node,
    value: &Value,
    at: &Path,
    root: bool,
    metadata: &dyn Fn(&Value, &Path) -> Errors,
    errors: &mut Errors,
) {
    match value {
        Value::Object(_) => {
            if node.embedded && !root {
                one(value, at, metadata, errors);
            }
            for (name, member) in value.members() {
                if let Some(of) = node.properties.get(name) {
                    walk(of, member, &at.child(name), false, metadata, errors);
                } else if let Additional::Schema(of) = &node.additional {
                    walk(of, member, &at.key(name), false, metadata, errors);
                }
            }
        }
        Value::Array(_) => {
            let Some(of) = &node.items else { return };
            for (i, item) in value.items().iter().enumerate() {
                walk(of, item, &at.index(i), false, metadata, errors);
            }
        }
        _ => {}
    }
}

fn one(value: &Value, at: &Path, metadata: &dyn Fn(&Value, &Path) -> Errors, errors: &mut Errors) {
    for name in ["apiVersion", "kind"] {
        if value.get(name).is_none() {
            errors.required(&at.child(name), "");
        }
    }
    if let Some(said) = value.get("apiVersion") {
        api_version(said, &at.child("apiVersion"), errors);
    }
    if let Some(said) = value.get("kind") {
        kind(said, &at.child("kind"), errors);
    }
    if value.get("metadata").is_some() {
        errors.extend(metadata(value, &at.child("metadata")));
    }
}

fn api_version(said: &Value, at: &Path, errors: &mut Errors) {
    match said.as_str() {
        None => errors.invalid(at, said.clone(), "must be a string"),
        Some("") => errors.invalid(at, "", "must not be empty"),
        Some(text) if text.matches('/').count() > 1 => {
            errors.invalid(at, text, format!("unexpected GroupVersion string: {text}"));
        }
        Some(_) => {}
    }
}

fn kind(said: &Value, at: &Path, errors: &mut Errors) {
    match said.as_str() {
        None => errors.invalid(at, said.clone(), "must be a string"),
        Some("") => errors.invalid(at, "", "must not be empty"),
        Some(text) => {
            let problems = names::dns1035_label(&text.to_lowercase());
            if !problems.is_empty() {
                let why = problems.join(",");
                errors.invalid(at, text, format!("may have mixed case, but should otherwise match: {why}"));
            }
        }
    }
}
