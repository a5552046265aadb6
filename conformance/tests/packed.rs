//! gzip as upstream gives it: long answers and watches that begin with a list, to clients that say they take it; and
//! watches that are narrowed see what concerns them.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use conformance::{
    http::Client,
    skiff::{self, Skiff},
};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::Incoming;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("accept-encoding", "br, gzip");
const PROTOBUF: (&str, &str) = ("accept", "application/vnd.kubernetes.protobuf");

async fn create(client: &Client, name: &str, text_len: usize) -> Result<()> {
    let text: String = (0..text_len).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
    let body = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"{name}"}},"data":{{"text":"{text}"}}}}"#
    );
    let answer = client.send("POST", MAPS, &[JSON], body.into()).await?;
    ensure!(answer.status == 201, "{}", String::from_utf8_lossy(&answer.body));
    Ok(())
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut out)?;
    Ok(out)
}

/// Reads a watch until `until` stands in what it has said.
async fn said(body: &mut Incoming, packed: bool, until: &str) -> Result<String> {
    let mut all = BytesMut::new();
    loop {
        let frame = body.frame().await.context("the watch ended")??;
        all.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        // A member that is not whole yet is no text.
        let text = if packed { unpacked(&all).unwrap_or_default() } else { all.to_vec() };
        let text = String::from_utf8(text)?;
        if text.contains(until) {
            return Ok(text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_are_packed_for_those_who_take_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("data"), &[])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let short = client.send("GET", MAPS, &[GZIP], Bytes::new()).await?;
    ensure!(!short.headers.contains_key("content-encoding"), "a short list is packed");
    for i in 0..4 {
        create(&client, &format!("long-{i}"), 60_000).await?;
    }
    for form in [("accept", "application/json"), PROTOBUF, ("accept", "application/yaml")] {
        let plain = client.send("GET", MAPS, &[form], Bytes::new()).await?;
        ensure!(!plain.headers.contains_key("content-encoding"), "{form:?}: packed without being asked");
        let packed = client.send("GET", MAPS, &[form, GZIP], Bytes::new()).await?;
        let header = |name: &str| packed.headers.get(name).and_then(|value| value.to_str().ok());
        ensure!(header("content-encoding") == Some("gzip"), "{form:?}: {:?}", packed.headers);
        ensure!(header("vary") == Some("Accept-Encoding"), "{form:?}: {:?}", packed.headers);
        ensure!(unpacked(&packed.body)? == plain.body, "{form:?}: what is packed is something else");
        ensure!(packed.body.len() < plain.body.len(), "{form:?}: packing made it longer");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_packed_when_it_begins_with_a_list() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("data"), &[])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    create(&client, "before", 10).await?;
    let list = "?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let narrow = "?watch=1&fieldSelector=metadata.name%3Dafter-1";
    let mut watches = Vec::new();
    for (query, is_packed) in [(list, true), ("?watch=1", false), (narrow, false)] {
        let answer = client.open("GET", &format!("{MAPS}{query}"), &[GZIP], Bytes::new()).await?;
        let encoding = answer.headers().get("content-encoding");
        ensure!(encoding.is_some_and(|e| e == "gzip") == is_packed, "{query}: {encoding:?}");
        watches.push((answer.into_body(), is_packed));
    }
    for i in 0..3 {
        create(&client, &format!("after-{i}"), 10).await?;
    }
    let [(packed, _), (plain, _), (narrow, _)] = watches.as_mut_slice() else { unreachable!("there are three") };
    let packed = said(packed, true, "\"after-2\"").await?;
    let plain = said(plain, false, "\"after-2\"").await?;
    ensure!(packed.contains("k8s.io/initial-events-end"), "{packed}");
    let objects: Vec<&str> = packed.lines().filter(|line| !line.contains("\"BOOKMARK\"")).collect();
    ensure!(objects == plain.lines().collect::<Vec<_>>(), "{packed}\nis not what others see:\n{plain}");
    let narrow = said(narrow, false, "\"after-1\"").await?;
    ensure!(narrow.lines().count() == 1, "{narrow}");
    Ok(())
}
