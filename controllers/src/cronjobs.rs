//! CronJobs make a job whenever their schedule says so.
//!
//! Upstream: pkg/controller/cronjob. Which times have come is computed from the last one that the status names.

mod schedule;

use std::sync::Arc;

use api::{Value, value};
use client::Propagation;
use jiff::{SignedDuration, Timestamp};

use crate::{
    claims::{self, CRON_JOB, JOB},
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, After, Event, Excuse, Plan, Tell},
        world::World,
    },
    jobs,
};

use schedule::{Missed, Times};

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub const SPEC: Spec = Spec {
    name: "cronjob-controller",
    alias: "cronjob",
    acts_for: "cronjob-controller",
    tells_as: "cronjob-controller",
    wakes_on: &[Wake::Itself(CRON_JOB.resource), Wake::Owned(JOB.resource, CRON_JOB.kind)],
    workers: 5,
    work: Work::Plan(plan),
};

/// A CronJob in the midst of a plan.
struct Sync<'a> {
    world: &'a World<'a>,
    old: Arc<Value>,
    status: Value,
    children: Vec<Arc<Value>>,
    plan: Plan,
}

fn plan(world: &World<'_>) -> Plan {
    let Some(old) = world.itself(CRON_JOB.resource) else { return Plan::nothing("it is gone") };
    let children = claims::controlled(world, JOB.resource, &old);
    let status = old.at("status").clone();
    let mut sync = Sync { world, status, children, plan: Plan::default(), old };
    sync.clean_up();
    sync.see_children();
    let because = sync.schedule();
    sync.plan.because = because.into();
    sync.into_plan()
}

/// What a finished job came to: `Complete` or `Failed`.
fn end(job: &Value) -> Option<&'static str> {
    ["Complete", "Failed"].into_iter().find(|kind| conditions::is_true(job.at("status"), kind))
}

// === impl Sync ===

impl Sync<'_> {
    fn spec(&self) -> &Value {
        self.old.at("spec")
    }

    fn tell(&mut self, warning: bool, reason: &str, message: String) {
        let event = Event { regarding: self.old.clone(), warning, reason: reason.into(), message };
        self.plan.events.push(event);
    }

    fn is_active(&self, uid: &str) -> bool {
        self.status.list("active").iter().any(|j| j.str("uid") == uid)
    }

    fn drop_active(&mut self, uid: &str) {
        let left: Vec<Value> = self.status.list("active").iter().filter(|j| j.str("uid") != uid).cloned().collect();
        match left.is_empty() {
            true => drop(self.status.remove("active")),
            false => self.status.set("active", Value::array(left)),
        }
    }

    /// Jobs beyond the limits of history go. Upstream: cleanupFinishedJobs.
    fn clean_up(&mut self) {
        for (kind, limit) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")] {
            let Some(limit) = self.spec().opt_int(limit) else { continue };
            let mut jobs: Vec<Arc<Value>> = self.children.iter().filter(|j| end(j) == Some(kind)).cloned().collect();
            jobs.retain(|job| !api::meta::of(job).is_terminating());
            jobs.sort_by_key(|job| {
                let start = job.at("status").opt_str("startTime").map(ToString::to_string);
                (start.is_none(), start, api::meta::of(job).name().to_string())
            });
            let surplus = jobs.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            for job in &jobs[..surplus] {
                self.delete(job);
            }
        }
    }

    fn delete(&mut self, job: &Arc<Value>) {
        let meta = api::meta::of(job);
        self.drop_active(meta.uid());
        let tell = Tell {
            regarding: self.old.clone(),
            done: Some(("SuccessfulDelete", format!("Deleted job {}", meta.name()))),
            failed: Some(("FailedDelete", "Deleted job: {}".into())),
        };
        let delete = Action::delete_with(JOB.resource, job.clone(), Propagation::Background).tell(tell);
        self.plan.actions.push(delete);
    }

    /// What has become of its jobs. Upstream: syncCronJob's first half.
    fn see_children(&mut self) {
        for job in self.children.clone() {
            let (uid, name) = (api::meta::of(&job).uid(), api::meta::of(&job).name());
            let known = self.is_active(uid);
            let Some(end) = end(&job) else {
                if !known {
                    self.tell(
                        true,
                        "UnexpectedJob",
                        format!("Saw a job that the controller did not create or forgot: {name}"),
                    );
                }
                continue;
            };
            if known {
                self.drop_active(uid);
                self.tell(false, "SawCompletedJob", format!("Saw completed job: {name}, condition: {end}"));
            }
            let at = job.at("status").str("completionTime");
            if end == "Complete" && !at.is_empty() && self.status.str("lastSuccessfulTime") < at {
                self.status.set("lastSuccessfulTime", at);
            }
        }
        for job in self.status.list("active").to_vec() {
            if !self.children.iter().any(|child| api::meta::of(child).uid() == job.str("uid")) {
                self.tell(false, "MissingJob", format!("Active job went missing: {}", job.str("name")));
                self.drop_active(job.str("uid"));
            }
        }
    }

    /// Starts what is due; answers why. Upstream: syncCronJob's second half.
    fn schedule(&mut self) -> String {
        if api::meta::of(&self.old).is_terminating() {
            return "it goes away".into();
        }
        let zone = self.spec().opt_str("timeZone").map(ToString::to_string);
        let read_zone = api::cron::time_zone(zone.as_deref().unwrap_or(""));
        let zone = match read_zone {
            Ok(zone) => zone,
            Err(why) => {
                let name = zone.unwrap_or_default();
                self.tell(true, "UnknownTimeZone", format!("invalid timeZone: {name:?}: {why}"));
                return "its time zone is not known".into();
            }
        };
        if self.spec().bool("suspend") {
            return "it is suspended".into();
        }
        let text = self.spec().str("schedule").to_string();
        if text.contains("TZ") {
            let where_to = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/";
            let message = format!(
                "CRON_TZ or TZ used in schedule {text:?} is not officially supported, see {where_to} for more details"
            );
            self.tell(true, "UnsupportedSchedule", message);
        }
        let schedule = match api::cron::parse(&text) {
            Ok(schedule) => schedule,
            Err(why) => {
                self.tell(true, "UnparseableSchedule", format!("unparseable schedule: {text:?} : {why}"));
                return "its schedule cannot be read".into();
            }
        };
        let times = Times { job: &self.old.clone(), schedule: &schedule, zone: &zone, now: self.world.now };
        match times.due() {
            Err(why) => {
                self.tell(true, "InvalidSchedule", format!("invalid schedule: {text} : {why}"));
                "its schedule is impossible".into()
            }
            Ok(None) => {
                self.plan.again_at = times.next();
                "it is not time yet".into()
            }
            Ok(Some((at, missed))) => {
                if missed == Missed::Many {
                    let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                    self.tell(true, "TooManyMissedTimes", message.into());
                }
                self.plan.again_at = times.next();
                self.start(at, schedule::written(at, &zone))
            }
        }
    }

    fn start(&mut self, at: Timestamp, written: String) -> String {
        let (now, meta) = (self.world.now, api::meta::of(&self.old));
        let deadline = self.spec().opt_int("startingDeadlineSeconds").map(SignedDuration::from_secs);
        if deadline.is_some_and(|deadline| at + deadline < now) {
            let message =
                format!("Missed scheduled time to start a job: {}", at.strftime("%a, %d %b %Y %H:%M:%S +0000"));
            self.tell(true, "MissSchedule", message);
            return "it is too late".into();
        }
        let name = format!("{}-{}", meta.name(), at.as_second().div_euclid(60));
        let is_started = self.status.list("active").iter().any(|j| j.str("name") == name);
        if is_started || api::time::parse(self.status.str("lastScheduleTime")) == Some(at) {
            return "it has been started".into();
        }
        let policy = self.spec().str("concurrencyPolicy").to_string();
        let active = self.status.list("active").to_vec();
        if policy == "Forbid" && !active.is_empty() {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            self.tell(false, "JobAlreadyActive", message.into());
            return "the last one still runs".into();
        }
        if policy == "Replace" {
            let uids: Vec<&str> = active.iter().map(|j| j.str("uid")).collect();
            let old: Vec<Arc<Value>> =
                self.children.iter().filter(|c| uids.contains(&api::meta::of(c).uid())).cloned().collect();
            old.iter().for_each(|job| self.delete(job));
        }
        self.create(&name, at, written);
        "a job is due".into()
    }

    fn create(&mut self, name: &str, at: Timestamp, written: String) {
        let at = api::time::seconds(at);
        if let Some(known) = self.children.iter().find(|c| api::meta::of(c).name() == name) {
            // Made before, and not noted.
            let reference = reference(known);
            if !jobs::is_finished(known) {
                self.status.entry("active").make_array().push(reference);
            }
            self.status.set("lastScheduleTime", at);
            return;
        }
        let template = self.spec().at("jobTemplate");
        let mut job = value!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": name, "namespace": api::meta::of(&self.old).namespace(),
                "ownerReferences": [CRON_JOB.controller_reference(&self.old)]
            },
            "spec": template.at("spec")
        });
        for member in ["labels", "annotations"] {
            if template.at("metadata").has(member) {
                job.set_path(&["metadata", member], template.at("metadata").at(member));
            }
        }
        job.set_path(&["metadata", "annotations", SCHEDULED], written);
        let create = Action::create(JOB.resource, job).excuse(&[Excuse::NamespaceTerminating]).tell(Tell {
            regarding: self.old.clone(),
            done: Some(("SuccessfulCreate", "Created job {}".into())),
            failed: Some(("FailedCreate", "Error creating job: {}".into())),
        });
        self.plan.actions.push(create);
        self.status.set("lastScheduleTime", at);
    }

    /// The status names the job that was made, which has its uid only then.
    fn into_plan(mut self) -> Plan {
        let (old, status) = (self.old.clone(), self.status);
        self.plan.after = Some(After::new(move |came| {
            let mut status = status.clone();
            for job in came.made {
                status.entry("active").make_array().push(reference(job));
            }
            if came.failure.is_some() && came.made.is_empty() {
                match old.at("status").opt_str("lastScheduleTime") {
                    Some(last) => status.set("lastScheduleTime", last),
                    None => drop(status.remove("lastScheduleTime")),
                }
            }
            if status == *old.at("status") {
                return Vec::new();
            }
            let mut new = Value::clone(&old);
            new.set("status", status);
            vec![Action::update_status(CRON_JOB.resource, new)]
        }));
        self.plan
    }
}

fn reference(job: &Value) -> Value {
    let meta = api::meta::of(job);
    value!({
        "kind": "Job", "namespace": meta.namespace(), "name": meta.name(), "uid": meta.uid(),
        "apiVersion": "batch/v1", "resourceVersion": meta.resource_version()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/cronjobs.yaml"));
    }
}
