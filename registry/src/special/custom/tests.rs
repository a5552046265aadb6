//! What upstream said of five thousand values of eighty schemas, and what is said here.
//!
//! The first line of `leaves.jsonl` has the values' texts; each other line a schema and, by the place of a value, what a member of
//! that schema came to with it: `is` when something else was stored, else an error's causes (`@` is the member). Recorded
//! from kube-apiserver v1.37.1.

use std::sync::Arc;

use api::{Value, field::Errors, value};
use bytes::Bytes;

use super::compile;
use crate::{
    body::{Body, Media},
    cache::{Cache, Entry, Head},
    definition::Definition,
};

static LEAVES: &str = include_str!("leaves.jsonl");

pub(super) fn read(line: &str) -> Value {
    codec::json::any(line.as_bytes()).expect("cases are JSON").value
}

/// The definition of a kind whose spec has one member `p` of a schema.
fn definition(schema: &Value) -> Definition {
    let spec = value!({"type": "object", "properties": {"p": (schema.clone())}});
    of_root(&value!({"type": "object", "properties": {"spec": spec}}))
}

/// The definition of a kind of a schema.
pub(super) fn of_root(root: &Value) -> Definition {
    let names = value!({"plural": "leaves", "singular": "leaf", "kind": "Leaf", "listKind": "LeafList"});
    let stored = value!({
        "metadata": {"name": "leaves.cases.example.com"},
        "spec": {
            "group": "cases.example.com", "scope": "Cluster", "names": (names.clone()),
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": (root.clone())}}]
        },
        "status": {"acceptedNames": names}
    });
    let json = Bytes::from(codec::json::to_string(&stored));
    let entry = Entry {
        key: "leaves.cases.example.com".into(),
        revision: 1,
        head: Arc::new(Head::default()),
        json,
        splice: 0,
        body: 0,
        message: Default::default(),
    };
    let outside = crate::convert::Outside::alone(Arc::new(Still));
    compile::definition(&stored, &Arc::new(entry), None, Cache::new(), &outside).expect("it has a storage version")
}

struct Still;

impl api::time::Clock for Still {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

/// What a create of a value comes to, in the form of the cases.
fn verdict(definition: &Definition, text: &str) -> Value {
    const HEAD: &str = r#"{"apiVersion":"cases.example.com/v1","kind":"Leaf","metadata":{"name":"x"},"spec":{"p":"#;
    let text = format!("{HEAD}{text}}}}}");
    let sent = &read(text.as_str()).at("spec").at("p").clone();
    let served = &definition.versions[0];
    let mut answer = Value::object();
    let mut read = match definition.world.read(Body { media: Media::Json, bytes: text.as_bytes() }, 0) {
        Ok(read) => read,
        Err(error) => {
            let text = format!("Leaf in version \"v1\" cannot be handled as a Leaf: {error}");
            return value!({"code": 400, "message": (text.replace("spec.p", "@"))});
        }
    };
    if !read.strict.is_empty() {
        let warnings: Vec<String> = read.strict.iter().map(|text| text.replace("spec.p", "@")).collect();
        answer.set("warnings", warnings);
    }
    definition.to_hub(&mut read.value, served);
    let judged = definition.world.judge(definition, served, &read.value, None, "", &Errors::new());
    let errors = judged.expect("it has a schema").errors;
    if !errors.is_empty() {
        let mut causes: Vec<Value> = Vec::new();
        for error in &errors.0 {
            let kind = error.kind.cause().replace("FieldValue", "");
            let (field, message) = (error.field.replace("spec.p", "@"), error.body().replace("spec.p", "@"));
            causes.push(value!([kind, field, message]));
        }
        causes.sort_by_key(codec::json::to_string);
        causes.dedup();
        answer.set("code", 422);
        answer.set("causes", causes);
        return answer;
    }
    match read.value.at("spec").get("p") {
        Some(stored) if same(stored, sent) => {}
        Some(stored) => answer.set("is", vec![stored.clone()]),
        None => answer.set("is", Value::Null),
    }
    answer
}

/// Equal but for the order of members.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(_), Value::Object(_)) => {
            a.members().count() == b.members().count()
                && a.members().all(|(name, member)| b.get(name).is_some_and(|other| same(member, other)))
        }
        (Value::Array(_), Value::Array(_)) => {
            a.items().len() == b.items().len() && a.items().iter().zip(b.items()).all(|(a, b)| same(a, b))
        }
        _ => a == b,
    }
}

fn in_order(mut answer: Value) -> Value {
    if let Some(causes) = answer.get_mut("causes") {
        causes.make_array().sort_by_key(codec::json::to_string);
    }
    answer
}

#[test]
fn values_are_judged_as_upstream_judges_them() {
    let mut lines = LEAVES.lines().map(read);
    let values = lines.next().expect("the values come first");
    let (mut count, mut wrong) = (0, Vec::new());
    for case in lines {
        let definition = definition(case.at("schema"));
        for (i, sent) in values.list("values").iter().enumerate() {
            let wanted = case.at("answers").get(&i.to_string()).cloned().unwrap_or_else(Value::object);
            let found = verdict(&definition, sent.as_str().expect("values are texts"));
            count += 1;
            if !same(&in_order(wanted.clone()), &in_order(found.clone())) {
                let [schema, sent, wanted, found] =
                    [case.at("schema"), sent, &wanted, &found].map(codec::json::to_string);
                wrong.push(format!("{schema} of {sent}:\n  upstream {wanted}\n  here     {found}"));
            }
        }
    }
    assert!(count > 5000, "{count} cases");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}
