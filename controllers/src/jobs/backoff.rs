//! When pods ended, and how long to wait after failures.
//!
//! Upstream keeps a record of failures in memory; here it is read off the pods, which are kept for as long as the job is.
//! Upstream: pkg/controller/job/backoff_utils.go.

use std::sync::Arc;

use api::Value;
use jiff::{SignedDuration, Timestamp};

use crate::pods;

/// The wait after the first failure, and the longest. Upstream: DefaultJobPodFailureBackOff, MaxJobPodFailureBackOff.
const FIRST_SECONDS: i64 = 10;
const SECONDS_MAX: i64 = 600;

/// When a pod ended. Upstream: getFinishedTime.
pub(super) fn finished_at(pod: &Value) -> Option<Timestamp> {
    of_containers(pod).or_else(|| unready_since(pod)).or_else(|| deleted_at(pod)).or_else(|| pods::created(pod))
}

fn of_containers(pod: &Value) -> Option<Timestamp> {
    let (status, spec) = (pod.at("status"), pod.at("spec"));
    let sidecars = spec.list("initContainers").iter().filter(|c| c.str("restartPolicy") == "Always");
    let sidecars: Vec<&str> = sidecars.map(|c| c.str("name")).collect();
    let inits = status.list("initContainerStatuses").iter().filter(|c| sidecars.contains(&c.str("name")));
    let ends = status.list("containerStatuses").iter().chain(inits);
    let ends: Option<Vec<Timestamp>> =
        ends.map(|c| api::time::parse(c.at_path(&["state", "terminated"]).str("finishedAt"))).collect();
    ends?.into_iter().max()
}

fn unready_since(pod: &Value) -> Option<Timestamp> {
    let ready = pods::condition(pod, "Ready").filter(|c| c.str("status") == "False")?;
    api::time::parse(ready.str("lastTransitionTime"))
}

fn deleted_at(pod: &Value) -> Option<Timestamp> {
    let at = api::time::parse(api::meta::of(pod).deletion_timestamp())?;
    at.checked_sub(SignedDuration::from_secs(pod.at("metadata").int("deletionGracePeriodSeconds"))).ok()
}

/// Until when to wait after so many failures in a row, the last one at `last`. Upstream: getRemainingTimeForFailuresCount.
pub(super) fn until(failures: i64, last: Option<Timestamp>) -> Option<Timestamp> {
    let last = last.filter(|_| failures > 0)?;
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(10);
    let seconds = (FIRST_SECONDS << doublings).min(SECONDS_MAX);
    last.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// The failures after the last success, and when the last one was. Upstream: newBackoffRecord.
pub(super) fn failures_in_a_row(pods: &[Arc<Value>], is_failed: impl Fn(&Value) -> bool) -> (i64, Option<Timestamp>) {
    let succeeded = pods.iter().filter(|p| pods::phase(p) == "Succeeded").filter_map(|p| finished_at(p)).max();
    let failed = pods.iter().filter(|p| is_failed(p)).filter_map(|p| finished_at(p));
    let failed: Vec<Timestamp> = failed.filter(|at| succeeded.is_none_or(|s| *at > s)).collect();
    (failed.len() as i64, failed.into_iter().max())
}
