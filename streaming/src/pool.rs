//! Connections to other servers that are kept for the next request: HTTP/1.1, one request at a time on each.
//!
//! Nobody is followed where he points, and what switches protocols does not come back here. A kept connection may have been
//! closed by the other side meanwhile; a request that finds out before a byte of it was taken goes over a new one. Go: the
//! `http.Transport` of client-go.

use std::{
    collections::BTreeMap,
    error::Error,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::dial::{Target, Way};

#[cfg(test)]
mod tests;

/// A body on its way out.
pub type Outgoing = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Kept connections.
#[derive(Default)]
pub struct Pool(Arc<Shared>);

/// Why there is no response, in the words of Go's net packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub why: String,
    /// The connection was a kept one, and nothing came back: the other side may have closed it before it read a word, and
    /// who can ask twice may ask again.
    pub stale: bool,
}

/// A response's body. Its connection is kept once it was read to its end.
pub struct Reading {
    body: Incoming,
    held: Option<Held>,
}

/// Go: `MaxIdleConnsPerHost` of client-go.
const IDLE_MAX_OF_ONE: usize = 25;
const IDLE_MAX: usize = 512;
/// Go: `IdleConnTimeout`.
const IDLE: Duration = Duration::from_secs(90);

#[derive(Default)]
struct Shared(Mutex<BTreeMap<Key, Vec<Idle>>>);

/// Host, port, the name in the certificate, which TLS settings and which way: one address of a name may be another
/// server's, and one address another place on another way.
type Key = (String, u16, String, usize, usize);

struct Idle {
    sender: SendRequest<Outgoing>,
    since: Instant,
    /// Keeps addresses, by which connections are told apart, from being taken by others.
    _told_by: ToldBy,
}

/// What connections are told apart by beside their names.
type ToldBy = (Option<Arc<rustls::ClientConfig>>, Way);

/// A connection in use.
struct Held {
    sender: SendRequest<Outgoing>,
    key: Key,
    told_by: ToldBy,
    home: Weak<Shared>,
}

// === impl Pool ===

impl Pool {
    /// Sends a request whose URI is a path and which names its host.
    pub async fn send(
        &self,
        to: &Target,
        request: Request<Outgoing>,
        dial: Duration,
    ) -> Result<Response<Reading>, Failed> {
        let told_by = (to.tls.clone(), to.way.clone());
        let which = to.tls.as_ref().map_or(0, |tls| Arc::as_ptr(tls) as usize);
        let key = (to.host.clone(), to.port, to.name.clone().unwrap_or_default(), which, to.way.id());
        let mut request = request;
        while let Some(mut sender) = self.0.take(&key) {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.held(response, sender, key, told_by)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Failed { why: text(failed.error()), stale: true }),
                },
            }
        }
        let failed = |why| Failed { why, stale: false };
        let io = to.dial(dial).await.map_err(failed)?;
        let mut builder = http1::Builder::new();
        builder.title_case_headers(true).max_buf_size(1 << 20);
        let (mut sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(|e| failed(text(&e)))?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|e| failed(text(&e)))?;
        Ok(self.held(response, sender, key, told_by))
    }

    fn held(
        &self,
        response: Response<Incoming>,
        sender: SendRequest<Outgoing>,
        key: Key,
        told_by: ToldBy,
    ) -> Response<Reading> {
        let held = Held { sender, key, told_by, home: Arc::downgrade(&self.0) };
        response.map(|body| Reading { body, held: Some(held) }.or_done())
    }

    /// How many connections are kept.
    pub fn idle(&self) -> usize {
        self.0.0.lock().values().map(Vec::len).sum()
    }
}

// === impl Shared ===

impl Shared {
    /// The connection that was used last: it is the one that is least likely to be closed by now.
    fn take(&self, key: &Key) -> Option<SendRequest<Outgoing>> {
        let mut kept = self.0.lock();
        let list = kept.get_mut(key)?;
        while let Some(idle) = list.pop() {
            if !idle.sender.is_closed() && idle.since.elapsed() < IDLE {
                return Some(idle.sender);
            }
        }
        kept.remove(key);
        None
    }

    fn keep(&self, held: Held) {
        if held.sender.is_closed() {
            return;
        }
        let mut kept = self.0.lock();
        kept.retain(|_, list| {
            list.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < IDLE);
            !list.is_empty()
        });
        let all: usize = kept.values().map(Vec::len).sum();
        let list = kept.entry(held.key).or_default();
        if list.len() < IDLE_MAX_OF_ONE && all < IDLE_MAX {
            list.push(Idle { sender: held.sender, since: Instant::now(), _told_by: held.told_by });
        }
    }
}

// === impl Reading ===

impl Reading {
    /// A body that is empty is over before anybody reads it.
    fn or_done(mut self) -> Reading {
        if self.body.is_end_stream() {
            self.done();
        }
        self
    }

    fn done(&mut self) {
        if let Some(held) = self.held.take()
            && let Some(home) = held.home.upgrade()
        {
            home.keep(held);
        }
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => this.done(),
            Poll::Ready(Some(Ok(_))) if this.body.is_end_stream() => this.done(),
            Poll::Ready(Some(Err(_))) => drop(this.held.take()),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What went wrong with a request, in Go's words for what happens most.
pub fn text(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return "EOF".into();
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::ConnectionReset => "read: connection reset by peer".into(),
                std::io::ErrorKind::BrokenPipe => "write: broken pipe".into(),
                std::io::ErrorKind::UnexpectedEof => "EOF".into(),
                _ => io.to_string(),
            };
        }
        source = inner.source();
    }
    match error.is_parse() {
        true => format!("net/http: HTTP/1.x transport connection broken: malformed HTTP response ({error})"),
        false => error.to_string(),
    }
}
