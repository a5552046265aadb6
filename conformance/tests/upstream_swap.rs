//! Parts exchanged, both ways: upstream's controllers and scheduler work for our API server, ours for upstream's. Each has its
//! own identity and no more rights than that; what they make of the same workloads is the same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use bytes::Bytes;
use certs::{
    Authority, Profile, Subject,
    kubeconfig::{Credential, Entry},
};
use conformance::{
    bound::Program,
    clock,
    http::Client,
    ports,
    skiff::{self, Controllers, Skiff},
    suite::node::Nodes,
    upstream::{self, Settings, Upstream},
};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const MERGE: &[(&str, &str)] = &[("content-type", "application/merge-patch+json")];
const NAMESPACE: &str = "swapped";
const MACHINES: u8 = 2;

/// A kubeconfig of a user of this server.
fn kubeconfig(directory: &Path, authority: &Authority, server: &str, user: &str) -> Result<PathBuf> {
    let issued = authority.issue(&Profile::client(Subject::user(user, &[])), clock::now()?)?;
    let entry = Entry {
        name: "swap",
        server,
        authority_pem: authority.bundle_pem(),
        credential: Credential::Certificate { certificate_pem: &issued.certificate_pem, key_pem: &issued.key.to_pem() },
    };
    let path = directory.join(format!("{user}.kubeconfig"));
    certs::files::write(&path, &certs::kubeconfig::write(&entry)?)?;
    Ok(path)
}

/// A program of upstream's, in no election.
fn stock(directory: &Path, name: &str, kubeconfig: &Path, more: &[String]) -> Result<Program> {
    let mut command = Command::new(upstream::programs().join(name));
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        command.arg(format!("--{flag}={}", kubeconfig.display()));
    }
    command.args(["--bind-address=127.0.0.1", "--leader-elect=false"]);
    command.arg(format!("--secure-port={}", ports::on_loopback()?)).args(more);
    Program::start(&command, &directory.join(format!("{name}.log")))
}

fn of(group: &str, plural: &str) -> String {
    format!("/apis/{group}/v1/namespaces/{NAMESPACE}/{plural}")
}

fn core(plural: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/{plural}")
}

async fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], object: &Value) -> Result<Value> {
    let answer = client.send(method, path, headers, Bytes::from(codec::json::to_string(object))).await?;
    ensure!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    Ok(answer.json())
}

async fn list(client: &Client, path: &str) -> Result<Vec<Value>> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(answer.json().list("items").to_vec())
}

fn workload(name: &str, more: &Value) -> Value {
    let mut spec = value!({
        "selector": {"matchLabels": {"app": (name)}},
        "template": {
            "metadata": {"labels": {"app": (name)}},
            "spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}
        }
    });
    more.members().for_each(|(key, value)| spec.set(key, value.clone()));
    value!({"metadata": {"name": (name)}, "spec": (spec)})
}

/// What a user asks of a cluster, and what he waits for.
async fn life(client: &Client) -> Result<()> {
    let namespaces = "/api/v1/namespaces";
    send(client, "POST", namespaces, JSON, &value!({"metadata": {"name": NAMESPACE}})).await?;
    client.until(&core("serviceaccounts"), "default", |account| account.is_some()).await?;
    client.until(&core("configmaps"), "kube-root-ca.crt", |map| map.is_some()).await?;

    let deployments = of("apps", "deployments");
    send(client, "POST", &deployments, JSON, &workload("web", &value!({"replicas": 3}))).await?;
    let ready =
        |count: i64| move |found: Option<&Value>| found.is_some_and(|f| f.at("status").int("readyReplicas") == count);
    client.until(&deployments, "web", ready(3)).await?;
    let rolled = value!({"spec": {"template": {"metadata": {"annotations": {"round": "2"}}}}});
    send(client, "PATCH", &format!("{deployments}/web"), MERGE, &rolled).await?;
    let is_rolled = |found: &Value| {
        let status = found.at("status");
        status.int("observedGeneration") == found.at("metadata").int("generation")
            && status.int("updatedReplicas") == 3
            && status.int("replicas") == 3
            && status.int("readyReplicas") == 3
    };
    client.until(&deployments, "web", |found| found.is_some_and(is_rolled)).await?;
    let sets = list(client, &of("apps", "replicasets")).await?;
    let mut wanted: Vec<i64> = sets.iter().map(|set| set.at("spec").int("replicas")).collect();
    wanted.sort_unstable();
    ensure!(wanted == [0, 3], "{wanted:?}");

    let sets = of("apps", "statefulsets");
    send(client, "POST", &sets, JSON, &workload("store", &value!({"replicas": 2, "serviceName": "store"}))).await?;
    client.until(&sets, "store", ready(2)).await?;
    for name in ["store-0", "store-1"] {
        client.until(&core("pods"), name, |pod| pod.is_some()).await?;
    }
    let daemons = of("apps", "daemonsets");
    send(client, "POST", &daemons, JSON, &workload("each", &value!({}))).await?;
    let everywhere = |set: &Value| set.at("status").int("numberReady") == i64::from(MACHINES);
    client.until(&daemons, "each", |set| set.is_some_and(everywhere)).await?;

    let service = value!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    send(client, "POST", &core("services"), JSON, &service).await?;
    let addresses =
        |found: &Value| found.list("subsets").iter().map(|subset| subset.list("addresses").len()).sum::<usize>();
    client.until(&core("endpoints"), "web", |found| found.is_some_and(|found| addresses(found) == 3)).await?;

    // What nothing has room for is not bound, and says why.
    let container = value!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "100"}}});
    let large = value!({"metadata": {"name": "large"}, "spec": {"containers": [(container)]}});
    send(client, "POST", &core("pods"), JSON, &large).await?;
    let refused = |pod: &Value| {
        let conditions = pod.at("status").list("conditions");
        conditions.iter().any(|c| c.str("reason") == "Unschedulable" && c.str("message").contains("Insufficient cpu"))
    };
    client.until(&core("pods"), "large", |pod| pod.is_some_and(refused)).await?;

    let path = format!("{namespaces}/{NAMESPACE}");
    send(client, "DELETE", &path, JSON, &value!({"kind": "DeleteOptions", "apiVersion": "v1"})).await?;
    client.until(namespaces, NAMESPACE, |namespace| namespace.is_none()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_controllers_and_scheduler_work_for_our_server() -> Result<()> {
    let (program, place) = (skiff::build()?, tempfile::tempdir()?);
    let data = place.path().join("data");
    let skiff = Skiff::start_apiserver(&program, &data, &[])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let pki = data.join("pki");
    let read = |name: &str| fs::read_to_string(pki.join(name)).with_context(|| name.to_owned());
    let authority = Authority::load(&read("ca.crt")?, &read("ca.key")?)?;
    let server = format!("https://127.0.0.1:{}", skiff.port);
    let user = |name: &str| kubeconfig(place.path(), &authority, &server, name);
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.join(name).display());
    let flags = [
        "--use-service-account-credentials=true".to_owned(),
        file("service-account-private-key-file", "sa.key"),
        file("root-ca-file", "ca.crt"),
    ];
    let manager = user("system:kube-controller-manager")?;
    let _controllers = stock(place.path(), "kube-controller-manager", &manager, &flags)?;
    let _scheduler = stock(place.path(), "kube-scheduler", &user("system:kube-scheduler")?, &[])?;
    let _nodes = Nodes::start(&skiff.kubeconfig, MACHINES).await?;
    life(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn our_controllers_and_scheduler_work_for_upstreams_server() -> Result<()> {
    let (program, place) = (skiff::build()?, tempfile::tempdir()?);
    let upstream = Upstream::start(&Settings::new(place.path())?)?;
    let client = Client::from_kubeconfig(&upstream.kubeconfig).await?;
    let keys = place.path().join("keys");
    let read = |name: &str| fs::read_to_string(keys.join(name)).with_context(|| name.to_owned());
    let authority = Authority::load(&read("ca.crt")?, &read("ca.key")?)?;
    let user = |name: &str| kubeconfig(place.path(), &authority, &upstream.url, name);
    let file = |flag: &str, name: &str| format!("--{flag}={}", keys.join(name).display());
    let (tokens, root) =
        (file("service-account-private-key-file", "service-account.key"), file("root-ca-file", "ca.crt"));
    let log = place.path().join("controllers.log");
    let _controllers = Controllers::start(&program, &user("system:kube-controller-manager")?, &log, &[&tokens, &root])?;
    let mut scheduler = Command::new(&program);
    scheduler.args(["scheduler", "--leader-elect=false", "--kubeconfig"]).arg(user("system:kube-scheduler")?);
    let _scheduler = Program::start(&scheduler, &place.path().join("scheduler.log"))?;
    let _nodes = Nodes::start(&upstream.kubeconfig, MACHINES).await?;
    life(&client).await
}
