//! Fields of features that are off: dropped unless the old object already uses them.
//!
//! Upstream: pkg/api/pod/util.go `DropDisabledTemplateFields`, `DropDisabledPodFields`, with v1.37's default gates but for those that a
//! server can be told to open here.

use api::Value;

use super::{each_container_mut, every_container};
use crate::row::Context;

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
const HOOKS: [&str; 2] = ["postStart", "preStop"];
const STATUS_LISTS: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
const INIT_ANNOTATIONS: [&str; 4] = [
    "pod.beta.kubernetes.io/init-containers",
    "pod.alpha.kubernetes.io/init-containers",
    "pod.beta.kubernetes.io/init-container-statuses",
    "pod.alpha.kubernetes.io/init-container-statuses",
];

/// For anything with `metadata` and `spec` of a pod: a template or a Pod; `old` of an update.
pub fn drop_disabled(template: &mut Value, old: Option<&Value>, context: &Context<'_>) {
    let old_spec = old.map_or(Value::NULL, |old| old.at("spec"));
    if let Some(spec) = template.get_mut("spec") {
        drop_from_spec(spec, old_spec, context);
    }
    drop_init_annotations(template);
}

/// As [`drop_disabled`] with the status of a Pod.
pub fn drop_disabled_in_pod(pod: &mut Value, old: Option<&Value>, context: &Context<'_>) {
    drop_disabled(pod, old, context);
    let old_status = old.map_or(Value::NULL, |old| old.at("status"));
    let Some(status) = pod.get_mut("status") else { return };
    for list in ["nodeAllocatableResourceClaimStatuses", "volumeHealth"] {
        if old_status.list(list).is_empty() {
            status.remove(list);
        }
    }
    if !has_volume_status(old_status) {
        drop_volume_status(status);
    }
}

/// The annotations by which init containers were written before they had a field.
pub fn drop_init_annotations(object: &mut Value) {
    let Some(annotations) = object.path_mut(&["metadata", "annotations"]) else { return };
    for key in INIT_ANNOTATIONS {
        annotations.remove(key);
    }
    if annotations.is_empty() {
        object.remove_path(&["metadata", "annotations"]);
    }
}

fn drop_from_spec(spec: &mut Value, old: &Value, context: &Context<'_>) {
    if !uses_atomic_writer_users(old) {
        drop_atomic_writer_users(spec);
    }
    for (member, gate) in [("schedulingGroup", "GenericWorkload"), ("evictionResponders", "EvictionRequestAPI")] {
        if old.at(member).is_null() && !(context.gate)(gate) {
            spec.remove(member);
        }
    }
    if !every_container(old).any(|c| PROBES.iter().any(|p| c.at_path(&[p, "grpc"]).has("mode"))) {
        each_container_mut(spec, |c| PROBES.iter().for_each(|p| drop(c.remove_path(&[p, "grpc", "mode"]))));
    }
    if !old.list("volumes").iter().any(|v| v.at("emptyDir").has("mode")) {
        each_volume(spec, |v| drop(v.remove_path(&["emptyDir", "mode"])));
    }
    if !every_container(old).flat_map(|c| c.list("volumeMounts")).any(|m| !m.list("bindMountOptions").is_empty()) {
        each_container_mut(spec, |c| each_item(c, "volumeMounts", |m| drop(m.remove("bindMountOptions"))));
    }
    if !every_container(old).any(|c| c.at("lifecycle").has("stopSignal")) {
        each_container_mut(spec, drop_stop_signal);
    }
    if !every_container(old).any(uses_http_protocol) {
        each_container_mut(spec, drop_http_protocol);
    }
}

fn drop_stop_signal(container: &mut Value) {
    if container.remove_path(&["lifecycle", "stopSignal"]).is_some() && container.at("lifecycle").is_empty() {
        container.remove("lifecycle");
    }
}

fn uses_http_protocol(container: &Value) -> bool {
    PROBES.iter().any(|p| container.at_path(&[p, "httpGet"]).has("protocol"))
        || HOOKS.iter().any(|h| container.at_path(&["lifecycle", h, "httpGet"]).has("protocol"))
}

fn drop_http_protocol(container: &mut Value) {
    for probe in PROBES {
        container.remove_path(&[probe, "httpGet", "protocol"]);
    }
    for hook in HOOKS {
        container.remove_path(&["lifecycle", hook, "httpGet", "protocol"]);
    }
}

// --- owners of files in volumes that are written atomically

fn uses_atomic_writer_users(spec: &Value) -> bool {
    let items_use = |source: &Value| source.list("items").iter().any(|i| i.has("user"));
    let source_uses = |p: &Value| p.members().any(|(_, source)| source.has("user") || items_use(source));
    spec.list("volumes").iter().any(|volume| {
        ["secret", "configMap", "downwardAPI", "projected"].iter().map(|s| volume.at(s)).any(|source| {
            source.has("defaultUser") || items_use(source) || source.list("sources").iter().any(source_uses)
        })
    })
}

/// As upstream only the first source, where a volume or projection has several; which is refused later.
fn drop_atomic_writer_users(spec: &mut Value) {
    each_volume(spec, |volume| {
        let first = ["secret", "configMap", "downwardAPI", "projected"].into_iter().find(|source| volume.has(source));
        let Some(source) = first.and_then(|first| volume.get_mut(first)) else { return };
        source.remove("defaultUser");
        each_item(source, "items", |item| drop(item.remove("user")));
        each_item(source, "sources", drop_projection_users);
    });
}

fn drop_projection_users(projection: &mut Value) {
    let members = ["secret", "downwardAPI", "configMap", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
    let first = members.into_iter().find(|source| projection.has(source));
    let Some(source) = first.and_then(|first| projection.get_mut(first)) else { return };
    source.remove("user");
    each_item(source, "items", |item| drop(item.remove("user")));
}

// --- digests of image volumes

fn has_volume_status(status: &Value) -> bool {
    let mounts = STATUS_LISTS.iter().flat_map(|l| status.list(l)).flat_map(|c| c.list("volumeMounts"));
    mounts.into_iter().any(|m| m.has("volumeStatus"))
}

fn drop_volume_status(status: &mut Value) {
    for list in STATUS_LISTS {
        each_item(status, list, |c| each_item(c, "volumeMounts", |m| drop(m.remove("volumeStatus"))));
    }
}

fn each_volume(spec: &mut Value, change: impl FnMut(&mut Value)) {
    each_item(spec, "volumes", change);
}

fn each_item(parent: &mut Value, list: &str, change: impl FnMut(&mut Value)) {
    if let Some(items) = parent.get_mut(list).and_then(Value::as_array_mut) {
        items.iter_mut().for_each(change);
    }
}
