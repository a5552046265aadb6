//! Schemas of kinds that users define, as the documents have them.
//!
//! They are the definitions' own, with what every object has put in; version 2 knows less and says less. Upstream:
//! apiextensions-apiserver/pkg/controller/openapi/builder, openapi/v2/conversion.go.

use std::collections::BTreeMap;

use api::{Value, value};

use super::{Texts, schemas::Dialect};
use crate::{
    catalog::Resources,
    definition::{Definition, Served},
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
/// Whose fields' texts say what every object's are for.
const TYPE_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Built-in types that these schemas refer to.
pub const REFERRED: [&str; 2] = [META, LIST_META];

/// Schemas by their names.
pub type Customs = BTreeMap<String, Value>;

/// Built-in types whose texts they borrow: some object and its list, for all say the same of what all have.
pub fn described(catalog: &Resources) -> Vec<String> {
    let mut built_in = catalog.iter().filter(|d| d.world.has_protobuf() && d.row.stores());
    let lender = built_in.next().and_then(|d| d.versions.first()).map(|served| served.schema.to_string());
    let list = lender.iter().map(|name| format!("{name}List")).collect::<Vec<_>>();
    [TYPE_META.to_string()].into_iter().chain(lender).chain(list).collect()
}

/// The schemas of a group version, or of all.
pub fn collect(catalog: &Resources, only: Option<(&str, &str)>, texts: &dyn Texts, dialect: Dialect) -> Customs {
    let mut found = Customs::new();
    let lenders = described(catalog);
    for definition in catalog.iter() {
        for served in definition.versions.iter().filter(|served| catalog.serves(definition, served)) {
            let here = only.is_none_or(|(group, version)| served.gvk.group == group && served.gvk.version == version);
            if !here {
                continue;
            }
            if let Some(declared) = definition.world.declared_schema(served.kind_type) {
                let writer = Own { definition, served, texts, lenders: &lenders, dialect };
                found.insert(served.schema.to_string(), writer.object(declared));
                found.insert(list_name(served), writer.list());
            }
        }
    }
    found
}

/// Whether any kind of a user's is there.
pub fn any(catalog: &Resources, only: Option<(&str, &str)>) -> bool {
    let here = |served: &Served| only.is_none_or(|(g, v)| served.gvk.group == g && served.gvk.version == v);
    catalog.iter().any(|d| !d.world.has_protobuf() && d.versions.iter().any(here))
}

/// The name of a list's type.
pub fn list_name(served: &Served) -> String {
    let schema = served.schema.as_str();
    match schema.strip_suffix(served.gvk.kind.as_str()) {
        Some(before) => format!("{before}{}", served.list_kind),
        None => format!("{schema}List"),
    }
}

/// Texts for the members of objects within, which are other ones than those of the object itself.
const EMBEDDED: [(&str, &str); 2] = [
    (
        "apiVersion",
        "apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
    ),
    (
        "kind",
        "kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
    ),
];

struct Own<'a> {
    definition: &'a Definition,
    served: &'a Served,
    texts: &'a dyn Texts,
    lenders: &'a [String],
    dialect: Dialect,
}

impl Own<'_> {
    fn object(&self, declared: Value) -> Value {
        let v2 = self.dialect == Dialect::V2;
        let mut schema = if declared.is_empty() || (v2 && declared.bool("x-kubernetes-preserve-unknown-fields")) {
            value!({"type": "object"})
        } else {
            let mut schema = declared;
            match v2 {
                true => to_v2(&mut schema),
                false => unfold(&mut schema),
            }
            self.embed(&mut schema);
            self.with_meta(&mut schema, META, 1);
            schema
        };
        self.mark(&mut schema, &self.served.gvk.kind);
        schema
    }

    fn list(&self) -> Value {
        let (kind, list_kind, plural) = (&self.served.gvk.kind, &self.served.list_kind, &self.definition.row.plural);
        let doc = format!(
            "List of {plural}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
        );
        let items = value!({"description": doc, "type": "array", "items": (self.reference(&self.served.schema))});
        let mut schema = value!({
            "description": (format!("{list_kind} is a list of {kind}")),
            "type": "object", "required": ["items"], "properties": {"items": items}
        });
        self.with_meta(&mut schema, LIST_META, 2);
        self.mark(&mut schema, list_kind);
        schema
    }

    fn mark(&self, schema: &mut Value, kind: &str) {
        let (group, version) = (self.served.gvk.group.as_str(), self.served.gvk.version.as_str());
        let kinds = value!([{"group": group, "kind": kind, "version": version}]);
        schema.set("x-kubernetes-group-version-kind", kinds);
        let fields = self.definition.row.selectable.iter().filter(|field| field.is_known_in(version));
        let fields: Vec<Value> = fields.map(|field| value!({"fieldPath": (field.label.as_str())})).collect();
        if !fields.is_empty() && self.dialect == Dialect::V3 {
            schema.set("x-kubernetes-selectable-fields", fields);
        }
    }

    /// Puts in the members that an object has by itself; the metadata's text is that of a lender.
    fn with_meta(&self, schema: &mut Value, meta: &str, lender: usize) {
        let described_by = self.lenders.get(lender).map_or("", String::as_str);
        let said = |name: &str, field: &str| self.texts.field(name, field).unwrap_or_default().to_string();
        let metadata = self.described_reference(meta, &said(described_by, "metadata"));
        let properties = schema.entry("properties");
        properties.make_object();
        for name in ["apiVersion", "kind"] {
            properties.set(name, value!({"description": (said(TYPE_META, name)), "type": "string"}));
        }
        properties.set("metadata", metadata);
        if let Some(members) = properties.as_object_mut() {
            members.sort();
        }
    }

    /// The same of objects within.
    fn embed(&self, schema: &mut Value) {
        if let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            members.iter_mut().for_each(|(_, member)| self.embed(member));
        }
        for name in ["items", "additionalProperties"] {
            if let Some(below) = schema.get_mut(name) {
                self.embed(below);
            }
        }
        let kept = schema.bool("x-kubernetes-preserve-unknown-fields") && self.dialect == Dialect::V2;
        if !schema.bool("x-kubernetes-embedded-resource") || kept {
            return;
        }
        self.with_meta(schema, META, 1);
        for (name, text) in EMBEDDED {
            schema.set_path(&["properties", name, "description"], text);
        }
        let required = schema.entry("required").make_array();
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|r| r.as_str() == Some(name)) {
                required.push(name.into());
            }
        }
    }

    fn reference(&self, name: &str) -> Value {
        let place = if self.dialect == Dialect::V2 { "definitions" } else { "components/schemas" };
        value!({"$ref": (format!("#/{place}/{name}"))})
    }

    /// In version 3 nothing may stand beside a reference.
    fn described_reference(&self, name: &str, text: &str) -> Value {
        let reference = self.reference(name);
        match self.dialect {
            Dialect::V2 => {
                let mut schema = value!({"description": text});
                schema.set("$ref", reference.at("$ref"));
                schema
            }
            Dialect::V3 => value!({"description": text, "allOf": [reference]}),
        }
    }
}

/// Says of what is a number or a text that it is either. Upstream: apiserver/schema/unfold.go.
fn unfold(schema: &mut Value) {
    if schema.bool("x-kubernetes-int-or-string") {
        let either = value!([{"type": "integer"}, {"type": "string"}]);
        let is_said = *schema.at("anyOf") == either
            || schema.list("allOf").first().is_some_and(|first| *first.at("anyOf") == either);
        if !is_said && schema.list("anyOf").is_empty() {
            schema.set("anyOf", either);
        } else if !is_said {
            schema.entry("allOf").make_array().insert(0, value!({"anyOf": either}));
        }
    }
    if let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        members.iter_mut().for_each(|(_, member)| unfold(member));
    }
    for name in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(name).filter(|b| b.as_object().is_some()) {
            unfold(below);
        }
    }
}

/// Takes out what version 2 does not know. Upstream: `ToStructuralOpenAPIV2`.
fn to_v2(schema: &mut Value) {
    for name in ["allOf", "oneOf", "anyOf", "not"] {
        schema.remove(name);
    }
    if schema.bool("nullable") {
        for name in ["type", "nullable", "items", "properties"] {
            schema.remove(name);
        }
    }
    if schema.bool("x-kubernetes-preserve-unknown-fields") {
        for name in ["items", "properties"] {
            schema.remove(name);
        }
        if schema.str("type") == "object" {
            schema.remove("type");
        }
    }
    if schema.str("type") == "array" && !schema.has("items") {
        schema.remove("type");
    }
    let is_nullable = |of: &Value| of.bool("nullable");
    let nullable: Vec<String> =
        schema.at("properties").members().filter(|(_, of)| is_nullable(of)).map(|(name, _)| name.to_string()).collect();
    let all = is_nullable(schema.at("additionalProperties"));
    if let Some(required) = schema.get_mut("required").map(Value::make_array) {
        required.retain(|name| !all && !nullable.iter().any(|n| name.as_str() == Some(n)));
        if required.is_empty() {
            schema.remove("required");
        }
    }
    if let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        members.iter_mut().for_each(|(_, member)| to_v2(member));
    }
    for name in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(name).filter(|b| b.as_object().is_some()) {
            to_v2(below);
        }
    }
}
