//! Claims that pods use do not go before those pods have gone.
//!
//! Not a plan: whether nobody uses a claim is asked of the server, since a mirror of pods may be behind and data would be
//! lost. Upstream: pkg/controller/volume/pvcprotection.

use std::{sync::Arc, time::Duration};

use api::{Value, value};
use async_trait::async_trait;
use client::{Change, Client, ListOptions, Resource, mirror::Key};

use crate::{
    claims, conditions,
    driver::{Failed, Spec, Steps, Wake, Work, world::World},
    pods::{self, PODS},
};

const CLAIMS: &str = "v1/persistentvolumeclaims";
const FINALIZER: &str = "kubernetes.io/pvc-protection";

pub const SPEC: Spec = Spec {
    name: "persistentvolumeclaim-protection-controller",
    alias: "pvc-protection",
    acts_for: "pvc-protection-controller",
    tells_as: "pvc-protection-controller",
    wakes_on: &[Wake::Itself(CLAIMS), Wake::By(PODS, of_pod)],
    workers: 1,
    work: Work::Steps(|_| Arc::new(Protection)),
};

struct Protection;

/// Claims of a pod, by their names in its volumes.
fn of_pod(_: &World<'_>, change: &Change) -> Vec<Key> {
    let pod = change.object();
    let namespace = api::meta::of(pod).namespace();
    let names = pod.at("spec").list("volumes").iter().filter_map(|volume| claim_name(pod, volume));
    names.map(|name| Key::new(namespace, name)).collect()
}

/// The claim behind a volume, if there is one. Upstream: ephemeral.VolumeClaimName.
fn claim_name(pod: &Value, volume: &Value) -> Option<String> {
    if let Some(name) = volume.at("persistentVolumeClaim").opt_str("claimName") {
        return Some(name.into());
    }
    volume.has("ephemeral").then(|| format!("{}-{}", api::meta::of(pod).name(), volume.str("name")))
}

/// Whether a pod keeps a claim from going. A pod without a node does not: it will not be started any more.
fn holds(pod: &Value, claim: &Value) -> bool {
    let is_over = pods::is_terminating(pod) && pod.at("metadata").opt_int("deletionGracePeriodSeconds") == Some(0);
    !pods::node(pod).is_empty() && names(pod, claim, is_over)
}

/// Whether a pod counts as a user of a claim. Upstream: podUsesPVCForUnusedSince.
fn uses(pod: &Value, claim: &Value) -> bool {
    !pods::is_finished(pod) && names(pod, claim, false)
}

fn names(pod: &Value, claim: &Value, without_ephemeral: bool) -> bool {
    let name = api::meta::of(claim).name();
    pod.at("spec").list("volumes").iter().any(|volume| {
        let ephemeral = volume.has("ephemeral");
        let is_its = !ephemeral || (!without_ephemeral && claims::is_controlled_by(claim, pod));
        is_its && claim_name(pod, volume).as_deref() == Some(name)
    })
}

async fn is_named(
    world: &World<'_>,
    client: &Client,
    claim: &Value,
    by: fn(&Value, &Value) -> bool,
) -> Result<bool, Failed> {
    let namespace = &world.key.namespace;
    if world.mirror(PODS).in_namespace(namespace).iter().any(|pod| by(pod, claim)) {
        return Ok(true);
    }
    let pods = Resource::new("", "v1", "pods");
    let live = client.list(pods.within(namespace), &ListOptions::default()).await?;
    Ok(live.items.iter().any(|pod| by(pod, claim)))
}

#[async_trait]
impl Steps for Protection {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(claim) = world.itself(CLAIMS) else { return Ok(None) };
        let meta = api::meta::of(&claim);
        let resource = Resource::new("", "v1", "persistentvolumeclaims");
        let target = resource.named(meta.namespace(), meta.name());
        let has = meta.finalizers().any(|f| f == FINALIZER);
        if !meta.is_terminating() && claim.at("status").str("phase") == "Bound" {
            let used = is_named(world, client, &claim, uses).await?;
            if let Some(new) = with_usage(&claim, used, &api::time::seconds(world.now)) {
                client.update_status(target, &new).await?;
                return Ok(None);
            }
        }
        if meta.is_terminating() && has && !is_named(world, client, &claim, holds).await? {
            client.update(target, &with_finalizers(&claim, false)).await?;
        }
        if !meta.is_terminating() && !has {
            client.update(target, &with_finalizers(&claim, true)).await?;
        }
        Ok(None)
    }
}

/// The claim with its condition Unused, when that is news. Upstream: updateUnusedCondition.
fn with_usage(claim: &Value, used: bool, now: &str) -> Option<Value> {
    let (status, reason, message) = match used {
        true => ("False", "PodUsingPVC", "A pod is currently referencing this PVC"),
        false => ("True", "NoPodsUsingPVC", "No pods are currently referencing this PVC"),
    };
    if conditions::find(claim.at("status"), "Unused").is_some_and(|c| c.str("status") == status) {
        return None;
    }
    let mut new = claim.clone();
    conditions::put(new.entry("status"), conditions::new("Unused", status, now, reason, message));
    Some(new)
}

fn with_finalizers(claim: &Value, protected: bool) -> Value {
    let kept = api::meta::of(claim).finalizers().filter(|f| *f != FINALIZER);
    let mut all: Vec<Value> = kept.map(Value::from).collect();
    if protected {
        all.push(FINALIZER.into());
    }
    let mut new = claim.clone();
    new.set_path(&["metadata", "finalizers"], value!(Value::array(all)));
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_hold_the_claims_that_they_name() {
        let claim = value!({"metadata": {"name": "web-data", "ownerReferences": [{"uid": "u", "controller": true}]}});
        let named = |volume: Value, node: &str, uid: &str| value!({"metadata": {"name": "web", "uid": uid}, "spec": {"nodeName": node, "volumes": [volume]}});
        let plain = || value!({"name": "v", "persistentVolumeClaim": {"claimName": "web-data"}});
        let ephemeral = || value!({"name": "data", "ephemeral": {}});
        assert!(holds(&named(plain(), "n", "x"), &claim));
        assert!(!holds(&named(plain(), "", "x"), &claim), "without a node it will not start any more");
        assert!(uses(&named(plain(), "", "x"), &claim));
        assert!(holds(&named(ephemeral(), "n", "u"), &claim));
        assert!(!holds(&named(ephemeral(), "n", "x"), &claim), "another's claim of that name");
        let mut over = named(ephemeral(), "n", "u");
        over.set_path(&["metadata", "deletionTimestamp"], "2026-01-02T03:04:05Z");
        over.set_path(&["metadata", "deletionGracePeriodSeconds"], 0);
        assert!(!holds(&over, &claim), "it has shut down");
    }

    #[test]
    fn what_is_bound_says_whether_it_is_used() {
        let claim = value!({"metadata": {"name": "c"}, "status": {"phase": "Bound"}});
        let new = with_usage(&claim, false, "now").expect("it is news");
        assert_eq!(conditions::find(new.at("status"), "Unused").map(|c| c.str("reason")), Some("NoPodsUsingPVC"));
        assert_eq!(with_usage(&new, false, "later"), None);
        let again = with_usage(&new, true, "later").expect("it is news");
        assert_eq!(again.at("status").list("conditions").len(), 1);
    }
}
