//! Connections to members that somebody else opens.
//!
//! etcd's client makes channels of its own, which connect straight. In their place there is one for each member here; members
//! are asked in turn, so that who asks again after a failure asks another.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use etcd_client::{BalancedChannelBuilder, Channel as Balanced};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tonic::{
    body::Body,
    codegen::{
        Service,
        http::{Request, Response},
    },
    transport::{Channel, Endpoint, Uri, channel::Change},
};
use tower::{BoxError, util::BoxCloneSyncService};

/// A connection, whatever it runs over.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Opening<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Opened = io::Result<Box<dyn Io>>;

/// Opens a connection to `host:port`.
#[derive(Clone)]
pub struct Dial(Arc<dyn Fn(String) -> Opening<Opened> + Send + Sync>);

/// The members, as etcd's client names them.
#[derive(Clone)]
pub(super) struct Members {
    dial: Dial,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    changes: Option<mpsc::Receiver<Change<Uri, Endpoint>>>,
    channels: Vec<(Uri, Channel)>,
    next: usize,
}

// === impl Dial ===

impl Dial {
    pub fn new<F>(dial: impl Fn(String) -> F + Send + Sync + 'static) -> Dial
    where
        F: Future<Output = Opened> + Send + 'static,
    {
        Dial(Arc::new(move |address| Box::pin(dial(address))))
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = io::Error;
    type Future = Opening<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let opening = (self.0)(format!("{}:{port}", uri.host().unwrap_or_default()));
        Box::pin(async move { Ok(TokioIo::new(opening.await?)) })
    }
}

// === impl Members ===

impl Members {
    pub(super) fn by(dial: Dial) -> Members {
        Members { dial, shared: Arc::default() }
    }

    /// The channel whose turn it is.
    fn next(&self) -> io::Result<Channel> {
        let mut shared = self.shared.lock();
        while let Some(change) = shared.changes.as_mut().and_then(|changes| changes.try_recv().ok()) {
            match change {
                Change::Insert(uri, endpoint) => {
                    let channel = endpoint.connect_with_connector_lazy(self.dial.clone());
                    shared.channels.push((uri, channel));
                }
                Change::Remove(gone) => shared.channels.retain(|(uri, _)| *uri != gone),
            }
        }
        shared.next = shared.next.wrapping_add(1);
        let count = shared.channels.len().max(1);
        let found = shared.channels.get(shared.next % count).map(|(_, channel)| channel.clone());
        found.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Service<Request<Body>> for Members {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Opening<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let member = self.next();
        Box::pin(async move {
            let mut member = member?;
            std::future::poll_fn(|cx| member.poll_ready(cx)).await?;
            Ok(member.call(request).await?)
        })
    }
}

impl BalancedChannelBuilder for Members {
    type Error = etcd_client::Error;

    fn balanced_channel(
        self,
        buffer_size: usize,
    ) -> Result<(Balanced, mpsc::Sender<Change<Uri, Endpoint>>), etcd_client::Error> {
        let (sender, changes) = mpsc::channel(buffer_size);
        self.shared.lock().changes = Some(changes);
        Ok((Balanced::Custom(BoxCloneSyncService::new(self)), sender))
    }
}
