//! Objects by key, owner and label.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use api::{EcoString, Value};

use super::{Change, Key};

/// A mirror's objects.
pub(super) struct Index {
    objects: BTreeMap<Key, Arc<Value>>,
    /// By the uid of an owner; those without a controller stand under "".
    owners: HashMap<EcoString, BTreeSet<Key>>,
    labels: Vec<EcoString>,
    /// By place in `labels` and value.
    labelled: HashMap<(usize, EcoString), BTreeSet<Key>>,
}

impl Index {
    pub fn new(labels: &[&str]) -> Index {
        Index {
            objects: BTreeMap::new(),
            owners: HashMap::new(),
            labels: labels.iter().map(|l| EcoString::from(*l)).collect(),
            labelled: HashMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).cloned()
    }

    pub fn all(&self) -> impl Iterator<Item = Arc<Value>> {
        self.objects.values().cloned()
    }

    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = Arc<Value>> {
        let from = Key::new(namespace, "");
        self.objects.range(from..).take_while(move |(key, _)| key.namespace == namespace).map(|(_, o)| o.clone())
    }

    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Value>> {
        self.owners.get(uid).into_iter().flatten().filter_map(|key| self.get(key)).collect()
    }

    pub fn uncontrolled(&self, namespace: &str) -> Vec<Arc<Value>> {
        let Some(keys) = self.owners.get("") else { return Vec::new() };
        let from = Key::new(namespace, "");
        let keys = keys.range(from..).take_while(|key| key.namespace == namespace);
        keys.filter_map(|key| self.get(key)).collect()
    }

    pub fn labelled(&self, namespace: &str, label: &str, value: &str) -> Vec<Arc<Value>> {
        let Some(place) = self.labels.iter().position(|l| l == label) else { return Vec::new() };
        let keys = self.labelled.get(&(place, value.into()));
        keys.into_iter().flatten().filter(|k| k.namespace == namespace).filter_map(|key| self.get(key)).collect()
    }

    pub fn put(&mut self, object: Arc<Value>) -> Change {
        let key = Key::of(&object);
        let old = self.objects.insert(key.clone(), object.clone());
        if let Some(old) = &old {
            self.forget(&key, old);
        }
        self.learn(&key, &object);
        Change { old, new: Some(object) }
    }

    pub fn remove(&mut self, key: &Key) -> Change {
        let old = self.objects.remove(key);
        if let Some(old) = &old {
            self.forget(key, old);
        }
        Change { old, new: None }
    }

    fn learn(&mut self, key: &Key, object: &Value) {
        let meta = api::meta::of(object);
        for owner in meta.owners() {
            self.owners.entry(owner.uid().into()).or_default().insert(key.clone());
        }
        if meta.controller().is_none() {
            self.owners.entry(EcoString::new()).or_default().insert(key.clone());
        }
        for (place, label) in self.labels.iter().enumerate() {
            if let Some(value) = meta.label(label) {
                self.labelled.entry((place, value.into())).or_default().insert(key.clone());
            }
        }
    }

    fn forget(&mut self, key: &Key, object: &Value) {
        let meta = api::meta::of(object);
        for owner in meta.owners() {
            drop_from(&mut self.owners, &EcoString::from(owner.uid()), key);
        }
        drop_from(&mut self.owners, &EcoString::new(), key);
        for (place, label) in self.labels.iter().enumerate() {
            if let Some(value) = meta.label(label) {
                drop_from(&mut self.labelled, &(place, value.into()), key);
            }
        }
    }
}

fn drop_from<K: std::hash::Hash + Eq>(sets: &mut HashMap<K, BTreeSet<Key>>, at: &K, key: &Key) {
    if let Some(set) = sets.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            sets.remove(at);
        }
    }
}
