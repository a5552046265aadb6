//! What is due about a volume. Upstream: syncVolume.

use std::sync::Arc;

use api::{Value, value};

use super::{
    BOUND_BY_CONTROLLER, CLAIMS, EVERY, PROVISIONED_BY, VOLUMES, bind, claim_key, find, phase, provision, reclaim,
};
use crate::driver::{
    plan::{Action, Event, Plan},
    world::World,
};

pub(super) fn plan(world: &World<'_>) -> Plan {
    let Some(volume) = world.itself(VOLUMES) else { return Plan::nothing("it is gone") };
    if let Some(new) = provision::settled(&volume) {
        return Plan::of(vec![Action::update(VOLUMES, new)], "what provisioned it, or its policy, has changed");
    }
    let reference = volume.at("spec").at("claimRef");
    if reference.is_null() {
        return say(&volume, "Available", "it is free");
    }
    if reference.str("uid").is_empty() {
        return say(&volume, "Available", "it waits for its claim");
    }
    let key = claim_key(&volume);
    let claim = world.get(CLAIMS, &key.namespace, &key.name);
    let Some(claim) = claim.filter(|c| api::meta::of(c).uid() == reference.str("uid")) else {
        return released(world, &volume, "its claim is gone");
    };
    let bound = claim.at("spec").str("volumeName");
    if bound.is_empty() {
        return unclaimed(&volume, &claim);
    }
    if bound == api::meta::of(&volume).name() {
        return say(&volume, "Bound", "it is bound");
    }
    let meta = api::meta::of(&volume);
    let goes = volume.at("spec").str("persistentVolumeReclaimPolicy") == "Delete";
    if meta.annotation(PROVISIONED_BY).is_some() && goes {
        return released(world, &volume, "its claim has another, and it was made for it");
    }
    let because = match meta.annotation(BOUND_BY_CONTROLLER) {
        Some(_) => "its claim has another",
        None => "its claim has another for now",
    };
    Plan::of(vec![bind::unbind(&volume)], because)
}

fn say(volume: &Arc<Value>, to: &str, because: &'static str) -> Plan {
    Plan::of(phase(volume, to, "").into_iter().collect(), because)
}

/// The claim's own plan binds them, unless they cannot be.
fn unclaimed(volume: &Arc<Value>, claim: &Arc<Value>) -> Plan {
    if find::mode(volume) == find::mode(claim) {
        return Plan::nothing("its claim is about to be bound");
    }
    let (name, claim_name) = (api::meta::of(volume).name(), api::meta::of(claim).name());
    let events = vec![
        Event::warning(
            volume,
            "VolumeMismatch",
            format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {claim_name:?} due to incompatible volumeMode."
            ),
        ),
        Event::warning(
            claim,
            "VolumeMismatch",
            format!(
                "Cannot bind PersistentVolume {name:?} to requested PersistentVolumeClaim due to incompatible volumeMode."
            ),
        ),
    ];
    Plan { events, ..Plan::nothing("it and its claim are of different modes") }
}

/// First it says that it is released, which the server confirms; then its policy is carried out.
fn released(world: &World<'_>, volume: &Arc<Value>, because: &'static str) -> Plan {
    if !matches!(volume.at("status").str("phase"), "Released" | "Failed") {
        let mut actions = Vec::new();
        let reference = volume.at("spec").at("claimRef");
        let key = claim_key(volume);
        if world.get(CLAIMS, &key.namespace, &key.name).is_none_or(|c| api::meta::of(&c).uid() != reference.str("uid"))
        {
            // A mirror of claims that is behind must not cost anybody data.
            let claim = value!({"metadata": {
                "namespace": reference.str("namespace"), "name": reference.str("name"), "uid": reference.str("uid")
            }});
            actions.push(Action::confirm_gone(CLAIMS, claim));
        }
        actions.extend(phase(volume, "Released", ""));
        return Plan::of(actions, because);
    }
    Plan { again_at: Some(world.now + EVERY), ..reclaim::plan(world, volume) }
}
