//! Who controls what: objects that match a selector are adopted, those that no longer do are released.
//!
//! Upstream: pkg/controller/controller_ref_manager.go.

use std::sync::Arc;

use api::{Value, selector::Selector, value};
use client::{Change, mirror::Key};

use crate::driver::{
    plan::{Action, Excuse},
    world::World,
};

/// A kind that controls others.
#[derive(Debug)]
pub(crate) struct Kind {
    pub resource: &'static str,
    pub api_version: &'static str,
    pub kind: &'static str,
}

pub(crate) const REPLICA_SET: Kind =
    Kind { resource: "apps/v1/replicasets", api_version: "apps/v1", kind: "ReplicaSet" };
pub(crate) const REPLICATION_CONTROLLER: Kind =
    Kind { resource: "v1/replicationcontrollers", api_version: "v1", kind: "ReplicationController" };
pub(crate) const DEPLOYMENT: Kind =
    Kind { resource: "apps/v1/deployments", api_version: "apps/v1", kind: "Deployment" };
pub(crate) const DAEMON_SET: Kind = Kind { resource: "apps/v1/daemonsets", api_version: "apps/v1", kind: "DaemonSet" };
pub(crate) const STATEFUL_SET: Kind =
    Kind { resource: "apps/v1/statefulsets", api_version: "apps/v1", kind: "StatefulSet" };
pub(crate) const JOB: Kind = Kind { resource: "batch/v1/jobs", api_version: "batch/v1", kind: "Job" };
pub(crate) const CRON_JOB: Kind = Kind { resource: "batch/v1/cronjobs", api_version: "batch/v1", kind: "CronJob" };

/// What an owner controls, and what has to be done for that to be true.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    pub kept: Vec<Arc<Value>>,
    pub actions: Vec<Action>,
}

// === impl Kind ===

impl Kind {
    /// Upstream: NewControllerRef.
    pub fn controller_reference(&self, owner: &Value) -> Value {
        let meta = api::meta::of(owner);
        value!({
            "apiVersion": self.api_version, "kind": self.kind, "name": meta.name(), "uid": meta.uid(),
            "controller": true, "blockOwnerDeletion": true
        })
    }

    /// What objects of this kind select. One that cannot be read selects nothing.
    pub fn selector(&self, owner: &Value) -> Selector {
        let selector = owner.at("spec").at("selector");
        match self.kind {
            "ReplicationController" => Selector::from_labels(selector),
            _ => Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing()),
        }
    }
}

pub(crate) fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    api::meta::of(object).controller().is_some_and(|c| c.uid() == api::meta::of(owner).uid())
}

/// The objects that `owner` controls by name, whatever it selects.
pub(crate) fn controlled(world: &World<'_>, resource: &str, owner: &Value) -> Vec<Arc<Value>> {
    let mut owned = world.mirror(resource).owned_by(api::meta::of(owner).uid());
    owned.retain(|object| is_controlled_by(object, owner));
    owned
}

/// What of `resource` the owner controls, adopting and releasing among what `wanted` takes.
pub(crate) fn claim(
    world: &World<'_>,
    kind: &Kind,
    owner: &Arc<Value>,
    resource: &'static str,
    wanted: impl Fn(&Value) -> bool,
) -> Claimed {
    let (meta, selector) = (api::meta::of(owner), kind.selector(owner));
    let mut claimed = Claimed::default();
    for object in controlled(world, resource, owner).into_iter().filter(|o| wanted(o)) {
        if selector.matches(api::meta::of(&object).labels()) {
            claimed.kept.push(object);
        } else if !meta.is_terminating() {
            claimed.actions.push(release(resource, &object, meta.uid()));
        }
    }
    if meta.is_terminating() {
        return claimed;
    }
    let orphans = world.mirror(resource).uncontrolled(meta.namespace());
    let adopts = |o: &Arc<Value>| {
        let of = api::meta::of(o);
        !of.is_terminating() && selector.matches(of.labels()) && wanted(o)
    };
    let adopted: Vec<Arc<Value>> = orphans.into_iter().filter(adopts).collect();
    if !adopted.is_empty() {
        claimed.actions.push(Action::confirm(kind.resource, owner.clone()));
    }
    for object in adopted {
        claimed.actions.push(adopt(resource, &object, kind.controller_reference(owner)));
        claimed.kept.push(object);
    }
    claimed
}

pub(crate) fn adopt(resource: &'static str, object: &Arc<Value>, reference: Value) -> Action {
    let uid = reference.str("uid").to_string();
    let mut owners: Vec<Value> = api::meta::of(object).owners().map(|o| o.0.clone()).collect();
    owners.retain(|o| o.str("uid") != uid);
    owners.push(reference);
    set_owners(resource, object, Value::array(owners)).excuse(&[Excuse::NotFound])
}

/// Takes the reference away.
pub(crate) fn release(resource: &'static str, object: &Arc<Value>, uid: &str) -> Action {
    let owners = api::meta::of(object).owners().map(|o| o.0.clone()).filter(|o| o.str("uid") != uid);
    set_owners(resource, object, owners.collect()).excuse(&[Excuse::NotFound])
}

/// The list is replaced as a whole; the revision sees to it that nothing is lost.
fn set_owners(resource: &'static str, object: &Arc<Value>, owners: Value) -> Action {
    let revision = api::meta::of(object).resource_version();
    let patch = value!({"metadata": {"resourceVersion": revision, "ownerReferences": owners}});
    Action::patch(resource, object.clone(), patch)
}

/// Keys of owners of this kind that a change of one of theirs, or of what they might adopt, concerns.
/// Upstream: addPod, updatePod, deletePod.
pub(crate) fn owners_of(world: &World<'_>, change: &Change, kind: &Kind) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for object in [&change.old, &change.new].into_iter().flatten() {
        let meta = api::meta::of(object);
        if let Some(owner) = meta.controller().filter(|o| o.kind() == kind.kind) {
            keys.push(Key::new(meta.namespace(), owner.name()));
        }
    }
    keys.dedup();
    let Some(new) = &change.new else { return keys };
    let meta = api::meta::of(new);
    let is_news = change.old.as_ref().is_none_or(|old| {
        let old = api::meta::of(old);
        old.labels() != meta.labels() || old.controller().is_some()
    });
    if meta.controller().is_none() && !meta.is_terminating() && is_news {
        let owners = world.mirror(kind.resource).in_namespace(meta.namespace());
        let selects = |o: &&Arc<Value>| {
            let selector = kind.selector(o);
            !selector.is_everything() && selector.matches(meta.labels())
        };
        keys.extend(owners.iter().filter(selects).map(|o| Key::of(o)));
    }
    keys
}
