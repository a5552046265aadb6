//! Connections that leave through a proxy: to nodes behind NAT and to networks that this machine is not in.
//!
//! A [`configuration`] says of each network who dials for it. A [`Dialer`] does: it connects to a proxy and asks that for an
//! address, by HTTP CONNECT ([`http_connect`]) or in konnectivity's packets ([`grpc`]), with a connection to the proxy for
//! each connection through it. `streaming::dial` asks a dialer where a way leads through one; nobody else does.
//! Upstream: apiserver/pkg/server/egressselector.

pub mod configuration;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod grpc;
mod http_connect;
mod tally;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use streaming::{
    BoxedIo,
    dial::{Dial, Target},
};
use tokio::{net::UnixStream, time::Instant};

pub use grpc::Tunnel;
pub use tally::{Protocol, Stage, Tally, Transport};

/// A proxy, and how it is spoken to.
#[derive(Clone)]
pub enum Proxy {
    /// HTTP CONNECT over TCP, with TLS where the target says so.
    Connect(Target),
    /// HTTP CONNECT on a socket of this machine.
    ConnectUnix(String),
    /// konnectivity's packets on a socket of this machine.
    Grpc(String),
}

/// Opens connections by a proxy.
pub struct Dialer {
    pub proxy: Proxy,
    pub tally: Arc<dyn Tally>,
    /// A number by chance: a proxy server tells the dials of all its clients apart by them.
    pub draw: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// The proxy itself is reached within this time. Upstream: the timeout of `http.DefaultTransport`.
const REACHED_WITHIN: Duration = Duration::from_secs(30);

/// One dial; it has failed where it was when it is dropped before it is done.
struct Attempt<'a> {
    tally: &'a dyn Tally,
    by: (Protocol, Transport),
    begun: Instant,
    stage: Option<Stage>,
}

// === impl Proxy ===

impl Proxy {
    fn by(&self) -> (Protocol, Transport) {
        match self {
            Proxy::Connect(_) => (Protocol::HttpConnect, Transport::Tcp),
            Proxy::ConnectUnix(_) => (Protocol::HttpConnect, Transport::Uds),
            Proxy::Grpc(_) => (Protocol::Grpc, Transport::Uds),
        }
    }
}

// === impl Dialer ===

#[async_trait]
impl Dial for Dialer {
    async fn dial(&self, address: &str) -> Result<BoxedIo, String> {
        let mut attempt = Attempt::begin(&*self.tally, self.proxy.by());
        let connected = match &self.proxy {
            Proxy::Connect(target) => {
                let io = target.dial(REACHED_WITHIN).await?;
                attempt.stage = Some(Stage::Proxy);
                http_connect::ask(io, &target.authority(), address).await?
            }
            Proxy::ConnectUnix(path) => {
                let io = Box::new(socket(path).await?);
                attempt.stage = Some(Stage::Proxy);
                http_connect::ask(io, path, address).await?
            }
            Proxy::Grpc(path) => {
                let tunnel = grpc::Tunnel::open(socket(path).await?, self.tally.clone()).await?;
                attempt.stage = Some(Stage::Proxy);
                tunnel.dial(address, (self.draw)()).await?
            }
        };
        attempt.done();
        Ok(connected)
    }
}

async fn socket(path: &str) -> Result<UnixStream, String> {
    let connected = UnixStream::connect(path).await;
    connected.map_err(|error| format!("dial unix {path}: connect: {}", streaming::dial::text(&error)))
}

// === impl Attempt ===

impl Attempt<'_> {
    fn begin(tally: &dyn Tally, by: (Protocol, Transport)) -> Attempt<'_> {
        tally.started(by.0, by.1);
        Attempt { tally, by, begun: Instant::now(), stage: Some(Stage::Connect) }
    }

    fn done(mut self) {
        self.stage = None;
        self.tally.dialled(self.by.0, self.by.1, self.begun.elapsed());
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(stage) = self.stage {
            self.tally.failed(self.by.0, self.by.1, stage);
        }
    }
}
