//! Schemas of users: judged as a definition's, with their rules compiled, and what objects come to by them.

use api::{User, Value, field::Errors, value};
use resources::row::Context;
use schema::structural::{
    compile, embedded, fill,
    fit::{self, Malformed, ReadMeta},
    lists, validate,
};

/// Metadata is taken as it is.
struct Meta;

impl ReadMeta for Meta {
    fn read(&self, metadata: &Value) -> Result<(Value, Vec<String>), String> {
        Ok((metadata.clone(), Vec::new()))
    }
}

/// A schema, and with a NUL between an object of it.
pub fn schemas(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let Ok(schema) = codec::json::any(&data[..at]).map(|read| read.value) else { return };
    let errors = judge(&definition(&schema));
    let Some(Ok(mut object)) = data.get(at + 1..).map(|text| codec::json::any(text).map(|read| read.value)) else {
        return;
    };
    // Nobody stores an object of a schema that is none.
    if !errors.0.is_empty() || object.as_object().is_none() {
        return;
    }
    let node = compile::version(&schema);
    if fit::object(&mut object, Some(&node), Malformed::Refused, &Meta).is_err() {
        return;
    }
    fill::defaults(&mut object, &node);
    let _ = validate::validate(&node, &object, None, None);
    let _ = validate::validate(&node, &object, Some(&object), None);
    let _ = lists::validate(&node, &object);
    let _ = embedded::validate(&node, &object, &|_, _| Errors::new());
    let mut again = object.clone();
    let unknown = fit::object(&mut again, Some(&node), Malformed::Refused, &Meta).expect("what fits fits again");
    assert!(unknown.is_empty(), "what was taken out is still there: {unknown:?}");
    assert!(lists::is_same(&node, &object, &object), "an object is not what it is");
}

fn definition(schema: &Value) -> Value {
    let names = value!({"plural": "leaves", "singular": "leaf", "kind": "Leaf", "listKind": "LeafList"});
    let version = value!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": (schema.clone())}
    });
    value!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "leaves.cases.example.com"},
        "spec": {
            "group": "cases.example.com", "scope": "Namespaced", "names": (names), "versions": [(version)],
            "conversion": {"strategy": "None"}
        }
    })
}

fn judge(definition: &Value) -> Errors {
    let rows = resources::all().find(|row| row.plural == "customresourcedefinitions");
    let rules = rows.expect("there are definitions").rules;
    let context = Context {
        now: Default::default(),
        user: &User::default(),
        namespace: "",
        version: "v1",
        dry_run: false,
        find: &|_, _, _| None,
        fresh_uid: &String::new,
        gate: &|_| false,
    };
    let errors = (rules.validate)(definition, &context);
    let _ = errors.message();
    errors
}
