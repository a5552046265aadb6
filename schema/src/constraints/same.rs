//! Whether a value has changed: nothing, empty and zero are one where Go has no absence.
//!
//! Upstream: `equality.Semantic.DeepEqual`, and `==` on what Go can compare.

use std::collections::HashMap;

use api::{Value, field::go_json, quantity::Quantity};

use super::Matching;
use crate::types::{Schemas, Shape};

/// Equal as values of a shape; a pointer that is null differs from one to a zero.
pub fn same(a: &Value, b: &Value, shape: &Shape, pointer: bool, schemas: &Schemas) -> bool {
    if pointer && a.is_null() != b.is_null() {
        return false;
    }
    match shape {
        Shape::Struct(id) => {
            let fields = &schemas.get(*id).fields;
            fields.iter().all(|f| same(a.at(&f.name), b.at(&f.name), &f.shape, f.pointer, schemas))
        }
        Shape::List(item) => {
            let (a, b) = (a.items(), b.items());
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, item, false, schemas))
        }
        Shape::Map(item) => {
            let count = |v: &Value| v.members().count();
            count(a) == count(b) && a.members().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w, item, false, schemas)))
        }
        Shape::Quantity => a == b || Quantity::of(a) == Quantity::of(b),
        _ => a == b || (is_zero(a) && is_zero(b)),
    }
}

/// What Go has where nobody set anything.
pub fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) => true,
        Value::Float(f) => *f == 0.0,
        Value::Str(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Int(_) => false,
    }
}

/// Text that is the same for elements that stand for each other.
pub fn identity(element: &Value, matching: &Matching) -> String {
    match matching {
        Matching::Keys(keys) => keys.iter().map(|k| text_of(element.at(k))).collect::<Vec<_>>().join("\n"),
        _ => text_of(element),
    }
}

fn text_of(value: &Value) -> String {
    if is_zero(value) { String::new() } else { go_json(value) }
}

/// The first element of each identity: lists are as long as clients like, so nothing compares each with each.
pub fn by_identity<'v>(list: &'v [Value], matching: &Matching) -> HashMap<String, &'v Value> {
    let mut found = HashMap::new();
    if *matching != Matching::None {
        for element in list {
            found.entry(identity(element, matching)).or_insert(element);
        }
    }
    found
}
