//! Jobs run pods until so many have succeeded.
//!
//! A finished pod is counted once: its uid is written into the status, then its finalizer goes, and only when that is seen
//! does the number go up. Whoever dies in between goes on where the status says. Upstream: pkg/controller/job.

mod backoff;
mod indexes;
mod making;
mod policies;
mod tracking;

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, value};
use client::{Change, mirror::Key};
use jiff::{SignedDuration, Timestamp};

use crate::{
    claims::{self, JOB},
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, After, Event, Excuse, Plan},
        world::World,
    },
    pods::{self, PODS},
};

use indexes::Indexes;

const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const NAME_LABEL: &str = "batch.kubernetes.io/job-name";
const MANAGER: &str = "kubernetes.io/job-controller";

pub const SPEC: Spec = Spec {
    name: "job-controller",
    alias: "job",
    acts_for: "job-controller",
    tells_as: "job-controller",
    wakes_on: &[Wake::Itself(JOB.resource), Wake::By(PODS, of_pod)],
    workers: 5,
    work: Work::Plan(plan),
};

fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    claims::owners_of(world, change, &JOB)
}

/// A job in the midst of a plan.
struct Sync<'a> {
    world: &'a World<'a>,
    old: Arc<Value>,
    /// The status as it is to be.
    status: Value,
    pods: Vec<Arc<Value>>,
    active: Vec<Arc<Value>>,
    succeeded: i64,
    failed: i64,
    terminating: i64,
    ready: i64,
    /// Indexes that had succeeded before, and with what is seen now.
    succeeded_before: Indexes,
    succeeded_indexes: Indexes,
    failed_indexes: Option<Indexes>,
    /// Failed pods that stay until their index has its next one, which takes over their count.
    delayed: BTreeMap<i64, Arc<Value>>,
    finished: Option<Value>,
    plan: Plan,
    now: String,
}

fn plan(world: &World<'_>) -> Plan {
    let Some(job) = world.itself(JOB.resource) else { return leftovers(world) };
    if job.at("spec").opt_str("managedBy").is_some_and(|by| by != MANAGER) {
        return Plan::nothing("another controller manages it");
    }
    if is_finished(&job) {
        let owned = claims::controlled(world, PODS, &job);
        return without_finalizers(owned, "it is finished");
    }
    let claimed = claims::claim(world, &JOB, &job, PODS, |_| true);
    let mut plan = Plan { actions: claimed.actions.into_iter().map(tracked).collect(), ..Plan::default() };
    let adopted = |pod: &Arc<Value>| !claims::is_controlled_by(pod, &job);
    let kept = claimed.kept.iter().map(|pod| if adopted(pod) { with_finalizer(pod) } else { pod.clone() }).collect();
    plan.because = "its pods are as they should be".into();
    Sync::new(world, job, kept, plan).go()
}

pub(crate) fn is_finished(job: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| conditions::is_true(job.at("status"), kind))
}

fn has_finalizer(pod: &Value) -> bool {
    api::meta::of(pod).finalizers().any(|f| f == FINALIZER)
}

fn with_finalizer(pod: &Value) -> Arc<Value> {
    let mut pod = pod.clone();
    if !has_finalizer(&pod) {
        pod.entry_path(&["metadata", "finalizers"]).make_array().push(FINALIZER.into());
    }
    Arc::new(pod)
}

/// Adopted pods are tracked like the others, released ones no longer.
fn tracked(mut action: Action) -> Action {
    if let crate::driver::plan::Deed::Patch { object, patch, .. } = &mut action.deed {
        let adopts = patch.at_path(&["metadata", "ownerReferences"]).items().iter().any(|o| o.str("kind") == "Job");
        let mut finalizers: Vec<&str> = api::meta::of(object).finalizers().filter(|f| *f != FINALIZER).collect();
        if adopts {
            finalizers.push(FINALIZER);
        }
        let finalizers: Value = finalizers.into_iter().map(Value::from).collect();
        patch.set_path(&["metadata", "finalizers"], finalizers);
    }
    action
}

fn untrack(pod: &Arc<Value>) -> Action {
    let patch = value!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    Action::patch_strategically(PODS, pod.clone(), patch).excuse(&[Excuse::NotFound])
}

fn without_finalizers(pods: Vec<Arc<Value>>, because: &'static str) -> Plan {
    Plan::of(pods.iter().filter(|pod| has_finalizer(pod)).map(untrack).collect(), because)
}

/// Pods of a job that is gone wait for nobody. Upstream: syncOrphanPod.
fn leftovers(world: &World<'_>) -> Plan {
    let mut pods = world.mirror(PODS).in_namespace(&world.key.namespace);
    pods.retain(|pod| {
        let meta = api::meta::of(pod);
        match meta.controller() {
            Some(owner) => owner.kind() == JOB.kind && owner.name() == world.key.name,
            None => meta.label(NAME_LABEL) == Some(&world.key.name),
        }
    });
    without_finalizers(pods, "it is gone")
}

// === impl Sync ===

impl<'a> Sync<'a> {
    fn new(world: &'a World<'a>, old: Arc<Value>, pods: Vec<Arc<Value>>, plan: Plan) -> Sync<'a> {
        let active: Vec<Arc<Value>> = pods.iter().filter(|p| pods::is_active(p)).cloned().collect();
        let going = pods.iter().filter(|p| pods::is_terminating(p) && !pods::is_finished(p)).count() as i64;
        let ready = active.iter().filter(|p| pods::is_ready(p)).count() as i64;
        let mut status = old.at("status").clone();
        status.default("uncountedTerminatedPods", Value::object());
        Sync {
            world,
            old,
            status,
            active,
            pods,
            succeeded: 0,
            failed: 0,
            terminating: going,
            ready,
            succeeded_before: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            delayed: BTreeMap::new(),
            finished: None,
            plan,
            now: api::time::seconds(world.now),
        }
    }

    fn spec(&self) -> &Value {
        self.old.at("spec")
    }

    fn is_indexed(&self) -> bool {
        self.spec().str("completionMode") == "Indexed"
    }

    fn completions(&self) -> Option<i64> {
        self.spec().opt_int("completions")
    }

    fn is_suspended(&self) -> bool {
        self.spec().bool("suspend")
    }

    /// Only pods that have really failed are replaced, not those on their way out.
    fn replaces_failed_only(&self) -> bool {
        self.spec().str("podReplacementPolicy") == "Failed"
    }

    fn limit_per_index(&self) -> Option<i64> {
        self.spec().opt_int("backoffLimitPerIndex")
    }

    fn is_failed(&self, pod: &Value) -> bool {
        let deleted = api::meta::of(pod).is_terminating() && pods::phase(pod) != "Succeeded";
        pods::phase(pod) == "Failed" || (deleted && !self.replaces_failed_only())
    }

    /// The index of a pod, when it is one that the job has.
    fn index(&self, pod: &Value) -> Option<i64> {
        indexes::of(pod).filter(|i| Some(*i) < self.completions())
    }

    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Value {
        value!({
            "type": kind, "status": status, "lastProbeTime": self.now.as_str(),
            "lastTransitionTime": self.now.as_str(), "reason": reason, "message": message
        })
    }

    fn look_again_at(&mut self, at: Timestamp) {
        self.plan.again_at = Some(self.plan.again_at.map_or(at, |known| known.min(at)));
    }

    /// Upstream: syncJob.
    fn go(mut self) -> Plan {
        self.count_finished();
        if !self.status.has("startTime") && !self.is_suspended() {
            self.status.set("startTime", self.now.as_str());
        }
        self.judge();
        let mut active = self.active.len() as i64;
        if self.finished.is_some() {
            self.plan.because = "it comes to its end".into();
            let gone = self.active.iter().map(|pod| pods::delete(pod, &self.old));
            let gone: Vec<Action> = gone.collect();
            self.plan.actions.extend(gone);
            self.terminating += active;
            self.ready = 0;
            active = 0;
        } else {
            let is_going = api::meta::of(&self.old).is_terminating();
            if !is_going {
                active = self.make();
            }
            if self.is_complete(active) {
                let message = "Reached expected number of succeeded pods";
                let condition = self.condition("SuccessCriteriaMet", "True", "CompletionsReached", message);
                self.finished = Some(condition);
            } else if !is_going {
                self.sync_suspension();
            }
        }
        conditions::int(&mut self.status, "active", active);
        self.status.set("ready", self.ready);
        self.status.set("terminating", self.terminating);
        let finish = self.track();
        self.into_plan(finish)
    }

    fn is_complete(&self, active: i64) -> bool {
        let enough = self.completions().map_or(self.succeeded > 0, |wanted| self.succeeded >= wanted);
        enough && active == 0
    }

    /// The end of the job, if it is its end already. Upstream: syncJob, where it evaluates conditions.
    fn judge(&mut self) {
        let known = self.old.at("status").list("conditions").iter();
        let known: Vec<Value> = known.filter(|c| c.str("status") == "True").cloned().collect();
        let of = |kind: &str| known.iter().find(|c| c.str("type") == kind).cloned();
        self.finished = of("SuccessCriteriaMet").or_else(|| of("FailureTarget")).or_else(|| self.failure_by_policy());
        if self.finished.is_none() {
            self.finished = self.failure_by_limits();
        }
        if !self.is_indexed() {
            return;
        }
        self.read_indexes();
        if self.finished.is_none() {
            self.finished = self.failure_by_indexes().or_else(|| self.success_by_policy());
        }
    }

    fn failure_by_limits(&mut self) -> Option<Value> {
        let spec = self.spec();
        let (limit, deadline) = (spec.int("backoffLimit"), spec.opt_int("activeDeadlineSeconds"));
        if self.failed > limit || self.has_restarted_too_often(limit) {
            let message = "Job has reached the specified backoff limit";
            return Some(self.condition("FailureTarget", "True", "BackoffLimitExceeded", message));
        }
        let deadline = deadline.filter(|_| !self.is_suspended())?;
        let at =
            api::time::parse(self.status.str("startTime"))?.checked_add(SignedDuration::from_secs(deadline)).ok()?;
        if at > self.world.now {
            self.look_again_at(at);
            return None;
        }
        let message = "Job was active longer than specified deadline";
        Some(self.condition("FailureTarget", "True", "DeadlineExceeded", message))
    }

    /// Upstream: pastBackoffLimitOnFailure.
    fn has_restarted_too_often(&self, limit: i64) -> bool {
        if self.spec().at_path(&["template", "spec"]).str("restartPolicy") != "OnFailure" {
            return false;
        }
        let running = self.pods.iter().filter(|p| matches!(pods::phase(p), "Running" | "Pending"));
        let restarts = running.map(|p| {
            let status = p.at("status");
            let all = status.list("initContainerStatuses").iter().chain(status.list("containerStatuses"));
            all.map(|c| c.int("restartCount")).sum::<i64>()
        });
        let restarts: i64 = restarts.sum();
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    fn sync_suspension(&mut self) {
        let known = conditions::find(&self.status, "Suspended").map(|c| c.str("status").to_string());
        let (status, reason, message) = match self.is_suspended() {
            true => ("True", "JobSuspended", "Job suspended"),
            false => ("False", "JobResumed", "Job resumed"),
        };
        let is_news = known.as_deref().map_or(status == "True", |known| known != status);
        if !is_news {
            return;
        }
        let condition = self.condition("Suspended", status, reason, message);
        replace(&mut self.status, condition);
        if self.is_suspended() {
            self.status.remove("startTime");
            self.plan.events.push(Event::normal(&self.old, "Suspended", message));
        } else {
            self.status.set("startTime", self.now.as_str());
            self.plan.events.push(Event::normal(&self.old, "Resumed", message));
        }
    }

    /// The status goes out last, and after it the finalizers of those that it counts.
    fn into_plan(mut self, untracked: Vec<Arc<Value>>) -> Plan {
        let (old, status, have) = (self.old.clone(), self.status, self.active.len() as i64);
        if !untracked.is_empty() || status != *old.at("status") {
            self.plan.because = format!("{}; its status is news", self.plan.because).into();
        }
        let ready = self.active.iter().filter(|p| pods::is_ready(p)).count();
        self.plan.after = Some(After::new(move |came| {
            let mut status = status.clone();
            if came.failure.is_some() {
                // What was asked for has not happened, and the end has not come.
                conditions::int(&mut status, "active", have + came.made.len() as i64);
                status.set("ready", ready);
                for kind in ["Complete", "Failed"] {
                    conditions::drop_kind(&mut status, kind);
                }
                status.remove("completionTime");
            }
            let mut actions = Vec::new();
            if status != *old.at("status") {
                let mut new = Value::clone(&old);
                new.set("status", status);
                actions.push(Action::update_status(JOB.resource, new));
            }
            actions.extend(untracked.iter().map(untrack));
            actions
        }));
        self.plan
    }
}

/// In its own place, when it is there already.
fn replace(status: &mut Value, condition: Value) {
    let list = status.entry("conditions").make_array();
    match list.iter_mut().find(|c| c.str("type") == condition.str("type")) {
        Some(known) => *known = condition,
        None => list.push(condition),
    }
}

#[cfg(test)]
mod tests;
