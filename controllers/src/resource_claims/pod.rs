//! What a pod needs: claims from templates, and once it has a node, its place in them. Upstream: syncPod, handleClaim.

use std::sync::Arc;

use api::{Value, value};

use super::{CLAIMS, POD_CLAIM, TEMPLATES, claims, is_for, is_reserved_for, name_of};
use crate::{
    driver::{
        plan::{Action, After, Event, Plan, Tell},
        world::World,
    },
    pods::{self, PODS},
};

/// What it says of a claim that cannot be made.
const FAILED: &str = "FailedResourceClaimCreation";
/// The longest beginning of a name: five letters and a dash follow.
const NAME_MAX: usize = 57;

pub(super) fn plan(world: &World<'_>, namespace: &str, name: &str) -> Plan {
    let Some(pod) = world.get(PODS, namespace, name) else { return Plan::nothing("the pod is gone") };
    if pods::is_terminating(&pod) {
        return Plan::nothing("the pod goes away");
    }
    if pod.at_path(&["spec", "schedulingGroup"]).has("podGroupName") {
        return Plan::nothing("the pod is of a group");
    }
    let mut plan = Plan::nothing("the pod has its claims");
    let mut found: Vec<(String, String)> = Vec::new();
    for pod_claim in claims(&pod).iter().filter(|c| c.has("resourceClaimTemplateName")) {
        match name_of(&pod, pod_claim) {
            Ok(None) => continue,
            Ok(Some(name)) if world.get(CLAIMS, namespace, name).is_some_and(|c| is_for(&pod, pod_claim, &c)) => {
                continue;
            }
            _ => {}
        }
        // One that was made before, of which the pod's status does not know yet.
        if let Some(orphan) = orphan(world, &pod, pod_claim.str("name")) {
            found.push((pod_claim.str("name").to_owned(), orphan));
            continue;
        }
        match made(world, &pod, pod_claim) {
            Ok(create) => plan.actions.push(create),
            Err(event) => plan.events.push(event),
        }
    }
    if !plan.actions.is_empty() || !found.is_empty() {
        plan.because = "the pod lacks claims".into();
        plan.after = Some(told(&pod, found));
        return plan;
    }
    if !pods::node(&pod).is_empty() {
        plan.actions = reservations(world, &pod);
        if !plan.actions.is_empty() {
            plan.because = "the pod has a node, and no place in its claims".into();
        }
    }
    plan
}

fn orphan(world: &World<'_>, pod: &Value, name: &str) -> Option<String> {
    let owned = world.mirror(CLAIMS).owned_by(api::meta::of(pod).uid());
    let claim = owned.iter().find(|c| api::meta::of(c).annotation(POD_CLAIM) == Some(name))?;
    Some(api::meta::of(claim).name().to_owned())
}

/// A claim from a template, or what is told when there is none.
fn made(world: &World<'_>, pod: &Arc<Value>, pod_claim: &Value) -> Result<Action, Event> {
    let (meta, name) = (api::meta::of(pod), pod_claim.str("name"));
    let template_name = pod_claim.str("resourceClaimTemplateName");
    let Some(template) = world.get(TEMPLATES, meta.namespace(), template_name) else {
        let why = format!("resourceclaimtemplate.resource.k8s.io {template_name:?} not found");
        let message = format!("PodResourceClaim {name}: resource claim template {template_name:?}: {why}");
        return Err(Event::warning(pod, FAILED, message));
    };
    let spec = template.at("spec");
    let mut claim = value!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {
            "generateName": beginning(meta.name(), name), "namespace": meta.namespace(),
            "annotations": spec.at("metadata").at("annotations"),
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Pod", "name": meta.name(), "uid": meta.uid(), "controller": true
            }]
        },
        "spec": spec.at("spec")
    });
    claim.set_path(&["metadata", "annotations", POD_CLAIM], name);
    if spec.at("metadata").has("labels") {
        claim.set_path(&["metadata", "labels"], spec.at("metadata").at("labels"));
    }
    let failed = Some((FAILED, format!("PodResourceClaim {name}: create ResourceClaim : {{}}")));
    Ok(Action::create(CLAIMS, claim).tell(Tell { regarding: pod.clone(), done: None, failed }))
}

/// `pod-claim-`, each cut in proportion when both are too long.
fn beginning(pod: &str, claim: &str) -> String {
    let whole = format!("{pod}-{claim}-");
    if whole.len() <= NAME_MAX {
        return whole;
    }
    let cut = |text: &str| text[..text.len() * NAME_MAX / whole.len()].to_owned();
    format!("{}-{}", cut(pod), cut(claim))
}

/// Writes into the pod's status which claims are its, those that were just made among them.
fn told(pod: &Arc<Value>, found: Vec<(String, String)>) -> After {
    let pod = pod.clone();
    After::new(move |came| {
        let made = came.made.iter().map(|claim| {
            let meta = api::meta::of(claim);
            (meta.annotation(POD_CLAIM).unwrap_or_default().to_owned(), meta.name().to_owned())
        });
        let all: Vec<Value> = found
            .iter()
            .cloned()
            .chain(made)
            .map(|(name, claim)| value!({"name": name, "resourceClaimName": claim}))
            .collect();
        if all.is_empty() {
            return Vec::new();
        }
        vec![Action::patch_status(PODS, pod.clone(), value!({"status": {"resourceClaimStatuses": all}}))]
    })
}

/// Who came by the scheduler has its places; who was given a node otherwise gets them here.
fn reservations(world: &World<'_>, pod: &Arc<Value>) -> Vec<Action> {
    let meta = api::meta::of(pod);
    let reserve = |pod_claim: &Value| {
        let name = name_of(pod, pod_claim).ok().flatten()?;
        let claim = world.get(CLAIMS, meta.namespace(), name).filter(|c| is_for(pod, pod_claim, c))?;
        if !claim.at("status").has("allocation") || is_reserved_for(&claim, pod) {
            return None;
        }
        let mut new = Value::clone(&claim);
        let place = value!({"resource": "pods", "name": meta.name(), "uid": meta.uid()});
        new.entry("status").entry("reservedFor").make_array().push(place);
        Some(Action::update_status(CLAIMS, new))
    };
    claims(pod).iter().filter_map(reserve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_in_proportion() {
        assert_eq!(beginning("web", "gpu"), "web-gpu-");
        let long = beginning(&"p".repeat(60), &"c".repeat(30));
        assert_eq!(long, format!("{}-{}", "p".repeat(37), "c".repeat(18)));
    }
}
