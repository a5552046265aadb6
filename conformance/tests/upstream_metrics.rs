//! Upstream's `/metrics` beside ours, family by family, after the same requests to both: help, type, labels and buckets of
//! those that both have, and what upstream has and Skiff has not.
//!
//! Families that nothing was counted in show nowhere; that their rows are right is checked against the facts in `skiff`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use certs::{Authority, authority::Profile, authority::Subject};
use conformance::{
    http::Client,
    skiff::{self, Skiff},
    upstream::{Settings, Upstream},
};

/// What stands in upstream's program and is not upstream's own: Go's runtime, and the clients of etcd and gRPC.
const FOREIGN: [&str; 3] = ["go_", "grpc_", "process_network_"];

const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
/// Nobody is asked: one condition cannot be evaluated, the other does not hold.
const CONDITIONS: &str = r#"{"metadata": {"name": "a"}, "webhooks": [{
    "name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1:1"}, "sideEffects": "None",
    "failurePolicy": "Ignore", "admissionReviewVersions": ["v1"],
    "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
    "matchConditions": [{"name": "a", "expression": "object.nothing == 1"}, {"name": "b", "expression": "false"}]}]}"#;
const SERVICE: &str =
    r#"{"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}}"#;
const SAME_PORT: &str =
    r#"{"metadata": {"name": "b"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}}"#;
const VOLUME: &str = r#"{"metadata": {"name": "one"}, "spec": {
    "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}}"#;

/// What is said of a family.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
    /// Upper bounds, as they are written.
    bounds: BTreeSet<String>,
}

fn read(page: &str) -> Result<BTreeMap<String, Family>> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").map(|rest| rest.split_once(' ').unwrap_or((rest, "")))
        {
            families.entry(name.into()).or_default().help = help.into();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.into()).or_default().kind = kind.into();
        } else {
            let end = line.find(['{', ' ']).context("a sample has a name")?;
            let name = &line[..end];
            let parts = ["_bucket", "_sum", "_count"];
            let of = parts.iter().filter_map(|part| name.strip_suffix(part)).find(|name| families.contains_key(*name));
            let name = of.unwrap_or(name);
            let family = families.get_mut(name).with_context(|| format!("{line} has no head"))?;
            for (label, value) in labels(&line[end..]) {
                if label == "le" && family.kind == "histogram" {
                    family.bounds.insert(value);
                } else {
                    family.labels.insert(label);
                }
            }
        }
    }
    Ok(families)
}

/// `{a="b",c="d"} 1`: values may hold anything but a bare quote.
fn labels(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches('{');
    while let Some((name, value)) = rest.split_once("=\"") {
        let mut end = 0;
        while !value[end..].starts_with('"') {
            end +=
                if value[end..].starts_with('\\') { 2 } else { value[end..].chars().next().map_or(1, char::len_utf8) };
        }
        found.push((name.trim_start_matches(',').into(), value[..end].into()));
        rest = &value[end + 1..];
    }
    found
}

/// The same requests to both: reads, writes, refusals, watches, a deprecated version, something of every kind of counter.
async fn use_it(client: &Client) -> Result<()> {
    let json = [("content-type", "application/json")];
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str| Bytes::from(format!(r#"{{"metadata": {{"name": "{name}"}}, "data": {{"a": "b"}}}}"#));
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let services = "/api/v1/namespaces/default/services";
    for (method, path, body, code) in [
        ("POST", WEBHOOKS, text(CONDITIONS), 201),
        ("POST", maps, map("one"), 201),
        ("POST", maps, map("one"), 409),
        ("POST", "/api/v1/namespaces/nowhere/configmaps", map("one"), 404),
        ("POST", "/api/v1/namespaces/default/configmaps?dryRun=All", map("two"), 201),
        ("PUT", "/api/v1/namespaces/default/configmaps/one", map("one"), 200),
        ("GET", "/api/v1/namespaces/default/configmaps?limit=1", Bytes::new(), 200),
        ("GET", "/api/v1/componentstatuses", Bytes::new(), 200),
        ("GET", "/api/v1/nodes/nobody", Bytes::new(), 404),
        ("DELETE", "/api/v1/namespaces/default/configmaps/one", Bytes::new(), 200),
        ("POST", services, text(SERVICE), 201),
        ("POST", services, text(SAME_PORT), 422),
        ("POST", "/api/v1/persistentvolumes?fieldValidation=Strict", text(VOLUME), 201),
        ("DELETE", "/api/v1/persistentvolumes/one", Bytes::new(), 200),
        ("GET", "/api/v1/namespaces/default/pods/nobody/log", Bytes::new(), 404),
        ("GET", "/readyz", Bytes::new(), 200),
    ] {
        let answer = client.send(method, path, &json, body).await?;
        ensure!(answer.status == code, "{method} {path}: {answer:?}");
    }
    certificate(client).await?;
    let wanted =
        "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1";
    let mut watching = client.watch(&format!("{maps}?{wanted}")).await?;
    while watching.next().await?.is_some() {}
    Ok(())
}

/// Asks for a certificate that is good for a day, and issues one.
async fn certificate(client: &Client) -> Result<()> {
    const NOW: i64 = 1_795_000_000;
    let authority = Authority::generate("test", NOW)?;
    let profile = Profile { valid_seconds: 86_400, ..Profile::client(Subject::user("ann", &[])) };
    let request = STANDARD.encode(include_str!("../../resources/tests/data/request.pem"));
    let certificate = STANDARD.encode(authority.issue(&profile, NOW)?.certificate_pem);
    let json = [("content-type", "application/json")];
    let all = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let asked = format!(
        r#"{{"metadata": {{"name": "ann"}}, "spec": {{"request": "{request}", "signerName": "example.com/a",
            "expirationSeconds": 86400, "usages": ["client auth"]}}}}"#
    );
    let answer = client.send("POST", all, &json, asked.into()).await?;
    ensure!(answer.status == 201, "{answer:?}");
    let merge = [("content-type", "application/merge-patch+json")];
    let approved = r#"{"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Test"}]}}"#;
    let issued = format!(r#"{{"status": {{"certificate": "{certificate}"}}}}"#);
    for (subresource, body) in [("approval", approved.to_owned()), ("status", issued)] {
        let answer = client.send("PATCH", &format!("{all}/ann/{subresource}"), &merge, body.into()).await?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    Ok(())
}

async fn families(client: &Client) -> Result<BTreeMap<String, Family>> {
    use_it(client).await?;
    let page = client.send("GET", "/metrics", &[], Bytes::new()).await?;
    ensure!(page.status == 200, "{page:?}");
    read(std::str::from_utf8(&page.body)?)
}

fn listed() -> BTreeSet<&'static str> {
    let lines = include_str!("../metrics.tsv").lines().skip(1);
    lines.filter_map(|line| line.split_once('\t')).map(|(name, _)| name).collect()
}

/// Families that are declared here (a test of the server compares them) and may have no series in this run: this server asks
/// itself without a request, and upstream counts an answer that was late because the machine was.
const WITHOUT_SERIES: [&str; 2] = ["apiserver_request_terminations_total", "apiserver_selfrequest_total"];

#[tokio::test(flavor = "multi_thread")]
async fn families_are_upstreams() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let upstream = Upstream::start(&Settings::new(&directory.path().join("upstream"))?)?;
    let theirs = families(&Client::from_kubeconfig(&upstream.kubeconfig).await?).await?;
    drop(upstream);
    let flags = ["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"];
    let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("data"), &flags)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let ours = families(&client).await?;

    ensure!(theirs.len() > 100, "upstream has only {} families", theirs.len());
    let listed = listed();
    let mut faults = Vec::new();
    for (name, their) in theirs.iter().filter(|(name, _)| !FOREIGN.iter().any(|prefix| name.starts_with(prefix))) {
        match ours.get(name) {
            None if listed.contains(name.as_str()) || WITHOUT_SERIES.contains(&name.as_str()) => {}
            None => faults.push(format!("{name} is counted there and not here")),
            Some(our) if our != their => faults.push(format!("{name}\n  upstream {their:?}\n  here     {our:?}")),
            Some(_) => {}
        }
    }
    ensure!(faults.is_empty(), "{} of {} differ:\n{}", faults.len(), theirs.len(), faults.join("\n"));
    Ok(())
}
