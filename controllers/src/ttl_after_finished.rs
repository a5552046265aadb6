//! Finished jobs go when their time is up.
//!
//! Upstream: pkg/controller/ttlafterfinished.

use client::Propagation;
use jiff::{SignedDuration, Timestamp};

use api::Value;

use crate::{
    claims::JOB,
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, Plan},
        world::World,
    },
};

pub const SPEC: Spec = Spec {
    name: "ttl-after-finished-controller",
    alias: "ttl-after-finished",
    acts_for: "ttl-after-finished-controller",
    tells_as: "ttl-after-finished-controller",
    wakes_on: &[Wake::Itself(JOB.resource)],
    workers: 5,
    work: Work::Plan(plan),
};

fn plan(world: &World<'_>) -> Plan {
    let Some(job) = world.itself(JOB.resource) else { return Plan::nothing("it is gone") };
    if api::meta::of(&job).is_terminating() {
        return Plan::nothing("it goes away");
    }
    match end(&job) {
        None => Plan::nothing("it has no end"),
        Some(at) if at > world.now => Plan { again_at: Some(at), ..Plan::nothing("its time is not up") },
        Some(_) => {
            // Whoever reads of it may be behind: the time may have been prolonged.
            let confirm = Action::confirm(JOB.resource, job.clone());
            let delete = Action::delete_with(JOB.resource, job, Propagation::Foreground);
            Plan::of(vec![confirm, delete], "its time is up")
        }
    }
}

/// When a finished job is to go.
fn end(job: &Value) -> Option<Timestamp> {
    let seconds = job.at("spec").opt_int("ttlSecondsAfterFinished")?;
    let status = job.at("status");
    let kind = ["Complete", "Failed"].into_iter().find(|kind| conditions::is_true(status, kind))?;
    let finished = api::time::parse(conditions::find(status, kind)?.str("lastTransitionTime"))?;
    finished.checked_add(SignedDuration::from_secs(seconds)).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/ttl_after_finished.yaml"));
    }
}
