//! A hostile tenant: somebody with every right in a namespace of his own neither reads what is others', nor becomes somebody else,
//! nor takes more than is his, nor keeps others from their work.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use certs::{
    Authority, Profile, Subject,
    kubeconfig::{Credential, Entry},
};
use conformance::{
    clock::now,
    http::{Client, Response},
};
use futures::future::join_all;
use skiff_test::Cluster;
use tokio::time::{Duration, timeout};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1";
/// What stands in an object of the other tenant's.
const SECRET: &str = "the-secret-of-the-neighbour";
/// Objects that a tenant may have of one kind.
const ALLOWED: usize = 10;
/// Requests of a flood that are on one connection at a time.
const EACH: usize = 40;
/// Generous: the server is not optimised, and the machine has other things to do.
const HONEST: Duration = Duration::from_secs(30);

/// Two tenants of a cluster, each the administrator of a namespace that is called as he is.
struct Town {
    cluster: Cluster,
    admin: Client,
    alice: Client,
    mallory: Client,
}

async fn send(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Response> {
    let kind = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let headers = [&[("content-type", kind)][..], headers].concat();
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(codec::json::to_string(body)) };
    client.send(method, path, &headers, body).await
}

async fn get(client: &Client, path: &str) -> Result<Response> {
    send(client, "GET", path, &[], Value::NULL).await
}

async fn create(client: &Client, path: &str, object: &Value) -> Result<()> {
    let made = send(client, "POST", path, &[], object).await?;
    ensure!(made.status == 201, "{path}: {made:?}");
    Ok(())
}

fn core(namespace: &str, resource: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{resource}")
}

// === impl Town ===

impl Town {
    async fn start() -> Result<Town> {
        let builder =
            Cluster::builder().only_controllers(["clusterrole-aggregation-controller", "resourcequota-controller"]);
        let cluster = builder.flag("--disable-admission-plugins=ServiceAccount").start()?;
        let admin = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
        let (alice, mallory) = (person(&cluster, "alice").await?, person(&cluster, "mallory").await?);
        // What `admin` comes to is summed up by a controller.
        let has_rules = |role: Option<&Value>| role.is_some_and(|role| role.list("rules").len() > 5);
        admin.until(&format!("{RBAC}/clusterroles"), "admin", has_rules).await?;
        for name in ["alice", "mallory"] {
            create(&admin, "/api/v1/namespaces", &value!({"metadata": {"name": name}})).await?;
            let binding = value!({
                "metadata": {"name": "own"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
            });
            create(&admin, &format!("{RBAC}/namespaces/{name}/rolebindings"), &binding).await?;
            let count = ALLOWED.to_string();
            let quota = value!({"metadata": {"name": "share"}, "spec": {"hard": {
                "count/configmaps": (count.as_str()), "count/secrets": (count.as_str()), "pods": "2", "requests.cpu": "1",
                "services.nodeports": "0", "services.loadbalancers": "0", "count/deployments.apps": "3"
            }}});
            create(&admin, &core(name, "resourcequotas"), &quota).await?;
            let counted = |quota: Option<&Value>| {
                quota.is_some_and(|quota| quota.at_path(&["status", "used"]).has("count/configmaps"))
            };
            admin.until(&core(name, "resourcequotas"), "share", counted).await?;
            let object = value!({"metadata": {"name": "own"}, "stringData": {"said": SECRET}});
            create(&admin, &core(name, "secrets"), &object).await?;
            let account = value!({"metadata": {"name": "robot"}});
            create(&admin, &core(name, "serviceaccounts"), &account).await?;
        }
        for (client, name) in [(&alice, "alice"), (&mallory, "mallory")] {
            let own = get(client, &core(name, "secrets/own")).await?;
            ensure!(own.status == 200, "{name} has his own: {own:?}");
        }
        Ok(Town { cluster, admin, alice, mallory })
    }

    async fn quota_used(&self, namespace: &str, what: &str) -> Result<String> {
        let quota = get(&self.admin, &core(namespace, "resourcequotas/share")).await?.json();
        Ok(quota.at_path(&["status", "used"]).str(what).to_owned())
    }
}

/// Somebody with a certificate of the cluster's.
async fn person(cluster: &Cluster, name: &str) -> Result<Client> {
    let folder: PathBuf = cluster.kubeconfig_path().parent().context("it is in a folder")?.into();
    let read = |file: &str| std::fs::read_to_string(folder.join("pki").join(file)).with_context(|| file.to_owned());
    let authority = Authority::load(&read("ca.crt")?, &read("ca.key")?)?;
    let issued = authority.issue(&Profile::client(Subject::user(name, &["tenants"])), now()?)?;
    let key = issued.key.to_pem();
    let entry = Entry {
        name,
        server: cluster.url(),
        authority_pem: &read("ca.crt")?,
        credential: Credential::Certificate { certificate_pem: &issued.certificate_pem, key_pem: &key },
    };
    let file = folder.join(format!("{name}.kubeconfig"));
    std::fs::write(&file, certs::kubeconfig::write(&entry)?)?;
    Client::from_kubeconfig(&file).await
}

/// Every resource of the core and of apps, and what is the cluster's.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_reads_nothing_of_anothers() -> Result<()> {
    let town = Town::start().await?;
    let mallory = &town.mallory;
    for group in ["/api/v1", "/apis/apps/v1", "/apis/rbac.authorization.k8s.io/v1", "/apis/batch/v1"] {
        let found = get(mallory, group).await?.json();
        let names =
            found.list("resources").iter().filter(|r| r.list("verbs").iter().any(|v| v.as_str() == Some("list")));
        let mut seen = 0;
        for resource in names {
            let name = resource.str("name");
            let mut paths = vec![format!("{group}/{name}"), format!("{group}/{name}?watch=1&timeoutSeconds=1")];
            if resource.bool("namespaced") {
                paths.push(format!("{group}/namespaces/alice/{name}"));
                paths.push(format!("{group}/namespaces/alice/{name}/own"));
                paths.push(format!("{group}/namespaces/alice/{name}?watch=1&timeoutSeconds=1"));
                paths.push(format!("{group}/watch/namespaces/alice/{name}"));
            }
            for path in paths {
                let answer = get(mallory, &path).await?;
                ensure!(answer.status == 403, "{path}: {answer:?}");
                seen += 1;
            }
        }
        ensure!(seen > 4, "{group} has resources");
    }
    for path in [
        "/api/v1/namespaces/mallory/secrets/..%2F..%2Falice%2Fsecrets%2Fown",
        "/api/v1/namespaces/mallory%2F..%2Falice/secrets/own",
        "/api/v1/namespaces/mallory/../alice/secrets/own",
        "/api/v1/namespaces/mallory/secrets?fieldSelector=metadata.namespace%3Dalice",
        "/api/v1/secrets?fieldSelector=metadata.namespace%3Dmallory",
        "/api/v1/namespaces/alice/secrets?fieldSelector=metadata.name%3Down&limit=1",
        "/api/v1/namespaces/alice/pods/x/log",
        "/api/v1/namespaces/alice/services/x/proxy/",
        "/api/v1/nodes/x/proxy/",
        "/metrics",
        "/debug/api_priority_and_fairness/dump_requests",
    ] {
        let answer = get(mallory, path).await?;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(!said.contains(&STANDARD.encode(SECRET)) && !said.contains(SECRET), "{path}: {said}");
        let is_nothing = answer.status == 200 && answer.json().list("items").is_empty();
        ensure!(is_nothing || (300..500).contains(&answer.status), "{path}: {answer:?}");
    }
    // Rights of others are not his to ask about either.
    let review = value!({"spec": {"user": "alice", "resourceAttributes": {"verb": "get", "resource": "secrets"}}});
    for (path, wanted) in
        [("subjectaccessreviews".to_owned(), 403), ("namespaces/alice/localsubjectaccessreviews".to_owned(), 403)]
    {
        let answer = send(mallory, "POST", &format!("{REVIEWS}/{path}"), &[], &review).await?;
        ensure!(answer.status == wanted, "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_becomes_nobody_else() -> Result<()> {
    let town = Town::start().await?;
    let mallory = &town.mallory;
    let secret = core("alice", "secrets/own");
    for headers in [
        &[("impersonate-user", "alice")][..],
        &[("impersonate-user", "system:admin"), ("impersonate-group", "system:masters")],
        &[("impersonate-user", "mallory"), ("impersonate-group", "system:masters")],
        &[("impersonate-user", "system:serviceaccount:alice:robot")],
        &[("impersonate-user", "system:node:n1"), ("impersonate-group", "system:nodes")],
        &[("impersonate-group", "system:masters")],
        &[("impersonate-uid", "1")],
        &[("x-remote-user", "alice"), ("x-remote-group", "system:masters")],
        &[("x-remote-user", "system:admin")],
        &[("authorization", "Bearer alice")],
        &[("authorization", "Basic YWxpY2U6YWxpY2U=")],
    ] {
        let answer = send(mallory, "GET", &secret, headers, Value::NULL).await?;
        let is_told = String::from_utf8_lossy(&answer.body).contains(&STANDARD.encode(SECRET));
        ensure!(matches!(answer.status, 400 | 401 | 403 | 500) && !is_told, "{headers:?}: {answer:?}");
    }
    let subject = value!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]);
    let to = |kind: &str, name: &str| {
        value!({"metadata": {"name": "more"}, "subjects": (subject.clone()),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}})
    };
    let all =
        value!({"metadata": {"name": "all"}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]});
    let nodes =
        value!({"metadata": {"name": "n"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}]});
    let token = value!({"spec": {}});
    let request = value!({"metadata": {"name": "c"}, "spec": {
        "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"], "request": (STANDARD.encode("x"))
    }});
    let own_roles = format!("{RBAC}/namespaces/mallory/roles");
    let own_bindings = format!("{RBAC}/namespaces/mallory/rolebindings");
    for (path, body) in [
        (format!("{RBAC}/clusterrolebindings"), to("ClusterRole", "cluster-admin")),
        (format!("{RBAC}/clusterroles"), all.clone()),
        (format!("{RBAC}/namespaces/alice/rolebindings"), to("ClusterRole", "admin")),
        (own_bindings.clone(), to("ClusterRole", "cluster-admin")),
        (own_bindings.clone(), to("ClusterRole", "system:node")),
        (own_roles.clone(), all),
        (own_roles, nodes),
        (core("alice", "serviceaccounts/robot/token"), token.clone()),
        ("/apis/certificates.k8s.io/v1/certificatesigningrequests".to_owned(), request),
        ("/api/v1/namespaces".to_owned(), value!({"metadata": {"name": "third"}})),
        ("/api/v1/persistentvolumes".to_owned(), value!({"metadata": {"name": "v"}})),
    ] {
        let answer = send(mallory, "POST", &path, &[], &body).await?;
        ensure!(answer.status == 403, "{path}: {answer:?}");
    }
    // An account of his own is his own, and no more.
    let own = send(mallory, "POST", &core("mallory", "serviceaccounts/robot/token"), &[], &token).await?;
    ensure!(own.status == 201, "{own:?}");
    let bearer = format!("Bearer {}", own.json().at("status").str("token"));
    // His certificate goes before a token; the account alone may nothing at all.
    let as_robot = [("authorization", bearer.as_str())];
    let answer = send(mallory, "GET", &secret, &as_robot, Value::NULL).await?;
    ensure!(answer.status == 403, "{answer:?}");
    // Who owns an object in another namespace is nobody there: nothing of alice's goes when his does.
    let owned = value!({"metadata": {"ownerReferences": [{
        "apiVersion": "v1", "kind": "Secret", "name": "own", "uid": "11111111-2222-4333-8444-555555555555"
    }]}});
    let answer = send(mallory, "PATCH", &secret, &[], &owned).await?;
    ensure!(answer.status == 403, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_spends_no_more_than_is_his() -> Result<()> {
    let town = Town::start().await?;
    let mallory = &town.mallory;
    let object = |number: usize| value!({"metadata": {"name": (format!("m-{number}"))}, "data": {"a": "b"}});
    let path = core("mallory", "configmaps");
    // All at once: what is counted is counted by the one who writes, not by who comes later.
    let made = join_all((0..5 * ALLOWED).map(|number| {
        let (path, object) = (&path, object(number));
        async move { send(mallory, "POST", path, &[], &object).await.map(|answer| answer.status) }
    }));
    let codes: Vec<u16> = made.await.into_iter().collect::<Result<_>>()?;
    let others: BTreeSet<u16> = codes.iter().copied().filter(|code| *code != 201).collect();
    let created = codes.iter().filter(|code| **code == 201).count();
    ensure!(created <= ALLOWED, "{created} were made");
    ensure!(others.iter().all(|code| matches!(code, 403 | 409)), "{others:?}");
    for number in 0..5 * ALLOWED {
        send(mallory, "POST", &path, &[], &object(number)).await?;
    }
    let list = get(mallory, &path).await?.json();
    ensure!(list.list("items").len() == ALLOWED, "{}", list.list("items").len());
    ensure!(town.quota_used("mallory", "count/configmaps").await? == ALLOWED.to_string());
    ensure!(town.quota_used("alice", "count/configmaps").await? == "0", "what he spends is his own");
    // What says how much is his is not his to say.
    let quota = core("mallory", "resourcequotas/share");
    let more = value!({"spec": {"hard": {"count/configmaps": "1000"}}});
    for (method, path, body) in [
        ("PATCH", quota.clone(), &more),
        ("PATCH", format!("{quota}/status"), &value!({"status": {"used": {"count/configmaps": "0"}}})),
        ("DELETE", quota.clone(), Value::NULL),
        ("DELETE", core("mallory", "resourcequotas"), Value::NULL),
        ("POST", core("mallory", "limitranges"), &value!({"metadata": {"name": "l"}})),
        (
            "PATCH",
            "/api/v1/namespaces/mallory".to_owned(),
            &value!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        ),
        ("PATCH", "/api/v1/namespaces/mallory/status".to_owned(), &value!({"status": {"phase": "Active"}})),
        ("PUT", "/api/v1/namespaces/mallory/finalize".to_owned(), &value!({"metadata": {"name": "mallory"}})),
    ] {
        let answer = send(mallory, method, &path, &[], body).await?;
        ensure!(answer.status == 403, "{method} {path}: {answer:?}");
    }
    let pod = |cpu: &str| {
        value!({"metadata": {"generateName": "p-"}, "spec": {"automountServiceAccountToken": false, "containers": [
            {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        ]}})
    };
    let pods = core("mallory", "pods");
    for (cpu, wanted) in [("2", 403), ("600m", 201), ("600m", 403), ("400m", 201), ("1m", 403)] {
        let answer = send(mallory, "POST", &pods, &[], &pod(cpu)).await?;
        ensure!(answer.status == wanted, "{cpu}: {answer:?}");
    }
    let service = value!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let answer = send(mallory, "POST", &core("mallory", "services"), &[], &service).await?;
    ensure!(answer.status == 403, "{answer:?}");
    create(&town.alice, &core("alice", "configmaps"), &object(0)).await
}

/// While one asks as much as he can, on many connections, the other is answered: no 429, and none that waits too long.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_floods_keeps_nobody_waiting() -> Result<()> {
    const CONNECTIONS: usize = 10;
    let town = Town::start().await?;
    for number in 0..ALLOWED - 1 {
        let large = value!({"metadata": {"name": (format!("m-{number}"))}, "data": {"a": ("x".repeat(200_000))}});
        create(&town.mallory, &core("mallory", "configmaps"), &large).await?;
    }
    let mut mallories = Vec::new();
    for _ in 0..CONNECTIONS {
        mallories.push(person(&town.cluster, "mallory").await?);
    }
    let honest = async {
        let own = core("alice", "secrets/own");
        for number in 0..100 {
            let answer = timeout(HONEST, get(&town.alice, &own)).await.context("alice waited too long")??;
            ensure!(answer.status == 200, "alice got {}", answer.status);
            if number % 20 == 0 {
                let object = value!({"metadata": {"name": (format!("a-{number}"))}});
                timeout(HONEST, create(&town.alice, &core("alice", "configmaps"), &object))
                    .await
                    .context("a write")??;
            }
        }
        anyhow::Ok(())
    };
    let path = core("mallory", "configmaps");
    tokio::select! {
        flooded = flood(&mallories, &path) => flooded,
        served = honest => served,
    }
}

/// Asks for the same again and again, on all connections at once; ends when something goes wrong but being told to come back.
async fn flood(clients: &[Client], path: &str) -> Result<()> {
    loop {
        let all = clients.iter().flat_map(|client| (0..EACH).map(move |_| client));
        for answer in join_all(all.map(|client| get(client, path))).await {
            let answer = answer?;
            ensure!(matches!(answer.status, 200 | 429), "{}", answer.status);
        }
    }
}
