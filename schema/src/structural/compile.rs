//! From a schema as a definition holds it to a [`Node`].
//!
//! Upstream: apiserver/schema/convert.go NewStructural, apiserver/validation ConvertJSONSchemaProps.

use api::{EcoString, Value};

use super::{Additional, Checks, Node, fit, formats, pattern::Pattern};
use crate::types::Listing;

/// Compiles the schema of a version; defaults are pruned, as upstream prunes them before it serves them.
pub fn version(schema: &Value) -> Node {
    let mut root = node(schema);
    fit::prune_defaults(&mut root);
    root
}

/// Compiles a schema as it stands.
pub fn node(schema: &Value) -> Node {
    let flag = |name: &str| schema.bool(name);
    let single = |name: &str| schema.get(name).filter(|s| s.as_object().is_some()).map(|s| Box::new(node(s)));
    let additional = match schema.get("additionalProperties") {
        Some(Value::Bool(allowed)) => Additional::Allowed(*allowed),
        Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(node(schema))),
        _ => Additional::Unsaid,
    };
    Node {
        kind: schema.str("type").into(),
        nullable: flag("nullable"),
        int_or_string: flag("x-kubernetes-int-or-string"),
        preserve: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        listing: match schema.str("x-kubernetes-list-type") {
            "map" => Some(Listing::Map),
            "set" => Some(Listing::Set),
            "atomic" => Some(Listing::Atomic),
            _ => None,
        },
        keys: texts(schema, "x-kubernetes-list-map-keys"),
        atomic_map: schema.str("x-kubernetes-map-type") == "atomic",
        default: schema.get("default").filter(|d| !d.is_null()).cloned(),
        properties: schema.at("properties").members().map(|(name, s)| (name.into(), node(s))).collect(),
        additional,
        items: single("items"),
        checks: checks(schema),
        rules: schema.list("x-kubernetes-validations").to_vec(),
    }
}

fn checks(schema: &Value) -> Checks {
    let nodes = |name: &str| schema.list(name).iter().map(node).collect();
    let kind = if schema.bool("x-kubernetes-int-or-string") { "" } else { schema.str("type") };
    let (format_name, format) = formats::of(kind, schema.str("format"));
    Checks {
        format,
        format_name,
        maximum: number(schema.at("maximum")),
        exclusive_maximum: schema.bool("exclusiveMaximum"),
        minimum: number(schema.at("minimum")),
        exclusive_minimum: schema.bool("exclusiveMinimum"),
        multiple_of: number(schema.at("multipleOf")),
        len_max: schema.opt_int("maxLength"),
        len_min: schema.opt_int("minLength"),
        pattern: schema.opt_str("pattern").filter(|p| !p.is_empty()).map(Pattern::new),
        items_max: schema.opt_int("maxItems"),
        items_min: schema.opt_int("minItems"),
        unique_items: schema.bool("uniqueItems"),
        members_max: schema.opt_int("maxProperties"),
        members_min: schema.opt_int("minProperties"),
        required: texts(schema, "required"),
        values: schema.list("enum").to_vec(),
        all_of: nodes("allOf"),
        any_of: nodes("anyOf"),
        one_of: nodes("oneOf"),
        not: schema.get("not").filter(|s| s.as_object().is_some()).map(|s| Box::new(node(s))),
    }
}

/// A number as Go's float64 holds it.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    }
}

fn texts(schema: &Value, name: &str) -> Vec<EcoString> {
    schema.list(name).iter().filter_map(Value::as_str).map(EcoString::from).collect()
}
