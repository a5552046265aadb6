//! Clusters of `skiff_test`, as others' tests have them: each is whole, alone, and gone when it is dropped.

use anyhow::{Result, ensure};
use api::{Value, value};
use bytes::Bytes;
use conformance::http::Client;
use skiff_test::Cluster;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn create(client: &Client, path: &str, object: &Value) -> Result<()> {
    let answer = client.send("POST", path, JSON, Bytes::from(codec::json::to_string(object))).await?;
    ensure!(answer.status == 201, "{path}: {answer:?}");
    Ok(())
}

#[tokio::test]
async fn each_test_has_a_cluster_of_its_own() -> Result<()> {
    let (one, other) = (Cluster::start()?, Cluster::start()?);
    let client = Client::from_kubeconfig(&one.kubeconfig_path()).await?;
    let object = value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "here"}, "data": {"a": "1"}});
    // Nobody waits for anything: it answers all of it from the first moment.
    create(&client, CONFIG_MAPS, &object).await?;
    let ready = client.send("GET", "/readyz", &[], Bytes::new()).await?;
    ensure!(ready.status == 200, "{ready:?}");
    let here = format!("{CONFIG_MAPS}/here");
    let client = Client::from_kubeconfig(&other.kubeconfig_path()).await?;
    let answer = client.send("GET", &here, &[], Bytes::new()).await?;
    ensure!(answer.status == 404, "another's object is here: {answer:?}");
    Ok(())
}

/// A server ends while somebody watches, and who dropped it goes on.
#[tokio::test]
async fn what_is_open_ends_with_it() -> Result<()> {
    let cluster = Cluster::start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    let mut watch = client.watch(&format!("{CONFIG_MAPS}?watch=1")).await?;
    drop(cluster);
    ensure!(watch.next().await.is_ok_and(|event| event.is_none()), "the watch ends as watches do");
    Ok(())
}

#[tokio::test]
async fn parts_run_beside_it_when_they_are_asked_for() -> Result<()> {
    let cluster = Cluster::builder().controllers().scheduler().flag("--feature-gates=AllAlpha=false").start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    let node = value!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}});
    create(&client, "/api/v1/nodes", &node).await?;
    let status = value!({"status": {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "10"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]
    }});
    let merge = [("content-type", "application/merge-patch+json")];
    let body = Bytes::from(codec::json::to_string(&status));
    let answer = client.send("PATCH", "/api/v1/nodes/one/status", &merge, body).await?;
    ensure!(answer.status == 200, "{answer:?}");
    client.until("/api/v1/namespaces/default/serviceaccounts", "default", |found| found.is_some()).await?;
    let template = value!({
        "metadata": {"labels": {"app": "one"}}, "spec": {"containers": [{"name": "one", "image": "none"}]}
    });
    let deployment = value!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "one"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "one"}}, "template": (template)}
    });
    create(&client, "/apis/apps/v1/namespaces/default/deployments", &deployment).await?;
    // The controllers make pods of it, and the scheduler gives them the node.
    let mut bound = std::collections::BTreeSet::new();
    let mut pods = client.watch("/api/v1/namespaces/default/pods?watch=1").await?;
    while bound.len() < 2 {
        let Some(event) = pods.next().await? else { anyhow::bail!("the watch ended") };
        let pod = event.at("object");
        if pod.at("spec").str("nodeName") == "one" {
            bound.insert(pod.at("metadata").str("name").to_owned());
        }
    }
    Ok(())
}
