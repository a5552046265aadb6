//! `/metrics`: what this server counts, with upstream's names, labels and texts.
//!
//! Rows of our own instead of a library: upstream answers in one text format alone (0.0.4, also to those who ask for
//! OpenMetrics), libraries of today write the other one; and a request's cells hang together here, so that counting it
//! costs one look-up. Upstream: apiserver/pkg/endpoints/metrics, component-base/metrics.

mod admission;
pub mod auth;
mod conversion;
mod requests;
mod resources;
pub mod rows;
mod standards;
#[cfg(test)]
mod tests;
mod watermark;

use std::{sync::Arc, time::Duration};

use api::Value;
use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::{Server, body::Body, door::Admitted, flow::Flow, respond};

pub use admission::Admission;
pub use auth::Auth;
pub use conversion::Conversion;
pub use pages::{Counter, Family, Gauge, Histogram, Kind, Labeled, Metrics as Page, Row};
pub use requests::{Key, Record, Requests};
pub use resources::Resources;
pub use watermark::Watermark;

/// Writes families that are known only when they are asked for.
pub type Collect = Box<dyn Fn(&mut Page) + Send + Sync>;

/// Everything that is counted.
#[derive(Default)]
pub struct Metrics {
    pub requests: Requests,
    pub watch: WatchEvents,
    pub store: StoreRequests,
    pub auth: Arc<Auth>,
    pub admission: Arc<Admission>,
    pub conversion: Arc<Conversion>,
    pub resources: Arc<Resources>,
    /// Connections that ended before they were secured.
    pub handshakes_failed: Counter,
    pub reading: Watermark,
    pub mutating: Watermark,
    pub reading_waits: Watermark,
    pub mutating_waits: Watermark,
    /// How often each check came out how: by name, status, type.
    pub checks: Labeled<3, Counter>,
    pub streams: Streams,
    /// How each check came out last: by name, type.
    pub check: Labeled<2, Gauge>,
    collect: parking_lot::RwLock<Vec<Collect>>,
}

/// Events sent to watchers, by group, resource and version.
#[derive(Default)]
pub struct WatchEvents {
    sent: Labeled<3, (Counter, Histogram)>,
    /// How long it took until all that there was had been shown: by group, resource, scope, version.
    lists: Labeled<4, Histogram>,
}

/// Streams by the road that they took. Upstream: apiserver pkg/util/proxy/metrics.
#[derive(Default)]
pub struct Streams {
    /// By who puts them into the node's form, and subresource.
    pub routed: Labeled<2, Counter>,
    /// Those that this server put into another form, by how that ended.
    pub translated: Labeled<1, Counter>,
    pub tunneled: Labeled<1, Counter>,
}

/// Requests to the store, by group, operation and resource.
#[derive(Default)]
pub struct StoreRequests {
    took: Labeled<3, Histogram>,
    failed: Labeled<3, Counter>,
}

/// The series of one watched version.
pub type WatchCells = Arc<(Counter, Histogram)>;

impl Metrics {
    /// Adds families that are known only when they are asked for.
    pub fn collect(&self, collect: impl Fn(&mut Page) + Send + Sync + 'static) {
        self.collect.write().push(Box::new(collect));
    }

    fn page(&self, server: &Server) -> Page {
        let mut page = Page::without(&server.config.hidden_metrics);
        self.requests.write(&mut page);
        self.watch.write(&mut page);
        self.store.write(&mut page);
        self.auth.write(&mut page);
        self.admission.write(&mut page);
        self.conversion.write(&mut page);
        self.resources.write(&server.registry, &mut page);
        page.add(&rows::HANDSHAKES_FAILED, |family| family.number(&[], self.handshakes_failed.get() as f64));
        self.streams.write(&mut page);
        self.levels(&mut page, server.clock.now().as_second());
        objects(server, &mut page);
        build(&server.config.version, &mut page);
        if let Flow::Fair(fairness) = &server.flow {
            fairness.write(&mut page);
        }
        for collect in self.collect.read().iter() {
            collect(&mut page);
        }
        count_families(&mut page);
        page
    }

    fn levels(&self, page: &mut Page, second: i64) {
        for (row, reading, mutating) in [
            (&rows::INFLIGHT, &self.reading, &self.mutating),
            (&rows::INQUEUE, &self.reading_waits, &self.mutating_waits),
        ] {
            page.add(row, |family| {
                family.number(&["readOnly"], reading.highest(second) as f64);
                family.number(&["mutating"], mutating.highest(second) as f64);
            });
        }
    }
}

// === impl WatchEvents ===

impl WatchEvents {
    /// The cells of a watched version: to be fetched once for a watch.
    pub fn of(&self, group: &str, resource: &str, version: &str) -> WatchCells {
        self.sent.get([group, resource, version], || (Counter::default(), Histogram::new(&rows::WATCH_EVENT_SIZES)))
    }

    /// A watch that began with a list has shown all of it.
    pub fn listed(&self, group: &str, resource: &str, scope: &str, version: &str, took: Duration) {
        let made = || Histogram::new(&rows::WATCH_LIST_SECONDS);
        self.lists.get([group, resource, scope, version], made).observe(took.as_secs_f64());
    }

    fn write(&self, page: &mut Page) {
        page.add(&rows::WATCH_EVENTS, |f| self.sent.each(|labels, cell| f.number(&labels, cell.0.get() as f64)));
        page.add(&rows::WATCH_SIZES, |f| self.sent.each(|labels, cell| cell.1.write(f, &labels)));
        self.lists.write(page, &rows::WATCH_LISTS);
    }
}

// === impl Streams ===

impl Streams {
    fn write(&self, page: &mut Page) {
        self.routed.write(page, &rows::STREAMS);
        self.translated.write(page, &rows::TRANSLATED);
        self.tunneled.write(page, &rows::TUNNELED);
    }
}

// === impl StoreRequests ===

impl StoreRequests {
    pub fn observe(&self, group: &str, operation: &str, resource: &str, took: Duration) {
        self.took.get([group, operation, resource], || Histogram::new(&rows::SECONDS)).observe(took.as_secs_f64());
    }

    pub fn failed(&self, group: &str, operation: &str, resource: &str) {
        self.failed.get([group, operation, resource], Counter::default).add(1);
    }

    fn write(&self, page: &mut Page) {
        self.took.write(page, &rows::STORE_DURATION);
        self.failed.write(page, &rows::STORE_ERRORS);
        page.add(&rows::STORE_TOTAL, |f| self.took.each(|labels, cell| f.number(&labels, cell.count() as f64)));
    }
}

/// How many objects there are of each stored resource, and how large they are.
fn objects(server: &Server, page: &mut Page) {
    let catalog = server.registry.catalog.current();
    let stored: Vec<_> = catalog.iter().filter(|d| d.row.stores()).collect();
    page.add(&rows::RESOURCE_OBJECTS, |family| {
        for definition in &stored {
            family.number(&[&*definition.row.group, &*definition.row.plural], definition.cache.len() as f64);
        }
    });
    page.add(&rows::STORE_EVENTS, |family| {
        for definition in stored.iter().filter(|definition| definition.cache.received() > 0) {
            family.number(&[&*definition.row.group, &*definition.row.plural], definition.cache.received() as f64);
        }
    });
    page.add(&rows::RESOURCE_BYTES, |family| {
        for definition in &stored {
            let objects = definition.cache.snapshot(0).objects;
            let bytes: usize = objects.values().map(|entry| entry.json.len()).sum();
            family.number(&[&*definition.row.group, &*definition.row.plural], bytes as f64);
        }
    });
}

/// How many families there are. This server hides none, and none can be switched off.
fn count_families(page: &mut Page) {
    page.add(&rows::HIDDEN, |family| family.number(&[], 0.0));
    page.add(&rows::DISABLED, |family| family.number(&[], 0.0));
    let all = page.rows();
    page.add(&rows::REGISTERED, |family| {
        for (stability, count) in all.into_iter().filter(|(stability, _)| !stability.is_empty()) {
            family.number(&["", stability], f64::from(count));
        }
    });
}

fn build(version: &Value, page: &mut Page) {
    page.add(&rows::BUILD, |family| {
        let fields = [
            "buildDate",
            "compiler",
            "gitCommit",
            "gitTreeState",
            "gitVersion",
            "goVersion",
            "major",
            "minor",
            "platform",
        ];
        family.number(&fields.map(|field| version.str(field)), 1.0);
    });
    page.add(&rows::VERSION, |family| {
        let pair =
            |kind: &str| format!("{}.{}", version.str(&format!("{kind}Major")), version.str(&format!("{kind}Minor")));
        let binary = version.str("gitVersion").trim_start_matches('v').split('+').next().unwrap_or_default();
        family.number(&[binary, "kube", &pair("emulation"), &pair("minCompatibility")], 1.0);
    });
}

/// Answers `/metrics` and `/metrics/slis`; none when the path is another's.
pub fn answer(server: &Server, admitted: &Admitted) -> Option<Response<Body>> {
    let text = match admitted.wanted.attributes.path.as_str() {
        "/metrics" if admitted.parts.method == http::Method::DELETE => {
            server.metrics.requests.clear();
            return Some(respond::text(200, "metrics reset\n"));
        }
        "/metrics" => server.metrics.page(server).finish(),
        "/metrics/slis" => {
            let mut page = Page::without(&server.config.hidden_metrics);
            server.health.write(&server.metrics, &mut page);
            page.finish()
        }
        _ => return None,
    };
    let mut response = respond::text(200, Bytes::from(text));
    let headers = response.headers_mut();
    let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.remove(header::X_CONTENT_TYPE_OPTIONS);
    headers.insert("process-start-time-unix", HeaderValue::from(server.config.started));
    Some(response)
}
