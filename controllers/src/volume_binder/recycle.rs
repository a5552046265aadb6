//! Recycling: a pod empties the volume, and then it is free again.
//!
//! Upstream: recycleVolumeOperation, pkg/volume/util/recyclerclient, NewPersistentVolumeRecyclerPodTemplate.

use std::sync::Arc;

use api::{Value, quantity::Quantity, value};

use super::{CLAIMS, bind, claim_key, find, reclaim, uses};
use crate::{
    driver::{
        plan::{Action, Event, Excuse, Plan},
        world::World,
    },
    pods::{self, PODS},
};

pub(super) const PREFIX: &str = "recycler-for-";
pub(super) const NAMESPACE: &str = "default";
const IMAGE: &str = "registry.k8s.io/build-image/debian-base:bookworm-v1.0.6";
const SCRUB: &str = r#"test -e /scrub && find /scrub -mindepth 1 -delete && test -z "$(ls -A /scrub)" || exit 1"#;
/// What can be emptied so, and the least time that it gets. Upstream: --pv-recycler-minimum-timeout-*.
const KINDS: [(&str, i64); 2] = [("hostPath", 60), ("nfs", 300)];
/// Upstream: --pv-recycler-timeout-increment-hostpath, --pv-recycler-increment-timeout-nfs.
const SECONDS_PER_GI: i64 = 30;

pub(super) fn plan(world: &World<'_>, volume: &Arc<Value>) -> Plan {
    let users = users(world, volume);
    let key = claim_key(volume);
    if !users.is_empty() && world.get(CLAIMS, &key.namespace, &key.name).is_none() {
        let message = format!("Volume is used by pods: {}", users.join(","));
        let events = vec![Event::normal(volume, "VolumeFailedRecycle", message)];
        return Plan { events, ..Plan::nothing("pods use it") };
    }
    let Some((kind, least)) = KINDS.iter().find(|(kind, _)| volume.at("spec").has(kind)) else {
        return reclaim::failed(
            volume,
            "VolumeFailedRecycle",
            "No recycler plugin found for the volume!",
            "nothing here can recycle it",
        );
    };
    let name = format!("{PREFIX}{}", api::meta::of(volume).name());
    let Some(pod) = world.get(PODS, NAMESPACE, &name) else {
        let create = Action::create(PODS, pod(volume, &name, kind, *least)).excuse(&[Excuse::AlreadyExists]);
        return Plan::of(vec![create], "it is to be recycled");
    };
    if pods::is_terminating(&pod) {
        return Plan::nothing("a pod that recycled it goes away");
    }
    match pods::phase(&pod) {
        "Succeeded" => {
            let actions = vec![Action::delete(PODS, pod), bind::unbind(volume)];
            let events = vec![Event::normal(volume, "VolumeRecycled", "Volume recycled")];
            Plan { events, ..Plan::of(actions, "it has been recycled") }
        }
        "Failed" => {
            let why = pod.at("status").opt_str("message").unwrap_or("pod failed, pod.Status.Message unknown");
            let message = format!("Recycle failed: failed to recycle volume: {why}");
            let mut plan = reclaim::failed(volume, "VolumeFailedRecycle", &message, "it could not be recycled");
            plan.actions.insert(0, Action::delete(PODS, pod.clone()));
            plan
        }
        _ => Plan::nothing("it is being recycled"),
    }
}

/// Pods that still use the volume's claim. Upstream: isVolumeUsed.
fn users(world: &World<'_>, volume: &Value) -> Vec<String> {
    let key = claim_key(volume);
    let all = world.mirror(PODS).in_namespace(&key.namespace);
    let users = all.iter().filter(|p| !pods::is_finished(p) && uses(p, &key.name));
    let mut names: Vec<String> = users.map(|p| format!("{}/{}", key.namespace, api::meta::of(p).name())).collect();
    names.sort_unstable();
    names
}

fn pod(volume: &Value, name: &str, kind: &str, least: i64) -> Value {
    let source = volume.at("spec").at(kind);
    let mut mount = value!({"name": "vol"});
    for member in ["server", "path"].iter().filter(|m| source.has(m)) {
        mount.set_path(&[kind, member], source.at(member));
    }
    let gi = Quantity::parse("1Gi").map_or(1, |q| q.value());
    let seconds = find::capacity(volume).value() / gi * SECONDS_PER_GI;
    value!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "activeDeadlineSeconds": seconds.max(least),
            "restartPolicy": "Never",
            "volumes": [mount],
            "containers": [{
                "name": "pv-recycler", "image": IMAGE, "command": ["/bin/sh"], "args": ["-c", SCRUB],
                "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}]
            }]
        }
    })
}
