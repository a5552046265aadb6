//! What is counted of each request: how many, how long, how large, how many that last.
//!
//! A request costs one look-up: all its cells hang together. Upstream: apiserver/pkg/endpoints/metrics MonitorRequest.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Instant,
};

use api::{Attributes, EcoString};
use parking_lot::Mutex;
use registry::options::Query;

use super::{Counter, Gauge, Histogram, Labeled, Metrics, Page, rows};

/// The cells of all requests.
#[derive(Default)]
pub struct Requests {
    /// By component, dry run, group, resource, scope, subresource, verb, version.
    served: Labeled<8, Served>,
    lasting: Labeled<7, Gauge>,
    terminated: Labeled<8, Counter>,
    own: Labeled<4, Counter>,
    deprecated: Labeled<5, Gauge>,
    bodies: Labeled<3, Histogram>,
    /// Which of [`VALIDATIONS`] there were, a bit each.
    validations: AtomicU8,
}

/// What requests say of how strictly their fields are read. Upstream makes a series of durations for each of them and
/// observes nothing in it. Upstream: `cleanFieldValidation`, `MonitorRequest`.
const VALIDATIONS: [&str; 5] = ["", "Ignore", "Strict", "Warn", "invalid"];

/// The cells of requests that are alike.
struct Served {
    codes: Mutex<Vec<(u16, u64)>>,
    duration: Histogram,
    sli: Histogram,
    sizes: Histogram,
}

/// A request as its cells are labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    component: &'static str,
    dry_run: EcoString,
    group: EcoString,
    resource: EcoString,
    scope: &'static str,
    subresource: EcoString,
    verb: &'static str,
    version: EcoString,
    /// Its place among [`VALIDATIONS`].
    validation: u8,
}

/// A request on its way. It is counted when this is dropped, which is when the last byte of its answer has gone.
pub struct Record {
    metrics: Arc<Metrics>,
    key: Key,
    received: Instant,
    /// How long it waited in a queue.
    pub waited: std::time::Duration,
    pub code: u16,
    pub len: u64,
    lasting: Option<Arc<Gauge>>,
}

// === impl Key ===

impl Key {
    /// `apply` is whether the body is an apply patch. None where upstream counts nothing: at paths that name no
    /// resource and no endpoint.
    pub fn of(method: &str, attributes: &Attributes, query: &Query, apply: bool) -> Option<Key> {
        let a = attributes;
        if !a.is_resource {
            return endpoint(method, &a.path, query);
        }
        let scope = match () {
            () if !a.name.is_empty() || a.verb == "create" => "resource",
            () if !a.namespace.is_empty() => "namespace",
            () => "cluster",
        };
        let verb = match method {
            _ if matches!(a.subresource.as_str(), "log" | "exec" | "portforward" | "attach" | "proxy") => "CONNECT",
            "GET" | "HEAD" if a.verb == "watch" => "WATCH",
            "GET" | "HEAD" if scope != "resource" => "LIST",
            "GET" | "HEAD" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" if apply => "APPLY",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            _ => "other",
        };
        Some(Key {
            component: "apiserver",
            dry_run: dry_run(query),
            group: a.group.as_str().into(),
            resource: a.resource.as_str().into(),
            scope,
            subresource: a.subresource.as_str().into(),
            verb,
            version: a.version.as_str().into(),
            validation: validation(query),
        })
    }

    fn of_request(&self) -> [&str; 7] {
        [self.component, &self.group, &self.resource, self.scope, &self.subresource, self.verb, &self.version]
    }
}

/// What upstream says of endpoints that are no resources: the path stands for the subresource, and paths are few.
fn endpoint(method: &str, path: &str, query: &Query) -> Option<Key> {
    const COUNTED: [&str; 8] =
        ["/healthz", "/livez", "/readyz", "/metrics", "/openapi/v2", "/openapi/v3", "/statusz", "/flagz"];
    let path = COUNTED.iter().find(|counted| path.trim_end_matches('/') == **counted)?;
    let verb = match method {
        "GET" | "HEAD" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    };
    Some(Key {
        component: "",
        dry_run: EcoString::new(),
        group: EcoString::new(),
        resource: EcoString::new(),
        scope: "",
        subresource: (*path).into(),
        verb,
        version: EcoString::new(),
        validation: validation(query),
    })
}

/// Upstream: `cleanDryRun`.
fn dry_run(query: &Query) -> EcoString {
    let mut said = query.all("dryRun").filter(|s| !s.is_empty()).peekable();
    if said.peek().is_none() {
        return EcoString::new();
    }
    if said.all(|s| s == "All") { "All".into() } else { "invalid".into() }
}

fn validation(query: &Query) -> u8 {
    let mut said = query.all("fieldValidation");
    let word = match (said.next(), said.next()) {
        (None, _) => "",
        (Some(one), None) => one,
        (Some(_), Some(_)) => "invalid",
    };
    let place = VALIDATIONS.iter().position(|known| *known == word).unwrap_or(VALIDATIONS.len() - 1);
    place as u8
}

// === impl Requests ===

impl Requests {
    /// A deprecated API was asked for.
    pub fn deprecated(&self, attributes: &Attributes, removed: &str) {
        let labels =
            [&*attributes.group, removed, &*attributes.resource, &*attributes.subresource, &*attributes.version];
        self.deprecated.get(labels, Gauge::default).set(1.0);
    }

    /// A body was read.
    pub fn body(&self, attributes: &Attributes, len: usize) {
        let labels = [&*attributes.group, &*attributes.resource, &*attributes.verb];
        self.bodies.get(labels, || Histogram::new(&rows::BODY_BYTES)).observe(len as f64);
    }

    /// The server itself asked.
    pub fn own(&self, key: &Key) {
        self.own.get([&key.group, &key.resource, &key.subresource, key.verb], Counter::default).add(1);
    }

    /// A request was ended to protect the server.
    pub fn terminated(&self, key: &Key, code: u16) {
        let code = code.to_string();
        let [a, b, c, d, e, f, g] = key.of_request();
        self.terminated.get([&code, a, b, c, d, e, f, g], Counter::default).add(1);
    }

    pub fn clear(&self) {
        self.served.clear();
        self.terminated.clear();
        self.own.clear();
        self.deprecated.clear();
        self.bodies.clear();
        self.validations.store(0, Relaxed);
    }

    pub fn write(&self, page: &mut Page) {
        page.add(&rows::REQUEST_TOTAL, |family| {
            self.served.each(|[component, dry_run, group, resource, scope, subresource, verb, version], cell| {
                for (code, count) in cell.codes.lock().iter() {
                    let code = code.to_string();
                    let labels = [&code, component, dry_run, group, resource, scope, subresource, verb, version];
                    family.number(&labels, *count as f64);
                }
            });
        });
        page.add(&rows::REQUEST_DURATION, |family| {
            self.served.each(|labels, cell| cell.duration.write(family, &labels));
        });
        for (row, of) in
            [(&rows::REQUEST_SLI, (|s| &s.sli) as fn(&Served) -> &Histogram), (&rows::RESPONSE_SIZES, |s| &s.sizes)]
        {
            page.add(row, |family| {
                self.served.each(|[component, dry_run, group, resource, scope, subresource, verb, version], cell| {
                    if dry_run.is_empty() && of(cell).count() > 0 {
                        of(cell).write(family, &[component, group, resource, scope, subresource, verb, version]);
                    }
                });
            });
        }
        self.lasting.write(page, &rows::LONG_RUNNING);
        self.terminated.write(page, &rows::TERMINATIONS);
        self.own.write(page, &rows::SELF_REQUESTS);
        self.deprecated.write(page, &rows::DEPRECATED);
        self.bodies.write(page, &rows::BODY_SIZES);
        let validations = self.validations.load(Relaxed);
        page.add(&rows::FIELD_VALIDATION, |family| {
            let empty = Histogram::new(&rows::SLI_SECONDS);
            let seen = VALIDATIONS.iter().enumerate().filter(|(place, _)| validations >> place & 1 == 1);
            seen.for_each(|(_, word)| empty.write(family, &[word]));
        });
    }
}

// === impl Record ===

impl Record {
    /// `lasts` is whether the request is one that may go on for long.
    pub fn new(metrics: &Arc<Metrics>, key: Key, received: Instant, lasts: bool) -> Record {
        let lasting = lasts.then(|| metrics.requests.lasting.get(key.of_request(), Gauge::default));
        if let Some(gauge) = &lasting {
            gauge.add(1.0);
        }
        let (waited, code, len) = (std::time::Duration::ZERO, 0, 0);
        Record { metrics: metrics.clone(), key, received, waited, code, len, lasting }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(gauge) = &self.lasting {
            gauge.add(-1.0);
        }
        if self.code == 0 {
            // It never came to an answer: the client went away.
            return;
        }
        let key = &self.key;
        let [a, b, c, d, e, f, g] = key.of_request();
        let cell = self.metrics.requests.served.get([a, &key.dry_run, b, c, d, e, f, g], Served::new);
        let validations = &self.metrics.requests.validations;
        if validations.load(Relaxed) >> key.validation & 1 == 0 {
            validations.fetch_or(1 << key.validation, Relaxed);
        }
        let seconds = self.received.elapsed();
        cell.count(self.code);
        cell.duration.observe(seconds.as_secs_f64());
        if key.dry_run.is_empty() {
            cell.sli.observe(seconds.saturating_sub(self.waited).as_secs_f64());
        }
        if matches!(key.verb, "GET" | "LIST") {
            cell.sizes.observe(self.len as f64);
        }
    }
}

impl Served {
    fn new() -> Served {
        Served {
            codes: Mutex::default(),
            duration: Histogram::new(&rows::SECONDS),
            sli: Histogram::new(&rows::SLI_SECONDS),
            sizes: Histogram::new(&rows::SIZES),
        }
    }

    fn count(&self, code: u16) {
        let mut codes = self.codes.lock();
        match codes.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => codes.push((code, 1)),
        }
    }
}
