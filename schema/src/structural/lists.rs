//! Lists that are sets or maps: no element stands twice, and which old element a new one stands for.
//!
//! Upstream: apiserver/schema/listtype/validation.go, apiserver/pkg/cel/common/{equality,maplist}.go.

use std::collections::BTreeMap;

use api::{
    Value,
    field::{Errors, Path, go_json},
};

use super::{Additional, Node};
use crate::types::Listing;

/// The old elements of a list by the places of the new ones.
pub struct Correlated<'v>(Vec<Option<&'v Value>>);

impl<'v> Correlated<'v> {
    pub fn of(&self, i: usize) -> Option<&'v Value> {
        self.0.get(i).copied().flatten()
    }
}

/// Finds for each element of a list that is a map the old one with the same keys. Of other lists nobody knows.
pub fn correlate<'v>(node: &Node, items: &[Value], old: Option<&'v Value>) -> Correlated<'v> {
    let (Some(old), Some(Listing::Map)) = (old, node.listing) else { return Correlated(Vec::new()) };
    let mut by_keys: BTreeMap<String, &Value> = BTreeMap::new();
    for item in old.items() {
        if let Some(key) = correlating_key(node, item) {
            by_keys.entry(key).or_insert(item);
        }
    }
    let of = |item| correlating_key(node, item).and_then(|key| by_keys.get(&key).copied());
    Correlated(items.iter().map(of).collect())
}

/// By what elements are told; none where a key is missing, or is no scalar. Upstream: `CompositeKeyFor`.
fn correlating_key(node: &Node, item: &Value) -> Option<String> {
    if node.keys.is_empty() {
        return None;
    }
    let mut text = String::new();
    for key in &node.keys {
        match item.get(key)? {
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
            Value::Float(f) => text += &format!("\0f{f}"),
            scalar => {
                text.push('\0');
                text += &go_json(scalar);
            }
        }
    }
    Some(text)
}

/// Whether two values are the same, elements of maps wherever they stand. A member that no schema tells of has no old
/// value, so that what has one is never the same. Upstream: `CachedDeepEqual`.
pub fn is_same(node: &Node, new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Array(_), Value::Array(_)) => {
            let (items, before) = (new.items(), old.items());
            if items.len() != before.len() {
                return false;
            }
            match (&node.items, node.listing) {
                (Some(of), Some(Listing::Map)) => {
                    let correlated = correlate(node, items, Some(old));
                    let mut places = items.iter().enumerate();
                    places.all(|(i, item)| correlated.of(i).is_some_and(|old| is_same(of, item, old)))
                }
                _ => new == old,
            }
        }
        (Value::Object(members), Value::Object(before)) => {
            members.len() == before.len()
                && members.iter().all(|(name, member)| match (before.get(name), node.member(name)) {
                    (Some(old), Some(of)) => is_same(of, member, old),
                    _ => false,
                })
        }
        _ => new == old,
    }
}

fn keys(node: &Node, item: &Value) -> Value {
    let mut found = Value::object();
    for key in &node.keys {
        if let Some(value) = item.get(key) {
            found.set(key, value.clone());
        }
    }
    found
}

/// What stands twice in an object's sets and maps. Upstream: `ValidateListSetsAndMaps`.
pub fn validate(node: &Node, object: &Value) -> Errors {
    let mut errors = Errors::new();
    members(node, object, &Path::root(), &mut errors);
    errors
}

fn members(node: &Node, object: &Value, at: &Path, errors: &mut Errors) {
    for (name, member) in object.members() {
        if let Some(of) = node.properties.get(name) {
            value(of, member, &child(at, name), errors);
        } else if let Additional::Schema(of) = &node.additional {
            value(of, member, &at.key(name), errors);
        }
    }
}

fn child(at: &Path, name: &str) -> Path {
    at.child(name)
}

fn value(node: &Node, value: &Value, at: &Path, errors: &mut Errors) {
    match value {
        Value::Array(_) => list(node, value.items(), at, errors),
        Value::Object(_) => members(node, value, at, errors),
        _ => {}
    }
}

fn list(node: &Node, items: &[Value], at: &Path, errors: &mut Errors) {
    match node.listing {
        Some(Listing::Set) => {
            for i in twice(items) {
                errors.duplicate(&at.index(i), items[i].clone());
            }
        }
        Some(Listing::Map) => map(node, items, at, errors),
        _ => {}
    }
    if let Some(of) = &node.items {
        items.iter().enumerate().for_each(|(i, item)| value(of, item, &at.index(i), errors));
    }
}

fn map(node: &Node, items: &[Value], at: &Path, errors: &mut Errors) {
    if let Some(i) = items.iter().position(|item| !item.is_null() && item.as_object().is_none()) {
        let text = "must be an object for an array of list-type map";
        return errors.invalid(&at.index(i), items[i].clone(), text);
    }
    let keys: Vec<Value> = items.iter().map(|item| keys(node, item)).collect();
    for i in twice(&keys) {
        errors.duplicate(&at.index(i), keys[i].clone());
    }
}

/// The places of values that stood once before: the second of them, whatever comes behind.
fn twice(items: &[Value]) -> Vec<usize> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let times = seen.entry(text_of(item)).or_default();
        *times += 1;
        if *times == 2 {
            found.push(i);
        }
    }
    found
}

/// Different for a number that is whole and one that is not.
fn text_of(item: &Value) -> String {
    match item {
        Value::Float(f) => format!("f{f}"),
        other => go_json(other),
    }
}
