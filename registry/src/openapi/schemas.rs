//! Schemas of types, as the documents have them. Upstream: kube-openapi/pkg/generators/openapi.go.

use std::collections::BTreeSet;

use api::{Map, Value, value};

use super::{Form, Texts, custom::Customs, facts::Facts};

/// Which version of OpenAPI is written: they differ in how a reference may stand and in what a default is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    V2,
    V3,
}

/// Writes schemas.
pub struct Writer<'a> {
    pub facts: &'a Facts,
    pub form: &'a Form,
    pub texts: &'a dyn Texts,
    pub dialect: Dialect,
    /// Schemas of users' kinds.
    pub customs: &'a Customs,
}

/// A type with a JSON form of its own.
struct Own {
    /// What the facts call it.
    word: &'static str,
    name: &'static str,
}

const OWN: &[Own] = &[
    Own { word: "time", name: "io.k8s.apimachinery.pkg.apis.meta.v1.Time" },
    Own { word: "microtime", name: "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime" },
    Own { word: "duration", name: "io.k8s.apimachinery.pkg.apis.meta.v1.Duration" },
    Own { word: "quantity", name: "io.k8s.apimachinery.pkg.api.resource.Quantity" },
    Own { word: "intorstring", name: "io.k8s.apimachinery.pkg.util.intstr.IntOrString" },
    Own { word: "raw", name: "io.k8s.apimachinery.pkg.runtime.RawExtension" },
    Own { word: "fieldsv1", name: "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1" },
    Own { word: "patch", name: "io.k8s.apimachinery.pkg.apis.meta.v1.Patch" },
    Own { word: "json", name: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON" },
    Own {
        word: "jsonschemaorarray",
        name: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    },
    Own {
        word: "jsonschemaorbool",
        name: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    },
    Own {
        word: "jsonschemaorstrings",
        name: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
    },
];

/// Kinds that every group version has. Upstream: `metav1.AddToGroupVersion`.
const EVERYWHERE: &[&str] =
    &["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"];

/// Whose fields tell what `kind` and `apiVersion` are for, for types without texts of their own.
const TYPE_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// These types and all that they refer to.
pub fn closure<'a>(facts: &Facts, names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut open: Vec<String> = names.filter(|n| !n.is_empty()).map(str::to_owned).collect();
    let mut used = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !used.contains(&name) {
            let Some(facts) = facts.of(&name) else {
                used.insert(name);
                continue;
            };
            open.extend(facts.list("fields").iter().filter_map(|f| reference(inner(f.str("t")))).map(str::to_owned));
            used.insert(name);
        }
    }
    used
}

impl Writer<'_> {
    pub fn reference(&self, name: &str) -> Value {
        let place = if self.dialect == Dialect::V2 { "definitions" } else { "components/schemas" };
        value!({"$ref": (format!("#/{place}/{name}"))})
    }

    /// A type's schema. `home` is the document's group version, none for the document of all.
    pub fn schema(&self, name: &str, home: Option<(&str, &str)>) -> Value {
        if let Some(schema) = self.customs.get(name) {
            return schema.clone();
        }
        let mut schema = Value::object();
        let facts = self.facts.of(name);
        if let Some(text) = self.texts.of(name).map(str::to_owned).or_else(|| list_text(name)) {
            schema.set("description", text);
        }
        let Some(facts) = facts else {
            self.own(name, &mut schema);
            return schema;
        };
        schema.set("type", "object");
        let fields = facts.list("fields");
        let required: Vec<&str> = fields.iter().filter(|f| f.bool("required")).map(|f| f.str("n")).collect();
        if !required.is_empty() {
            schema.set("required", required);
        }
        let properties = self.properties(name, &facts);
        if !properties.is_empty() {
            schema.set("properties", properties);
        }
        if let Some(kinds) = self.kinds(name, &facts, home) {
            schema.set("x-kubernetes-group-version-kind", kinds);
        }
        for (member, extension) in [("mapType", "x-kubernetes-map-type"), ("unions", "x-kubernetes-unions")] {
            if facts.has(member) {
                schema.set(extension, facts.at(member).clone());
            }
        }
        schema
    }

    /// What is no struct.
    fn own(&self, name: &str, schema: &mut Value) {
        let v3 = self.dialect == Dialect::V3;
        let word = OWN.iter().find(|o| o.name == name).map_or("", |o| o.word);
        match word {
            "time" | "microtime" => {
                schema.set("type", "string");
                schema.set("format", "date-time");
            }
            "duration" => schema.set("type", "string"),
            "quantity" if v3 => schema.set("oneOf", value!([{"type": "string"}, {"type": "number"}])),
            "quantity" => schema.set("type", "string"),
            "intorstring" => {
                schema.set("format", "int-or-string");
                match v3 {
                    true => schema.set("oneOf", value!([{"type": "integer"}, {"type": "string"}])),
                    false => schema.set("type", "string"),
                }
            }
            "raw" | "fieldsv1" | "patch" => schema.set("type", "object"),
            _ => {}
        }
    }

    fn properties(&self, name: &str, facts: &Value) -> Value {
        let mut properties = Map::new();
        if facts.bool("typemeta") {
            for field in ["apiVersion", "kind"] {
                let mut property = Value::object();
                self.describe(&mut property, name, &value!({"n": field}));
                property.set("type", "string");
                properties.insert(field, property);
            }
        }
        for field in facts.list("fields") {
            properties.insert(field.str("n"), self.property(name, field));
        }
        properties.sort();
        Value::from(properties)
    }

    fn property(&self, name: &str, field: &Value) -> Value {
        let mut property = Value::object();
        self.describe(&mut property, name, field);
        for (key, member) in self.shape(field.str("t"), field).members() {
            property.set(key, member);
        }
        if field.has("format") {
            property.set("format", field.at("format").clone());
        }
        let v3 = self.dialect == Dialect::V3;
        if v3 && field.has("default") {
            property.set("default", field.at("default").clone());
        }
        for (member, extension) in EXTENSIONS {
            if field.has(member) {
                property.set(extension, field.at(member).clone());
            }
        }
        // In version 3 nothing may stand beside a reference.
        if v3 && property.has("$ref") && property.members().count() > 1 {
            let reference = property.remove("$ref");
            property.set("allOf", vec![value!({"$ref": reference})]);
        }
        property
    }

    fn shape(&self, t: &str, field: &Value) -> Value {
        if let Some(element) = t.strip_prefix("[]") {
            return value!({"type": "array", "items": (self.shape(element, field))});
        }
        if let Some(element) = t.strip_prefix("map[string]") {
            return value!({"type": "object", "additionalProperties": (self.shape(element, field))});
        }
        if let Some(name) = reference(t) {
            return self.reference(name);
        }
        let (kind, format) = match t {
            "bool" => ("boolean", ""),
            "int32" => ("integer", "int32"),
            "int64" => ("integer", "int64"),
            "float64" => ("number", "double"),
            "bytes" => ("string", "byte"),
            "any" => ("object", ""),
            _ => ("string", ""),
        };
        let mut shape = value!({"type": kind});
        if !format.is_empty() {
            shape.set("format", format);
        }
        if let Some(values) = self.values(field) {
            shape.set("enum", values);
        }
        shape
    }

    /// What a field may hold; the elements of lists say it by their type.
    fn values(&self, field: &Value) -> Option<Value> {
        let element = || self.facts.of(field.opt_str("ealias")?)?.get("enum").cloned();
        field.get("enum").cloned().or_else(element).filter(|_| self.form.enums)
    }

    fn describe(&self, property: &mut Value, name: &str, field: &Value) {
        let known = self.texts.field(name, field.str("n")).map(str::to_owned);
        let Some(mut text) = known.or_else(|| self.borrowed(name, field.str("n"))) else { return };
        if self.form.enums && field.has("enum") && !field.str("t").contains(']') {
            text += "\n\nPossible enum values:";
            for value in field.list("enum").iter().filter_map(Value::as_str) {
                text += &format!("\n - `{}`", api::field::quote(value));
            }
        }
        property.set("description", text);
    }

    /// The text of a field of a type without texts: lists.
    fn borrowed(&self, name: &str, field: &str) -> Option<String> {
        if let "apiVersion" | "kind" = field {
            return self.texts.field(TYPE_META, field).map(str::to_owned);
        }
        if (name, field) == (EVERYWHERE[1], "object") {
            return Some("What was added, modified or deleted as it is now or was last; for an error a Status.".into());
        }
        list_text(name)?;
        match field {
            "items" => Some("The objects of this list.".into()),
            "metadata" => Some("The list's own metadata: its version, and where it goes on.".into()),
            _ => None,
        }
    }

    fn kinds(&self, name: &str, facts: &Value, home: Option<(&str, &str)>) -> Option<Value> {
        let triple = |gvk: &Value| gvk.items().iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
        let mut kinds: Vec<Vec<String>> = facts.list("gvk").iter().map(triple).collect();
        if EVERYWHERE.contains(&name) {
            let kind = kinds.first()?.last()?.clone();
            let homes = match home {
                Some((group, version)) => vec![(group.to_owned(), version.to_owned())],
                None => self.facts.group_versions(),
            };
            kinds.extend(homes.into_iter().map(|(group, version)| vec![group, version, kind.clone()]));
        }
        kinds.sort();
        kinds.dedup();
        let object =
            |k: Vec<String>| value!({"group": (k[0].as_str()), "kind": (k[2].as_str()), "version": (k[1].as_str())});
        (!kinds.is_empty()).then(|| kinds.into_iter().map(object).collect::<Vec<_>>().into())
    }
}

const EXTENSIONS: &[(&str, &str)] = &[
    ("keys", "x-kubernetes-list-map-keys"),
    ("list", "x-kubernetes-list-type"),
    ("map", "x-kubernetes-map-type"),
    ("mergeKey", "x-kubernetes-patch-merge-key"),
    ("patch", "x-kubernetes-patch-strategy"),
];

/// What stands in lists and maps.
fn inner(mut t: &str) -> &str {
    while let Some(rest) = t.strip_prefix("[]").or_else(|| t.strip_prefix("map[string]")) {
        t = rest;
    }
    t
}

/// The type a fact's word refers to, none for plain scalars.
fn reference(t: &str) -> Option<&str> {
    OWN.iter().find(|o| o.word == t).map(|o| o.name).or(t.contains('.').then_some(t))
}

/// What a list is for.
fn list_text(name: &str) -> Option<String> {
    let kind = name.rsplit('.').next()?;
    let element = kind.strip_suffix("List").filter(|e| !e.is_empty())?;
    Some(format!("{kind} is a list of {element} objects."))
}
