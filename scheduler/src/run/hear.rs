//! What mirrors tell, and what it means to the snapshot and the queue. Upstream: pkg/scheduler/eventhandlers.go.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use api::{EcoString, Value, meta};
use client::{Change, Follower, Mirror, mirror::Key};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Scheduler;
use crate::{Pod, plugins::Event};

/// What was told and not heard yet. What is told of one object in a row is heard as one change, so that it never holds
/// more than there are objects.
#[derive(Default)]
pub struct Inbox {
    told: Mutex<ToldSoFar>,
    news: Notify,
}

#[derive(Default)]
struct ToldSoFar {
    /// How many mirrors have their first list.
    synced: usize,
    changes: HashMap<(EcoString, Key), Change>,
    order: VecDeque<(EcoString, Key)>,
}

/// Passes on what a mirror tells.
pub struct Feed {
    inbox: Arc<Inbox>,
    is_synced: AtomicBool,
}

// === impl Inbox ===

impl Inbox {
    /// What was told first.
    pub fn take(&self) -> Option<(EcoString, Change)> {
        let mut told = self.told.lock();
        let key = told.order.pop_front()?;
        let change = told.changes.remove(&key)?;
        Some((key.0, change))
    }

    /// Waits until there is something to take.
    pub async fn wait(&self) {
        self.wait_until(|told| !told.order.is_empty()).await;
    }

    /// Waits until so many mirrors have their first list.
    pub async fn wait_for_mirrors(&self, count: usize) {
        self.wait_until(|told| told.synced >= count).await;
    }

    async fn wait_until(&self, is_so: impl Fn(&ToldSoFar) -> bool) {
        loop {
            let news = self.news.notified();
            if is_so(&self.told.lock()) {
                return;
            }
            news.await;
        }
    }

    fn put(&self, resource: EcoString, change: Change) {
        let mut told = self.told.lock();
        let key = (resource, Key::of(change.object()));
        match told.changes.get_mut(&key) {
            Some(known) => known.new = change.new,
            None => {
                told.changes.insert(key.clone(), change);
                told.order.push_back(key);
            }
        }
        drop(told);
        self.news.notify_one();
    }
}

// === impl Feed ===

impl Feed {
    pub fn new(inbox: Arc<Inbox>) -> Feed {
        Feed { inbox, is_synced: AtomicBool::new(false) }
    }
}

impl Follower for Feed {
    fn changed(&self, mirror: &Mirror, change: &Change) {
        // Of the others nobody is woken: they are read where they are.
        if matches!(mirror.resource.plural.as_str(), "nodes" | "pods") {
            self.inbox.put(mirror.resource.plural.clone(), change.clone());
        }
    }

    fn progressed(&self, mirror: &Mirror) {
        if mirror.is_synced() && !self.is_synced.swap(true, Ordering::AcqRel) {
            self.inbox.told.lock().synced += 1;
            self.inbox.news.notify_one();
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    pub(super) fn hear(&mut self, resource: &str, change: Change) {
        match resource {
            "nodes" => self.hear_of_node(change),
            _ => self.hear_of_pod(change),
        }
    }

    fn hear_of_node(&mut self, change: Change) {
        let now = self.now();
        let event = match (change.old, change.new) {
            (None, Some(new)) => Event::NodeAdded(new),
            (Some(old), Some(new)) => Event::NodeChanged { old, new },
            (Some(old), None) => Event::NodeRemoved(old),
            (None, None) => return,
        };
        match &event {
            Event::NodeAdded(node) => self.snapshot.set_node(node.clone()),
            Event::NodeChanged { old, new } => {
                self.snapshot.set_node(new.clone());
                // A heartbeat lets nobody in.
                if !is_news(old, new) {
                    return;
                }
            }
            Event::NodeRemoved(node) => self.snapshot.remove_node(meta::of(node).name()),
            _ => {}
        }
        self.queue.happened(&event, now);
    }

    fn hear_of_pod(&mut self, change: Change) {
        let now = self.now();
        if let Some(uid) = change.removed_uid().map(EcoString::from) {
            self.queue.remove(&uid);
            self.assumed.remove(&uid);
            if let Some(gone) = change.old.clone().map(Pod::read).map(Arc::new) {
                self.snapshot.nominate(&gone, "");
            }
            if let Some(gone) = self.snapshot.take(&uid) {
                self.queue.happened(&Event::PodGone(gone), now);
            }
        }
        let Some(pod) = change.new.map(Pod::read).map(Arc::new) else { return };
        if !pod.node.is_empty() {
            return self.hear_of_placed(pod);
        }
        // It counts as placed already, and what is told of it is older than that.
        if self.assumed.contains_key(&pod.uid) || self.parts.config.profile(&pod.scheduler).is_none() {
            return;
        }
        self.snapshot.nominate(&pod, &pod.nominated);
        self.queue.put(pod, now);
    }

    fn hear_of_placed(&mut self, pod: Arc<Pod>) {
        let now = self.now();
        self.queue.remove(&pod.uid);
        let known = self.snapshot.placed(&pod.uid).cloned();
        match known.filter(|known| !known.node.is_empty()) {
            Some(old) => {
                self.snapshot.put(pod.clone());
                let is_news = old.held != pod.held || old.labels() != pod.labels();
                if is_news {
                    self.queue.happened(&Event::PodChanged { old, new: pod }, now);
                }
            }
            None => {
                self.snapshot.nominate(&pod, "");
                self.snapshot.put(pod.clone());
                self.queue.happened(&Event::PodPlaced(pod), now);
            }
        }
    }
}

/// Whether something changed that a plugin looks at. Upstream: `nodeSchedulingPropertiesChange`.
fn is_news(old: &Value, new: &Value) -> bool {
    let differ = |path: &[&str]| old.at_path(path) != new.at_path(path);
    differ(&["spec", "unschedulable"])
        || differ(&["spec", "taints"])
        || differ(&["status", "allocatable"])
        || differ(&["metadata", "labels"])
        || differ(&["metadata", "annotations"])
        || differ(&["status", "declaredFeatures"])
}
