//! The OpenAPI schemas of a definition: what may stand in them.
//!
//! Upstream: validation.go ValidateCustomResourceDefinitionOpenAPISchema, specStandardValidatorV3.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
};

use super::{
    field_path,
    rules::{Findings, Scope, Step, Strictness},
    spec::Options,
};
use crate::checks;

pub const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const FORMATS: [&str; 24] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
];
const LIST_TYPE: &str = "x-kubernetes-list-type";
const MAP_TYPE: &str = "x-kubernetes-map-type";
const MAP_KEYS: &str = "x-kubernetes-list-map-keys";
const RULES: &str = "x-kubernetes-validations";

/// Where in the whole a schema stands.
#[derive(Clone, Default)]
pub struct Place {
    is_root: bool,
    /// Why no default may stand here; `None` where one may.
    no_defaults: Option<String>,
    in_metadata: bool,
    /// The highest schema above whose values' old ones nobody can tell.
    uncorrelated: Option<Path>,
}

impl Place {
    pub const ROOT: Place = Place { is_root: true, no_defaults: None, in_metadata: false, uncorrelated: None };
}

/// Calls `look` with a schema and every schema in it. Upstream: `SchemaHas`.
pub fn each<'a>(schema: &'a Value, look: &mut dyn FnMut(&'a Value)) {
    if schema.as_object().is_none() {
        return;
    }
    look(schema);
    match schema.at("items") {
        Value::Array(items) => items.iter().for_each(|item| each(item, look)),
        item => each(item, look),
    }
    for junctor in ["allOf", "anyOf", "oneOf"] {
        schema.list(junctor).iter().for_each(|s| each(s, look));
    }
    each(schema.at("not"), look);
    schema.at("properties").members().for_each(|(_, s)| each(s, look));
    each(schema.at("additionalProperties"), look);
    schema.at("patternProperties").members().for_each(|(_, s)| each(s, look));
    each(schema.at("additionalItems"), look);
    for member in ["definitions", "dependencies"] {
        schema.at(member).members().for_each(|(_, s)| each(s, look));
    }
}

/// Whether any schema in this one is so.
pub fn any(schema: &Value, is: impl Fn(&Value) -> bool) -> bool {
    let mut found = false;
    each(schema, &mut |s| found |= is(s));
    found
}

/// The schemas of a definition, in either form.
pub fn all_of(spec: &Value) -> impl Iterator<Item = &Value> {
    let top = spec.at("validation").at("openAPIV3Schema");
    let versions = spec.list("versions").iter().map(|v| v.at("schema").at("openAPIV3Schema"));
    std::iter::once(top).chain(versions).filter(|s| !s.is_null())
}

/// Formats that nothing checks, each as often as it stands there.
pub fn unrecognized_formats(definition: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for schema in all_of(definition.at("spec")) {
        each(schema, &mut |s| {
            let format = s.str("format");
            let known = match s.str("type") {
                "" | "string" => is_known_format(&format.replace('-', "")),
                "integer" => matches!(format, "int32" | "int64"),
                "number" => matches!(format, "float" | "double"),
                _ => false,
            };
            if !format.is_empty() && !known {
                found.push(format.to_string());
            }
        });
    }
    found
}

/// Upstream compares names without dashes with a list in which two have some: they are never recognised.
fn is_known_format(name: &str) -> bool {
    FORMATS.contains(&name)
}

/// Upstream: `getNonScalarListTypeSetWarnings`.
pub fn set_warnings(definition: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for schema in all_of(definition.at("spec")) {
        each(schema, &mut |s| {
            let kind = s.at("items").str("type");
            if s.str(LIST_TYPE) == "set" && matches!(kind, "object" | "array") {
                found.insert(format!(
                    "x-kubernetes-list-type: set for items of type \"{kind}\" is not supported by server-side apply or CEL \
                     validation rules"
                ));
            }
        });
    }
    found
}

/// What judges a schema beside its place.
pub struct Judge<'a> {
    pub options: &'a Options,
    /// A schema that is as it was may have rules that are too dear.
    pub any_cost: bool,
    /// What is wrong with schemas, and with rules.
    pub errs: &'a mut Errors,
    pub findings: &'a mut Findings,
}

impl Judge<'_> {
    /// Judges a schema; no scope: its rules are not looked at. Upstream: `ValidateCustomResourceDefinitionOpenAPISchema`.
    pub fn validate(&mut self, schema: &Value, at: &Path, place: &Place, scope: Option<&Scope<'_>>) {
        if schema.as_object().is_none() {
            return;
        }
        let before = self.errs.len();
        supported(schema, at, place, self.options, self.errs);
        if schema.bool("uniqueItems") {
            let text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errs.forbidden(&at.child("uniqueItems"), text);
        }
        self.properties(schema, at, place, scope);
        let inner = Place { is_root: false, ..place.clone() };
        self.validate(schema.at("not"), &at.child("not"), &inner, None);
        for junctor in ["allOf", "oneOf", "anyOf"] {
            for (i, clause) in schema.list(junctor).iter().enumerate() {
                self.validate(clause, &at.child(junctor).index(i), &inner, None);
            }
        }
        for (name, definition) in schema.at("definitions").members() {
            self.validate(definition, &at.child("definitions").key(name), &inner, None);
        }
        self.items(schema, at, &inner, scope);
        for (name, dependency) in schema.at("dependencies").members() {
            self.validate(dependency, &at.child("dependencies").key(name), &inner, None);
        }
        extensions(schema, at, self.options, self.errs);
        if self.options.require_map_keys {
            map_and_set_items(schema, at, self.errs);
        }
        for (i, rule) in schema.list(RULES).iter().enumerate() {
            validate_rule(rule, schema, &at.child(RULES).index(i), self.errs);
        }
        // Rules over a schema that is wrong here or below say nothing that helps.
        if self.errs.len() == before
            && !schema.list(RULES).is_empty()
            && let Some(scope) = scope
        {
            let uncorrelated = place.uncorrelated.as_ref();
            let strictness = Strictness { stored: &self.options.stored, any_cost: self.any_cost, uncorrelated };
            scope.judge(at, &strictness, self.findings);
        }
    }

    fn properties(&mut self, schema: &Value, at: &Path, place: &Place, scope: Option<&Scope<'_>>) {
        let additional = schema.at("additionalProperties");
        let has_properties = schema.at("properties").members().next().is_some();
        if !additional.is_null() {
            if has_properties && additional.as_bool() != Some(true) {
                let text = "additionalProperties and properties are mutual exclusive";
                self.errs.forbidden(&at.child("additionalProperties"), text);
            }
            let mut inner = Place { is_root: false, ..place.clone() };
            if place.in_metadata {
                inner.no_defaults = Some("inside additionalProperties applying to object metadata".into());
            }
            let below = scope.map(|scope| scope.below(additional, Step::Element));
            self.validate(additional, &at.child("additionalProperties"), &inner, below.as_ref());
        }
        for (name, property) in schema.at("properties").members() {
            let mut inner = Place { is_root: false, ..place.clone() };
            if !matches!(schema.opt_str(MAP_TYPE), None | Some("granular" | "atomic")) {
                inner.uncorrelated.get_or_insert_with(|| at.clone());
            }
            let embedded = schema.bool("x-kubernetes-embedded-resource");
            if (place.is_root || embedded) && matches!(name, "metadata" | "kind" | "apiVersion") {
                inner.in_metadata = true;
                if place.is_root {
                    inner.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            let below = scope.map(|scope| scope.below(property, Step::Property(name)));
            self.validate(property, &at.child("properties").key(name), &inner, below.as_ref());
        }
    }

    /// Old elements can be told by new ones in lists that are maps alone.
    fn items(&mut self, schema: &Value, at: &Path, inner: &Place, scope: Option<&Scope<'_>>) {
        let mut inner = inner.clone();
        if schema.str(LIST_TYPE) != "map" {
            inner.uncorrelated.get_or_insert_with(|| at.clone());
        }
        let at = at.child("items");
        match schema.at("items") {
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.validate(item, &at.index(i), &inner, None);
                }
            }
            item => {
                let below = scope.map(|scope| scope.below(item, Step::Element));
                self.validate(item, &at, &inner, below.as_ref());
            }
        }
    }
}

/// Upstream: `specStandardValidatorV3.validate`.
fn supported(schema: &Value, at: &Path, place: &Place, options: &Options, errs: &mut Errors) {
    let kind = schema.str("type");
    if options.require_types && !kind.is_empty() {
        checks::one_of(errs, &at.child("type"), kind, &TYPES);
    }
    if let Some(why) = place.no_defaults.as_ref().filter(|_| schema.has("default")) {
        errs.forbidden(&at.child("default"), format!("must not be set {why}"));
    }
    for member in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        let empty_counts = matches!(member, "additionalItems" | "dependencies" | "$ref");
        if if empty_counts { schema.has(member) } else { !schema.at(member).is_empty() } {
            errs.forbidden(&at.child(member), format!("{member} is not supported"));
        }
    }
    if kind == "null" {
        errs.forbidden(&at.child("type"), "type cannot be set to null, use nullable as an alternative");
    }
    if !schema.list("items").is_empty() {
        errs.forbidden(&at.child("items"), "items must be a schema object and not an array");
    }
    if place.in_metadata && schema.bool("x-kubernetes-embedded-resource") {
        errs.forbidden(&at.child("x-kubernetes-embedded-resource"), "must not be used inside of resource meta");
    }
}

/// `must be object if …` for a type that is missing or another.
fn must_be(kind: &str, wanted: &str, because: &str, at: &Path, errs: &mut Errors) {
    let text = format!("must be {wanted} if {because} is specified");
    match kind {
        "" => errs.required(&at.child("type"), text),
        _ => errs.invalid(&at.child("type"), kind, text),
    }
}

fn extensions(schema: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    let kind = schema.str("type");
    let open = "x-kubernetes-preserve-unknown-fields";
    if schema.opt_bool(open) == Some(false) {
        errs.invalid(&at.child(open), false, "must be true or undefined");
    }
    if let Some(map) = schema.opt_str(MAP_TYPE) {
        if kind != "object" {
            must_be(kind, "object", MAP_TYPE, at, errs);
        }
        checks::one_of(errs, &at.child(MAP_TYPE), map, &["atomic", "granular"]);
    }
    let list = schema.opt_str(LIST_TYPE);
    if list.is_some() && kind != "array" {
        must_be(kind, "array", LIST_TYPE, at, errs);
    } else if options.require_atomic_sets && is_set_of_parts(schema) {
        let member = if schema.at("items").str("type") == "array" { LIST_TYPE } else { MAP_TYPE };
        let shown = schema.at("items").at(LIST_TYPE);
        let text = "must be atomic as item of a list with x-kubernetes-list-type=set";
        errs.invalid(&at.child("items").child(member), shown, text);
    }
    if let Some(list) = list {
        checks::one_of(errs, &at.child(LIST_TYPE), list, &["atomic", "set", "map"]);
    }
    if !schema.list(MAP_KEYS).is_empty() && list != Some("map") {
        let text = "must be map if x-kubernetes-list-map-keys is non-empty";
        match list {
            None => errs.required(&at.child(LIST_TYPE), text),
            Some(list) => errs.invalid(&at.child(LIST_TYPE), list, text),
        }
    }
    if list == Some("map") {
        map_list(schema, at, errs);
    }
}

/// A set whose items can be changed in part. Upstream: `hasNonAtomicSetType`.
pub fn is_set_of_parts(schema: &Value) -> bool {
    let items = schema.at("items");
    schema.str(LIST_TYPE) == "set"
        && match items.str("type") {
            "array" => items.opt_str(LIST_TYPE).is_some_and(|l| l != "atomic"),
            "object" => items.str(MAP_TYPE) != "atomic",
            _ => false,
        }
}

fn map_list(schema: &Value, at: &Path, errs: &mut Errors) {
    let (items, keys) = (schema.at("items"), schema.list(MAP_KEYS));
    if keys.is_empty() {
        errs.required(&at.child(MAP_KEYS), "must not be empty if x-kubernetes-list-type is map");
    }
    if items.is_null() {
        return errs.required(&at.child("items"), "must have a schema if x-kubernetes-list-type is map");
    }
    if items.as_object().is_none() {
        return errs.invalid(
            &at.child("items"),
            items,
            "must only have a single schema if x-kubernetes-list-type is map",
        );
    }
    if items.str("type") != "object" {
        let text = "must be object if parent array's x-kubernetes-list-type is map";
        return errs.invalid(&at.child("items").child("type"), items.str("type"), text);
    }
    for (i, key) in keys.iter().enumerate() {
        let name = key.as_str().unwrap_or("");
        match items.at("properties").get(name) {
            None => {
                errs.invalid(&at.child(MAP_KEYS), schema.at(MAP_KEYS), "entries must all be names of item properties")
            }
            Some(property) if matches!(property.str("type"), "array" | "object") => {
                let at = at.child("items").child("properties").key(name).child("type");
                errs.invalid(&at, "object", "must be a scalar type if parent array's x-kubernetes-list-type is map");
            }
            Some(_) => {}
        }
        if keys[..i].contains(key) {
            errs.invalid(&at.child(MAP_KEYS), schema.at(MAP_KEYS), "must not contain duplicate entries");
        }
    }
}

/// Upstream: `validateMapListKeysMapSet`.
pub fn map_and_set_items(schema: &Value, at: &Path, errs: &mut Errors) {
    let (items, list) = (schema.at("items"), schema.str(LIST_TYPE));
    if items.as_object().is_none() || !matches!(list, "set" | "map") {
        return;
    }
    let at = at.child("items");
    if items.bool("nullable") {
        errs.forbidden(&at.child("nullable"), format!("cannot be nullable when x-kubernetes-list-type is {list}"));
    }
    for key in schema.list(MAP_KEYS).iter().filter(|_| list == "map") {
        let name = key.as_str().unwrap_or("");
        let Some(property) = items.at("properties").get(name) else { continue };
        let at = at.child("properties").key(name);
        let what = "this property is in x-kubernetes-list-map-keys, so it";
        if !items.list("required").contains(key) && !property.has("default") {
            errs.required(&at.child("default"), format!("{what} must have a default or be a required property"));
        }
        if property.bool("nullable") {
            errs.forbidden(&at.child("nullable"), format!("{what} cannot be nullable"));
        }
    }
}

/// What can be said of a rule without compiling it.
fn validate_rule(rule: &Value, schema: &Value, at: &Path, errs: &mut Errors) {
    let broken = |text: &str| text.contains(['\n', '\r']);
    let (message, expression, path) = (rule.str("message"), rule.str("messageExpression"), rule.str("fieldPath"));
    let (text, said) = (rule.str("rule").trim(), message.trim());
    if text.is_empty() {
        errs.required(&at.child("rule"), "rule is not specified");
    } else if !message.is_empty() && said.is_empty() {
        errs.invalid(&at.child("message"), message, "must be non-empty if specified");
    } else if broken(said) {
        errs.invalid(&at.child("message"), message, "must not contain line breaks");
    } else if broken(text) && said.is_empty() {
        errs.required(&at.child("message"), "message must be specified if rule contains line breaks");
    }
    if !expression.is_empty() && expression.trim().is_empty() {
        errs.required(&at.child("messageExpression"), "messageExpression must be non-empty if specified");
    }
    let reasons = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    if let Some(reason) = rule.opt_str("reason") {
        checks::one_of(errs, &at.child("reason"), reason, &reasons);
    }
    let at = at.child("fieldPath");
    if !path.is_empty() && path.trim().is_empty() {
        errs.invalid(&at, path, "must be non-empty if specified");
    }
    if broken(path) {
        errs.invalid(&at, path, "must not contain line breaks");
    }
    if !path.is_empty() && field_path::follow(path, schema, true).is_err() {
        errs.invalid(&at, path, "must be a valid path");
    }
}
