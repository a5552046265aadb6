//! Which objects lead to which nodes, in columns.
//!
//! Every object is a number, and what is known of it stands under that number. What pods name lies in one ordered set, by
//! the named object, the pod's node and the pod; so whether some pod of a node names an object is one look into a tree, for
//! what every pod names as for what one does. Upstream walks the edges of an object, and keeps a count by node beside those
//! that have 200 of them and more.
//!
//! ```text
//! node ◀─ pod ◀─ secret, config map, service account, resource claim
//!             ◀─ claim ◀─ volume ◀─ secret
//! node ◀─ attachment, slice, certificate request
//! ```
//! Upstream: plugin/pkg/auth/authorizer/node/graph.go.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use api::EcoString;
use hashbrown::HashTable;

/// What an object is. Those from [`Kind::Pod`] to [`Kind::CertificateRequest`] are put here; the others are there as long
/// as something leads to them or comes from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Node,
    Secret,
    ConfigMap,
    ServiceAccount,
    /// A PersistentVolumeClaim.
    Claim,
    ResourceClaim,
    Pod,
    /// A PersistentVolume.
    Volume,
    /// A VolumeAttachment.
    Attachment,
    /// A ResourceSlice.
    Slice,
    /// A PodCertificateRequest.
    CertificateRequest,
}

/// An object by its name; the namespace is empty for those that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name<'a> {
    pub kind: Kind,
    pub namespace: &'a str,
    pub name: &'a str,
}

/// Where an object leads, and what it names: both as far as nodes may read because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links<'a> {
    /// A pod's, an attachment's, a slice's or a request's node, a volume's claim.
    pub to: Name<'a>,
    /// In any order; twice is once.
    pub named: Vec<Name<'a>>,
}

type Id = u32;
/// No object, and the node of an edge whose node is not known from its ends.
const NONE: Id = Id::MAX;

/// All of it at one moment.
pub struct Graph {
    kinds: Vec<Kind>,
    /// `namespace/name` or `name`, as caches name objects.
    keys: Vec<EcoString>,
    /// How long the namespace in the key is.
    splits: Vec<u32>,
    /// Where objects that were put here lead.
    to: Vec<Id>,
    /// What objects that were put here name.
    named: Vec<Box<[Id]>>,
    /// How many edges an object has, and one more when it was put here; without any it is gone.
    degrees: Vec<u32>,
    free: Vec<Id>,
    /// Numbers by kind and name.
    ids: HashTable<Id>,
    hasher: RandomState,
    /// What is named, the node to which that leads, who names it.
    edges: BTreeSet<(Id, Id, Id)>,
}

// === impl Graph ===

impl Default for Graph {
    fn default() -> Graph {
        Graph {
            kinds: Vec::new(),
            keys: Vec::new(),
            splits: Vec::new(),
            to: Vec::new(),
            named: Vec::new(),
            degrees: Vec::new(),
            free: Vec::new(),
            ids: HashTable::new(),
            hasher: RandomState::new(),
            edges: BTreeSet::new(),
        }
    }
}

impl Graph {
    /// Whether an object is that node's to read: its own, or named by what is.
    pub fn leads(&self, from: Name<'_>, node: &str) -> bool {
        let Some(node) = self.find(Name { kind: Kind::Node, namespace: "", name: node }) else { return false };
        let Some(id) = self.find(from) else { return false };
        match from.kind {
            Kind::Node => id == node,
            Kind::Pod | Kind::Attachment | Kind::Slice | Kind::CertificateRequest => self.to[index(id)] == node,
            Kind::Volume => self.is_named_on(self.to[index(id)], node),
            Kind::ConfigMap | Kind::ServiceAccount | Kind::Claim | Kind::ResourceClaim => self.is_named_on(id, node),
            Kind::Secret => {
                let mut volumes = self.edges.range((id, NONE, 0)..=(id, NONE, NONE)).map(|(_, _, volume)| *volume);
                self.is_named_on(id, node) || volumes.any(|volume| self.is_named_on(self.to[index(volume)], node))
            }
        }
    }

    /// Sets what an object leads to and names; None takes it out.
    pub fn set(&mut self, name: Name<'_>, links: Option<&Links<'_>>) {
        self.remove(name);
        let Some(links) = links else { return };
        let (id, to) = (self.get_or_make(name), self.get_or_make(links.to));
        self.degrees[index(id)] += 1;
        self.degrees[index(to)] += 1;
        self.to[index(id)] = to;
        let node = if name.kind == Kind::Pod { to } else { NONE };
        let mut named = Vec::with_capacity(links.named.len());
        for object in &links.named {
            let object = self.get_or_make(*object);
            if self.edges.insert((object, node, id)) {
                self.degrees[index(object)] += 1;
                named.push(object);
            }
        }
        self.named[index(id)] = named.into();
    }

    /// Takes out an object that was put here.
    pub fn remove(&mut self, name: Name<'_>) {
        let Some(id) = self.find(name) else { return };
        let to = std::mem::replace(&mut self.to[index(id)], NONE);
        if to == NONE {
            return;
        }
        let node = if name.kind == Kind::Pod { to } else { NONE };
        for object in std::mem::take(&mut self.named[index(id)]) {
            self.edges.remove(&(object, node, id));
            self.let_go(object);
        }
        self.let_go(to);
        self.let_go(id);
    }

    /// Takes out what was put here of a kind and is not wanted any more, by its key.
    pub fn retain(&mut self, kind: Kind, wanted: impl Fn(&str) -> bool) {
        let put = (0..self.kinds.len()).filter(|at| self.kinds[*at] == kind && self.to[*at] != NONE);
        let gone: Vec<(EcoString, usize)> = put
            .filter(|at| !wanted(&self.keys[*at]))
            .map(|at| (self.keys[at].clone(), self.splits[at] as usize))
            .collect();
        for (key, split) in gone {
            let (namespace, name) = parts(&key, split);
            self.remove(Name { kind, namespace, name });
        }
    }

    /// How many objects there are, and how many edges between them.
    pub fn size(&self) -> (usize, usize) {
        let ways = self.to.iter().filter(|to| **to != NONE).count();
        (self.ids.len(), self.edges.len() + ways)
    }

    /// Whether a pod of the node names the object.
    fn is_named_on(&self, object: Id, node: Id) -> bool {
        self.edges.range((object, node, 0)..=(object, node, NONE)).next().is_some()
    }

    fn find(&self, name: Name<'_>) -> Option<Id> {
        self.ids.find(self.hasher.hash_one(name), |id| self.name(*id) == name).copied()
    }

    fn get_or_make(&mut self, name: Name<'_>) -> Id {
        if let Some(id) = self.find(name) {
            return id;
        }
        let key = match name.namespace {
            "" => name.name.into(),
            namespace => [namespace, name.name].join("/").into(),
        };
        let split = u32::try_from(name.namespace.len()).expect("objects are smaller than 4 GiB");
        let id = match self.free.pop() {
            Some(id) => {
                let at = index(id);
                (self.kinds[at], self.keys[at], self.splits[at]) = (name.kind, key, split);
                id
            }
            None => {
                self.kinds.push(name.kind);
                self.keys.push(key);
                self.splits.push(split);
                self.to.push(NONE);
                self.named.push(Box::default());
                self.degrees.push(0);
                Id::try_from(self.kinds.len() - 1).expect("memory ends before four thousand million objects")
            }
        };
        let Graph { ids, kinds, keys, splits, hasher, .. } = self;
        ids.insert_unique(hasher.hash_one(name), id, |id| {
            let at = index(*id);
            let (namespace, name) = parts(&keys[at], splits[at] as usize);
            hasher.hash_one(Name { kind: kinds[at], namespace, name })
        });
        id
    }

    /// An edge less; what has none is gone.
    fn let_go(&mut self, id: Id) {
        let at = index(id);
        self.degrees[at] -= 1;
        if self.degrees[at] > 0 {
            return;
        }
        let hash = self.hasher.hash_one(self.name(id));
        if let Ok(found) = self.ids.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.keys[at] = EcoString::new();
        self.free.push(id);
    }

    fn name(&self, id: Id) -> Name<'_> {
        let at = index(id);
        let (namespace, name) = parts(&self.keys[at], self.splits[at] as usize);
        Name { kind: self.kinds[at], namespace, name }
    }
}

fn index(id: Id) -> usize {
    id as usize
}

/// Namespace and name of a key.
fn parts(key: &str, split: usize) -> (&str, &str) {
    match split {
        0 => ("", key),
        split => (&key[..split], &key[split + 1..]),
    }
}

#[cfg(test)]
mod tests;
