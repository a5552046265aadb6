//! The cluster as admission and the special resources read it.

use std::sync::Arc;

use admission::Look;
use api::{GroupResource, Status, Value};
use async_trait::async_trait;
use store::Store;

use crate::{cache::fill::Filler, catalog::Catalog, storage, unavailable};

/// Reads objects for the server itself.
pub struct Reader {
    pub catalog: Arc<Catalog>,
    pub filler: Arc<Filler>,
    pub store: Arc<dyn Store>,
    /// `/registry`
    pub prefix: String,
}

#[async_trait]
impl Look for Reader {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value> {
        let definition = self.catalog.get(resource)?;
        definition.cache.get(&definition.local_key(namespace, name)).map(|e| e.tree())
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        let Some(definition) = self.catalog.get(resource) else { return Vec::new() };
        let snapshot = definition.cache.snapshot(0);
        let inside = |e: &&Arc<crate::cache::Entry>| namespace.is_empty() || e.head.namespace == namespace;
        snapshot.objects.values().filter(inside).map(|e| e.tree()).collect()
    }

    async fn get_live(&self, resource: &GroupResource, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
        let Some(definition) = self.catalog.get(resource) else { return Ok(None) };
        let key = format!("{}/{}", self.prefix, definition.key(namespace, name));
        let (found, _) = self.store.get(&key).await.map_err(|e| unavailable(e, resource, "get"))?;
        let Some(stored) = found else { return Ok(None) };
        let local = definition.local_key(namespace, name);
        let entry = storage::read(&definition, &local, &stored).map_err(Status::internal)?;
        Ok(Some(entry.tree()))
    }
}
