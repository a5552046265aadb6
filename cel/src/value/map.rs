//! Maps: the language's own are ordered by key, so that whatever walks one does it in the same order each time.
//!
//! Numbers are the same key when they are the same number, whatever their type: `{1: 'a'}[1u]`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use ecow::EcoString;

use super::{EvalError, MapLike, Outcome, Value};

/// A map: the language's own, or a foreign one.
#[derive(Clone, Debug)]
pub enum Map {
    Own(Arc<BTreeMap<Key, (Value, Value)>>),
    Foreign(Arc<dyn MapLike>),
}

/// What entries of an own map are found by.
#[derive(Clone, Debug)]
pub enum Key {
    Bool(bool),
    /// Every int and uint, and doubles that are whole.
    Integer(i128),
    Double(f64),
    String(EcoString),
    /// Whatever else a literal may have as a key (null, bytes, times): by the text of it.
    Other(String),
}

// === impl Map ===

impl Map {
    pub(crate) fn from_entries(entries: Vec<(Value, Value)>) -> Map {
        Map::Own(Arc::new(entries.into_iter().map(|(key, value)| (Key::of(&key), (key, value))).collect()))
    }

    pub fn len(&self) -> usize {
        match self {
            Map::Own(entries) => entries.len(),
            Map::Foreign(map) => map.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, key: &Value) -> Result<Option<Value>, EvalError> {
        match self {
            Map::Own(entries) => Ok(entries.get(&Key::of(key)).map(|(_, value)| value.clone())),
            Map::Foreign(map) => map.get(key),
        }
    }

    pub fn keys(&self) -> Vec<Value> {
        match self {
            Map::Own(entries) => entries.values().map(|(key, _)| key.clone()).collect(),
            Map::Foreign(map) => map.keys(),
        }
    }

    /// With one more entry; an error when the key is there already. Reuses the storage when nobody else holds it.
    pub(crate) fn insert(self, key: Value, value: Value) -> Outcome {
        if self.get(&key)?.is_some() {
            let message = format!("insert failed: key {} already exists", super::show::plain(&key));
            return Err(EvalError::new(message));
        }
        let mut entries = match self {
            Map::Own(entries) => entries,
            Map::Foreign(map) => {
                let mut entries = BTreeMap::new();
                for key in map.keys() {
                    let value = map.get(&key)?.ok_or_else(|| EvalError::no_such_key(&key))?;
                    entries.insert(Key::of(&key), (key, value));
                }
                Arc::new(entries)
            }
        };
        Arc::make_mut(&mut entries).insert(Key::of(&key), (key, value));
        Ok(Value::Map(Map::Own(entries)))
    }
}

// === impl Key ===

impl Key {
    fn of(value: &Value) -> Key {
        match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(value) => Key::Integer(i128::from(*value)),
            Value::Uint(value) => Key::Integer(i128::from(*value)),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 1e30 => Key::Integer(*value as i128),
            Value::Double(value) => Key::Double(*value),
            Value::String(text) => Key::String(text.clone()),
            other => Key::Other(format!("{} {}", other.value_type(), super::show::plain(other))),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Bool(_) => 0,
            Key::Integer(_) => 1,
            Key::Double(_) => 2,
            Key::String(_) => 3,
            Key::Other(_) => 4,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            (Key::Integer(a), Key::Integer(b)) => a.cmp(b),
            (Key::Double(a), Key::Double(b)) => a.total_cmp(b),
            (Key::String(a), Key::String(b)) => a.cmp(b),
            (Key::Other(a), Key::Other(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}
