//! Roles and bindings, arranged by whom they concern.
//!
//! A decision looks only at the bindings that name the user or one of its groups. Readers take a snapshot without
//! waiting; a change replaces a few nodes of persistent maps, so that neither side pays for the size of the policy.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::field::quote;
use api::{User, Value, meta};
use imbl::{HashMap, OrdMap, OrdSet};
use parking_lot::RwLock;

use super::Rule;
use crate::text::service_account_user;

/// The policy in force. One writer keeps it in step with storage; decisions read it concurrently.
#[derive(Default)]
pub struct Index {
    policy: RwLock<Arc<Policy>>,
}

/// Roles and bindings at one moment. The cluster's own stand under the namespace `""`.
#[derive(Clone, Default)]
pub struct Policy {
    roles: HashMap<String, HashMap<String, Arc<Vec<Rule>>>>,
    scopes: HashMap<String, Scope>,
}

/// A role, as a binding names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoleRef {
    pub kind: String,
    pub name: String,
}

#[derive(Debug)]
pub(super) struct Binding {
    pub name: String,
    pub namespace: String,
    pub role: RoleRef,
    pub subjects: Vec<Subject>,
}

#[derive(Debug)]
pub(super) struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

/// The bindings of one namespace, and their names by whom they concern.
#[derive(Clone, Default)]
struct Scope {
    bindings: OrdMap<String, Arc<Binding>>,
    by_user: HashMap<String, OrdSet<String>>,
    by_group: HashMap<String, OrdSet<String>>,
}

/// Whom a subject concerns.
enum Whom {
    User(String),
    Group(String),
    Nobody,
}

// === impl Index ===

impl Index {
    /// The policy right now; it does not change any more.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.read().clone()
    }

    /// Takes in a new or changed Role, ClusterRole, RoleBinding or ClusterRoleBinding; other kinds are left alone.
    pub fn put(&self, object: &Value) {
        Arc::make_mut(&mut self.policy.write()).put(object);
    }

    /// Takes an object out, of which kind, namespace and name are enough.
    pub fn remove(&self, object: &Value) {
        let metadata = meta::of(object);
        Arc::make_mut(&mut self.policy.write()).remove(object.str("kind"), metadata.namespace(), metadata.name());
    }

    /// Starts over with these objects, in one step.
    pub fn replace<'a>(&self, objects: impl IntoIterator<Item = &'a Value>) {
        let mut policy = Policy::default();
        objects.into_iter().for_each(|object| policy.put(object));
        *self.policy.write() = Arc::new(policy);
    }
}

// === impl Policy ===

impl Policy {
    /// The rules of a role that a binding in `namespace` names.
    pub(crate) fn role(&self, role: &RoleRef, namespace: &str) -> Option<&[Rule]> {
        let home = match role.kind.as_str() {
            "ClusterRole" => "",
            "Role" if !namespace.is_empty() => namespace,
            _ => return None,
        };
        self.roles.get(home)?.get(role.name.as_str()).map(|rules| rules.as_slice())
    }

    /// The rules of a role by kind and name, seen from `namespace`.
    pub fn rules_of_role(&self, kind: &str, name: &str, namespace: &str) -> Option<Vec<Rule>> {
        let role = RoleRef { kind: kind.to_owned(), name: name.to_owned() };
        self.role(&role, namespace).map(<[Rule]>::to_vec)
    }

    /// The bindings of a namespace that may concern `user`, by name.
    pub(super) fn bindings_of(&self, user: &User, namespace: &str) -> Vec<&Binding> {
        let Some(scope) = self.scopes.get(namespace) else { return Vec::new() };
        let by_group = user.groups.iter().filter_map(|group| scope.by_group.get(group.as_str()));
        let lists = scope.by_user.get(user.name.as_str()).into_iter().chain(by_group);
        let names: BTreeSet<&str> = lists.flatten().map(String::as_str).collect();
        names.into_iter().filter_map(|name| scope.bindings.get(name)).map(|binding| &**binding).collect()
    }

    fn put(&mut self, object: &Value) {
        let (kind, metadata) = (object.str("kind"), meta::of(object));
        let (namespace, name) = (home(kind, metadata.namespace()), metadata.name().to_owned());
        match kind {
            "Role" | "ClusterRole" => {
                let rules = object.list("rules").iter().map(Rule::from_value).collect();
                self.roles.entry(namespace).or_default().insert(name, Arc::new(rules));
            }
            "RoleBinding" | "ClusterRoleBinding" => {
                let role = object.at("roleRef");
                let role = RoleRef { kind: role.str("kind").to_owned(), name: role.str("name").to_owned() };
                let subjects = object.list("subjects").iter().map(Subject::from_value).collect();
                let scope = self.scopes.entry(namespace.clone()).or_default();
                scope.remove(&name);
                scope.insert(Binding { name, namespace, role, subjects });
            }
            _ => {}
        }
    }

    fn remove(&mut self, kind: &str, namespace: &str, name: &str) {
        let namespace = home(kind, namespace);
        match kind {
            "Role" | "ClusterRole" => {
                if let Some(roles) = self.roles.get_mut(&namespace) {
                    roles.remove(name);
                    if roles.is_empty() {
                        self.roles.remove(&namespace);
                    }
                }
            }
            "RoleBinding" | "ClusterRoleBinding" => {
                if let Some(scope) = self.scopes.get_mut(&namespace) {
                    scope.remove(name);
                    if scope.bindings.is_empty() {
                        self.scopes.remove(&namespace);
                    }
                }
            }
            _ => {}
        }
    }
}

/// A cluster's object has no namespace, whatever it says.
fn home(kind: &str, namespace: &str) -> String {
    if kind.starts_with("Cluster") { String::new() } else { namespace.to_owned() }
}

// === impl Scope ===

impl Scope {
    fn insert(&mut self, binding: Binding) {
        for subject in &binding.subjects {
            match subject.whom(&binding.namespace) {
                Whom::User(user) => drop(self.by_user.entry(user).or_default().insert(binding.name.clone())),
                Whom::Group(group) => drop(self.by_group.entry(group).or_default().insert(binding.name.clone())),
                Whom::Nobody => {}
            }
        }
        self.bindings.insert(binding.name.clone(), Arc::new(binding));
    }

    fn remove(&mut self, name: &str) {
        let Some(binding) = self.bindings.remove(name) else { return };
        for subject in &binding.subjects {
            match subject.whom(&binding.namespace) {
                Whom::User(user) => forget(&mut self.by_user, &user, name),
                Whom::Group(group) => forget(&mut self.by_group, &group, name),
                Whom::Nobody => {}
            }
        }
    }
}

fn forget(lists: &mut HashMap<String, OrdSet<String>>, whom: &str, name: &str) {
    if let Some(list) = lists.get_mut(whom) {
        list.remove(name);
        if list.is_empty() {
            lists.remove(whom);
        }
    }
}

// === impl Subject ===

impl Subject {
    fn from_value(subject: &Value) -> Subject {
        let text = |key: &str| subject.str(key).to_owned();
        Subject { kind: text("kind"), name: text("name"), namespace: text("namespace") }
    }

    /// Whether this is `user`, in a binding of `namespace`.
    pub fn is(&self, user: &User, namespace: &str) -> bool {
        match self.whom(namespace) {
            Whom::User(name) => name == user.name,
            Whom::Group(name) => user.is_in(&name),
            Whom::Nobody => false,
        }
    }

    /// A service account without a namespace is meant in the binding's own; in a ClusterRoleBinding it is nobody.
    fn whom(&self, namespace: &str) -> Whom {
        let home = if self.namespace.is_empty() { namespace } else { &self.namespace };
        match self.kind.as_str() {
            "User" => Whom::User(self.name.clone()),
            "Group" => Whom::Group(self.name.clone()),
            "ServiceAccount" if !home.is_empty() => Whom::User(service_account_user(home, &self.name)),
            _ => Whom::Nobody,
        }
    }

    /// As reasons name it. Upstream: describeSubject.
    pub fn describe(&self, binding_namespace: &str) -> String {
        let home = if self.namespace.is_empty() { binding_namespace } else { &self.namespace };
        match self.kind.as_str() {
            "ServiceAccount" => format!("{} {}", self.kind, quote(&format!("{}/{home}", self.name))),
            _ => format!("{} {}", self.kind, quote(&self.name)),
        }
    }
}
