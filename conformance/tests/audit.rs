//! What is told of requests: the events of a run, one by one, as kube-apiserver 1.37.1 told of the same.
//!
//! `recorded/audit.jsonl` is its log of these requests with `recorded/audit-policy.yaml`; identities, times and revisions are
//! masked on both sides.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, ensure};
use api::Value;
use bytes::Bytes;
use conformance::{
    events::Receiver,
    http::Client,
    skiff::{self, Skiff},
};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const JSON: &str = "application/json";
/// A batch waits for a second; a busy machine stalls.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

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
    let text = std::fs::read_to_string(log).with_context(|| format!("{}", log.display()))?;
    let events = text.lines().map(|line| Ok(codec::json::any(line.as_bytes())?.value));
    Ok(by_request(events.collect::<Result<_>>()?))
}

fn by_request(all: Vec<Value>) -> BTreeMap<String, Vec<String>> {
    let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mut event in all {
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
    events
}

/// Whether all that the sample tells of is told.
fn are_whole(found: &[Value]) -> bool {
    let Ok(expected) = events(&sample("audit.jsonl")) else { return true };
    let found = by_request(found.to_vec());
    expected.iter().all(|(name, wanted)| found.get(name).is_some_and(|found| found.len() >= wanted.len()))
}

/// Flags of a server that tells a webhook, in a mode.
fn webhook(receiver: &Receiver, directory: &Path, mode: &str) -> Result<Vec<String>> {
    Ok(vec![
        format!("--audit-policy-file={}", sample("audit-policy.yaml").display()),
        format!("--audit-webhook-config-file={}", receiver.kubeconfig(directory)?),
        format!("--audit-webhook-mode={mode}"),
        "--audit-webhook-batch-max-wait=1s".into(),
    ])
}

/// What is told of requests in each mode, as lists.
async fn compare_taken(receiver: &Receiver, mode: &str) -> Result<()> {
    let found = tokio::time::timeout(PATIENCE, receiver.events(are_whole)).await;
    let found = found.with_context(|| format!("{mode}: some events never came"))??;
    compare(&by_request(found)).with_context(|| mode.to_owned())?;
    let taken = receiver.taken();
    let heads = "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[{\"level\":";
    for taken in &taken {
        ensure!(taken.body.starts_with(heads) && taken.body.ends_with("}]}\n"), "{mode}: {}", taken.body);
        ensure!(taken.path == "/events?timeout=30s", "{mode}: {}", taken.path);
        ensure!(taken.headers.get("content-type").is_some_and(|kind| kind == JSON), "{:?}", taken.headers);
    }
    let alone = taken.iter().filter(|taken| taken.body.matches("\"auditID\":").count() == 1).count();
    ensure!(mode == "batch" || alone == taken.len(), "{mode}: each event goes alone");
    Ok(())
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

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_every_request_in_every_mode() {
    let told = async |mode: &str| -> Result<()> {
        let directory = tempfile::tempdir()?;
        let receiver = Receiver::start().await?;
        let flags = webhook(&receiver, directory.path(), mode)?;
        let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        flags.push("--authorization-mode=RBAC");
        let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("data"), &flags)?;
        let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        skiff.wait_until_ready(&client).await?;
        send(&client).await?;
        compare_taken(&receiver, mode).await
    };
    for mode in ["batch", "blocking", "blocking-strict"] {
        told(mode).await.expect("all events are upstream's");
    }
}

/// Nobody takes events: a request is refused, goes on, or goes on at once, as the mode says, and each loss is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_does_not_take_is_counted_and_refused_where_it_has_to_be_told() {
    let lost = async |mode: &str| -> Result<(u16, String)> {
        let directory = tempfile::tempdir()?;
        let receiver = Receiver::start().await?;
        let mut flags = webhook(&receiver, directory.path(), mode)?;
        // What comes is told before it is done: only then can it be refused.
        let policy = directory.path().join("policy.yaml");
        std::fs::write(&policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")?;
        flags.push(format!("--audit-policy-file={}", policy.display()));
        flags.retain(|flag| !flag.ends_with("audit-policy.yaml"));
        let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        flags.extend([
            "--authorization-mode=RBAC",
            "--audit-webhook-initial-backoff=1ms",
            "--audit-webhook-batch-max-size=1",
        ]);
        let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("data"), &flags)?;
        let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        skiff.wait_until_ready(&client).await?;
        drop(receiver);
        let answer = client.send("GET", CONFIG_MAPS, &[], Bytes::new()).await?;
        let counted = "apiserver_audit_error_total{plugin=\"webhook\"} ";
        if mode != "blocking-strict" {
            client.until_answered("/metrics", |_, page| page.lines().any(|line| line.starts_with(counted))).await?;
        }
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    };
    let runs = async || -> Result<()> {
        for mode in ["batch", "blocking"] {
            ensure!(lost(mode).await?.0 == 200, "{mode}");
        }
        let refused = lost("blocking-strict").await?;
        let words = format!("Internal Server Error: \"{CONFIG_MAPS}\": failed to store audit event\n");
        ensure!(refused == (500, words), "{refused:?}");
        Ok(())
    };
    runs().await.expect("as the modes say");
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

    #[tokio::test(flavor = "multi_thread")]
    async fn upstream_tells_a_webhook_the_same() {
        let told = async |mode: &str| -> Result<()> {
            let directory = tempfile::tempdir()?;
            let receiver = Receiver::start().await?;
            let mut settings = Settings::new(&directory.path().join("upstream"))?;
            settings.server_flags.extend(webhook(&receiver, directory.path(), mode)?);
            let upstream = Upstream::start(&settings)?;
            let client = Client::from_kubeconfig(&upstream.kubeconfig).await?;
            send(&client).await?;
            compare_taken(&receiver, mode).await
        };
        for mode in ["batch", "blocking"] {
            told(mode).await.expect("as the sample");
        }
    }
}
