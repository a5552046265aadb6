//! What a node says of itself: a pure function of what is known of it.
//!
//! Upstream: kubelet_node_status.go initialNode, setNodeStatus; nodestatus/setters.go.

use api::{Value, value};
use jiff::Timestamp;

use crate::{
    capacity::{self, Machine, Reserved},
    conditions::{self, Pressure},
    runtime::{Handler, Health, Image, Version},
};

/// Images are told by so many names each. Upstream: MaxNamesPerImageInNodeStatus.
const NAMES_MAX: usize = 5;

/// All that a node's status depends on.
pub struct Facts<'a> {
    pub name: &'a str,
    /// The primary address first.
    pub ips: &'a [String],
    pub port: u16,
    pub machine: &'a Machine,
    pub reserved: &'a Reserved,
    pub runtime: Option<&'a Version>,
    pub health: Option<&'a Health>,
    pub images: &'a [Image],
    /// So many of them are told, the largest first.
    pub images_max: usize,
    pub pressure: Pressure,
    /// `v1.37.1`.
    pub version: &'a str,
    /// What it understands that not every node does.
    pub features: &'a [&'static str],
    pub now: Timestamp,
}

/// A node that is not registered yet.
pub fn initial(facts: &Facts<'_>, labels: &[(String, String)], taints: &[Value], provider_id: &str) -> Value {
    let mut all = value!({});
    for (key, word) in default_labels(facts.name) {
        all.set(key, word);
    }
    for (key, word) in labels {
        all.set(key, word.as_str());
    }
    let mut node = value!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": facts.name, "labels": all,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
        },
        "spec": {}
    });
    if !provider_id.is_empty() {
        node.set_path(&["spec", "providerID"], provider_id);
    }
    if !taints.is_empty() {
        node.set_path(&["spec", "taints"], Value::array(taints.to_vec()));
    }
    node.set("status", status(facts, Value::NULL));
    node
}

/// Labels that every node has, and that are set right where they are not.
pub fn default_labels(name: &str) -> [(&'static str, String); 5] {
    let architecture = architecture().to_string();
    [
        ("beta.kubernetes.io/arch", architecture.clone()),
        ("beta.kubernetes.io/os", "linux".into()),
        ("kubernetes.io/arch", architecture),
        ("kubernetes.io/hostname", name.into()),
        ("kubernetes.io/os", "linux".into()),
    ]
}

/// As Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The status, given the one before.
pub fn status(facts: &Facts<'_>, old: &Value) -> Value {
    let mut addresses: Vec<Value> =
        facts.ips.iter().map(|ip| value!({"type": "InternalIP", "address": ip.as_str()})).collect();
    addresses.push(value!({"type": "Hostname", "address": facts.name}));
    let runtime = facts.runtime.map_or_else(
        || old.at("nodeInfo").str("containerRuntimeVersion").to_string(),
        |v| format!("{}://{}", v.name, v.version.trim_start_matches('v')),
    );
    let machine = facts.machine;
    let mut info = value!({
        "machineID": machine.machine_id.as_str(), "systemUUID": machine.system_uuid.as_str(),
        "bootID": machine.boot_id.as_str(), "kernelVersion": machine.kernel.as_str(),
        "osImage": machine.os_image.as_str(), "containerRuntimeVersion": runtime,
        "kubeletVersion": facts.version, "kubeProxyVersion": "", "operatingSystem": "linux",
        "architecture": architecture()
    });
    if machine.swap_bytes > 0 {
        info.set("swap", value!({"capacity": i64::try_from(machine.swap_bytes).unwrap_or(i64::MAX)}));
    }
    let mut status = value!({
        "capacity": with_others(capacity::capacity(machine, facts.reserved), old.at("capacity")),
        "allocatable": with_others(capacity::allocatable(machine, facts.reserved), old.at("allocatable")),
        "conditions": conditions::all(old, facts.health, facts.pressure, facts.now),
        "addresses": addresses,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": i64::from(facts.port)}},
        "nodeInfo": info,
        "images": images(facts.images, facts.images_max)
    });
    if !facts.features.is_empty() {
        status.set("declaredFeatures", facts.features.to_vec());
    }
    if let Some(health) = facts.health {
        let handlers: Vec<Value> = health.handlers.iter().map(handler).collect();
        if !handlers.is_empty() {
            status.set("runtimeHandlers", Value::array(handlers));
        }
        status.set("features", value!({"supplementalGroupsPolicy": health.supplemental_groups_policy}));
    }
    status
}

/// Extended resources that others have put there stay. Upstream: "avoid blindly overwriting the capacity".
fn with_others(mut own: Value, old: &Value) -> Value {
    for (name, amount) in old.members() {
        if !own.has(name) {
            own.set(name, amount.clone());
        }
    }
    own
}

fn handler(handler: &Handler) -> Value {
    value!({
        "name": handler.name.as_str(),
        "features": {
            "recursiveReadOnlyMounts": handler.recursive_read_only_mounts, "userNamespaces": handler.user_namespaces
        }
    })
}

fn images(images: &[Image], most: usize) -> Vec<Value> {
    let mut sorted: Vec<&Image> = images.iter().collect();
    sorted.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.id.cmp(&b.id)));
    let told = |image: &Image| {
        let names: Vec<&str> = image.digests.iter().chain(&image.tags).take(NAMES_MAX).map(String::as_str).collect();
        value!({"names": names, "sizeBytes": i64::try_from(image.size_bytes).unwrap_or(i64::MAX)})
    };
    sorted.into_iter().take(most).map(told).collect()
}

/// Whether two statuses tell the same, but for the time of it. Upstream: nodeStatusHasChanged.
pub fn is_same(new: &Value, old: &Value) -> bool {
    let bare = |status: &Value| {
        let mut status = status.clone();
        if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) {
            for condition in conditions.iter_mut() {
                condition.remove("lastHeartbeatTime");
            }
        }
        status
    };
    let (new, old) = (bare(new), bare(old));
    new.members().all(|(key, value)| value.is_same(old.at(key)))
}
