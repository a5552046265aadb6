//! Takes so many events a second and no more: from all, by namespace, by user, or by source and object.
//!
//! Upstream: plugin/pkg/admission/eventratelimit.

use std::collections::HashMap;

use api::{
    Status, Value,
    field::{Errors, Path},
};
use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{Cluster, Operation, Plugin, Request, aggregate};

pub struct EventRateLimit {
    limits: Vec<Limit>,
}

struct Limit {
    kind: String,
    per_second: f64,
    burst: f64,
    buckets_max: usize,
    buckets: Mutex<HashMap<String, Bucket>>,
}

/// Tokens that were left at a time, in seconds since the epoch.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: f64,
}

const KINDS: [&str; 4] = ["Namespace", "Server", "SourceAndObject", "User"];
const BUCKETS_MAX: usize = 4096;

impl EventRateLimit {
    /// `configuration` is upstream's: `{limits: [{type, qps, burst, cacheSize}]}`. At least one limit is needed.
    pub fn new(configuration: &Value) -> Result<EventRateLimit, String> {
        let limits = configuration.list("limits");
        let mut errors = Errors::new();
        let path = Path::new("limits");
        if limits.is_empty() {
            errors.invalid(&path, configuration.at("limits"), "must not be empty");
        }
        for (i, limit) in limits.iter().enumerate() {
            check(limit, &path.index(i), &mut errors);
        }
        match errors.is_empty() {
            true => Ok(EventRateLimit { limits: limits.iter().map(Limit::read).collect() }),
            false => Err(errors.message()),
        }
    }
}

#[async_trait]
impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        "EventRateLimit"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let event = request.kind.group.is_empty() && request.kind.kind == "Event";
        if !event || request.dry_run {
            return Ok(());
        }
        let now = cluster.clock.now().as_millisecond() as f64 / 1000.0;
        let reached: Vec<String> = self.limits.iter().filter_map(|limit| limit.refuses(request, now)).collect();
        match reached.is_empty() {
            true => Ok(()),
            false => Err(Status::too_many_requests(&aggregate(&reached), 0)),
        }
    }
}

/// Upstream: `ValidateConfiguration`.
fn check(limit: &Value, at: &Path, errors: &mut Errors) {
    let kind = limit.str("type");
    if !KINDS.contains(&kind) {
        errors.not_supported(&at.child("type"), kind, &KINDS);
    }
    for field in ["burst", "qps"] {
        if limit.int(field) <= 0 {
            errors.invalid(&at.child(field), limit.int(field), "must be positive");
        }
    }
    if kind != "Server" && limit.int("cacheSize") < 0 {
        errors.invalid(&at.child("cacheSize"), limit.int("cacheSize"), "must not be negative");
    }
}

// === impl Limit ===

impl Limit {
    fn read(limit: &Value) -> Limit {
        Limit {
            kind: limit.str("type").into(),
            per_second: limit.int("qps") as f64,
            burst: limit.int("burst") as f64,
            buckets_max: match limit.int("cacheSize") {
                0 => BUCKETS_MAX,
                size => size as usize,
            },
            buckets: Mutex::default(),
        }
    }

    fn refuses(&self, request: &Request<'_>, now: f64) -> Option<String> {
        let key = self.key(request);
        let mut buckets = self.buckets.lock();
        if buckets.len() >= self.buckets_max && !buckets.contains_key(&key) {
            let oldest = buckets.iter().min_by(|(a, x), (b, y)| x.at.total_cmp(&y.at).then(a.cmp(b)));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                buckets.remove(&oldest);
            }
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { tokens: self.burst, at: now });
        bucket.tokens = (bucket.tokens + (now - bucket.at).max(0.0) * self.per_second).min(self.burst);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return None;
        }
        Some(format!("limit reached on type {} for key {key}", self.kind))
    }

    fn key(&self, request: &Request<'_>) -> String {
        let (source, about) = (request.object.at("source"), request.object.at("involvedObject"));
        match self.kind.as_str() {
            "Namespace" => request.namespace.into(),
            "User" => request.user.name.clone(),
            "SourceAndObject" => [
                source.str("component"),
                source.str("host"),
                about.str("kind"),
                about.str("namespace"),
                about.str("name"),
                about.str("uid"),
                about.str("apiVersion"),
            ]
            .concat(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World};

    fn event(namespace: &str) -> Ask {
        Ask::create("events", "Event", value!({"metadata": {"name": "e", "namespace": namespace}}))
    }

    #[test]
    fn a_burst_passes_and_then_a_trickle() {
        let limits = value!({"limits": [{"type": "Namespace", "qps": 1, "burst": 2, "cacheSize": 1}]});
        let (plugin, world) = (EventRateLimit::new(&limits).expect("it is right"), World::new());
        let pass = |namespace: &str| event(namespace).validate(&plugin, &world);
        assert_eq!((pass("a"), pass("a")), (Ok(()), Ok(())));
        let error = pass("a").expect_err("the burst is over");
        assert_eq!((error.code(), error.message()), (429, "limit reached on type Namespace for key a"));
        assert_eq!(event("a").dry().validate(&plugin, &world), Ok(()));
        assert_eq!(crate::fake::create_pod(value!({})).validate(&plugin, &world), Ok(()));
        world.pass(1);
        assert_eq!(pass("a"), Ok(()));
        assert!(pass("a").is_err());
        assert_eq!(pass("b"), Ok(()));
        assert_eq!(pass("a"), Ok(()), "there is room for one bucket only: it was forgotten");
    }

    #[test]
    fn wrong_limits_are_named() {
        let wrong = |limits: Value| EventRateLimit::new(&value!({"limits": (limits)})).err().unwrap_or_default();
        assert_eq!(wrong(value!([])), "limits: Invalid value: []: must not be empty");
        assert_eq!(
            wrong(value!([{"type": "User", "qps": 0, "burst": 1}])),
            "limits[0].qps: Invalid value: 0: must be positive"
        );
        assert!(wrong(value!([{"type": "X", "qps": 1, "burst": 1}])).contains("Unsupported value: \"X\""));
        assert_eq!(wrong(value!([{"type": "Server", "qps": 1, "burst": 1, "cacheSize": -1}])), "");
    }
}
