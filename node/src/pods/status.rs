//! What is told about a pod, given what is seen of it: a pure function.
//!
//! Upstream: kubelet_pods.go generateAPIPodStatus, convertStatusToAPIStatus; status/status_manager.go.

mod conditions;
mod containers;
mod phase;

use std::collections::BTreeMap;

use api::{Value, value};
use jiff::Timestamp;

use super::{
    observe::Observed,
    plan::{self, Probed},
};

/// Why a container does not run though it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// `ErrImagePull`, `CrashLoopBackOff`, `CreateContainerConfigError`, …
    pub reason: String,
    pub message: String,
}

/// Why the pod has failed, where its containers do not say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `Evicted`, `DeadlineExceeded`, `OutOfcpu`, …
    pub reason: String,
    pub message: String,
}

/// All that a status depends on.
pub struct Facts<'a> {
    pub pod: &'a Value,
    /// The status that was derived last, or the API's when none was.
    pub old: &'a Value,
    pub observed: &'a Observed,
    /// `containerd`: containers' ids begin with it.
    pub runtime_name: &'a str,
    /// By the container's name.
    pub waiting: &'a BTreeMap<String, Waiting>,
    /// By the container's id.
    pub probed: &'a BTreeMap<String, Probed>,
    /// The primary address first.
    pub host_ips: &'a [String],
    /// Whether mounts of the pod's runtime handler can be read-only all the way down.
    pub recursive_read_only: bool,
    /// Nothing of it runs or will run again.
    pub terminal: bool,
    pub failure: Option<&'a Failure>,
    /// The node had it go, in these words.
    pub disrupted: Option<&'a str>,
    pub now: Timestamp,
}

/// Conditions that the node writes; all others are left as they are.
const OWN: [&str; 7] = [
    "PodScheduled",
    "Ready",
    "Initialized",
    "ContainersReady",
    "PodResizeInProgress",
    "PodResizePending",
    "PodReadyToStartContainers",
];

/// The pod's status.
pub fn derive(facts: &Facts<'_>) -> Value {
    let (pod, old) = (facts.pod, facts.old);
    let spec = pod.at("spec");
    let lists = [
        ("initContainerStatuses", "initContainers"),
        ("containerStatuses", "containers"),
        ("ephemeralContainerStatuses", "ephemeralContainers"),
    ];
    let mut status = value!({"observedGeneration": api::meta::of(pod).generation()});
    for (member, list) in lists {
        let told = containers::statuses(facts, list, old.list(member));
        if !told.is_empty() {
            status.set(member, Value::array(told));
        }
    }
    let (phase, reason, message) = phase(facts, &status);
    status.set("phase", phase.as_str());
    for (member, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            status.set(member, text);
        }
    }
    status.set("conditions", Value::array(conditions::all(facts, &status, &phase)));
    addresses(facts, &mut status);
    status.set("qosClass", qos(pod));
    let started = old.opt_str("startTime").map_or_else(|| api::time::seconds(facts.now), str::to_string);
    status.set("startTime", started);
    for kept in [
        "nominatedNodeName",
        "resourceClaimStatuses",
        "extendedResourceClaimStatus",
        "nodeAllocatableResourceClaimStatuses",
    ] {
        if pod.at("status").has(kept) {
            status.set(kept, pod.at("status").at(kept).clone());
        }
    }
    pod_level_resources(pod, spec, &mut status);
    status
}

/// The phase, with its reason and message. A pod that is over stays so.
fn phase(facts: &Facts<'_>, status: &Value) -> (String, String, String) {
    let (old, told) = (facts.old, facts.pod.at("status"));
    let is_over = |phase: &str| matches!(phase, "Failed" | "Succeeded");
    let words = |of: &Value| (of.str("reason").to_string(), of.str("message").to_string());
    if let Some(failure) = facts.failure {
        // While something still runs the phase stays; nobody is told that it is over before it is.
        let phase = if facts.terminal { "Failed" } else { old.opt_str("phase").unwrap_or("Pending") };
        return (phase.into(), failure.reason.clone(), failure.message.clone());
    }
    let mut phase = phase::of(facts, status).to_string();
    if !is_over(&phase) {
        if let Some(over) = [old, told].into_iter().map(|s| s.str("phase")).find(|p| is_over(p)) {
            phase = over.into();
        }
    } else if is_over(told.str("phase")) {
        phase = told.str("phase").into();
    } else if !facts.terminal && facts.observed.is_running() {
        phase = old.opt_str("phase").filter(|p| !is_over(p)).unwrap_or("Pending").into();
    }
    let (mut reason, mut message) = (String::new(), String::new());
    if phase == old.str("phase") {
        (reason, message) = words(old);
        let (told_reason, told_message) = words(told);
        reason = if reason.is_empty() { told_reason } else { reason };
        message = if message.is_empty() { told_message } else { message };
    }
    (phase, reason, message)
}

fn addresses(facts: &Facts<'_>, status: &mut Value) {
    let list = |ips: &[String]| Value::array(ips.iter().map(|ip| value!({"ip": ip.as_str()})).collect());
    if let Some(first) = facts.host_ips.first() {
        status.set("hostIP", first.as_str());
        status.set("hostIPs", list(facts.host_ips));
    }
    let on_host = facts.pod.at("spec").bool("hostNetwork");
    let ips = if on_host { facts.host_ips } else { facts.observed.ips() };
    if let Some(first) = ips.first() {
        status.set("podIP", first.as_str());
        status.set("podIPs", list(ips));
    } else if facts.old.has("podIPs") && facts.observed.sandboxes.iter().all(|s| !s.sandbox.ready) {
        // A pod that has ended keeps the addresses that it had. Upstream: kubelet.go SyncPod, syncTerminatedPod.
        status.set("podIP", facts.old.str("podIP"));
        status.set("podIPs", facts.old.at("podIPs").clone());
    }
}

fn pod_level_resources(pod: &Value, spec: &Value, status: &mut Value) {
    if spec.has("resources") {
        status.set("resources", spec.at("resources").clone());
    }
    let requests = api::pod_resources::requests(pod, api::pod_resources::Basis::default());
    if !requests.is_empty() {
        let mut list = Value::object();
        for (name, quantity) in &requests {
            list.set(name.as_str(), quantity.to_string());
        }
        status.set("allocatedResources", list);
    }
}

/// Guaranteed, Burstable or BestEffort. The API server says it when it can. Upstream: pkg/apis/core/v1/helper/qos.
fn qos(pod: &Value) -> &str {
    pod.at("status").opt_str("qosClass").unwrap_or("BestEffort")
}

/// What of `new` is not in `old`, as a merge patch with the conditions and lists that strategic merge needs; None when
/// they are the same.
pub fn is_same(new: &Value, old: &Value) -> bool {
    new.members().all(|(key, value)| value.is_same(old.at(key)))
        && old.members().all(|(key, value)| value.is_null() || new.has(key))
}

/// Whether a container of the pod, by its status, was ever started.
fn has_started(facts: &Facts<'_>) -> bool {
    plan::has_regular(facts.pod, facts.observed)
}

#[cfg(test)]
mod tests;
