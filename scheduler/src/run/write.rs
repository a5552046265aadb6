//! The scheduler's requests.

use api::{Value, value};
use client::{Client, DeleteOptions, Error, Patch, Resource};
use jiff::Timestamp;

use crate::Pod;

fn pods() -> Resource {
    Resource::new("", "v1", "pods")
}

/// Gives a pod its node. Upstream: plugins/defaultbinder.
pub async fn bind(client: &Client, pod: &Pod, node: &str) -> Result<(), Error> {
    let (namespace, name) = (pod.key.namespace.as_str(), pod.key.name.as_str());
    let binding = value!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": name, "namespace": namespace, "uid": pod.uid.as_str()},
        "target": {"kind": "Node", "name": node}
    });
    client.create(pods().named(namespace, name).below("binding"), &binding).await.map(drop)
}

/// Says on the pod why it has no node, and which one it waits for. Says nothing that stands there already.
pub async fn unschedulable(
    client: &Client,
    pod: &Pod,
    reason: &str,
    message: &str,
    nominated: Option<&str>,
    now: Timestamp,
) {
    let condition = condition(pod, "PodScheduled", "False", reason, message, now);
    if condition.is_none() && nominated.is_none() {
        return;
    }
    let mut status = Value::object();
    if let Some(condition) = condition {
        status.set("conditions", value!([condition]));
    }
    if let Some(node) = nominated {
        // An empty name is none.
        status.set("nominatedNodeName", if node.is_empty() { Value::Null } else { node.into() });
    }
    patch_status(client, pod, status).await;
}

pub async fn nominate(client: &Client, pod: &Pod, node: &str) {
    let node = if node.is_empty() { Value::Null } else { node.into() };
    patch_status(client, pod, value!({"nominatedNodeName": node})).await;
}

/// Sends a pod away for a more important one; answers whether that was done here. Upstream: `Executor.PreemptPod`.
pub async fn evict(client: &Client, victim: &Pod, scheduler: &str, now: Timestamp) -> bool {
    let message = format!("{scheduler}: preempting to accommodate a higher priority pod");
    if let Some(condition) = condition(victim, "DisruptionTarget", "True", "PreemptionByScheduler", &message, now)
        && !patch_status(client, victim, value!({"conditions": [condition]})).await
    {
        return false;
    }
    let options = DeleteOptions { uid: victim.uid.clone(), ..DeleteOptions::default() };
    match client.delete(pods().named(&victim.key.namespace, &victim.key.name), &options).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(pod = %victim.key, %error, "a victim was not deleted");
            false
        }
    }
}

/// The condition as it has to be written; none when it stands so. Upstream: podutil.UpdatePodCondition.
fn condition(pod: &Pod, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Option<Value> {
    let known = pod.object.at("status").list("conditions").iter().find(|c| c.str("type") == kind);
    let mut condition = value!({"type": kind, "status": status, "reason": reason, "message": message});
    let generation = api::meta::of(&pod.object).generation();
    if generation > 0 {
        condition.set("observedGeneration", generation);
    }
    let same = |known: &Value| ["status", "reason", "message"].iter().all(|m| known.str(m) == condition.str(m));
    if known.is_some_and(same) {
        return None;
    }
    let since = known.filter(|known| known.str("status") == status).and_then(|k| k.opt_str("lastTransitionTime"));
    condition.set("lastTransitionTime", since.map_or_else(|| api::time::seconds(now), String::from));
    condition.set("lastProbeTime", Value::Null);
    Some(condition)
}

async fn patch_status(client: &Client, pod: &Pod, status: Value) -> bool {
    let patch = value!({"metadata": {"uid": pod.uid.as_str()}, "status": status});
    let target = pods();
    let target = target.named(&pod.key.namespace, &pod.key.name).below("status");
    match client.patch(target, Patch::Strategic, &patch).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(pod = %pod.key, %error, "a pod's status was not changed");
            false
        }
    }
}
