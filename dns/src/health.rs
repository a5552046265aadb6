//! Whether it answers, and what it counts, with CoreDNS' paths and names. Upstream: coredns plugin/{health,ready,metrics}.

use std::sync::atomic::{AtomicBool, Ordering};

use pages::{Counter, Histogram, Kind, Labeled, Metrics as Families, Page, Pages, Row};

/// Upstream: coredns plugin/metrics/vars.
const TIMES: &[f64] = &[
    0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
];

const fn row(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Row {
    Row { name, kind, stability: "", help, labels }
}

const REQUESTS: Row = row(
    "coredns_dns_requests_total",
    Kind::Counter,
    &["family", "proto", "type", "zone"],
    "Counter of DNS requests made per zone, protocol and family.",
);
const RESPONSES: Row =
    row("coredns_dns_responses_total", Kind::Counter, &["rcode", "zone"], "Counter of response status codes.");
const DURATION: Row = row(
    "coredns_dns_request_duration_seconds",
    Kind::Histogram,
    &["zone"],
    "Histogram of the time (in seconds) each request took per zone.",
);
const HITS: Row = row("coredns_cache_hits_total", Kind::Counter, &[], "The count of cache hits.");
const MISSES: Row = row("coredns_cache_misses_total", Kind::Counter, &[], "The count of cache misses.");

/// What is counted, and whether all names are known.
#[derive(Default)]
pub struct Health {
    pub is_ready: AtomicBool,
    pub hits: Counter,
    pub misses: Counter,
    requests: Labeled<4, Counter>,
    responses: Labeled<2, Counter>,
    durations: Labeled<1, Histogram>,
}

// === impl Health ===

impl Health {
    /// A question: over IPv4 (1) or IPv6 (2), over `udp` or `tcp`, for a type, in one of our zones or `.`.
    pub fn asked(&self, family: &str, protocol: &str, kind: &str, zone: &str) {
        // Types that nobody uses are not told apart: whoever asks could make any number of them.
        let known = ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "ANY", "HTTPS", "SVCB"];
        let kind = if known.contains(&kind) { kind } else { "other" };
        self.requests.get([family, protocol, kind, zone], Counter::default).add(1);
    }

    pub fn answered(&self, code: &str, zone: &str, seconds: f64) {
        self.responses.get([code, zone], Counter::default).add(1);
        self.durations.get([zone], || Histogram::new(TIMES)).observe(seconds);
    }

    fn families(&self) -> Families {
        let mut page = Families::default();
        self.requests.write(&mut page, &REQUESTS);
        self.responses.write(&mut page, &RESPONSES);
        self.durations.write(&mut page, &DURATION);
        page.add(&HITS, |family| family.number(&[], self.hits.get() as f64));
        page.add(&MISSES, |family| family.number(&[], self.misses.get() as f64));
        page
    }
}

impl Pages for Health {
    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/health" => Some(Page::text(200, "OK")),
            "/ready" if self.is_ready.load(Ordering::Acquire) => Some(Page::text(200, "OK")),
            "/ready" => Some(Page::text(503, "kubernetes")),
            "/metrics" => Some(Page::metrics(self.families())),
            _ => None,
        }
    }
}
