//! Ending containers and pods, with the time that they are given.
//!
//! Upstream: kuberuntime_container.go killContainer, kuberuntime_termination_order.go.

use std::time::Duration;

use api::Value;

use super::field_of;
use crate::{
    hooks,
    pods::{
        ground::Ground,
        observe::{Observed, PodView, Seen},
        plan::{self, Kill, Kind},
        restart,
    },
    runtime::{Error, State},
};

/// So long has every container at least. Upstream: minimumGracePeriodInSeconds.
const GRACE_SECONDS_MIN: i64 = 2;
/// What a pod that does not say has.
const GRACE_SECONDS_DEFAULT: i64 = 30;

/// How long a container may take. Upstream: setTerminationGracePeriod.
pub fn grace_seconds(pod: &Value, name: &str, why: Kill) -> i64 {
    if let Some(seconds) = pod.at("metadata").opt_int("deletionGracePeriodSeconds") {
        return seconds;
    }
    let probe = match why {
        Kill::Liveness => "livenessProbe",
        Kill::Startup => "startupProbe",
        Kill::Other => "",
    };
    let own = plan::find_any(pod, name).and_then(|c| c.at(probe).opt_int("terminationGracePeriodSeconds"));
    let pods = pod.at("spec").opt_int("terminationGracePeriodSeconds");
    own.or(pods).unwrap_or(GRACE_SECONDS_DEFAULT)
}

/// A container that is to end. `ip` is its pod's.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub name: &'a str,
    pub id: &'a str,
    pub ip: &'a str,
}

/// Ends one container.
pub async fn container(
    ground: &Ground,
    pod: &Value,
    target: Target<'_>,
    message: &str,
    grace_seconds: i64,
) -> Result<(), Error> {
    let Target { name, id, .. } = target;
    let message = if message.is_empty() { format!("Stopping container {name}") } else { message.into() };
    ground.events.about(pod, &field_of(pod, name), false, "Killing", message);
    let begun = ground.clock.now();
    before_stop(ground, pod, target, grace_seconds).await;
    let spent = ground.clock.now().as_second() - begun.as_second();
    ground.runtime.stop_container(id, left(grace_seconds - spent)).await
}

fn left(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds.max(GRACE_SECONDS_MIN)).unwrap_or(0))
}

/// The container's preStop hook, within the time that it has.
async fn before_stop(ground: &Ground, pod: &Value, target: Target<'_>, grace_seconds: i64) {
    let Some(container) = plan::find_any(pod, target.name) else { return };
    let handler = container.at("lifecycle").at("preStop");
    if handler.is_null() || grace_seconds <= 0 {
        return;
    }
    let hook = hooks::Target { pod, container, container_id: target.id, pod_ip: target.ip };
    let run = hooks::run(&*ground.runtime, &ground.events, &hook, handler);
    let limit = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
    if let Ok(Err(error)) = tokio::time::timeout(limit, run).await {
        tracing::info!(container = target.name, %error, "a hook failed");
        let field = field_of(pod, target.name);
        ground.events.about(pod, &field, true, "FailedPreStopHook", "PreStopHook failed".into());
    }
}

/// Ends all of a pod: containers at once, but sidecars after them, the last one first; then its sandboxes.
pub async fn stop(ground: &Ground, pod: &Value, observed: &Observed, grace: Option<i64>) -> Result<(), Error> {
    let may_run = |c: &&Seen| matches!(c.state, State::Running | State::Unknown);
    let running: Vec<&Seen> = observed.containers.iter().filter(may_run).collect();
    let is_sidecar = |c: &Seen| plan::find(pod, Kind::Init, &c.name).is_some_and(restart::is_sidecar);
    let grace = |c: &Seen| grace.unwrap_or_else(|| grace_seconds(pod, &c.name, Kill::Other));
    let begun = ground.clock.now();
    let first = running.iter().filter(|c| !is_sidecar(c));
    let ip = observed.ips().first().map(String::as_str).unwrap_or_default();
    let first = first.map(|c| container(ground, pod, Target { name: &c.name, id: &c.id, ip }, "", grace(c)));
    let mut outcome = first_error(futures::future::join_all(first).await);
    let order = |c: &&&Seen| {
        let list = pod.at("spec").list("initContainers");
        std::cmp::Reverse(list.iter().position(|spec| spec.str("name") == c.name))
    };
    let mut sidecars: Vec<&&Seen> = running.iter().filter(|c| is_sidecar(c)).collect();
    sidecars.sort_by_key(order);
    for sidecar in sidecars {
        let spent = ground.clock.now().as_second() - begun.as_second();
        let target = Target { name: &sidecar.name, id: &sidecar.id, ip };
        let ended = container(ground, pod, target, "", grace(sidecar) - spent).await;
        outcome = outcome.and(ended);
    }
    outcome?;
    let sandboxes = observed.sandboxes.iter().filter(|s| s.sandbox.ready);
    let stops = sandboxes.map(|s| ground.runtime.stop_sandbox(&s.sandbox.id));
    let outcome = first_error(futures::future::join_all(stops).await);
    if let Err(error) = &outcome {
        let message =
            format!("error killing pod: failed to \"KillPodSandbox\" for \"{}\": {error}", api::meta::of(pod).uid());
        ground.events.warning(pod, "FailedKillPod", message);
    }
    outcome
}

/// Takes away what is left of a pod in the runtime.
pub async fn remove(ground: &Ground, view: &PodView) -> Result<(), Error> {
    for container in &view.containers {
        ground.runtime.remove_container(&container.id).await?;
    }
    for sandbox in &view.sandboxes {
        ground.runtime.stop_sandbox(&sandbox.id).await?;
        ground.runtime.remove_sandbox(&sandbox.id).await?;
    }
    Ok(())
}

fn first_error(outcomes: Vec<Result<(), Error>>) -> Result<(), Error> {
    outcomes.into_iter().find(Result::is_err).unwrap_or(Ok(()))
}
