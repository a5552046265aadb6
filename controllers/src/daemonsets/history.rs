//! The revisions of a DaemonSet.
//!
//! Upstream: pkg/controller/daemon/update.go constructHistory, cleanupHistory.

use std::sync::Arc;

use api::{Value, value};

use crate::{
    claims::{self, DAEMON_SET},
    driver::{
        plan::{Action, Excuse, Plan},
        world::World,
    },
    hash,
    pods::PODS,
    revisions::{self, HASH, New, REVISIONS},
};

/// Where the history of a set stands.
pub(super) struct History {
    /// What marks pods of the present template.
    pub hash: String,
    pub old: Vec<Arc<Value>>,
    pub actions: Vec<Action>,
}

/// The history, when there is one revision of the present template; else the plan that brings that about.
pub(super) fn settle(world: &World<'_>, set: &Arc<Value>, pods: &[Arc<Value>]) -> Result<History, Plan> {
    let claimed = claims::claim(world, &DAEMON_SET, set, REVISIONS, |_| true);
    let data = revisions::data(set.at("spec").at("template"));
    let (mut current, mut old): (Vec<_>, Vec<_>) = claimed.kept.into_iter().partition(|r| revisions::is_of(r, &data));
    revisions::sort(&mut current);
    revisions::sort(&mut old);
    let number = old.last().map_or(0, |r| revisions::number(r)) + 1;
    let mut actions = claimed.actions;
    let Some(newest) = current.pop() else {
        actions.push(snapshot(world, set, data, number));
        return Err(Plan::of(actions, "there is no revision of this template"));
    };
    let hash = api::meta::of(&newest).label(HASH).unwrap_or(api::meta::of(&newest).name()).to_string();
    if !current.is_empty() {
        let others = pods.iter().filter(|p| api::meta::of(p).label(HASH) != Some(&hash));
        let patch = value!({"metadata": {"labels": {"controller-revision-hash": hash.as_str()}}});
        actions.extend(others.map(|p| Action::patch(PODS, p.clone(), patch.clone()).excuse(&[Excuse::NotFound])));
        actions.extend(current.into_iter().map(|r| Action::delete(REVISIONS, r)));
        return Err(Plan::of(actions, "several revisions are of this template"));
    }
    if revisions::number(&newest) < number {
        actions.push(revisions::renumber(&newest, number));
    }
    Ok(History { hash, old, actions })
}

fn snapshot(world: &World<'_>, set: &Arc<Value>, data: Value, number: i64) -> Action {
    let (meta, collisions) = (api::meta::of(set), set.at("status").opt_int("collisionCount"));
    let hash = hash::of_template(world.settings, set.at("spec").at("template"), collisions);
    let name = format!("{}-{hash}", meta.name());
    if world.get(REVISIONS, meta.namespace(), &name).is_some() {
        // Of another template, or another's: the hash collides.
        let mut new = Value::clone(set);
        new.set_path(&["status", "collisionCount"], collisions.unwrap_or(0) + 1);
        return Action::update_status(DAEMON_SET.resource, new);
    }
    let new = New { kind: &DAEMON_SET, owner: set, name, data, number };
    Action::create(REVISIONS, new.object(HASH, &hash)).excuse(&[Excuse::NamespaceTerminating])
}

/// Revisions beyond the limit that no pod is of, oldest first.
pub(super) fn surplus(set: &Value, old: &[Arc<Value>], pods: &[Arc<Value>]) -> Vec<Action> {
    let limit = set.at("spec").opt_int("revisionHistoryLimit").unwrap_or(10);
    let too_many = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    let is_live = |revision: &&Arc<Value>| {
        let hash = api::meta::of(revision).label(HASH);
        hash.is_some() && pods.iter().any(|pod| api::meta::of(pod).label(HASH) == hash)
    };
    let dead = old.iter().filter(|r| !is_live(r)).take(too_many);
    dead.map(|r| Action::delete(REVISIONS, r.clone())).collect()
}
