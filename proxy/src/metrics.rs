//! What the proxy counts, with upstream's names and texts. Upstream: pkg/proxy/metrics/metrics.go.

use pages::{Counter, Gauge, Histogram, Kind, Labeled, Metrics as Families, Page, Pages, Row};

use crate::snapshot::Family;

/// `ExponentialBuckets(0.001, 2, 15)`.
const FINE: &[f64] =
    &[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];

const FAMILY: &[&str] = &["ip_family"];

const fn row(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Row {
    Row { name, kind, stability: "ALPHA", help, labels }
}

const SYNC: Row =
    row("kubeproxy_sync_proxy_rules_duration_seconds", Kind::Histogram, FAMILY, "SyncProxyRules latency in seconds");
const FULL: Row = row(
    "kubeproxy_sync_full_proxy_rules_duration_seconds",
    Kind::Histogram,
    FAMILY,
    "SyncProxyRules latency in seconds for full resyncs",
);
const PARTIAL: Row = row(
    "kubeproxy_sync_partial_proxy_rules_duration_seconds",
    Kind::Histogram,
    FAMILY,
    "SyncProxyRules latency in seconds for partial resyncs",
);
const SYNCED_AT: Row = row(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
    Kind::Gauge,
    FAMILY,
    "The last time proxy rules were successfully synced",
);
const QUEUED_AT: Row = row(
    "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
    Kind::Gauge,
    FAMILY,
    "The last time a sync of proxy rules was queued",
);
const ENDPOINT_CHANGES: Row = row(
    "kubeproxy_sync_proxy_rules_endpoint_changes_total",
    Kind::Counter,
    &[],
    "Cumulative proxy rules Endpoint changes",
);
const SERVICE_CHANGES: Row = row(
    "kubeproxy_sync_proxy_rules_service_changes_total",
    Kind::Counter,
    &[],
    "Cumulative proxy rules Service changes",
);
const FAILURES: Row = row(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
    Kind::Counter,
    FAMILY,
    "Cumulative proxy nftables sync failures",
);
const CLEANUP_FAILURES: Row = row(
    "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
    Kind::Counter,
    FAMILY,
    "Cumulative proxy nftables cleanup failures",
);
const NO_LOCAL: Row = row(
    "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
    Kind::Gauge,
    &["ip_family", "traffic_policy"],
    "Number of services with a Local traffic policy and no endpoints",
);
const HEALTHZ: Row =
    row("kubeproxy_proxy_healthz_total", Kind::Counter, &["code"], "Cumulative proxy healthz HTTP status");
const LIVEZ: Row = row("kubeproxy_proxy_livez_total", Kind::Counter, &["code"], "Cumulative proxy livez HTTP status");
const FLOWS: Row = row(
    "kubeproxy_conntrack_reconciler_sync_duration_seconds",
    Kind::Histogram,
    FAMILY,
    "ReconcileConntrackFlowsLatency latency in seconds",
);
const FLOWS_DELETED: Row = row(
    "kubeproxy_conntrack_reconciler_deleted_entries_total",
    Kind::Counter,
    FAMILY,
    "Cumulative conntrack flows deleted by conntrack reconciler",
);

/// Everything that is counted; also the pages of the metrics' address.
#[derive(Default)]
pub struct Metrics {
    pub service_changes: Counter,
    pub endpoint_changes: Counter,
    pub healthz: Labeled<1, Counter>,
    pub livez: Labeled<1, Counter>,
    sync: Labeled<1, Histogram>,
    full: Labeled<1, Histogram>,
    partial: Labeled<1, Histogram>,
    synced_at: Labeled<1, Gauge>,
    queued_at: Labeled<1, Gauge>,
    failures: Labeled<1, Counter>,
    cleanup_failures: Labeled<1, Counter>,
    no_local: Labeled<2, Gauge>,
    flows: Labeled<1, Histogram>,
    flows_deleted: Labeled<1, Counter>,
}

// === impl Metrics ===

impl Metrics {
    /// A sync is over: how long it took, and whether it made the whole table anew.
    pub fn synced(&self, family: Family, seconds: f64, whole: bool) {
        let family = family.to_string();
        let of_kind = if whole { &self.full } else { &self.partial };
        for histogram in [&self.sync, of_kind] {
            histogram.get([&family], || Histogram::new(FINE)).observe(seconds);
        }
    }

    /// The rules are as they should be, since a point in time.
    pub fn succeeded(&self, family: Family, at: f64) {
        self.synced_at.get([&family.to_string()], Gauge::default).set(at);
    }

    pub fn queued(&self, family: Family, at: f64) {
        self.queued_at.get([&family.to_string()], Gauge::default).set(at);
    }

    pub fn failed(&self, family: Family) {
        self.failures.get([&family.to_string()], Counter::default).add(1);
    }

    pub fn cleanup_failed(&self, family: Family) {
        self.cleanup_failures.get([&family.to_string()], Counter::default).add(1);
    }

    /// How many ports have endpoints, but none here.
    pub fn no_local(&self, family: Family, internal: usize, external: usize) {
        let family = family.to_string();
        for (policy, count) in [("internal", internal), ("external", external)] {
            self.no_local.get([&family, policy], Gauge::default).set(count as f64);
        }
    }

    pub fn forgot_flows(&self, family: Family, seconds: f64, deleted: usize) {
        let family = family.to_string();
        self.flows.get([&family], || Histogram::new(FINE)).observe(seconds);
        self.flows_deleted.get([&family], Counter::default).add(deleted as u64);
    }

    fn families(&self) -> Families {
        let mut page = Families::default();
        self.sync.write(&mut page, &SYNC);
        self.full.write(&mut page, &FULL);
        self.partial.write(&mut page, &PARTIAL);
        self.synced_at.write(&mut page, &SYNCED_AT);
        self.queued_at.write(&mut page, &QUEUED_AT);
        page.add(&ENDPOINT_CHANGES, |family| family.number(&[], self.endpoint_changes.get() as f64));
        page.add(&SERVICE_CHANGES, |family| family.number(&[], self.service_changes.get() as f64));
        self.failures.write(&mut page, &FAILURES);
        self.cleanup_failures.write(&mut page, &CLEANUP_FAILURES);
        self.no_local.write(&mut page, &NO_LOCAL);
        self.healthz.write(&mut page, &HEALTHZ);
        self.livez.write(&mut page, &LIVEZ);
        self.flows.write(&mut page, &FLOWS);
        self.flows_deleted.write(&mut page, &FLOWS_DELETED);
        page
    }
}

/// Upstream: cmd/kube-proxy/app/server.go serveMetrics.
impl Pages for Metrics {
    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/metrics" => Some(Page::metrics(self.families())),
            "/healthz" => Some(Page::text(200, "ok")),
            "/proxyMode" => {
                let nosniff = vec![("X-Content-Type-Options", "nosniff".to_string())];
                Some(Page { headers: nosniff, ..Page::text(200, "nftables") })
            }
            _ => None,
        }
    }
}
