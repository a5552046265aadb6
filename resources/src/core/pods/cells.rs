//! Cells of `kubectl get pods`.
//!
//! Upstream: pkg/printers/internalversion/printers.go `printPod`.

use api::{Value, time, value};
use jiff::Timestamp;

use super::first_ip;
use crate::{
    cells::{age, or_none},
    pod::is_sidecar,
};

/// What a look over all container statuses finds.
#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: Restarts,
}

/// How often, and when last.
#[derive(Clone, Default)]
struct Restarts {
    count: i64,
    last: String,
}

pub fn ready(pod: &Value, _now: Timestamp) -> Value {
    let summary = summary(pod);
    format!("{}/{}", summary.ready, summary.total).into()
}

pub fn status(pod: &Value, _now: Timestamp) -> Value {
    summary(pod).reason.into()
}

/// `2 (5m ago)`.
pub fn restarts(pod: &Value, now: Timestamp) -> Value {
    let Restarts { count, last } = summary(pod).restarts;
    match count == 0 || last.is_empty() {
        true => count.to_string().into(),
        false => format!("{count} ({} ago)", age(&last, now)).into(),
    }
}

pub fn ip(pod: &Value, _now: Timestamp) -> Value {
    or_none(first_ip(pod))
}

pub fn node(pod: &Value, _now: Timestamp) -> Value {
    or_none(pod.at("spec").str("nodeName"))
}

pub fn nominated_node(pod: &Value, _now: Timestamp) -> Value {
    or_none(pod.at("status").str("nominatedNodeName"))
}

/// How many of the conditions that the pod waits for are true.
pub fn readiness_gates(pod: &Value, _now: Timestamp) -> Value {
    let gates = pod.at("spec").list("readinessGates");
    if gates.is_empty() {
        return or_none("");
    }
    let met = gates.iter().filter(|gate| condition(pod, gate.str("conditionType")).str("status") == "True").count();
    format!("{met}/{}", gates.len()).into()
}

/// A finished pod is told apart in the table. Upstream: `podSuccessConditions`, `podFailedConditions`.
pub fn row_conditions(pod: &Value) -> Value {
    let phase = pod.at("status").str("phase");
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return Value::Null,
    };
    value!([{"type": "Completed", "status": "True", "reason": phase, "message": message}])
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    pod.at("status").list("conditions").iter().find(|c| c.str("type") == kind).unwrap_or(Value::NULL)
}

fn summary(pod: &Value) -> Summary {
    let (spec, status) = (pod.at("spec"), pod.at("status"));
    let sidecars = spec.list("initContainers").iter().filter(|c| is_sidecar(c)).count();
    let mut summary =
        Summary { reason: first_reason(status), total: spec.list("containers").len() + sidecars, ..Default::default() };
    let (initializing, of_sidecars) = summary.initialize(spec, status);
    if !initializing || condition(pod, "Initialized").str("status") == "True" {
        summary.restarts = of_sidecars;
        summary.run(status);
    }
    if api::meta::of(pod).is_terminating() {
        if status.str("reason") == "NodeLost" {
            summary.reason = "Unknown".into();
        } else if !matches!(status.str("phase"), "Failed" | "Succeeded") {
            summary.reason = "Terminating".into();
        }
    }
    summary
}

fn first_reason(status: &Value) -> String {
    let gated = |c: &Value| c.str("type") == "PodScheduled" && c.str("reason") == "SchedulingGated";
    match (status.list("conditions").iter().any(gated), status.str("reason")) {
        (true, _) => "SchedulingGated".into(),
        (false, "") => status.str("phase").into(),
        (false, reason) => reason.into(),
    }
}

impl Summary {
    /// Looks over the init containers until one is not done. Returns whether there is such, and the sidecars' restarts.
    fn initialize(&mut self, spec: &Value, status: &Value) -> (bool, Restarts) {
        let mut of_sidecars = Restarts::default();
        for (i, container) in status.list("initContainerStatuses").iter().enumerate() {
            let name = container.str("name");
            let sidecar = spec.list("initContainers").iter().rfind(|c| c.str("name") == name).is_some_and(is_sidecar);
            self.restarts.add(container);
            if sidecar {
                of_sidecars.add(container);
            }
            let (terminated, waiting) =
                (container.at_path(&["state", "terminated"]), container.at_path(&["state", "waiting"]));
            if !terminated.is_null() && terminated.int("exitCode") == 0 {
                continue;
            }
            if sidecar && container.bool("started") {
                self.ready += usize::from(container.bool("ready"));
                continue;
            }
            self.reason = if !terminated.is_null() {
                format!("Init:{}", end(terminated))
            } else if !matches!(waiting.str("reason"), "" | "PodInitializing") {
                format!("Init:{}", waiting.str("reason"))
            } else {
                format!("Init:{i}/{}", spec.list("initContainers").len())
            };
            return (true, of_sidecars);
        }
        (false, of_sidecars)
    }

    /// Looks over the regular containers; the first has the last word.
    fn run(&mut self, status: &Value) {
        let mut running = false;
        let mut failed = String::new();
        for container in status.list("containerStatuses").iter().rev() {
            self.restarts.add(container);
            let state = container.at("state");
            let waiting = state.at("waiting").str("reason");
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if state.has("terminated") {
                self.reason = end(state.at("terminated"));
                if state.at("terminated").int("exitCode") != 0 {
                    failed = self.reason.clone();
                }
            } else if container.bool("ready") && state.has("running") {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            let is_ready =
                status.list("conditions").iter().any(|c| c.str("type") == "Ready" && c.str("status") == "True");
            match (running, failed.is_empty()) {
                (true, _) if is_ready => self.reason = "Running".into(),
                (_, false) => self.reason = failed,
                (true, true) => self.reason = "NotReady".into(),
                (false, true) => {}
            }
        }
    }
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += container.int("restartCount");
        let at = container.at_path(&["lastState", "terminated"]).str("finishedAt");
        if time::parse(at) > time::parse(&self.last) {
            self.last = at.into();
        }
    }
}

/// Why a container ended.
fn end(terminated: &Value) -> String {
    match (terminated.str("reason"), terminated.int("signal")) {
        ("", 0) => format!("ExitCode:{}", terminated.int("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}
