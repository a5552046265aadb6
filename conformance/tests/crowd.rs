//! Simulated nodes beside a control plane in one process: each stands for itself, and pods spread over them.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use api::{Value, meta, value};
use bytes::Bytes;
use conformance::{
    http::Client,
    skiff::{self, Skiff},
    suite::node::is_ready,
};

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const MACHINES: usize = 12;
const REPLICAS: i64 = 60;

async fn list(client: &Client, path: &str) -> Result<Vec<Value>> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(answer.json().list("items").to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_run_many_pods_in_one_process() -> Result<()> {
    let (program, directory) = (skiff::build()?, tempfile::tempdir()?);
    let count = format!("--simulated-nodes={MACHINES}");
    let skiff = Skiff::start(&program, &directory.path().join("data"), &[&count])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    for number in 1..=MACHINES {
        let is_free = |node: &Value| is_ready(node) && node.at("spec").list("taints").is_empty();
        client.until(NODES, &format!("simulated-{number}"), |node| node.is_some_and(is_free)).await?;
    }
    let pod = value!({
        "metadata": {"labels": {"app": "many"}},
        "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10", "resources": {"requests": {"cpu": "3"}}}]}
    });
    let many = value!({
        "metadata": {"name": "many"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "many"}}, "template": pod}
    });
    let made = client.send("POST", DEPLOYMENTS, JSON, Bytes::from(codec::json::to_string(&many))).await?;
    ensure!(made.status == 201, "{made:?}");
    let all_ready = |found: &Value| found.at("status").int("readyReplicas") == REPLICAS;
    client.until(DEPLOYMENTS, "many", |found| found.is_some_and(all_ready)).await?;

    let pods = list(&client, PODS).await?;
    let different = |of: &dyn Fn(&Value) -> String| pods.iter().map(of).collect::<BTreeSet<String>>().len();
    ensure!(different(&|pod| pod.at("status").str("podIP").to_owned()) == pods.len(), "no address is there twice");
    let nodes = different(&|pod| pod.at("spec").str("nodeName").to_owned());
    ensure!(nodes == MACHINES, "the pods are on {nodes} nodes");

    // A node's pods are its own: what goes is gone there, and comes anew.
    let name = meta::of(&pods[0]).name().to_owned();
    let gone = client.send("DELETE", &format!("{PODS}/{name}"), &[], Bytes::new()).await?;
    ensure!(gone.status == 200, "{gone:?}");
    client.until(PODS, &name, |pod| pod.is_none()).await?;
    client.until(DEPLOYMENTS, "many", |found| found.is_some_and(all_ready)).await?;

    // Nobody serves there, and nobody else is asked in its place.
    let path = format!("{PODS}/{}/log", meta::of(&list(&client, PODS).await?[0]).name());
    let log = client.send("GET", &path, &[], Bytes::new()).await?;
    let said = String::from_utf8_lossy(&log.body).into_owned();
    ensure!(log.status == 500 && said.contains(":9: connect: connection refused"), "{} {said}", log.status);
    Ok(())
}
