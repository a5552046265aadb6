//! An object's members in order, with a hash index once there are many.
//!
//! Kubernetes' objects are small structs (a scan beats hashing) with now and then a map of thousands of keys, where a
//! scan would let one request cost seconds.

use std::{collections::HashMap, fmt};

use ecow::EcoString;

use super::Value;

/// From this many members on, look-ups go through an index.
const INDEX_LEN_MIN: usize = 32;

/// Members in order; no key stands twice.
#[derive(Clone, Default)]
pub struct Map {
    entries: Vec<(EcoString, Value)>,
    // Boxed because most maps have none: a word in each object instead of six.
    #[allow(clippy::box_collection)]
    index: Option<Box<HashMap<EcoString, u32>>>,
}

impl Map {
    pub fn new() -> Map {
        Map::default()
    }

    pub fn with_capacity(len: usize) -> Map {
        Map { entries: Vec::with_capacity(len), index: None }
    }

    /// A map of the user's keys that is there and has none: to Go it is not nil. A struct without members is another thing.
    pub fn keyless() -> Map {
        // An index over nothing is what tells it: it costs others no room, and goes on being right when keys come.
        Map { entries: Vec::new(), index: Some(Box::default()) }
    }

    pub fn is_keyless(&self) -> bool {
        self.entries.is_empty() && self.index.is_some()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).map(|i| &self.entries[i].1)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.position(key).map(|i| &mut self.entries[i].1)
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// The value of `key`, made null at the end when it is missing.
    pub fn entry(&mut self, key: &str) -> &mut Value {
        let i = self.position(key).unwrap_or_else(|| self.push(key.into(), Value::Null));
        &mut self.entries[i].1
    }

    /// Sets `key`, keeping its place when it has one; returns what was there.
    pub fn insert(&mut self, key: impl Into<EcoString>, value: impl Into<Value>) -> Option<Value> {
        let key = key.into();
        match self.position(&key) {
            Some(i) => Some(std::mem::replace(&mut self.entries[i].1, value.into())),
            None => {
                self.push(key, value.into());
                None
            }
        }
    }

    /// Takes `key` out; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let i = self.position(key)?;
        self.index = None;
        let (_, value) = self.entries.remove(i);
        self.reindex();
        Some(value)
    }

    /// Keeps the members for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.index = None;
        self.entries.retain_mut(|(k, v)| keep(k, v));
        self.reindex();
    }

    /// Orders the members by key, as Go writes its maps.
    pub fn sort(&mut self) {
        if self.entries.is_sorted_by(|a, b| a.0 <= b.0) {
            return;
        }
        self.index = None;
        self.entries.sort_by(|a, b| a.0.cmp(&b.0));
        self.reindex();
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> + ExactSizeIterator {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        self.entries.iter_mut().map(|(k, v)| (k.as_str(), v))
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &EcoString> {
        self.entries.iter().map(|(k, _)| k)
    }

    /// Appends without looking whether the key is there: for decoders that have looked.
    pub fn push_new(&mut self, key: EcoString, value: Value) {
        self.push(key, value);
    }

    /// The member at a place in the order.
    pub fn nth(&self, place: usize) -> Option<(&EcoString, &Value)> {
        self.entries.get(place).map(|(key, value)| (key, value))
    }

    /// The key that comes last in the order.
    pub fn last_key(&self) -> Option<&EcoString> {
        self.entries.last().map(|(key, _)| key)
    }

    /// The place of a key in the order.
    pub fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).map(|i| *i as usize),
            None => self.entries.iter().position(|(k, _)| is_same_name(k, key)),
        }
    }

    fn push(&mut self, key: EcoString, value: Value) -> usize {
        let i = self.entries.len();
        if let Some(index) = &mut self.index {
            index.insert(key.clone(), i as u32);
        }
        self.entries.push((key, value));
        if self.index.is_none() {
            self.reindex();
        }
        i
    }

    fn reindex(&mut self) {
        if self.entries.len() < INDEX_LEN_MIN {
            self.index = None;
        } else if self.index.is_none() {
            let index = self.entries.iter().enumerate().map(|(i, (k, _))| (k.clone(), i as u32)).collect();
            self.index = Some(Box::new(index));
        }
    }
}

/// Whether two names are the same. Those of a struct's members mostly differ in length or in their first byte, which is told
/// without calling anybody.
#[inline]
pub fn is_same_name(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.as_bytes().first() == b.as_bytes().first() && a == b
}

/// Objects are equal when their members are, in whatever order.
impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        self.len() == other.len() && self.iter().all(|(k, v)| other.get(k) == Some(v))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<EcoString>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Map {
        let mut map = Map::new();
        for (k, v) in members {
            map.insert(k, v);
        }
        map
    }
}

impl IntoIterator for Map {
    type Item = (EcoString, Value);
    type IntoIter = std::vec::IntoIter<(EcoString, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
