//! The node's conditions: a pure function of what is known of it.
//!
//! Upstream: nodestatus/setters.go MemoryPressureCondition, DiskPressureCondition, PIDPressureCondition, ReadyCondition.

use api::{Value, value};
use jiff::Timestamp;

use crate::runtime::Health;

/// What of the node is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pid: bool,
}

/// A condition in both of its states: reason and message when it is so, and when it is not.
struct Row {
    kind: &'static str,
    yes: (&'static str, &'static str),
    no: (&'static str, &'static str),
}

const ROWS: [Row; 3] = [
    Row {
        kind: "MemoryPressure",
        yes: ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        no: ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    },
    Row {
        kind: "DiskPressure",
        yes: ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        no: ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    },
    Row {
        kind: "PIDPressure",
        yes: ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        no: ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    },
];

/// Those of others as they are, then the node's, Ready last. `health` is None when the runtime does not answer.
pub fn all(old: &Value, health: Option<&Health>, pressure: Pressure, now: Timestamp) -> Vec<Value> {
    let own = |kind: &str| kind == "Ready" || ROWS.iter().any(|row| row.kind == kind);
    let old = old.list("conditions");
    let mut all: Vec<Value> = old.iter().filter(|c| !own(c.str("type"))).cloned().collect();
    for (row, is) in ROWS.iter().zip([pressure.memory, pressure.disk, pressure.pid]) {
        let (reason, message) = if is { row.yes } else { row.no };
        all.push(condition(old, row.kind, is, reason, message, now));
    }
    let errors = errors(health);
    all.push(match errors.is_empty() {
        true => condition(old, "Ready", true, "KubeletReady", "kubelet is posting ready status", now),
        false => condition(old, "Ready", false, "KubeletNotReady", &aggregate(&errors), now),
    });
    all
}

/// What keeps the node from being ready.
pub fn errors(health: Option<&Health>) -> Vec<String> {
    let Some(health) = health else { return vec!["container runtime is down".into()] };
    let condition = |kind: &str| health.conditions.iter().find(|c| c.kind == kind);
    let mut errors = Vec::new();
    match condition("RuntimeReady") {
        None => errors.push("container runtime status check may not have completed yet".into()),
        Some(c) if !c.status => errors.push(format!("container runtime not ready: {}", told(c))),
        Some(_) => {}
    }
    if let Some(c) = condition("NetworkReady").filter(|c| !c.status) {
        errors.push(format!("container runtime network not ready: {}", told(c)));
    }
    errors
}

/// As upstream prints a runtime's condition.
fn told(c: &crate::runtime::Condition) -> String {
    format!("{}={} reason:{} message:{}", c.kind, c.status, c.reason, c.message)
}

/// Upstream: apimachinery's Aggregate.
fn aggregate(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

fn condition(old: &[Value], kind: &str, is: bool, reason: &str, message: &str, now: Timestamp) -> Value {
    let word = if is { "True" } else { "False" };
    let now = api::time::seconds(now);
    let known = old.iter().find(|c| c.str("type") == kind && c.str("status") == word);
    let since = known.map_or(now.as_str(), |c| c.str("lastTransitionTime"));
    value!({
        "type": kind, "status": word, "lastHeartbeatTime": now.as_str(), "lastTransitionTime": since,
        "reason": reason, "message": message
    })
}

/// The events that a change of conditions is told by. Upstream: recordNodeStatusEvent.
pub fn events(old: &Value, new: &[Value]) -> Vec<&'static str> {
    let changed = |c: &&Value| {
        let known = old.list("conditions").iter().find(|o| o.str("type") == c.str("type"));
        known.is_none_or(|o| o.str("status") != c.str("status"))
    };
    let word = |c: &Value| match (c.str("type"), c.str("status") == "True") {
        ("MemoryPressure", true) => Some("NodeHasInsufficientMemory"),
        ("MemoryPressure", false) => Some("NodeHasSufficientMemory"),
        ("DiskPressure", true) => Some("NodeHasDiskPressure"),
        ("DiskPressure", false) => Some("NodeHasNoDiskPressure"),
        ("PIDPressure", true) => Some("NodeHasInsufficientPID"),
        ("PIDPressure", false) => Some("NodeHasSufficientPID"),
        ("Ready", true) => Some("NodeReady"),
        ("Ready", false) => Some("NodeNotReady"),
        _ => None,
    };
    new.iter().filter(changed).filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Condition;

    fn health(network: bool) -> Health {
        let condition = |kind: &str, status| Condition { kind: kind.into(), status, ..Condition::default() };
        Health {
            conditions: vec![condition("RuntimeReady", true), condition("NetworkReady", network)],
            ..Health::default()
        }
    }

    #[test]
    fn a_node_is_ready_when_its_runtime_and_network_are() {
        let now = api::time::parse("2026-01-02T03:04:05Z").expect("it is a time");
        let later = api::time::parse("2026-01-02T03:05:05Z").expect("it is a time");
        let first = value!({"conditions": all(Value::NULL, Some(&health(false)), Pressure::default(), now)});
        let ready = first.list("conditions").last().expect("there are conditions");
        assert_eq!(
            (ready.str("type"), ready.str("status"), ready.str("reason")),
            ("Ready", "False", "KubeletNotReady")
        );
        assert_eq!(ready.str("message"), "container runtime network not ready: NetworkReady=false reason: message:");
        let second = all(&first, Some(&health(true)), Pressure::default(), later);
        assert_eq!(events(&first, &second), ["NodeReady"]);
        let memory = &second[0];
        assert_eq!(memory.str("lastTransitionTime"), "2026-01-02T03:04:05Z");
        assert_eq!(memory.str("lastHeartbeatTime"), "2026-01-02T03:05:05Z");
        let down = all(Value::NULL, None, Pressure::default(), now);
        assert_eq!(down[3].str("message"), "container runtime is down");
    }
}
