//! JSON merge patch (RFC 7396) as upstream applies it.
//!
//! Upstream: json-patch `MergePatch`. Nulls inside arrays stay, nulls inside objects that are set are pruned; an array that
//! replaces an object is taken as it is.

use std::collections::HashSet;

use crate::Value;

/// What upstream says of a patch that is neither object nor array.
pub const BAD_PATCH: &str = "Invalid JSON Patch";

/// Merges `patch` into `document`; an array patch replaces it.
pub fn apply(document: &mut Value, mut patch: Value) -> Result<(), String> {
    match (&patch, &document) {
        (Value::Object(_), Value::Object(_)) => merge_members(document, patch),
        (Value::Object(_) | Value::Array(_), _) => {
            prune_nulls(&mut patch);
            *document = patch;
        }
        _ => return Err(BAD_PATCH.into()),
    }
    Ok(())
}

/// Merges an object into an object. Members that go are taken out in one sweep: one at a time costs a shift each.
fn merge_members(document: &mut Value, patch: Value) {
    let (Value::Object(patch), Some(members)) = (patch, document.as_object_mut()) else { return };
    let mut gone = HashSet::new();
    for (key, mut value) in *patch {
        if value.is_null() {
            gone.insert(key);
            continue;
        }
        match members.get_mut(&key).filter(|old| !old.is_null()) {
            Some(old) => merge(old, value),
            None => {
                prune_nulls(&mut value);
                members.insert(key, value);
            }
        }
    }
    if !gone.is_empty() {
        members.retain(|key, _| !gone.contains(key));
    }
    // What a patch touches has gone through a Go map.
    members.sort();
}

fn merge(old: &mut Value, mut patch: Value) {
    match (&old, &patch) {
        (Value::Object(_), Value::Object(_)) => merge_members(old, patch),
        (Value::Object(_), _) => *old = patch,
        _ => {
            prune_nulls(&mut patch);
            *old = patch;
        }
    }
}

/// Takes the nulls out of objects, at any depth; each has gone through a Go map then.
fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| {
                prune_nulls(value);
                !value.is_null()
            });
            members.sort();
        }
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Map, value};

    fn merged(mut document: Value, patch: Value) -> Result<Value, String> {
        apply(&mut document, patch).map(|()| document)
    }

    #[test]
    fn the_rfcs_cases() {
        let cases = [
            (value!({"a": "b"}), value!({"a": "c"}), value!({"a": "c"})),
            (value!({"a": "b"}), value!({"b": "c"}), value!({"a": "b", "b": "c"})),
            (value!({"a": "b", "b": "c"}), value!({"a": null}), value!({"b": "c"})),
            (value!({"a": ["b"]}), value!({"a": "c"}), value!({"a": "c"})),
            (value!({"a": "c"}), value!({"a": ["b"]}), value!({"a": ["b"]})),
            (value!({"a": {"b": "c"}}), value!({"a": {"b": "d", "c": null}}), value!({"a": {"b": "d"}})),
            (value!({"a": [{"b": "c"}]}), value!({"a": [1]}), value!({"a": [1]})),
            (value!({"e": null}), value!({"a": 1}), value!({"e": null, "a": 1})),
            (value!({}), value!({"a": {"bb": {"ccc": null}}}), value!({"a": {"bb": {}}})),
            (value!({"a": 1}), value!([1, null]), value!([1, null])),
            (value!({"a": [1]}), value!({"a": [{"b": null}]}), value!({"a": [{}]})),
            (value!({"a": {}}), value!({"a": [{"b": null}]}), value!({"a": [{"b": null}]})),
        ];
        for (document, patch, want) in cases {
            assert_eq!(merged(document, patch.clone()), Ok(want), "{patch:?}");
        }
        assert_eq!(merged(value!({}), value!("x")), Err(BAD_PATCH.into()));
        assert_eq!(merged(value!({}), value!(null)), Err(BAD_PATCH.into()));
    }

    #[test]
    fn what_is_new_is_sorted_where_nulls_were_looked_for() {
        let cases = [
            (
                value!({}),
                value!({"a": {"c": 1, "b": [{"e": 1, "d": 2}]}}),
                value!({"a": {"b": [{"d": 2, "e": 1}], "c": 1}}),
            ),
            (value!({"a": 1}), value!({"a": {"c": 1, "b": 2}}), value!({"a": {"b": 2, "c": 1}})),
            (value!({"a": {}}), value!({"a": [{"c": 1, "b": 2}]}), value!({"a": [{"c": 1, "b": 2}]})),
        ];
        for (document, patch, want) in cases {
            // Members are the same in any order; as they are shown, they are not.
            assert_eq!(format!("{:?}", merged(document, patch)), format!("{:?}", Ok::<_, String>(want)));
        }
    }

    #[test]
    fn a_hundred_thousand_members_go_at_once() {
        let document: Map = (0..100_000).map(|i| (format!("k{i}"), Value::Int(i))).collect();
        let patch: Map = (0..99_999).map(|i| (format!("k{i}"), Value::Null)).collect();
        let result = merged(document.into(), patch.into());
        assert_eq!(result, Ok(value!({"k99999": 99_999})));
    }
}
