//! Pods that nobody will take away: of nodes that are gone, without a node, and too many that have ended.
//!
//! A loop, not a plan: it is about all pods at once. Upstream: pkg/controller/podgc.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use api::{Value, value};
use client::{Client, DeleteOptions, Error, Patch, Resource};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time;

use crate::{
    driver::{Parts, Spec, Wake, Work, world::Mirrors},
    pods::{self, PODS},
};

const NODES: &str = "v1/nodes";
/// Upstream: gcCheckPeriod.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// A node has to be missing for so long. Upstream: quarantineTime.
const MISSING: SignedDuration = SignedDuration::from_secs(40);
/// Upstream: `--terminated-pod-gc-threshold`.
const ENDED_MAX: usize = 12_500;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

pub const SPEC: Spec = Spec {
    name: "pod-garbage-collector-controller",
    alias: "podgc",
    acts_for: "pod-garbage-collector",
    tells_as: "pod-garbage-collector",
    wakes_on: &[Wake::Read(PODS), Wake::Read(NODES)],
    workers: 1,
    work: Work::Own(|parts| run(parts).boxed()),
};

async fn run(parts: Parts) {
    let mirrors = Mirrors::new(&parts.pool, [PODS, NODES].into_iter());
    let mut missing = BTreeMap::new();
    loop {
        time::sleep(LOOK_EVERY).await;
        if mirrors.are_synced() {
            let (pods, nodes) = (mirrors.named(PODS).all(), mirrors.named(NODES).all());
            look(&parts, &pods, &nodes, &mut missing).await;
        }
    }
}

/// Why a pod is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Ended,
    /// It goes away, and its node is out of service.
    OutOfService,
    /// Its node is gone.
    Orphaned,
    /// It goes away, and never had a node.
    Unplaced,
}

async fn look(parts: &Parts, pods: &[Arc<Value>], nodes: &[Arc<Value>], missing: &mut BTreeMap<String, Timestamp>) {
    let now = parts.clock.now();
    let gone = gone_nodes(&parts.client, pods, nodes, missing, now).await;
    for (pod, why) in doomed(pods, nodes, &gone) {
        if let Err(error) = take(&parts.client, &pod, why, &api::time::seconds(now)).await {
            tracing::debug!(%error, pod = api::meta::of(&pod).name(), "a pod could not be taken away");
        }
    }
}

/// Nodes that pods name, that have been missing for long, and that the server does not know either.
async fn gone_nodes(
    client: &Client,
    pods: &[Arc<Value>],
    nodes: &[Arc<Value>],
    missing: &mut BTreeMap<String, Timestamp>,
    now: Timestamp,
) -> BTreeSet<String> {
    let known: BTreeSet<&str> = nodes.iter().map(|n| api::meta::of(n).name()).collect();
    let named = pods.iter().map(|p| pods::node(p)).filter(|n| !n.is_empty() && !known.contains(n));
    let named: BTreeSet<String> = named.map(ToString::to_string).collect();
    missing.retain(|node, _| named.contains(node));
    for node in named {
        missing.entry(node).or_insert(now);
    }
    let resource = Resource::new("", "v1", "nodes");
    let mut gone = BTreeSet::new();
    for node in missing.iter().filter(|(_, since)| **since + MISSING <= now).map(|(node, _)| node) {
        if client.get(resource.named("", node)).await.is_err_and(|error| error.is_not_found()) {
            gone.insert(node.clone());
        }
    }
    gone
}

fn doomed(pods: &[Arc<Value>], nodes: &[Arc<Value>], gone: &BTreeSet<String>) -> Vec<(Arc<Value>, Why)> {
    let mut doomed = Vec::new();
    let mut ended: Vec<&Arc<Value>> = pods.iter().filter(|pod| pods::is_finished(pod)).collect();
    let surplus = ended.len().saturating_sub(ENDED_MAX);
    ended.sort_by(|a, b| {
        let evicted = |pod: &Value| pod.at("status").str("reason") == "Evicted";
        evicted(b).cmp(&evicted(a)).then_with(|| pods::by_age(a, b))
    });
    doomed.extend(ended.into_iter().take(surplus).map(|pod| (pod.clone(), Why::Ended)));
    let out: BTreeSet<&str> = nodes.iter().filter(|n| is_out_of_service(n)).map(|n| api::meta::of(n).name()).collect();
    for pod in pods {
        let (node, going) = (pods::node(pod), pods::is_terminating(pod));
        let why = match node {
            "" if going => Why::Unplaced,
            "" => continue,
            node if gone.contains(node) => Why::Orphaned,
            node if going && out.contains(node) => Why::OutOfService,
            _ => continue,
        };
        doomed.push((pod.clone(), why));
    }
    doomed
}

fn is_out_of_service(node: &Value) -> bool {
    let tainted = node.at("spec").list("taints").iter().any(|t| t.str("key") == OUT_OF_SERVICE);
    tainted && !pods::is_ready(node)
}

/// Nobody reports the end of such a pod: it has failed. Upstream: markFailedAndDeletePodWithCondition.
async fn take(client: &Client, pod: &Value, why: Why, now: &str) -> Result<(), Error> {
    let meta = api::meta::of(pod);
    let resource = Resource::new("", "v1", "pods");
    let target = resource.named(meta.namespace(), meta.name());
    if !pods::is_finished(pod) {
        let mut status = value!({"phase": "Failed"});
        if why == Why::Orphaned {
            let condition = value!({
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists", "lastTransitionTime": now,
                "observedGeneration": meta.generation()
            });
            status.set("conditions", value!([condition]));
        }
        let patch = value!({"metadata": {"uid": meta.uid()}, "status": status});
        client.patch(target.below("status"), Patch::Strategic, &patch).await?;
    }
    let options = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    match client.delete(resource.named(meta.namespace(), meta.name()), &options).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_nobody_sees_to_are_doomed() {
        let pod = |name: &str, node: &str, going: bool| {
            let mut pod =
                value!({"metadata": {"name": name}, "spec": {"nodeName": node}, "status": {"phase": "Running"}});
            if going {
                pod.set_path(&["metadata", "deletionTimestamp"], "2026-01-02T03:04:05Z");
            }
            Arc::new(pod)
        };
        let pods = [
            pod("fine", "n", false),
            pod("leaving", "n", true),
            pod("unplaced", "", true),
            pod("waiting", "", false),
            pod("orphan", "gone", false),
            pod("stuck", "out", true),
            pod("there", "out", false),
        ];
        let taints = value!([{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]);
        let nodes = [
            Arc::new(value!({"metadata": {"name": "n"}})),
            Arc::new(value!({"metadata": {"name": "out"}, "spec": {"taints": taints}})),
        ];
        let doomed = doomed(&pods, &nodes, &BTreeSet::from(["gone".to_string()]));
        let names: Vec<(&str, Why)> = doomed.iter().map(|(pod, why)| (api::meta::of(pod).name(), *why)).collect();
        assert_eq!(names, [("unplaced", Why::Unplaced), ("orphan", Why::Orphaned), ("stuck", Why::OutOfService)]);
    }

    #[test]
    fn of_those_that_have_ended_the_oldest_go() {
        let pod =
            |i: usize| Arc::new(value!({"metadata": {"name": format!("p{i:05}")}, "status": {"phase": "Succeeded"}}));
        let pods: Vec<_> = (0..ENDED_MAX + 2).map(pod).collect();
        let doomed = doomed(&pods, &[], &BTreeSet::new());
        let names: Vec<&str> = doomed.iter().map(|(pod, _)| api::meta::of(pod).name()).collect();
        assert_eq!(names, ["p00000", "p00001"]);
    }
}
