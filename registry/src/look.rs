//! The cluster as admission and the special resources read it.

use std::sync::Arc;

use admission::{Look, Mapped};
use api::{GroupResource, Gvk, Status, Value};
use async_trait::async_trait;
use store::Store;

use crate::{
    cache::{Entry, fill::Filler},
    catalog::Catalog,
    definition::Served,
    storage, unavailable,
};

/// Reads objects for the server itself.
pub struct Reader {
    pub catalog: Arc<Catalog>,
    pub filler: Arc<Filler>,
    pub store: Arc<dyn Store>,
    /// `/registry`
    pub prefix: String,
}

impl Reader {
    /// The objects of a namespace (`""`: of all) that are wanted, in order.
    fn trees(&self, resource: &GroupResource, namespace: &str, wanted: impl Fn(&Entry) -> bool) -> Vec<Value> {
        let Some(definition) = self.catalog.get(resource) else { return Vec::new() };
        let objects = definition.cache.snapshot(0).objects;
        let wanted = |e: &&Arc<Entry>| wanted(e);
        if namespace.is_empty() || !definition.row.namespaced {
            let inside = |e: &&Arc<Entry>| namespace.is_empty() || e.head.namespace == namespace;
            return objects.values().filter(inside).filter(wanted).map(|e| e.tree()).collect();
        }
        // A namespace's objects stand together.
        let first = api::EcoString::from(format!("{namespace}/"));
        let inside = objects.range(first..).map(|(_, e)| e).take_while(|e| e.head.namespace == namespace);
        inside.filter(wanted).map(|e| e.tree()).collect()
    }
}

#[async_trait]
impl Look for Reader {
    fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value> {
        let definition = self.catalog.get(resource)?;
        definition.cache.get(&definition.local_key(namespace, name)).map(|e| e.tree())
    }

    fn shared(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let definition = self.catalog.get(resource)?;
        definition.cache.tree(&definition.local_key(namespace, name))
    }

    fn list(&self, resource: &GroupResource, namespace: &str) -> Vec<Value> {
        self.trees(resource, namespace, |_| true)
    }

    fn list_saying(&self, resource: &GroupResource, namespace: &str, text: &str) -> Vec<Value> {
        self.trees(resource, namespace, |e| std::str::from_utf8(&e.json).is_ok_and(|json| json.contains(text)))
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

    fn resources_of(&self, kind: &Gvk) -> Vec<Mapped> {
        let resources = self.catalog.current();
        let mut found = Vec::new();
        for definition in resources.iter().filter(|d| d.row.group == kind.group && d.row.kind == kind.kind) {
            let wanted = |v: &&Served| kind.version.is_empty() || v.gvk.version == kind.version;
            let served = definition.versions.iter().filter(wanted).filter(|v| resources.serves(definition, v));
            found.extend(served.map(|v| Mapped {
                resource: definition.resource.clone(),
                version: v.gvk.version.to_string(),
                namespaced: definition.row.namespaced,
            }));
        }
        found
    }
}
