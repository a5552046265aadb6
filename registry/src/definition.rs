//! A row with its schema, compiled: what the verbs read.
//!
//! Built-in rows and CustomResourceDefinitions compile into the same type, so there is one road.

use std::sync::Arc;

use api::{EcoString, GroupResource, Gvk, Value};
use resources::{
    Row,
    row::{Convert, Generation, Subresource, Version},
};
use schema::{Schemas, TypeId, default::Defaults};

use crate::cache::Cache;

/// A resource that is served.
pub struct Definition {
    pub row: &'static Row,
    /// `deployments.apps`, as messages about the resource name it.
    pub resource: GroupResource,
    /// Group and kind, as messages about the object name it.
    pub kind: GroupResource,
    /// The storage version, in which rules, admission and plans see the object.
    pub hub: Gvk,
    pub hub_type: TypeId,
    pub versions: Vec<Served>,
    /// A delete answers the object that went, and not a Status. Upstream: `Store.ReturnDeletedObject`.
    pub returns_deleted: bool,
    pub world: Arc<World>,
    pub cache: Arc<Cache>,
}

/// What all definitions share: the types and what is hung on them.
pub struct World {
    pub schemas: &'static Schemas,
    pub defaults: Defaults,
}

/// One served version.
pub struct Served {
    pub version: &'static Version,
    pub gvk: Gvk,
    pub kind_type: TypeId,
    pub list_kind: EcoString,
    /// `{"kind":"Pod","apiVersion":"v1",`: how JSON of this version begins.
    pub json_head: String,
}

/// Why a row does not compile: a mistake in the row, found at start and by a test.
#[derive(Debug, thiserror::Error)]
#[error("the row of {resource}: {why}")]
pub struct RowError {
    pub resource: String,
    pub why: String,
}

impl Definition {
    /// Compiles a row. `cache` is shared by rows that are stored together.
    pub fn compile(row: &'static Row, world: Arc<World>, cache: Arc<Cache>) -> Result<Definition, RowError> {
        let fault = |why: String| RowError { resource: format!("{}.{}", row.plural, row.group), why };
        let type_of = |gvk: &Gvk, name: &str| {
            world.schemas.id(name).ok_or_else(|| fault(format!("no type is called {name} (version {})", gvk.version)))
        };
        let mut versions = Vec::new();
        for version in row.versions {
            let gvk = Gvk::new(row.group, version.name, row.kind);
            versions.push(Served {
                kind_type: type_of(&gvk, version.schema)?,
                list_kind: format!("{}List", row.kind).into(),
                json_head: json_head(&gvk),
                gvk,
                version,
            });
        }
        let hub = match versions.first() {
            // What is never stored has no storage version: its own will do.
            Some(first) if !row.stores() => first.gvk.clone(),
            _ => Gvk::new(row.stored.group, row.stored.version, row.kind),
        };
        let hub_type = match versions.iter().find(|v| v.gvk == hub) {
            Some(served) => served.kind_type,
            None => world.schemas.kind(&hub).ok_or_else(|| fault(format!("the storage version {hub} has no type")))?,
        };
        Ok(Definition {
            resource: GroupResource::new(row.group, row.plural),
            kind: hub.group_kind(),
            row,
            hub,
            hub_type,
            versions,
            returns_deleted: schema::load::returns_deleted(row.group, row.plural),
            world,
            cache,
        })
    }

    pub fn served(&self, version: &str) -> Option<&Served> {
        self.versions.iter().find(|v| v.gvk.version == version)
    }

    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.row.subresources.iter().find(|s| s.name() == name)
    }

    pub fn schemas(&self) -> &'static Schemas {
        self.world.schemas
    }

    /// The key of an object under its prefix: `namespace/name` or `name`.
    pub fn local_key(&self, namespace: &str, name: &str) -> EcoString {
        if self.row.namespaced { format!("{namespace}/{name}").into() } else { name.into() }
    }

    /// The key of an object in the store, without the server's prefix: `pods/default/web`.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.row.stored.prefix, self.local_key(namespace, name))
    }

    /// Applies defaults of `served`'s version, converts to the hub and defaults there what only the hub has.
    pub fn to_hub(&self, object: &mut Value, served: &Served) {
        self.world.defaults.apply(object, served.kind_type, self.schemas());
        if served.gvk == self.hub {
            return;
        }
        if let Some(Convert { to_hub, .. }) = served.version.convert {
            to_hub(object);
            api::meta::set_gvk(object, &self.hub);
            self.world.defaults.apply(object, self.hub_type, self.schemas());
            return;
        }
        api::meta::set_gvk(object, &self.hub);
    }

    /// Brings a hub object into the form in which the stored ones are, but for what is empty and to rules is there.
    /// Returns whether there was such. Bytes matter where the generation does not go by semantic equality.
    pub fn normalise_keeping_empty(&self, object: &mut Value) -> bool {
        let normalise = match self.row.generation {
            Generation::WhenWritten(_) => schema::normalise::keeping_all,
            _ => schema::normalise::keeping_empty,
        };
        normalise(object, self.hub_type, self.schemas())
    }

    /// Turns an object of one version into another, with nothing filled in: what is merged is not complete.
    pub fn recast(&self, object: &mut Value, from: &Served, to: &Served) {
        if let Some(Convert { to_hub, .. }) = from.version.convert {
            to_hub(object);
        }
        if let Some(Convert { from_hub, .. }) = to.version.convert {
            from_hub(object);
        }
        api::meta::set_gvk(object, &to.gvk);
        schema::normalise::object(object, to.kind_type, self.schemas());
    }

    /// Turns a hub object into `served`'s version, normalised.
    pub fn from_hub(&self, object: &mut Value, served: &Served) {
        if served.gvk != self.hub {
            if let Some(Convert { from_hub, .. }) = served.version.convert {
                from_hub(object);
            }
            api::meta::set_gvk(object, &served.gvk);
            self.world.defaults.apply(object, served.kind_type, self.schemas());
        }
        schema::normalise::object(object, served.kind_type, self.schemas());
    }
}

fn json_head(gvk: &Gvk) -> String {
    format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", gvk.kind, gvk.api_version())
}
