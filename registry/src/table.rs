//! Tables and partial objects: what `kubectl get` and metadata clients read.
//!
//! Upstream: handlers/response.go asTable, asPartialObjectMetadata; registry/rest/table.go for kinds without columns.

use std::sync::OnceLock;

use api::{EcoString, Gvk, Value, meta, value};
use resources::row;

use crate::{
    Registry,
    definition::{Definition, Served},
    json_path::JsonPath,
    present::Include,
};

/// A column of a table.
pub struct Column {
    pub name: EcoString,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: EcoString,
    pub format: EcoString,
    /// `""` where the texts about built-in kinds have it.
    pub description: EcoString,
    pub priority: i64,
    pub cell: Cell,
}

/// What stands in a column.
pub enum Cell {
    Declared(row::Cell),
    /// What a user's path finds.
    Path(JsonPath),
}

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
        let row = &definition.row;
        Kind { definition, served: Some(served), columns: &served.columns, texts: (&row.group, &row.kind) }
    }

    pub fn of_scale(definition: &'a Definition) -> Kind<'a> {
        Kind { definition, served: None, columns: of_scales(), texts: ("autoscaling", "Scale") }
    }
}

/// The columns of a scale.
fn of_scales() -> &'static [Column] {
    static COLUMNS: OnceLock<Vec<Column>> = OnceLock::new();
    COLUMNS.get_or_init(|| crate::scale::COLUMNS.iter().map(Column::declared).collect())
}

impl Column {
    pub fn declared(column: &row::Column) -> Column {
        Column {
            name: column.name.into(),
            kind: column.kind.into(),
            format: column.format.into(),
            description: EcoString::new(),
            priority: column.priority.into(),
            cell: Cell::Declared(column.cell),
        }
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
    let text = |column: &Column| match (column.description.as_str(), &texts) {
        // Of a user's kind everybody's columns are told of, where an age is called by what it is counted from.
        ("", Some(texts)) => {
            let said = texts.get(column.name.as_str());
            said.or_else(|| texts.get("Created At").filter(|_| column.name == "Age")).cloned().unwrap_or_default()
        }
        (said, _) => said.to_string(),
    };
    let heads = match headers || kind.definition.row.repeats_columns {
        true => Value::array(
            columns.iter().filter(|column| !column.name.is_empty()).map(|column| head(column, &text(column))).collect(),
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
    for (annotation, _) in definition.row.converted_annotations {
        object.remove_path(&["metadata", "annotations", annotation]);
    }
    // An entry's revision comes last; Go writes its fields in their order.
    let schemas = schema::builtin();
    if let Some(id) = schemas.kind(&Gvk::new("meta.k8s.io", "v1", "PartialObjectMetadata")) {
        schema::normalise::object(&mut object, id, schemas);
    }
    object
}

/// What a path finds, as a cell of a type. Upstream: tableconvertor.go cellForJSONValue.
fn found(path: &JsonPath, kind: &str, hub: &Value, now: jiff::Timestamp) -> Value {
    let Some(value) = path.first(hub) else { return Value::Null };
    match (kind, value) {
        ("string", value) => JsonPath::text(value).into(),
        ("integer", Value::Int(_)) | ("number", Value::Float(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("integer", Value::Float(f)) => Value::Int(*f as i64),
        ("number", Value::Int(i)) => Value::Float(*i as f64),
        ("date", Value::Str(text)) => match api::time::parse(text) {
            Some(_) => resources::cells::age(text, now).into(),
            None if text.is_empty() => "<unknown>".into(),
            None => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}

fn head(column: &Column, text: &str) -> Value {
    value!({
        "name": (column.name.as_str()), "type": (column.kind.as_str()), "format": (column.format.as_str()),
        "description": text, "priority": column.priority
    })
}

fn row(registry: &Registry, kind: &Kind<'_>, hub: &Value, version: &str, include: Include) -> Value {
    let now = registry.clock.now();
    let definition = kind.definition;
    let cells: Vec<Value> = kind
        .columns
        .iter()
        .map(|column| match &column.cell {
            Cell::Declared(row::Cell::Name) => meta::of(hub).name().into(),
            Cell::Declared(row::Cell::Age) => resources::cells::age(meta::of(hub).creation_timestamp(), now).into(),
            Cell::Declared(row::Cell::Path(path)) => hub.at_path(path).clone(),
            Cell::Declared(row::Cell::Fn(cell)) => cell(hub, now),
            Cell::Path(path) => found(path, &column.kind, hub, now),
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
