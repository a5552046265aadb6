//! Binding: the volume names the claim, the claim names the volume, and both say that they are bound.
//!
//! Upstream: bind, bindVolumeToClaim, bindClaimToVolume, updateClaimStatus, unbindVolume.

use std::sync::Arc;

use api::{Value, quantity::Quantity, value};

use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, CLAIMS, VOLUMES, find, phase};
use crate::driver::plan::{Action, Plan};

/// A volume on its way to a new size says what the claim has until then. Upstream: AnnPreResizeCapacity.
const PRE_RESIZE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";

/// The next step: each write rests on the one before.
pub(super) fn plan(volume: &Arc<Value>, claim: &Arc<Value>) -> Plan {
    if let Some(new) = with_claim(volume, claim) {
        return Plan::of(vec![Action::update(VOLUMES, new)], "it is to be bound");
    }
    let mut actions: Vec<Action> = phase(volume, "Bound", "").into_iter().collect();
    match with_volume(claim, volume) {
        Some(new) => actions.push(Action::update(CLAIMS, new)),
        None => actions.extend(claim_status(claim, "Bound", Some(volume))),
    }
    if actions.is_empty() { Plan::nothing("it is bound") } else { Plan::of(actions, "it is being bound") }
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
    let old = claim.at("status");
    let mut status = old.clone();
    status.set("phase", phase);
    match volume {
        None => {
            for member in ["accessModes", "capacity", "currentVolumeAttributesClassName"] {
                status.remove(member);
            }
        }
        Some(volume) => bound_status(&mut status, volume, old),
    }
    let mut new = Value::clone(claim);
    let is_news = !status.is_same(old);
    new.set("status", status);
    is_news.then(|| Action::update_status(CLAIMS, new))
}

/// The capacity is the volume's only when the claim becomes bound: later the file system may lag behind.
fn bound_status(status: &mut Value, volume: &Value, old: &Value) {
    let spec = volume.at("spec");
    if status.list("accessModes") != spec.list("accessModes") {
        status.set("accessModes", spec.at("accessModes"));
    }
    if old.str("phase") == "Bound" {
        return;
    }
    if let Some(text) = api::meta::of(volume).annotation(PRE_RESIZE) {
        let known = Quantity::parse(text).is_ok();
        let capacity = if known { Value::from(text) } else { spec.at("capacity").at("storage").clone() };
        status.set_path(&["capacity", "storage"], capacity);
    } else if !status.at("capacity").has("storage")
        || Quantity::of(status.at("capacity").at("storage")) != find::capacity(volume)
    {
        status.set("capacity", spec.at("capacity"));
    }
    let class = spec.at("volumeAttributesClassName");
    if old.str("phase") == "Pending" && class != status.at("currentVolumeAttributesClassName") {
        match class {
            Value::Null => drop(status.remove("currentVolumeAttributesClassName")),
            class => status.set("currentVolumeAttributesClassName", class),
        }
    }
}

/// Takes a binding back: all of it where it was made here, else only whose it was exactly. That it is available then is
/// the next step.
pub(super) fn unbind(volume: &Arc<Value>) -> Action {
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
    Action::update(VOLUMES, new)
}
