//! Who does not say anything whole is not waited for for ever.

use certs::{
    Authority, Names,
    authority::Profile,
    tls::{KeyPair, OldestVersion, ServerSettings, server_config},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    net::TcpStream,
    time::Instant,
};

use super::*;

const PRI: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame of no settings.
const SETTINGS: &str = "\0\0\0\x04\0\0\0\0\0";

fn acceptor() -> TlsAcceptor {
    const NOW: i64 = 1_795_000_000;
    let authority = Authority::generate("test", NOW).expect("made");
    let issued = authority.issue(&Profile::server("server", Names::default()), NOW).expect("issued");
    let settings = ServerSettings {
        certificate: Arc::new(KeyPair::new(&issued.certificate_pem, &issued.key).expect("they fit")),
        client_authorities_pem: String::new(),
        oldest_version: OldestVersion::Tls12,
        http2: true,
    };
    TlsAcceptor::from(Arc::new(server_config(settings).expect("it is right")))
}

#[tokio::test]
async fn who_does_not_speak_tls_is_counted() {
    let acceptor = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let failed = Counter::default();
    for said in ["GET / HTTP/1.1\r\n\r\n", ""] {
        let mut client = TcpStream::connect(listener.local_addr().expect("it listens")).await.expect("it listens");
        client.write_all(said.as_bytes()).await.expect("it is read");
        client.shutdown().await.expect("it was open");
        let (tcp, _) = listener.accept().await.expect("somebody came");
        assert!(secured(&acceptor, tcp, &failed).await.is_none());
    }
    assert_eq!(failed.get(), 2);
}

/// A client's end that has said this and stays, and the server's.
async fn says(text: &str) -> (DuplexStream, DuplexStream) {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    client.write_all(text.as_bytes()).await.expect("there is room");
    (client, server)
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stands_still_is_given_up() {
    let (acceptor, failed) = (acceptor(), Counter::default());
    // Nothing, and the head of a hello of 512 bytes.
    for said in ["", "\x16\x03\x01\x02\0\x01"] {
        let (_client, server) = says(said).await;
        let begun = Instant::now();
        assert!(secured(&acceptor, server, &failed).await.is_none());
        assert_eq!(begun.elapsed(), HANDSHAKE, "{said:?}");
    }
    assert_eq!(failed.get(), 2);
}

#[tokio::test]
async fn many_headers_are_read() {
    let heard = |count: usize| async move {
        let headers = "X-Hi: a\r\n".repeat(count);
        let (mut client, server) = says(&format!("GET / HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).await;
        let (_stop, stopped) = watch::channel(false);
        let answer = |_| async { Response::new(Body::Whole(None)) };
        let mut heard = String::new();
        let (_, read) =
            tokio::join!(converse(server, false, STREAMS_MAX, answer, stopped), client.read_to_string(&mut heard));
        read.expect("it is text");
        heard.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(heard(HEADERS_MAX - 1).await, "HTTP/1.1 200 OK");
    assert_eq!(heard(HEADERS_MAX).await, "HTTP/1.1 431 Request Header Fields Too Large");
}

/// How long a client is listened to that says this and then no more; every request is answered at once.
async fn patience(said: &str, is_shared: bool) -> Duration {
    let (mut client, server) = says(said).await;
    let (_stop, stopped) = watch::channel(false);
    let answer = |_| async { Response::new(Body::Whole(None)) };
    let begun = Instant::now();
    let conversation = async {
        converse(server, is_shared, STREAMS_MAX, answer, stopped).await;
        begun.elapsed()
    };
    let mut heard = Vec::new();
    let both = async { tokio::join!(conversation, client.read_to_end(&mut heard)) };
    let (patience, closed) = tokio::time::timeout(10 * IDLE, both).await.expect("it is given up");
    closed.expect("the server closes it");
    patience
}

#[tokio::test(start_paused = true)]
async fn half_a_request_is_not_waited_for_for_ever() {
    let cases = [
        (false, String::new(), HEAD),
        (false, "GET /api HTT".into(), HEAD),
        (false, "GET /api HTTP/1.1\r\nHost: x\r\n".into(), HEAD),
        // What begins as HTTP/2 does, on a connection that is not of it.
        (false, PRI[..8].into(), HEAD),
        (true, String::new(), PREFACE),
        (true, PRI[..8].into(), PREFACE),
        (true, PRI.into(), IDLE),
        (true, format!("{PRI}{SETTINGS}"), IDLE),
        // The head of a frame of headers.
        (true, format!("{PRI}{SETTINGS}\0\0\x40\x01\x05\0\0\0\x01"), IDLE),
    ];
    for (is_shared, said, wanted) in cases {
        // Pings that nobody answers end a connection of HTTP/2 earlier.
        let waited = patience(&said, is_shared).await;
        assert!(waited == wanted || wanted == IDLE && waited < IDLE, "{said:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_asked_is_not_taken_for_silent() {
    let (mut client, server) = says("GET /api HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (_stop, stopped) = watch::channel(false);
    let (asked, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, end) = (asked.clone(), done.clone());
    let answer = move |_| {
        let (begun, end) = (begun.clone(), end.clone());
        async move {
            begun.notify_one();
            end.notified().await;
            Response::new(Body::Whole(None))
        }
    };
    let mut head = [0; 15];
    let listening = async {
        asked.notified().await;
        tokio::time::advance(10 * IDLE).await;
        done.notify_one();
        let read = client.read_exact(&mut head).await;
        drop(client);
        read
    };
    let (read, ()) = tokio::join!(listening, converse(server, false, STREAMS_MAX, answer, stopped));
    read.expect("it is answered");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
}

/// Whether the server says that nothing new is to begin on a connection of HTTP/2 after one answer.
async fn is_ended(with: Option<SentAway>) -> bool {
    // GET / by the tables of HPACK: method, scheme, path and an authority of one letter.
    const ASKED: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x84\x41\x01x";
    let said = [PRI.as_bytes(), SETTINGS.as_bytes(), ASKED].concat();
    let (mut client, server) = tokio::io::duplex(1 << 16);
    client.write_all(&said).await.expect("there is room");
    let (_stop, stopped) = watch::channel(false);
    let answer = move |_| async move {
        let mut response = Response::new(Body::Whole(None));
        if let Some(with) = with {
            response.extensions_mut().insert(with);
        }
        response
    };
    let mut heard = Vec::new();
    let reading = async {
        // What is heard until the answer, and what comes at once after it.
        let _ = tokio::time::timeout(PREFACE, client.read_to_end(&mut heard)).await;
        drop(client);
    };
    tokio::join!(converse(server, true, STREAMS_MAX, answer, stopped), reading);
    let mut rest = heard.as_slice();
    let mut kinds = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, more @ ..] = rest {
        kinds.push(*kind);
        rest = more.get(u32::from_be_bytes([0, *a, *b, *c]) as usize..).unwrap_or_default();
    }
    assert!(kinds.contains(&1), "it was answered: {kinds:?}");
    kinds.contains(&7)
}

#[tokio::test(start_paused = true)]
async fn who_is_sent_away_is_told_so() {
    assert!(is_ended(Some(SentAway)).await);
    assert!(!is_ended(None).await);
}
