//! What is told of requests: the events of a run, one by one, as kube-apiserver 1.37.1 told of the same.
//!
//! `recorded/audit.jsonl` is its log of these requests with `recorded/audit-policy.yaml`; identities, times and revisions are
//! masked on both sides.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, ensure};
use api::Value;
use bytes::Bytes;
use conformance::{
    http::Client,
    skiff::{self, Skiff},
};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const JSON: &str = "application/json";

/// Name, method, path, content type, body.
type Request = (&'static str, &'static str, String, &'static str, &'static str);

fn requests() -> Vec<Request> {
    let of = |name, method, path: &str, kind, body| (name, method, path.to_owned(), kind, body);
    let a = format!("{CONFIG_MAPS}/a");
    let b = format!("{CONFIG_MAPS}/b");
    vec![
        of("r01", "GET", CONFIG_MAPS, "", ""),
        of(
            "r02",
            "POST",
            CONFIG_MAPS,
            JSON,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"a":"<b>"}}"#,
        ),
        of(
            "r03",
            "POST",
            CONFIG_MAPS,
            JSON,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"a":"b"}}"#,
        ),
        of("r04", "GET", &a, "", ""),
        of("r05", "GET", &format!("{CONFIG_MAPS}/missing"), "", ""),
        of("r06", "PATCH", &a, "application/merge-patch+json", r#"{"data":{"c":"d"}}"#),
        of(
            "r07",
            "PATCH",
            &format!("{b}?fieldManager=me"),
            "application/apply-patch+yaml",
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"b"},"data":{"c":"d"}}"#,
        ),
        of(
            "r08",
            "PUT",
            &a,
            JSON,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"z":"b"}}"#,
        ),
        of("r09", "DELETE", &a, "", ""),
        of("r10", "DELETE", &b, JSON, r#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}"#),
        of("r11", "DELETE", CONFIG_MAPS, "", ""),
        of(
            "r12",
            "POST",
            SECRETS,
            JSON,
            r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"data":{"a":"Yg=="}}"#,
        ),
        of("r13", "GET", &format!("{SECRETS}/s"), "", ""),
        of("r15", "GET", &format!("{SECRETS}/s"), "jane", ""),
        of("r16", "GET", "/version", "", ""),
        of("r17", "GET", "/nowhere", "", ""),
        of("r18", "GET", "/apis/nowhere/v1/things", "", ""),
        of(
            "r19",
            "POST",
            "/api/v1/namespaces",
            JSON,
            r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"aud"}}"#,
        ),
        of(
            "r21",
            "POST",
            CONFIG_MAPS,
            JSON,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"generateName":"gen-"}}"#,
        ),
        of(
            "r22",
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            JSON,
            r#"{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}"#,
        ),
        of(
            "r23",
            "POST",
            CONFIG_MAPS,
            JSON,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"Bad Name"}}"#,
        ),
        of(
            "r25",
            "POST",
            &format!("{CONFIG_MAPS}?dryRun=All"),
            JSON,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"dry"}}"#,
        ),
    ]
}

fn sample(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded").join(name)
}

/// Sends all of them, one after the other. Where the kind is a name, the request is made for that user.
async fn send(client: &Client) -> Result<()> {
    for (name, method, path, kind, body) in requests() {
        let mut headers = vec![("audit-id", name), ("user-agent", "curl/7.88.1")];
        match kind {
            "jane" => headers.extend([("impersonate-user", "jane"), ("impersonate-group", "devs")]),
            "" => {}
            kind => headers.push(("content-type", kind)),
        }
        let answer = client.send(method, &path, &headers, Bytes::from_static(body.as_bytes())).await?;
        let said = answer.headers.get("audit-id").and_then(|id| id.to_str().ok());
        ensure!(said == Some(name), "{name} is answered as {said:?}");
    }
    Ok(())
}

/// The events of a log by the request that they tell of.
fn events(log: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(log).with_context(|| format!("{}", log.display()))?.lines() {
        let mut event = codec::json::any(line.as_bytes())?.value;
        let id = event.str("auditID").to_owned();
        if requests().iter().any(|(name, ..)| *name == id) {
            if let Some(user) = event.get_mut("user") {
                user.set("username", "…");
                user.remove("extra");
            }
            mask(&mut event);
            events.entry(id).or_default().push(codec::json::to_string(&event));
        }
    }
    Ok(events)
}

fn mask(value: &mut Value) {
    const MASKED: [&str; 6] =
        ["uid", "resourceVersion", "creationTimestamp", "time", "requestReceivedTimestamp", "stageTimestamp"];
    if let Some(items) = value.as_array_mut() {
        items.iter_mut().for_each(mask);
    }
    let keys: Vec<String> = value.members().map(|(key, _)| key.to_owned()).collect();
    for key in keys {
        let is_masked = MASKED.contains(&key.as_str()) || (key == "name" && value.str("name").starts_with("gen-"));
        match value.get_mut(&key) {
            Some(member) if is_masked => *member = "…".into(),
            Some(member) => mask(member),
            None => {}
        }
    }
}

fn compare(found: &BTreeMap<String, Vec<String>>) -> Result<()> {
    let expected = events(&sample("audit.jsonl"))?;
    ensure!(expected.len() == requests().len(), "the sample tells of {} requests", expected.len());
    let mut faults = Vec::new();
    for (name, wanted) in &expected {
        let found = found.get(name).map(Vec::as_slice).unwrap_or_default();
        if found != wanted {
            faults.push(format!("{name}\n  upstream {}\n  here     {}", wanted.join("\n"), found.join("\n")));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_told_of_as_upstream_does() {
    let told = async || -> Result<()> {
        let directory = tempfile::tempdir()?;
        let log = directory.path().join("audit.log");
        let (policy, path) = (sample("audit-policy.yaml"), log.display().to_string());
        let policy = policy.display().to_string();
        let flags = ["--authorization-mode", "RBAC", "--audit-policy-file", &policy, "--audit-log-path", &path];
        let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("data"), &flags)?;
        let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        skiff.wait_until_ready(&client).await?;
        send(&client).await?;
        compare(&events(&log)?)
    };
    told().await.expect("all events are upstream's");
}

mod upstream {
    use conformance::upstream::{Settings, Upstream};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_sample_is_what_upstream_tells() {
        let told = async || -> Result<()> {
            let directory = tempfile::tempdir()?;
            let log = directory.path().join("audit.log");
            let mut settings = Settings::new(&directory.path().join("upstream"))?;
            settings.server_flags.push(format!("--audit-policy-file={}", sample("audit-policy.yaml").display()));
            settings.server_flags.push(format!("--audit-log-path={}", log.display()));
            let upstream = Upstream::start(&settings)?;
            send(&Client::from_kubeconfig(&upstream.kubeconfig).await?).await?;
            compare(&events(&log)?)
        };
        told().await.expect("the sample is upstream's");
    }
}
