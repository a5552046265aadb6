//! Objects whose owners are gone go too; owners wait for those that block them; orphans lose the reference.
//!
//! A graph over all resources that discovery knows, from mirrors of their metadata ([`graph`], pure), and workers that ask
//! the server before they delete anything ([`collect`]): the graph may be behind, and a delete cannot be taken back.
//! Not a plan: what happens to an object depends on others of any kind. Upstream: pkg/controller/garbagecollector.

mod collect;
mod graph;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use api::EcoString;
use client::{Catalog, Change, Error, Follower, Form, Mirror, Resource};
use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::{sync::Notify, time};

use crate::driver::{Parts, Spec, Work, events::Recorder, plan::Event, pool::Subscription, queue::Queue};

use graph::{Graph, Identity, Todo};

/// Upstream: `--concurrent-gc-syncs`.
const WORKERS: usize = 20;
/// Between looks at discovery. Upstream: the period of GarbageCollector.Sync.
const DISCOVER_EVERY: Duration = Duration::from_secs(30);
/// After so long it begins though not all mirrors are complete. Upstream: initialSyncTimeout.
const SYNC_MAX: Duration = Duration::from_secs(30);

pub const SPEC: Spec = Spec {
    name: "garbage-collector-controller",
    alias: "garbagecollector",
    acts_for: "generic-garbage-collector",
    tells_as: "garbage-collector-controller",
    wakes_on: &[],
    workers: WORKERS,
    work: Work::Own(|parts| run(parts).boxed()),
};

/// The collector's state.
struct Collector {
    parts: Parts,
    graph: Mutex<Graph>,
    /// Uids of objects to look at.
    suspects: Queue<EcoString, ()>,
    /// Uids of owners whose dependents are to be let go.
    orphaners: Queue<EcoString, ()>,
    /// What the server serves, as of the last look.
    catalog: RwLock<Arc<Catalog>>,
    /// `apiVersion` and kind of what a mirror holds: metadata alone does not say.
    kinds: RwLock<HashMap<Resource, (EcoString, EcoString)>>,
    recorder: Recorder,
    /// Events that are still to be told.
    told: Mutex<Vec<Event>>,
    progress: Notify,
}

async fn run(parts: Parts) {
    let collector = Arc::new(Collector::new(parts));
    let monitors = Mutex::new(BTreeMap::new());
    while collector.look_around(&monitors).await.is_err() {
        time::sleep(Duration::from_secs(1)).await;
    }
    let _ = time::timeout(SYNC_MAX, collector.wait_for_mirrors(&monitors)).await;
    let suspects = (0..WORKERS).map(|_| collector.work_on_suspects());
    let orphaners = (0..WORKERS).map(|_| collector.work_on_orphaners());
    tokio::join!(
        futures::future::join_all(suspects),
        futures::future::join_all(orphaners),
        collector.keep_looking(&monitors),
    );
}

type Monitors = Mutex<BTreeMap<Resource, (Arc<Mirror>, Subscription)>>;

// === impl Collector ===

impl Collector {
    fn new(parts: Parts) -> Collector {
        let recorder = Recorder::new(parts.client.clone(), parts.clock.clone(), SPEC.name);
        Collector {
            parts,
            graph: Mutex::default(),
            suspects: Queue::default(),
            orphaners: Queue::default(),
            catalog: RwLock::default(),
            kinds: RwLock::default(),
            recorder,
            told: Mutex::default(),
            progress: Notify::new(),
        }
    }

    async fn keep_looking(self: &Arc<Self>, monitors: &Monitors) {
        loop {
            time::sleep(DISCOVER_EVERY).await;
            if let Err(error) = self.look_around(monitors).await {
                tracing::debug!(%error, "discovery failed; the graph stays as it is");
            }
        }
    }

    /// Follows every resource that can be deleted, listed and watched. Upstream: Sync, GetDeletableResources.
    async fn look_around(self: &Arc<Self>, monitors: &Monitors) -> Result<(), Error> {
        let catalog = Arc::new(self.parts.pool.client().discover().await?);
        let wanted: BTreeMap<Resource, (EcoString, EcoString)> = catalog
            .with_verbs(&["delete", "list", "watch"])
            .filter(|found| !is_ignored(&found.resource))
            .map(|f| (f.resource.clone(), (f.resource.api_version().into(), f.kind.clone())))
            .collect();
        if wanted.is_empty() {
            return Err(Error::Unreadable("discovery names no resources".into()));
        }
        self.kinds.write().extend(wanted.clone());
        let failed = |r: &Resource| catalog.failures.contains_key(&r.api_version());
        let gone: Vec<Resource> =
            monitors.lock().keys().filter(|r| !wanted.contains_key(r) && !failed(r)).cloned().collect();
        *self.catalog.write() = catalog;
        for resource in gone {
            monitors.lock().remove(&resource);
            self.parts.pool.forget(&resource);
        }
        for resource in wanted.into_keys() {
            if monitors.lock().contains_key(&resource) {
                continue;
            }
            let shared = self.parts.pool.mirror(resource.clone(), Form::Metadata);
            let subscription = self.parts.pool.subscribe(&shared, self.clone());
            monitors.lock().insert(resource, (shared.mirror.clone(), subscription));
        }
        Ok(())
    }

    async fn wait_for_mirrors(&self, monitors: &Monitors) {
        loop {
            let told = self.progress.notified();
            if monitors.lock().values().all(|(mirror, _)| mirror.is_synced()) {
                return;
            }
            told.await;
        }
    }

    /// Has what a change of the graph asks for done.
    fn queue(&self, todo: Vec<Todo>) {
        for one in todo {
            match one {
                Todo::Suspect(uid) => self.suspects.add(uid),
                Todo::SuspectLater(uid) => self.suspects.failed(&uid),
                Todo::Orphan(uid) => self.orphaners.add(uid),
                Todo::Tell(event) => self.told.lock().push(event),
            }
        }
    }

    /// An object turned out not to be there.
    fn is_absent(&self, identity: &Identity) {
        let todo = self.graph.lock().remove_virtual(identity);
        self.queue(todo);
    }
}

impl Follower for Collector {
    fn changed(&self, mirror: &Mirror, change: &Change) {
        let Some((api_version, kind)) = self.kinds.read().get(&mirror.resource).cloned() else { return };
        let mut todo = Vec::new();
        let mut graph = self.graph.lock();
        let replaced = change.removed_uid().is_some();
        if let (true, Some(old)) = (replaced, &change.old) {
            todo.extend(graph.remove(&Identity::of(&api_version, &kind, old)));
        }
        if let Some(new) = &change.new {
            let old = change.old.as_deref().filter(|_| !replaced);
            todo.extend(graph.observe(Identity::of(&api_version, &kind, new), old, new));
        }
        drop(graph);
        self.queue(todo);
    }

    fn progressed(&self, mirror: &Mirror) {
        if mirror.is_synced() {
            self.progress.notify_waiters();
        }
    }
}

/// Events come and go by themselves. Upstream: DefaultIgnoredResources.
fn is_ignored(resource: &Resource) -> bool {
    resource.plural == "events" && matches!(resource.group.as_str(), "" | "events.k8s.io")
}

#[cfg(test)]
mod tests;
