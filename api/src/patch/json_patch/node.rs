//! A document that is unfolded where a patch touches it.

use std::collections::HashMap;

use ecow::EcoString;

use super::{bad_index, index, no_index, no_key};
use crate::{Map, Value, field};

/// A part of the document: as it came, or unfolded one level.
#[derive(Clone)]
pub(super) enum Node {
    Whole(Value),
    Object(Members),
    Array(Vec<Node>),
}

/// An object's members by key; the order in which they came is lost upstream, too.
#[derive(Clone, Default)]
pub(super) struct Members {
    by_key: HashMap<EcoString, Node>,
}

impl From<Value> for Node {
    fn from(value: Value) -> Node {
        Node::Whole(value)
    }
}

// === impl Node ===

impl Node {
    pub(super) fn null() -> Node {
        Node::Whole(Value::Null)
    }

    pub(super) fn is_container(&self) -> bool {
        !matches!(self, Node::Whole(v) if v.as_object().is_none() && v.as_array().is_none())
    }

    /// Unfolds an object or array; false for anything else.
    pub(super) fn unfold(&mut self) -> bool {
        let Node::Whole(value) = self else { return true };
        *self = match value.take() {
            Value::Object(map) => {
                let mut members = Members::default();
                map.into_iter().for_each(|(key, value)| members.set(key, Node::Whole(value)));
                Node::Object(members)
            }
            Value::Array(items) => Node::Array(items.into_iter().map(Node::Whole).collect()),
            other => {
                *value = other;
                return false;
            }
        };
        true
    }

    pub(super) fn fold(self) -> Value {
        match self {
            Node::Whole(value) => value,
            Node::Array(items) => items.into_iter().map(Node::fold).collect(),
            Node::Object(members) => {
                // What was unfolded has gone through a Go map.
                let mut members: Vec<_> = members.by_key.into_iter().collect();
                members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                let mut map = Map::with_capacity(members.len());
                members.into_iter().for_each(|(key, node)| map.push_new(key, node.fold()));
                Value::from(map)
            }
        }
    }

    /// The member or element; objects answer `None` for what they lack, arrays an error.
    pub(super) fn get(&mut self, key: &str) -> Result<Option<&mut Node>, String> {
        match self {
            Node::Object(members) => Ok(members.by_key.get_mut(key)),
            Node::Array(items) => {
                let asked = index(key)?;
                let i = place(asked, items.len()).filter(|i| *i < items.len()).ok_or_else(|| bad_index(asked))?;
                Ok(Some(&mut items[i]))
            }
            Node::Whole(_) => Ok(None),
        }
    }

    /// The member or element when there is one.
    pub(super) fn child(&mut self, key: &str) -> Option<&mut Node> {
        self.get(key).ok().flatten()
    }

    pub(super) fn add(&mut self, key: EcoString, node: Node) -> Result<(), String> {
        match self {
            Node::Array(items) if key == "-" => items.push(node),
            Node::Array(items) => {
                let asked = index(&key).map_err(|e| no_index(&key, &e))?;
                let len = items.len() + 1;
                let i = place(asked, len).filter(|i| *i < len).ok_or_else(|| bad_index(asked))?;
                items.insert(i, node);
            }
            _ => return self.set(key, node),
        }
        Ok(())
    }

    pub(super) fn set(&mut self, key: EcoString, node: Node) -> Result<(), String> {
        match self {
            Node::Object(members) => members.set(key, node),
            Node::Array(_) => {
                if let Some(old) = self.get(&key)? {
                    *old = node;
                }
            }
            Node::Whole(_) => {}
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &str) -> Result<Node, String> {
        match self {
            Node::Object(members) => members.by_key.remove(key).ok_or_else(|| no_key(key)),
            Node::Array(items) => {
                let asked = index(key)?;
                let i = place(asked, items.len()).filter(|i| *i < items.len()).ok_or_else(|| bad_index(asked))?;
                Ok(items.remove(i))
            }
            Node::Whole(_) => Err(no_key(key)),
        }
    }

    pub(super) fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Node::Whole(whole), _) => whole == value,
            (Node::Array(items), Value::Array(values)) => {
                items.len() == values.len() && items.iter().zip(values.iter()).all(|(i, v)| i.equals(v))
            }
            (Node::Object(members), Value::Object(values)) => {
                members.by_key.len() == values.len()
                    && members.by_key.iter().all(|(key, node)| values.get(key).is_some_and(|v| node.equals(v)))
            }
            _ => false,
        }
    }

    /// How many containers stand in one another.
    pub(super) fn depth(&self) -> usize {
        match self {
            Node::Whole(value) => depth(value),
            Node::Array(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Node::Object(members) => 1 + members.by_key.values().map(Node::depth).max().unwrap_or(0),
        }
    }

    /// Its length as JSON.
    pub(super) fn json_len(&self) -> usize {
        match self {
            Node::Whole(value) => json_len(value),
            Node::Array(items) => 1 + items.len().max(1) + items.iter().map(Node::json_len).sum::<usize>(),
            Node::Object(members) => {
                let each = members.by_key.iter().map(|(key, node)| string_len(key) + 1 + node.json_len());
                1 + members.by_key.len().max(1) + each.sum::<usize>()
            }
        }
    }
}

// === impl Members ===

impl Members {
    fn set(&mut self, key: EcoString, node: Node) {
        self.by_key.insert(key, node);
    }
}

/// Negative indices count from the end.
fn place(i: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    usize::try_from(if i < 0 { i + len } else { i }).ok()
}

/// How many containers stand in one another.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.iter().map(|(_, v)| depth(v)).max().unwrap_or(0),
        _ => 0,
    }
}

fn json_len(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.len().max(1) + items.iter().map(json_len).sum::<usize>(),
        Value::Object(members) => {
            1 + members.len().max(1) + members.iter().map(|(k, v)| string_len(k) + 1 + json_len(v)).sum::<usize>()
        }
        Value::Str(s) => string_len(s),
        scalar => field::go_json(scalar).len(),
    }
}

fn string_len(text: &str) -> usize {
    let extra = |b: u8| match b {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        b'<' | b'>' | b'&' | 0..=31 => 5,
        _ => 0,
    };
    2 + text.len() + text.bytes().map(extra).sum::<usize>()
}
