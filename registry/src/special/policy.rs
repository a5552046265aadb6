//! Roles and bindings, kept in the index that authorisation reads.

use std::sync::Arc;

use api::GroupResource;
use auth::authorize::Index;

use crate::{
    Registry,
    cache::{Event, Objects},
};

const RESOURCES: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];
/// Events taken at once.
const BATCH_LEN_MAX: usize = 256;

/// Fills the index and keeps it in step for ever, a task for each resource.
pub fn follow(registry: &Arc<Registry>, index: &Arc<Index>) {
    for resource in RESOURCES {
        let target = GroupResource::new("rbac.authorization.k8s.io", resource);
        let Some(definition) = registry.catalog.get(&target) else { continue };
        let (snapshot, mut cursor) = definition.cache.snapshot_and_cursor(0);
        snapshot.objects.values().for_each(|entry| index.put(&entry.tree()));
        let mut held = snapshot.objects;
        let index = index.clone();
        tokio::spawn(async move {
            let mut events = Vec::new();
            loop {
                if cursor.next(BATCH_LEN_MAX, &mut events).await.is_err() {
                    // It fell behind: everything anew, and what went meanwhile gives no rights any more.
                    let (snapshot, fresh) = definition.cache.snapshot_and_cursor(0);
                    replace(&index, &held, &snapshot.objects);
                    (held, cursor) = (snapshot.objects, fresh);
                }
                for event in events.drain(..) {
                    take(&index, &event);
                    match event.deleted {
                        true => held.remove(&event.entry.key),
                        false => held.insert(event.entry.key.clone(), event.entry.clone()),
                    };
                }
            }
        });
    }
}

fn replace(index: &Index, old: &Objects, new: &Objects) {
    let gone = old.iter().filter(|(key, _)| !new.contains_key(*key));
    gone.for_each(|(_, entry)| index.remove(&entry.tree()));
    new.values().for_each(|entry| index.put(&entry.tree()));
}

fn take(index: &Index, event: &Event) {
    let object = event.entry.tree();
    if event.deleted { index.remove(&object) } else { index.put(&object) }
}
