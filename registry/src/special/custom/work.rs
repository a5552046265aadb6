//! What becomes of definitions: their status is kept, and who is to go takes its instances along.
//!
//! Upstream: pkg/controller/{status,establish,finalizer}. Several servers may do the same at once: a write that comes
//! second is refused, and nothing is lost by that.

use std::{sync::Arc, time::Duration};

use api::{EcoString, Status, Value, meta, time};

use super::{CLEANUP, compile::is_true, names, names::Taken, resource};
use crate::{
    Registry,
    cache::{Cursor, Interest, Objects},
    options::{DeleteOptions, ListOptions},
};

/// Between attempts to end a definition.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// Events taken at once.
const BATCH_LEN_MAX: usize = 64;

/// Does it for ever.
pub fn run(registry: &Arc<Registry>) {
    let Some(definition) = registry.catalog.get(&resource()) else { return };
    let registry = registry.clone();
    tokio::spawn(async move {
        let (snapshot, mut cursor) = definition.cache.snapshot_and_cursor(0);
        let mut work = Work { registry, taken: Taken::default(), ending: Default::default() };
        work.begin(&snapshot.objects).await;
        let mut events = Vec::new();
        loop {
            if cursor.next(BATCH_LEN_MAX, &mut events).await.is_err() {
                let (snapshot, fresh) = definition.cache.snapshot_and_cursor(0);
                cursor = fresh;
                work.begin(&snapshot.objects).await;
            }
            for event in events.drain(..) {
                let stored = event.entry.tree();
                match event.deleted {
                    true => work.gone(&stored, &definition.cache.snapshot(0).objects).await,
                    // What has changed again meanwhile is looked at in its turn.
                    false
                        if definition
                            .cache
                            .get(&event.entry.key)
                            .is_some_and(|e| e.revision > event.entry.revision) =>
                    {
                        work.taken.note(&stored);
                    }
                    false => work.look(&stored, &definition.cache.snapshot(0).objects).await,
                }
            }
        }
    });
}

struct Work {
    registry: Arc<Registry>,
    taken: Taken,
    /// The uids of definitions whose instances are being taken away.
    ending: Arc<parking_lot::Mutex<std::collections::BTreeSet<EcoString>>>,
}

impl Work {
    /// Looks at all definitions anew.
    async fn begin(&mut self, objects: &Objects) {
        self.taken = Taken::default();
        let all: Vec<Value> = objects.values().map(|entry| entry.tree()).collect();
        for stored in &all {
            self.taken.note(stored);
        }
        for stored in &all {
            self.settle(stored).await;
        }
    }

    async fn look(&mut self, stored: &Value, objects: &Objects) {
        let freed = self.taken.note(stored);
        self.settle(stored).await;
        if freed {
            self.others(stored, objects).await;
        }
    }

    /// Names are free that somebody may be waiting for.
    async fn gone(&mut self, stored: &Value, objects: &Objects) {
        self.taken.forget(stored);
        self.others(stored, objects).await;
    }

    async fn others(&mut self, stored: &Value, objects: &Objects) {
        let (group, name) = (stored.at("spec").str("group"), meta::of(stored).name());
        let waiting = |tree: &Value| tree.at("spec").str("group") == group && !is_true(tree, "NamesAccepted");
        for entry in objects.values().filter(|entry| entry.key != name && entry.key.ends_with(group)) {
            let tree = entry.tree();
            if waiting(&tree) {
                self.settle(&tree).await;
            }
        }
    }

    async fn settle(&mut self, stored: &Value) {
        let now = time::seconds(self.registry.clock.now());
        if meta::of(stored).is_terminating() {
            return self.end(stored);
        }
        let Some(new) = names::plan(stored, &self.taken, &now) else { return };
        self.taken.note(&new);
        if let Err(error) = self.registry.own_update(&resource(), "status", &new).await {
            tracing::debug!(name = meta::of(stored).name(), %error, "the status of a definition was not written");
        }
    }

    /// Takes the instances of a definition away, once, beside everything else.
    fn end(&self, stored: &Value) {
        let held = meta::of(stored).finalizers().any(|f| f == CLEANUP);
        let uid = EcoString::from(meta::of(stored).uid());
        if !held || !self.ending.lock().insert(uid.clone()) {
            return;
        }
        let (registry, ending, stored) = (self.registry.clone(), self.ending.clone(), stored.clone());
        tokio::spawn(async move {
            let (mut stored, mut wait) = (stored, AGAIN_FIRST);
            // Nothing else may come that would have it tried again: an instance is held, a webhook says no.
            while let Err(error) = finish(&registry, stored.clone()).await {
                tracing::debug!(%error, "the instances of a definition are still there");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN_MAX);
                let found = registry.cluster.look.get(&resource(), "", meta::of(&stored).name());
                let Some(found) = found.filter(|found| meta::of(found).uid() == uid) else { break };
                stored = found;
            }
            ending.lock().remove(&uid);
        });
    }
}

/// Upstream: crd_finalizer.go sync.
async fn finish(registry: &Registry, stored: Value) -> Result<(), Status> {
    let now = || time::seconds(registry.clock.now());
    let message = "CustomResource deletion is in progress";
    let mut stored = write(registry, stored, |stored| {
        names::set_condition(stored, "Terminating", true, "InstanceDeletionInProgress", message, &now());
    })
    .await?;
    let (reason, message) = match is_true(&stored, "Established") {
        true => {
            remove_instances(registry, &stored).await?;
            ("InstanceDeletionCompleted", "removed all instances")
        }
        false => ("NeverEstablished", "resource was never established"),
    };
    // Somebody may have written it meanwhile.
    for _ in 0..8 {
        let written = write(registry, stored.clone(), |stored| {
            names::set_condition(stored, "Terminating", false, reason, message, &now());
            let finalizers = stored.entry_path(&["metadata", "finalizers"]).make_array();
            finalizers.retain(|f| f.as_str() != Some(CLEANUP));
        });
        match written.await {
            Err(error) if error.code() == 409 => {
                let name = meta::of(&stored).name().to_string();
                let Some(found) = registry.cluster.look.get(&resource(), "", &name) else { return Ok(()) };
                stored = found;
            }
            other => return other.map(drop),
        }
    }
    Ok(())
}

async fn write(registry: &Registry, mut stored: Value, change: impl FnOnce(&mut Value)) -> Result<Value, Status> {
    change(&mut stored);
    match registry.own_update(&resource(), "status", &stored).await? {
        crate::Answer::Entry { entry, .. } => Ok(entry.tree()),
        crate::Answer::Hub { object, .. } => Ok(object),
        _ => Ok(stored),
    }
}

/// Deletes all instances through the verbs, and waits until the last is gone.
async fn remove_instances(registry: &Registry, stored: &Value) -> Result<(), Status> {
    let kind = super::compile::resource(stored);
    let Some(definition) = registry.catalog.get(&kind) else { return Ok(()) };
    let (snapshot, mut cursor): (_, Cursor) = definition.cache.snapshot_and_cursor_on(Interest::Everything, 0);
    if !snapshot.objects.is_empty() {
        let ask = registry.own_ask("deletecollection", &kind, "", "", "")?;
        registry.remove_collection(&ask, &DeleteOptions::default(), &ListOptions::default()).await?;
    }
    let mut events = Vec::new();
    while !definition.cache.is_empty() {
        if cursor.next(BATCH_LEN_MAX, &mut events).await.is_err() {
            cursor = definition.cache.snapshot_and_cursor(0).1;
        }
        events.clear();
    }
    Ok(())
}
