//! What controllers read in pods, and pods made from templates.
//!
//! Upstream: pkg/controller/controller_utils.go, pkg/api/v1/pod/util.go.

use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
    sync::Arc,
};

use api::{Value, value};
use jiff::{SignedDuration, Timestamp};

use crate::{
    claims::Kind,
    driver::plan::{Action, Excuse, Tell},
};

pub(crate) const PODS: &str = "v1/pods";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

pub(crate) fn phase(pod: &Value) -> &str {
    pod.at("status").str("phase")
}

pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

pub(crate) fn is_terminating(pod: &Value) -> bool {
    api::meta::of(pod).is_terminating()
}

/// Neither finished nor on its way out. Upstream: IsPodActive.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

pub(crate) fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod.at("status").list("conditions").iter().find(|c| c.str("type") == kind)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.str("status") == "True")
}

fn ready_since(pod: &Value) -> Option<Timestamp> {
    api::time::parse(condition(pod, "Ready").filter(|c| c.str("status") == "True")?.str("lastTransitionTime"))
}

/// Ready for at least so long. Upstream: IsPodAvailable.
pub(crate) fn is_available(pod: &Value, min_ready_seconds: i64, now: Timestamp) -> bool {
    if !is_ready(pod) {
        return false;
    }
    let least = SignedDuration::from_secs(min_ready_seconds);
    min_ready_seconds == 0 || ready_since(pod).is_some_and(|since| since + least <= now)
}

/// When the next of these pods becomes available, if time alone brings that about.
/// Upstream: FindMinNextPodAvailabilityCheck.
pub(crate) fn next_available(pods: &[Arc<Value>], min_ready_seconds: i64, now: Timestamp) -> Option<Timestamp> {
    if min_ready_seconds <= 0 {
        return None;
    }
    let least = SignedDuration::from_secs(min_ready_seconds);
    pods.iter().filter_map(|pod| ready_since(pod)).map(|since| since + least).filter(|at| *at > now).min()
}

pub(crate) fn node(pod: &Value) -> &str {
    pod.at("spec").str("nodeName")
}

pub(crate) fn created(object: &Value) -> Option<Timestamp> {
    api::time::parse(api::meta::of(object).creation_timestamp())
}

/// Older ones first, then by name. Upstream: ReplicaSetsByCreationTimestamp and its like.
pub(crate) fn by_age(a: &Arc<Value>, b: &Arc<Value>) -> Ordering {
    created(a).cmp(&created(b)).then_with(|| api::meta::of(a).name().cmp(api::meta::of(b).name()))
}

/// A pod as the template says, owned by `owner`; the server gives it a name. Upstream: GetPodFromTemplate.
pub(crate) fn from_template(template: &Value, owner: &Value, kind: &Kind) -> Value {
    let (meta, wanted) = (api::meta::of(owner), template.at("metadata"));
    let mut new = value!({
        "generateName": prefix(meta.name()), "namespace": meta.namespace(),
        "ownerReferences": [kind.controller_reference(owner)]
    });
    for member in ["labels", "annotations", "finalizers"] {
        if wanted.has(member) {
            new.set(member, wanted.at(member));
        }
    }
    value!({"apiVersion": "v1", "kind": "Pod", "metadata": new, "spec": template.at("spec")})
}

/// Upstream: getPodsPrefix.
pub(crate) fn prefix(name: &str) -> String {
    let prefix = format!("{name}-");
    // As a prefix, a name may end in a dash.
    if api::names::dns1123_subdomain(&format!("{prefix}a")).is_empty() { prefix } else { name.to_string() }
}

/// Creates a pod and tells so, in the words that most controllers share. Upstream: RealPodControl.createPods.
pub(crate) fn create(pod: Value, owner: &Arc<Value>) -> Action {
    Action::create(PODS, pod).excuse(&[Excuse::NamespaceTerminating]).tell(Tell {
        regarding: owner.clone(),
        done: Some(("SuccessfulCreate", "Created pod: {}".into())),
        failed: Some(("FailedCreate", "Error creating: {}".into())),
    })
}

/// Upstream: RealPodControl.DeletePod.
pub(crate) fn delete(pod: &Arc<Value>, owner: &Arc<Value>) -> Action {
    let name = api::meta::of(pod).name();
    Action::delete(PODS, pod.clone()).tell(Tell {
        regarding: owner.clone(),
        done: Some(("SuccessfulDelete", format!("Deleted pod: {name}"))),
        failed: Some(("FailedDelete", "Error deleting: {}".into())),
    })
}

/// The pods whose loss hurts least, first. `related` are the pods beside which theirs count on a node.
/// Upstream: ActivePodsWithRanks.
pub(crate) fn sort_for_deletion(pods: &mut [Arc<Value>], related: &[Arc<Value>], now: Timestamp) {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| is_active(pod)) {
        *on_node.entry(node(pod)).or_default() += 1;
    }
    let rank = |pod: &Value| on_node.get(node(pod)).copied().unwrap_or(0);
    pods.sort_by_cached_key(|pod| {
        let use_of = (!node(pod).is_empty(), phase_rank(pod), is_ready(pod), deletion_cost(pod));
        let age = (age_rank(ready_since(pod), now), Reverse(restarts(pod)), age_rank(created(pod), now));
        (use_of, Reverse(rank(pod)), age, api::meta::of(pod).uid().to_string())
    });
}

fn phase_rank(pod: &Value) -> u8 {
    match phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        "Running" => 2,
        _ => 0,
    }
}

fn deletion_cost(pod: &Value) -> i64 {
    let text = api::meta::of(pod).annotation(DELETION_COST).unwrap_or("0");
    text.parse::<i32>().map_or(0, i64::from)
}

/// The most restarts of a container, and of a sidecar.
fn restarts(pod: &Value) -> (i64, i64) {
    let status = pod.at("status");
    let most = |list: &str, wanted: &dyn Fn(&str) -> bool| {
        let counted = status.list(list).iter().filter(|c| wanted(c.str("name")));
        counted.map(|c| c.int("restartCount")).max().unwrap_or(0)
    };
    let sidecars = pod.at("spec").list("initContainers").iter().filter(|c| c.str("restartPolicy") == "Always");
    let sidecars: Vec<&str> = sidecars.map(|c| c.str("name")).collect();
    (most("containerStatuses", &|_| true), most("initContainerStatuses", &|name| sidecars.contains(&name)))
}

/// Younger ones are less, on a scale on which a few minutes are nothing to a pod of days; the uid decides among equals.
fn age_rank(at: Option<Timestamp>, now: Timestamp) -> i64 {
    let Some(at) = at else { return i64::MIN };
    let age = now.duration_since(at).as_nanos();
    if age > 0 { (age as f64).log2() as i64 } else { -1 }
}
