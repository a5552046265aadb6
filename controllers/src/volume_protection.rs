//! Volumes that are bound do not go before their claim has.
//!
//! Upstream: pkg/controller/volume/pvprotection.

use api::Value;

use crate::driver::{
    Spec, Wake, Work,
    plan::{Action, Plan},
    world::World,
};

const VOLUMES: &str = "v1/persistentvolumes";
const FINALIZER: &str = "kubernetes.io/pv-protection";

pub const SPEC: Spec = Spec {
    name: "persistentvolume-protection-controller",
    alias: "pv-protection",
    acts_for: "pv-protection-controller",
    tells_as: "pv-protection-controller",
    wakes_on: &[Wake::Itself(VOLUMES)],
    workers: 1,
    work: Work::Plan(plan),
};

fn plan(world: &World<'_>) -> Plan {
    let Some(volume) = world.itself(VOLUMES) else { return Plan::nothing("it is gone") };
    let meta = api::meta::of(&volume);
    let others: Vec<Value> = meta.finalizers().filter(|f| *f != FINALIZER).map(Value::from).collect();
    let has = meta.finalizers().any(|f| f == FINALIZER);
    let with = |finalizers: Vec<Value>| {
        let mut new = Value::clone(&volume);
        new.set_path(&["metadata", "finalizers"], Value::array(finalizers));
        vec![Action::update(VOLUMES, new)]
    };
    match (meta.is_terminating(), has) {
        (true, true) if volume.at("status").str("phase") != "Bound" => {
            Plan::of(with(others), "nobody uses it any more")
        }
        (false, false) => {
            let all = others.into_iter().chain([FINALIZER.into()]).collect();
            Plan::of(with(all), "it is not protected")
        }
        _ => Plan::nothing("it is as it should be"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/volume_protection.yaml"));
    }
}
