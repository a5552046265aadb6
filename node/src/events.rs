//! Events: what the node tells users about pods and about itself, as the component kubelet.
//!
//! Told in order by one task, so that nobody who tells waits; when too many wait, the newest are lost. One that repeats
//! is counted up on the one that is there. Upstream: client-go/tools/record, kubelet/events.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use api::{Value, time::Clock, value};
use client::{Client, Patch, Resource};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::{
    pods::carry_out::field_of,
    tell::{Tell, Telling},
};

/// So many may wait to be told.
const WAITING_MAX: usize = 1024;
/// So many are remembered for counting. Upstream: maxLruCacheEntries.
const REMEMBERED_MAX: usize = 4096;
/// One so old is not counted up any more. Upstream: defaultAggregateIntervalInSeconds.
const COUNTED_SECONDS_MAX: i64 = 600;
/// An object may have so many events at once, and then one in so long. Upstream: defaultSpamBurst, defaultSpamQPS.
const BURST: i64 = 25;
const EVERY_SECONDS: i64 = 300;
const COMPONENT: &str = "kubelet";

/// An event to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it is about; for a container, `spec.containers{name}` stands in `field`.
    pub regarding: Value,
    pub field: String,
    pub warning: bool,
    pub reason: Cow<'static, str>,
    pub message: String,
}

/// Takes events.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Event>,
}

/// Tells what [`Events`] took.
pub struct Teller {
    client: Client,
    clock: Arc<dyn Clock>,
    host: String,
    receiver: mpsc::Receiver<Event>,
    known: BTreeMap<String, Known>,
    spent: BTreeMap<String, (i64, Timestamp)>,
}

struct Known {
    namespace: String,
    name: String,
    count: i64,
    last: Timestamp,
}

/// Where events go, and who tells them; `host` is the node's name.
pub fn channel(client: Client, clock: Arc<dyn Clock>, host: &str) -> (Events, Teller) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let teller = Teller { client, clock, host: host.into(), receiver, known: BTreeMap::new(), spent: BTreeMap::new() };
    (Events { sender }, teller)
}

// === impl Events ===

impl Events {
    fn send(&self, event: Event) {
        if self.sender.try_send(event).is_err() {
            tracing::debug!("an event is lost: too many wait");
        }
    }

    pub fn normal(&self, regarding: &Value, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) {
        self.about(regarding, "", false, reason, message.into());
    }

    pub fn warning(&self, regarding: &Value, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) {
        self.about(regarding, "", true, reason, message.into());
    }

    /// About a part of an object, such as `spec.containers{web}`.
    pub fn about(
        &self,
        regarding: &Value,
        field: &str,
        warning: bool,
        reason: impl Into<Cow<'static, str>>,
        message: String,
    ) {
        self.send(Event {
            regarding: reference(regarding),
            field: field.into(),
            warning,
            reason: reason.into(),
            message,
        });
    }
}

/// What of an object an event names.
fn reference(object: &Value) -> Value {
    let meta = api::meta::of(object);
    let (kind, version) = match object.str("kind") {
        "" => ("Pod", "v1"),
        kind => (kind, object.str("apiVersion")),
    };
    value!({
        "kind": kind, "namespace": meta.namespace(), "name": meta.name(), "uid": meta.uid(), "apiVersion": version,
        "resourceVersion": meta.resource_version()
    })
}

impl Tell for Events {
    fn tell(&self, pod: &Value, container: Option<&str>, telling: Telling) {
        let field = container.map(|name| field_of(pod, name)).unwrap_or_default();
        self.about(pod, &field, telling.is_warning, telling.reason, telling.message);
    }
}

// === impl Teller ===

impl Teller {
    /// Tells events until nobody can send any more.
    pub async fn run(mut self) {
        while let Some(event) = self.receiver.recv().await {
            self.record(&event).await;
        }
    }

    async fn record(&mut self, event: &Event) {
        let now = self.clock.now();
        let regarding = &event.regarding;
        let object = format!("{}/{}/{}", regarding.str("kind"), regarding.str("uid"), regarding.str("name"));
        if !self.may_tell(&object, now) {
            return;
        }
        let key = format!("{object}|{}|{}|{}|{}", event.field, event.warning, event.reason, event.message);
        let events = Resource::new("", "v1", "events");
        let fresh = |k: &&mut Known| now.as_second() - k.last.as_second() < COUNTED_SECONDS_MAX;
        if let Some(known) = self.known.get_mut(&key).filter(fresh) {
            let patch = value!({"count": known.count + 1, "lastTimestamp": api::time::seconds(now)});
            let target = events.named(&known.namespace, &known.name);
            if self.client.patch(target, Patch::Strategic, &patch).await.is_ok() {
                known.count += 1;
                known.last = now;
                return;
            }
        }
        let made = self.object(event, now);
        let meta = api::meta::of(&made);
        match self.client.create(events.within(meta.namespace()), &made).await {
            Ok(_) => {
                if self.known.len() >= REMEMBERED_MAX {
                    self.known.clear();
                }
                let (namespace, name) = (meta.namespace().into(), meta.name().into());
                self.known.insert(key, Known { namespace, name, count: 1, last: now });
            }
            Err(error) => tracing::debug!(%error, reason = %event.reason, "an event could not be told"),
        }
    }

    fn object(&self, event: &Event, now: Timestamp) -> Value {
        let namespace = match event.regarding.str("namespace") {
            "" => "default",
            namespace => namespace,
        };
        let at = api::time::seconds(now);
        let mut regarding = event.regarding.clone();
        if !event.field.is_empty() {
            regarding.set("fieldPath", event.field.as_str());
        }
        value!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {
                "name": format!("{}.{:x}", event.regarding.str("name"), now.as_nanosecond()), "namespace": namespace
            },
            "involvedObject": regarding, "reason": event.reason.as_ref(), "message": event.message.as_str(),
            "source": {"component": COMPONENT, "host": self.host.as_str()},
            "firstTimestamp": at.as_str(), "lastTimestamp": at.as_str(), "count": 1,
            "type": if event.warning { "Warning" } else { "Normal" },
            "reportingComponent": COMPONENT, "reportingInstance": self.host.as_str()
        })
    }

    /// Takes a token of the object's bucket, if it has one.
    fn may_tell(&mut self, object: &str, now: Timestamp) -> bool {
        if self.spent.len() >= REMEMBERED_MAX {
            self.spent.clear();
        }
        let (tokens, since) = self.spent.entry(object.into()).or_insert((BURST, now));
        let earned = (now.as_second() - since.as_second()) / EVERY_SECONDS;
        if earned > 0 {
            *tokens = (*tokens + earned).min(BURST);
            *since = now;
        }
        *tokens = (*tokens - 1).max(-1);
        *tokens >= 0
    }
}
