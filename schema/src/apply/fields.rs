//! FieldsV1, a set as clients see it: `{"f:spec":{"f:replicas":{}}}`.
//!
//! Here it is a tree as any other part of an object. What most writes want to know of a stored set is whether it
//! touches a handful of changed paths; that is answered on the tree itself, without reading the set.
//! Upstream: structured-merge-diff/v6/fieldpath/serialize.go.

use api::{EcoString, Map, Value};

use super::{
    element::{BadElement, Element},
    set::{Node, Set},
};

/// Writes a set.
pub fn encode(set: &Set) -> Value {
    Value::from(level(set, false, &mut String::with_capacity(64)))
}

fn level(set: &Set, itself: bool, key: &mut String) -> Map {
    let mut map = Map::with_capacity(set.nodes().len() + usize::from(itself));
    if itself && !set.is_empty() {
        map.push_new(EcoString::inline("."), Value::object());
    }
    for node in set.nodes() {
        key.clear();
        node.element.write(key);
        let name = EcoString::from(key.as_str());
        map.push_new(name, Value::from(level(&node.below, node.member, key)));
    }
    map
}

/// Reads a set. Kinds of elements that nobody knows yet are left out.
pub fn decode(fields: &Value) -> Result<Set, BadElement> {
    Ok(read(fields)?.1)
}

/// Whether the path itself is in the set, and what is below it.
fn read(value: &Value) -> Result<(bool, Set), BadElement> {
    let members = match value {
        Value::Null => return Ok((true, Set::new())),
        Value::Object(members) => members,
        _ => return Err(BadElement("expected an object".into())),
    };
    let mut member = false;
    let mut nodes = Vec::with_capacity(members.len());
    for (key, below) in members.iter() {
        if key == "." {
            member = true;
            continue;
        }
        let Some(element) = Element::read(key)? else { continue };
        let (member, below) = read(below)?;
        nodes.push(Node { element, member, below });
    }
    let set = Set::of(nodes);
    Ok((member || set.is_empty(), set))
}

/// Whether any path of `set` is in the written set.
pub fn touches(fields: &Value, set: &Set) -> bool {
    fn any(fields: &Value, set: &Set, key: &mut String) -> bool {
        set.nodes().iter().any(|node| match child(fields, &node.element, key) {
            Some(below) => node.member && is_member(below) || any(below, &node.below, key),
            None => false,
        })
    }
    !set.is_empty() && any(fields, set, &mut String::with_capacity(64))
}

/// Whether all paths of `set` are in the written set.
pub fn covers(fields: &Value, set: &Set) -> bool {
    fn all(fields: &Value, set: &Set, key: &mut String) -> bool {
        set.nodes().iter().all(|node| match child(fields, &node.element, key) {
            Some(below) => (!node.member || is_member(below)) && all(below, &node.below, key),
            None => false,
        })
    }
    all(fields, set, &mut String::with_capacity(64))
}

fn child<'a>(fields: &'a Value, element: &Element, key: &mut String) -> Option<&'a Value> {
    key.clear();
    element.write(key);
    fields.get(key)
}

fn is_member(below: &Value) -> bool {
    below.is_empty() || below.get(".").is_some()
}
