//! Connections: accepted, handed to TLS and HTTP with limits on everything, drained at the end.

mod carried;
mod gather;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use auth::authenticate::Peer;
use http::{Method, Request, Response, Version, header};
use http_body::Body as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc, watch},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::{carried::Carried, gather::Gather};
use crate::{
    Server,
    body::Body,
    door::{self, Connection},
    metrics::Counter,
    stream::Remote,
};

/// A handshake takes no longer than this.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After this, what has not ended is dropped. Upstream: `--shutdown-watch-termination-grace-period` and its like.
const DRAIN: Duration = Duration::from_secs(5);
/// Upstream: `http2-max-streams-per-connection` as kube-apiserver sets it.
const STREAMS_MAX: u32 = 250;
/// As over HTTP/1.1; an answer is there before another stream's are all read. Upstream: `DefaultMaxHeaderBytes` of net/http.
const HEADERS_LEN_MAX: u32 = 1 << 20;

/// Serves until `stop` says so, then drains.
pub async fn run(server: Arc<Server>, listener: TcpListener, tls: Arc<ServerConfig>, mut stop: watch::Receiver<bool>) {
    let acceptor = TlsAcceptor::from(tls);
    // Every write that is under way holds one, and every connection one of the other; nobody ever sends.
    let (alive, mut writes) = mpsc::channel(1);
    let (open, mut connections) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|s| *s) => break,
        };
        let (tcp, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files and the like: others may end meanwhile.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = tcp.set_nodelay(true);
        let (server, acceptor) = (server.clone(), acceptor.clone());
        let (alive, open, stop) = (alive.clone(), open.clone(), stop.clone());
        tokio::spawn(async move {
            let _open = open;
            let Some(stream) = secured(&acceptor, tcp, &server.metrics.handshakes_failed).await else { return };
            let peer = stream.get_ref().1.peer_certificates().and_then(|c| Peer::new(c.to_vec()));
            let connection = Arc::new(Connection { peer });
            let enough = Arc::new(Notify::new());
            let told = enough.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Remote(address.ip()));
                let (server, connection, alive) = (server.clone(), connection.clone(), alive.clone());
                let (told, is_shared) = (told.clone(), request.version() == Version::HTTP_2);
                async move {
                    let response = serve(server, connection, request, alive).await;
                    if is_shared && response.extensions().get::<door::Nobody>().is_some() {
                        told.notify_one();
                    }
                    Ok::<_, std::convert::Infallible>(response)
                }
            });
            let builder = builder();
            // The client said which it speaks; only HTTP/2 reads whenever it is polled.
            let served = match stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                true => {
                    let gathered = TokioIo::new(Gather::new(stream));
                    let served = builder.serve_connection_with_upgrades(gathered, service).into_owned();
                    carry(served, |served| served.graceful_shutdown(), &enough, stop).await
                }
                false => {
                    let plain = TokioIo::new(stream);
                    let served = builder.serve_connection_with_upgrades(plain, service).into_owned();
                    carry(served, |served| served.graceful_shutdown(), &enough, stop).await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    drop((alive, open));
    // Connections hear first that nothing new begins on them, then what lasts by its nature ends.
    let drained = async {
        let others = async {
            server.registry.end_watches();
            writes.recv().await;
        };
        tokio::join!(connections.recv(), others);
    };
    let _ = tokio::time::timeout(DRAIN, drained).await;
}

/// Carries a connection to its end. When the server stops, or who is on it is nobody that is known, nothing new begins
/// on it (`drain`): connections of HTTP/2 cost more than they bring when strangers keep them (CVE-2023-44487).
/// Upstream: apiserver/pkg/endpoints/filters/authentication.go, UnauthenticatedHTTP2DOSMitigation.
async fn carry<C: Future>(
    connection: C,
    drain: impl FnOnce(Pin<&mut C>),
    enough: &Notify,
    mut stop: watch::Receiver<bool>,
) -> C::Output {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = enough.notified() => {}
        _ = stop.wait_for(|s| *s) => {}
    }
    drain(connection.as_mut());
    connection.await
}

/// A connection once it is secured; none when that does not come to be, also within its time.
async fn secured(acceptor: &TlsAcceptor, tcp: TcpStream, failed: &Counter) -> Option<TlsStream<TcpStream>> {
    let why = match tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => error.to_string(),
        Err(late) => late.to_string(),
    };
    tracing::trace!(why, "a connection was not secured");
    failed.add(1);
    None
}

/// Answers a request. A write is carried to its end even when the client goes away: what it took for the object (addresses,
/// ports) is stored with it or given back, never left half way.
async fn serve(
    server: Arc<Server>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
    alive: mpsc::Sender<()>,
) -> Response<Body> {
    let method = request.method().clone();
    let serving = Box::pin(door::serve(server, connection, request));
    match method {
        Method::GET => return serving.await,
        Method::HEAD => return without_body(serving.await),
        _ => {}
    }
    Carried::new(async move {
        let response = serving.await;
        drop(alive);
        response
    })
    .await
}

/// What a GET would have said, without what it is about: hyper leaves that out in HTTP/1.1 alone.
fn without_body(mut response: Response<Body>) -> Response<Body> {
    if let Some(len) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(len.into());
    }
    *response.body_mut() = Body::Whole(None);
    response
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(32)).max_buf_size(1 << 20);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_LEN_MAX)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(64)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(25 << 20)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(30));
    builder
}

#[cfg(test)]
mod tests {
    use certs::{
        Authority, Names,
        authority::Profile,
        tls::{OldestVersion, ServerCert, ServerSettings, server_config_with},
    };
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn who_does_not_speak_tls_is_counted() {
        const NOW: i64 = 1_795_000_000;
        let authority = Authority::generate("test", NOW).expect("made");
        let issued = authority.issue(&Profile::server("server", Names::default()), NOW).expect("issued");
        let settings = ServerSettings {
            certificate: Arc::new(ServerCert::new(&issued.certificate_pem, &issued.key).expect("they fit")),
            client_authorities_pem: String::new(),
            oldest_version: OldestVersion::Tls12,
            http2: true,
        };
        let acceptor = TlsAcceptor::from(Arc::new(server_config_with(settings, &[]).expect("it is right")));
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
}
