//! Protobuf as upstream's generated code reads and writes it, driven by the types' wire facts.
//!
//! Output is what gogo's marshalers write: fields by ascending number, scalars and structs that are no pointers always
//! there, map keys sorted. Upstream: apimachinery/pkg/runtime/serializer/protobuf, k8s.io/api's generated.pb.go.

pub mod fields;
mod read;
mod scalar;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use api::{Gvk, Value};
use schema::{Schemas, TypeId};

use crate::{Decoded, Error};

/// What every message of the API begins with.
const MAGIC: &[u8] = b"k8s\0";
/// How every envelope ends: no content encoding and no content type, as empty strings in fields 3 and 4.
pub const ENVELOPE_END: &[u8] = &[3 << 3 | 2, 0, 4 << 3 | 2, 0];

/// Reads an object in upstream's envelope; kind and apiVersion come from the envelope.
pub fn object(bytes: &[u8], id: TypeId, schemas: &Schemas) -> Result<Decoded, Error> {
    let (gvk, raw) = envelope(bytes)?;
    let mut value = read::message(raw, id, schemas)?;
    if !gvk.kind.is_empty() || !gvk.version.is_empty() {
        api::meta::set_gvk(&mut value, &gvk);
    }
    Ok(Decoded { value, strict: Vec::new() })
}

/// The kind of an envelope and the message in it. Upstream: `Serializer.Decode`.
pub fn envelope(bytes: &[u8]) -> Result<(Gvk, &[u8]), Error> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(Error(match bytes {
            [] => "empty data".into(),
            _ => "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]".into(),
        }));
    };
    let mut reader = wire::Reader::new(rest);
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &rest[..0]);
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (1, wire::Field::Bytes(meta)) => {
                let mut meta = wire::Reader::new(meta);
                while let Some((number, field)) = meta.next()? {
                    match (number, field) {
                        (1, wire::Field::Bytes(text)) => api_version = scalar::text(text)?.to_string(),
                        (2, wire::Field::Bytes(text)) => kind = scalar::text(text)?.to_string(),
                        _ => {}
                    }
                }
            }
            (2, wire::Field::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    Ok((Gvk::new(group, version, kind), raw))
}

/// Writes an object of a built-in kind in upstream's envelope.
pub fn write(value: &Value, gvk: &Gvk, schemas: &Schemas) -> Result<bytes::Bytes, Error> {
    let id = schemas.kind(gvk).ok_or_else(|| Error(format!("{gvk} has no protobuf form")))?;
    let mut raw = Vec::with_capacity(1024);
    write::message(value, id, schemas, &mut raw);
    Ok(wrap(gvk, &raw))
}

/// Puts a message into upstream's envelope.
pub fn wrap(gvk: &Gvk, raw: &[u8]) -> bytes::Bytes {
    let mut out = envelope_begin(gvk, raw.len());
    out.reserve_exact(raw.len() + ENVELOPE_END.len());
    out.extend_from_slice(raw);
    out.extend_from_slice(ENVELOPE_END);
    out.into()
}

/// How the envelope of a message of `raw_len` bytes begins, for whoever writes the message piece by piece; behind it
/// comes [`ENVELOPE_END`].
pub fn envelope_begin(gvk: &Gvk, raw_len: usize) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    fields::nested(1, &mut out, |out| {
        fields::bytes(1, gvk.api_version().as_bytes(), out);
        fields::bytes(2, gvk.kind.as_bytes(), out);
    });
    fields::tag(2, 2, &mut out);
    wire::put_varint(raw_len as u64, &mut out);
    out
}

/// An embedded message or a string, as the field `number` of the message around it.
pub fn member(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    fields::bytes(number, bytes, out);
}

/// As many bytes as [`member`] appends for a number below 16.
pub fn member_len(len: usize) -> usize {
    let varint_len = (usize::BITS - (len | 1).leading_zeros()).div_ceil(7) as usize;
    1 + varint_len + len
}

/// Writes the bare message of an object, without an envelope: an item of a list.
pub fn message(value: &Value, id: TypeId, schemas: &Schemas, out: &mut Vec<u8>) {
    write::message(value, id, schemas, out);
}

/// One frame of a watch: its length in four bytes, then a WatchEvent around an encoded object.
pub fn watch_frame(kind: &str, object: &[u8]) -> bytes::Bytes {
    let mut out = vec![0; 4];
    fields::bytes(1, kind.as_bytes(), &mut out);
    fields::nested(2, &mut out, |out| fields::bytes(1, object, out));
    let len = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&len.to_be_bytes());
    out.into()
}
