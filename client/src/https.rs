//! Requests over HTTPS: HTTP/2 where the server speaks it, connections kept and shared.
//!
//! A watch holds its stream for long, and a server bounds the streams of a connection: a connection that carries
//! [`STREAMS_MAX`] requests is left as it is and another one opened, or a request could wait for a watch to end.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::{HeaderValue, Request, Response, Uri, header, uri};
use http_body_util::Full;
use hyper::{
    body::{Body, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Error, Frames, Transport};

/// Half of what servers allow at least. Upstream's server: 250, and 100 behind some proxies.
const STREAMS_MAX: usize = 50;
const CONNECT: Duration = Duration::from_secs(10);
/// A dead peer is noticed within these two. Upstream: client-go's HTTP2_READ_IDLE_TIMEOUT_SECONDS and its ping timeout.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// A way to a server over HTTPS.
pub struct Https {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    authorization: Option<HeaderValue>,
    shared: parking_lot::Mutex<Vec<Shared>>,
}

/// An HTTP/2 connection and how many requests it carries.
#[derive(Clone)]
struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    busy: Arc<AtomicUsize>,
}

/// Counts a request for as long as its response is read.
struct Seat(Arc<AtomicUsize>);

/// The body of a response as frames.
struct Reading {
    body: Incoming,
    _seat: Option<Seat>,
}

enum Connected {
    Shared(Shared),
    Single(http1::SendRequest<Full<Bytes>>),
}

// === impl Https ===

impl Https {
    /// `server` is `https://host:port`. A client certificate is part of `tls`; `token` is a bearer token.
    pub fn new(server: &str, tls: Arc<ClientConfig>, token: Option<&str>) -> Result<Https, Error> {
        let wrong = |why: &str| Error::Unreachable(format!("{server:?} is no server's address: {why}"));
        let uri: Uri = server.parse().map_err(|_| wrong("it is no URL"))?;
        if uri.scheme() != Some(&uri::Scheme::HTTPS) {
            return Err(wrong("it does not begin with https://"));
        }
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?.trim_matches(['[', ']']).to_string();
        let name =
            ServerName::try_from(host.clone()).map_err(|_| wrong("its host is neither a name nor an address"))?;
        let authorization = token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                .map_err(|_| Error::Unreachable("the token is not text that can be sent".into()))?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        Ok(Https {
            host,
            port: uri.port_u16().unwrap_or(443),
            name,
            tls: TlsConnector::from(tls),
            authorization: authorization.transpose()?,
            shared: parking_lot::Mutex::default(),
        })
    }

    /// A connection with room for a request.
    async fn connected(&self) -> Result<Connected, Error> {
        if let Some(free) = self.free() {
            return Ok(Connected::Shared(free));
        }
        let stream = tokio::time::timeout(CONNECT, self.connect())
            .await
            .map_err(|_| Error::Unreachable(format!("{}:{} does not answer", self.host, self.port)))??;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
            tokio::spawn(connection);
            return Ok(Connected::Single(sender));
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(32 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        tokio::spawn(connection);
        let shared = Shared { sender, busy: Arc::default() };
        self.shared.lock().push(shared.clone());
        Ok(Connected::Shared(shared))
    }

    fn free(&self) -> Option<Shared> {
        let mut all = self.shared.lock();
        all.retain(|shared| !shared.sender.is_closed());
        all.iter().find(|shared| shared.busy.load(Ordering::Relaxed) < STREAMS_MAX).cloned()
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, Error> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(broken)?;
        let _ = tcp.set_nodelay(true);
        self.tls.connect(self.name.clone(), tcp).await.map_err(broken)
    }

    /// The request as HTTP/2 (with its authority) or HTTP/1.1 (with a Host header) wants it.
    fn finish(&self, request: Request<Bytes>, absolute: bool) -> Result<Request<Full<Bytes>>, Error> {
        let mut request = request.map(Full::new);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let authority = format!("{host}:{}", self.port);
        if !absolute {
            let value = HeaderValue::from_str(&authority).map_err(broken)?;
            request.headers_mut().insert(header::HOST, value);
            return Ok(request);
        }
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(uri::Scheme::HTTPS);
        parts.authority = Some(authority.parse().map_err(broken)?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(broken)?;
        Ok(request)
    }
}

#[async_trait]
impl Transport for Https {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Frames>, Error> {
        match self.connected().await? {
            Connected::Shared(Shared { mut sender, busy }) => {
                let request = self.finish(request, true)?;
                busy.fetch_add(1, Ordering::Relaxed);
                let seat = Seat(busy);
                let response = sender.send_request(request).await.map_err(broken)?;
                Ok(response.map(|body| Reading { body, _seat: Some(seat) }.boxed()))
            }
            Connected::Single(mut sender) => {
                let request = self.finish(request, false)?;
                let response = sender.send_request(request).await.map_err(broken)?;
                Ok(response.map(|body| Reading { body, _seat: None }.boxed()))
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Reading ===

impl Reading {
    fn boxed(self) -> Frames {
        Box::pin(self)
    }
}

impl Stream for Reading {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let body = &mut self.get_mut().body;
        loop {
            return match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(broken(error)))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    // Trailers say nothing that is read here.
                    Err(_) => continue,
                },
            };
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Unreachable(error.to_string())
}
