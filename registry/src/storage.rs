//! Objects as they lie in the store: upstream's layout.
//!
//! JSON of the hub version without a resourceVersion, or upstream's protobuf envelope; either is read, the server's
//! `--storage-media-type` says which is written.

use api::{Gvk, Value};
use bytes::Bytes;
use schema::{Schemas, TypeId};
use store::Seal;

use crate::{cache::Entry, definition::Definition, unread::Corrupt};

/// In which form objects are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    #[default]
    Json,
    /// Upstream's envelope; what has no protobuf form (custom resources) is JSON all the same.
    Protobuf,
}

/// What is encrypted begins so.
const ENCRYPTED: &[u8] = b"k8s:enc:";
/// Most objects are shorter in JSON.
const SCRATCH_LEN: usize = 8 << 10;

/// Why bytes in the store are no object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Decode(#[from] codec::Error),
    #[error("it says it is {0}, which this server does not know")]
    Unknown(String),
}

/// The bytes under which a hub object is kept in the cache: canonical JSON without a resourceVersion.
pub fn json(definition: &Definition, hub: &mut Value) -> Bytes {
    json_of(definition, hub, &definition.hub, definition.hub_type)
}

/// The same of an object of any version.
pub fn json_of(definition: &Definition, object: &mut Value, gvk: &Gvk, kind_type: TypeId) -> Bytes {
    if let Some(meta) = object.get_mut("metadata") {
        meta.remove("resourceVersion");
        meta.remove("selfLink");
    }
    api::meta::set_gvk(object, gvk);
    settle_as(definition, object, kind_type);
    let mut out = Vec::with_capacity(SCRATCH_LEN);
    codec::json::write(object, &mut out);
    // It is kept for as long as the object lives: in as many bytes as it has.
    Bytes::copy_from_slice(&out)
}

/// What a dry run answers has gone through the store's form: a list that is empty is none, as a rule.
pub fn settle(definition: &Definition, hub: &mut Value) {
    fill(definition, hub);
    settle_as(definition, hub, definition.hub_type);
}

/// The defaults that a new object gets as it is read, where its kind is one that gets some.
pub fn fill(definition: &Definition, hub: &mut Value) {
    if definition.row.filled_on_read {
        definition.world.default(hub, definition.hub_type);
    }
}

fn settle_as(definition: &Definition, object: &mut Value, kind_type: TypeId) {
    match definition.row.stored_in_json {
        true => definition.world.normalise(object, kind_type),
        false => definition.world.settle(object, kind_type),
    }
}

/// The bytes under which a hub object lies in the store: `json` itself, or protobuf of the same.
pub fn encode(definition: &Definition, hub: &Value, json: &Bytes, media: Media) -> Bytes {
    match media {
        Media::Json => json.clone(),
        Media::Protobuf if definition.world.has_protobuf() => {
            codec::proto::write(hub, &definition.hub, definition.schemas()).unwrap_or_else(|_| json.clone())
        }
        Media::Protobuf => json.clone(),
    }
}

/// Encodes an object that is not served.
pub fn encode_as(object: &Value, gvk: &Gvk, schemas: &Schemas, media: Media) -> Bytes {
    let json = || Bytes::from(codec::json::to_string(object));
    match media {
        Media::Json => json(),
        Media::Protobuf => codec::proto::write(object, gvk, schemas).unwrap_or_else(|_| json()),
    }
}

/// Reads what [`encode_as`], or upstream, wrote.
pub fn decode_as(value: &[u8], gvk: &Gvk, schemas: &Schemas) -> Result<Value, Error> {
    let id = schemas.kind(gvk).ok_or_else(|| Error::Unknown(gvk.to_string()))?;
    match is_protobuf(value) {
        true => Ok(codec::proto::object(value, id, schemas)?.value),
        false => Ok(codec::json::object(value, id, schemas)?.value),
    }
}

fn is_protobuf(value: &[u8]) -> bool {
    value.starts_with(b"k8s\0")
}

/// Reads a stored value into an entry. JSON of the hub version is adopted as it is.
pub fn read(definition: &Definition, local: &str, stored: &store::Entry) -> Result<Entry, Corrupt> {
    let revision = stored.mod_revision;
    if let Seal::Broken(why) = &stored.seal {
        return Err(Corrupt::untransformable(revision, why));
    }
    decoded(definition, local, stored).map_err(|error| match stored.value.starts_with(ENCRYPTED) {
        // Where nothing is said about encryption.
        true => Corrupt::untransformable(revision, "identity transformer tried to read encrypted data"),
        false => Corrupt::undecodable(revision, error),
    })
}

fn decoded(definition: &Definition, local: &str, stored: &store::Entry) -> Result<Entry, Error> {
    let key = local.into();
    let revision = stored.mod_revision;
    if definition.asked().is_some() {
        return as_stored(definition, key, stored);
    }
    if let Some(json) = adoptable(definition, &stored.value) {
        let hub = codec::json::any(&json)?.value;
        return Ok(Entry::new(definition, key, json, &hub, revision));
    }
    let mut hub = decode(definition, &stored.value)?;
    let mut json = json(definition, &mut hub);
    if json == stored.value {
        // Nothing was filled in: the bytes are shared.
        json = stored.value.clone();
    }
    Ok(Entry::new(definition, key, json, &hub, revision))
}

/// Reads an object in the version that it lies in the store in: what that is in others is known to a webhook alone.
fn as_stored(definition: &Definition, key: api::EcoString, stored: &store::Entry) -> Result<Entry, Error> {
    let gvk = api::meta::gvk(&codec::json::any(&stored.value)?.value);
    let version = definition.versions.iter().find(|v| v.gvk == gvk).ok_or_else(|| Error::Unknown(gvk.to_string()))?;
    let body = crate::Body { media: crate::Media::Json, bytes: &stored.value };
    let mut tree = definition.world.read_stored(body, version.kind_type)?;
    definition.world.default(&mut tree, version.kind_type);
    let mut json = json_of(definition, &mut tree, &gvk, version.kind_type);
    if json == stored.value {
        json = stored.value.clone();
    }
    Ok(Entry::new(definition, key, json, &tree, stored.mod_revision))
}

/// The bytes without their final line break, when they are JSON of the hub version as this server writes it.
fn adoptable(definition: &Definition, value: &Bytes) -> Option<Bytes> {
    if !definition.world.adopts() || definition.row.filled_on_read {
        return None;
    }
    let head = definition.versions.iter().find(|v| v.gvk == definition.hub)?.json_head.as_bytes();
    if !value.starts_with(head) {
        return None;
    }
    let len = value.len() - usize::from(value.last() == Some(&b'\n'));
    Some(value.slice(..len))
}

/// Reads any stored form into a hub object with defaults.
fn decode(definition: &Definition, value: &Bytes) -> Result<Value, Error> {
    let protobuf = is_protobuf(value);
    let gvk = match protobuf {
        true => codec::proto::envelope(value)?.0,
        false => api::meta::gvk(&codec::json::any(value)?.value),
    };
    let media = if protobuf { crate::Media::Protobuf } else { crate::Media::Json };
    let read = |id: TypeId| definition.world.read_stored(crate::Body { media, bytes: value }, id);
    let mut tree = if gvk == definition.hub {
        let mut tree = read(definition.hub_type)?;
        definition.world.default(&mut tree, definition.hub_type);
        tree
    } else if let Some(to_hub) = resources::retired::to_hub(&gvk) {
        let mut tree = match definition.schemas().kind(&gvk) {
            Some(own) => read(own)?,
            // Of some not even the types are left.
            None if !protobuf => codec::json::any(value)?.value,
            None => return Err(Error::Unknown(gvk.to_string())),
        };
        to_hub(&mut tree);
        api::meta::set_gvk(&mut tree, &definition.hub);
        let text = codec::json::to_string(&tree);
        let mut tree = codec::json::object(text.as_bytes(), definition.hub_type, definition.schemas())?.value;
        definition.world.default(&mut tree, definition.hub_type);
        tree
    } else {
        let served =
            definition.versions.iter().find(|v| v.gvk == gvk).ok_or_else(|| Error::Unknown(gvk.to_string()))?;
        let mut tree = read(served.kind_type)?;
        definition.to_hub(&mut tree, served);
        tree
    };
    if let Some(on_read) = definition.row.rules.on_read {
        on_read(&mut tree);
    }
    Ok(tree)
}
