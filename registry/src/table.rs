//! Tables and partial objects: what `kubectl get` and metadata clients read.
//!
//! Upstream: handlers/response.go asTable, asPartialObjectMetadata; registry/rest/table.go for kinds without columns.

use api::{Gvk, Value, meta, value};
use resources::row::{Cell, Column};

use crate::{
    Registry,
    definition::{Definition, Served},
    present::Include,
};

/// What a table's rows are of.
pub struct Kind<'a> {
    definition: &'a Definition,
    /// The version in which whole objects come with their rows; none for what is no object of its own.
    served: Option<&'a Served>,
    columns: &'a [Column],
    /// Whose columns' texts these are.
    texts: (&'a str, &'a str),
}

impl<'a> Kind<'a> {
    pub fn of(definition: &'a Definition, served: &'a Served) -> Kind<'a> {
        let row = definition.row;
        Kind { definition, served: Some(served), columns: row.columns, texts: (row.group, row.kind) }
    }

    pub fn of_scale(definition: &'a Definition) -> Kind<'a> {
        Kind { definition, served: None, columns: crate::scale::COLUMNS, texts: ("autoscaling", "Scale") }
    }
}

/// A table of hub objects. The caller sets `metadata`.
pub fn of(
    registry: &Registry,
    kind: &Kind<'_>,
    hubs: &[Value],
    version: &str,
    include: Include,
    headers: bool,
) -> Value {
    let columns = kind.columns;
    let texts = registry.outside.get().map(|outside| outside.columns.of(kind.texts.0, kind.texts.1));
    let text = |column: &Column| texts.as_ref().and_then(|t| t.get(column.name)).map_or("", String::as_str);
    let heads = match headers {
        true => Value::array(
            columns.iter().filter(|column| !column.name.is_empty()).map(|column| head(column, text(column))).collect(),
        ),
        false => Value::Null,
    };
    let mut hubs: Vec<&Value> = hubs.iter().collect();
    if let Some(order) = kind.definition.row.table_order {
        hubs.sort_by(|a, b| order(a, b));
    }
    let rows: Vec<Value> = hubs.into_iter().map(|hub| row(registry, kind, hub, version, include)).collect();
    // Upstream's default for kinds without a printer of their own has no list before it has a row.
    let is_default = columns.iter().any(|column| column.name == "Created At");
    let rows = if rows.is_empty() && is_default { Value::Null } else { Value::array(rows) };
    let gv = format!("meta.k8s.io/{version}");
    value!({"kind": "Table", "apiVersion": gv, "metadata": {}, "columnDefinitions": heads, "rows": rows})
}

/// An object without anything but its metadata.
pub fn partial(definition: &Definition, hub: &Value, version: &str) -> Value {
    let gv = format!("meta.k8s.io/{version}");
    let mut object =
        value!({"kind": "PartialObjectMetadata", "apiVersion": gv, "metadata": (hub.at("metadata").clone())});
    object.entry("metadata").make_object();
    for annotation in definition.row.converted_annotations {
        object.remove_path(&["metadata", "annotations", annotation]);
    }
    // An entry's revision comes last; Go writes its fields in their order.
    let schemas = schema::builtin();
    if let Some(id) = schemas.kind(&Gvk::new("meta.k8s.io", "v1", "PartialObjectMetadata")) {
        schema::normalise::object(&mut object, id, schemas);
    }
    object
}

fn head(column: &Column, text: &str) -> Value {
    value!({
        "name": column.name, "type": column.kind, "format": column.format,
        "description": text, "priority": column.priority
    })
}

fn row(registry: &Registry, kind: &Kind<'_>, hub: &Value, version: &str, include: Include) -> Value {
    let now = registry.clock.now();
    let definition = kind.definition;
    let cells: Vec<Value> = kind
        .columns
        .iter()
        .map(|column| match column.cell {
            Cell::Name => meta::of(hub).name().into(),
            Cell::Age => resources::cells::age(meta::of(hub).creation_timestamp(), now).into(),
            Cell::Path(path) => hub.at_path(path).clone(),
            Cell::Fn(cell) => cell(hub, now),
        })
        .collect();
    let mut row = value!({"cells": cells});
    if let Some(conditions) =
        definition.row.row_conditions.filter(|_| kind.served.is_some()).map(|c| c(hub)).filter(|c| !c.is_empty())
    {
        row.set("conditions", conditions);
    }
    match include {
        Include::None => row.set("object", Value::Null),
        Include::Metadata => row.set("object", partial(definition, hub, version)),
        Include::Object => {
            let mut object = hub.clone();
            if let Some(served) = kind.served {
                definition.from_hub(&mut object, served);
            }
            row.set("object", object);
        }
    }
    row
}
