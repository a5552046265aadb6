//! A copy of a collection, kept in step: a list, then a watch, for ever.
//!
//! Reading never waits. What is read may be behind the server, never ahead of it, and [`Mirror::revision`] says how far
//! it has come: whoever has written something waits for that revision before believing what it reads.
//! Upstream: client-go/tools/cache (Reflector, Indexer).

mod follow;
mod index;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use api::{EcoString, Value};
use parking_lot::RwLock;

use crate::{Form, Resource};

use index::Index;

/// Namespace and name; the namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub namespace: EcoString,
    pub name: EcoString,
}

/// What happened to an object: made, changed, or gone.
#[derive(Clone, Debug)]
pub struct Change {
    pub old: Option<Arc<Value>>,
    pub new: Option<Arc<Value>>,
}

/// Who wants to hear of changes. Called by the mirror's task, in order; must not wait.
pub trait Follower: Send + Sync + 'static {
    fn changed(&self, mirror: &Mirror, change: &Change);

    /// The revision has come further, or the first list is complete.
    fn progressed(&self, mirror: &Mirror);
}

/// The copy.
pub struct Mirror {
    pub resource: Resource,
    form: Form,
    fields: String,
    index: RwLock<Index>,
    revision: AtomicU64,
    synced: AtomicBool,
}

// === impl Key ===

impl Key {
    pub fn new(namespace: impl Into<EcoString>, name: impl Into<EcoString>) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }

    pub fn of(object: &Value) -> Key {
        let meta = api::meta::of(object);
        Key::new(meta.namespace(), meta.name())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

// === impl Change ===

impl Change {
    /// The object as it is, or as it was last.
    pub fn object(&self) -> &Value {
        self.new.as_deref().or(self.old.as_deref()).unwrap_or(Value::NULL)
    }

    /// The uid's object is gone: deleted, or another one stands in its place.
    pub fn removed_uid(&self) -> Option<&str> {
        let old = api::meta::of(self.old.as_deref()?).uid();
        let new = self.new.as_deref().map(|new| api::meta::of(new).uid());
        (new != Some(old)).then_some(old)
    }
}

// === impl Mirror ===

impl Mirror {
    /// `labels` are the keys of labels by which objects are looked up.
    pub fn new(resource: Resource, form: Form, labels: &[&str]) -> Mirror {
        Mirror {
            resource,
            form,
            fields: String::new(),
            index: RwLock::new(Index::new(labels)),
            revision: AtomicU64::new(0),
            synced: AtomicBool::new(false),
        }
    }

    /// Holds only what this field selector selects.
    pub fn select_fields(mut self, fields: &str) -> Mirror {
        self.fields = fields.into();
        self
    }

    /// Whether the first list is complete.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Everything up to this revision is in here.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.index.read().get(&Key::new(namespace, name))
    }

    pub fn len(&self) -> usize {
        self.index.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Vec<Arc<Value>> {
        self.index.read().all().collect()
    }

    /// The objects in a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Value>> {
        self.index.read().in_namespace(namespace).collect()
    }

    /// The objects that name `uid` as an owner.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Value>> {
        self.index.read().owned_by(uid)
    }

    /// The objects in a namespace that have no controller, by name.
    pub fn uncontrolled(&self, namespace: &str) -> Vec<Arc<Value>> {
        self.index.read().uncontrolled(namespace)
    }

    /// The objects in a namespace with that label; the label has to be one of those given to [`Mirror::new`].
    pub fn labelled(&self, namespace: &str, label: &str, value: &str) -> Vec<Arc<Value>> {
        self.index.read().labelled(namespace, label, value)
    }

    /// Puts objects in and takes them out as a watch would; for tests, and for what a controller has just written.
    pub fn set(&self, object: Value) -> Change {
        let revision = revision_of(&object);
        let change = self.index.write().put(Arc::new(trimmed(object)));
        self.advance(revision);
        change
    }

    /// Takes an object out as a watch would.
    pub fn unset(&self, object: &Value) -> Change {
        let change = self.index.write().remove(&Key::of(object));
        self.advance(revision_of(object));
        change
    }

    /// Makes `objects` all there is, and says what that changed.
    pub fn replace(&self, objects: Vec<Value>, revision: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut index = self.index.write();
        let mut gone: BTreeSet<Key> = index.keys().cloned().collect();
        for object in objects {
            let object = Arc::new(trimmed(object));
            gone.remove(&Key::of(&object));
            let known = index.get(&Key::of(&object));
            let same = |known: &Arc<Value>| {
                let (a, b) = (api::meta::of(known), api::meta::of(&object));
                a.uid() == b.uid() && a.resource_version() == b.resource_version()
            };
            if !known.as_ref().is_some_and(same) {
                changes.push(index.put(object));
            }
        }
        changes.extend(gone.into_iter().map(|key| index.remove(&key)));
        drop(index);
        self.advance(revision);
        self.synced.store(true, Ordering::Release);
        changes
    }

    fn advance(&self, revision: u64) {
        self.revision.fetch_max(revision, Ordering::AcqRel);
    }
}

/// The number of an object's revision; 0 when it has none.
pub fn revision_of(object: &Value) -> u64 {
    api::meta::of(object).resource_version().parse().unwrap_or(0)
}

/// What no controller reads is not kept; an update without managedFields leaves them as they are.
/// Upstream: cmd/kube-controller-manager/app trim.
fn trimmed(mut object: Value) -> Value {
    if let Some(meta) = object.get_mut("metadata") {
        meta.remove("managedFields");
    }
    object
}

#[cfg(test)]
mod tests;
