//! Events for people, in the events.k8s.io form: one that repeats becomes a series.
//!
//! Telling never holds a pod up: notices go through a bounded queue, and when that is full they are dropped.
//! Upstream: client-go/tools/events.

use std::{collections::HashMap, sync::Arc};

use api::{EcoString, Value, meta, time::Clock, value};
use client::{Client, Patch, Resource};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::Parts;
use crate::Pod;

/// Upstream: maxQueuedEvents.
const QUEUED_MAX: usize = 1000;
/// A series that was silent for so long is over. Upstream: finishTime.
const SERIES_ENDS: SignedDuration = SignedDuration::from_mins(6);
/// So many series are remembered.
const REMEMBERED_MAX: usize = 4096;

/// Hands notices over.
#[derive(Clone)]
pub struct Announcer {
    sender: mpsc::Sender<Notice>,
}

/// What is to be told about a pod.
pub struct Notice {
    pod: Arc<Pod>,
    related: Option<Arc<Pod>>,
    is_warning: bool,
    reason: &'static str,
    action: &'static str,
    note: String,
}

/// What was told, and how often since.
struct Series {
    namespace: EcoString,
    name: String,
    count: i64,
    last: Timestamp,
}

struct Teller {
    client: Client,
    clock: Arc<dyn Clock>,
    host: String,
    known: HashMap<(EcoString, &'static str, &'static str), Series>,
}

// === impl Notice ===

impl Notice {
    pub fn normal(pod: &Arc<Pod>, reason: &'static str, action: &'static str, note: String) -> Notice {
        Notice { pod: pod.clone(), related: None, is_warning: false, reason, action, note }
    }

    pub fn warning(pod: &Arc<Pod>, reason: &'static str, action: &'static str, note: String) -> Notice {
        Notice { is_warning: true, ..Notice::normal(pod, reason, action, note) }
    }

    pub fn about(self, related: &Arc<Pod>) -> Notice {
        Notice { related: Some(related.clone()), ..self }
    }
}

// === impl Announcer ===

impl Announcer {
    pub fn start(parts: &Parts) -> Announcer {
        let (sender, mut notices) = mpsc::channel(QUEUED_MAX);
        let mut teller = Teller {
            client: parts.client.clone(),
            clock: parts.clock.clone(),
            host: parts.host.clone(),
            known: HashMap::new(),
        };
        // It ends when the last announcer is gone.
        tokio::spawn(async move {
            while let Some(notice) = notices.recv().await {
                teller.tell(&notice).await;
            }
        });
        Announcer { sender }
    }

    pub fn tell(&self, notice: Notice) {
        if self.sender.try_send(notice).is_err() {
            tracing::debug!("an event was dropped: too many wait to be told");
        }
    }
}

// === impl Teller ===

impl Teller {
    async fn tell(&mut self, notice: &Notice) {
        let now = self.clock.now();
        let events = Resource::new("events.k8s.io", "v1", "events");
        let key = (notice.pod.uid.clone(), notice.reason, notice.action);
        if let Some(series) = self.known.get_mut(&key).filter(|s| now.duration_since(s.last) < SERIES_ENDS) {
            series.count += 1;
            series.last = now;
            // Upstream tells of the second, and then only once in a while.
            if series.count > 2 {
                return;
            }
            let patch = value!({"series": {"count": series.count, "lastObservedTime": api::time::micros(now)}});
            let target = events.named(&series.namespace, &series.name);
            if self.client.patch(target, Patch::Strategic, &patch).await.is_ok() {
                return;
            }
        }
        let event = self.event(notice, now);
        let meta = meta::of(&event);
        let series = Series { namespace: meta.namespace().into(), name: meta.name().into(), count: 1, last: now };
        match self.client.create(events.within(meta.namespace()), &event).await {
            Ok(_) => {
                if self.known.len() >= REMEMBERED_MAX {
                    self.known.retain(|_, series| now.duration_since(series.last) < SERIES_ENDS);
                }
                if self.known.len() < REMEMBERED_MAX && notice.is_warning {
                    self.known.insert(key, series);
                }
            }
            Err(error) => tracing::debug!(%error, reason = notice.reason, "an event could not be told"),
        }
    }

    fn event(&self, notice: &Notice, now: Timestamp) -> Value {
        let pod = &notice.pod;
        let controller = pod.scheduler.as_str();
        let mut event = value!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {
                "name": format!("{}.{:x}", pod.key.name, now.as_nanosecond()),
                "namespace": pod.key.namespace.as_str()
            },
            "eventTime": api::time::micros(now),
            "reportingController": controller,
            "reportingInstance": format!("{controller}-{}", self.host),
            "action": notice.action,
            "reason": notice.reason,
            "regarding": reference(pod),
            "note": notice.note.as_str(),
            "type": if notice.is_warning { "Warning" } else { "Normal" }
        });
        if let Some(related) = &notice.related {
            event.set("related", reference(related));
        }
        event
    }
}

fn reference(pod: &Pod) -> Value {
    value!({
        "kind": "Pod", "namespace": pod.key.namespace.as_str(), "name": pod.key.name.as_str(),
        "uid": pod.uid.as_str(), "apiVersion": "v1",
        "resourceVersion": meta::of(&pod.object).resource_version()
    })
}
