//! Types out of schemas, and what expressions over them may cost.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::{Environment, Expression, Mode, compile};

#[derive(Clone, Copy)]
struct Tree<'a>(&'a Json);

impl<'a> Tree<'a> {
    fn text(self, name: &str) -> &'a str {
        self.0[name].as_str().unwrap_or("")
    }

    fn below(self, name: &str) -> Option<Tree<'a>> {
        self.0.get(name).filter(|below| below.is_object()).map(Tree)
    }
}

impl<'a> Schema<'a> for Tree<'a> {
    fn kind(self) -> &'a str {
        self.text("type")
    }

    fn format(self) -> &'a str {
        self.text("format")
    }

    fn items(self) -> Option<Self> {
        self.below("items")
    }

    fn properties(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.0["properties"].as_object().into_iter().flatten().map(|(name, below)| (name.as_str(), Tree(below)))
    }

    fn property(self, name: &str) -> Option<Self> {
        self.0["properties"].get(name).map(Tree)
    }

    fn additional(self) -> Option<Self> {
        self.below("additionalProperties")
    }

    fn required(self) -> impl Iterator<Item = &'a str> {
        self.0["required"].as_array().into_iter().flatten().filter_map(Json::as_str)
    }

    fn has_default(self) -> bool {
        self.0.get("default").is_some()
    }

    fn is_int_or_string(self) -> bool {
        self.0["x-kubernetes-int-or-string"] == true
    }

    fn is_embedded(self) -> bool {
        self.0["x-kubernetes-embedded-resource"] == true
    }

    fn len_max(self) -> Option<i64> {
        self.0["maxLength"].as_i64()
    }

    fn items_max(self) -> Option<i64> {
        self.0["maxItems"].as_i64()
    }

    fn members_max(self) -> Option<i64> {
        self.0["maxProperties"].as_i64()
    }

    fn longest_choice(self) -> Option<i64> {
        let choices = self.0["enum"].as_array()?;
        choices.iter().filter_map(Json::as_str).map(|text| text.len() as i64).max()
    }
}

fn compiled(schema: &Json, is_root: bool, text: &str) -> Result<(Expression, Arc<Declared>), String> {
    let declared = declare(Tree(schema), is_root).ok_or("expressions see nothing of it")?;
    let types = DeclaredTypes::new().with("T", declared.clone());
    let t = types.type_of("T").ok_or("it has a name")?;
    let environment = Environment::new(Mode::NewExpressions).types(Arc::new(types)).variable("self", t);
    compile(&environment, text).map(|expression| (expression, declared)).map_err(|issues| issues.to_string())
}

fn cost(schema: &Json, text: &str) -> u64 {
    let (expression, declared) = compiled(schema, false, text).expect(text);
    expression.cost_estimate(&*declared).max
}

#[test]
fn fields_have_the_types_of_their_schemas() {
    let schema = json!({"type": "object", "properties": {
        "a-b": {"type": "string"},
        "namespace": {"type": "integer"},
        "port": {"x-kubernetes-int-or-string": true},
        "since": {"type": "string", "format": "date-time"},
        "wait": {"type": "string", "format": "duration"},
        "raw": {"type": "string", "format": "byte"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "open": {"x-kubernetes-preserve-unknown-fields": true},
        "opens": {"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": true}},
        "9": {"type": "string"},
        "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}
    }});
    for text in [
        "self.a__dash__b == 'x' && self.__namespace__ == 1 && self.namespace == 1",
        "self.port == 1 || self.port == '1'",
        "self.since > timestamp('2020-01-01T00:00:00Z') && self.wait < duration('1s') && self.raw == b'x'",
        "self.list[0].x > 1.0 && self.list.all(e, e.x < 2.0) && self.map['k'] && self.map.all(k, k.size() > 0)",
        "self.pod.metadata.name == self.pod.kind",
    ] {
        compiled(&schema, false, text).map(drop).expect(text);
    }
    for (text, why) in [
        ("self.list[0].y", "undefined field 'y'"),
        ("self.open", "undefined field 'open'"),
        ("self.opens", "undefined field 'opens'"),
        ("self.metadata", "undefined field 'metadata'"),
        ("self.pod.spec", "undefined field 'spec'"),
        ("self.pod.metadata.labels", "undefined field 'labels'"),
        ("self.list == 1", "applied to '(list(T.list.@idx), int)'"),
        ("self.map == self", "applied to '(map(string, bool), T)'"),
    ] {
        let issues = compiled(&schema, false, text).map(drop).expect_err(text);
        assert!(issues.contains(why), "{issues}");
    }
    compiled(&schema, true, "self.metadata.generateName + self.apiVersion == ''").map(drop).expect("it is an object");
}

#[test]
fn what_is_not_typed_is_not_seen() {
    for schema in [
        json!({"x-kubernetes-preserve-unknown-fields": true}),
        json!({"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": true}}),
        json!({"type": "object", "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true}}),
        json!({"type": "array"}),
    ] {
        assert!(declare(Tree(&schema), false).is_none(), "{schema}");
    }
}

#[test]
fn costs_follow_the_limits_of_schemas() {
    let list = |items: Json, max: Option<i64>| match max {
        Some(max) => json!({"type": "array", "items": items, "maxItems": max}),
        None => json!({"type": "array", "items": items}),
    };
    // Upstream: compilation_test.go TestCostEstimation.
    assert_eq!(cost(&list(json!({"type": "number"}), None), "self.all(x, true)"), 4718591);
    assert_eq!(cost(&list(json!({"type": "number"}), Some(10)), "self.all(x, true)"), 32);
    assert_eq!(cost(&list(json!({"type": "string"}), None), "self.all(x, true)"), 3145727);
    assert_eq!(cost(&json!({"type": "string"}), "self.contains('test')"), 314574);
    assert_eq!(cost(&json!({"type": "string", "maxLength": 10}), "self.contains('test')"), 5);
    let map = json!({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 10});
    assert_eq!(cost(&map, "self.all(x, true)"), 32);
    let time = json!({"type": "object", "properties": {"t": {"type": "string", "format": "date"}}});
    assert_eq!(cost(&time, "type(self.t) == google.protobuf.Timestamp"), 4);
    let choice = json!({"type": "string", "enum": ["a", "bcd"]});
    assert_eq!(cost(&choice, "self == 'abcdef'"), 2);
}

#[test]
fn the_smallest_object_has_what_is_required() {
    let size = |schema: Json| declare(Tree(&schema), false).expect("it is seen").size_min();
    assert_eq!(size(json!({"type": "object"})), 2);
    let properties = json!({"ab": {"type": "string"}, "c": {"type": "integer", "default": 1}});
    assert_eq!(size(json!({"type": "object", "properties": properties, "required": ["ab", "c"]})), 2 + 2 + 2 + 4);
    assert_eq!(size(json!({"x-kubernetes-int-or-string": true})), 1);
}
