//! Which volumes the pods of a node use, as far as drivers attach them.

use std::{collections::BTreeMap, sync::Arc};

use api::Value;

use super::{CLAIMS, DRIVERS, VOLUMES};
use crate::{
    driver::world::World,
    pods::{self, PODS},
};

/// Uses by the volume's name towards nodes.
pub(super) type Wanted = BTreeMap<String, Use>;

/// A volume and the pods that use it on a node.
pub(super) struct Use {
    pub volume: Arc<Value>,
    pub pods: Vec<Arc<Value>>,
}

/// As nodes name a volume. Upstream: GetUniqueVolumeName, csiPlugin.GetVolumeName.
pub(super) fn unique_name(csi: &Value) -> String {
    format!("kubernetes.io/csi/{}^{}", csi.str("driver"), csi.str("volumeHandle"))
}

/// Claims that a pod uses.
pub(super) fn claims(pod: &Value) -> impl Iterator<Item = String> + '_ {
    pod.at("spec").list("volumes").iter().filter_map(|volume| match volume.has("ephemeral") {
        true => Some(format!("{}-{}", api::meta::of(pod).name(), volume.str("name"))),
        false => volume.at("persistentVolumeClaim").opt_str("claimName").map(str::to_owned),
    })
}

pub(super) fn on_node(world: &World<'_>, node: &str) -> Wanted {
    let mut wanted = Wanted::new();
    for pod in world.mirror(PODS).all().into_iter().filter(|p| pods::node(p) == node && !is_over(p)) {
        for name in claims(&pod) {
            let Some(volume) = volume_of(world, api::meta::of(&pod).namespace(), &name) else { continue };
            if is_attached_by_driver(world, &volume) {
                let id = unique_name(volume.at("spec").at("csi"));
                wanted.entry(id).or_insert(Use { volume, pods: Vec::new() }).pods.push(pod.clone());
            }
        }
    }
    wanted
}

/// Upstream: IsPodTerminated: it will not run, or nothing of it does.
fn is_over(pod: &Value) -> bool {
    let runs = |status: &Value| !status.at("state").has("terminated") && !status.at("state").has("waiting");
    let statuses = pod.at("status").list("containerStatuses");
    pods::is_finished(pod) || (pods::is_terminating(pod) && !statuses.iter().any(runs))
}

/// The volume that a claim is bound to, on both sides.
fn volume_of(world: &World<'_>, namespace: &str, claim: &str) -> Option<Arc<Value>> {
    let claim = world.get(CLAIMS, namespace, claim).filter(|c| c.at("status").str("phase") == "Bound")?;
    let volume = world.get(VOLUMES, "", claim.at("spec").str("volumeName"))?;
    (volume.at("spec").at("claimRef").str("uid") == api::meta::of(&claim).uid()).then_some(volume)
}

/// A driver that nobody has described is taken to attach.
fn is_attached_by_driver(world: &World<'_>, volume: &Value) -> bool {
    let csi = volume.at("spec").at("csi");
    let driver = world.get(DRIVERS, "", csi.str("driver"));
    !csi.is_null() && driver.is_none_or(|d| d.at("spec").opt_bool("attachRequired") != Some(false))
}

/// Whether more than one node may have it. Upstream: IsMultiAttachAllowed.
pub(super) fn is_shared(volume: &Value) -> bool {
    let modes = volume.at("spec").list("accessModes");
    modes.is_empty() || modes.iter().any(|m| matches!(m.as_str(), Some("ReadWriteMany" | "ReadOnlyMany")))
}
