//! Claims for the ephemeral volumes of pods.
//!
//! Upstream: pkg/controller/volume/ephemeral.

use api::value;
use client::{Change, mirror::Key};

use crate::{
    claims::{self, Kind},
    driver::{
        Spec, Wake, Work,
        plan::{Action, Event, Plan, Tell},
        world::World,
    },
    pods::{self, PODS},
};

const CLAIMS: &str = "v1/persistentvolumeclaims";
const POD: Kind = Kind { resource: PODS, api_version: "v1", kind: "Pod" };

pub const SPEC: Spec = Spec {
    name: "ephemeral-volume-controller",
    alias: "ephemeral-volume",
    acts_for: "ephemeral-volume-controller",
    tells_as: "ephemeral_volume",
    wakes_on: &[Wake::By(PODS, of_pod), Wake::Owned(CLAIMS, POD.kind)],
    workers: 5,
    work: Work::Plan(plan),
};

fn of_pod(_: &World<'_>, change: &Change) -> Vec<Key> {
    let pod = change.object();
    let has = pod.at("spec").list("volumes").iter().any(|volume| volume.has("ephemeral"));
    if has { vec![Key::of(pod)] } else { Vec::new() }
}

fn plan(world: &World<'_>) -> Plan {
    let Some(pod) = world.itself(PODS) else { return Plan::nothing("it is gone") };
    if pods::is_terminating(&pod) {
        return Plan::nothing("it goes away");
    }
    let (meta, mut plan) = (api::meta::of(&pod), Plan::nothing("its claims are there"));
    for volume in pod.at("spec").list("volumes").iter().filter(|v| v.has("ephemeral")) {
        let name = format!("{}-{}", meta.name(), volume.str("name"));
        if let Some(known) = world.get(CLAIMS, meta.namespace(), &name) {
            if !claims::is_controlled_by(&known, &pod) {
                let (namespace, pod_name) = (meta.namespace(), meta.name());
                let message =
                    format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod_name} (pod is not owner)");
                plan.events.push(Event::warning(&pod, "FailedClaim", message));
            }
            continue;
        }
        let template = volume.at("ephemeral").at("volumeClaimTemplate");
        let mut claim = value!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": meta.namespace(), "ownerReferences": [POD.controller_reference(&pod)]},
            "spec": template.at("spec")
        });
        for member in ["labels", "annotations"] {
            if template.at("metadata").has(member) {
                claim.set_path(&["metadata", member], template.at("metadata").at(member));
            }
        }
        let failed = Some(("FailedCreate", "PVC creation failed: {}".to_string()));
        let tell = Tell { regarding: pod.clone(), done: None, failed };
        plan.actions.push(Action::create(CLAIMS, claim).tell(tell));
        plan.because = "claims are missing".into();
    }
    plan
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/ephemeral_volumes.yaml"));
    }
}
