//! Claims of devices: made from templates for pods, reserved for them, and given back when nobody needs them.
//!
//! A key names a pod or a claim: the two are planned apart. Groups of pods have no claims of their own here, as without
//! DRAWorkloadResourceClaims upstream. Upstream: pkg/controller/resourceclaim.

mod claim;
mod pod;

use std::sync::Arc;

use api::Value;
use client::{Change, mirror::Key};

use crate::{
    driver::{Spec, Wake, Work, plan::Plan, world::World},
    pods::{self, PODS},
};

pub(crate) const CLAIMS: &str = "resource.k8s.io/v1/resourceclaims";
const TEMPLATES: &str = "resource.k8s.io/v1/resourceclaimtemplates";
/// Which of its pod's claims a claim was made for.
const POD_CLAIM: &str = "resource.kubernetes.io/pod-claim-name";
/// Before the names of pods and of claims in keys.
const POD: &str = "pod:";
const CLAIM: &str = "claim:";

pub const SPEC: Spec = Spec {
    name: "resourceclaim-controller",
    alias: "resource-claim-controller",
    acts_for: "resource-claim-controller",
    tells_as: "resource_claim",
    wakes_on: &[Wake::By(PODS, of_pod), Wake::By(CLAIMS, of_claim), Wake::By(TEMPLATES, of_template)],
    workers: 50,
    work: Work::Plan(plan),
};

fn key(kind: &str, namespace: &str, name: &str) -> Key {
    Key::new(namespace, format!("{kind}{name}"))
}

fn of_pod(_: &World<'_>, change: &Change) -> Vec<Key> {
    let pod = change.object();
    let meta = api::meta::of(pod);
    let extended = pod.at("status").at("extendedResourceClaimStatus").opt_str("resourceClaimName");
    if claims(pod).is_empty() && extended.is_none() {
        return Vec::new();
    }
    let mut keys = vec![key(POD, meta.namespace(), meta.name())];
    if change.new.is_none() || is_done(pod) {
        let names = claims(pod).iter().filter_map(|c| name_of(pod, c).ok().flatten()).chain(extended);
        keys.extend(names.map(|name| key(CLAIM, meta.namespace(), name)));
    }
    keys
}

/// The claim, and the pods that use it.
fn of_claim(world: &World<'_>, change: &Change) -> Vec<Key> {
    let meta = api::meta::of(change.object());
    let pods = world.mirror(PODS).in_namespace(meta.namespace());
    let uses = |pod: &&Arc<Value>| claims(pod).iter().any(|c| name_of(pod, c) == Ok(Some(meta.name())));
    let users = pods.iter().filter(uses).map(|p| key(POD, meta.namespace(), api::meta::of(p).name()));
    users.chain([key(CLAIM, meta.namespace(), meta.name())]).collect()
}

fn of_template(world: &World<'_>, change: &Change) -> Vec<Key> {
    let meta = api::meta::of(change.object());
    let pods = world.mirror(PODS).in_namespace(meta.namespace());
    let uses = |pod: &&Arc<Value>| claims(pod).iter().any(|c| c.str("resourceClaimTemplateName") == meta.name());
    pods.iter().filter(uses).map(|p| key(POD, meta.namespace(), api::meta::of(p).name())).collect()
}

fn plan(world: &World<'_>) -> Plan {
    let (namespace, name) = (&world.key.namespace, &world.key.name);
    match (name.strip_prefix(POD), name.strip_prefix(CLAIM)) {
        (Some(name), _) => pod::plan(world, namespace, name),
        (_, Some(name)) => claim::plan(world, namespace, name),
        _ => Plan::nothing("it is neither a pod nor a claim"),
    }
}

/// What a pod claims, by its spec.
pub(crate) fn claims(pod: &Value) -> &[Value] {
    pod.at("spec").list("resourceClaims")
}

/// There is no claim from its template yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing;

/// The name of the claim behind one of a pod's; none when it needs none. Upstream: resourceclaim.Name.
pub(crate) fn name_of<'a>(pod: &'a Value, claim: &'a Value) -> Result<Option<&'a str>, Missing> {
    if let Some(name) = claim.opt_str("resourceClaimName") {
        return Ok(Some(name));
    }
    let statuses = pod.at("status").list("resourceClaimStatuses");
    let status = statuses.iter().find(|s| s.str("name") == claim.str("name")).ok_or(Missing)?;
    Ok(status.opt_str("resourceClaimName"))
}

/// Whether a claim may be used by a pod that names it so: what was made for another may not.
pub(crate) fn is_for(pod: &Value, pod_claim: &Value, claim: &Value) -> bool {
    pod_claim.has("resourceClaimName") || crate::claims::is_controlled_by(claim, pod)
}

pub(crate) fn is_reserved_for(claim: &Value, pod: &Value) -> bool {
    let uid = api::meta::of(pod).uid();
    claim.at("status").list("reservedFor").iter().any(|r| r.str("uid") == uid)
}

/// Upstream: isPodDone.
fn is_done(pod: &Value) -> bool {
    pods::is_finished(pod) || (pods::is_terminating(pod) && pods::node(pod).is_empty())
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/resource_claims.yaml"));
    }
}
