//! Connections: accepted, handed to TLS and HTTP with limits on everything, drained at the end.

mod carried;
mod gather;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use auth::authenticate::Peer;
use certs::named::Secured;
use http::{Method, Request, Response, Version, header};
use http_body::Body as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
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

/// A handshake is done within this. Upstream: `tlsHandshakeTimeout` of net/http takes what a request's head has.
const HANDSHAKE: Duration = HEAD;
/// The first request's head is there within this. Upstream: `ReadHeaderTimeout` in apiserver/pkg/server/secure_serving.go.
const HEAD: Duration = Duration::from_secs(32);
/// HTTP/2 begins within this: its preface has come. Upstream: `prefaceTimeout` of golang.org/x/net/http2.
const PREFACE: Duration = Duration::from_secs(10);
/// A connection of HTTP/2 has had a request within this. Upstream: `IdleTimeout`, as with `ReadHeaderTimeout`.
const IDLE: Duration = Duration::from_secs(90);
/// After this, what has not ended is dropped. Upstream: `--shutdown-watch-termination-grace-period` and its like.
const DRAIN: Duration = Duration::from_secs(5);
/// Upstream: apiserver/pkg/server/secure_serving.go, where nobody sets `--http2-max-streams-per-connection`.
pub const STREAMS_MAX: u32 = 100;
/// As over HTTP/1.1; an answer is there before another stream's are all read. Upstream: `DefaultMaxHeaderBytes` of net/http.
const HEADERS_LEN_MAX: u32 = 1 << 20;

/// Over HTTP/1.1, where the parser wants to know. Upstream counts their bytes alone; who is in many groups has many.
const HEADERS_MAX: usize = 1_000;

/// Clients of HTTP/2 that are sent away now and then, so that they do not stay with one server of several.
/// Upstream: apiserver/pkg/server/filters/goaway.go.
pub struct Farewell {
    /// Of so many of their requests, as a part of one.
    pub chance: f64,
    /// A number from 0 to 1, by chance.
    pub draw: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// Stands beside an answer after which nothing new begins on its connection.
#[derive(Clone, Copy)]
struct SentAway;

/// Serves until `stop` says so, then drains. A connection is secured by what `tls` has when it comes.
pub async fn run(
    server: Arc<Server>,
    listener: TcpListener,
    tls: watch::Receiver<Arc<Secured>>,
    mut stop: watch::Receiver<bool>,
) {
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
        let to = tcp.local_addr().ok().map(|to| to.ip());
        let (server, acceptor) = (server.clone(), TlsAcceptor::from(tls.borrow().at(to).clone()));
        let (alive, open, stop) = (alive.clone(), open.clone(), stop.clone());
        tokio::spawn(async move {
            let _open = open;
            let Some(stream) = secured(&acceptor, tcp, &server.metrics.handshakes_failed).await else { return };
            let peer = stream.get_ref().1.peer_certificates().and_then(|c| Peer::new(c.to_vec()));
            let connection = Arc::new(Connection { peer });
            let streams_max = server.config.streams_max;
            let answer = move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Remote(address.ip()));
                serve(server.clone(), connection.clone(), request, alive.clone())
            };
            // The client said which it speaks.
            let is_shared = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            converse(stream, is_shared, streams_max, answer, stop).await;
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

/// Speaks HTTP/2, or else HTTP/1.1, with a client until its connection ends.
async fn converse<F: Future<Output = Response<Body>> + Send + 'static>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    is_shared: bool,
    streams_max: u32,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
    stop: watch::Receiver<bool>,
) {
    let says = Arc::new(Says::default());
    let told = says.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        told.asked.notify_one();
        let (told, is_shared) = (told.clone(), request.version() == Version::HTTP_2);
        let answering = answer(request);
        async move {
            let response = answering.await;
            let extensions = response.extensions();
            let is_last = extensions.get::<door::Nobody>().is_some() || extensions.get::<SentAway>().is_some();
            if is_shared && is_last {
                told.enough.notify_one();
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let builder = builder(streams_max);
    // Only HTTP/2 reads whenever it is polled.
    let served = match is_shared {
        true => {
            let gathered = TokioIo::new(Gather::new(stream, says.clone()));
            let served = builder.serve_connection_with_upgrades(gathered, service).into_owned();
            carry(served, |served| served.graceful_shutdown(), &says, shared_silence(&says), stop).await
        }
        false => {
            let plain = TokioIo::new(stream);
            let served = builder.serve_connection_with_upgrades(plain, service).into_owned();
            carry(served, |served| served.graceful_shutdown(), &says, silence(&says.asked, HEAD), stop).await
        }
    };
    match served {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a connection ended"),
        None => tracing::debug!("a client asked for nothing in its time"),
    }
}

/// What is told of a connection while it lasts.
#[derive(Default)]
struct Says {
    /// The preface of HTTP/2 has been read.
    begun: Notify,
    /// A request has begun.
    asked: Notify,
    /// Nothing more is to begin on it.
    enough: Notify,
}

/// Ends when what was to be told is not told in time, and otherwise never.
async fn silence(told: &Notify, limit: Duration) {
    if tokio::time::timeout(limit, told.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// The same of a connection of HTTP/2, which begins before it is asked for anything.
async fn shared_silence(says: &Says) {
    tokio::select! {
        () = silence(&says.begun, PREFACE) => {}
        () = silence(&says.asked, IDLE) => {}
    }
}

/// Carries a connection to its end; none when it was given up because of `silence`. When the server stops, or who is on it is nobody that is known, nothing new begins
/// on it (`drain`): connections of HTTP/2 cost more than they bring when strangers keep them (CVE-2023-44487).
/// Upstream: apiserver/pkg/endpoints/filters/authentication.go, UnauthenticatedHTTP2DOSMitigation.
async fn carry<C: Future>(
    connection: C,
    drain: impl FnOnce(Pin<&mut C>),
    says: &Says,
    silence: impl Future<Output = ()>,
    mut stop: watch::Receiver<bool>,
) -> Option<C::Output> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => return Some(ended),
        () = silence => return None,
        () = says.enough.notified() => {}
        _ = stop.wait_for(|s| *s) => {}
    }
    drain(connection.as_mut());
    Some(connection.await)
}

/// A connection once it is secured; none when that does not come to be, also within its time.
async fn secured<S: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &TlsAcceptor,
    tcp: S,
    failed: &Counter,
) -> Option<TlsStream<S>> {
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
    let is_sent_away = server.farewell.as_ref().is_some_and(|farewell| (farewell.draw)() < farewell.chance);
    let serving = Box::pin(async move {
        let mut response = door::serve(server, connection, request).await;
        if is_sent_away {
            response.extensions_mut().insert(SentAway);
        }
        response
    });
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

fn builder(streams_max: u32) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(1 << 20).max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams_max)
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
mod tests;
