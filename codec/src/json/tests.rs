//! Cases for JSON.

use api::{Value, value};
use schema::{Field, Listing, Omit, Schemas, Shape, Type};

use super::{any, object, pretty, to_string};

fn schemas() -> Schemas {
    let mut schemas = Schemas::new();
    let spec = schemas.reserve("Spec");
    let field = |name: &str, shape: Shape| Field { name: name.into(), shape, ..Field::default() };
    schemas.add(Type {
        name: "Spec".into(),
        go: "v1.Spec".into(),
        fields: vec![
            Field { pointer: true, ..field("replicas", Shape::Int32) },
            field("paused", Shape::Bool),
            field("cpu", Shape::Quantity),
            Field { listing: Listing::Map, ..field("items", Shape::List(Box::new(Shape::Struct(spec)))) },
            field("labels", Shape::Map(Box::new(Shape::Str))),
        ],
        ..Type::default()
    });
    schemas.add(Type {
        name: "Thing".into(),
        go: "v1.Thing".into(),
        type_meta: true,
        fields: vec![Field { omit: Omit::Empty, ..field("spec", Shape::Struct(spec)) }],
        ..Type::default()
    });
    schemas
}

fn read(text: &str) -> Result<(Value, Vec<String>), String> {
    let schemas = schemas();
    let id = schemas.id("Thing").expect("it was added");
    object(text.as_bytes(), id, &schemas).map(|d| (d.value, d.strict)).map_err(|e| e.0)
}

#[test]
fn misfits_read_as_gos() {
    let cases = [
        (
            r#"{"spec":{"replicas":"x"}}"#,
            "json: cannot unmarshal string into Go struct field Spec.spec.replicas of type int32",
        ),
        (
            r#"{"spec":{"replicas":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field Spec.spec.replicas of type int32",
        ),
        (
            r#"{"spec":{"items":[{"paused":3}]}}"#,
            "json: cannot unmarshal number into Go struct field Spec.spec.items.paused of type bool",
        ),
        (r#"{"spec":[]}"#, "json: cannot unmarshal array into Go struct field Thing.spec of type v1.Spec"),
        (r#"{"spec":{"replicas":"x"},}"#, "invalid character '}' looking for beginning of object key string"),
        (r#"{"spec":{"#, "unexpected end of JSON input"),
        (r#"{"spec":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
        ("{}x", "invalid character 'x' after top-level value"),
    ];
    for (text, message) in cases {
        assert_eq!(read(text).err().as_deref(), Some(message), "{text}");
    }
}

#[test]
fn bytes_may_be_a_list_of_numbers() {
    let schemas = schema::builtin();
    let id = schemas.kind(&api::Gvk::new("", "v1", "ConfigMap")).expect("it has a type");
    let read = |list: &str| {
        let text = format!(r#"{{"binaryData":{{"a":{list}}}}}"#);
        object(text.as_bytes(), id, schemas).map(|d| d.value.at("binaryData").str("a").to_owned()).map_err(|e| e.0)
    };
    assert_eq!(read("[97, 98, null]").as_deref(), Ok("YWIA"));
    assert_eq!(read("[]").as_deref(), Ok(""));
    let refused = |what: &str| {
        Err(format!("json: cannot unmarshal {what} into Go struct field ConfigMap.binaryData of type uint8"))
    };
    assert_eq!(read(r#"[""]"#), refused("string"));
    assert_eq!(read("[1, 256]"), refused("number 256"));
    assert_eq!(read("[{}]"), refused("object"));
}

#[test]
fn strict_errors_name_their_paths() {
    let (value, strict) =
        read(r#"{"a":[[{}]],"spec":{"items":[{"no":1}],"replicas":1,"replicas":2}}"#).expect("it is well-formed");
    assert_eq!(
        strict,
        ["unknown field \"a\"", "unknown field \"spec.items[0].no\"", "duplicate field \"spec.replicas\""]
    );
    assert_eq!(value.at("spec").int("replicas"), 2);
}

#[test]
fn what_go_would_leave_out_is_left_out_but_for_empty_lists_and_maps() {
    let (value, _) = read(r#"{"spec":{"replicas":0,"paused":false,"labels":{},"items":[],"cpu":"0.5"}}"#)
        .expect("it is well-formed");
    let mut wanted = value!({"spec": {"replicas": 0, "labels": {}, "items": [], "cpu": "500m"}});
    assert_eq!(value, wanted);
    assert!(!value.is_identical(&wanted), "a map without keys is told from a struct without members");
    wanted.set_path(&["spec", "labels"], api::Map::keyless());
    assert!(value.is_identical(&wanted));
    wanted.remove_path(&["spec", "labels"]);
    assert!(value.is_same(&wanted) && !value.is_identical(&wanted));
}

#[test]
fn what_a_types_own_parser_says_ends_the_reading() {
    let schemas = schema::builtin();
    let id = schemas.id("io.k8s.api.core.v1.ConfigMap").expect("core has maps");
    let said = |text: &str| object(text.as_bytes(), id, schemas).err().map(|e| e.0).unwrap_or_default();
    let misfit = r#"{"data":"x","metadata":{"deletionTimestamp":7,"creationTimestamp":"é"}}"#;
    assert_eq!(
        said(misfit),
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.deletionTimestamp of type string"
    );
    assert_eq!(
        said(r#"{"data":"x","metadata":{"creationTimestamp":"é"}}"#),
        r#"parsing time "\xc3\xa9" as "2006-01-02T15:04:05Z07:00": cannot parse "\xc3\xa9" as "2006""#
    );
    let time = |text: &str| said(&format!(r#"{{"metadata":{{"creationTimestamp":"{text}"}}}}"#));
    for (text, what) in [
        ("2026-13-01T00:00:00Z", "month"),
        ("2026-02-30T00:00:00Z", "day"),
        ("2026-02-01T24:00:00Z", "hour"),
        ("2026-02-01T00:60:00Z", "minute"),
        ("2026-02-01T00:00:60Z", "second"),
    ] {
        assert_eq!(time(text), format!("parsing time \"{text}\": {what} out of range"));
    }
    let zone = "parsing time \"2026-02-01T00:00:00\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"Z07:00\"";
    assert_eq!(time("2026-02-01T00:00:00"), zone);
}

#[test]
fn a_map_of_times_is_called_by_their_type() {
    let schemas = schema::builtin();
    let id = schemas.id("io.k8s.api.policy.v1.PodDisruptionBudget").expect("policy has budgets");
    let said = object(br#"{"status":{"disruptedPods":"x"}}"#, id, schemas).err().map(|e| e.0).unwrap_or_default();
    let wanted = "json: cannot unmarshal string into Go struct field \
                  PodDisruptionBudgetStatus.status.disruptedPods of type map[string]v1.Time";
    assert_eq!(said, wanted);
}

#[test]
fn depth_is_bounded_in_trees_and_in_what_is_skipped() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(any(deep(500).as_bytes()).is_ok());
    assert_eq!(
        any(deep(100_000).as_bytes()).err().map(|e| e.0).as_deref(),
        Some("invalid character '[' exceeded max depth")
    );
    assert_eq!(
        read(&format!("{{\"x\":{}}}", deep(100_000))).err().as_deref(),
        Some("invalid character '[' exceeded max depth")
    );
    assert!(read(&format!("{{\"x\":{}}}", deep(9_000))).is_ok());
}

#[test]
fn strings_survive_and_html_is_escaped() {
    let text = r#"{"a":"<b>&\u2028\"\\\n\u0001é😀"}"#;
    let value = any(text.as_bytes()).expect("it is well-formed").value;
    assert_eq!(to_string(&value), "{\"a\":\"\\u003cb\\u003e\\u0026\\u2028\\\"\\\\\\n\\u0001é😀\"}");
    assert_eq!(any(br#""\ud83d\ude00\ud83d""#).expect("it is well-formed").value, Value::from("😀\u{fffd}"));
}

#[test]
fn pretty_reads_as_marshal_indent() {
    assert_eq!(pretty(&value!({"a": [1, {}], "b": []})), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
}

/// Found by the fuzzer: read as infinite, it was written as `inf`.
#[test]
fn a_number_beyond_every_float_is_refused_wherever_anything_may_stand() {
    for text in ["222e444", "[-1e999]", "{\"a\":1e400}"] {
        let refused = any(text.as_bytes()).expect_err("it is no float").to_string();
        assert!(refused.starts_with("json: cannot unmarshal number "), "{refused}");
    }
    assert_eq!(to_string(&any(b"1e300").expect("a float").value), "1e+300");
}

#[test]
fn a_string_ends_where_it_ends_whatever_stands_before() {
    // Every place in a word, and bytes beside those that are looked for.
    for len in 0..20 {
        for filler in ["x", "!", "#", "[", "]", " ", "\u{7f}", "\u{80}", "\u{e9}", "\u{2029}", "\u{20ac}", "\u{10ffff}"]
        {
            let plain = filler.repeat(len);
            for tail in ["", "\"", "\\", "\n", "\u{1f}", "<", ">", "&", "\u{2028}"] {
                let text = Value::from(format!("{plain}{tail}{plain}"));
                let json = to_string(&text);
                let read = any(json.as_bytes()).expect("it was written here").value;
                assert_eq!(read, text, "{json}");
            }
            let broken = format!("\"{plain}\u{1}\"");
            assert!(any(broken.as_bytes()).is_err(), "{broken:?}");
            assert!(any(format!("\"{plain}").as_bytes()).is_err());
        }
    }
}

#[test]
fn a_list_of_anything_has_a_name() {
    let schemas = schema::builtin();
    let props = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    let id = schemas.id(props).expect("it is a type");
    let error = super::object(br#"{"enum":"a"}"#, id, schemas).map(drop).expect_err("it is no list").to_string();
    assert_eq!(error, "json: cannot unmarshal string into Go struct field JSONSchemaProps.enum of type []v1.JSON");
}
