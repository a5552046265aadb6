//! What a claim no longer needs: places of pods that are over, its devices, and itself. Upstream: syncClaim.

use std::sync::Arc;

use api::{Value, value};

use super::{CLAIMS, is_done};
use crate::{
    driver::{
        plan::{Action, Plan},
        world::World,
    },
    pods::PODS,
};

/// Whoever allocates a claim puts this on it.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// Whether a place is still needed.
enum Place {
    Needed,
    Free,
    /// The pod is not seen: the server knows.
    Unseen,
}

pub(super) fn plan(world: &World<'_>, namespace: &str, name: &str) -> Plan {
    let Some(claim) = world.get(CLAIMS, namespace, name) else { return Plan::nothing("the claim is gone") };
    let reserved = claim.at("status").list("reservedFor");
    let mut plan = Plan::nothing("the claim is as it should be");
    let mut remaining = Vec::new();
    for consumer in reserved {
        match place(world, namespace, consumer) {
            Place::Needed => remaining.push(consumer.clone()),
            Place::Free => {}
            Place::Unseen => {
                let pod = value!({"metadata": {
                    "namespace": namespace, "name": consumer.str("name"), "uid": consumer.str("uid")
                }});
                plan.actions.push(Action::confirm_gone(PODS, pod));
            }
        }
    }
    let is_ours = api::meta::of(&claim).finalizers().any(|f| f == FINALIZER);
    let is_terminating = api::meta::of(&claim).is_terminating();
    if remaining.len() < reserved.len() {
        let is_free = remaining.is_empty();
        plan.actions.extend(release(&claim, &remaining, is_free && is_ours));
        plan.because = "pods that had a place in it are over".into();
    } else if is_ours && is_terminating && remaining.is_empty() {
        plan.actions.extend(release(&claim, &remaining, true));
        plan.because = "nobody uses it, and it goes away".into();
    }
    if remaining.is_empty() && !is_terminating && is_left_over(world, &claim) {
        plan.actions.push(Action::delete(CLAIMS, claim.clone()));
        plan.because = "it was made for a pod that is over".into();
    }
    plan
}

fn place(world: &World<'_>, namespace: &str, consumer: &Value) -> Place {
    if !consumer.str("apiGroup").is_empty() || consumer.str("resource") != "pods" {
        return Place::Needed;
    }
    match world.get(PODS, namespace, consumer.str("name")) {
        None => Place::Unseen,
        Some(pod) if api::meta::of(&pod).uid() != consumer.str("uid") || is_done(&pod) => Place::Free,
        Some(_) => Place::Needed,
    }
}

/// Takes places away, and with the last of them the devices.
fn release(claim: &Arc<Value>, remaining: &[Value], frees: bool) -> Vec<Action> {
    let mut new = Value::clone(claim);
    match remaining.is_empty() {
        true => drop(new.remove_path(&["status", "reservedFor"])),
        false => new.set_path(&["status", "reservedFor"], Value::array(remaining.to_vec())),
    }
    if frees {
        new.remove_path(&["status", "allocation"]);
    }
    let mut actions = Vec::new();
    if !new.at("status").is_same(claim.at("status")) {
        actions.push(Action::update_status(CLAIMS, new));
    }
    if frees {
        // Not by itself later: whoever allocates protects a claim before it has devices.
        let kept = api::meta::of(claim).finalizers().filter(|f| *f != FINALIZER);
        let kept: Vec<Value> = kept.map(Value::from).collect();
        actions.push(Action::patch(CLAIMS, claim.clone(), value!({"metadata": {"finalizers": kept}})));
    }
    actions
}

/// Whether the pod that it was made for has been replaced or is over. One that is not seen is the garbage collector's.
fn is_left_over(world: &World<'_>, claim: &Value) -> bool {
    let meta = api::meta::of(claim);
    let Some(owner) = meta.controller().filter(|o| o.api_version() == "v1" && o.kind() == "Pod") else { return false };
    let pod = world.get(PODS, meta.namespace(), owner.name());
    pod.is_some_and(|pod| api::meta::of(&pod).uid() != owner.uid() || is_done(&pod))
}
