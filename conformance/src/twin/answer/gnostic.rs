//! OpenAPI documents in protobuf as trees, every field of every message by its name.
//!
//! Which they are is said by `openapi_v2.tsv` and `openapi_v3.tsv`: a message each line, its fields as number, name and
//! kind, `*` before what is repeated. They follow from the `.proto` files of github.com/google/gnostic-models and not from
//! what Skiff writes by.

use std::{collections::BTreeMap, sync::LazyLock};

use api::Value;

use super::wire::{self, Field};

/// The messages of a version, by their names.
pub type Spec = BTreeMap<&'static str, BTreeMap<u64, Row>>;

#[derive(Clone, Copy, Debug)]
pub struct Row {
    name: &'static str,
    kind: &'static str,
    is_repeated: bool,
}

pub static V2: LazyLock<Spec> = LazyLock::new(|| spec(include_str!("openapi_v2.tsv")));
pub static V3: LazyLock<Spec> = LazyLock::new(|| spec(include_str!("openapi_v3.tsv")));

/// A document as a tree; a field that no row knows is in it by its number.
pub fn document(bytes: &[u8], spec: &Spec) -> Value {
    message(bytes, "Document", spec).unwrap_or_else(|| wire::unread("a document", bytes))
}

fn message(bytes: &[u8], kind: &str, spec: &Spec) -> Option<Value> {
    let rows = spec.get(kind)?;
    let mut out = Value::object();
    for (number, field) in wire::all_fields(bytes)? {
        let Some(row) = rows.get(&number) else {
            out.set(&format!("field {number} of {kind}"), format!("{field:?}"));
            continue;
        };
        let value = match (row.kind, field) {
            ("text", Field::Bytes(bytes)) => Value::from(String::from_utf8_lossy(bytes).into_owned()),
            ("flag", Field::Varint(flag)) => Value::from(flag != 0),
            ("int", Field::Varint(int)) => Value::from(int as i64),
            ("double", Field::Fixed64(bytes)) => Value::Float(f64::from_le_bytes(bytes)),
            (kind, Field::Bytes(bytes)) => message(bytes, kind, spec)?,
            _ => return None,
        };
        match row.is_repeated {
            true => out.entry(row.name).make_array().push(value),
            false => out.set(row.name, value),
        }
    }
    Some(out)
}

fn spec(text: &'static str) -> Spec {
    let row = |text: &'static str| {
        let mut parts = text.split(':');
        let (number, name, kind) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
        let bare = kind.trim_start_matches('*');
        Some((number, Row { name, kind: bare, is_repeated: bare != kind }))
    };
    let line = |line: &'static str| {
        let (name, rows) = line.split_once('\t')?;
        Some((name, rows.split(' ').filter_map(row).collect()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::{V2, V3, document};

    #[test]
    fn documents_are_read_whole() {
        // openapi "3", paths with one item, components with one schema: one more than 0, and a field that is not known.
        let bytes = b"\x0a\x013\x22\x06\x0a\x04\x0a\x02/a\x2a\x18\x0a\x16\x0a\x14\x0a\x01T\x12\x0f\x0a\x0d\x08\x01\x69\x00\x00\x00\x00\x00\x00\xf8\x3f\x78\x05";
        let schema = value!({"nullable": true, "minimum": 1.5, "max_length": 5});
        let expected = value!({
            "openapi": "3", "paths": {"path": [{"name": "/a"}]},
            "components": {"schemas": {"additional_properties": [{"name": "T", "value": {"schema": schema}}]}}
        });
        assert_eq!(document(bytes, &V3), expected);
        let strange = document(b"\x1a\x01x", &V3);
        assert_eq!(strange, value!({"field 3 of Document": "Bytes([120])"}));
        assert!(document(b"\x0a\x05x", &V3).has("unread"));
    }

    #[test]
    fn every_message_that_a_row_names_is_there() {
        for spec in [&*V2, &*V3] {
            let rows = spec.values().flat_map(|rows| rows.values());
            for row in rows.filter(|row| !["text", "flag", "int", "double"].contains(&row.kind)) {
                assert!(spec.contains_key(row.kind), "{row:?}");
            }
        }
    }
}
