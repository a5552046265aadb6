//! Binding: the volume names the claim, the claim names the volume, and both say that they are bound.
//!
//! Upstream: bind, bindVolumeToClaim, bindClaimToVolume, updateClaimStatus, unbindVolume.

use std::sync::Arc;

use api::{Value, quantity::Quantity, value};

use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, CLAIMS, VOLUMES, find, phase};
use crate::driver::plan::{Action, Plan};

/// A volume on its way to a new size says what the claim has until then. Upstream: AnnPreResizeCapacity.
const PRE_RESIZE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";

pub(super) fn plan(volume: &Arc<Value>, claim: &Arc<Value>) -> Plan {
    let mut actions: Vec<Action> = Vec::new();
    actions.extend(with_claim(volume, claim).map(|new| Action::update(VOLUMES, new)));
    actions.extend(phase(volume, "Bound", ""));
    actions.extend(with_volume(claim, volume).map(|new| Action::update(CLAIMS, new)));
    actions.extend(claim_status(claim, "Bound", Some(volume)));
    if actions.is_empty() { Plan::nothing("it is bound") } else { Plan::of(actions, "it is to be bound") }
}

/// The volume with its claim, when that is news.
fn with_claim(volume: &Value, claim: &Value) -> Option<Value> {
    let (meta, reference) = (api::meta::of(claim), volume.at("spec").at("claimRef"));
    let is_whole = reference.str("name") == meta.name()
        && reference.str("namespace") == meta.namespace()
        && reference.str("uid") == meta.uid();
    let marks = !find::is_for(volume, claim) && api::meta::of(volume).annotation(BOUND_BY_CONTROLLER).is_none();
    if is_whole && !marks {
        return None;
    }
    let mut new = volume.clone();
    if !is_whole {
        let reference = value!({
            "kind": "PersistentVolumeClaim", "namespace": meta.namespace(), "name": meta.name(), "uid": meta.uid(),
            "apiVersion": "v1", "resourceVersion": meta.resource_version()
        });
        new.set_path(&["spec", "claimRef"], reference);
    }
    if marks {
        new.set_path(&["metadata", "annotations", BOUND_BY_CONTROLLER], "yes");
    }
    Some(new)
}

/// The claim with its volume, when that is news.
fn with_volume(claim: &Value, volume: &Value) -> Option<Value> {
    let (meta, name) = (api::meta::of(claim), api::meta::of(volume).name());
    let names = claim.at("spec").str("volumeName") == name;
    if names && meta.annotation(BIND_COMPLETED).is_some() {
        return None;
    }
    let mut new = claim.clone();
    if !names {
        new.set_path(&["spec", "volumeName"], name);
        if meta.annotation(BOUND_BY_CONTROLLER).is_none() {
            new.set_path(&["metadata", "annotations", BOUND_BY_CONTROLLER], "yes");
        }
    }
    if meta.annotation(BIND_COMPLETED).is_none() {
        new.set_path(&["metadata", "annotations", BIND_COMPLETED], "yes");
    }
    Some(new)
}

/// What a claim's status is to say, when that is news.
pub(super) fn claim_status(claim: &Arc<Value>, phase: &str, volume: Option<&Value>) -> Option<Action> {
    let status = claim.at("status");
    let mut change = Value::object();
    let is_new = status.str("phase") != phase;
    if is_new {
        change.set("phase", phase);
    }
    match volume {
        None => {
            for member in ["accessModes", "capacity", "currentVolumeAttributesClassName"] {
                if status.has(member) {
                    change.set(member, Value::Null);
                }
            }
        }
        Some(volume) => bound_status(status, volume, is_new, &mut change),
    }
    let patch = value!({"status": change.clone()});
    (!change.is_empty()).then(|| Action::patch_status(CLAIMS, claim.clone(), patch))
}

/// The capacity is the volume's only when the claim becomes bound: later the file system may lag behind.
fn bound_status(status: &Value, volume: &Value, is_new: bool, change: &mut Value) {
    let spec = volume.at("spec");
    if status.list("accessModes") != spec.list("accessModes") {
        change.set("accessModes", spec.at("accessModes"));
    }
    if !is_new {
        return;
    }
    let before = api::meta::of(volume).annotation(PRE_RESIZE);
    if let Some(text) = before {
        let known = Quantity::parse(text).is_ok();
        let capacity = if known { Value::from(text) } else { spec.at("capacity").at("storage").clone() };
        change.set_path(&["capacity", "storage"], capacity);
    } else if !status.at("capacity").has("storage")
        || Quantity::of(status.at("capacity").at("storage")) != find::capacity(volume)
    {
        change.set("capacity", spec.at("capacity"));
    }
    let (class, known) = (spec.at("volumeAttributesClassName"), status.at("currentVolumeAttributesClassName"));
    if status.str("phase") == "Pending" && class != known {
        change.set("currentVolumeAttributesClassName", class);
    }
}

/// Takes a binding back: all of it where it was made here, else only whose it was exactly.
pub(super) fn unbind(volume: &Arc<Value>) -> Vec<Action> {
    let mut new = Value::clone(volume);
    if api::meta::of(volume).annotation(BOUND_BY_CONTROLLER).is_some() {
        new.remove_path(&["spec", "claimRef"]);
        new.remove_path(&["metadata", "annotations", BOUND_BY_CONTROLLER]);
        if new.at("metadata").at("annotations").is_empty() {
            new.remove_path(&["metadata", "annotations"]);
        }
    } else {
        new.remove_path(&["spec", "claimRef", "uid"]);
    }
    let mut actions = vec![Action::update(VOLUMES, new)];
    actions.extend(phase(volume, "Available", ""));
    actions
}
