//! Writes messages.

use api::Value;
use schema::{Field, OneOf, Schemas, Shape, Type, TypeId, Wire, WireField};

use super::{
    fields::{bytes, nested, varint},
    scalar,
};

/// Appends the message of a struct.
pub fn message(value: &Value, id: TypeId, schemas: &Schemas, out: &mut Vec<u8>) {
    let kind = schemas.get(id);
    fields(value, &kind.wire, kind, schemas, out);
}

fn fields(value: &Value, wire: &Wire, kind: &Type, schemas: &Schemas, out: &mut Vec<u8>) {
    for (number, field) in &wire.fields {
        match field {
            WireField::Inline(inner) => nested(*number, out, |out| fields(value, inner, kind, schemas, out)),
            WireField::Field(i) => {
                let field = &kind.fields[usize::from(*i)];
                member(*number, value.at(&field.name), field, schemas, out);
            }
        }
    }
}

fn member(number: u32, value: &Value, field: &Field, schemas: &Schemas, out: &mut Vec<u8>) {
    match &field.shape {
        Shape::List(item) if field.wrapped => {
            if !value.is_null() {
                nested(number, out, |out| value.items().iter().for_each(|v| one(1, v, item, false, schemas, out)));
            }
        }
        Shape::List(item) => value.items().iter().for_each(|v| one(number, v, item, false, schemas, out)),
        Shape::Map(item) => map(number, value, item, field.wrapped, schemas, out),
        // A slice or pointer that is nil is not there; everything else always is.
        Shape::Bytes if value.is_null() => {}
        _ if field.pointer && value.is_null() => {}
        shape => one(number, value, shape, false, schemas, out),
    }
}

fn map(number: u32, value: &Value, item: &Shape, wrapped: bool, schemas: &Schemas, out: &mut Vec<u8>) {
    let mut members: Vec<(&str, &Value)> = value.members().collect();
    members.sort_unstable_by_key(|(key, _)| *key);
    for (key, value) in members {
        nested(number, out, |out| {
            bytes(1, key.as_bytes(), out);
            // Upstream leaves out the value of an entry whose bytes are nil.
            one(2, value, item, wrapped, schemas, out);
        });
    }
}

/// A value that is an element, a map's value or a field of its own.
fn one(number: u32, value: &Value, shape: &Shape, wrapped: bool, schemas: &Schemas, out: &mut Vec<u8>) {
    match shape {
        Shape::Struct(id) => nested(number, out, |out| message(value, *id, schemas, out)),
        Shape::List(item) if wrapped => {
            nested(number, out, |out| value.items().iter().for_each(|v| one(1, v, item, false, schemas, out)));
        }
        Shape::List(item) => value.items().iter().for_each(|v| one(number, v, item, false, schemas, out)),
        Shape::OneOf(form, id) => nested(number, out, |out| one_of(value, *form, *id, schemas, out)),
        shape => scalar::put(number, value, shape, out),
    }
}

fn one_of(value: &Value, form: OneOf, id: TypeId, schemas: &Schemas, out: &mut Vec<u8>) {
    match (form, value) {
        (OneOf::Bool, Value::Object(_)) => {
            varint(1, 1, out);
            nested(2, out, |out| message(value, id, schemas, out));
        }
        (OneOf::Bool, _) => varint(1, u64::from(value.as_bool().unwrap_or(false)), out),
        (_, Value::Object(_)) => nested(1, out, |out| message(value, id, schemas, out)),
        (OneOf::Array, _) => {
            value.items().iter().for_each(|v| nested(2, out, |out| message(v, id, schemas, out)));
        }
        (OneOf::StringArray, _) => {
            value.items().iter().for_each(|v| bytes(2, v.as_str().unwrap_or("").as_bytes(), out));
        }
    }
}
