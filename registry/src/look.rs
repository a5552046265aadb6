//! The cluster as admission and the special resources read it.

use std::sync::Arc;

use admission::{Equivalent, Look, Mapped, Request};
use api::{GroupResource, Gvk, Status, Value};
use async_trait::async_trait;
use codec::Decoded;
use schema::{
    Schemas, TypeId,
    apply::{self, Form},
};
use store::Store;

use crate::{
    body::{Body, Media},
    cache::{Entry, fill::Filler},
    catalog::Catalog,
    definition::{Definition, Served},
    storage,
    types::{Plain, Types},
    unavailable,
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

impl Reader {
    /// Who serves a kind, the resource of a request before others that are stored with it, and the place of its version.
    fn serving(&self, resource: &GroupResource, kind: &Gvk) -> Option<(Arc<Definition>, usize)> {
        let place = |d: &Arc<Definition>| d.versions.iter().position(|v| v.gvk == *kind);
        let found = |d: Arc<Definition>| place(&d).map(|at| (d, at));
        self.catalog
            .get(resource)
            .and_then(found)
            .or_else(|| self.catalog.current().iter().find_map(|d| found(d.clone())))
    }

    /// Reads an object of a version as its type, with defaults, in the hub.
    async fn read(
        &self,
        request: &Request<'_>,
        object: &Value,
        kind: &Gvk,
        take: fn(Decoded) -> Result<Value, Status>,
    ) -> Result<Value, Status> {
        let read = |types: &dyn Types, id| {
            let text = codec::json::to_string(object);
            let decoded = types.read(Body { media: Media::Json, bytes: text.as_bytes() }, id);
            decoded.map_err(|e| Status::bad_request(e.to_string())).and_then(take)
        };
        if let Some((definition, place)) = self.serving(request.resource, kind) {
            let served = &definition.versions[place];
            let mut object = read(&*definition.world, served.kind_type)?;
            api::meta::set_gvk(&mut object, kind);
            let Some(asked) = definition.asked() else {
                definition.to_hub(&mut object, served);
                return Ok(object);
            };
            // The hub of a request is its own version.
            definition.world.default(&mut object, served.kind_type);
            let own = definition.versions.iter().position(|v| v.gvk.version == request.version);
            return asked.one(&definition, object, own.unwrap_or(place)).await;
        }
        let Some(id) = Plain.schemas().kind(kind) else { return Ok(object.clone()) };
        let mut object = read(&Plain, id)?;
        api::meta::set_gvk(&mut object, kind);
        Ok(object)
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

    fn generation(&self, resource: &GroupResource) -> Option<u64> {
        Some(self.catalog.get(resource)?.cache.revision())
    }

    fn equivalents(&self, resource: &GroupResource, subresource: &str) -> Vec<Equivalent> {
        let resources = self.catalog.current();
        let Some(asked) = self.catalog.get(resource) else { return Vec::new() };
        let together = |d: &&Arc<Definition>| {
            d.resource == *resource
                || (asked.row.stores() && d.row.stores() && d.row.stored.prefix == asked.row.stored.prefix)
        };
        let mut found = Vec::new();
        for definition in resources.iter().filter(together) {
            let served = definition.versions.iter().filter(|v| resources.serves(definition, v));
            found.extend(served.filter_map(|v| {
                Some(Equivalent {
                    resource: definition.resource.clone(),
                    version: v.gvk.version.to_string(),
                    kind: own_kind(v, subresource)?.unwrap_or_else(|| v.gvk.clone()),
                })
            }));
        }
        found
    }

    async fn in_version(&self, request: &Request<'_>, object: &Value, kind: &Gvk) -> Result<Value, Status> {
        let mut object = object.clone();
        match self.serving(request.resource, kind) {
            Some((definition, place)) => match definition.asked() {
                Some(asked) => object = asked.one(&definition, object, place).await?,
                None => definition.from_hub(&mut object, &definition.versions[place]),
            },
            None => {
                let schemas = schema::builtin();
                if let Some(id) = schemas.kind(kind) {
                    api::meta::set_gvk(&mut object, kind);
                    schema::normalise::object(&mut object, id, schemas);
                }
            }
        }
        Ok(object)
    }

    async fn merge(
        &self,
        request: &Request<'_>,
        object: &Value,
        configuration: &Value,
        kind: &Gvk,
    ) -> Result<Result<Value, String>, Status> {
        if let Some((definition, place)) = self.serving(request.resource, kind) {
            return Ok(laid_over(object, configuration, definition.versions[place].kind_type, definition.schemas()));
        }
        match Plain.schemas().kind(kind) {
            Some(id) => Ok(laid_over(object, configuration, id, Plain.schemas())),
            None => Err(admission::unknown_kind(kind)),
        }
    }

    async fn to_hub_strictly(&self, request: &Request<'_>, object: &Value, kind: &Gvk) -> Result<Value, Status> {
        self.read(request, object, kind, |decoded| match decoded.strict.as_slice() {
            [] => Ok(decoded.value),
            wrong => Err(Status::bad_request(format!("strict decoding error: {}", wrong.join(", ")))),
        })
        .await
    }

    async fn to_hub(&self, request: &Request<'_>, object: &Value, kind: &Gvk) -> Result<Value, Status> {
        self.read(request, object, kind, |decoded| Ok(decoded.value)).await
    }
}

/// Lays a configuration over an object. The error is upstream's: mutating/patch/smd.go ApplyStructuredMergeDiff.
fn laid_over(object: &Value, configuration: &Value, id: TypeId, schemas: &Schemas) -> Result<Value, String> {
    let form = Form::of_type(schemas.get(id), schemas);
    apply::check(form, configuration, schemas)
        .map_err(|misfits| format!("failed to convert patch object to typed object: {misfits}"))?;
    let atomics = apply::atomics::atomics(form, configuration, schemas);
    if !atomics.is_empty() {
        let atomics = atomics.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {atomics}"));
    }
    apply::merge::merge(form, object, configuration, schemas).map_err(|why| format!("failed to merge patch: {why}"))
}

/// The kind of requests to a subresource, where it is not the resource's own; none when there is no such subresource.
fn own_kind(served: &Served, subresource: &str) -> Option<Option<Gvk>> {
    if subresource.is_empty() {
        return Some(None);
    }
    Some(served.subresource(subresource)?.kind())
}
