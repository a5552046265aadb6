//! The conditions of a pod. Upstream: status/generate.go.

use api::{Value, value};

use super::{Facts, OWN, has_started};
use crate::pods::restart;

/// What a condition says beside its type.
struct Said {
    status: bool,
    reason: &'static str,
    message: String,
}

impl Said {
    fn yes() -> Said {
        Said { status: true, reason: "", message: String::new() }
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Said {
        Said { status: false, reason, message: message.into() }
    }
}

/// All conditions: those of others as they are, then the node's.
pub fn all(facts: &Facts<'_>, status: &Value, phase: &str) -> Vec<Value> {
    let told = facts.pod.at("status").list("conditions");
    let mut all: Vec<Value> = told.iter().filter(|c| !OWN.contains(&c.str("type"))).cloned().collect();
    if let Some(message) = facts.disrupted {
        let kind = "DisruptionTarget";
        let said = Said { status: true, reason: "TerminationByKubelet", message: message.into() };
        all.retain(|c| c.str("type") != kind);
        all.push(condition(facts, kind, &said));
    }
    let ready = containers_ready(facts, status, phase);
    let own = [
        ("PodReadyToStartContainers", ready_to_start(facts)),
        ("Initialized", initialized(facts, status, phase)),
        ("Ready", ready_with_gates(facts, &ready, &all)),
        ("ContainersReady", ready),
        ("PodScheduled", Said::yes()),
    ];
    all.extend(own.into_iter().map(|(kind, said)| condition(facts, kind, &said)));
    all
}

fn condition(facts: &Facts<'_>, kind: &str, said: &Said) -> Value {
    let word = if said.status { "True" } else { "False" };
    let old = facts.old.list("conditions").iter().find(|c| c.str("type") == kind);
    let since = old.filter(|c| c.str("status") == word).and_then(|c| c.opt_str("lastTransitionTime"));
    let since = since.map_or_else(|| api::time::seconds(facts.now), str::to_string);
    let mut condition = value!({
        "type": kind, "observedGeneration": api::meta::of(facts.pod).generation(), "status": word,
        "lastProbeTime": null, "lastTransitionTime": since
    });
    for (member, text) in [("reason", said.reason), ("message", said.message.as_str())] {
        if !text.is_empty() {
            condition.set(member, text);
        }
    }
    condition
}

fn ready_to_start(facts: &Facts<'_>) -> Said {
    match facts.observed.sandbox_need(facts.pod) {
        None => Said::yes(),
        Some(need) => Said::no("PodSandboxNotReady", need.why),
    }
}

fn initialized(facts: &Facts<'_>, status: &Value, phase: &str) -> Said {
    let told = |name: &str| status.list("initContainerStatuses").iter().find(|s| s.str("name") == name);
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for container in facts.pod.at("spec").list("initContainers") {
        let name = container.str("name");
        let done = |s: &Value| if restart::is_sidecar(container) { s.bool("started") } else { s.bool("ready") };
        match told(name) {
            None => unknown.push(name),
            Some(status) if !done(status) => incomplete.push(name),
            Some(_) => {}
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return Said { status: true, reason: "PodCompleted", message: String::new() };
    }
    let started = |s: &Value| s.at("state").has("running") || s.at("state").has("terminated");
    if status.list("containerStatuses").iter().any(started) || (unknown.is_empty() && incomplete.is_empty()) {
        return Said::yes();
    }
    let was = facts.old.list("conditions").iter().any(|c| c.str("type") == "Initialized" && c.str("status") == "True");
    if was && has_started(facts) {
        return Said::yes();
    }
    Said::no("ContainersNotInitialized", listed(&unknown, "incomplete", &incomplete))
}

fn containers_ready(facts: &Facts<'_>, status: &Value, phase: &str) -> Said {
    let spec = facts.pod.at("spec");
    let mut all =
        ["initContainerStatuses", "containerStatuses"].into_iter().flat_map(|list| status.list(list)).peekable();
    if all.peek().is_none() {
        return Said::no("UnknownContainerStatuses", "");
    }
    let told: Vec<&Value> = all.collect();
    let sidecars = spec.list("initContainers").iter().filter(|c| restart::is_sidecar(c));
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    for name in sidecars.chain(spec.list("containers")).map(|c| c.str("name")) {
        match told.iter().find(|s| s.str("name") == name) {
            None => unknown.push(name),
            Some(status) if !status.bool("ready") => unready.push(name),
            Some(_) => {}
        }
    }
    match phase {
        "Succeeded" if unknown.is_empty() => Said::no("PodCompleted", ""),
        "Failed" => Said::no("PodFailed", ""),
        _ if unknown.is_empty() && unready.is_empty() => Said::yes(),
        _ => Said::no("ContainersNotReady", listed(&unknown, "unready", &unready)),
    }
}

fn ready_with_gates(facts: &Facts<'_>, containers: &Said, others: &[Value]) -> Said {
    if !containers.status {
        return Said::no(containers.reason, containers.message.clone());
    }
    let gate = |gate: &Value| {
        let kind = gate.str("conditionType");
        match others.iter().find(|c| c.str("type") == kind) {
            None => Some(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(c) if c.str("status") != "True" => {
                Some(format!("the status of pod readiness gate \"{kind}\" is not \"True\", but {}", c.str("status")))
            }
            Some(_) => None,
        }
    };
    let missing: Vec<String> = facts.pod.at("spec").list("readinessGates").iter().filter_map(gate).collect();
    match missing.is_empty() {
        true => Said::yes(),
        false => Said::no("ReadinessGatesNotReady", missing.join(", ")),
    }
}

/// `containers with unknown status: [a], containers with unready status: [b c]`
fn listed(unknown: &[&str], word: &str, others: &[&str]) -> String {
    let part = |word: &str, names: &[&str]| {
        (!names.is_empty()).then(|| format!("containers with {word} status: [{}]", names.join(" ")))
    };
    let parts: Vec<String> = part("unknown", unknown).into_iter().chain(part(word, others)).collect();
    parts.join(", ")
}
