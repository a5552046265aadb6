//! Asking for a volume: the claim is told who provisions it, and whoever that is makes one.
//!
//! Upstream: provisionClaim, findProvisionablePlugin, setClaimProvisioner, updateMigrationAnnotations,
//! modifyDeletionFinalizers; csi-translation-lib for the names that provisioners have moved to.

use std::sync::Arc;

use api::Value;

use super::{CLAIMS, PROVISIONED_BY, class_of};
use crate::driver::plan::{Action, Event, Plan};

const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const BETA_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
pub(super) const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
/// Keeps a volume until what provisioned it here has removed it.
const IN_TREE: &str = "kubernetes.io/pv-controller";
const EXTERNAL: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// Provisioners of old, and the drivers that do their work now.
const MOVED: [(&str, &str); 7] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
];

fn moved(provisioner: &str) -> Option<&'static str> {
    MOVED.iter().find(|(of_old, _)| *of_old == provisioner).map(|(_, driver)| *driver)
}

pub(super) fn plan(claim: &Arc<Value>, class: Option<&Value>) -> Plan {
    let failed = |message: String| {
        let events = vec![Event::warning(claim, "ProvisioningFailed", message)];
        Plan { events, ..Plan::nothing("nobody can provision it") }
    };
    let Some(class) = class else {
        return failed(format!("storageclass.storage.k8s.io {:?} not found", class_of(claim)));
    };
    let provisioner = class.str("provisioner");
    let name = moved(provisioner).unwrap_or(provisioner);
    match name {
        "kubernetes.io/host-path" => {
            return failed(format!("Failed to create provisioner: provisioning in volume plugin {name:?} is disabled"));
        }
        "kubernetes.io/nfs" => return failed("no provisionable volume plugin matched".into()),
        _ if name.starts_with("kubernetes.io/") => return failed(format!("no volume plugin matched name: {name}")),
        _ => {}
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{name}' or manually by the system \
         administrator. If volume creation is delayed, please verify that the provisioner is running and correctly \
         registered."
    );
    let actions = with_provisioner(claim, name).map(|new| Action::update(CLAIMS, new)).into_iter().collect();
    let events = vec![Event::normal(claim, "ExternalProvisioning", message)];
    Plan { events, ..Plan::of(actions, "whoever provisions is to make one") }
}

fn with_provisioner(claim: &Value, name: &str) -> Option<Value> {
    if api::meta::of(claim).annotation(PROVISIONER) == Some(name) {
        return None;
    }
    let mut new = claim.clone();
    for key in [BETA_PROVISIONER, PROVISIONER] {
        new.set_path(&["metadata", "annotations", key], name);
    }
    Some(migrated(&new).unwrap_or(new))
}

/// A claim that says where its provisioner has moved, when that is news.
pub(super) fn migrated(claim: &Value) -> Option<Value> {
    let meta = api::meta::of(claim);
    annotated(claim, meta.annotation(PROVISIONER).or_else(|| meta.annotation(BETA_PROVISIONER))?)
}

fn annotated(object: &Value, provisioner: &str) -> Option<Value> {
    let known = api::meta::of(object).annotation(MIGRATED_TO).unwrap_or_default();
    let mut new = object.clone();
    match moved(provisioner) {
        Some(driver) if driver != known => new.set_path(&["metadata", "annotations", MIGRATED_TO], driver),
        None if !known.is_empty() => drop(new.remove_path(&["metadata", "annotations", MIGRATED_TO])),
        _ => return None,
    }
    Some(new)
}

/// A volume that says where its provisioner has moved, and that is kept for it or not; when that is news.
pub(super) fn settled(volume: &Value) -> Option<Value> {
    let by = api::meta::of(volume).annotation(PROVISIONED_BY)?;
    let annotated = annotated(volume, by);
    let kept: Vec<&str> = api::meta::of(volume).finalizers().collect();
    let mut wanted = kept.clone();
    let policy = volume.at("spec").str("persistentVolumeReclaimPolicy");
    if moved(by).is_some() {
        wanted.retain(|f| *f != IN_TREE);
    } else if by.starts_with("kubernetes.io/") {
        match policy {
            "Delete" if !wanted.contains(&IN_TREE) => wanted.push(IN_TREE),
            "Retain" | "Recycle" => wanted.retain(|f| *f != IN_TREE),
            _ => {}
        }
        wanted.retain(|f| *f != EXTERNAL);
    }
    if annotated.is_none() && wanted == kept {
        return None;
    }
    let finalizers = Value::array(wanted.into_iter().map(Value::from).collect());
    let mut new = annotated.unwrap_or_else(|| volume.clone());
    new.set_path(&["metadata", "finalizers"], finalizers);
    Some(new)
}
