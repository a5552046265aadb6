//! The ceiling answers what the figures ask a server for.

use anyhow::{Context, Result};
use bytes::Bytes;
use conformance::{
    bench::{fixture, load},
    http::Client,
};
use tokio::net::TcpListener;

#[path = "../examples/ceiling.rs"]
mod ceiling;

async fn get(client: &Client, path: &str) -> Result<api::Value> {
    Ok(client.send("GET", path, &[], Bytes::new()).await?.json())
}

#[tokio::test]
async fn writes_are_committed_in_order_kept_and_told_to_watchers() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let place = directory.path().to_owned();
    let server = tokio::spawn(async move { ceiling::serve(&place, listener).await });
    let kubeconfig = directory.path().join("admin.kubeconfig");
    while !kubeconfig.is_file() {
        tokio::task::yield_now().await;
    }
    let client = Client::from_kubeconfig(&kubeconfig).await?;
    let mut watch = client.watch(&format!("{}?watch=1", fixture::PODS)).await?;
    let mut last = 0;
    for (name, serial) in [("a", 0), ("b", 0), ("a", 1)] {
        let request = if serial == 0 { fixture::create_pod(name) } else { fixture::update_pod(name, serial) };
        let body = load::send(&client, request).await?.body;
        let revision: i64 = fixture::revision(&body).context("a revision")?.parse()?;
        assert!(revision > last, "{revision} after {last}");
        last = revision;
        let event = watch.next().await?.context("the watch goes on")?;
        assert_eq!(api::meta::of(event.at("object")).name(), name);
    }
    let list = get(&client, fixture::PODS).await?;
    let names: Vec<&str> = list.list("items").iter().map(|pod| api::meta::of(pod).name()).collect();
    assert_eq!(names, ["a", "b"]);
    let pod = get(&client, &format!("{}/a", fixture::PODS)).await?;
    assert_eq!(pod.at_path(&["metadata", "annotations"]).str("bench/serial"), "1");
    let absent = client.send("GET", &format!("{}/c", fixture::PODS), &[], Bytes::new()).await?;
    assert_eq!(absent.status, 404);
    let lease = load::send(&client, fixture::lease("node-1", None, 0)).await?;
    let revision = fixture::revision(&lease.body).context("a revision")?;
    load::send(&client, fixture::lease("node-1", Some(revision), 1)).await?;
    server.abort();
    Ok(())
}
