//! Published vulnerabilities of systems of this kind that take a whole server to show. `docs/security.md` lists all, with the
//! tests of those that are a rule of one crate.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use conformance::{
    http::{Client, Response},
    skiff::{self, Controllers, Skiff},
};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use skiff_test::Cluster;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

const JSON: (&str, &str) = ("content-type", "application/json");
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// What nobody but those who may is to read.
const SECRET: &str = "the-secret-of-others";
/// Generous: programs are not optimised, and the machine has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

async fn send(client: &Client, method: &str, path: &str, user: &str, body: &Value) -> Result<Response> {
    let mut headers = vec![if method == "PATCH" { ("content-type", "application/merge-patch+json") } else { JSON }];
    if !user.is_empty() {
        headers.push(("impersonate-user", user));
    }
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(codec::json::to_string(body)) };
    client.send(method, path, &headers, body).await
}

async fn create(client: &Client, path: &str, object: &Value) -> Result<()> {
    let made = send(client, "POST", path, "", object).await?;
    ensure!(made.status == 201, "{path}: {made:?}");
    Ok(())
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

fn definition(plural: &str, kind: &str, scope: &str) -> Value {
    value!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": (format!("{plural}.ex.io"))},
        "spec": {
            "group": "ex.io", "scope": scope, "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

/// Three kinds of one group with an object each, and `local`, who may do everything in `default` to what `resources` say.
async fn kinds(client: &Client, resources: &Value) -> Result<()> {
    for (plural, kind, scope) in
        [("things", "Thing", "Cluster"), ("widgets", "Widget", "Namespaced"), ("gadgets", "Gadget", "Namespaced")]
    {
        create(client, DEFINITIONS, &definition(plural, kind, scope)).await?;
        let established = |found: Option<&Value>| {
            let is_so = |c: &Value| c.str("type") == "Established" && c.str("status") == "True";
            found.is_some_and(|found| found.at("status").list("conditions").iter().any(is_so))
        };
        client.until(DEFINITIONS, &format!("{plural}.ex.io"), established).await?;
        let place = if scope == "Cluster" { "" } else { "/namespaces/default" };
        let path = format!("/apis/ex.io/v1{place}/{plural}");
        // A definition is established a moment before its paths lead anywhere.
        client.until_answered(&path, |status, _| status == 200).await?;
        let object = value!({"apiVersion": "ex.io/v1", "kind": kind, "metadata": {"name": "one"}, "said": SECRET});
        create(client, &path, &object).await?;
    }
    let mut rule = value!({"verbs": ["*"], "apiGroups": ["*"]});
    rule.set("resources", resources.clone());
    let role = value!({"metadata": {"name": "local"}, "rules": [rule]});
    create(client, &format!("{RBAC}/namespaces/default/roles"), &role).await?;
    let binding = value!({
        "metadata": {"name": "local"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "local"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "local"}],
    });
    create(client, &format!("{RBAC}/namespaces/default/rolebindings"), &binding).await?;
    // Who may is answered by what the authorizer's informers have seen, which is a moment later.
    let own = "/apis/ex.io/v1/namespaces/default/widgets/one";
    client.until_answers("GET", own, &[("impersonate-user", "local")], Bytes::new(), |status, _| status == 200).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_11247_no_path_of_a_namespace_leads_to_what_stands_in_none() -> Result<()> {
    let cluster = Cluster::start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    kinds(&client, &value!(["*"])).await?;
    let own = send(&client, "GET", "/apis/ex.io/v1/namespaces/default/widgets/one", "local", Value::NULL).await?;
    ensure!(own.status == 200, "{own:?}");
    let change = value!({"apiVersion": "ex.io/v1", "kind": "Thing", "metadata": {"name": "one"}, "said": "changed"});
    let new = value!({"apiVersion": "ex.io/v1", "kind": "Thing", "metadata": {"name": "two"}});
    for user in ["local", ""] {
        for (method, rest, body) in [
            ("GET", "/one", Value::NULL),
            ("GET", "", Value::NULL),
            ("GET", "?watch=1&timeoutSeconds=1", Value::NULL),
            ("POST", "", &new),
            ("PUT", "/one", &change),
            ("PATCH", "/one", &change),
            ("DELETE", "/one", Value::NULL),
            ("DELETE", "", Value::NULL),
        ] {
            let path = format!("/apis/ex.io/v1/namespaces/default/things{rest}");
            let answer = send(&client, method, &path, user, body).await?;
            ensure!(answer.status == 404, "{method} {path} as {user:?}: {answer:?}");
            ensure!(!text(&answer).contains(SECRET), "{answer:?}");
        }
    }
    for (path, method) in [("/apis/ex.io/v1/things/one", "GET"), ("/apis/ex.io/v1/things", "GET")] {
        let answer = send(&client, method, path, "local", Value::NULL).await?;
        ensure!(answer.status == 403, "{path}: {answer:?}");
    }
    let all = send(&client, "GET", "/apis/ex.io/v1/things", "", Value::NULL).await?.json();
    ensure!(all.list("items").len() == 1 && all.list("items")[0].str("said") == SECRET, "{all:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2022_3162_no_name_selector_or_token_leads_from_one_kind_to_another() -> Result<()> {
    let cluster = Cluster::start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    kinds(&client, &value!(["widgets"])).await?;
    let base = "/apis/ex.io/v1/namespaces/default/widgets";
    let own = send(&client, "GET", &format!("{base}/one"), "local", Value::NULL).await?;
    ensure!(own.status == 200 && text(&own).contains(SECRET), "{own:?}");
    // The own object is there too, and says the same: it goes, so that whatever is found is another's.
    send(&client, "DELETE", &format!("{base}/one"), "local", Value::NULL).await?;
    let revision = send(&client, "GET", base, "local", Value::NULL).await?.json();
    let revision: i64 = revision.at("metadata").str("resourceVersion").parse()?;
    let mut tricks: Vec<String> = [
        "/..%2Fgadgets%2Fone",
        "/..%2F..%2Fgadgets%2Fdefault%2Fone",
        "%2F..%2Fgadgets",
        "%2F..%2Fgadgets/one",
        "/../gadgets/one",
        "/%2e%2e/gadgets/one",
        "/one%00/../gadgets",
        "?fieldSelector=metadata.name%3D..%2Fgadgets%2Fone",
        "?fieldSelector=metadata.name%3D..%2F..%2Fgadgets%2Fdefault%2Fone",
        "?fieldSelector=metadata.namespace%3D..%2Fgadgets%2Fdefault",
    ]
    .map(|trick| format!("{base}{trick}"))
    .into();
    for start in ["../gadgets/default/one", "../../gadgets/default/", "/../gadgets", "gadgets/default/one\u{0}"] {
        let token = format!(r#"{{"v":"meta.k8s.io/v1","rv":{revision},"start":"{start}"}}"#);
        tricks.push(format!("{base}?limit=5&continue={}", URL_SAFE_NO_PAD.encode(token)));
    }
    for path in &tricks {
        let answer = send(&client, "GET", path, "local", Value::NULL).await?;
        ensure!(!text(&answer).contains(SECRET), "{path}: {answer:?}");
        let is_empty = answer.status == 200 && answer.json().list("items").is_empty();
        ensure!(is_empty || (300..500).contains(&answer.status), "{path}: {answer:?}");
        let and = if path.contains('?') { '&' } else { '?' };
        let watch = format!("{path}{and}watch=1&timeoutSeconds=1&resourceVersion=0");
        let watched = timeout(PATIENCE, send(&client, "GET", &watch, "local", Value::NULL)).await??;
        ensure!(!text(&watched).contains(SECRET), "{watch}: {watched:?}");
    }
    let others = send(&client, "GET", "/apis/ex.io/v1/namespaces/default/gadgets/one", "local", Value::NULL).await?;
    ensure!(others.status == 403, "{others:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_11248_nobody_debugs_a_server_that_does_not_know_him() -> Result<()> {
    let cluster = Cluster::start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    for path in [
        "/debug/pprof/",
        "/debug/pprof/profile",
        "/debug/pprof/heap",
        "/debug/flags/v",
        "/debug/api_priority_and_fairness/dump_queues",
        "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1",
        "/healthz/../debug/pprof/",
        "/healthz/debug/pprof/",
        "/metrics",
        "/configz",
        "/flagz",
        "/statusz",
        "/logs/",
    ] {
        for user in ["system:anonymous", "jane"] {
            let answer = send(&client, "GET", path, user, Value::NULL).await?;
            let is_nothing = answer.status == 404 && path.starts_with("/healthz/");
            ensure!(answer.status == 403 || is_nothing, "{path} as {user}: {answer:?}");
        }
        let status = Stranger::new(cluster.kubeconfig()).await?.get(path, &[]).await?;
        ensure!(matches!(status, 401 | 403 | 404), "{path}: {status}");
    }
    Ok(())
}

/// Somebody without a certificate, on a connection of HTTP/2.
struct Stranger {
    sender: http2::SendRequest<Full<Bytes>>,
    authority: String,
    connection: tokio::task::JoinHandle<()>,
}

impl Stranger {
    async fn new(kubeconfig: &str) -> Result<Stranger> {
        let config = codec::yaml::any(kubeconfig.as_bytes())?;
        let cluster = config.list("clusters").first().context("a cluster")?.at("cluster");
        let authority = String::from_utf8(STANDARD.decode(cluster.str("certificate-authority-data"))?)?;
        let tls = certs::tls::client_config(&authority, None, true)?;
        let address = cluster.str("server").trim_start_matches("https://").to_owned();
        let tcp = TcpStream::connect(&address).await?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = TlsConnector::from(std::sync::Arc::new(tls)).connect(name, tcp).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        Ok(Stranger { sender, authority: address, connection })
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<u16> {
        let mut request = Request::get(format!("https://{}{path}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, body) = self.sender.clone().send_request(request.body(Full::default())?).await?.into_parts();
        body.collect().await?;
        Ok(parts.status.as_u16())
    }
}

/// Whoever is nobody is answered once, and has to come again: resets on a connection that lasts are what the attack lives of.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2023_44487_cve_2023_39325_strangers_keep_no_connection_of_http2() -> Result<()> {
    let cluster = Cluster::start()?;
    let known = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    for (path, wanted) in [("/healthz", 200), ("/api/v1/secrets", 401)] {
        let stranger = Stranger::new(cluster.kubeconfig()).await?;
        let status = stranger.get(path, &[]).await?;
        ensure!(status == wanted, "{path}: {status}");
        timeout(PATIENCE, stranger.connection).await.context("the connection is kept")??;
    }
    for _ in 0..3 {
        let answer = send(&known, "GET", "/healthz", "", Value::NULL).await?;
        ensure!(answer.status == 200, "who is known keeps his: {answer:?}");
    }
    // What was read before somebody known became another is his own.
    let as_nobody = send(&known, "GET", "/healthz", "system:anonymous", Value::NULL).await?;
    ensure!(as_nobody.status == 200, "{as_nobody:?}");
    ensure!(send(&known, "GET", "/healthz", "", Value::NULL).await?.status == 200);
    Ok(())
}

/// Series by name and labels, without those whose number says how much there was.
async fn series(client: &Client) -> Result<BTreeSet<String>> {
    let page = text(&send(client, "GET", "/metrics", "", Value::NULL).await?);
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2020_8552_no_word_of_a_client_becomes_a_label() -> Result<()> {
    const WORD: &str = "zzyzx";
    let cluster = Cluster::start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    let flood = async |from: usize| -> Result<()> {
        for i in from..from + 50 {
            let word = format!("{WORD}{i}");
            for (method, path) in [
                ("GET", format!("/{word}")),
                ("GET", format!("/apis/{word}.example.com/v1/{word}")),
                ("GET", format!("/apis/apps/{word}/deployments")),
                ("GET", format!("/api/v1/namespaces/{word}/{word}/{word}/{word}")),
                ("GET", format!("/api/v1/namespaces/default/pods/{word}/{word}")),
                ("GET", format!("/api/v1/pods?dryRun={word}&fieldValidation={word}&watch={word}&timeout=1ns")),
                ("POST", format!("/api/v1/namespaces/default/configmaps?dryRun={word}&fieldValidation={word}")),
                (word.as_str(), "/api/v1/pods".to_owned()),
                (word.as_str(), "/healthz".to_owned()),
            ] {
                let headers =
                    [("user-agent", word.as_str()), ("accept", word.as_str()), ("content-type", word.as_str())];
                client.send(method, &path, &headers, Bytes::new()).await?;
                let headers = [("impersonate-user", word.as_str()), ("impersonate-group", word.as_str())];
                client.send("GET", &path, &headers, Bytes::new()).await?;
            }
        }
        Ok(())
    };
    // What can be counted at all is counted after the first, and that somebody looks; the second finds it all there.
    flood(0).await?;
    series(&client).await?;
    let before = series(&client).await?;
    flood(50).await?;
    let after = series(&client).await?;
    let named: Vec<_> = after.iter().filter(|line| line.to_lowercase().contains(WORD)).collect();
    ensure!(named.is_empty(), "clients chose labels: {named:#?}");
    let new: Vec<_> = after.difference(&before).collect();
    ensure!(new.len() < 50, "a flood of other words makes {} new series: {new:#?}", new.len());
    Ok(())
}

/// A kubeconfig like this one, of somebody who shows a token instead of a certificate.
fn with_token(kubeconfig: &Path, token: &str) -> Result<String> {
    let mut config = codec::yaml::any(&std::fs::read(kubeconfig)?)?;
    let users = config.path_mut(&["users"]).and_then(Value::as_array_mut).context("users")?;
    users.first_mut().context("a user")?.set("user", value!({"token": token}));
    Ok(codec::yaml::to_string(&config))
}

/// At every level of the log, on both sides of a connection, whether a token is good or bad and however it is shown.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2019_11250_cve_2020_8565_no_token_stands_in_a_log() -> Result<()> {
    let (program, folder) = (skiff::build()?, tempfile::tempdir()?);
    let data = folder.path().join("data");
    let skiff = Skiff::start_apiserver(&program, &data, &["--authorization-mode=RBAC", "--v=9"])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let account = value!({"metadata": {"name": "robot"}});
    let accounts = "/api/v1/namespaces/kube-system/serviceaccounts";
    let _ = send(&client, "POST", "/api/v1/namespaces", "", &value!({"metadata": {"name": "kube-system"}})).await?;
    create(&client, accounts, &account).await?;
    let asked = send(&client, "POST", &format!("{accounts}/robot/token"), "", &value!({"spec": {}})).await?;
    let good = asked.json().at("status").str("token").to_owned();
    ensure!(good.len() > 100, "{asked:?}");
    let bad = format!("{}x{}", &good[..20], &good[21..]);
    let admin = value!({
        "metadata": {"name": "robot"}, "subjects": [{"kind": "ServiceAccount", "namespace": "kube-system", "name": "robot"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    create(&client, &format!("{RBAC}/clusterrolebindings"), &admin).await?;
    let kubeconfig = std::fs::read_to_string(&skiff.kubeconfig)?;
    let basic = "Basic YWRtaW46c3dvcmRmaXNoLTEyMw==";
    for token in [&good, &bad] {
        let bearer = format!("Bearer {token}");
        let spelled = format!("bearer  {token}");
        let protocol =
            format!("base64url.bearer.authorization.k8s.io.{}, v4.channel.k8s.io", URL_SAFE_NO_PAD.encode(token));
        for headers in [
            vec![("authorization", bearer.as_str())],
            vec![("authorization", spelled.as_str())],
            vec![("authorization", bearer.as_str()), ("impersonate-user", "jane")],
            vec![("sec-websocket-protocol", protocol.as_str())],
            vec![("authorization", basic)],
        ] {
            // Without a certificate, which would go before a token.
            Stranger::new(&kubeconfig).await?.get("/api/v1/namespaces/default/pods", &headers).await?;
        }
        let review = value!({"spec": {"token": (token.as_str())}});
        send(&client, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", "", &review).await?;
    }
    // One of our own parts with a token, which it shows with every request.
    let kubeconfig = folder.path().join("robot.kubeconfig");
    std::fs::write(&kubeconfig, with_token(&skiff.kubeconfig, &good)?)?;
    let log = folder.path().join("controllers.log");
    let controllers = Controllers::start(&program, &kubeconfig, &log, &["-vvv"])?;
    client.until("/api/v1/namespaces/default/serviceaccounts", "default", |found| found.is_some()).await?;
    drop((controllers, skiff));
    for log in [data.with_extension("log"), log] {
        let said = std::fs::read_to_string(&log)?;
        ensure!(said.contains("TRACE") || said.contains("DEBUG"), "{} says too little", log.display());
        for secret in [good.as_str(), &bad, &good[good.len() - 40..], "YWRtaW46c3dvcmRmaXNoLTEyMw", "swordfish-123"] {
            ensure!(!said.contains(secret), "{}: a secret stands in it", log.display());
        }
        ensure!(!said.contains(&URL_SAFE_NO_PAD.encode(&bad)), "{}: a token stands in it", log.display());
    }
    Ok(())
}
