//! Dials by proxies of this process, and by those that misbehave.

use std::{path::PathBuf, sync::Arc, time::Duration};

use konnectivity::{CloseDial, Data, DialResponse, Drain, Packet, packet::Payload};
use parking_lot::Mutex;
use streaming::dial::{Target, Way};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

use super::*;
use crate::fake::Fake;

/// Remembers what was counted.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Tally for Heard {
    fn started(&self, protocol: Protocol, transport: Transport) {
        self.0.lock().push(format!("start {} {}", protocol.word(), transport.word()));
    }

    fn dialled(&self, protocol: Protocol, transport: Transport, _: Duration) {
        self.0.lock().push(format!("done {} {}", protocol.word(), transport.word()));
    }

    fn failed(&self, protocol: Protocol, transport: Transport, stage: Stage) {
        self.0.lock().push(format!("failed {} {} {}", protocol.word(), transport.word(), stage.word()));
    }

    fn tunnels(&self, _: &'static str, _: f64) {}

    fn nowhere(&self, reason: &'static str) {
        self.0.lock().push(format!("nowhere {reason}"));
    }
}

struct Place {
    directory: TempDir,
    heard: Arc<Heard>,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().expect("a directory"), heard: Arc::default() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("proxy.sock")
    }

    fn path(&self) -> String {
        self.socket().display().to_string()
    }

    fn dialer(&self, proxy: Proxy) -> Dialer {
        Dialer { proxy, tally: self.heard.clone(), draw: Arc::new(|| 42) }
    }

    async fn refused(&self, proxy: Proxy, address: &str) -> String {
        let dialled = self.dialer(proxy).dial(address).await;
        dialled.map(drop).expect_err("nobody is there").replace(&self.path(), "PROXY")
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.0.lock())
    }
}

/// Says everything back that it hears.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.into_split();
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
            });
        }
    });
    address
}

/// Sends more than fits anywhere on the way, and reads it again.
async fn there_and_back(io: BoxedIo) {
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut reads, mut writes) = tokio::io::split(io);
    let copy = sent.clone();
    let sending = tokio::spawn(async move {
        writes.write_all(&copy).await.expect("it is taken");
        writes
    });
    let mut heard = vec![0; sent.len()];
    reads.read_exact(&mut heard).await.expect("all comes back");
    assert!(heard == sent, "what comes back is what was sent");
    let mut writes = sending.await.expect("it was sent");
    writes.shutdown().await.expect("it ends");
    assert_eq!(reads.read(&mut heard).await.expect("an end"), 0, "both sides end");
}

#[tokio::test]
async fn a_name_that_the_proxy_alone_knows_is_reached() {
    let target = echo().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (unix, grpc) = (Place::new(), Place::new());
    let to = Target { host: "127.0.0.1".into(), port, tls: None, name: None, public_only: false, way: Way::STRAIGHT };
    for (fake, proxy) in [
        (Fake::connect(listener, None), Proxy::Connect(to)),
        (Fake::connect_unix(&unix.socket()).expect("a socket"), Proxy::ConnectUnix(unix.path())),
        (Fake::grpc(&grpc.socket()).expect("a socket"), Proxy::Grpc(grpc.path())),
    ] {
        let place = Place::new();
        fake.known.place("node.invalid:10250", target);
        let (protocol, transport) = proxy.by();
        let way = Way::by(Arc::new(place.dialer(proxy)));
        let target =
            Target { host: "node.invalid".into(), port: 10250, tls: None, name: None, public_only: false, way };
        there_and_back(target.dial(Duration::from_secs(60)).await.expect("the proxy knows it")).await;
        assert_eq!(fake.known.asked(), ["node.invalid:10250"]);
        let by = format!("{} {}", protocol.word(), transport.word());
        assert_eq!(place.heard(), [format!("start {by}"), format!("done {by}")]);
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_in_upstreams_words() {
    let place = Place::new();
    let nobody = "dial unix PROXY: connect: no such file or directory";
    assert_eq!(place.refused(Proxy::ConnectUnix(place.path()), "a:1").await, nobody);
    assert_eq!(place.refused(Proxy::Grpc(place.path()), "a:1").await, nobody);
    let heard =
        ["start http_connect uds", "failed http_connect uds connect", "start grpc uds", "failed grpc uds connect"];
    assert_eq!(place.heard(), heard);
    let fake = Fake::connect_unix(&place.socket()).expect("a socket");
    let words = "proxy error from PROXY while dialing a:1, code 502: 502 Nobody There";
    assert_eq!(place.refused(Proxy::ConnectUnix(place.path()), "a:1").await, words);
    assert_eq!(place.heard(), ["start http_connect uds", "failed http_connect uds proxy"]);
    drop(fake);
    let place = Place::new();
    let _fake = Fake::grpc(&place.socket()).expect("a socket");
    let words = "dial tcp: lookup a:1: no such host";
    assert_eq!(place.refused(Proxy::Grpc(place.path()), "a:1").await, words);
    assert_eq!(place.heard(), ["start grpc uds", "nowhere endpoint", "failed grpc uds proxy"]);
}

/// A socket on which the same is said to whoever comes; nothing: it is closed.
fn saying(place: &Place, said: &'static [u8]) {
    let listener = UnixListener::bind(place.socket()).expect("a socket");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            if !said.is_empty() {
                let _ = stream.write_all(said).await;
                let _ = stream.read(&mut head).await;
            }
        }
    });
}

#[tokio::test]
async fn a_proxy_that_misbehaves_is_not_gone_along_with() {
    for (said, words) in [
        (&b""[..], "reading HTTP response from CONNECT to a:1 via proxy PROXY failed: EOF"),
        (b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0", "unexpected 7 bytes of buffered data from CONNECT proxy \"PROXY\""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "proxy error from PROXY while dialing a:1, code 204: 204 No Content"),
        (
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://b/\r\n\r\n",
            "proxy error from PROXY while dialing a:1, code 307: 307 Temporary Redirect",
        ),
    ] {
        let place = Place::new();
        saying(&place, said);
        assert_eq!(place.refused(Proxy::ConnectUnix(place.path()), "a:1").await, words);
    }
    let place = Place::new();
    saying(&place, b"");
    assert_eq!(place.refused(Proxy::Grpc(place.path()), "a:1").await, "tunnel closed");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_says_nothing_has_its_time() {
    let place = Place::new();
    // It takes connections and reads nothing.
    let _listener = UnixListener::bind(place.socket()).expect("a socket");
    for proxy in [Proxy::ConnectUnix(place.path()), Proxy::Grpc(place.path())] {
        let stage = if matches!(proxy, Proxy::Grpc(_)) { "grpc uds" } else { "http_connect uds" };
        let way = Way::by(Arc::new(place.dialer(proxy)));
        let target = Target { host: "a".into(), port: 1, tls: None, name: None, public_only: false, way };
        let late = target.dial(Duration::from_secs(5)).await.map(drop);
        assert_eq!(late, Err("context deadline exceeded".to_owned()));
        assert!(place.heard().contains(&format!("failed {stage} proxy")));
    }
    let words = place.refused(Proxy::Grpc(place.path()), "a:1").await;
    assert_eq!(words, "dial timeout, backstop");
}

/// What a dial comes to when the proxy server says this, and what is heard after it.
async fn told(payloads: &[Payload]) -> Result<String, String> {
    let packet = |payload: &Payload| Packet { r#type: 0, payload: Some(payload.clone()) };
    let (near, far) = UnixStream::pair().expect("a pair");
    tokio::spawn(fake::scripted(far, payloads.iter().map(packet).collect()));
    let tunnel = Tunnel::open(near, Arc::new(fake::Nobody)).await.expect("it speaks");
    let mut io = tunnel.dial("a:1", 42).await?;
    let mut heard = String::new();
    io.read_to_string(&mut heard).await.expect("it ends");
    Ok(heard)
}

#[tokio::test]
async fn packets_about_something_else_are_passed_over_or_end_the_tunnel() {
    let dialled = |random| Payload::DialResponse(DialResponse { error: String::new(), connect_id: 7, random });
    let data = |connect_id, text: &'static str| {
        Payload::Data(Data { connect_id, error: String::new(), data: text.as_bytes().into() })
    };
    let early = [Payload::Drain(Drain {}), data(7, "x"), dialled(42), data(7, "a"), data(8, "x"), data(7, "b")];
    assert_eq!(told(&early).await.as_deref(), Ok("ab"), "what came before the dial is of nobody");
    let again = [dialled(42), data(7, "a"), dialled(42), data(7, "b")];
    assert_eq!(told(&again).await.as_deref(), Ok("a"), "a second answer to a dial ends it");
    let late = [dialled(42), data(7, "a"), Payload::CloseDial(CloseDial { random: 42 }), data(7, "b")];
    assert_eq!(told(&late).await.as_deref(), Ok("a"));
    assert_eq!(told(&[dialled(43), dialled(42)]).await, Err("tunnel closed".to_owned()));
}
