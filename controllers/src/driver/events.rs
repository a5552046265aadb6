//! Events: what controllers tell users about objects.
//!
//! One that repeats is counted up on the one that is there. Upstream: client-go/tools/record.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use api::{Value, time::Clock, value};
use client::{Client, Patch, Resource};
use jiff::Timestamp;
use parking_lot::Mutex;

use super::plan::Event;

/// So many events are remembered for counting. Upstream: maxLruCacheEntries.
const REMEMBERED_MAX: usize = 4096;
/// Events that are so old are not counted up any more. Upstream: defaultAggregateIntervalInSeconds.
const COUNTED_SECONDS_MAX: i64 = 600;
/// An object may have so many events at once, and then one in so long. Upstream: defaultSpamBurst, defaultSpamQPS.
const BURST: i64 = 25;
const EVERY_SECONDS: i64 = 300;

/// Tells events as one component.
pub struct Recorder {
    client: Client,
    clock: Arc<dyn Clock>,
    component: &'static str,
    known: Mutex<HashMap<u64, Known>>,
    spent: Mutex<HashMap<u64, (i64, Timestamp)>>,
}

#[derive(Clone)]
struct Known {
    namespace: String,
    name: String,
    count: i64,
    last: Timestamp,
}

// === impl Recorder ===

impl Recorder {
    pub fn new(client: Client, clock: Arc<dyn Clock>, component: &'static str) -> Recorder {
        Recorder { client, clock, component, known: Mutex::default(), spent: Mutex::default() }
    }

    /// Tells an event. That it could not be told is no failure: it is for people, not for programs.
    pub async fn record(&self, event: &Event) {
        let now = self.clock.now();
        if !self.may_tell(event, now) {
            return;
        }
        let events = Resource::new("", "v1", "events");
        let key = hash(&(reference(&event.regarding), event.warning, event.reason.as_str(), event.message.as_str()));
        let known = self.known.lock().get(&key).filter(|k| seconds_between(k.last, now) < COUNTED_SECONDS_MAX).cloned();
        if let Some(known) = known {
            let patch = value!({"count": known.count + 1, "lastTimestamp": api::time::seconds(now)});
            let target = events.named(&known.namespace, &known.name);
            if self.client.patch(target, Patch::Merge, &patch).await.is_ok() {
                self.remember(key, Known { count: known.count + 1, last: now, ..known });
                return;
            }
        }
        let object = self.object(event, now);
        let meta = api::meta::of(&object);
        match self.client.create(events.within(meta.namespace()), &object).await {
            Ok(_) => {
                let known = Known { namespace: meta.namespace().into(), name: meta.name().into(), count: 1, last: now };
                self.remember(key, known);
            }
            Err(error) => tracing::debug!(%error, reason = %event.reason, "an event could not be told"),
        }
    }

    fn object(&self, event: &Event, now: Timestamp) -> Value {
        let meta = api::meta::of(&event.regarding);
        let namespace = if meta.namespace().is_empty() { "default" } else { meta.namespace() };
        let at = api::time::seconds(now);
        value!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{}.{:x}", meta.name(), now.as_nanosecond()), "namespace": namespace},
            "involvedObject": {
                "kind": event.regarding.str("kind"), "namespace": meta.namespace(), "name": meta.name(),
                "uid": meta.uid(), "apiVersion": event.regarding.str("apiVersion"),
                "resourceVersion": meta.resource_version()
            },
            "reason": event.reason.clone(), "message": event.message.as_str(),
            "source": {"component": self.component},
            "firstTimestamp": at.as_str(), "lastTimestamp": at.as_str(), "count": 1,
            "type": if event.warning { "Warning" } else { "Normal" },
            "reportingComponent": self.component, "reportingInstance": ""
        })
    }

    /// Takes a token of the object's bucket, if it has one.
    fn may_tell(&self, event: &Event, now: Timestamp) -> bool {
        let mut spent = self.spent.lock();
        if spent.len() >= REMEMBERED_MAX {
            spent.clear();
        }
        let (tokens, since) = spent.entry(hash(&reference(&event.regarding))).or_insert((BURST, now));
        let earned = seconds_between(*since, now) / EVERY_SECONDS;
        if earned > 0 {
            *tokens = (*tokens + earned).min(BURST);
            *since = now;
        }
        *tokens -= 1;
        *tokens = (*tokens).max(-1);
        *tokens >= 0
    }

    fn remember(&self, key: u64, known: Known) {
        let mut all = self.known.lock();
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(key, known);
    }
}

fn reference(object: &Value) -> (&str, &str, &str, &str) {
    let meta = api::meta::of(object);
    (object.str("kind"), meta.namespace(), meta.name(), meta.uid())
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second() - from.as_second()
}
