//! What is passed on, what comes back, and how documents become one.

use api::{User, Value, value};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Empty};
use registry::special::api_services::Remote;
use streaming::{
    dial::{Target, Way},
    pool::{Outgoing, Pool},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{proxy, *};
use crate::body::Body;

/// What a backend's bytes become.
async fn passed(bytes: &'static str) -> (u16, HeaderMap, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serve = async {
        let (mut tcp, _) = listener.accept().await.expect("somebody");
        let (mut read, mut byte) = (Vec::new(), [0]);
        while !read.ends_with(b"\r\n\r\n") {
            tcp.read_exact(&mut byte).await.expect("a request");
            read.push(byte[0]);
        }
        tcp.write_all(bytes.as_bytes()).await.expect("it listens");
    };
    let body: Outgoing = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get("/apis/a/v1/things").header(header::HOST, "a").body(body).expect("a request");
    let to = Target { host: "127.0.0.1".into(), port, tls: None, name: None, public_only: false, way: Way::STRAIGHT };
    let pool = Pool::default();
    let ((), response) = tokio::join!(serve, proxy::passed(&pool, &to, request));
    let (parts, body) = response.into_parts();
    let text = match body {
        Body::Whole(bytes) => bytes.unwrap_or_default(),
        other => other.collect().await.expect("a body").to_bytes(),
    };
    (parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn cve_2022_3172_redirects_are_no_answer() {
    let (code, headers, text) =
        passed("HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((code, text.as_str()), (502, "the backend attempted to redirect this request, which is not permitted"));
    assert!(!headers.contains_key(header::LOCATION));
    let (code, ..) = passed("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n").await;
    assert_eq!(code, 304, "what leads nowhere is passed on");
}

#[tokio::test]
async fn an_answer_is_passed_on_without_what_was_about_its_connection() {
    let (code, headers, text) = passed(
        "HTTP/1.1 201 Created\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    assert_eq!((code, text.as_str()), (201, "ok"));
    let kept = |name: &str| headers.contains_key(name);
    assert!(kept("x-kept") && !kept("x-hop") && !kept("connection") && !kept("access-control-allow-origin"));
}

#[test]
fn who_asks_is_this_servers_word() {
    let mut headers = HeaderMap::new();
    for (name, text) in [
        ("x-remote-user", "root"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-scopes", "all"),
        ("x-remote-uid", "0"),
        ("accept", "*/*"),
    ] {
        headers.append(name, text.parse().expect("a value"));
    }
    let mut user = User::new("alice", &["dev", "ops"]);
    user.extra.insert("example.com/Role%".into(), vec!["a".into(), "b".into()]);
    proxy::say_who(&mut headers, &user);
    let all = |name: &str| -> Vec<&str> { headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect() };
    assert_eq!((all("x-remote-user"), all("x-remote-group")), (vec!["alice"], vec!["dev", "ops"]));
    assert_eq!(all("x-remote-extra-example.com%2frole%25"), ["a", "b"]);
    assert!(all("x-remote-extra-scopes").is_empty() && all("x-remote-uid").is_empty());
    assert_eq!(all("accept"), ["*/*"]);
}

fn remote(group: &str, version: &str) -> Remote {
    Remote {
        name: format!("{version}.{group}"),
        group: group.into(),
        version: version.into(),
        namespace: "ns".into(),
        service: "s".into(),
        port: 443,
        authorities: Vec::new(),
        insecure: false,
        available: true,
        resource_version: String::new(),
    }
}

fn remotes(all: &[Remote], order: &[(&str, &[&str])]) -> Remotes {
    let texts = |versions: &[&str]| versions.iter().map(ToString::to_string).collect();
    Remotes {
        unsaid: Vec::new(),
        by_version: all.iter().map(|r| ((r.group.clone(), r.version.clone()), r.clone())).collect(),
        order: order.iter().map(|(group, versions)| ((*group).to_owned(), texts(versions))).collect(),
    }
}

#[test]
fn groups_of_others_stand_where_their_priority_puts_them() {
    let own = |name: &str| {
        let version = value!({"groupVersion": (format!("{name}/v1")), "version": "v1"});
        value!({"name": name, "versions": [(version.clone())], "preferredVersion": version})
    };
    let order: &[(&str, &[&str])] =
        &[("apps", &["v1"]), ("wardle.example.com", &["v1", "v1beta1"]), ("batch", &["v2", "v1"])];
    let all = [remote("wardle.example.com", "v1"), remote("wardle.example.com", "v1beta1"), remote("batch", "v2")];
    let merged = groups(vec![own("apiregistration.k8s.io"), own("apps"), own("batch")], &remotes(&all, order));
    let shown: Vec<String> = merged
        .iter()
        .map(|g| {
            let versions: Vec<&str> = g.list("versions").iter().map(|v| v.str("version")).collect();
            format!("{} {} {}", g.str("name"), versions.join(","), g.at("preferredVersion").str("version"))
        })
        .collect();
    assert_eq!(
        shown,
        ["apiregistration.k8s.io v1 v1", "apps v1 v1", "wardle.example.com v1,v1beta1 v1", "batch v2,v1 v2"]
    );
}

#[test]
fn what_was_not_told_is_stale() {
    let aggregate = Aggregate::default();
    let all = [remote("a.example.com", "v1"), remote("b.example.com", "v1")];
    let told = Told {
        version: value!({"version": "v1", "resources": [{"resource": "things"}]}),
        is_fresh: true,
        ..Told::default()
    };
    aggregate.told.write().insert("v1.a.example.com".into(), Arc::new(told));
    let order: &[(&str, &[&str])] = &[("a.example.com", &["v1"]), ("b.example.com", &["v1"])];
    let merged = list(Vec::new(), &remotes(&all, order), &aggregate);
    let version = |i: usize| -> Value { merged[i].list("versions")[0].clone() };
    assert_eq!((version(0).str("freshness"), version(0).list("resources").len()), ("Current", 1));
    assert_eq!(version(1), value!({"version": "v1", "freshness": "Stale"}));
}

#[test]
fn the_old_form_of_discovery_becomes_the_new_one() {
    let listed = value!({"resources": [
        {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"]},
        {"name": "flunders/status", "singularName": "", "namespaced": true, "kind": "Flunder", "verbs": ["update"]}
    ]});
    let version = told::of_legacy(&listed, &remote("wardle.example.com", "v1"));
    let flunders = &version.list("resources")[0];
    assert_eq!((flunders.str("resource"), flunders.str("scope")), ("flunders", "Namespaced"));
    assert_eq!(flunders.at("responseKind").str("group"), "wardle.example.com");
    assert_eq!(flunders.list("subresources")[0].str("subresource"), "status");
}
