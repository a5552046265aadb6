//! Candidates as processes: a leader that is killed or stopped is replaced when its lease has run out and not before, and
//! nobody but the leader acts.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use api::{Value, meta, value};
use bytes::Bytes;
use conformance::{
    bound::Program,
    http::Client,
    skiff::{self, Skiff},
};
use jiff::{SignedDuration, Timestamp};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const LEASE: &str = "kube-controller-manager";
/// Long enough for a machine that stalls for seconds: a leader that cannot renew ends.
const LEASE_DURATION: SignedDuration = SignedDuration::from_secs(10);
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const PODS: &str = "/api/v1/namespaces/default/pods";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const MERGE: &[(&str, &str)] = &[("content-type", "application/merge-patch+json")];

/// A candidate that looks after ReplicaSets.
fn candidate(program: &Path, kubeconfig: &Path, directory: &Path, name: &str) -> Result<Program> {
    let mut command = Command::new(program);
    command.args(["controllers", "--controllers=replicaset-controller", "--leader-elect-retry-period=1s"]);
    command.args(["--leader-elect-lease-duration=10s", "--leader-elect-renew-deadline=8s", "--kubeconfig"]);
    Program::start(command.arg(kubeconfig), &directory.join(format!("{name}.log")))
}

async fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], object: &Value) -> Result<Value> {
    let answer = client.send(method, path, headers, Bytes::from(codec::json::to_string(object))).await?;
    ensure!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    Ok(answer.json())
}

/// The lease's holder and what else it says, as soon as somebody else than `last` holds it.
async fn led_by_another(client: &Client, last: &str) -> Result<Value> {
    let is_another = |lease: Option<&Value>| {
        let holder = lease.map_or("", |lease| lease.at("spec").str("holderIdentity"));
        !holder.is_empty() && holder != last
    };
    client.until(LEASES, LEASE, is_another).await?;
    Ok(client.send("GET", &format!("{LEASES}/{LEASE}"), &[], Bytes::new()).await?.json().at("spec").clone())
}

async fn scale(client: &Client, replicas: i64) -> Result<()> {
    let spec = value!({"spec": {"replicas": (replicas)}});
    send(client, "PATCH", &format!("{SETS}/web"), MERGE, &spec).await?;
    client.until(SETS, "web", |set| set.is_some_and(|set| set.at("status").int("replicas") == replicas)).await
}

fn time(lease: &Value, member: &str) -> Result<Timestamp> {
    lease.str(member).parse().with_context(|| format!("{member}: {lease:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_or_stopped_is_replaced_and_two_never_act() -> Result<()> {
    let (program, directory) = (skiff::build()?, tempfile::tempdir()?);
    let skiff = Skiff::start(&program, &directory.path().join("data"), &["--parts", "apiserver"])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    let start = |name: &str| candidate(&program, &skiff.kubeconfig, directory.path(), name);
    // The server makes it by itself, a moment after it answers.
    client.until("/api/v1/namespaces", "default", |namespace| namespace.is_some()).await?;
    let account = value!({"metadata": {"name": "default"}});
    send(&client, "POST", "/api/v1/namespaces/default/serviceaccounts", JSON, &account).await?;
    let from = send(&client, "GET", PODS, &[], Value::NULL).await?.at("metadata").str("resourceVersion").to_owned();
    let set = value!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]},
            },
        },
    });
    send(&client, "POST", SETS, JSON, &set).await?;

    let mut first = start("first")?;
    let first_holder = led_by_another(&client, "").await?.str("holderIdentity").to_owned();
    let mut second = start("second")?;
    scale(&client, 2).await?;
    first.signal("KILL")?;
    first.wait()?;
    let lease = client.send("GET", &format!("{LEASES}/{LEASE}"), &[], Bytes::new()).await?.json().at("spec").clone();
    ensure!(lease.str("holderIdentity") == first_holder, "nobody takes it from one who renews: {lease:?}");
    let renewed = time(&lease, "renewTime")?;
    let lease = led_by_another(&client, &first_holder).await?;
    let waited = time(&lease, "acquireTime")?.duration_since(renewed);
    ensure!(waited >= LEASE_DURATION, "the lease had not run out: {waited:?}");
    scale(&client, 4).await?;

    second.signal("STOP")?;
    let third = start("third")?;
    let second_holder = lease.str("holderIdentity").to_owned();
    let lease = led_by_another(&client, &second_holder).await?;
    ensure!(lease.int("leaseTransitions") == 2, "{lease:?}");
    scale(&client, 6).await?;
    // It goes on where it was, with all that happened meanwhile still to be heard.
    second.signal("CONT")?;
    let ended = tokio::task::spawn_blocking(move || second.wait()).await??;
    ensure!(!ended.success(), "whoever has lost the lease says so: {ended}");
    scale(&client, 8).await?;

    let marker = value!({"metadata": {"name": "marker"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    send(&client, "POST", PODS, JSON, &marker).await?;
    let mut watch = client.watch(&format!("{PODS}?watch=1&resourceVersion={from}")).await?;
    let mut made = BTreeSet::new();
    loop {
        let event = watch.next().await?.context("the watch goes on until the marker")?;
        ensure!(event.str("type") != "DELETED", "somebody made too many: {event:?}");
        let pod = meta::of(event.at("object"));
        if pod.name() == "marker" {
            break;
        }
        made.insert(pod.name().to_owned());
    }
    ensure!(made.len() == 8, "{made:?}");
    drop(third);
    Ok(())
}
