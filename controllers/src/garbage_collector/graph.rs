//! Who owns whom.
//!
//! A node for every object that was seen, and a *virtual* one for every owner that was only heard of: whether that exists
//! the server has to say. References may lie about kind, name or namespace of a uid, so what they say is compared with
//! what was seen, and doubtful ones are looked at. Upstream: graph_builder.go.

mod alternate;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
};

use api::{EcoString, Value, value};

use crate::driver::plan::Event;

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";
/// So many owners are known to be absent. Upstream: NewReferenceCache(500).
const ABSENT_MAX: usize = 500;

/// Which object; what a reference says, and the namespace of the one that says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    // In the order in which alternatives are tried. Upstream: referenceLessThan.
    pub kind: EcoString,
    pub api_version: EcoString,
    pub namespace: EcoString,
    pub name: EcoString,
    pub uid: EcoString,
}

/// An owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub kind: EcoString,
    pub api_version: EcoString,
    pub name: EcoString,
    pub uid: EcoString,
    pub controller: Option<bool>,
    pub blocks: bool,
}

/// What a change of the graph asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Todo {
    /// Look whether this object is to be deleted.
    Suspect(EcoString),
    /// The same, not at once.
    SuspectLater(EcoString),
    /// Let this object's dependents go.
    Orphan(EcoString),
    Tell(Event),
}

/// An object in the graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub identity: Identity,
    pub owners: Vec<Reference>,
    dependents: BTreeSet<EcoString>,
    /// It goes away, but not before its dependents.
    pub deleting_dependents: bool,
    pub being_deleted: bool,
    /// It was heard of and not seen.
    pub is_virtual: bool,
}

/// All objects.
#[derive(Default)]
pub(super) struct Graph {
    nodes: HashMap<EcoString, Node>,
    absent: Absent,
}

/// Owners of which the server said that they are not there, the oldest forgotten first.
#[derive(Default)]
struct Absent {
    known: HashSet<Identity>,
    order: VecDeque<Identity>,
}

// === impl Identity ===

impl Identity {
    pub fn of(api_version: &str, kind: &str, object: &Value) -> Identity {
        let meta = api::meta::of(object);
        Identity {
            kind: kind.into(),
            api_version: api_version.into(),
            namespace: meta.namespace().into(),
            name: meta.name().into(),
            uid: meta.uid().into(),
        }
    }

    /// The object that `reference` names, when it is said from `namespace`.
    pub fn named(reference: &Reference, namespace: &str) -> Identity {
        Identity {
            kind: reference.kind.clone(),
            api_version: reference.api_version.clone(),
            namespace: namespace.into(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        }
    }

    fn is_meant_by(&self, reference: &Reference) -> bool {
        self.uid == reference.uid
            && self.kind == reference.kind
            && self.api_version == reference.api_version
            && self.name == reference.name
    }
}

/// As upstream prints an objectReference.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { kind, api_version, namespace, name, uid } = self;
        write!(f, "[{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}]")
    }
}

// === impl Reference ===

impl Reference {
    pub fn of(reference: &Value) -> Reference {
        Reference {
            kind: reference.str("kind").into(),
            api_version: reference.str("apiVersion").into(),
            name: reference.str("name").into(),
            uid: reference.str("uid").into(),
            controller: reference.opt_bool("controller"),
            blocks: reference.bool("blockOwnerDeletion"),
        }
    }
}

fn owners_of(object: &Value) -> Vec<Reference> {
    object.at("metadata").list("ownerReferences").iter().map(Reference::of).collect()
}

/// Whether an object goes away and one of these finalizers is waited for.
fn waits_for(object: &Value, finalizer: &str) -> bool {
    let meta = api::meta::of(object);
    meta.is_terminating() && meta.finalizers().any(|f| f == finalizer)
}

// === impl Graph ===

impl Graph {
    pub fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub fn is_known_absent(&self, identity: &Identity) -> bool {
        self.absent.known.contains(identity)
    }

    pub fn remember_absent(&mut self, identity: Identity) {
        self.absent.add(identity);
    }

    pub fn has_dependents(&self, uid: &str) -> bool {
        self.get(uid).is_some_and(|node| !node.dependents.is_empty())
    }

    /// The nodes that name `uid` as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<&Node> {
        let uids = self.get(uid).into_iter().flat_map(|node| &node.dependents);
        uids.filter_map(|uid| self.nodes.get(uid)).collect()
    }

    /// The dependents that their owner's deletion has to wait for.
    pub fn blocking_dependents(&self, uid: &str) -> Vec<&Node> {
        let blocks = |node: &&Node| node.owners.iter().any(|o| o.uid == uid && o.blocks);
        self.dependents(uid).into_iter().filter(blocks).collect()
    }

    /// An object was made or changed. `old` is what was seen of it before.
    pub fn observe(&mut self, identity: Identity, old: Option<&Value>, new: &Value) -> Vec<Todo> {
        let mut todo = Vec::new();
        let uid = identity.uid.clone();
        let being_deleted = api::meta::of(new).is_terminating();
        let owners = owners_of(new);
        if self.nodes.contains_key(&uid) {
            self.see(&identity, &mut todo);
            self.change_owners(&uid, owners, &mut todo);
            if let (true, Some(node)) = (being_deleted, self.nodes.get_mut(&uid)) {
                node.being_deleted = true;
            }
        } else {
            let deleting_dependents = waits_for(new, FOREGROUND);
            let node = Node { identity, owners, being_deleted, deleting_dependents, ..Node::default() };
            let owners = node.owners.clone();
            self.nodes.insert(uid.clone(), node);
            self.attach(&uid, &owners, &mut todo);
        }
        self.begin_ending(&uid, old, new, &mut todo);
        todo
    }

    /// A virtual node has turned out to exist; dependents that said something else of it are doubtful.
    fn see(&mut self, observed: &Identity, todo: &mut Vec<Todo>) {
        let Some(node) = self.nodes.get(&observed.uid).filter(|node| node.is_virtual) else { return };
        if node.identity != *observed {
            let (_, wrong) = self.split_dependents(observed);
            for dependent in wrong {
                let misplaced = !observed.namespace.is_empty() && dependent.identity.namespace != observed.namespace;
                if misplaced {
                    todo.extend(invalid_namespace(dependent, &observed.uid));
                }
                todo.push(Todo::Suspect(dependent.identity.uid.clone()));
            }
        }
        if let Some(node) = self.nodes.get_mut(&observed.uid) {
            node.identity = observed.clone();
            node.is_virtual = false;
        }
    }

    fn change_owners(&mut self, uid: &EcoString, new: Vec<Reference>, todo: &mut Vec<Todo>) {
        let Some(node) = self.nodes.get_mut(uid) else { return };
        if node.owners == new {
            return;
        }
        let old = std::mem::replace(&mut node.owners, new.clone());
        let added: Vec<Reference> = new.iter().filter(|n| !old.iter().any(|o| o.uid == n.uid)).cloned().collect();
        for reference in &old {
            let kept = new.iter().find(|n| n.uid == reference.uid);
            let unblocks = reference.blocks && !kept.is_some_and(|n| n.blocks);
            // An owner that waits for its dependents has one less to wait for.
            if unblocks && self.nodes.contains_key(&reference.uid) {
                todo.push(Todo::Suspect(reference.uid.clone()));
            }
        }
        self.attach(uid, &added, todo);
        for reference in old.iter().filter(|o| !new.iter().any(|n| n.uid == o.uid)) {
            if let Some(owner) = self.nodes.get_mut(&reference.uid) {
                owner.dependents.remove(uid);
            }
        }
    }

    /// Puts a node under its owners; those that were never seen become virtual. Upstream: addDependentToOwners.
    fn attach(&mut self, uid: &EcoString, owners: &[Reference], todo: &mut Vec<Todo>) {
        let Some(namespace) = self.nodes.get(uid).map(|node| node.identity.namespace.clone()) else { return };
        let mut doubtful = false;
        for reference in owners {
            let Some(owner) = self.nodes.get_mut(&reference.uid) else {
                let identity = Identity::named(reference, &namespace);
                let dependents = BTreeSet::from([uid.clone()]);
                let node = Node { identity, dependents, is_virtual: true, ..Node::default() };
                self.nodes.insert(reference.uid.clone(), node);
                todo.push(Todo::Suspect(reference.uid.clone()));
                continue;
            };
            owner.dependents.insert(uid.clone());
            if doubtful {
                continue;
            }
            let (other, seen) = (owner.identity.namespace != namespace, !owner.is_virtual);
            let namespaced = !owner.identity.namespace.is_empty();
            // A cluster-scoped owner may be named from any namespace; one that nobody has seen may be no such owner.
            doubtful = match (namespaced && other, owner.identity.is_meant_by(reference)) {
                (true, _) => true,
                (false, false) => true,
                (false, true) => other && !seen,
            };
            if namespaced && other && seen {
                let owner = reference.uid.clone();
                todo.extend(self.nodes.get(uid).and_then(|node| invalid_namespace(node, &owner)));
            }
        }
        if doubtful {
            todo.push(Todo::Suspect(uid.clone()));
        }
    }

    /// An object has begun to go away and waits for its dependents. Upstream: processTransitions.
    fn begin_ending(&mut self, uid: &EcoString, old: Option<&Value>, new: &Value, todo: &mut Vec<Todo>) {
        let begins = |finalizer| waits_for(new, finalizer) && !old.is_some_and(|old| waits_for(old, finalizer));
        if begins(ORPHAN) {
            todo.push(Todo::Orphan(uid.clone()));
            return;
        }
        if !begins(FOREGROUND) {
            return;
        }
        if let Some(node) = self.nodes.get_mut(uid) {
            node.deleting_dependents = true;
            todo.extend(node.dependents.iter().cloned().map(Todo::Suspect));
            todo.push(Todo::Suspect(uid.clone()));
        }
    }

    /// An object is gone.
    pub fn remove(&mut self, identity: &Identity) -> Vec<Todo> {
        let Some(node) = self.nodes.remove(&identity.uid) else { return Vec::new() };
        let mut todo = Vec::new();
        for reference in &node.owners {
            if let Some(owner) = self.nodes.get_mut(&reference.uid) {
                owner.dependents.remove(&identity.uid);
            }
        }
        if !node.dependents.is_empty() {
            self.absent.add(identity.clone());
        }
        todo.extend(node.dependents.iter().cloned().map(Todo::Suspect));
        let waiting = node.owners.iter().filter(|o| self.get(&o.uid).is_some_and(|owner| owner.deleting_dependents));
        todo.extend(waiting.map(|o| Todo::Suspect(o.uid.clone())));
        todo
    }

    /// The server said that there is no such object; nobody saw it go. Upstream: processGraphChanges, virtual delete.
    pub fn remove_virtual(&mut self, absent: &Identity) -> Vec<Todo> {
        let Some(node) = self.nodes.get(&absent.uid) else { return Vec::new() };
        let (right, wrong) = self.split_dependents(absent);
        let seen_otherwise = !node.is_virtual && node.identity != *absent;
        if (!node.is_virtual && !seen_otherwise) || (node.is_virtual && wrong.is_empty()) {
            return self.remove(absent);
        }
        let mut todo: Vec<Todo> = right.iter().map(|n| Todo::Suspect(n.identity.uid.clone())).collect();
        let other = match node.is_virtual && node.identity == *absent {
            true => alternate::of(&wrong, absent),
            false => None,
        };
        if !todo.is_empty() {
            self.absent.add(absent.clone());
        }
        if let (Some(other), Some(node)) = (other, self.nodes.get_mut(&absent.uid)) {
            node.identity = other;
            todo.push(Todo::SuspectLater(absent.uid.clone()));
        }
        todo
    }

    /// The dependents that mean exactly this owner, and those that say something else of its uid; one may be both.
    fn split_dependents(&self, owner: &Identity) -> (Vec<&Node>, Vec<&Node>) {
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        for node in self.dependents(&owner.uid) {
            if !owner.namespace.is_empty() && owner.namespace != node.identity.namespace {
                wrong.push(node);
                continue;
            }
            let mut meant = node.owners.iter().filter(|o| o.uid == owner.uid).map(|o| owner.is_meant_by(o));
            if meant.clone().any(|m| m) {
                right.push(node);
            }
            if meant.any(|m| !m) {
                wrong.push(node);
            }
        }
        (right, wrong)
    }
}

// === impl Absent ===

impl Absent {
    fn add(&mut self, identity: Identity) {
        if !self.known.insert(identity.clone()) {
            return;
        }
        self.order.push_back(identity);
        if self.order.len() > ABSENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Tells the user of an object that its owner is in another namespace. Upstream: reportInvalidNamespaceOwnerRef.
fn invalid_namespace(node: &Node, owner: &str) -> Option<Todo> {
    let reference = node.owners.iter().find(|o| o.uid == owner)?;
    let Identity { kind, api_version, namespace, name, uid } = &node.identity;
    let said = Identity::named(reference, namespace);
    let regarding = value!({"apiVersion": api_version.clone(), "kind": kind.clone(),
        "metadata": {"namespace": namespace.clone(), "name": name.clone(), "uid": uid.clone()}});
    Some(Todo::Tell(Event {
        regarding: Arc::new(regarding),
        warning: true,
        reason: "OwnerRefInvalidNamespace".into(),
        message: format!("ownerRef {said} does not exist in namespace {}", api::field::quote(namespace)),
    }))
}

#[cfg(test)]
mod tests;
