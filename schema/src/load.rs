//! Reads the fact files into [`Schemas`].

use std::sync::OnceLock;

use api::{EcoString, Gvk, Value};
use serde::Deserialize;

use crate::{
    shape,
    types::{self, Field, Listing, Omit, Schemas, Type, Wire, WireField},
};

static TYPES: &str = include_str!("../facts/types.jsonl");

static STORAGE: &str = include_str!("../facts/storage.json");

/// All built-in types, read once.
pub fn builtin() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| read(TYPES).expect("the checked-in facts are read by a test"))
}

/// The facts about types as they are written (facts/README.md): a line each.
pub fn facts() -> &'static str {
    TYPES
}

/// Whether DELETE answers the object and not a Status.
pub fn returns_deleted(group: &str, plural: &str) -> bool {
    let wanted = format!("{{\"group\":\"{group}\",\"resource\":\"{plural}\",");
    STORAGE.lines().any(|line| line.trim_start().starts_with(&wanted) && line.contains("\"returnDeleted\":true"))
}

/// Reads facts, one type a line; the first names the sources.
pub fn read(text: &str) -> Result<Schemas, serde_json::Error> {
    let mut schemas = Schemas::new();
    for line in text.lines().filter(|l| l.starts_with("{\"name\"")) {
        let row: TypeRow<'_> = serde_json::from_str(line)?;
        let new = row.into_type(&mut schemas);
        schemas.add(new);
    }
    Ok(schemas)
}

#[derive(Deserialize)]
struct TypeRow<'a> {
    name: &'a str,
    #[serde(default)]
    go: &'a str,
    #[serde(default)]
    gvk: Vec<(EcoString, EcoString, EcoString)>,
    #[serde(default)]
    typemeta: bool,
    #[serde(default)]
    noproto: bool,
    #[serde(default)]
    scalar: Option<&'a str>,
    #[serde(default, rename = "enum")]
    values: Vec<EcoString>,
    #[serde(default)]
    lifecycle: Lifecycle,
    #[serde(default)]
    markers: Vec<EcoString>,
    #[serde(default, rename = "mapType")]
    map_type: EcoString,
    #[serde(default, borrow)]
    fields: Vec<FieldRow<'a>>,
}

#[derive(Deserialize, Default)]
struct Lifecycle {
    #[serde(default)]
    introduced: Option<(u16, u16)>,
    #[serde(default)]
    deprecated: Option<(u16, u16)>,
    #[serde(default)]
    removed: Option<(u16, u16)>,
    #[serde(default)]
    replacement: Option<(EcoString, EcoString, EcoString)>,
}

#[derive(Deserialize)]
struct FieldRow<'a> {
    n: &'a str,
    t: &'a str,
    #[serde(default)]
    go: &'a str,
    #[serde(default)]
    gt: &'a str,
    #[serde(default)]
    ge: &'a str,
    #[serde(default)]
    alias: &'a str,
    #[serde(default)]
    ealias: &'a str,
    #[serde(default)]
    embed: &'a str,
    #[serde(default)]
    pbw: bool,
    #[serde(default)]
    ptr: bool,
    #[serde(default)]
    omit: &'a str,
    #[serde(default)]
    pb: u32,
    #[serde(default)]
    pbin: Vec<u32>,
    #[serde(default)]
    list: &'a str,
    #[serde(default)]
    keys: Vec<EcoString>,
    #[serde(default)]
    map: &'a str,
    #[serde(default)]
    want: &'a str,
    #[serde(default)]
    patch: &'a str,
    #[serde(default, rename = "mergeKey")]
    merge_key: &'a str,
    #[serde(default)]
    default: Option<Value>,
    #[serde(default)]
    required: bool,
    #[serde(default, rename = "enum")]
    values: Vec<EcoString>,
    #[serde(default)]
    format: EcoString,
    #[serde(default)]
    markers: Vec<EcoString>,
}

// === impl TypeRow ===

impl TypeRow<'_> {
    fn into_type(self, schemas: &mut Schemas) -> Type {
        let scalar = self.scalar.map(|s| shape::parse(s, schemas));
        let mut wire = Wire::default();
        for (i, field) in self.fields.iter().enumerate().filter(|(_, f)| f.pb != 0) {
            place(&mut wire, &field.pbin, field.pb, i as u16);
        }
        Type {
            name: self.name.into(),
            go: self.go.into(),
            gvks: self.gvk.into_iter().map(|(g, v, k)| Gvk::new(g, v, k)).collect(),
            type_meta: self.typemeta,
            proto: !self.noproto,
            scalar,
            lifecycle: self.lifecycle.into(),
            atomic: self.map_type == "atomic",
            values: self.values,
            markers: self.markers,
            fields: self.fields.into_iter().map(|f| f.into_field(schemas)).collect(),
            wire,
            ..Type::default()
        }
    }
}

/// Puts field `i` under its number, below the embedded messages that `path` names.
fn place(wire: &mut Wire, path: &[u32], number: u32, i: u16) {
    let here = path.first().copied().unwrap_or(number);
    let at = wire.fields.partition_point(|(n, _)| *n < here);
    let found = wire.fields.get(at).is_some_and(|(n, _)| *n == here);
    let Some((_, rest)) = path.split_first() else {
        wire.fields.insert(at, (number, WireField::Field(i)));
        return;
    };
    if !found {
        wire.fields.insert(at, (here, WireField::Inline(Wire::default())));
    }
    if let WireField::Inline(inner) = &mut wire.fields[at].1 {
        place(inner, rest, number, i);
    }
}

impl From<Lifecycle> for types::Lifecycle {
    fn from(row: Lifecycle) -> types::Lifecycle {
        types::Lifecycle {
            introduced: row.introduced,
            deprecated: row.deprecated,
            removed: row.removed,
            replacement: row.replacement.map(|(g, v, k)| Gvk::new(g, v, k)),
        }
    }
}

// === impl FieldRow ===

impl FieldRow<'_> {
    fn into_field(self, schemas: &mut Schemas) -> Field {
        Field {
            name: self.n.into(),
            shape: shape::parse(self.t, schemas),
            go: self.go.into(),
            go_type: self.gt.into(),
            go_element: self.ge.into(),
            embed: self.embed.split_once('.').map_or("", |(_, names)| names).into(),
            alias: if self.alias.is_empty() { self.ealias.into() } else { self.alias.into() },
            wrapped: self.pbw,
            wanted: self.want == "required",
            pointer: self.ptr,
            omit: match self.omit {
                "never" => Omit::Never,
                "zero" | "both" => Omit::Zero,
                _ => Omit::Empty,
            },
            listing: match self.list {
                "map" => Listing::Map,
                "set" => Listing::Set,
                _ => Listing::Atomic,
            },
            keys: self.keys,
            atomic: self.map == "atomic",
            granular: self.map == "granular",
            patch_strategy: self.patch.into(),
            patch_merge_key: self.merge_key.into(),
            // An empty default says only that Go has no absence there, except for a pointer.
            default: self.default.filter(|d| self.ptr || !d.is_empty()),
            required: self.required,
            values: self.values,
            format: self.format,
            markers: self.markers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_whole() {
        let schemas = read(TYPES).expect("the facts are JSON");
        let empty: Vec<&str> = schemas
            .iter()
            .filter(|(_, t)| t.go.is_empty() && t.scalar.is_none())
            .map(|(_, t)| t.name.as_str())
            .collect();
        assert!(empty.is_empty(), "types that are referred to and stand nowhere: {empty:?}");
        let spec = schemas.named("io.k8s.api.apps.v1.DeploymentSpec").expect("apps has deployments");
        assert_eq!(spec.fields[0].name, "replicas");
        assert_eq!(spec.field("strategy").map(|(_, f)| f.patch_strategy.as_str()), Some("retainKeys"));
    }

    #[test]
    fn embedded_structs_are_messages_on_the_wire() {
        let volume = builtin().named("io.k8s.api.core.v1.Volume").expect("core has volumes");
        assert!(matches!(volume.wire.fields[0], (1, WireField::Field(0))));
        let (2, WireField::Inline(source)) = &volume.wire.fields[1] else { panic!("number 2 is VolumeSource") };
        assert!(source.fields.len() > 25);
    }
}
