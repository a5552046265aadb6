//! What is counted of connections that leave by proxies.
//!
//! Upstream: apiserver/pkg/server/egressselector/metrics, konnectivity-client/pkg/client/metrics.

use std::time::Duration;

use egress::{Protocol, Stage, Tally, Transport};
use server::metrics::{Counter, Gauge, Histogram, Kind, Labeled, Page, Row};

/// All of it.
#[derive(Default)]
pub struct Counted {
    /// By protocol and transport.
    started: Labeled<2, Counter>,
    took: Labeled<2, Histogram>,
    /// By protocol, stage and transport.
    failed: Labeled<3, Counter>,
    /// By status.
    tunnels: Labeled<1, Gauge>,
    /// By reason.
    nowhere: Labeled<1, Counter>,
}

const SECONDS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 2.5, 12.5];

const STARTED: Row = Row {
    name: "apiserver_egress_dialer_dial_start_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["protocol", "transport"],
    help: "Dial starts, labeled by the protocol (http-connect or grpc) and transport (tcp or uds).",
};
const TOOK: Row = Row {
    name: "apiserver_egress_dialer_dial_duration_seconds",
    kind: Kind::Histogram,
    stability: "ALPHA",
    labels: &["protocol", "transport"],
    help: "Dial latency histogram in seconds, labeled by the protocol (http-connect or grpc), transport (tcp or uds)",
};
const FAILED: Row = Row {
    name: "apiserver_egress_dialer_dial_failure_count",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["protocol", "stage", "transport"],
    help: "Dial failure count, labeled by the protocol (http-connect or grpc), transport (tcp or uds), and stage (connect or proxy). The stage indicates at which stage the dial failed",
};
const TUNNELS: Row = Row {
    name: "konnectivity_network_proxy_client_client_connections",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["status"],
    help: "Number of open client connections, by status (Example: dialing)",
};
const NOWHERE: Row = Row {
    name: "konnectivity_network_proxy_client_dial_failure_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["reason"],
    help: "Number of dial failures observed, by reason (example: remote endpoint error)",
};

/// All families that are counted here.
#[cfg(test)]
pub const ROWS: &[&Row] = &[&STARTED, &TOOK, &FAILED, &TUNNELS, &NOWHERE];

impl Counted {
    pub fn write(&self, page: &mut Page) {
        self.started.write(page, &STARTED);
        self.took.write(page, &TOOK);
        self.failed.write(page, &FAILED);
        self.tunnels.write(page, &TUNNELS);
        self.nowhere.write(page, &NOWHERE);
    }
}

impl Tally for Counted {
    fn started(&self, protocol: Protocol, transport: Transport) {
        self.started.get([protocol.word(), transport.word()], Counter::default).add(1);
    }

    fn dialled(&self, protocol: Protocol, transport: Transport, took: Duration) {
        let made = || Histogram::new(&SECONDS);
        self.took.get([protocol.word(), transport.word()], made).observe(took.as_secs_f64());
    }

    fn failed(&self, protocol: Protocol, transport: Transport, stage: Stage) {
        self.failed.get([protocol.word(), stage.word(), transport.word()], Counter::default).add(1);
    }

    fn tunnels(&self, status: &'static str, more: f64) {
        self.tunnels.get([status], Gauge::default).add(more);
    }

    fn nowhere(&self, reason: &'static str) {
        self.nowhere.get([reason], Counter::default).add(1);
    }
}
