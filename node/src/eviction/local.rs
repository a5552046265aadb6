//! Pods that use more of the disk than they said. Upstream: eviction_manager.go localStorageEviction.

use api::{
    Value,
    pod_resources::{self, Basis},
    quantity::{Format, Quantity},
};

use super::usage::Usage;

/// Whether a pod says anything that could be exceeded: others need not be measured.
pub fn is_bounded(pod: &Value) -> bool {
    let spec = pod.at("spec");
    let containers = spec.list("containers").iter().chain(spec.list("initContainers"));
    let mut volumes = spec.list("volumes").iter();
    volumes.any(|volume| volume.at("emptyDir").has("sizeLimit"))
        || pod_resources::limits(pod, Basis::default()).contains_key("ephemeral-storage")
        || containers.into_iter().any(|c| c.at_path(&["resources", "limits"]).has("ephemeral-storage"))
}

/// Why it has to go; none: it uses no more than it may.
pub fn excess(pod: &Value, usage: &Usage, images_have_own_disk: bool) -> Option<String> {
    let bytes = |bytes: i64| Quantity::new(bytes, Format::BinarySi);
    let spec = pod.at("spec");
    for volume in spec.list("volumes").iter().filter(|volume| volume.at("emptyDir").has("sizeLimit")) {
        let (name, limit) = (volume.str("name"), Quantity::of(volume.at("emptyDir").at("sizeLimit")));
        // A volume in memory is bounded by the kernel.
        let used = usage.volumes.iter().find(|(known, _)| known == name).map(|(_, space)| space.bytes);
        if limit.sign() > 0 && used.is_some_and(|used| bytes(used) > limit) {
            return Some(format!("Usage of EmptyDir volume {name:?} exceeds the limit \"{limit}\". "));
        }
    }
    if let Some(limit) = pod_resources::limits(pod, Basis::default()).get("ephemeral-storage")
        && bytes(usage.disk()) > *limit
    {
        return Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "));
    }
    let sidecars = spec.list("initContainers").iter().filter(|c| c.str("restartPolicy") == "Always");
    for container in spec.list("containers").iter().chain(sidecars) {
        let limit = container.at_path(&["resources", "limits", "ephemeral-storage"]);
        let Some(of) = usage.containers.iter().find(|of| of.name == container.str("name")) else { continue };
        let rootfs = if images_have_own_disk { 0 } else { of.rootfs.unwrap_or(0) };
        let (limit, used) = (Quantity::of(limit), bytes(rootfs + of.logs.unwrap_or(0)));
        if !limit.is_zero() && used > limit {
            let name = &of.name;
            return Some(format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". "));
        }
    }
    None
}
