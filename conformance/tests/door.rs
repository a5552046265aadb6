//! What stands at the door beside resources: time, counting, metrics, the issuer's documents, components, flows, CBOR.
//!
//! Words and names are those that kube-apiserver 1.37.1 answered to the same requests.

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use bytes::Bytes;
use conformance::{
    http::{Client, Response},
    skiff::{self, Skiff},
};
use http_body_util::BodyExt;

const CBOR: (&str, &str) = ("accept", "application/cbor");

async fn started(directory: &std::path::Path, more: &[&str]) -> Result<(Skiff, Client)> {
    std::fs::create_dir_all(directory)?;
    let with_rbac = [&["--authorization-mode", "RBAC"], more].concat();
    let skiff = Skiff::start_apiserver(&skiff::build()?, directory, &with_rbac)?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    Ok((skiff, client))
}

async fn get(client: &Client, path: &str) -> Result<Response> {
    client.send("GET", path, &[], Bytes::new()).await
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_beside_resources_is_upstreams() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (_skiff, client) = started(&directory.path().join("s"), &[]).await?;
    time_ends(&client).await?;
    documents(&client).await?;
    discovery(&client).await?;
    heads(&client).await?;
    components(&client).await?;
    services(&client).await?;
    metrics(&client).await?;
    flows(&client).await?;
    pages(&client).await?;
    across_namespaces(&client).await?;
    let refused = client.send("GET", "/api/v1/namespaces/default", &[CBOR], Bytes::new()).await?;
    ensure!(refused.status == 406, "CBOR has its gate");
    Ok(())
}

/// Of custom resources, other than of built-in ones, there is nothing but reading across namespaces.
async fn across_namespaces(client: &Client) -> Result<()> {
    let definition = value!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": {"name": "widgets.ex.io"},
        "spec": {
            "group": "ex.io", "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let (path, json) =
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", ("content-type", "application/json"));
    let made = client.send("POST", path, &[json], codec::json::to_string(&definition).into()).await?;
    ensure!(made.status == 201, "{made:?}");
    client.until("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "widgets.ex.io", established).await?;
    for (method, path) in [
        ("GET", "/apis/ex.io/v1/widgets/x"),
        ("GET", "/apis/ex.io/v1/widgets/x/status"),
        ("DELETE", "/apis/ex.io/v1/widgets"),
        ("GET", "/apis/ex.io/v1/namespaces//widgets/x"),
    ] {
        let nothing = client.send(method, path, &[], Bytes::new()).await?;
        ensure!(
            (nothing.status, text(&nothing).as_str()) == (404, "404 page not found\n"),
            "{method} {path}: {nothing:?}"
        );
    }
    ensure!(get(client, "/apis/ex.io/v1/widgets").await?.status == 200);
    Ok(())
}

fn established(found: Option<&Value>) -> bool {
    let is_so = |c: &Value| c.str("type") == "Established" && c.str("status") == "True";
    found.is_some_and(|found| found.at("status").list("conditions").iter().any(is_so))
}

async fn time_ends(client: &Client) -> Result<()> {
    let late = get(client, "/api/v1/pods?timeout=1ns").await?;
    let words = "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"Timeout: request did not complete within the allotted timeout\",\"reason\":\"Timeout\",\"details\":{},\"code\":504}\n";
    ensure!((late.status, text(&late).as_str()) == (504, words), "{late:?}");
    let wrong = get(client, "/api/v1/pods?timeout=1x").await?;
    let words = "invalid timeout specified in the request URL - time: unknown unit \"x\" in duration \"1x\"";
    ensure!((wrong.status, wrong.json().str("message")) == (400, words), "{wrong:?}");
    Ok(())
}

async fn documents(client: &Client) -> Result<()> {
    let found = get(client, "/.well-known/openid-configuration").await?;
    ensure!(header(&found, "cache-control") == "public, max-age=3600", "{found:?}");
    ensure!(found.json().str("issuer") == "https://kubernetes.default.svc.cluster.local");
    let keys = get(client, "/openid/v1/jwks").await?;
    ensure!(header(&keys, "content-type") == "application/jwk-set+json" && keys.json().list("keys").len() == 1);
    let refused = client.send("POST", "/openid/v1/jwks", &[], Bytes::new()).await?;
    ensure!(refused.status == 405, "{refused:?}");
    Ok(())
}

async fn discovery(client: &Client) -> Result<()> {
    const GROUPS: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let accepting = |path: &'static str, accept: &'static str| async move {
        client.send("GET", path, &[("accept", accept)], Bytes::new()).await
    };
    let all = accepting("/apis", GROUPS).await?;
    ensure!(header(&all, "cache-control") == "public", "{:?}", all.headers);
    let packed = "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let message = accepting("/api", packed).await?;
    ensure!(header(&message, "content-type") == packed && message.body.starts_with(b"k8s\0"), "{message:?}");
    let all = all.json();
    let first = &all.list("items")[0];
    ensure!(first.at("metadata") == &value!({"name": "apiregistration.k8s.io"}), "{first:?}");
    let kind = value!({"group": "", "version": "", "kind": "APIService"});
    ensure!(first.list("versions")[0].list("resources")[0].at("responseKind") == &kind, "{first:?}");
    let log = get(client, "/api/v1").await?.json();
    let log = log.list("resources").iter().find(|resource| resource.str("name") == "pods/log");
    ensure!(log.is_some_and(|log| log.str("kind") == "Pod"), "{log:?}");
    let routes = "406: Not Acceptable\n\nAvailable representations: ";
    let handlers = "only the following media types are accepted: ";
    let three = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    for (path, accept, words) in [
        ("/api/v1", "text/html", format!("{routes}{three}")),
        ("/api/v1", table, format!("{handlers}{three}")),
        ("/apis/apiregistration.k8s.io", "text/html", format!("{routes}{three}")),
        ("/apis/apps", "text/html", format!("{handlers}{three}")),
        ("/apis", "text/html", format!("{handlers}{three}")),
        ("/version", "text/html", format!("{routes}application/json")),
        ("/openid/v1/jwks", "application/json", format!("{routes}application/jwk-set+json")),
    ] {
        let refused = accepting(path, accept).await?;
        ensure!((refused.status, refused.json().str("message")) == (406, &*words), "{path} {accept}: {refused:?}");
    }
    for path in ["/apis", "/apis/apps", "/"] {
        ensure!(client.send("PUT", path, &[], Bytes::new()).await?.status == 200, "{path} takes every method");
    }
    for path in ["/api/v9", "/api/v9/pods", "/apis/apps/v9"] {
        let nothing = get(client, path).await?;
        let words = "the server could not find the requested resource";
        ensure!((nothing.status, nothing.json().str("message")) == (404, words), "{path}: {nothing:?}");
    }
    for path in ["/apis/nothing.example.com", "/nothing"] {
        let nothing = get(client, path).await?;
        ensure!((nothing.status, &*text(&nothing)) == (404, "404 page not found\n"), "{path}: {nothing:?}");
    }
    Ok(())
}

/// A HEAD is told what a GET would be, in HTTP/2 too, where upstream has no routes by method.
async fn heads(client: &Client) -> Result<()> {
    for path in ["/healthz", "/openapi/v2", "/nothing"] {
        let whole = get(client, path).await?;
        let head = client.send("HEAD", path, &[], Bytes::new()).await?;
        let same = head.status == whole.status && header(&head, "content-type") == header(&whole, "content-type");
        ensure!(same && head.body.is_empty(), "{path}: {head:?}");
        ensure!(header(&head, "content-length") == whole.body.len().to_string(), "{path}: {head:?}");
    }
    for path in ["/version", "/api/v1/namespaces/default"] {
        let refused = client.send("HEAD", path, &[], Bytes::new()).await?;
        ensure!((refused.status, refused.body.len()) == (405, 0), "{refused:?}");
    }
    Ok(())
}

async fn components(client: &Client) -> Result<()> {
    let all = get(client, "/api/v1/componentstatuses").await?;
    ensure!(!all.json().at("metadata").has("resourceVersion"), "nothing of it is stored");
    let names: Vec<String> =
        all.json().list("items").iter().map(|c| c.at("metadata").str("name").to_string()).collect();
    ensure!(names == ["controller-manager", "scheduler", "etcd-0"], "{names:?}");
    let one = get(client, "/api/v1/componentstatuses/etcd-0").await?.json();
    let condition = value!([{"type": "Healthy", "status": "True", "message": "ok"}]);
    ensure!(one.at("conditions") == &condition, "{one:?}");
    let none = get(client, "/api/v1/componentstatuses/nope").await?;
    ensure!(none.json().str("message") == "componentstatus \"nope\" not found", "{none:?}");
    let watch = get(client, "/api/v1/componentstatuses?watch=1").await?;
    let words = "watch is not supported on resources of kind \"componentstatuses\"";
    ensure!((watch.status, watch.json().str("message")) == (405, words), "{watch:?}");
    Ok(())
}

async fn services(client: &Client) -> Result<()> {
    let all = get(client, "/apis/apiregistration.k8s.io/v1/apiservices").await?.json();
    let is_local = |service: &&Value| {
        service.at_path(&["metadata", "labels"]).str("kube-aggregator.kubernetes.io/automanaged") == "onstart"
            && service.at("status").list("conditions").iter().any(|c| c.str("reason") == "Local")
    };
    ensure!(all.list("items").iter().filter(is_local).count() == 22, "upstream registers 22");
    let batch = all.list("items").iter().find(|s| s.at("metadata").str("name") == "v1.batch").context("v1.batch")?;
    let spec = value!({"group": "batch", "version": "v1", "groupPriorityMinimum": 17400, "versionPriority": 15});
    ensure!(batch.at("spec") == &spec, "{batch:?}");
    Ok(())
}

async fn metrics(client: &Client) -> Result<()> {
    let page = get(client, "/metrics").await?;
    ensure!(header(&page, "content-type") == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    let text = text(&page);
    for line in [
        "apiserver_request_total{code=\"404\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"componentstatuses\",scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"} 1",
        "apiserver_request_terminations_total{code=\"504\",component=\"apiserver\",group=\"\",resource=\"pods\",scope=\"cluster\",subresource=\"\",verb=\"LIST\",version=\"v1\"} 1",
        "apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"componentstatuses\",subresource=\"\",version=\"v1\"} 1",
        "apiserver_resource_objects{group=\"apiregistration.k8s.io\",resource=\"apiservices\"} 22",
        "etcd_requests_total{group=\"apiregistration.k8s.io\",operation=\"create\",resource=\"apiservices\"} 22",
        "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"workload-low\"} 245",
        "kubernetes_feature_enabled{name=\"CBORServingAndStorage\",stage=\"ALPHA\"} 0",
    ] {
        ensure!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    ensure!(get(client, "/metrics/slis").await?.body.starts_with(b"# HELP kubernetes_healthcheck [STABLE]"));
    Ok(())
}

async fn flows(client: &Client) -> Result<()> {
    let schema = get(client, "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt").await?;
    let uid = schema.json().at("metadata").str("uid").to_string();
    ensure!(!uid.is_empty() && header(&schema, "x-kubernetes-pf-flowschema-uid") == uid, "{schema:?}");
    ensure!(!header(&schema, "x-kubernetes-pf-prioritylevel-uid").is_empty());
    let someone = [("impersonate-user", "tom"), ("impersonate-group", "system:authenticated")];
    let refused = client.send("GET", "/api/v1/pods", &someone, Bytes::new()).await?;
    let general = get(client, "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/global-default").await?.json();
    ensure!(refused.status == 403 && header(&refused, "x-content-type-options") == "nosniff", "{refused:?}");
    ensure!(header(&refused, "x-kubernetes-pf-flowschema-uid") == general.at("metadata").str("uid"), "{refused:?}");
    let dump = text(&get(client, "/debug/api_priority_and_fairness/dump_priority_levels").await?);
    ensure!(dump.lines().count() == 9 && dump.contains("\ncatch-all,         0,            true,   false,"), "{dump}");
    let path = "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1";
    ensure!(text(&get(client, path).await?).contains("dump_requests"), "it sees itself");
    Ok(())
}

async fn pages(client: &Client) -> Result<()> {
    let status = text(&get(client, "/statusz").await?);
    ensure!(
        status.starts_with("\napiserver statusz\nWarning: ") && status.contains("Emulation version  1.37\n"),
        "{status}"
    );
    let flags = text(&get(client, "/flagz").await?);
    ensure!(flags.contains("\nauthorization-mode RBAC\n") && flags.contains("\nrequest-timeout 1m0s\n"), "{flags}");
    let index = get(client, "/").await?.json();
    for path in ["/flagz", "/metrics/slis", "/readyz/poststarthook/kube-apiserver-autoregistration", "/openid/v1/jwks"]
    {
        ensure!(index.list("paths").iter().any(|p| p.as_str() == Some(path)), "{path} is not in the index");
    }
    let checks = text(&get(client, "/readyz?verbose&exclude=ping&exclude=nope").await?);
    ensure!(checks.starts_with("[+]ping excluded: ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n"), "{checks}");
    let end =
        "[+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for \"nope\"\nreadyz check passed\n";
    ensure!(checks.ends_with(end), "{checks}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_its_gate_cbor_is_read_written_and_watched() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let gate = ["--feature-gates", "CBORServingAndStorage=true"];
    let (_skiff, client) = started(&directory.path().join("s"), &gate).await?;
    cbor(&client).await
}

/// Objects, lists, patches, refusals and watches in CBOR.
async fn cbor(client: &Client) -> Result<()> {
    let map = value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "é"}});
    let body = codec::cbor::write(&map)?;
    let namespace = Bytes::from_static(br#"{"metadata": {"name": "cbor"}}"#);
    let json = ("content-type", "application/json");
    ensure!(client.send("POST", "/api/v1/namespaces", &[json], namespace).await?.status == 201);
    let path = "/api/v1/namespaces/cbor/configmaps";
    let kind = ("content-type", "application/cbor");
    let made = client.send("POST", path, &[CBOR, kind], body.clone()).await?;
    ensure!(made.status == 201 && header(&made, "content-type") == "application/cbor", "{made:?}");
    let again = client.send("POST", path, &[CBOR, kind], body).await?;
    let refused = codec::cbor::any(&again.body)?;
    ensure!(again.status == 409 && refused.str("reason") == "AlreadyExists", "{again:?} {refused:?}");
    let list = client.send("GET", path, &[CBOR], Bytes::new()).await?;
    let listed = codec::cbor::any(&list.body)?;
    let names: Vec<&str> = listed.list("items").iter().map(|item| item.at("metadata").str("name")).collect();
    ensure!(header(&list, "content-type") == "application/cbor" && names == ["c"], "{list:?} {listed:?}");
    let cut = client.send("POST", path, &[CBOR, kind], Bytes::from_static(&[0xd9, 0xd9, 0xf7, 0xa2])).await?;
    ensure!(cut.status == 400 && codec::cbor::any(&cut.body)?.str("reason") == "BadRequest", "{cut:?}");
    let made = codec::cbor::any(&made.body)?;
    ensure!(made.at("data").str("a") == "é", "{made:?}");
    let from = made.at("metadata").str("resourceVersion");
    let apply = value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"b": "2"}});
    let form = ("content-type", "application/apply-patch+cbor");
    let applied = format!("{path}/c?fieldManager=m");
    let applied = client.send("PATCH", &applied, &[CBOR, form], codec::cbor::write(&apply)?).await?;
    ensure!(applied.status == 200, "{applied:?}");
    let watch = format!("{path}?watch=1&resourceVersion={from}");
    let mut watch = client.open("GET", &watch, &[CBOR], Bytes::new()).await?;
    ensure!(watch.headers().get("content-type").is_some_and(|kind| kind == "application/cbor-seq"), "{watch:?}");
    let frame = watch.body_mut().frame().await.context("the watch ended")??;
    let event = codec::cbor::any(&frame.into_data().map_err(|_| anyhow::anyhow!("no data"))?)?;
    ensure!(event.str("type") == "MODIFIED" && event.at("object").at("data").str("b") == "2", "{event:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_is_not_ready_and_still_serves() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (skiff, client) = started(&directory.path().join("s"), &["--shutdown-delay-duration", "1h0m0s"]).await?;
    skiff.signal("TERM")?;
    let begun = std::time::Instant::now();
    loop {
        let ready = get(&client, "/readyz").await?;
        if ready.status == 500 {
            ensure!(text(&ready).contains("[-]shutdown failed: reason withheld\n"), "{ready:?}");
            break;
        }
        ensure!(begun.elapsed().as_secs() < 60, "it stays ready");
        tokio::task::yield_now().await;
    }
    ensure!(get(&client, "/livez").await?.status == 200);
    ensure!(get(&client, "/api/v1/namespaces/default").await?.status == 200);
    Ok(())
}

mod upstream {
    use conformance::upstream::{Settings, Upstream};

    use super::*;

    /// What is asked of ours behind the gate is what upstream does.
    #[tokio::test(flavor = "multi_thread")]
    async fn behind_its_gate_cbor_is_upstreams() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let mut settings = Settings::new(directory.path())?;
        settings.server_flags.push("--feature-gates=CBORServingAndStorage=true".to_owned());
        let upstream = Upstream::start(&settings)?;
        cbor(&Client::from_kubeconfig(&upstream.kubeconfig).await?).await
    }
}
