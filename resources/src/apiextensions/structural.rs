//! Structural schemas: everything has a type, and junctors (`allOf`, `anyOf`, `oneOf`, `not`) only narrow what is there.
//!
//! Upstream: pkg/apiserver/schema/validation.go ValidateStructural, complete.go.

use api::{
    Value,
    field::{Errors, Path},
};

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

const JUNCTORS: [&str; 3] = ["anyOf", "allOf", "oneOf"];

/// What keeps a schema from being read as a structural one at all, in upstream's words.
pub fn unreadable(schema: &Value) -> Option<String> {
    let unsupported = ["id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"];
    if let Some(member) = unsupported.iter().find(|m| !schema.at(m).is_empty()) {
        let name = member.strip_prefix('$').filter(|n| *n == "schema").unwrap_or(member);
        return Some(format!("OpenAPIV3Schema '{name}' is not supported"));
    }
    if schema.opt_bool("x-kubernetes-preserve-unknown-fields") == Some(false) {
        return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".into());
    }
    if matches!(schema.at("items"), Value::Array(_)) {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".into());
    }
    children(schema).find_map(unreadable)
}

fn children(schema: &Value) -> impl Iterator<Item = &Value> {
    let junctors = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|j| schema.list(j));
    let single =
        ["not", "items", "additionalProperties"].into_iter().map(|m| schema.at(m)).filter(|v| v.as_object().is_some());
    junctors.chain(single).chain(schema.at("properties").members().map(|(_, v)| v))
}

/// Upstream: `ValidateStructural`; the errors are sorted by their text.
pub fn validate(schema: &Value, at: &Path) -> Errors {
    let mut errs = Errors::new();
    invariants(schema, Level::Root, at, &mut errs);
    complete(schema, schema, at, at, &mut errs);
    errs.0.sort_by_key(ToString::to_string);
    errs
}

/// `anyOf: [{type: integer}, {type: string}]`, which int-or-string fields may have.
fn is_int_or_string(list: &[Value]) -> bool {
    let only = |schema: &Value, kind: &str| {
        schema.str("type") == kind && schema.members().filter(|(_, v)| !v.is_empty()).count() == 1
    };
    matches!(list, [a, b] if only(a, "integer") && only(b, "string"))
}

fn schema_of<'a>(of: &'a Value, member: &str) -> Option<&'a Value> {
    Some(of.at(member)).filter(|v| v.as_object().is_some())
}

fn invariants(s: &Value, level: Level, at: &Path, errs: &mut Errors) {
    let kind = s.str("type");
    if kind == "array" && !s.has("items") {
        errs.required(&at.child("items"), "must be specified");
    }
    if let Some(items) = schema_of(s, "items") {
        invariants(items, Level::Item, &at.child("items"), errs);
    }
    for (name, field) in s.at("properties").members() {
        invariants(field, Level::Field, &at.child("properties").key(name), errs);
    }
    if s.has("additionalProperties") && level == Level::Root {
        errs.forbidden(&at.child("additionalProperties"), "must not be used at the root");
    }
    if let Some(additional) = schema_of(s, "additionalProperties") {
        invariants(additional, Level::Field, &at.child("additionalProperties"), errs);
    }
    extensions(s, at, errs);
    let skip_any = is_int_or_string(s.list("anyOf"));
    let skip_first = s.list("allOf").first().is_some_and(|first| is_int_or_string(first.list("anyOf")));
    values(s, skip_any, skip_first, at, errs);
    types(s, level, at, errs);
    metadata(s, level, at, errs);
}

fn extensions(s: &Value, at: &Path, errs: &mut Errors) {
    let text = "must be false if x-kubernetes-int-or-string is true";
    for member in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if s.bool("x-kubernetes-int-or-string") && s.bool(member) {
            errs.invalid(&at.child(member), true, text);
        }
    }
}

fn types(s: &Value, level: Level, at: &Path, errs: &mut Errors) {
    let (kind, type_at) = (s.str("type"), at.child("type"));
    let embedded = s.bool("x-kubernetes-embedded-resource");
    if embedded && kind != "object" {
        let text = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() { errs.required(&type_at, text) } else { errs.invalid(&type_at, kind, text) }
    } else if kind.is_empty()
        && !s.bool("x-kubernetes-int-or-string")
        && !s.bool("x-kubernetes-preserve-unknown-fields")
    {
        let whose = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        errs.required(&type_at, format!("must not be empty {whose}"));
    }
    if embedded && s.has("additionalProperties") {
        let text = "must not be used if x-kubernetes-embedded-resource is set";
        errs.forbidden(&at.child("additionalProperties"), text);
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errs.invalid(&type_at, kind, "must be object at the root");
    }
}

fn metadata(s: &Value, level: Level, at: &Path, errs: &mut Errors) {
    let (properties, properties_at) = (s.at("properties"), at.child("properties"));
    let embedded = s.bool("x-kubernetes-embedded-resource");
    let is_object = level == Level::Root || embedded;
    for name in ["kind", "apiVersion"] {
        if let Some(field) = properties.get(name).filter(|f| is_object && f.str("type") != "string") {
            errs.invalid(&properties_at.key(name).child("type"), field.str("type"), "must be string");
        }
    }
    if let Some(metadata) = properties.get("metadata") {
        let at = properties_at.key("metadata");
        if is_object && metadata.str("type") != "object" {
            errs.invalid(&at.child("type"), metadata.str("type"), "must be object");
        }
        if level == Level::Root && restricts_more_than_names(metadata) {
            let text =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errs.forbidden(&at, text);
        }
    }
    let open = s.bool("x-kubernetes-preserve-unknown-fields");
    if embedded && !open && properties.members().next().is_none() {
        let text =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errs.required(&properties_at, text);
    }
}

fn restricts_more_than_names(metadata: &Value) -> bool {
    let mut known = metadata.at("properties").members().map(|(name, _)| name);
    !known.all(|name| matches!(name, "name" | "generateName"))
        || metadata
            .members()
            .any(|(member, value)| !value.is_empty() && !matches!(member, "type" | "properties" | "default"))
}

/// Upstream: `validateValueValidation`.
fn values(v: &Value, skip_any: bool, skip_first_all: bool, at: &Path, errs: &mut Errors) {
    for junctor in JUNCTORS.into_iter().filter(|j| !(skip_any && *j == "anyOf")) {
        for (i, clause) in v.list(junctor).iter().enumerate() {
            let skip = skip_first_all && junctor == "allOf" && i == 0;
            nested(clause, skip, &at.child(junctor).index(i), errs);
        }
    }
    if let Some(not) = schema_of(v, "not") {
        nested(not, false, &at.child("not"), errs);
    }
}

/// Upstream: `validateNestedValueValidation`.
fn nested(v: &Value, skip_any: bool, at: &Path, errs: &mut Errors) {
    values(v, skip_any, false, at, errs);
    if let Some(items) = schema_of(v, "items") {
        nested(items, false, &at.child("items"), errs);
    }
    for (name, field) in v.at("properties").members() {
        nested(field, false, &at.child("properties").key(name), errs);
    }
    let forbidden = [
        ("type", "empty"),
        ("additionalProperties", "undefined"),
        ("default", "undefined"),
        ("title", "empty"),
        ("description", "empty"),
        ("nullable", "false"),
        ("x-kubernetes-preserve-unknown-fields", "false"),
        ("x-kubernetes-embedded-resource", "false"),
        ("x-kubernetes-int-or-string", "false"),
        ("x-kubernetes-list-map-keys", "empty"),
        ("x-kubernetes-list-type", "undefined"),
        ("x-kubernetes-map-type", "undefined"),
        ("x-kubernetes-validations", "empty"),
    ];
    for (member, what) in forbidden {
        let value = v.at(member);
        let set =
            if what == "undefined" { !value.is_null() && value.as_bool() != Some(false) } else { !value.is_empty() };
        if set {
            errs.forbidden(&at.child(member), format!("must be {what} to be structural"));
        }
    }
    if v.at("properties").get("metadata").is_some() {
        errs.forbidden(&at.child("properties").key("metadata"), "must not be specified in a nested context");
    }
}

/// What junctors speak about is specified outside of them. `s` is the structure, `v` what narrows it.
fn complete(v: &Value, s: &Value, s_at: &Path, v_at: &Path, errs: &mut Errors) {
    if let Some(not) = schema_of(v, "not") {
        complete_nested(not, Some(s), s_at, &v_at.child("not"), errs);
    }
    for junctor in ["allOf", "anyOf", "oneOf"] {
        for (i, clause) in v.list(junctor).iter().enumerate() {
            complete_nested(clause, Some(s), s_at, &v_at.child(junctor).index(i), errs);
        }
    }
}

fn complete_nested(v: &Value, s: Option<&Value>, s_at: &Path, v_at: &Path, errs: &mut Errors) {
    let Some(s) = s else {
        return errs.required(s_at, format!("because it is defined in {v_at}"));
    };
    complete(v, s, s_at, v_at, errs);
    if let Some(items) = schema_of(v, "items") {
        complete_nested(items, schema_of(s, "items"), &s_at.child("items"), &v_at.child("items"), errs);
    }
    for (name, field) in v.at("properties").members() {
        let (s_at, v_at) = (s_at.child("properties").key(name), v_at.child("properties").key(name));
        complete_nested(field, s.at("properties").get(name), &s_at, &v_at, errs);
    }
}
