//! Claims that ask for more are told who gives it: whoever drives the volume.
//!
//! Nothing here makes volumes greater. Upstream: pkg/controller/volume/expand.

use std::sync::Arc;

use api::{Value, quantity::Quantity, value};
use client::{Change, mirror::Key};

use crate::driver::{
    Spec, Wake, Work,
    plan::{Action, Event, Plan},
    world::World,
};

const CLAIMS: &str = "v1/persistentvolumeclaims";
const VOLUMES: &str = "v1/persistentvolumes";
const PRE_RESIZE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";
const RESIZER: &str = "volume.kubernetes.io/storage-resizer";

pub const SPEC: Spec = Spec {
    name: "persistentvolume-expander-controller",
    alias: "persistentvolume-expander",
    acts_for: "expand-controller",
    tells_as: "volume_expand",
    wakes_on: &[Wake::By(CLAIMS, grown), Wake::Read(VOLUMES)],
    workers: 10,
    work: Work::Plan(plan),
};

/// Sources of old: how a volume names them, their plugin, and the driver that does their work now.
const MOVED: [(&str, &str, &str); 7] = [
    ("awsElasticBlockStore", "kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("azureDisk", "kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("azureFile", "kubernetes.io/azure-file", "file.csi.azure.com"),
    ("cinder", "kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("gcePersistentDisk", "kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("portworxVolume", "kubernetes.io/portworx-volume", "pxd.portworx.com"),
    ("vsphereVolume", "kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
];

fn requested(claim: &Value) -> Quantity {
    Quantity::of(claim.at_path(&["spec", "resources", "requests", "storage"]))
}

fn has(claim: &Value) -> Quantity {
    Quantity::of(claim.at_path(&["status", "capacity", "storage"]))
}

/// Bound claims that are new, ask for more, or have more.
fn grown(_: &World<'_>, change: &Change) -> Vec<Key> {
    let claim = change.object();
    let is_grown = match (&change.old, &change.new) {
        (Some(old), Some(new)) => requested(new) > requested(old) || has(new) > has(old),
        _ => true,
    };
    if is_grown && claim.at("status").str("phase") == "Bound" { vec![Key::of(claim)] } else { Vec::new() }
}

fn plan(world: &World<'_>) -> Plan {
    let Some(claim) = world.itself(CLAIMS) else { return Plan::nothing("it is gone") };
    let Some(volume) = world.get(VOLUMES, "", claim.at("spec").str("volumeName")) else {
        return Plan::nothing("its volume is gone");
    };
    let (meta, reference) = (api::meta::of(&claim), volume.at("spec").at("claimRef"));
    if reference.str("uid") != meta.uid() || reference.str("namespace") != meta.namespace() {
        return Plan::nothing("its volume is another's");
    }
    let is_waiting = requested(&claim) > has(&claim) || api::meta::of(&volume).annotation(PRE_RESIZE).is_some();
    if !is_waiting {
        return Plan::nothing("it has what it asks for");
    }
    match MOVED.iter().find(|(source, ..)| volume.at("spec").has(source)) {
        Some((_, plugin, driver)) => moved(&claim, plugin, driver),
        None => {
            let message = "waiting for an external controller to expand this PVC";
            let events = vec![Event::normal(&claim, "ExternalExpanding", message)];
            Plan { events, ..Plan::nothing("whoever drives its volume gives it more") }
        }
    }
}

fn moved(claim: &Arc<Value>, plugin: &str, driver: &str) -> Plan {
    let message = format!("CSI migration enabled for {plugin}; waiting for external resizer to expand the pvc");
    let mut actions = Vec::new();
    if api::meta::of(claim).annotation(RESIZER) != Some(driver) {
        let patch = value!({"metadata": {"annotations": {"volume.kubernetes.io/storage-resizer": driver}}});
        actions.push(Action::patch_status(CLAIMS, claim.clone(), patch));
    }
    let events = vec![Event::normal(claim, "ExternalExpanding", message)];
    Plan { events, ..Plan::of(actions, "the driver that it has moved to gives it more") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/volume_expander.yaml"));
    }
}
