//! Simulated nodes: Node objects that are kept Ready by a Lease, and pods on them that say that they run.
//!
//! Nothing runs there. What an API server and controllers do with nodes and pods can be judged with them; what a container
//! does can not.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use api::{Value, meta, value};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use crate::{clock, http::Client};

/// Nodes that live until this is dropped.
pub struct Nodes {
    _tasks: JoinSet<()>,
}

/// What a node does about a pod of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Its containers run: a strategic merge patch of its status.
    Run(Value),
    /// It is gone from the node.
    Remove,
}

/// A Lease counts for 40 s.
const RENEW: Duration = Duration::from_secs(10);
/// After a watch that ended or could not begin.
const PAUSE: Duration = Duration::from_secs(1);
/// Of TEST-NET-1, where nobody listens.
const NETWORK: &str = "192.0.2";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const STRATEGIC: [(&str, &str); 1] = [("content-type", "application/strategic-merge-patch+json")];

struct Node {
    name: String,
    address: String,
    /// The first three numbers of its pods' addresses.
    pod_network: String,
    /// The last number of each pod's address, by uid.
    addresses: BTreeMap<String, u8>,
    client: Client,
}

// === impl Nodes ===

impl Nodes {
    /// Registers `count` nodes, `simulated-1` and so on.
    pub async fn start(kubeconfig: &Path, count: u8) -> Result<Nodes> {
        let mut tasks = JoinSet::new();
        for number in 1..=count {
            let name = format!("simulated-{number}");
            let node = Node {
                address: format!("{NETWORK}.{}", 10 + number),
                pod_network: format!("10.244.{number}"),
                addresses: BTreeMap::new(),
                client: Client::from_kubeconfig(kubeconfig).await?,
                name,
            };
            node.register().await.with_context(|| node.name.clone())?;
            let heart = (node.name.clone(), node.client.clone());
            tasks.spawn(async move { beat(&heart.0, &heart.1).await });
            tasks.spawn(async move { node.live().await });
        }
        Ok(Nodes { _tasks: tasks })
    }
}

/// Whether a node or a pod says that it is ready.
pub fn is_ready(object: &Value) -> bool {
    let conditions = object.at("status").list("conditions");
    conditions.iter().any(|condition| condition.str("type") == "Ready" && condition.str("status") == "True")
}

/// What is to be done about a pod that is bound to this node, if anything.
pub fn plan(pod: &Value, node_address: &str, pod_address: &str, now: &str) -> Option<Step> {
    if meta::of(pod).is_terminating() {
        return Some(Step::Remove);
    }
    if !matches!(pod.at("status").str("phase"), "" | "Pending") {
        return None;
    }
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]
        .map(|kind| value!({"type": kind, "status": "True", "lastTransitionTime": now}));
    let containers = pod.at("spec").list("containers").iter().map(|container| {
        value!({
            "name": container.str("name"), "image": container.str("image"), "imageID": "", "ready": true,
            "started": true, "restartCount": 0, "state": {"running": {"startedAt": now}}
        })
    });
    Some(Step::Run(value!({"status": {
        "phase": "Running", "hostIP": node_address, "hostIPs": [{"ip": node_address}], "podIP": pod_address,
        "podIPs": [{"ip": pod_address}], "startTime": now,
        "conditions": Value::array(conditions.to_vec()), "containerStatuses": Value::array(containers.collect())
    }})))
}

// === impl Node ===

impl Node {
    async fn register(&self) -> Result<()> {
        let (name, now) = (self.name.as_str(), api::time::seconds(instant()?));
        let amounts = value!({"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"});
        let node = value!({
            "kind": "Node", "apiVersion": "v1",
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"
            }},
            "spec": {}
        });
        let status = value!({"status": {
            "capacity": amounts.clone(), "allocatable": amounts,
            "addresses": [{"type": "InternalIP", "address": self.address.as_str()}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Simulated", "message": "nothing runs here",
                "lastHeartbeatTime": now.as_str(), "lastTransitionTime": now.as_str()
            }]
        }});
        send(&self.client, "POST", "/api/v1/nodes", &JSON, &node).await?;
        send(&self.client, "PATCH", &format!("/api/v1/nodes/{name}/status"), &STRATEGIC, &status).await?;
        renew(name, &self.client).await
    }

    /// Follows the pods that are bound to this node, for good.
    async fn live(mut self) {
        loop {
            // A watch ends now and then, and tests may take the node away for a while.
            let _ = self.follow().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(&mut self) -> Result<()> {
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", self.name);
        let listed = self.client.send("GET", &path, &[], Bytes::new()).await?;
        ensure!(listed.status == 200, "pods cannot be listed: {}", listed.status);
        let list = listed.json();
        for pod in list.list("items") {
            self.tend(pod).await?;
        }
        let path = format!("{path}&watch=1&resourceVersion={}", meta::of(&list).resource_version());
        let mut body = self.client.open("GET", &path, &[], Bytes::new()).await?.into_body();
        let mut held = Vec::new();
        while let Some(frame) = body.frame().await {
            held.extend_from_slice(&frame?.into_data().unwrap_or_default());
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                let event = codec::json::any(&line)?.value;
                ensure!(event.str("type") != "ERROR", "the watch has fallen behind");
                if event.str("type") == "DELETED" {
                    self.addresses.remove(meta::of(event.at("object")).uid());
                } else {
                    self.tend(event.at("object")).await?;
                }
            }
        }
        Ok(())
    }

    async fn tend(&mut self, pod: &Value) -> Result<()> {
        let address = self.address_of(meta::of(pod).uid());
        let Some(step) = plan(pod, &self.address, &address, &api::time::seconds(instant()?)) else { return Ok(()) };
        let pod = meta::of(pod);
        let path = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace(), pod.name());
        match step {
            Step::Run(patch) => send(&self.client, "PATCH", &format!("{path}/status"), &STRATEGIC, &patch).await,
            Step::Remove => {
                let options = value!({
                    "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                    "preconditions": {"uid": pod.uid()}
                });
                send(&self.client, "DELETE", &path, &JSON, &options).await
            }
        }
    }

    /// The pod's address; the lowest that no other pod of the node has.
    fn address_of(&mut self, uid: &str) -> String {
        let taken = &mut self.addresses;
        let number = taken.get(uid).copied().unwrap_or_else(|| {
            let is_taken = |number: &u8| taken.values().any(|other| other == number);
            (2..=254).find(|number| !is_taken(number)).unwrap_or(u8::MAX)
        });
        taken.insert(uid.to_owned(), number);
        format!("{}.{number}", self.pod_network)
    }
}

/// Keeps a node's Lease fresh, for good.
async fn beat(name: &str, client: &Client) {
    loop {
        tokio::time::sleep(RENEW).await;
        // A renewal that fails is made up for by the next.
        let _ = renew(name, client).await;
    }
}

/// By apply, which makes what is not there.
async fn renew(name: &str, client: &Client) -> Result<()> {
    let lease = value!({
        "kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": api::time::micros(instant()?)}
    });
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    let apply = [("content-type", "application/apply-patch+yaml")];
    send(client, "PATCH", &format!("{path}?fieldManager=simulated-node&force=true"), &apply, &lease).await
}

/// What is gone or is there already is as it should be.
async fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<()> {
    let answer = client.send(method, path, headers, Bytes::from(codec::json::to_string(body))).await?;
    let is_settled = answer.status < 300 || matches!(answer.status, 404 | 409);
    ensure!(is_settled, "{method} {path}: {} {}", answer.status, answer.json().str("message"));
    Ok(())
}

/// Leases are judged by the real time.
fn instant() -> Result<jiff::Timestamp> {
    Ok(jiff::Timestamp::from_second(clock::now()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(pod: &Value) -> Option<Step> {
        plan(pod, "192.0.2.11", "10.244.1.2", "2026-01-05T00:00:00Z")
    }

    #[test]
    fn a_pod_runs_once_and_goes_when_it_is_told_to() {
        let mut pod = value!({
            "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Pending"}
        });
        let Some(Step::Run(patch)) = step(&pod) else { panic!("a pending pod starts") };
        assert_eq!(patch.at("status").list("containerStatuses")[0].str("name"), "c");
        assert_eq!(patch.at("status").str("podIP"), "10.244.1.2");
        for phase in ["Running", "Succeeded", "Failed"] {
            pod.set_path(&["status", "phase"], phase);
            assert_eq!(step(&pod), None, "{phase}");
        }
        pod.set_path(&["metadata", "deletionTimestamp"], "2026-01-05T00:00:00Z");
        assert_eq!(step(&pod), Some(Step::Remove));
    }
}
