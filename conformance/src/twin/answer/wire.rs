//! Protobuf answers as trees. What our codec cannot give back byte by byte is said so, since it was not read whole.

use api::{Gvk, Value, meta, value};
use schema::Schemas;

/// A message in upstream's envelope; lists are read item by item.
pub fn object(bytes: &[u8], schemas: &Schemas) -> Value {
    let Ok((gvk, raw)) = codec::proto::envelope(bytes) else { return unread("no envelope", bytes) };
    // The two versions of partial objects are one in all but the name.
    // And what is told of the core group has no version.
    let read_as = match (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()) {
        ("meta.k8s.io", _, "PartialObjectMetadata") | ("", "", _) => Gvk { version: "v1".into(), ..gvk.clone() },
        _ => gvk.clone(),
    };
    if let Some(id) = schemas.kind(&read_as) {
        return match codec::proto::object(bytes, id, schemas) {
            Ok(decoded) => checked(decoded.value, bytes, &gvk, schemas),
            Err(error) => unread(&error.0, bytes),
        };
    }
    let item = gvk.kind.strip_suffix("List").map(|kind| Gvk { kind: kind.into(), ..gvk.clone() });
    match item.and_then(|item| schemas.kind(&item)) {
        Some(item) => list(raw, &gvk, item, schemas).unwrap_or_else(|| unread("list", bytes)),
        None => unread(&gvk.to_string(), bytes),
    }
}

/// Frames of a watch: four bytes of length, an event, in it an envelope.
pub fn frames(mut bytes: &[u8], schemas: &Schemas) -> Value {
    let mut out = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let Some(frame) = rest.get(..len) else { break };
        let fields = fields(frame).unwrap_or_default();
        let bytes_of = |number: u64| fields.iter().find(|(n, _)| *n == number).map_or(&[][..], |(_, bytes)| bytes);
        let raw = self::fields(bytes_of(2)).unwrap_or_default();
        let inner = raw.first().map_or(&[][..], |(_, bytes)| bytes);
        let kind = String::from_utf8_lossy(bytes_of(1)).into_owned();
        let frame = value!({"type": kind, "object": (object(inner, schemas))});
        if super::is_told(&frame) {
            out.push(frame);
        }
        bytes = &rest[len..];
    }
    Value::array(out)
}

fn list(raw: &[u8], gvk: &Gvk, item: u32, schemas: &Schemas) -> Option<Value> {
    let mut list = value!({"kind": (gvk.kind.clone()), "apiVersion": (gvk.api_version()), "metadata": {}, "items": []});
    let list_meta = schemas.id("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")?;
    for (number, bytes) in fields(raw)? {
        // A bare message in an envelope of its own, so that it is read as any other.
        let kind = if number == 1 { list_meta } else { item };
        let read = codec::proto::object(&codec::proto::wrap(&Gvk::default(), bytes), kind, schemas).ok()?.value;
        match number {
            1 => list.set("metadata", read),
            _ => list.entry("items").make_array().push(read),
        }
    }
    Some(list)
}

/// The tree, when encoding it gives the same bytes again.
fn checked(tree: Value, bytes: &[u8], gvk: &Gvk, schemas: &Schemas) -> Value {
    let again = codec::proto::write(&tree, gvk, schemas);
    let mut tree = tree;
    if again.as_ref().map_or(true, |again| again[..] != *bytes) {
        let len = again.map_or(0, |again| again.len());
        // Each server counts its revisions for itself.
        let revision = meta::of(&tree).resource_version().len();
        tree.set("bytes", format!("{} beside the revision that are read and written as {len}", bytes.len() - revision));
    }
    meta::set_gvk(&mut tree, gvk);
    tree
}

pub fn unread(why: &str, bytes: &[u8]) -> Value {
    value!({"unread": why, "length": (bytes.len())})
}

/// Fields that are bytes, with their numbers; others are passed over. None when it is no message.
fn fields(bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let of_bytes = |(number, field)| match field {
        Field::Bytes(bytes) => Some((number, bytes)),
        _ => None,
    };
    Some(all_fields(bytes)?.into_iter().filter_map(of_bytes).collect())
}

/// A field as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

/// All fields with their numbers. None when it is no message.
pub fn all_fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut bytes)?),
            1 => {
                let (fixed, rest) = bytes.split_first_chunk()?;
                bytes = rest;
                Field::Fixed64(*fixed)
            }
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                let (taken, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                Field::Bytes(taken)
            }
            5 => {
                let (fixed, rest) = bytes.split_first_chunk()?;
                bytes = rest;
                Field::Fixed32(*fixed)
            }
            _ => return None,
        };
        out.push((tag >> 3, field));
    }
    Some(out)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut out = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        out |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(out);
        }
    }
    None
}
