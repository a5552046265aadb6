//! A row with its schema, compiled: what the verbs read.
//!
//! Built-in rows and CustomResourceDefinitions compile into the same type, so there is one road.

use std::{ops::Deref, sync::Arc};

use api::{EcoString, GroupResource, Gvk, Value};
use resources::{
    Row,
    row::{self, Convert, Subresource, Version},
};
use schema::{Schemas, TypeId};

use crate::{cache::Cache, convert::Conversion, scale::Paths, table::Column, types::Types};

pub use crate::types::World;

/// A resource that is served.
pub struct Definition {
    pub row: Named,
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
    /// Why nothing of it can be made any more.
    pub closed: Option<&'static str>,
    pub world: Arc<dyn Types>,
    pub cache: Arc<Cache>,
    pub conversion: Conversion,
    /// How requests for each version see this, where a webhook converts; none elsewhere, and of a view.
    pub views: Vec<Arc<Definition>>,
}

/// A row under its own names. What a kind does is declared, in a row; how it is called may be a user's choice.
pub struct Named {
    pub group: EcoString,
    pub kind: EcoString,
    pub plural: EcoString,
    pub singular: EcoString,
    pub short_names: Vec<EcoString>,
    pub categories: Vec<EcoString>,
    pub namespaced: bool,
    pub stored: Stored,
    pub selectable: Vec<Selectable>,
    pub does: &'static Row,
}

/// How it lies in the store.
pub struct Stored {
    /// Under the server's prefix: `pods`, `services/specs`, `stable.example.com/crontabs`.
    pub prefix: EcoString,
    /// Objects go by themselves after a while.
    pub expires: bool,
}

/// A field that lists can be filtered by.
pub struct Selectable {
    pub label: EcoString,
    pub value: FieldValue,
    /// The versions that know it; none for all.
    pub versions: Vec<EcoString>,
}

/// Where a selectable field's value comes from.
pub enum FieldValue {
    Declared(fn(hub: &Value) -> String),
    Path(Vec<EcoString>),
}

/// One served version.
pub struct Served {
    pub version: &'static Version,
    pub gvk: Gvk,
    pub kind_type: TypeId,
    pub list_kind: EcoString,
    /// `{"kind":"Pod","apiVersion":"v1",`: how JSON of this version begins.
    pub json_head: String,
    /// The name of its type in OpenAPI.
    pub schema: EcoString,
    /// What this version does: its subresources, and what they write.
    pub does: &'static Row,
    pub columns: Arc<[Column]>,
    /// Where a scale reads and writes.
    pub scale: Option<Arc<Paths>>,
    /// What a client is told that uses it; `""` for nothing. Built-in kinds have it from their types.
    pub warning: EcoString,
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
        let columns: Arc<[Column]> = row.columns.iter().map(Column::declared).collect();
        let scale = row.subresources.iter().find_map(Paths::declared).map(Arc::new);
        let mut versions = Vec::new();
        for version in row.versions {
            let gvk = Gvk::new(row.group, version.name, row.kind);
            versions.push(Served {
                kind_type: type_of(&gvk, version.schema)?,
                list_kind: format!("{}List", row.kind).into(),
                json_head: json_head(&gvk),
                schema: version.schema.into(),
                does: row,
                columns: columns.clone(),
                scale: scale.clone(),
                warning: EcoString::new(),
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
            row: Named::declared(row),
            hub,
            hub_type,
            versions,
            returns_deleted: schema::load::returns_deleted(row.group, row.plural),
            closed: None,
            world,
            cache,
            conversion: Conversion::Own,
            views: Vec::new(),
        })
    }

    pub fn served(&self, version: &str) -> Option<&Served> {
        self.versions.iter().find(|v| v.gvk.version == version)
    }

    pub fn schemas(&self) -> &Schemas {
        self.world.schemas()
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
        self.world.default(object, served.kind_type);
        if served.gvk == self.hub {
            return;
        }
        if let Some(Convert { to_hub, .. }) = served.version.convert {
            to_hub(object);
            api::meta::set_gvk(object, &self.hub);
            self.world.default(object, self.hub_type);
            return;
        }
        api::meta::set_gvk(object, &self.hub);
        self.world.complete_hub(object, self.hub_type);
    }

    /// Brings a hub object into the form in which the stored ones are, but for what is empty and to rules is there.
    /// Returns whether there was such.
    pub fn normalise_keeping_empty(&self, object: &mut Value) -> bool {
        self.world.keep_empty(object, self.hub_type)
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
        self.world.fit(object, to.kind_type);
        zero_structs(object, to.kind_type, self.world.schemas());
        self.world.normalise(object, to.kind_type);
    }

    /// Turns a hub object into `served`'s version, normalised.
    pub fn from_hub(&self, object: &mut Value, served: &Served) {
        self.complete_from_hub(object, served);
        self.world.normalise(object, served.kind_type);
    }

    /// As [`Definition::from_hub`], in the form in which objects are compared.
    pub fn from_hub_to_compare(&self, object: &mut Value, served: &Served) {
        self.complete_from_hub(object, served);
        self.world.prepare_comparison(object, served.kind_type);
    }

    fn complete_from_hub(&self, object: &mut Value, served: &Served) {
        if served.gvk != self.hub {
            if let Some(Convert { from_hub, .. }) = served.version.convert {
                from_hub(object);
            }
            api::meta::set_gvk(object, &served.gvk);
            self.world.complete(object, served.kind_type);
        }
    }
}

/// What is null where Go has a struct is that struct with nothing in it, once it has been through Go's types.
fn zero_structs(object: &mut Value, id: schema::TypeId, schemas: &schema::Schemas) {
    for field in &schemas.get(id).fields {
        let schema::Shape::Struct(inner) = field.shape else { continue };
        match object.get_mut(&field.name) {
            Some(member) if member.as_object().is_some() => zero_structs(member, inner, schemas),
            Some(Value::Null) if !field.pointer => drop(object.remove(&field.name)),
            _ => {}
        }
    }
}

impl Served {
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.does.subresources.iter().find(|s| s.name() == name)
    }
}

impl Named {
    fn declared(row: &'static Row) -> Named {
        let texts = |list: &[&'static str]| list.iter().map(|text| EcoString::from(*text)).collect();
        Named {
            group: row.group.into(),
            kind: row.kind.into(),
            plural: row.plural.into(),
            singular: row.singular().into(),
            short_names: texts(row.short_names),
            categories: texts(row.categories),
            namespaced: row.namespaced,
            stored: Stored { prefix: row.stored.prefix.into(), expires: row.stored.expires },
            selectable: row.selectable.iter().map(Selectable::declared).collect(),
            does: row,
        }
    }
}

impl Deref for Named {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.does
    }
}

impl Selectable {
    fn declared(field: &row::Selectable) -> Selectable {
        Selectable { label: field.label.into(), value: FieldValue::Declared(field.value), versions: Vec::new() }
    }

    /// The field's value as text; `""` when it is missing.
    pub fn of(&self, hub: &Value) -> EcoString {
        match &self.value {
            FieldValue::Declared(value) => value(hub).into(),
            FieldValue::Path(path) => {
                let path: Vec<&str> = path.iter().map(EcoString::as_str).collect();
                match hub.at_path(&path) {
                    Value::Null => EcoString::new(),
                    Value::Str(text) => text.clone(),
                    other => api::field::go_plain(other).into(),
                }
            }
        }
    }

    /// Whether a version's lists can be filtered by it.
    pub fn is_known_in(&self, version: &str) -> bool {
        self.versions.is_empty() || self.versions.iter().any(|v| v == version)
    }
}

/// How JSON of a kind begins.
pub(crate) fn json_head(gvk: &Gvk) -> String {
    format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", gvk.kind, gvk.api_version())
}
