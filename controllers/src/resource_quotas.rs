//! What of each quota is used, counted anew when something was deleted.
//!
//! Admission adds what is created; this controller takes away what is gone, counts for new quotas, and counts everything
//! now and then. Not a plan: a quota may be on any resource, which discovery names. Upstream: pkg/controller/resourcequota.

mod count;
mod pods;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use api::{Value, quantity::Quantity};
use client::{Change, Error, Follower, Form, Mirror, Resource, mirror::Key};
use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::{sync::Notify, time};

use crate::driver::{
    Parts, Spec, Work,
    pool::{Shared, Subscription},
    queue::Queue,
};

use count::Usage;

/// Upstream: `--concurrent-resource-quota-syncs`.
const WORKERS: usize = 5;
/// Between looks at discovery. Upstream: the period of Controller.Sync.
const DISCOVER_EVERY: Duration = Duration::from_secs(30);
const SYNC_MAX: Duration = Duration::from_secs(30);
/// Resources of which more than the number counts.
const WHOLE: [&str; 3] = ["pods", "services", "persistentvolumeclaims"];

pub const SPEC: Spec = Spec {
    name: "resourcequota-controller",
    alias: "resourcequota",
    acts_for: "resourcequota-controller",
    tells_as: "resourcequota-controller",
    wakes_on: &[],
    workers: WORKERS,
    work: Work::Own(|parts| run(parts).boxed()),
};

struct Accountant {
    parts: Parts,
    quotas: Arc<Shared>,
    queue: Queue<Key, ()>,
    counted: RwLock<BTreeMap<Resource, Arc<Shared>>>,
    subscriptions: Mutex<BTreeMap<Resource, Subscription>>,
    progress: Notify,
}

async fn run(parts: Parts) {
    let quotas = parts.pool.whole("v1/resourcequotas");
    let accountant = Arc::new(Accountant {
        parts,
        quotas: quotas.clone(),
        queue: Queue::default(),
        counted: RwLock::default(),
        subscriptions: Mutex::default(),
        progress: Notify::new(),
    });
    let _own = accountant.parts.pool.subscribe(&quotas, accountant.clone());
    while accountant.look_around().await.is_err() {
        time::sleep(Duration::from_secs(1)).await;
    }
    let _ = time::timeout(SYNC_MAX, accountant.wait_for_mirrors()).await;
    let workers = (0..WORKERS).map(|_| accountant.work());
    tokio::join!(futures::future::join_all(workers), accountant.keep_looking(), accountant.count_now_and_then());
}

// === impl Accountant ===

impl Accountant {
    async fn keep_looking(self: &Arc<Self>) {
        loop {
            time::sleep(DISCOVER_EVERY).await;
            if let Err(error) = self.look_around().await {
                tracing::debug!(%error, "discovery failed; the same resources are counted as before");
            }
        }
    }

    async fn count_now_and_then(&self) {
        let period = self.parts.settings.quota_sync;
        if period.is_zero() {
            return;
        }
        loop {
            time::sleep(period).await;
            self.quotas.mirror.all().iter().for_each(|quota| self.queue.add(Key::of(quota)));
        }
    }

    /// Follows every resource that can be counted. Upstream: GetQuotableResources.
    async fn look_around(self: &Arc<Self>) -> Result<(), Error> {
        let catalog = self.parts.pool.client().discover().await?;
        let wanted: BTreeSet<Resource> = catalog
            .with_verbs(&["create", "list", "watch", "delete"])
            .filter(|f| f.namespaced && f.resource.plural != "events")
            .map(|f| f.resource.clone())
            .collect();
        let failed = |r: &Resource| catalog.failures.contains_key(&r.api_version());
        self.counted.write().retain(|r, _| wanted.contains(r) || failed(r));
        self.subscriptions.lock().retain(|r, _| wanted.contains(r) || failed(r));
        for resource in wanted {
            if self.counted.read().contains_key(&resource) {
                continue;
            }
            let core = resource.group.is_empty();
            let whole = core && (WHOLE.contains(&resource.plural.as_str()) || resource.plural == "resourcequotas");
            let form = if whole { Form::Whole } else { Form::Metadata };
            let shared = self.parts.pool.mirror(resource.clone(), form);
            self.counted.write().insert(resource.clone(), shared.clone());
            if !(core && resource.plural == "resourcequotas") {
                let subscription = self.parts.pool.subscribe(&shared, self.clone());
                self.subscriptions.lock().insert(resource, subscription);
            }
        }
        Ok(())
    }

    async fn wait_for_mirrors(&self) {
        loop {
            let told = self.progress.notified();
            let all = self.counted.read().values().all(|shared| shared.mirror.is_synced());
            if all && self.quotas.mirror.is_synced() {
                return;
            }
            told.await;
        }
    }

    async fn work(&self) {
        loop {
            let key = self.queue.pop().await;
            match self.settle(&key).await {
                Ok(()) => self.queue.forget(&key),
                Err(error) => {
                    tracing::debug!(quota = %key, %error, "a quota could not be written");
                    self.queue.failed(&key);
                }
            }
            self.queue.done(&key, Vec::new());
        }
    }

    /// Counts what a quota is about, and writes it when it has changed. Upstream: syncResourceQuota.
    async fn settle(&self, key: &Key) -> Result<(), Error> {
        let Some(quota) = self.quotas.mirror.get(&key.namespace, &key.name) else { return Ok(()) };
        let now = self.parts.clock.now();
        let mut used = Usage::new();
        for (resource, shared) in self.counted.read().iter() {
            if count::concerns(resource, quota.at("spec").at("hard")) {
                let objects = shared.mirror.in_namespace(&key.namespace);
                count::add(&mut used, resource, &objects, quota.at("spec"), now);
            }
        }
        let Some(status) = settled(&quota, &used) else { return Ok(()) };
        let mut quota = Value::clone(&quota);
        quota.set("status", status);
        let quotas = Resource::new("", "v1", "resourcequotas");
        match self.parts.client.update_status(quotas.named(&key.namespace, &key.name), &quota).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Something went, or became less: quotas that count it are counted again. Upstream: replenishQuota.
    fn replenish(&self, resource: &Resource, namespace: &str) {
        for quota in self.quotas.mirror.in_namespace(namespace) {
            if count::concerns(resource, quota.at("status").at("hard")) {
                self.queue.add(Key::of(&quota));
            }
        }
    }
}

impl Follower for Accountant {
    fn changed(&self, mirror: &Mirror, change: &Change) {
        if std::ptr::eq(mirror, &*self.quotas.mirror) {
            let hard = |q: &Option<Arc<Value>>| q.as_ref().map(|q| q.at("spec").at("hard").clone());
            if hard(&change.old) != hard(&change.new) {
                self.queue.add(Key::of(change.object()));
            }
            // Quotas may be counted themselves.
            if change.new.is_none() {
                self.replenish(&mirror.resource, api::meta::of(change.object()).namespace());
            }
            return;
        }
        let less = match (&change.old, &change.new) {
            (Some(_), None) => true,
            (Some(old), Some(new)) => count::may_be_less(&mirror.resource, old, new),
            _ => false,
        };
        if less {
            self.replenish(&mirror.resource, api::meta::of(change.object()).namespace());
        }
    }

    fn progressed(&self, mirror: &Mirror) {
        if mirror.is_synced() {
            self.progress.notify_waiters();
        }
    }
}

/// The status a quota has to have, none when it has it. What nobody counted stays as it was.
fn settled(quota: &Value, used: &Usage) -> Option<Value> {
    let hard = quota.at("spec").at("hard");
    let status = quota.at("status");
    let mut settled = Value::object();
    for (name, _) in hard.members() {
        let known = status.at("used").at(name);
        match used.get(name) {
            Some(amount) if known.is_null() || Quantity::of(known) != *amount => settled.set(name, amount.clone()),
            _ if !known.is_null() => settled.set(name, known.clone()),
            _ => {}
        }
    }
    let same_hard = hard.members().count() == status.at("hard").members().count()
        && hard.members().all(|(name, v)| {
            let known = status.at("hard").at(name);
            !known.is_null() && Quantity::of(known) == Quantity::of(v)
        });
    let dirty = !same_hard || !status.has("hard") || !status.has("used") || settled != *status.at("used");
    dirty.then(|| api::value!({"hard": hard.clone(), "used": settled}))
}

#[cfg(test)]
mod tests;
