//! Claims get volumes: one that fits is bound to them, or whoever provisions volumes is asked for one. Volumes of claims
//! that are gone are dealt with as they say themselves.
//!
//! A key without a namespace is a volume's, any other a claim's. A binding is four writes, the volume's first; whoever is
//! cut off in between finds the rest to do. Upstream: pkg/controller/volume/persistentvolume.

mod bind;
mod find;
mod provision;
mod reclaim;
mod recycle;
mod volume;

use std::sync::Arc;

use api::Value;
use client::{Change, mirror::Key};
use jiff::SignedDuration;

use crate::{
    driver::{
        Spec, Wake, Work,
        plan::{Action, Event, Plan},
        world::World,
    },
    pods::{self, PODS},
};

const CLAIMS: &str = "v1/persistentvolumeclaims";
const VOLUMES: &str = "v1/persistentvolumes";
const CLASSES: &str = "storage.k8s.io/v1/storageclasses";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// What waits is looked at so often. Upstream: --pvclaimbinder-sync-period.
const EVERY: SignedDuration = SignedDuration::from_secs(15);

pub const SPEC: Spec = Spec {
    name: "persistentvolume-binder-controller",
    alias: "persistentvolume-binder",
    acts_for: "persistent-volume-binder",
    tells_as: "persistentvolume-controller",
    wakes_on: &[
        Wake::By(CLAIMS, of_claim),
        Wake::By(VOLUMES, of_volume),
        Wake::By(CLASSES, of_class),
        Wake::By(PODS, of_recycler),
    ],
    // Two claims that reach for one volume at a time meet in a conflict, and the second takes another.
    workers: 2,
    work: Work::Plan(plan),
};

/// The claim, the volume that it names, and when it is gone those that name it.
fn of_claim(world: &World<'_>, change: &Change) -> Vec<Key> {
    let claim = change.object();
    let mut keys = vec![Key::of(claim)];
    let name = claim.at("spec").str("volumeName");
    if !name.is_empty() {
        keys.push(Key::new("", name));
    }
    if change.new.is_none() {
        let volumes = world.mirror(VOLUMES).all();
        keys.extend(volumes.iter().filter(|v| claim_key(v) == Key::of(claim)).map(|v| Key::of(v)));
    }
    keys
}

/// The volume, and the claims that it is for or could be for.
fn of_volume(world: &World<'_>, change: &Change) -> Vec<Key> {
    let volume = change.object();
    let mut keys = vec![Key::of(volume)];
    let reference = volume.at("spec").at("claimRef");
    let claims = world.mirror(CLAIMS).all();
    let mut add = |fits: &dyn Fn(&Value) -> bool| keys.extend(claims.iter().filter(|c| fits(c)).map(|c| Key::of(c)));
    if change.new.is_none() {
        let name = api::meta::of(volume).name();
        add(&|claim| claim.at("spec").str("volumeName") == name);
    } else if reference.is_null() {
        add(&|claim| waits(claim) && class_of(claim) == class_of(volume));
    }
    if !reference.is_null() {
        keys.push(claim_key(volume));
    }
    keys
}

fn of_class(world: &World<'_>, change: &Change) -> Vec<Key> {
    let name = api::meta::of(change.object()).name();
    let claims = world.mirror(CLAIMS).all();
    claims.iter().filter(|c| waits(c) && (!has_class(c) || class_of(c) == name)).map(|c| Key::of(c)).collect()
}

fn of_recycler(_: &World<'_>, change: &Change) -> Vec<Key> {
    let meta = api::meta::of(change.object());
    let volume = meta.name().strip_prefix(recycle::PREFIX).filter(|_| meta.namespace() == recycle::NAMESPACE);
    volume.map(|name| Key::new("", name)).into_iter().collect()
}

fn plan(world: &World<'_>) -> Plan {
    if world.key.namespace.is_empty() { volume::plan(world) } else { claim(world) }
}

fn waits(claim: &Value) -> bool {
    !is_bound(claim) && claim.at("spec").str("volumeName").is_empty()
}

fn is_bound(claim: &Value) -> bool {
    api::meta::of(claim).annotation(BIND_COMPLETED).is_some()
}

/// The claim that a volume is for.
fn claim_key(volume: &Value) -> Key {
    let reference = volume.at("spec").at("claimRef");
    Key::new(reference.str("namespace"), reference.str("name"))
}

/// The class of a claim or of a volume.
fn class_of(object: &Value) -> &str {
    api::meta::of(object).annotation(BETA_CLASS).unwrap_or_else(|| object.at("spec").str("storageClassName"))
}

/// Whether a claim says its class, be it none.
fn has_class(claim: &Value) -> bool {
    api::meta::of(claim).annotation(BETA_CLASS).is_some() || claim.at("spec").has("storageClassName")
}

fn claim(world: &World<'_>) -> Plan {
    let Some(claim) = world.itself(CLAIMS) else { return Plan::nothing("it is gone") };
    if let Some(new) = provision::migrated(&claim) {
        return Plan::of(vec![Action::update(CLAIMS, new)], "what provisions it has moved");
    }
    if is_bound(&claim) {
        return bound(world, &claim);
    }
    let name = claim.at("spec").str("volumeName");
    if name.is_empty() { unbound(world, &claim) } else { asking(world, &claim, name) }
}

/// A claim that was bound once. Upstream: syncBoundClaim.
fn bound(world: &World<'_>, claim: &Arc<Value>) -> Plan {
    let name = claim.at("spec").str("volumeName");
    if name.is_empty() {
        let message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lost(claim, "ClaimLost", message);
    }
    let Some(volume) = world.get(VOLUMES, "", name) else {
        return lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    let reference = volume.at("spec").at("claimRef");
    if reference.is_null() || reference.str("uid") == api::meta::of(claim).uid() {
        return bind::plan(&volume, claim);
    }
    lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
}

fn lost(claim: &Arc<Value>, reason: &'static str, message: &str) -> Plan {
    let because = "its volume is lost";
    if claim.at("status").str("phase") == "Lost" {
        return Plan::nothing(because);
    }
    let actions = bind::claim_status(claim, "Lost", None).into_iter().collect();
    let events = vec![Event::warning(claim, reason, message)];
    Plan { events, ..Plan::of(actions, because) }
}

/// A claim that takes what it gets. Upstream: syncUnboundClaim.
fn unbound(world: &World<'_>, claim: &Arc<Value>) -> Plan {
    let class = world.get(CLASSES, "", class_of(claim));
    let delays = class.as_ref().is_some_and(|c| c.str("volumeBindingMode") == "WaitForFirstConsumer");
    match find::volume(claim, &world.mirror(VOLUMES).all(), delays) {
        Ok(Some(volume)) => return bind::plan(&volume, claim),
        Ok(None) => {}
        Err(why) => {
            return Plan::nothing(format!("error finding PV for claim {:?}: {why}", Key::of(claim).to_string()));
        }
    }
    if !has_class(claim)
        && let Some(class) = default_class(world)
    {
        let mut new = Value::clone(claim);
        new.set_path(&["spec", "storageClassName"], api::meta::of(&class).name());
        return Plan::of(vec![Action::update(CLAIMS, new)], "there is a default class by now");
    }
    let selected = api::meta::of(claim).annotation(SELECTED_NODE).is_some();
    if delays && !selected {
        let (reason, message) = waiting_for(world, claim);
        return pending(world, claim, Event::normal(claim, reason, message), "it waits for its first consumer");
    }
    if !class_of(claim).is_empty() {
        let plan = provision::plan(claim, class.as_deref());
        return Plan { again_at: Some(world.now + EVERY), ..plan };
    }
    let message = "no persistent volumes available for this claim and no storage class is set";
    pending(world, claim, Event::normal(claim, "FailedBinding", message), "no volume fits")
}

fn pending(world: &World<'_>, claim: &Arc<Value>, event: Event, because: &'static str) -> Plan {
    let actions = bind::claim_status(claim, "Pending", None).into_iter().collect();
    Plan { events: vec![event], again_at: Some(world.now + EVERY), ..Plan::of(actions, because) }
}

/// Upstream: emitEventForUnboundDelayBindingClaim.
fn waiting_for(world: &World<'_>, claim: &Value) -> (&'static str, String) {
    let meta = api::meta::of(claim);
    let all = world.mirror(PODS).in_namespace(meta.namespace());
    let users = all.iter().filter(|p| !pods::is_finished(p) && pods::node(p).is_empty() && uses(p, meta.name()));
    let names: Vec<&str> = users.map(|p| api::meta::of(p).name()).collect();
    match names.as_slice() {
        [] => ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".into()),
        [one] => ("WaitForPodScheduled", format!("waiting for pod {one} to be scheduled")),
        all => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", all.join(","))),
    }
}

/// Whether a pod uses a claim of its namespace. Upstream: PodPVCIndexFunc.
fn uses(pod: &Value, claim: &str) -> bool {
    pod.at("spec").list("volumes").iter().any(|volume| {
        volume.at("persistentVolumeClaim").opt_str("claimName") == Some(claim)
            || (volume.has("ephemeral") && format!("{}-{}", api::meta::of(pod).name(), volume.str("name")) == claim)
    })
}

/// The newest of the default classes. Upstream: GetDefaultClass.
fn default_class(world: &World<'_>) -> Option<Arc<Value>> {
    let is_default = |class: &&Arc<Value>| {
        let meta = api::meta::of(class);
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|key| meta.annotation(key) == Some("true"))
    };
    let classes = world.mirror(CLASSES).all();
    let mut found: Vec<&Arc<Value>> = classes.iter().filter(is_default).collect();
    found.sort_by(|a, b| {
        let (a, b) = (api::meta::of(a), api::meta::of(b));
        b.creation_timestamp().cmp(a.creation_timestamp()).then_with(|| a.name().cmp(b.name()))
    });
    found.first().map(|class| (*class).clone())
}

/// A claim that asks for this volume.
fn asking(world: &World<'_>, claim: &Arc<Value>, name: &str) -> Plan {
    let waits = |because: &'static str| {
        let actions = bind::claim_status(claim, "Pending", None).into_iter().collect();
        Plan { again_at: Some(world.now + EVERY), ..Plan::of(actions, because) }
    };
    let Some(volume) = world.get(VOLUMES, "", name) else { return waits("its volume is not there yet") };
    if volume.at("spec").at("claimRef").is_null() {
        if let Err(why) = find::check(&volume, claim) {
            let message = format!("Cannot bind to requested volume {name:?}: {why}");
            let event = Event::warning(claim, "VolumeMismatch", message);
            return Plan { events: vec![event], ..waits("its volume does not fit") };
        }
        return bind::plan(&volume, claim);
    }
    if find::is_for(&volume, claim) {
        return bind::plan(&volume, claim);
    }
    if api::meta::of(claim).annotation(BOUND_BY_CONTROLLER).is_some() {
        let message = format!("volume {name:?} already bound to a different claim.");
        let event = Event::warning(claim, "FailedBinding", message);
        return Plan {
            events: vec![event],
            again_at: Some(world.now + EVERY),
            ..Plan::nothing("its volume is another's")
        };
    }
    let message = format!("volume {name:?} already bound to a different claim.");
    let event = Event::warning(claim, "FailedBinding", message);
    Plan { events: vec![event], ..waits("its volume is another's") }
}

/// A change of a volume's phase, when it is one. Upstream: updateVolumePhase.
fn phase(volume: &Arc<Value>, phase: &str, message: &str) -> Option<Action> {
    if volume.at("status").str("phase") == phase {
        return None;
    }
    let mut new = Value::clone(volume);
    new.set_path(&["status", "phase"], phase);
    match message {
        "" => drop(new.remove_path(&["status", "message"])),
        message => new.set_path(&["status", "message"], message),
    }
    Some(Action::update_status(VOLUMES, new))
}

/// The same with an event, once it is written.
fn phase_told(volume: &Arc<Value>, to: &str, reason: &'static str, message: &str) -> (Option<Action>, Vec<Event>) {
    let action = phase(volume, to, message);
    let events = action.iter().map(|_| Event::warning(volume, reason, message)).collect();
    (action, events)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/volume_binder.yaml"));
    }

    #[test]
    fn cases_of_volumes() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/volume_binder_volumes.yaml"));
    }
}
