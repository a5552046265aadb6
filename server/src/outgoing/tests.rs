//! Real calls: webhooks over HTTPS in this process, which behave as badly as webhooks can.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use api::{GroupResource, Status, value};
use certs::{
    Names,
    authority::{Authority, Profile},
    tls::{KeyPair, OldestVersion, ServerSettings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// A time at which certificates begin that are valid for as long as these tests live.
const THEN: i64 = 1_700_000_000;
const YEARS: i64 = 9 * 365 * 24 * 3600;

/// A server that answers every request with the same bytes.
pub(super) struct Hook {
    pub port: u16,
    pub authority: Vec<u8>,
    pub connections: Arc<AtomicUsize>,
}

/// A cluster with one service, behind which is a port of this machine.
struct Cluster(u16);

#[async_trait]
impl Look for Cluster {
    fn get(&self, resource: &GroupResource, _: &str, name: &str) -> Option<Value> {
        let spec = value!({"type": "ClusterIP", "ports": [{"name": "", "port": 443}]});
        (resource.resource == "services" && name == "hook").then(|| value!({"spec": spec}))
    }

    fn list(&self, _: &GroupResource, _: &str) -> Vec<Value> {
        let labels = value!({"kubernetes.io/service-name": "hook"});
        vec![value!({
            "metadata": {"labels": labels}, "ports": [{"name": "", "port": (i64::from(self.0))}],
            "endpoints": [{"addresses": ["127.0.0.1"]}]
        })]
    }

    async fn get_live(&self, _: &GroupResource, _: &str, _: &str) -> Result<Option<Value>, Status> {
        Ok(None)
    }
}

impl Hook {
    /// `names` are those of its certificate. `answer` says what is written to each request; nothing: for ever nothing.
    pub async fn serving(names: &[&str], answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Hook {
        let authority = Authority::generate("hooks", THEN).expect("an authority");
        let mut of = Names { hosts: BTreeSet::new(), addresses: BTreeSet::new() };
        names.iter().for_each(|name| of.add(name));
        let profile = Profile { valid_seconds: YEARS, ..Profile::server("hook", of) };
        let issued = authority.issue(&profile, THEN).expect("a certificate");
        let certificate = KeyPair::new(&issued.certificate_pem, &issued.key).expect("they fit");
        let config = tls::server_config(ServerSettings {
            certificate: Arc::new(certificate),
            client_authorities_pem: String::new(),
            oldest_version: OldestVersion::Tls12,
            http2: false,
        });
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("settings")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (connections.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    while let Some(()) = take(&mut stream).await {
                        let said = answer();
                        if said.is_empty() {
                            std::future::pending::<()>().await;
                        }
                        if stream.write_all(&said).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Hook { port, authority: authority.bundle_pem().as_bytes().to_vec(), connections }
    }

    fn address(&self) -> Address {
        let place = Place::Url(format!("https://127.0.0.1:{}/check", self.port));
        Address { place, authorities: self.authority.clone() }
    }
}

/// Reads one request with a body, which is one line of JSON.
async fn take(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<()> {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.ok()?;
        read.push(byte[0]);
    }
    while byte[0] != b'\n' || read.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.ok()?;
        read.push(byte[0]);
    }
    Some(())
}

pub(super) fn http(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn yes() -> Vec<u8> {
    let review = "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"response\":{\"allowed\":true,\"uid\":\"u\"}}";
    http("200 OK\r\nContent-Type: application/json", review)
}

pub(super) fn client(port: u16) -> Outgoing {
    let draw: Arc<dyn Fn(u64) -> u64 + Send + Sync> = Arc::new(|_| 0);
    Outgoing::new(Settings {
        look: Arc::new(Cluster(port)),
        draw,
        machine: String::new(),
        front_proxy: None,
        egress: Egress::default(),
    })
}

async fn call(client: &Outgoing, to: &Address) -> Result<Value, String> {
    let review = value!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}});
    client.call(to, &review, Duration::from_secs(20)).await.map_err(|error| match error {
        CallError::Status(status) => status.message().to_owned(),
        CallError::Unreachable(why) => why,
    })
}

#[tokio::test]
async fn a_webhook_is_asked_over_a_connection_that_is_kept() {
    let hook = Hook::serving(&["127.0.0.1", "hook.ns.svc"], yes).await;
    let client = client(hook.port);
    for _ in 0..3 {
        let said = call(&client, &hook.address()).await.expect("it answers");
        assert!(said.at("response").bool("allowed"));
    }
    assert_eq!(hook.connections.load(Ordering::Relaxed), 1);
    // The same server as a service: found by an endpoint, certified by its name.
    let place = Place::Service { namespace: "ns".into(), name: "hook".into(), path: "/check".into(), port: 443 };
    let service = Address { place, ..hook.address() };
    assert!(call(&client, &service).await.is_ok());
    let place = Place::Service { namespace: "ns".into(), name: "other".into(), path: String::new(), port: 443 };
    let missing = call(&client, &Address { place, ..hook.address() }).await;
    let text = "Post \"https://other.ns.svc:443/?timeout=20s\": service \"other\" not found";
    assert_eq!(missing, Err(text.to_owned()));
}

#[tokio::test]
async fn a_server_that_is_somebody_else_is_not_asked() {
    let hook = Hook::serving(&["127.0.0.2", "other.ns.svc"], yes).await;
    let client = client(hook.port);
    let url = format!("Post \"https://127.0.0.1:{}/check?timeout=20s\": ", hook.port);
    let verify = "tls: failed to verify certificate: x509: ";
    let wrong = call(&client, &hook.address()).await;
    assert_eq!(wrong, Err(format!("{url}{verify}certificate is valid for 127.0.0.2, not 127.0.0.1")));
    let place = Place::Service { namespace: "ns".into(), name: "hook".into(), path: String::new(), port: 443 };
    let wrong = call(&client, &Address { place, ..hook.address() }).await;
    let text = "Post \"https://hook.ns.svc:443/?timeout=20s\": ";
    assert_eq!(wrong, Err(format!("{text}{verify}certificate is valid for other.ns.svc, not hook.ns.svc")));
    let unknown = Address { authorities: Hook::serving(&["127.0.0.1"], yes).await.authority, ..hook.address() };
    let wrong = call(&client, &unknown).await;
    assert_eq!(wrong, Err(format!("{url}{verify}certificate signed by unknown authority")));
}

#[tokio::test]
async fn nobody_is_followed_where_he_points() {
    let target = Hook::serving(&["127.0.0.1"], yes).await;
    let location = format!("307 Temporary Redirect\r\nLocation: https://127.0.0.1:{}/", target.port);
    let hook = Hook::serving(&["127.0.0.1"], move || http(&location, "")).await;
    let said = call(&client(0), &hook.address()).await;
    let text = "the server responded with the status code 307 but did not return more information";
    assert_eq!(said, Err(text.to_owned()));
    assert_eq!(target.connections.load(Ordering::Relaxed), 0);
}

/// Who may write where a webhook is must not read with this server's eyes: only HTTPS to somebody who proves his name,
/// nobody who points elsewhere, and nothing of what is no answer but what says to be for people.
#[tokio::test]
async fn cve_2020_8555_nobody_reads_the_servers_network_through_a_webhook() {
    let secret = "the-secret-of-a-neighbour";
    let inner = Hook::serving(&["127.0.0.1"], move || http("200 OK\r\nContent-Type: application/json", secret)).await;
    let location = format!("https://127.0.0.1:{}/latest/meta-data", inner.port);
    for code in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let head = format!("{code}\r\nLocation: {location}");
        let hook = Hook::serving(&["127.0.0.1"], move || http(&head, "")).await;
        let said = call(&client(0), &hook.address()).await.expect_err(code);
        assert!(!said.contains(secret) && !said.contains("latest"), "{said}");
    }
    assert_eq!(inner.connections.load(Ordering::Relaxed), 0, "nobody was followed");
    for kind in ["application/json", "application/octet-stream", "image/png"] {
        for code in ["200 OK", "403 Forbidden", "500 Internal Server Error"] {
            let head = format!("{code}\r\nContent-Type: {kind}");
            let hook = Hook::serving(&["127.0.0.1"], move || http(&head, secret)).await;
            let said = call(&client(0), &hook.address()).await.expect_err("it is no review");
            assert!(!said.contains(secret), "{code} {kind}: {said}");
        }
    }
    // Somebody of another name, one of an authority that nobody named, and one without TLS.
    let misnamed = Hook::serving(&["elsewhere.example.com"], yes).await;
    assert!(call(&client(0), &misnamed.address()).await.is_err());
    let stranger = Address { authorities: ca(), ..inner.address() };
    assert!(call(&client(0), &stranger).await.is_err());
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let place = Place::Url(format!("http://{}/check", plain.local_addr().expect("an address")));
    let asked = tokio::spawn(async move { call(&client(0), &Address { place, authorities: ca() }).await });
    let (mut tcp, _) = plain.accept().await.expect("somebody comes");
    let mut first = [0];
    tcp.read_exact(&mut first).await.expect("it speaks");
    assert_eq!(first, [22], "a handshake of TLS, also where the address says http");
    drop(tcp);
    assert!(asked.await.expect("it ended well").is_err());
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = || {
        let mut said = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n".to_vec();
        said.resize(ANSWER_LEN_MAX + (1 << 20), b' ');
        said
    };
    let hook = Hook::serving(&["127.0.0.1"], endless).await;
    let client = client(0);
    let said = call(&client, &hook.address()).await.expect_err("it is too long");
    assert!(said.contains("it is longer than 8388608 bytes"), "{said}");
    assert_eq!(client.pool.idle(), 0, "nobody reads the rest");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_says_nothing_has_its_time() {
    // A listener that accepts nobody: the time passes as soon as nothing else happens.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let place = Place::Url(format!("https://127.0.0.1:{port}/check"));
    let said = call(&client(0), &Address { place, authorities: ca() }).await;
    let text = format!("Post \"https://127.0.0.1:{port}/check?timeout=20s\": context deadline exceeded");
    assert_eq!(said, Err(text));
}

fn ca() -> Vec<u8> {
    Authority::generate("hooks", THEN).expect("an authority").bundle_pem().as_bytes().to_vec()
}

#[test]
fn responses_that_are_no_reviews_are_told_in_upstreams_words() {
    let asked = value!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"});
    let said = |code: u16, body: &str, text: &str| match answer::decode(code, body.as_bytes(), text, &asked) {
        Ok(review) => codec::json::to_string(&review),
        Err(CallError::Status(status)) => format!("{} {}", status.code(), status.message()),
        Err(CallError::Unreachable(why)) => why,
    };
    for (code, body, text, words) in [
        (500, "oops", "text/plain", "500 an error on the server (\"oops\") has prevented the request from succeeding"),
        (
            500,
            "oops",
            "application/json",
            "500 an error on the server (\"unknown\") has prevented the request from succeeding",
        ),
        (404, "404 page not found", "text/plain", "404 the server could not find the requested resource"),
        (
            403,
            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"no\",\"code\":403}",
            "application/json",
            "403 no",
        ),
        (
            200,
            "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}",
            "application/json",
            "no kind \"Pod\" is registered for version \"v1\" in scheme \"pkg/runtime/scheme.go:111\"",
        ),
    ] {
        assert_eq!(said(code, body, text), words);
    }
    assert!(said(200, "nonsense", "application/json").starts_with("couldn't get version/kind; "));
    assert!(
        said(200, "{\"response\":{\"allowed\":1}}", "application/json").contains("cannot unmarshal"),
        "types are looked at"
    );
    // What it says of itself is told, so that the one who reads it can see that it says nothing.
    assert!(
        said(200, "{\"response\":{\"uid\":\"u\"}}", "application/json").starts_with("{\"response\":{\"uid\":\"u\"")
    );
}

#[tokio::test]
async fn conversions_are_asked_as_everything_is() {
    let review = "{\"kind\":\"ConversionReview\",\"apiVersion\":\"apiextensions.k8s.io/v1\",\"response\":{\"uid\":\"u\",\"convertedObjects\":[{\"any\":[1]}],\"result\":{\"status\":\"Success\"}}}";
    let hook = Hook::serving(&["127.0.0.1"], move || http("200 OK\r\nContent-Type: application/json", review)).await;
    let asked = value!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "request": {"uid": "u"}});
    let ask = async |to: &Address| {
        let said = client(0).call(to, &asked, Duration::from_secs(20)).await;
        said.map_err(|error| match error {
            CallError::Status(status) => status.message().to_owned(),
            CallError::Unreachable(why) => why,
        })
    };
    let said = ask(&hook.address()).await.expect("it answers");
    assert_eq!(said.at("response").at("convertedObjects"), &value!([{"any": [1]}]));
    let place = Place::Url("https://127.0.0.1:1/convert".into());
    let nobody = ask(&Address { place, ..hook.address() }).await.expect_err("nobody listens");
    assert!(nobody.starts_with("Post \"https://127.0.0.1:1/convert?timeout=20s\": "), "{nobody}");
    let wrong = Hook::serving(&["127.0.0.1"], yes).await;
    let text = "no kind \"AdmissionReview\" is registered for version \"admission.k8s.io/v1\" in scheme \"pkg/runtime/scheme.go:111\"";
    assert_eq!(ask(&wrong.address()).await, Err(text.to_owned()), "a review of another kind");
}
