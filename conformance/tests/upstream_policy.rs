//! Upstream's bootstrap policy, object by object, beside ours: both servers alone, just started.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use api::{Value, meta, value};
use bytes::Bytes;
use conformance::{
    http::Client,
    skiff::{self, Skiff},
    twin::pair,
    upstream::{Settings, Upstream},
};

const GROUP: &str = "/apis/rbac.authorization.k8s.io/v1";

/// All objects of the policy: what they say, by kind, namespace and name.
async fn policy(client: &Client) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for plural in ["clusterroles", "clusterrolebindings", "roles", "rolebindings"] {
        let list = client.send("GET", &format!("{GROUP}/{plural}"), &[], Bytes::new()).await?;
        ensure!(list.status == 200, "{list:?}");
        for object in list.json().list("items") {
            let meta = meta::of(object);
            let mut said = object.clone();
            let own = object.at("metadata");
            let kept = value!({"labels": (own.at("labels").clone()), "annotations": (own.at("annotations").clone())});
            said.set("metadata", kept);
            found.insert(format!("{plural} {}/{}", meta.namespace(), meta.name()), said);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_and_binding_is_upstreams() -> Result<()> {
    compare(&[]).await
}

/// Gates that are off by default bring rules, and a role, of their own.
#[tokio::test(flavor = "multi_thread")]
async fn every_role_and_binding_is_upstreams_with_gates() -> Result<()> {
    compare(&[pair::ALL_VERSIONS, pair::GATES]).await
}

async fn compare(more: &[&str]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut settings = Settings::new(&directory.path().join("upstream"))?;
    settings.server_flags.extend(more.iter().map(|flag| (*flag).to_owned()));
    let upstream = Upstream::start(&settings)?;
    let theirs = policy(&Client::from_kubeconfig(&upstream.kubeconfig).await?).await?;
    drop(upstream);
    let data = directory.path().join("data");
    let flags = [&["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"], more].concat();
    let skiff = Skiff::start_apiserver(&skiff::build()?, &data, &flags)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let ours = policy(&client).await?;

    ensure!(theirs.len() > 100, "upstream has only {} objects", theirs.len());
    let mut faults = Vec::new();
    for name in theirs.keys().chain(ours.keys().filter(|name| !theirs.contains_key(*name))) {
        let (their, our) = (theirs.get(name), ours.get(name));
        if their != our {
            let text = |object: Option<&Value>| object.map_or("nothing".into(), codec::json::to_string);
            faults.push(format!("{name}\n  upstream {}\n  here     {}", text(their), text(our)));
        }
    }
    ensure!(faults.is_empty(), "{} of {} differ:\n{}", faults.len(), theirs.len(), faults.join("\n"));
    Ok(())
}
