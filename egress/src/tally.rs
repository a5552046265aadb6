//! What is counted of connections that leave through proxies.

use std::time::Duration;

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    HttpConnect,
    Grpc,
}

/// What a proxy is reached over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Uds,
}

/// How far a dial came that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The proxy was not reached.
    Connect,
    /// The proxy did not reach the address.
    Proxy,
}

/// Counts. Upstream: apiserver/pkg/server/egressselector/metrics, konnectivity-client/pkg/client/metrics.
pub trait Tally: Send + Sync + 'static {
    fn started(&self, protocol: Protocol, transport: Transport);

    fn dialled(&self, protocol: Protocol, transport: Transport, took: Duration);

    fn failed(&self, protocol: Protocol, transport: Transport, stage: Stage);

    /// So many tunnels more are in this state: `created`, `dialing`, `ok`.
    fn tunnels(&self, status: &'static str, more: f64);

    /// A tunnel leads nowhere: `endpoint`, `dialclosed`, `tunnelclosed`, `timeout`, `context`.
    fn nowhere(&self, reason: &'static str);
}

// === impl Protocol ===

impl Protocol {
    pub fn word(self) -> &'static str {
        match self {
            Protocol::HttpConnect => "http_connect",
            Protocol::Grpc => "grpc",
        }
    }
}

// === impl Transport ===

impl Transport {
    pub fn word(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Uds => "uds",
        }
    }
}

// === impl Stage ===

impl Stage {
    pub fn word(self) -> &'static str {
        match self {
            Stage::Connect => "connect",
            Stage::Proxy => "proxy",
        }
    }
}
