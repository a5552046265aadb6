//! Deployments: one ReplicaSet for each template that they had, and a way from one to the next.
//!
//! A plan takes the first step that is due and says the rest in the status; what it wrote wakes it for the next one.
//! Upstream: pkg/controller/deployment.

mod progress;
mod revisions;
mod rolling;
mod sets;

use std::sync::Arc;

use api::{Value, value};
use client::{Change, mirror::Key};

use crate::{
    claims::{self, DEPLOYMENT, REPLICA_SET},
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, Event, Plan},
        world::World,
    },
    pods::{self, PODS},
};

use sets::{Set, Sets};

pub const SPEC: Spec = Spec {
    name: "deployment-controller",
    alias: "deployment",
    acts_for: "deployment-controller",
    tells_as: "deployment-controller",
    wakes_on: &[Wake::Itself(DEPLOYMENT.resource), Wake::By(REPLICA_SET.resource, of_set), Wake::By(PODS, of_pod)],
    workers: 5,
    work: Work::Plan(plan),
};

fn of_set(world: &World<'_>, change: &Change) -> Vec<Key> {
    claims::owners_of(world, change, &DEPLOYMENT)
}

/// The last pod that goes lets a Recreate go on. Upstream: deletePod.
fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    let gone = change.new.is_none() || change.new.as_ref().is_some_and(|pod| pods::is_finished(pod));
    let meta = api::meta::of(change.object());
    let Some(owner) = meta.controller().filter(|o| gone && o.kind() == REPLICA_SET.kind) else { return Vec::new() };
    let Some(set) = world.get(REPLICA_SET.resource, meta.namespace(), owner.name()) else { return Vec::new() };
    let Some(deployment) = api::meta::of(&set).controller().map(|d| Key::new(meta.namespace(), d.name())) else {
        return Vec::new();
    };
    let known = world.get(DEPLOYMENT.resource, &deployment.namespace, &deployment.name);
    let recreates = known.is_some_and(|d| d.at("spec").at("strategy").str("type") == "Recreate");
    if recreates { vec![deployment] } else { Vec::new() }
}

/// A deployment on the way to its next state.
struct Rollout<'a> {
    world: &'a World<'a>,
    old: Arc<Value>,
    /// The deployment as it is to be, with its status.
    new: Value,
    sets: Sets,
    plan: Plan,
    now: String,
}

fn plan(world: &World<'_>) -> Plan {
    let Some(old) = world.itself(DEPLOYMENT.resource) else { return Plan::nothing("it is gone") };
    if old.at("spec").at("selector").is_empty() {
        return selects_all(&old);
    }
    let claimed = claims::claim(world, &DEPLOYMENT, &old, REPLICA_SET.resource, |_| true);
    let sets = Sets::new(&old, claimed.kept);
    let plan = Plan { actions: claimed.actions, ..Plan::default() };
    let now = api::time::seconds(world.now);
    let mut rollout = Rollout { world, new: Value::clone(&old), old, sets, plan, now };
    let because = rollout.go();
    rollout.plan.because = because.into();
    rollout.plan
}

fn selects_all(old: &Arc<Value>) -> Plan {
    let message = "This deployment is selecting all pods. A non-empty selector is required.";
    let mut plan = Plan::nothing("it selects all pods");
    plan.events.push(Event::warning(old, "SelectingAll", message));
    let generation = api::meta::of(old).generation();
    if old.at("status").int("observedGeneration") < generation {
        let mut new = Value::clone(old);
        new.set_path(&["status", "observedGeneration"], generation);
        plan.actions.push(Action::update_status(DEPLOYMENT.resource, new));
    }
    plan
}

// === impl Rollout ===

impl Rollout<'_> {
    /// Plans what is next; answers why. Upstream: syncDeployment.
    fn go(&mut self) -> String {
        if api::meta::of(&self.old).is_terminating() {
            self.sync_status(false);
            return "it goes away".into();
        }
        if self.sync_pause() {
            return "it was paused or resumed".into();
        }
        if let Some(revision) = revisions::rollback_to(&self.old).filter(|_| !self.is_paused()) {
            return self.roll_back(revision);
        }
        if let Some(because) = self.sync_revision() {
            return because;
        }
        if self.is_paused() {
            self.scale();
            self.clean_up();
            self.sync_status(false);
            return "it is paused".into();
        }
        if self.is_scaled() {
            self.scale();
            self.sync_status(false);
            return "its size has changed".into();
        }
        match self.spec().at("strategy").str("type") {
            "Recreate" => self.recreate(),
            _ => self.roll(),
        }
    }

    fn spec(&self) -> &Value {
        self.old.at("spec")
    }

    fn replicas(&self) -> i64 {
        self.spec().int("replicas")
    }

    fn is_paused(&self) -> bool {
        self.spec().bool("paused")
    }

    fn name(&self) -> &str {
        api::meta::of(&self.old).name()
    }

    /// So many seconds without progress are a failure; `i32::MAX` stands for none.
    fn deadline_seconds(&self) -> Option<i64> {
        self.spec().opt_int("progressDeadlineSeconds").filter(|s| *s != i64::from(i32::MAX))
    }

    /// Upstream: checkPausedConditions.
    fn sync_pause(&mut self) -> bool {
        if self.deadline_seconds().is_none() {
            return false;
        }
        let reason = conditions::find(self.old.at("status"), "Progressing").map_or("", |c| c.str("reason"));
        let (reason, message) = match (self.is_paused(), reason) {
            (_, "ProgressDeadlineExceeded") | (true, "DeploymentPaused") => return false,
            (true, _) => ("DeploymentPaused", "Deployment is paused"),
            (false, "DeploymentPaused") => ("DeploymentResumed", "Deployment is resumed"),
            (false, _) => return false,
        };
        let condition = self.condition("Progressing", "Unknown", reason, message);
        conditions::set(self.new.entry("status"), condition);
        self.write_status();
        true
    }

    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Value {
        value!({
            "type": kind, "status": status, "lastUpdateTime": self.now.as_str(),
            "lastTransitionTime": self.now.as_str(), "reason": reason, "message": message
        })
    }

    /// Writes the status, and the annotations with it, when something is new.
    fn write_status(&mut self) -> bool {
        let changed = self.new != *self.old;
        if changed {
            self.plan.actions.push(Action::update_status(DEPLOYMENT.resource, self.new.clone()));
        }
        changed
    }

    /// The old sets beyond the limit of history go, oldest first. Upstream: cleanupDeployment.
    fn clean_up(&mut self) {
        let Some(limit) = self.spec().opt_int("revisionHistoryLimit").filter(|l| *l != i64::from(i32::MAX)) else {
            return;
        };
        let mut alive: Vec<&Set> = self.sets.old().filter(|s| !api::meta::of(&s.object).is_terminating()).collect();
        let surplus = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        alive.sort_by(|a, b| {
            let by_age = || pods::by_age(&a.object, &b.object);
            let revisions = (revisions::revision(&a.object), revisions::revision(&b.object));
            match revisions {
                (Some(a), Some(b)) => a.cmp(&b).then_with(by_age),
                _ => by_age(),
            }
        });
        let is_idle = |set: &&&Set| {
            let status = set.object.at("status");
            let seen = api::meta::of(&set.object).generation() <= status.int("observedGeneration");
            status.int("replicas") == 0 && set.replicas == 0 && seen
        };
        let idle = alive[..surplus].iter().filter(is_idle).map(|s| s.object.clone());
        self.plan.actions.extend(idle.map(|set| Action::delete(REPLICA_SET.resource, set)));
    }
}

#[cfg(test)]
mod tests;
