//! From a stored definition to a [`Definition`]. Names, columns and paths are read at once, schemas when they are needed.
//!
//! Upstream: pkg/apiserver/customresource_handler.go getOrCreateServingInfoFor, apihelpers.

use std::sync::Arc;

use api::{EcoString, GroupResource, Gvk, Value};
use resources::{
    apiextensions::instances,
    row::{AGE, NAME},
};
use schema::order::compare_versions;

use super::schemas::Structures;
use crate::{
    cache::{Cache, Entry},
    convert::{Asked, Conversion, Outside},
    definition::{Definition, FieldValue, Named, Selectable, Served, Stored, json_head},
    json_path::JsonPath,
    scale::{Paths, Selected},
    table::{Cell, Column},
    types::Types,
};

/// Why nothing of a kind can be made that is about to go.
const TERMINATING: &str = "create not allowed while custom resource definition is terminating";

/// Whether a condition is true.
pub(super) fn is_true(stored: &Value, condition: &str) -> bool {
    let conditions = stored.at("status").list("conditions");
    conditions.iter().any(|c| c.str("type") == condition && c.str("status") == "True")
}

/// Whether a definition's kind is served.
pub(super) fn is_served(stored: &Value) -> bool {
    let names = stored.at("status").at("acceptedNames");
    let named = ["plural", "singular", "kind", "listKind"].iter().all(|name| !names.str(name).is_empty());
    named && (is_true(stored, "NamesAccepted") || is_true(stored, "Established"))
}

pub(super) fn resource(stored: &Value) -> GroupResource {
    GroupResource::new(stored.at("spec").str("group"), stored.at("status").at("acceptedNames").str("plural"))
}

/// Whether two forms of a definition come to the same.
pub(super) fn means_the_same(old: &Value, new: &Value) -> bool {
    old.at("spec") == new.at("spec")
        && old.at_path(&["status", "acceptedNames"]) == new.at_path(&["status", "acceptedNames"])
        && is_closed(old) == is_closed(new)
}

/// Whether objects are stored, and read, in the same way under both forms.
pub(super) fn stores_the_same(old: &Value, new: &Value) -> bool {
    let (old, new) = (old.at("spec"), new.at("spec"));
    let same = |a: &Value, b: &Value| {
        ["name", "storage", "schema", "selectableFields", "subresources"]
            .iter()
            .all(|member| a.at(member) == b.at(member))
    };
    let (a, b) = (old.list("versions"), new.list("versions"));
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| same(a, b))
        && ["group", "scope", "preserveUnknownFields", "conversion"]
            .iter()
            .all(|member| old.at(member) == new.at(member))
        && old.at("names").str("kind") == new.at("names").str("kind")
}

fn is_closed(stored: &Value) -> bool {
    api::meta::of(stored).is_terminating() || is_true(stored, "Terminating")
}

/// The versions that are served.
pub(super) fn served_versions(stored: &Value) -> Vec<EcoString> {
    let versions = stored.at("spec").list("versions").iter();
    versions.filter(|v| v.bool("served")).map(|v| v.str("name").into()).collect()
}

/// Compiles a definition. `types` are those of its last form, where its schemas are the same.
pub(super) fn definition(
    stored: &Value,
    entry: &Arc<Entry>,
    types: Option<Arc<dyn Types>>,
    cache: Arc<Cache>,
    outside: &Outside,
) -> Option<Definition> {
    let types = types.unwrap_or_else(|| Arc::new(Structures::new(stored, entry.clone(), outside.tally.clone())));
    let versions = stored.at("spec").list("versions");
    let storage = versions.iter().position(|v| v.bool("storage"))?;
    let mut definition = in_hub(stored, storage, types.clone(), cache.clone());
    if resources::apiextensions::is_converted_by_webhook(stored) {
        let asked = Arc::new(Asked::new(stored, storage, outside.clone()));
        let of = |place| {
            let conversion = Conversion::Asked(asked.clone());
            Arc::new(Definition { conversion, ..in_hub(stored, place, types.clone(), cache.clone()) })
        };
        definition.views = (0..versions.len()).map(of).collect();
        definition.conversion = Conversion::Asked(asked);
    }
    Some(definition)
}

/// A definition whose hub is the version at a place.
fn in_hub(stored: &Value, hub: usize, types: Arc<dyn Types>, cache: Arc<Cache>) -> Definition {
    let (spec, names) = (stored.at("spec"), stored.at("status").at("acceptedNames"));
    let (group, plural, kind) = (spec.str("group"), names.str("plural"), names.str("kind"));
    let namespaced = spec.str("scope") == "Namespaced";
    let mut versions = Vec::new();
    for (i, version) in spec.list("versions").iter().enumerate() {
        let gvk = Gvk::new(group, version.str("name"), kind);
        let below = version.at("subresources");
        let scale = below.get("scale").filter(|s| s.as_object().is_some());
        let status = below.get("status").is_some_and(|s| s.as_object().is_some());
        versions.push(Served {
            version: &instances::VERSION,
            kind_type: i as schema::TypeId,
            list_kind: names.str("listKind").into(),
            json_head: json_head(&gvk),
            schema: schema_name(&gvk).into(),
            does: instances::row(namespaced, status, scale.is_some()),
            columns: columns(version.list("additionalPrinterColumns")),
            scale: scale.map(|scale| Arc::new(paths(scale))),
            warning: warning(version, spec, kind),
            gvk,
        });
    }
    let (hub_type, does) = (hub as schema::TypeId, versions[hub].does);
    let hub = versions[hub].gvk.clone();
    let texts = |name: &str| names.list(name).iter().filter_map(Value::as_str).map(EcoString::from).collect();
    Definition {
        row: Named {
            group: group.into(),
            kind: kind.into(),
            plural: plural.into(),
            singular: names.str("singular").into(),
            short_names: texts("shortNames"),
            categories: texts("categories"),
            namespaced,
            stored: Stored { prefix: format!("{group}/{plural}").into(), expires: false },
            selectable: selectable(spec.list("versions")),
            does,
        },
        resource: GroupResource::new(group, plural),
        kind: hub.group_kind(),
        hub,
        hub_type,
        versions,
        returns_deleted: false,
        closed: is_closed(stored).then_some(TERMINATING),
        world: types,
        cache,
        conversion: Conversion::Own,
        views: Vec::new(),
    }
}

/// The name of a version's type in OpenAPI: `com.example.stable.v1.CronTab`. Upstream: `util.ToRESTFriendlyName`.
fn schema_name(gvk: &Gvk) -> String {
    let group: Vec<&str> = gvk.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), gvk.version, gvk.kind)
}

/// Upstream: `getColumnsForVersion`, tableconvertor.New.
fn columns(declared: &[Value]) -> Arc<[Column]> {
    let mut columns = vec![Column::declared(&NAME)];
    if declared.is_empty() {
        let age = JsonPath::parse(".metadata.creationTimestamp").unwrap_or_default();
        columns.push(Column { kind: "date".into(), cell: Cell::Path(age), ..Column::declared(&AGE) });
    }
    for column in declared {
        let text = column.str("jsonPath");
        // Upstream shows no column behind one that it cannot read.
        let Some(path) = JsonPath::parse(text) else { break };
        let said = column.str("description");
        columns.push(Column {
            name: column.str("name").into(),
            kind: column.str("type").into(),
            format: column.str("format").into(),
            description: match said {
                "" => format!("Custom resource definition column (in JSONPath format): {text}").into(),
                said => said.into(),
            },
            priority: column.int("priority"),
            cell: Cell::Path(path),
        });
    }
    columns.into()
}

fn paths(scale: &Value) -> Paths {
    let split = |text: &str| text.trim_start_matches('.').split('.').map(EcoString::from).collect::<Vec<_>>();
    Paths {
        replicas: split(scale.str("specReplicasPath")),
        observed: split(scale.str("statusReplicasPath")),
        selector: match scale.str("labelSelectorPath") {
            "" => Selected::Nothing,
            path => Selected::Text(split(path)),
        },
        wants_replicas: true,
    }
}

/// All versions' selectable fields, each with the versions that know it.
fn selectable(versions: &[Value]) -> Vec<Selectable> {
    let mut all: Vec<Selectable> = Vec::new();
    for version in versions {
        for field in version.list("selectableFields") {
            let label = field.str("jsonPath").trim_start_matches('.');
            let name = EcoString::from(version.str("name"));
            match all.iter_mut().find(|known| known.label == label) {
                Some(known) => known.versions.push(name),
                None => all.push(Selectable {
                    label: label.into(),
                    value: FieldValue::Path(label.split('.').map(EcoString::from).collect()),
                    versions: vec![name],
                }),
            }
        }
    }
    all
}

/// What a client of a deprecated version is told. Upstream: `defaultDeprecationWarning`.
fn warning(version: &Value, spec: &Value, kind: &str) -> EcoString {
    if !version.bool("deprecated") {
        return EcoString::new();
    }
    if let Some(said) = version.opt_str("deprecationWarning") {
        return said.into();
    }
    let (group, name) = (spec.str("group"), version.str("name"));
    let better =
        spec.list("versions").iter().filter(|v| v.bool("served") && !v.bool("deprecated")).map(|v| v.str("name"));
    let best = better.filter(|v| compare_versions(name, v).is_lt()).max_by(|a, b| compare_versions(a, b));
    let mut text = format!("{group}/{name} {kind} is deprecated");
    if let Some(best) = best {
        text += &format!("; use {group}/{best} {kind}");
    }
    text.into()
}
