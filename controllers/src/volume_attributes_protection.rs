//! Classes of volume attributes do not go while volumes or claims have them.
//!
//! Upstream: pkg/controller/volume/vacprotection.

use api::Value;
use client::{Change, mirror::Key};

use crate::driver::{
    Spec, Wake, Work,
    plan::{Action, Plan},
    world::World,
};

const CLASSES: &str = "storage.k8s.io/v1/volumeattributesclasses";
const CLAIMS: &str = "v1/persistentvolumeclaims";
const VOLUMES: &str = "v1/persistentvolumes";
const FINALIZER: &str = "kubernetes.io/vac-protection";

pub const SPEC: Spec = Spec {
    name: "volumeattributesclass-protection-controller",
    alias: "",
    acts_for: "volumeattributesclass-protection-controller",
    tells_as: "volumeattributesclass-protection-controller",
    wakes_on: &[Wake::Itself(CLASSES), Wake::By(CLAIMS, of_user), Wake::By(VOLUMES, of_user)],
    workers: 1,
    work: Work::Plan(plan),
};

/// Where claims and volumes name classes: what they ask for, what they have, and what they are on the way to.
const NAMES: [&[&str]; 3] = [
    &["spec", "volumeAttributesClassName"],
    &["status", "currentVolumeAttributesClassName"],
    &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
];

fn names(object: &Value) -> impl Iterator<Item = &str> {
    NAMES.iter().filter_map(|path| object.at_path(path).as_str()).filter(|name| !name.is_empty())
}

/// Classes that it had.
fn of_user(_: &World<'_>, change: &Change) -> Vec<Key> {
    change.old.iter().flat_map(|old| names(old).map(|name| Key::new("", name)).collect::<Vec<_>>()).collect()
}

fn plan(world: &World<'_>) -> Plan {
    let Some(class) = world.itself(CLASSES) else { return Plan::nothing("it is gone") };
    let meta = api::meta::of(&class);
    let others: Vec<Value> = meta.finalizers().filter(|f| *f != FINALIZER).map(Value::from).collect();
    let has = meta.finalizers().any(|f| f == FINALIZER);
    let with = |finalizers: Vec<Value>| {
        let mut new = Value::clone(&class);
        new.set_path(&["metadata", "finalizers"], Value::array(finalizers));
        vec![Action::update(CLASSES, new)]
    };
    match (meta.is_terminating(), has) {
        (true, true) if is_used(world, meta.name()) => Plan::nothing("it is in use"),
        (true, true) => Plan::of(with(others), "nobody uses it any more"),
        (false, false) => Plan::of(with(others.into_iter().chain([FINALIZER.into()]).collect()), "it is not protected"),
        _ => Plan::nothing("it is as it should be"),
    }
}

fn is_used(world: &World<'_>, class: &str) -> bool {
    let uses =
        |resource: &str| world.mirror(resource).all().iter().any(|object| names(object).any(|name| name == class));
    uses(VOLUMES) || uses(CLAIMS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/volume_attributes_protection.yaml"));
    }
}
