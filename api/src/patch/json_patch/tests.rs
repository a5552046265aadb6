//! Cases for JSON patch.

use super::*;
use crate::{Map, value};

fn patched(document: Value, patch: Value) -> Result<Value, String> {
    Patch::decode(patch).map_err(|e| e.message().to_string())?.apply(document)
}

#[test]
fn operations_do_as_upstreams() {
    let cases = [
        (value!({}), value!([{"op": "add", "path": "/a", "value": 1}]), value!({"a": 1})),
        (value!({"a": [1, 3]}), value!([{"op": "add", "path": "/a/1", "value": 2}]), value!({"a": [1, 2, 3]})),
        (value!({"a": [1]}), value!([{"op": "add", "path": "/a/-", "value": 2}]), value!({"a": [1, 2]})),
        (value!({"a": [1]}), value!([{"op": "add", "path": "/a/-1", "value": 2}]), value!({"a": [1, 2]})),
        (value!({"a": [1, 2]}), value!([{"op": "remove", "path": "/a/-1"}]), value!({"a": [1]})),
        (value!({"a": 1}), value!([{"op": "replace", "path": "/b", "value": 2}]), value!({"a": 1, "b": 2})),
        (value!({"a": {"b": 1}}), value!([{"op": "move", "from": "/a/b", "path": "/c"}]), value!({"a": {}, "c": 1})),
        (
            value!({"a": {"b": 1}}),
            value!([{"op": "copy", "from": "/a", "path": "/c"}, {"op": "remove", "path": "/a/b"}]),
            value!({"a": {}, "c": {"b": 1}}),
        ),
        (value!({"a": 1}), value!([{"op": "replace", "path": "", "value": {"b": 2}}]), value!({"b": 2})),
        (value!({"a/b": {"c~d": 1}}), value!([{"op": "remove", "path": "/a~1b/c~0d"}]), value!({"a/b": {}})),
        (value!({"a": 1}), value!([{"op": "test", "path": "/b", "value": null}]), value!({"a": 1})),
        (
            value!({"a": [{"b": 1}]}),
            value!([{"op": "test", "path": "", "value": {"a": [{"b": 1}]}}]),
            value!({"a": [{"b": 1}]}),
        ),
        (value!({"a": 1, "b": 2}), value!([{"op": "replace", "path": "/a", "value": 3}]), value!({"a": 3, "b": 2})),
    ];
    for (document, patch, want) in cases {
        assert_eq!(patched(document, patch.clone()), Ok(want), "{patch:?}");
    }
}

#[test]
fn errors_are_upstreams() {
    let cases = [
        (
            value!([{"op": "remove", "path": "/b"}]),
            "error in remove for path: '/b': Unable to remove nonexistent key: b: missing value",
        ),
        (
            value!([{"op": "add", "path": "/x/y", "value": 1}]),
            "add operation does not apply: doc is missing path: \"/x/y\": missing value",
        ),
        (
            value!([{"op": "add", "path": "b", "value": 1}]),
            "add operation does not apply: doc is missing path: \"b\": missing value",
        ),
        (value!([{"op": "test", "path": "/a", "value": 2}]), "testing value /a failed: test failed"),
        (
            value!([{"op": "add", "path": "/l/5", "value": 2}]),
            "error in add for path: '/l/5': Unable to access invalid index: 5: invalid index referenced",
        ),
        (
            value!([{"op": "add", "path": "/l/x", "value": 2}]),
            "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            value!([{"op": "replace", "path": "/l/1", "value": 2}]),
            "replace operation does not apply: doc is missing key: /l/1: missing value",
        ),
        (value!([{"op": "go", "path": "/l"}]), "Unexpected kind: go"),
        (value!([{"path": "/l"}]), "Unexpected kind: unknown"),
        (value!([{"op": "add"}]), "add operation failed to decode path: missing value"),
        (
            value!([{"op": "move", "path": "/l"}]),
            "move operation failed to decode from: operation, missing from field: missing value",
        ),
        (value!({"op": "add"}), "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (value!([1]), "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
    ];
    for (patch, error) in cases {
        assert_eq!(patched(value!({"a": 1, "l": [1]}), patch), Err(error.to_string()));
    }
}

#[test]
fn a_checked_patch_is_refused_in_other_words() {
    let message = |patch: Value| Patch::decode_checked(patch).map_err(|e| e.message().to_string()).err();
    assert_eq!(
        message(value!({})),
        Some("error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp".into())
    );
    assert_eq!(message(value!([{"op": "test"}])), None);
    assert_eq!(rejected().code(), 422);
}

#[test]
fn cve_2019_1002100_a_patch_is_bounded_in_operations_and_in_what_it_copies() {
    let of = |count: usize| -> Value { (0..count).map(|_| value!({"op": "test", "path": "/a", "value": 1})).collect() };
    assert!(patched(value!({"a": 1}), of(OPERATIONS_MAX)).is_ok());
    assert_eq!(Patch::decode(of(OPERATIONS_MAX + 1)).map_err(|e| e.code()).err(), Some(413));
    let double: Value = (0..30).map(|_| value!({"op": "copy", "from": "/a", "path": "/a/-"})).collect();
    let error = patched(value!({"a": ["0123456789"]}), double).expect_err("it doubles thirty times");
    assert!(error.starts_with("Unable to complete the copy, the accumulated size increase of copy is"), "{error}");
    // What is copied counts in JSON, with its quotation marks.
    let copied = |len: usize| {
        let half = value!({"a": ("x".repeat(len - 2))});
        let twice = value!([{"op": "copy", "from": "/a", "path": "/b"}, {"op": "copy", "from": "/a", "path": "/c"}]);
        patched(half, twice).map(drop)
    };
    assert_eq!(copied(COPIED_BYTES_MAX / 2), Ok(()));
    assert!(copied(COPIED_BYTES_MAX / 2 + 1).is_err());
}

#[test]
fn members_of_operations_that_are_none_are_told() {
    let unknown = Patch::decode(value!([{"op": "test", "x": 1}])).map(|p| p.unknown_fields()).unwrap_or_default();
    assert_eq!(unknown, ["json patch unknown field \"[0].x\""]);
}

#[test]
fn many_removals_from_a_large_map_are_cheap_and_keep_order() {
    let document: Map = (0..100_000).map(|i| (format!("k{i}"), Value::Int(i))).collect();
    let patch: Value = (0..OPERATIONS_MAX).map(|i| value!({"op": "remove", "path": (format!("/k{i}"))})).collect();
    let result = patched(document.into(), patch).expect("all are there");
    assert_eq!(result.as_object().map(Map::len), Some(90_000));
    assert_eq!(result.members().next().map(|(k, _)| k), Some("k10000"));
}

#[test]
fn moving_back_and_forth_does_not_dig_without_end() {
    let dig = [
        value!({"op": "move", "from": "/a", "path": "/b/a"}),
        value!({"op": "add", "path": "/a", "value": {}}),
        value!({"op": "move", "from": "/b", "path": "/a/b"}),
        value!({"op": "add", "path": "/b", "value": {}}),
    ];
    let patch: Value = dig.iter().cycle().take(OPERATIONS_MAX).cloned().collect();
    assert_eq!(patched(value!({"a": {}, "b": {}}), patch), Err("exceeded max depth".into()));
    let harmless = [
        value!({"op": "move", "from": "/a", "path": "/b/c/a"}),
        value!({"op": "move", "from": "/b/c/a", "path": "/a"}),
        value!({"op": "copy", "from": "/a", "path": "/b/c/d"}),
    ];
    let patch: Value = harmless.iter().cycle().take(9000).cloned().collect();
    assert!(patched(value!({"a": {}, "b": {"c": {}}}), patch).is_ok());
}
