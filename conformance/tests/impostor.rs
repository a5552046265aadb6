//! Whom the API server takes for a node: who shows a certificate of the right authority for the address that was dialled.

use std::path::Path;

use anyhow::{Result, ensure};
use api::{Value, value};
use bytes::Bytes;
use certs::{Authority, Names};
use conformance::{
    clock::now,
    fake_node::FakeNode,
    http::Client,
    skiff::{self, Skiff},
};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/default/pods";
const UNKNOWN: &str = "tls: failed to verify certificate: x509: certificate signed by unknown authority";

async fn send(client: &Client, method: &str, path: &str, object: &Value) -> Result<()> {
    let answer = client.send(method, path, &JSON, Bytes::from(codec::json::to_string(object))).await?;
    ensure!(answer.status < 300, "{method} {path}: {answer:?}");
    Ok(())
}

/// A server, what signs for it, and a pod.
async fn start(program: &Path, data: &Path, flags: &[&str]) -> Result<(Skiff, Client, Authority)> {
    let skiff = Skiff::start_apiserver(program, data, flags)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let account = value!({"metadata": {"name": "default"}});
    // The server makes the namespace too: whoever comes first, it is there afterwards.
    let _ = send(&client, "POST", "/api/v1/namespaces", &account).await;
    send(&client, "POST", "/api/v1/namespaces/default/serviceaccounts", &account).await?;
    let spec = value!({"nodeName": "n", "containers": [{"name": "one", "image": "i"}]});
    send(&client, "POST", PODS, &value!({"metadata": {"name": "p"}, "spec": spec})).await?;
    let read = |name: &str| std::fs::read_to_string(data.join("pki").join(name));
    let authority = Authority::load(&read("ca.crt")?, &read("ca.key")?)?;
    Ok((skiff, client, authority))
}

/// What comes of the pod's log when this is the node.
async fn log(client: &Client, node: &FakeNode, query: &str) -> Result<(u16, String)> {
    let port = i64::from(node.address.port());
    let object = value!({
        "metadata": {"name": "n"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}
        }
    });
    let there = client.send("GET", &format!("{NODES}/n"), &[], Bytes::new()).await?.status == 200;
    if !there {
        send(client, "POST", NODES, &object).await?;
    }
    send(client, "PUT", &format!("{NODES}/n/status"), &object).await?;
    let answer = client.send("GET", &format!("{PODS}/p/log?container=one{query}"), &[], Bytes::new()).await?;
    Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
}

fn names(name: &str) -> Names {
    let mut names = Names::default();
    names.add(name);
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_is_not_taken_for_a_node() -> Result<()> {
    let (program, folder) = (skiff::build()?, tempfile::tempdir()?);
    let (_skiff, client, ours) = start(&program, &folder.path().join("skiff"), &[]).await?;
    let clients = ours.bundle_pem();
    let node = FakeNode::of(&ours, names("127.0.0.1"), clients, now()?).await?;
    let (code, said) = log(&client, &node, "").await?;
    ensure!(code == 200 && said.contains("one says 0"), "the cluster's own node: {code} {said}");

    let alone = FakeNode::start(clients, now()?).await?;
    let other = Authority::generate("kubernetes", now()?)?;
    let other = FakeNode::of(&other, names("127.0.0.1"), clients, now()?).await?;
    for impostor in [&alone, &other] {
        let (code, said) = log(&client, impostor, "").await?;
        ensure!(code == 500 && said.contains(UNKNOWN), "{code} {said}");
    }
    let elsewhere = FakeNode::of(&ours, names("127.0.0.9"), clients, now()?).await?;
    let (code, said) = log(&client, &elsewhere, "").await?;
    ensure!(code == 500 && said.contains("certificate is valid for 127.0.0.9, not 127.0.0.1"), "{code} {said}");
    // Who asks may say that he does not care, for a log.
    let (code, said) = log(&client, &alone, "&insecureSkipTLSVerifyBackend=true").await?;
    ensure!(code == 200 && said.contains("one says 0"), "{code} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_say_who_signs_for_nodes_or_that_nobody_has_to() -> Result<()> {
    let (program, folder) = (skiff::build()?, tempfile::tempdir()?);
    let theirs = Authority::generate("theirs", now()?)?;
    let file = folder.path().join("theirs.crt");
    std::fs::write(&file, theirs.bundle_pem())?;
    let flag = format!("--kubelet-certificate-authority={}", file.display());
    let (skiff, client, ours) = start(&program, &folder.path().join("one"), &[&flag]).await?;
    let node = FakeNode::of(&theirs, names("127.0.0.1"), ours.bundle_pem(), now()?).await?;
    ensure!(log(&client, &node, "").await?.0 == 200, "the file says who signs");
    let node = FakeNode::of(&ours, names("127.0.0.1"), ours.bundle_pem(), now()?).await?;
    let (code, said) = log(&client, &node, "").await?;
    ensure!(code == 500 && said.contains(UNKNOWN), "the file alone does: {code} {said}");
    drop(skiff);
    let (_skiff, client, ours) = start(&program, &folder.path().join("two"), &["--kubelet-insecure-tls"]).await?;
    let alone = FakeNode::start(ours.bundle_pem(), now()?).await?;
    ensure!(log(&client, &alone, "").await?.0 == 200, "the flag says that nobody is looked at");
    Ok(())
}
