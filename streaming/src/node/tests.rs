//! A node's API over a pipe: permissions, plain answers, every form of streams.

use std::convert::Infallible;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::{
    channels::{self, tests::exactly},
    forward::Ports,
    remote::{Outcome, Remote, Session},
    runtime, spdy, translate,
    tunnel::{self, Answer},
    upgrade,
    websocket::{Event, Opcode, Reader, Role, Writer},
};

const CLIENT: Role = Role::Client([1, 2, 3, 4]);

/// A node with one pod, whose commands say back what they hear and end with the code that they are named by.
struct Fake;

#[async_trait]
impl NodeApi for Fake {
    fn pods(&self) -> Bytes {
        Bytes::from_static(b"{\"kind\":\"PodList\"}")
    }

    async fn running_pods(&self) -> Result<Bytes, String> {
        Err("the runtime is gone".into())
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Pod> {
        let (namespace, name, uid) = (namespace.to_owned(), name.to_owned(), "u1".to_owned());
        (name == "p").then(|| Pod { namespace, name, uid, containers: vec!["c".into()] })
    }

    async fn logs(&self, _: &Pod, _: &str, options: &LogOptions) -> Result<mpsc::Receiver<io::Result<Bytes>>, String> {
        if options.previous {
            return Err("previous terminated container \"c\" in pod \"p\" not found".into());
        }
        let (sender, pieces) = mpsc::channel(1);
        tokio::spawn(async move {
            for line in ["one\n", "two\n"] {
                let _ = sender.send(Ok(line.into())).await;
            }
        });
        Ok(pieces)
    }

    async fn exec(&self, _: &Pod, container: &str, command: &[String], streams: Streams) -> Result<Backend, Failure> {
        if container != "c" {
            return Err(Failure::not_found(format!("container not found ({container:?})")));
        }
        let code = command.first().and_then(|code| code.parse().ok());
        Ok(runtime::command(streams, Box::new(move |session| Box::pin(echo(session, code)))))
    }

    async fn attach(&self, _: &Pod, _: &str, streams: Streams) -> Result<Backend, Failure> {
        Ok(runtime::command(streams, Box::new(move |session| Box::pin(echo(session, None)))))
    }

    async fn port_forward(&self, _: &Pod, _: &[u16]) -> Result<Backend, Failure> {
        Ok(runtime::ports(Arc::new(Greeting)))
    }

    async fn run(&self, _: &Pod, _: &str, command: &[String]) -> Result<Bytes, String> {
        Ok(format!("{command:?}").into())
    }

    async fn stats(&self, only_cpu_and_memory: bool) -> Result<Bytes, String> {
        Ok(format!("{{\"only\":{only_cpu_and_memory}}}").into())
    }

    async fn metrics(&self, which: Metrics) -> Result<String, String> {
        Ok(format!("# {which:?}\n"))
    }

    fn configz(&self) -> Bytes {
        Bytes::from_static(b"{\"maxPods\":110}")
    }

    fn checks(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("syncloop", Some("it stands".into()))]
    }

    fn system_logs(&self) -> Option<&std::path::Path> {
        None
    }
}

async fn echo(mut session: Session, code: Option<u8>) {
    let mut stdin = session.stdin.take().expect("it is wanted");
    let stdout = session.stdout.clone().expect("it is wanted");
    while let Some(piece) = stdin.recv().await {
        if stdout.send(piece).await.is_err() {
            return;
        }
    }
    drop(stdout);
    let outcome = code.filter(|code| *code > 0).map_or(Outcome::Success, Outcome::Exit);
    let _ = session.end(&outcome).await;
}

/// A port that says its number.
struct Greeting;

#[async_trait]
impl Ports for Greeting {
    async fn connect(&self, port: u16) -> Result<BoxedIo, String> {
        let (ours, mut theirs) = tokio::io::duplex(64);
        tokio::spawn(async move {
            let _ = theirs.write_all(format!("port {port}").as_bytes()).await;
        });
        Ok(Box::new(ours))
    }
}

/// Lets in whoever says a name, to what its name is.
struct Names;

#[async_trait]
impl Gate for Names {
    async fn authenticate(&self, _: &[CertificateDer<'static>], headers: &HeaderMap) -> Result<Option<Caller>, String> {
        let name = headers.get("name").and_then(|name| name.to_str().ok());
        Ok(name.map(|name| Caller { name: name.into(), ..Caller::default() }))
    }

    async fn authorize(&self, caller: &Caller, _: &str, subresource: &str, _: &str) -> Result<bool, String> {
        match caller.name.as_str() {
            "broken" => Err("nobody answers".into()),
            name => Ok(name == subresource),
        }
    }
}

/// A connection to the node.
fn connection() -> BoxedIo {
    let node = Arc::new(Node { api: Arc::new(Fake), gate: Arc::new(Names) });
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let node = node.clone();
            async move { Ok::<_, Infallible>(node.answer(&[], request).await) }
        });
        let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service);
        let _ = serving.with_upgrades().await;
    });
    Box::new(ours)
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "node");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).expect("it is right")
}

async fn ask_as(name: &str, method: &str, path: &str) -> (u16, String) {
    let response = dial::call(connection(), request(method, path, &[("name", name)])).await.expect("an answer");
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

async fn ask(path: &str) -> (u16, String) {
    ask_as("proxy", "GET", path).await
}

#[tokio::test]
async fn each_path_has_its_permissions() {
    for (path, name) in [
        ("/pods", "pods"),
        ("/pods", "proxy"),
        ("/configz", "configz"),
        ("/stats/summary", "stats"),
        ("/metrics/cadvisor", "metrics"),
        ("/containerLogs/d/p/c", "proxy"),
        ("/healthz/ping", "healthz"),
    ] {
        assert_eq!(ask_as(name, "GET", path).await.0, 200, "{name} may {path}");
    }
    assert_eq!(
        ask_as("u", "GET", "/pods").await,
        (403, "Forbidden (user=u, verb=get, resource=nodes, subresource(s)=[pods proxy])\n".into())
    );
    assert_eq!(
        ask_as("proxy", "GET", "/metrics").await,
        (403, "Forbidden (user=proxy, verb=get, resource=nodes, subresource(s)=[metrics])\n".into())
    );
    assert_eq!(
        ask_as("broken", "POST", "/run/d/p/c").await,
        (500, "Authorization error (user=broken, verb=create, resource=nodes, subresource=proxy)".into())
    );
    let response = dial::call(connection(), request("GET", "/pods", &[])).await.expect("an answer");
    assert_eq!(response.status(), 401);
    assert_eq!(access::subresources("/podsandmore"), ["proxy"]);
    assert_eq!(access::subresources("/logs"), ["log"]);
    assert_eq!(access::subresources("/flagz"), ["configz"]);
}

/// Nothing of a node is for everybody: whoever shows nothing gets nothing, debugging least of all.
#[tokio::test]
async fn cve_2019_11248_cve_2025_0426_nobody_unknown_is_told_or_given_anything() {
    for (method, path) in [
        ("POST", "/checkpoint/d/p/c"),
        ("GET", "/checkpoint/d/p/c"),
        ("GET", "/debug/pprof/"),
        ("GET", "/debug/pprof/heap"),
        ("PUT", "/debug/flags/v"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("GET", "/configz"),
        ("GET", "/pods"),
        ("GET", "/logs/"),
        ("POST", "/run/d/p/c"),
    ] {
        let response = dial::call(connection(), request(method, path, &[])).await.expect("an answer");
        assert_eq!(response.status(), 401, "{method} {path}");
    }
    // Nor are there checkpoints, which fill a disk, for those who are known.
    for name in ["checkpoint", "proxy"] {
        let code = ask_as(name, "POST", "/checkpoint/d/p/c").await.0;
        assert!(matches!(code, 403..=405), "{name}: {code}");
    }
    assert_eq!(access::subresources("/checkpoint/d/p/c"), ["checkpoint"]);
    assert_eq!(ask("/debug/pprof/").await.0, 404, "there is no such page");
}

#[tokio::test]
async fn what_is_asked_for_plainly_is_told() {
    for (path, code, text) in [
        ("/pods", 200, "{\"kind\":\"PodList\"}"),
        ("/runningpods", 500, "the runtime is gone"),
        ("/containerLogs/d/p/c", 200, "one\ntwo\n"),
        ("/containerLogs/d/p/c?previous=true", 400, "previous terminated container \"c\" in pod \"p\" not found"),
        ("/containerLogs/d/p/x", 404, "container \"x\" not found in pod \"p\""),
        ("/containerLogs/d/q/c", 404, "pod \"q\" does not exist"),
        ("/containerLogs/d/p/c?tailLines=-1", 422, "{\"message\": \"Invalid request.\"}"),
        ("/containerLogs/d/p/c?tailLines=x", 400, "{\"message\": \"Unable to decode query.\"}"),
        ("/exec/d/p/c?command=ls", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/exec/d/q/c?output=1", 404, "pod does not exist"),
        ("/exec/d/p/x?output=1", 404, "container not found (\"x\")\n"),
        ("/exec/d/p/c?output=1", 500, "Upgrade request required\n"),
        ("/portForward/d/p/other", 404, "pod not found"),
        ("/nothing", 404, "404 page not found\n"),
    ] {
        assert_eq!(ask(path).await, (code, text.to_owned()), "{path}");
    }
    assert_eq!(ask_as("configz", "GET", "/configz").await.1, "{\"kubeletconfig\":{\"maxPods\":110}}");
    assert_eq!(ask_as("stats", "GET", "/stats/summary?only_cpu_and_memory=true").await.1, "{\"only\":true}");
    assert_eq!(ask_as("metrics", "GET", "/metrics/probes").await.1, "# Probes\n");
    assert_eq!(ask_as("proxy", "POST", "/run/d/p/c?cmd=ls+-l").await.1, "[\"ls\", \"-l\"]");
    assert_eq!(ask_as("proxy", "POST", "/pods").await, (405, "Method Not Allowed".into()));
    assert_eq!(
        ask_as("healthz", "GET", "/healthz").await,
        (500, "[+]ping ok\n[+]log ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n".into())
    );
    assert_eq!(ask_as("log", "GET", "/logs/").await.0, 405);
}

fn websocket(path: &str, protocol: &str) -> Request<Full<Bytes>> {
    let headers = [
        ("name", "proxy"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", protocol),
    ];
    request("GET", path, &headers)
}

async fn switched(request: Request<Full<Bytes>>) -> (http::HeaderMap, BoxedIo) {
    match tunnel::ask(connection(), request).await.expect("an answer") {
        Answer::Switched(parts, io) => (parts.headers, io),
        Answer::Refused(response) => panic!("{response:?}"),
    }
}

/// What comes on a channel until `len` bytes are there. Messages come in pieces, whose first begins with the channel.
async fn heard<R: tokio::io::AsyncRead + Unpin>(reader: &mut Reader<R>, channel: u8, len: usize) -> String {
    let (mut got, mut current) = (Vec::new(), None);
    while got.len() < len {
        let event = reader.next().await.expect("a frame").expect("more is to come");
        let Event::Data { first, mut bytes, .. } = event else {
            assert!(!matches!(event, Event::Close(_)), "{event:?} after {got:?}");
            continue;
        };
        if first {
            current = Some(bytes.split_to(1)[0]);
        }
        if current == Some(channel) {
            got.extend_from_slice(&bytes);
        }
    }
    String::from_utf8(got).expect("it is text")
}

#[tokio::test]
async fn a_command_runs_over_a_websocket_of_version_5() {
    let (headers, io) = switched(websocket("/exec/d/p/c?input=1&output=1&command=7", "v5.channel.k8s.io")).await;
    assert_eq!(headers["sec-websocket-protocol"], "v5.channel.k8s.io");
    let (reads, writes) = tokio::io::split(io);
    let (mut reader, mut writer) = (Reader::new(reads, CLIENT), Writer::new(writes, CLIENT));
    writer.send(Opcode::Binary, &[&[0], b"hello"]).await.expect("sent");
    assert_eq!(heard(&mut reader, 1, 5).await, "hello");
    writer.send(Opcode::Binary, &[&[255, 0]]).await.expect("sent");
    let status = heard(&mut reader, 3, 200).await;
    assert!(status.contains("\"NonZeroExitCode\"") && status.contains("\"message\":\"7\""), "{status}");
    assert_eq!(reader.next().await.expect("a frame"), Some(Event::Close(1000)));
}

#[tokio::test]
async fn older_websockets_are_the_runtimes_matter() {
    let (headers, io) = switched(websocket("/attach/d/p/c?input=1&output=1", "v4.base64.channel.k8s.io")).await;
    assert_eq!(headers["sec-websocket-protocol"], channels::V4_BASE64.name);
    let (reads, writes) = tokio::io::split(io);
    let (mut reader, mut writer) = (Reader::new(reads, CLIENT), Writer::new(writes, CLIENT));
    writer.send(Opcode::Text, &[b"0aGVsbG8="]).await.expect("sent");
    assert_eq!(heard(&mut reader, b'1', 8).await, "aGVsbG8=");
}

#[tokio::test]
async fn a_command_runs_over_spdy() {
    let streams = Streams { stdin: true, stdout: true, stderr: false, tty: false };
    let headers = [
        ("name", "proxy"),
        ("connection", "Upgrade"),
        ("upgrade", "SPDY/3.1"),
        ("x-stream-protocol-version", "v4.channel.k8s.io"),
    ];
    let (answered, io) = switched(request("POST", "/exec/d/p/u1/c?input=1&output=1&command=0", &headers)).await;
    assert!(upgrade::is_spdy(&answered));
    let mut remote = Remote::open(io, "v4.channel.k8s.io", streams).await.expect("all streams open");
    let stdin = remote.stdin.take().expect("it is wanted");
    stdin.send("hello".into()).await.expect("somebody reads");
    stdin.close().await.expect("somebody reads");
    assert_eq!(exactly(remote.stdout.as_mut().expect("it is wanted"), 5).await, "hello");
    assert_eq!(crate::remote::outcome(remote.status, "v4.channel.k8s.io").await, Outcome::Success);
    assert_eq!(ask("/exec/d/p/u2/c?output=1").await, (404, "pod does not exist".into()));
}

#[tokio::test]
async fn ports_are_reached_through_a_websocket() {
    let (headers, io) = switched(websocket("/portForward/d/p", "SPDY/3.1+portforward.k8s.io")).await;
    assert_eq!(headers["sec-websocket-protocol"], "SPDY/3.1+portforward.k8s.io");
    // SPDY in messages on one side, bytes on the other: what the node does, the other way round.
    let (bytes, ours): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
    tokio::spawn(as_client(io, bytes));
    let (mut session, _none) = spdy::start(Box::new(ours), spdy::Side::Client);
    let open = |kind| spdy::frame::Headers::new(&[("streamType", kind), ("port", "8080"), ("requestID", "0")]);
    let _error = session.open(open("error")).await.expect("it is taken");
    let mut data = session.open(open("data")).await.expect("it is taken");
    assert_eq!(exactly(&mut data.input, 9).await, "port 8080");
}

/// The client's end of a WebSocket that carries bytes.
async fn as_client(io: BoxedIo, bytes: DuplexStream) {
    let (reads, writes) = tokio::io::split(io);
    let (mut from, mut to) = tokio::io::split(bytes);
    let (mut reader, mut writer) = (Reader::new(reads, CLIENT), Writer::new(writes, CLIENT));
    let sending = async {
        let mut buffer = vec![0; 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            writer.send(Opcode::Binary, &[&buffer[..len]]).await.expect("sent");
        }
    };
    let receiving = async {
        while let Ok(Some(event)) = reader.next().await {
            if let Event::Data { bytes, .. } = event {
                to.write_all(&bytes).await.expect("somebody reads");
            }
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn a_node_without_websockets_is_translated_for() {
    // What the API server does for old nodes, with the node's own SPDY behind it.
    let (client, server) = tokio::io::duplex(1 << 16);
    let streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };
    let connect = async {
        let (_, io) = switched(request(
            "POST",
            "/exec/d/p/c?input=1&output=1&error=1&command=3",
            &[
                ("name", "proxy"),
                ("connection", "Upgrade"),
                ("upgrade", "SPDY/3.1"),
                ("x-stream-protocol-version", "v4.channel.k8s.io"),
            ],
        ))
        .await;
        Ok(translate::Connected { io, version: "v4.channel.k8s.io".into() })
    };
    let running = tokio::spawn(translate::run(Box::new(server), streams, connect));
    let (reads, writes) = tokio::io::split(client);
    let (mut reader, mut writer) = (Reader::new(reads, CLIENT), Writer::new(writes, CLIENT));
    let sent = "x".repeat(100_000);
    let sending = async {
        writer.send(Opcode::Binary, &[&[0], sent.as_bytes()]).await.expect("sent");
        writer.send(Opcode::Binary, &[&[255, 0]]).await.expect("sent");
    };
    let (got, ()) = tokio::join!(heard(&mut reader, 1, sent.len()), sending);
    assert!(got == sent);
    assert!(heard(&mut reader, 3, 200).await.contains("\"message\":\"3\""));
    running.await.expect("it ended well").expect("it went well");
}

#[tokio::test]
async fn a_refusal_is_told_on_the_error_channel() {
    for (code, said, told) in [
        ("404 Not Found", "container is gone", "unable to upgrade connection: container is gone"),
        ("500 Oops", "", "unable to upgrade connection: empty server response"),
        ("403 Forbidden", "{\"kind\":\"Status\",\"message\":\"not you\"}", "unable to upgrade connection: not you"),
    ] {
        let said = format!("HTTP/1.1 {code}\r\nContent-Length: {}\r\n\r\n{said}", said.len());
        let (client, server) = tokio::io::duplex(1 << 16);
        let connect = async move {
            let (io, mut backend) = tokio::io::duplex(1 << 16);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(backend.read_u8().await.expect("a head"));
                }
                backend.write_all(said.as_bytes()).await.expect("somebody reads");
                let _ = backend.read_to_end(&mut head).await;
            });
            translate::connect(Box::new(io), "node", "/exec").await
        };
        let streams = Streams { stdout: true, ..Streams::default() };
        let running = tokio::spawn(translate::run(Box::new(server), streams, connect));
        let mut reader = Reader::new(client, CLIENT);
        let status = heard(&mut reader, 3, 36).await;
        assert!(status.contains(told), "{status}");
        running.await.expect("it ended well").expect("it went well");
    }
}
