//! The phase that containers' statuses come to. Upstream: kubelet_pods.go getPhase.

use api::Value;

use super::Facts;
use crate::pods::restart;

#[derive(Default)]
struct Count {
    pending_init: u32,
    pending_sidecars: u32,
    failed_init: u32,
    unknown: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    /// Of those that have stopped: they stay so.
    stopped_for_good: u32,
    succeeded: u32,
}

/// Pending, Running, Succeeded or Failed.
pub fn of(facts: &Facts<'_>, status: &Value) -> &'static str {
    let count = count(facts, status);
    let pod = facts.pod;
    let initialized = || {
        let mut regular = pod.at("spec").list("containers").iter();
        regular.any(|c| facts.observed.newest_active(c.str("name")).is_some())
    };
    if count.failed_init > 0 {
        return "Failed";
    }
    if count.pending_init > 0 || (count.pending_sidecars > 0 && !initialized()) || count.waiting > 0 {
        return "Pending";
    }
    if count.running > 0 && count.unknown == 0 {
        return "Running";
    }
    if count.running > 0 || count.stopped == 0 || count.unknown > 0 {
        return "Pending";
    }
    let well = count.stopped == count.succeeded;
    match facts.terminal || count.stopped == count.stopped_for_good {
        true if well => "Succeeded",
        true => "Failed",
        false => "Running",
    }
}

fn count(facts: &Facts<'_>, status: &Value) -> Count {
    let mut count = Count::default();
    let spec = facts.pod.at("spec");
    let told =
        |list: &str, name: &str| -> Option<Value> { status.list(list).iter().find(|s| s.str("name") == name).cloned() };
    for container in spec.list("initContainers") {
        let found = told("initContainerStatuses", container.str("name"));
        match restart::is_sidecar(container) {
            true => sidecar(&mut count, found.as_ref()),
            false => init(&mut count, facts, container, found.as_ref()),
        }
    }
    for container in spec.list("containers") {
        let found = told("containerStatuses", container.str("name"));
        regular(&mut count, facts, container, found.as_ref());
    }
    count
}

/// How it ended, when it has: now, or before it waited.
fn exit_code(status: &Value) -> Option<i32> {
    let state = status.at("state");
    let ended = match (state.has("terminated"), state.has("waiting")) {
        (true, _) => state.at("terminated"),
        (_, true) => status.at("lastState").at("terminated"),
        _ => Value::NULL,
    };
    (!ended.is_null()).then(|| i32::try_from(ended.int("exitCode")).unwrap_or(i32::MAX))
}

fn init(count: &mut Count, facts: &Facts<'_>, container: &Value, status: Option<&Value>) {
    match status.and_then(exit_code) {
        None => count.pending_init += 1,
        Some(0) => {}
        Some(code) if !restart::after_exit(container, facts.pod, code) => count.failed_init += 1,
        Some(_) => {}
    }
}

fn sidecar(count: &mut Count, status: Option<&Value>) {
    let Some(status) = status else {
        count.unknown += 1;
        return;
    };
    let state = status.at("state");
    if state.has("running") {
        count.pending_sidecars += u32::from(!status.bool("started"));
        count.running += 1;
    } else if state.has("waiting") && !status.at("lastState").has("terminated") {
        count.pending_sidecars += 1;
        count.waiting += 1;
    } else if !state.has("terminated") && !state.has("waiting") {
        count.pending_sidecars += 1;
        count.unknown += 1;
    }
}

fn regular(count: &mut Count, facts: &Facts<'_>, container: &Value, status: Option<&Value>) {
    let Some(status) = status else {
        count.unknown += 1;
        return;
    };
    let state = status.at("state");
    if state.has("running") {
        count.running += 1;
        return;
    }
    match exit_code(status) {
        Some(code) => {
            count.stopped += 1;
            count.stopped_for_good += u32::from(!restart::after_exit(container, facts.pod, code));
            count.succeeded += u32::from(code == 0 && state.has("terminated"));
        }
        None if state.has("waiting") => count.waiting += 1,
        None => count.unknown += 1,
    }
}
