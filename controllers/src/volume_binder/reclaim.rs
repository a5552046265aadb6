//! What becomes of a volume whose claim is gone, by its policy. Upstream: reclaimVolume, deleteVolumeOperation.
//!
//! Nothing here reaches into a machine: what upstream's deleter of host paths removes below /tmp stays.

use std::sync::Arc;

use api::Value;

use super::{PROVISIONED_BY, phase_told, provision, recycle};
use crate::driver::{plan::Plan, world::World};

pub(super) fn plan(world: &World<'_>, volume: &Arc<Value>) -> Plan {
    if api::meta::of(volume).annotation(provision::MIGRATED_TO).is_some_and(|driver| !driver.is_empty()) {
        return Plan::nothing("its driver removes it");
    }
    match volume.at("spec").str("persistentVolumeReclaimPolicy") {
        "Retain" => Plan::nothing("it is retained"),
        "Recycle" => recycle::plan(world, volume),
        "Delete" => delete(volume),
        _ => {
            let message = "Volume has unrecognized PersistentVolumeReclaimPolicy";
            failed(volume, "VolumeUnknownReclaimPolicy", message, "nobody knows its policy")
        }
    }
}

pub(super) fn failed(volume: &Arc<Value>, reason: &'static str, message: &str, because: &'static str) -> Plan {
    let (action, events) = phase_told(volume, "Failed", reason, message);
    Plan { events, ..Plan::of(action.into_iter().collect(), because) }
}

fn delete(volume: &Arc<Value>) -> Plan {
    match deleter(volume) {
        Ok(()) => Plan::nothing("whoever provisioned it removes it"),
        Err(why) => failed(volume, "VolumeFailedDelete", &why, "nothing here can remove it"),
    }
}

/// Whether somebody else removes a volume; if not, why nothing here can. Upstream: findDeletablePlugin.
fn deleter(volume: &Value) -> Result<(), String> {
    let meta = api::meta::of(volume);
    if let Some(by) = meta.annotation(PROVISIONED_BY).filter(|by| !by.is_empty()) {
        return match by.starts_with("kubernetes.io/") {
            false => Ok(()),
            true if by == "kubernetes.io/nfs" => Err("no deletable volume plugin matched".into()),
            true => Err(format!("no volume plugin matched name: {by}")),
        };
    }
    let spec = volume.at("spec");
    if meta.annotation(provision::MIGRATED_TO).is_some() || spec.has("csi") {
        return Ok(());
    }
    let path = spec.at("hostPath").opt_str("path");
    if let Some(path) = path.filter(|path| path.strip_prefix("/tmp/").is_none_or(str::is_empty)) {
        return Err(format!("host_path deleter only supports /tmp/.+ but received provided {path}"));
    }
    let why = match spec.has("nfs") || spec.has("hostPath") {
        true => "no deletable volume plugin matched",
        false => "no volume plugin matched",
    };
    Err(format!("error getting deleter volume plugin for volume {:?}: {why}", meta.name()))
}
