//! What is older than the store remembers: upstream's words, whatever the store.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use api::Value;
use bytes::Bytes;
use conformance::{
    http::Client,
    skiff::{self, Skiff},
};
use http_body_util::BodyExt;

const NAMESPACES: &str = "/api/v1/namespaces";
const PATIENCE_SECONDS: u64 = 60;
/// Upstream: apiserver/pkg/storage/etcd3/errors.go `handleCompactedErrorForPaging`.
const OLD_TOKEN: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
/// Upstream: the same, `interpretListError`.
const OLD_LIST: &str = "The resourceVersion for the provided list is too old.";
/// Upstream: the same, `interpretWatchError`, which only what is not held in memory comes to.
const OLD_WATCH: &str = "The resourceVersion for the provided watch is too old.";

async fn get(client: &Client, path: &str) -> Result<(u16, Value)> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    Ok((answer.status, answer.json()))
}

/// What a watch ends with.
async fn last_word(client: &Client, path: &str) -> Result<Value> {
    let watch = client.open("GET", path, &[], Bytes::new()).await?;
    ensure!(watch.status() == 200, "{}", watch.status());
    let whole = watch.into_body().collect().await.context("the watch ends by itself")?.to_bytes();
    let event = codec::json::any(&whole)?.value;
    let status = event.at("object");
    let told = (event.str("type"), status.int("code"), status.str("reason"));
    ensure!(told == ("ERROR", 410, "Expired"), "{event:?}");
    Ok(status.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_gone_in_upstreams_words() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let flags = ["--etcd-compaction-interval", "300ms"];
    let skiff = Skiff::start_apiserver(&skiff::build()?, &data, &flags)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let (_, page) = get(&client, &format!("{NAMESPACES}?limit=1")).await?;
    let (token, revision) = (page.at("metadata").str("continue"), page.at("metadata").str("resourceVersion"));
    let begun = Instant::now();
    let (status, said) = loop {
        let (status, said) = get(&client, &format!("{NAMESPACES}?limit=1&continue={token}")).await?;
        if status != 200 || begun.elapsed().as_secs() > PATIENCE_SECONDS {
            break (status, said);
        }
    };
    ensure!((status, said.str("reason"), said.str("message")) == (410, "Expired", OLD_TOKEN), "{status} {said:?}");
    let rest = format!("{NAMESPACES}?limit=1&continue={}", said.at("metadata").str("continue"));
    let (status, rest) = get(&client, &rest).await?;
    ensure!(status == 200 && !rest.list("items").is_empty(), "{status} {rest:?}");
    let exact = format!("{NAMESPACES}?resourceVersion={revision}&resourceVersionMatch=Exact");
    let (status, said) = get(&client, &exact).await?;
    ensure!((status, said.str("reason"), said.str("message")) == (410, "Expired", OLD_LIST), "{status} {said:?}");

    let events = format!("/api/v1/events?watch=1&resourceVersion={}", revision.parse::<u64>()?.saturating_sub(2));
    let status = last_word(&client, &events).await?;
    ensure!(status.str("message") == OLD_WATCH, "{status:?}");

    // A server that has started since knows nothing of what was before.
    drop(skiff);
    let skiff = Skiff::start_apiserver(&skiff::build()?, &data, &flags)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let status = last_word(&client, &format!("{NAMESPACES}?watch=1&resourceVersion=2")).await?;
    ensure!(status.str("message").starts_with("too old resource version: 2 ("), "{status:?}");
    Ok(())
}
