//! What upstream said of definitions with rules, and of objects of them, and what is said here.
//!
//! A line of `definitions.jsonl` is a schema, and what a create of a definition with it came to. A line of `rules.jsonl` is a schema
//! with cases: the new object, the old one where it was an update, and the answer; causes and warnings are in order. Of
//! names of types nothing but `selfType` is kept. Recorded from kube-apiserver v1.37.1; the old objects were
//! stored before the definitions had rules.

use api::{
    User, Value,
    field::{Errors, Path},
    value,
};
use resources::row::Context;

use super::*;
use crate::{
    body::{Body, Media},
    definition::Definition,
    special::{
        Special,
        custom::{
            Definitions,
            tests::{of_root, read, same},
        },
    },
};

static DEFINITIONS: &str = include_str!("definitions.jsonl");
static RULES: &str = include_str!("rules.jsonl");

/// Without the digits of a type's name.
fn masked(text: &str) -> String {
    let mut parts = text.split("selfType");
    let mut masked = parts.next().unwrap_or("").to_string();
    for part in parts {
        masked.push_str("selfType");
        masked.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    masked
}

fn causes(errors: &Errors) -> Value {
    let cause = |error: &FieldError| {
        value!([(error.kind.cause().replace("FieldValue", "")), (masked(&error.field)), (masked(&error.body()))])
    };
    let mut causes: Vec<Value> = errors.0.iter().map(cause).collect();
    causes.sort_by_key(codec::json::to_string);
    causes.dedup();
    causes.into()
}

fn answer(errors: &Errors, mut warnings: Vec<String>) -> Value {
    let mut answer = Value::object();
    if !errors.is_empty() {
        answer.set("code", 422);
        answer.set("causes", causes(errors));
    }
    if !warnings.is_empty() {
        warnings.sort();
        warnings.dedup();
        answer.set("warnings", warnings);
    }
    answer
}

/// What a create of a definition comes to.
fn of_definition(schema: &Value) -> Value {
    let mut definition = value!({
        "metadata": {"name": "leaves.cases.example.com"},
        "spec": {
            "group": "cases.example.com", "scope": "Cluster",
            "names": {"plural": "leaves", "singular": "leaf", "kind": "Leaf", "listKind": "LeafList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": (schema.clone())}}]
        }
    });
    let context = Context {
        now: jiff::Timestamp::UNIX_EPOCH,
        user: &User::new("tester", &[]),
        namespace: "",
        version: "v1",
        dry_run: false,
        find: &|_, _, _| None,
        fresh_uid: &String::new,
        gate: &|_| false,
    };
    let row = &resources::apiextensions::ROWS[0];
    (resources::apiextensions::DEFAULTS[0].run)(&mut definition);
    (row.rules.prepare_create)(&mut definition, &context);
    let mut errors = (row.rules.validate)(&definition, &context);
    if errors.is_empty() {
        errors = Definitions.judge(&definition, None);
    }
    answer(&errors, (row.rules.warn)(&definition, None))
}

/// An object as it is read, and what was unknown in it; or why it cannot be.
fn object(definition: &Definition, name: &str, of: &Value) -> Result<(Value, Vec<String>), String> {
    let mut whole = value!({"apiVersion": "cases.example.com/v1", "kind": "Leaf", "metadata": {"name": name}});
    of.members().for_each(|(name, member)| whole.set(name, member.clone()));
    let text = codec::json::to_string(&whole);
    let body = Body { media: Media::Json, bytes: text.as_bytes() };
    let mut read = definition.world.read(body, 0).map_err(|error| error.to_string())?;
    definition.to_hub(&mut read.value, &definition.versions[0]);
    Ok((read.value, read.strict))
}

fn of_case(definition: &Definition, case: &Value) -> Value {
    let name = case.opt_str("name").unwrap_or("x");
    let (new, mut warnings) = match object(definition, name, case.at("new")) {
        Ok(read) => read,
        Err(why) => {
            let text = format!("Leaf in version \"v1\" cannot be handled as a Leaf: {why}");
            return value!({"code": 400, "message": text});
        }
    };
    let old = case.get("old").map(|old| object(definition, name, old).expect("upstream had stored it").0);
    let served = &definition.versions[0];
    let judged = definition.world.judge(definition, served, &new, old.as_ref(), "", &Errors::new());
    let judged = judged.expect("it has a schema");
    warnings.extend(judged.warnings.iter().map(|text| masked(text)));
    answer(&judged.errors, warnings)
}

fn in_order(mut answer: Value) -> Value {
    if let Some(causes) = answer.get_mut("causes") {
        causes.make_array().sort_by_key(codec::json::to_string);
        causes.make_array().dedup();
    }
    if let Some(warnings) = answer.get_mut("warnings") {
        warnings.make_array().sort_by_key(codec::json::to_string);
    }
    answer
}

/// Where the two differ, as text.
fn compared(wanted: &Value, found: Value, of: &[&Value]) -> Option<String> {
    let (wanted, found) = (in_order(wanted.clone()), in_order(found));
    if same(&wanted, &found) {
        return None;
    }
    let of: Vec<String> = of.iter().map(|part| codec::json::to_string(part)).collect();
    let [wanted, found] = [&wanted, &found].map(codec::json::to_string);
    Some(format!("{}:\n  upstream {wanted}\n  here     {found}", of.join("\n  ")))
}

fn assert_none(wrong: &[String], count: usize) {
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn definitions_are_judged_as_upstream_judges_them() {
    let cases: Vec<Value> = DEFINITIONS.lines().chain(RULES.lines()).map(read).collect();
    let wanted = |case: &Value| {
        let said = case.get("answer").or(case.get("refused")).cloned();
        said.unwrap_or_else(Value::object)
    };
    let judge = |case: &Value| compared(&wanted(case), of_definition(case.at("schema")), &[case.at("schema")]);
    let wrong: Vec<String> = cases.iter().filter_map(judge).collect();
    assert!(cases.len() > 350, "{} cases", cases.len());
    assert_none(&wrong, cases.len());
}

#[test]
fn objects_are_judged_as_upstream_judges_them() {
    let (mut count, mut wrong) = (0, Vec::new());
    for line in RULES.lines().map(read) {
        let definition = of_root(line.at("schema"));
        for case in line.list("cases") {
            count += 1;
            let of = [line.at("schema"), case.at("old"), case.at("new")];
            wrong.extend(compared(case.at("answer"), of_case(&definition, case), &of));
        }
    }
    assert!(count > 2000, "{count} cases");
    assert_none(&wrong, count);
}

#[test]
fn a_schema_without_rules_costs_nothing() {
    let node =
        schema::structural::compile::version(&value!({"type": "object", "properties": {"a": {"type": "string"}}}));
    assert!(Rules::compile(&node, true).is_none());
}

#[test]
fn what_an_object_may_cost_is_bounded() {
    let schema = value!({"type": "object", "properties": {"l": {
        "type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 1"}]}
    }}});
    let node = schema::structural::compile::version(&schema);
    let rules = Rules::compile(&node, false).expect("it has a rule");
    let new = value!({"l": [5, 5, 5, 5]});
    let (said, left) = rules.judge(&node, &new, None, false, &Path::root(), 100);
    assert!(said.errors.is_empty());
    assert_eq!(left, 100 - 4 * 2);
    let (said, left) = rules.judge(&node, &new, None, false, &Path::root(), 5);
    assert_eq!(left, -1);
    assert_eq!(said.errors.message(), format!("l[2]: Invalid value: \"integer\": {OUT_OF_BUDGET}"));
    let (said, _) = rules.judge(&node, &new, None, false, &Path::root(), 4);
    assert_eq!(said.errors.message(), format!("l[2]: Invalid value: \"integer\": {OUT_OF_BUDGET}"));
}
