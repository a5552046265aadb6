//! Shapes that are messages of their own on the wire but single values in JSON.

use api::{EcoString, Value, quantity::Quantity, time};
use base64::{Engine, engine::general_purpose::STANDARD};
use schema::{RawForm, Shape};

use super::{
    fields,
    wire::{Field, Reader},
};
use crate::{Error, json};

pub fn text(bytes: &[u8]) -> Result<EcoString, Error> {
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).as_ref().into(),
    })
}

/// Reads a value that is no struct, list or map.
pub fn read(field: Field<'_>, shape: &Shape) -> Result<Value, Error> {
    Ok(match (shape, field) {
        (Shape::Bool, Field::Varint(v)) => Value::Bool(v != 0),
        (Shape::Int32, Field::Varint(v)) => Value::Int(i64::from(v as i32)),
        (Shape::Int64, Field::Varint(v)) => Value::Int(v as i64),
        (Shape::Float, Field::Fixed64(v)) => Value::Float(f64::from_bits(v)),
        (Shape::Float, Field::Fixed32(v)) => Value::Float(f64::from(f32::from_bits(v))),
        (Shape::Str, Field::Bytes(b)) => Value::Str(text(b)?),
        (Shape::Bytes, Field::Bytes(b)) => Value::from(STANDARD.encode(b)),
        (Shape::Time, Field::Bytes(b)) => instant(b)?.map_or(Value::Null, |at| time::seconds(at).into()),
        (Shape::MicroTime, Field::Bytes(b)) => instant(b)?.map_or(Value::Null, |at| time::micros(at).into()),
        (Shape::Duration, Field::Bytes(b)) => api::duration::format(first_varint(b)? as i64).into(),
        (Shape::Quantity, Field::Bytes(b)) => quantity(b)?,
        (Shape::IntOrString, Field::Bytes(b)) => int_or_string(b)?,
        (Shape::Raw(_), Field::Bytes(b)) => raw(b)?,
        (shape, _) => return Err(Error(format!("proto: wrong wireType for {shape:?}"))),
    })
}

fn instant(bytes: &[u8]) -> Result<Option<jiff::Timestamp>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0i64, 0i32);
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (1, Field::Varint(v)) => seconds = v as i64,
            (2, Field::Varint(v)) => nanos = v as i32,
            _ => {}
        }
    }
    let at = jiff::Timestamp::new(seconds, nanos).ok().and_then(time::tellable);
    at.map(Some).ok_or_else(|| Error(format!("proto: a time that cannot be: {seconds} seconds")))
}

fn first_varint(bytes: &[u8]) -> Result<u64, Error> {
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        if let (1, Field::Varint(v)) = (number, field) {
            return Ok(v);
        }
    }
    Ok(0)
}

/// The bytes of field 1.
fn first_bytes(bytes: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(bytes);
    let mut found = &bytes[..0];
    while let Some((number, field)) = reader.next()? {
        if let (1, Field::Bytes(b)) = (number, field) {
            found = b;
        }
    }
    Ok(found)
}

fn quantity(bytes: &[u8]) -> Result<Value, Error> {
    let text = text(first_bytes(bytes)?)?;
    let quantity = Quantity::parse(if text.is_empty() { "0" } else { &text }).map_err(|e| Error(e.to_string()))?;
    Ok(quantity.to_string().into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Error> {
    let (mut kind, mut int, mut string) = (0, 0, EcoString::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (1, Field::Varint(v)) => kind = v,
            (2, Field::Varint(v)) => int = v as i32,
            (3, Field::Bytes(b)) => string = text(b)?,
            _ => {}
        }
    }
    Ok(if kind == 1 { Value::Str(string) } else { Value::from(int) })
}

fn raw(bytes: &[u8]) -> Result<Value, Error> {
    match first_bytes(bytes)? {
        [] => Ok(Value::Null),
        text => Ok(json::any(text)?.value),
    }
}

/// Writes a value that is no struct, list or map; `null` as the zero value of its shape.
pub fn put(number: u32, value: &Value, shape: &Shape, out: &mut Vec<u8>) {
    match shape {
        Shape::Bool => fields::varint(number, u64::from(value.as_bool().unwrap_or(false)), out),
        Shape::Int32 | Shape::Int64 => fields::varint(number, value.as_int().unwrap_or(0) as u64, out),
        Shape::Float => {
            let float = match value {
                Value::Float(f) => *f,
                other => other.as_int().unwrap_or(0) as f64,
            };
            fields::double(number, float, out);
        }
        Shape::Str => fields::bytes(number, value.as_str().unwrap_or("").as_bytes(), out),
        Shape::Bytes => {
            let bytes = STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default();
            fields::bytes(number, &bytes, out);
        }
        Shape::Time | Shape::MicroTime => fields::nested(number, out, |out| put_instant(value, out)),
        Shape::Duration => {
            let nanos = api::duration::parse(value.as_str().unwrap_or("0")).unwrap_or(0);
            fields::nested(number, out, |out| fields::varint(1, nanos as u64, out));
        }
        Shape::Quantity => {
            let text = value.as_str().unwrap_or("0");
            fields::nested(number, out, |out| fields::bytes(1, text.as_bytes(), out));
        }
        Shape::IntOrString => fields::nested(number, out, |out| {
            let text = value.as_str();
            fields::varint(1, u64::from(text.is_some()), out);
            fields::varint(2, value.as_int().unwrap_or(0) as u64, out);
            fields::bytes(3, text.unwrap_or("").as_bytes(), out);
        }),
        Shape::Raw(form) => fields::nested(number, out, |out| put_raw(value, *form, out)),
        _ => {}
    }
}

fn put_instant(value: &Value, out: &mut Vec<u8>) {
    if let Some(at) = value.as_str().and_then(time::parse) {
        fields::varint(1, at.as_second() as u64, out);
        fields::varint(2, at.subsec_nanosecond() as u64, out);
    }
}

fn put_raw(value: &Value, form: RawForm, out: &mut Vec<u8>) {
    let missing = value.is_null() && form != RawForm::Json;
    if !missing {
        fields::bytes(1, json::to_string(value).as_bytes(), out);
    }
}
