//! What is known of one node, and what its conditions mean for it.
//!
//! Upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go tryUpdateNodeHealth, doNoScheduleTaintingPass.

use std::sync::Arc;

use api::{
    Value,
    taint::{NO_EXECUTE, NO_SCHEDULE},
    value,
};
use jiff::Timestamp;

use super::seconds_after;

/// Upstream: `--node-monitor-grace-period`, `--node-startup-grace-period`.
const GRACE_SECONDS: i64 = 50;
const STARTUP_SECONDS: i64 = 60;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Conditions, the status in which they matter, and the taint.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// Labels of old that follow those of today.
const LABELS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// What was seen of a node.
#[derive(Debug)]
pub(super) struct Health {
    /// When something new was seen of it last, by our clock.
    probed: Timestamp,
    pub last: Arc<Value>,
    renewed: String,
    was_ready: bool,
}

// === impl Health ===

impl Health {
    pub fn new(node: &Value, now: Timestamp) -> Health {
        let created = api::time::parse(api::meta::of(node).creation_timestamp()).unwrap_or(now);
        let probed = if condition(node, "Ready").is_some() { now } else { created };
        Health { probed, last: Arc::new(node.clone()), renewed: String::new(), was_ready: ready(node) == "True" }
    }

    /// A heartbeat in the status or a renewed lease is a sign of life.
    pub fn observe(&mut self, node: &Value, lease: Option<&Value>, now: Timestamp) {
        let heartbeat = |node: &Value| condition(node, "Ready").map(|c| c.at("lastHeartbeatTime").clone());
        let renewed = lease.map_or("", |lease| lease.at("spec").str("renewTime"));
        if heartbeat(&self.last) != heartbeat(node) || renewed > self.renewed.as_str() {
            self.probed = now;
        }
        self.renewed = renewed.into();
        self.last = Arc::new(node.clone());
    }

    /// The node with conditions that say that nothing is heard of it, when that is so and it does not say it yet.
    pub fn silenced(&self, node: &Value, now: Timestamp) -> Option<Value> {
        let grace = if condition(node, "Ready").is_some() { GRACE_SECONDS } else { STARTUP_SECONDS };
        if seconds_after(self.probed, now) <= grace {
            return None;
        }
        let (mut new, now) = (node.clone(), api::time::seconds(now));
        let conditions = new.entry_path(&["status", "conditions"]).make_array();
        for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
            match conditions.iter_mut().find(|c| c.str("type") == kind) {
                None => conditions.push(value!({
                    "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": api::meta::of(node).creation_timestamp(), "lastTransitionTime": now.as_str()
                })),
                Some(known) if known.str("status") != "Unknown" => {
                    known.set("status", "Unknown");
                    known.set("reason", "NodeStatusUnknown");
                    known.set("message", "Kubelet stopped posting node status.");
                    known.set("lastTransitionTime", now.as_str());
                }
                Some(_) => {}
            }
        }
        (ready(node) != ready(&new) || condition(node, "Ready").is_none()).then_some(new)
    }

    /// Whether it was ready and is no longer; answers so once.
    pub fn has_fallen(&mut self, node: &Value) -> bool {
        let is_ready = ready(node) == "True";
        std::mem::replace(&mut self.was_ready, is_ready) && !is_ready
    }
}

fn condition<'a>(node: &'a Value, kind: &str) -> Option<&'a Value> {
    node.at("status").list("conditions").iter().find(|c| c.str("type") == kind)
}

/// `True`, `False`, `Unknown`, or nothing when it has never said.
pub(super) fn ready(node: &Value) -> &str {
    condition(node, "Ready").map_or("", |c| c.str("status"))
}

/// The taint that drives pods out, when the node is not ready.
pub(super) fn driven_out_by(node: &Value) -> Option<&'static str> {
    match ready(node) {
        "False" => Some(NOT_READY),
        "Unknown" => Some(UNREACHABLE),
        _ => None,
    }
}

pub(super) fn is_drive(key: &str) -> bool {
    matches!(key, NOT_READY | UNREACHABLE)
}

/// The node's taints, with those that its conditions call for and without those that they do not any more.
pub(super) fn with_no_schedule(node: &Value, now: &str) -> Vec<Value> {
    let spec = node.at("spec");
    let called =
        TAINTS.iter().filter(|(kind, status, _)| condition(node, kind).is_some_and(|c| c.str("status") == *status));
    let mut wanted: Vec<&str> = called.map(|(_, _, key)| *key).collect();
    if spec.bool("unschedulable") {
        wanted.push(UNSCHEDULABLE);
    }
    let is_ours = |key: &str| key == UNSCHEDULABLE || TAINTS.iter().any(|(_, _, known)| *known == key);
    let stays = |t: &&Value| t.str("effect") != NO_SCHEDULE || !is_ours(t.str("key")) || wanted.contains(&t.str("key"));
    let mut taints: Vec<Value> = spec.list("taints").iter().filter(stays).cloned().collect();
    for key in wanted {
        if !taints.iter().any(|t| t.str("key") == key && t.str("effect") == NO_SCHEDULE) {
            taints.push(value!({"key": key, "effect": NO_SCHEDULE, "timeAdded": now}));
        }
    }
    taints
}

/// Sets the one taint that drives pods out, or none.
pub(super) fn set_drive(taints: &mut Vec<Value>, wanted: Option<&str>, now: &str) {
    taints.retain(|t| t.str("effect") != NO_EXECUTE || !is_drive(t.str("key")) || Some(t.str("key")) == wanted);
    let Some(key) = wanted else { return };
    if !taints.iter().any(|t| t.str("effect") == NO_EXECUTE && t.str("key") == key) {
        taints.push(value!({"key": key, "effect": NO_EXECUTE, "timeAdded": now}));
    }
}

/// Upstream: reconcileNodeLabels.
pub(super) fn label(node: &mut Value) {
    for (today, old) in LABELS {
        let text = api::meta::of(node).label(today).map(ToString::to_string);
        if let Some(text) = text {
            node.set_path(&["metadata", "labels", old], text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        api::time::parse(text).expect("it is a time")
    }

    fn node(ready: &str, beat: &str) -> Value {
        value!({"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}},
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": beat}]}})
    }

    #[test]
    fn a_node_is_silent_after_its_grace() {
        let (begin, first) = (at("2026-01-02T03:00:00Z"), node("True", "a"));
        let mut health = Health::new(&first, begin);
        health.observe(&first, None, begin);
        assert_eq!(health.silenced(&first, at("2026-01-02T03:00:50Z")), None);
        let lease = value!({"spec": {"renewTime": "2026-01-02T03:00:40.000000Z"}});
        health.observe(&first, Some(&lease), at("2026-01-02T03:00:51Z"));
        assert_eq!(health.silenced(&first, at("2026-01-02T03:01:41Z")), None, "its lease was renewed");
        let new = health.silenced(&first, at("2026-01-02T03:01:42Z")).expect("nothing was heard of it");
        assert_eq!((ready(&new), new.at("status").list("conditions").len()), ("Unknown", 4));
        assert_eq!(health.silenced(&new, at("2026-01-02T03:09:00Z")), None, "it says so already");
        health.observe(&new, None, begin);
        assert!(health.has_fallen(&new) && !health.has_fallen(&new), "once");
    }

    #[test]
    fn conditions_call_for_taints() {
        let mut node = node("Unknown", "a");
        node.set_path(
            &["spec", "taints"],
            value!([{"key": "mine", "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoSchedule"}]),
        );
        node.set_path(&["spec", "unschedulable"], true);
        let mut taints = with_no_schedule(&node, "now");
        let keys = |taints: &[Value]| {
            taints.iter().map(|t| format!("{}:{}", t.str("key"), t.str("effect"))).collect::<Vec<_>>()
        };
        assert_eq!(
            keys(&taints),
            [
                "mine:NoSchedule",
                "node.kubernetes.io/unreachable:NoSchedule",
                "node.kubernetes.io/unschedulable:NoSchedule"
            ]
        );
        set_drive(&mut taints, driven_out_by(&node), "now");
        assert_eq!(taints.len(), 4);
        set_drive(&mut taints, Some(NOT_READY), "now");
        assert_eq!(keys(&taints)[3], "node.kubernetes.io/not-ready:NoExecute", "one drive in exchange for the other");
        set_drive(&mut taints, None, "now");
        assert_eq!(taints.len(), 3);
    }
}
