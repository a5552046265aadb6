//! YAML as upstream reads and writes it: by way of JSON, with YAML 1.1's booleans, as sigs.k8s.io/yaml does over go-yaml 2.
//!
//! The text becomes events (libyaml's, which go-yaml is a port of as well), the events [`nodes`], and the nodes a tree:
//! what is quoted is a string, and what is not is whatever [`resolve`] makes of it.

mod block;
mod nodes;
mod resolve;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use api::Value;
use schema::{Schemas, TypeId};

use crate::{Decoded, Error, json};

pub use block::in_order;
pub use write::to_string;

/// Reads an object of a struct type. What strict clients want to hear begins with keys that are there twice.
pub fn object(text: &[u8], id: TypeId, schemas: &Schemas) -> Result<Decoded, Error> {
    let read = read(text)?;
    let mut decoded = json::object(json::to_string(&read.value).as_bytes(), id, schemas)?;
    decoded.strict.splice(0..0, read.duplicates());
    Ok(decoded)
}

/// Reads the first document of any YAML text. Members are sorted, as they have gone through a Go map.
pub fn any(text: &[u8]) -> Result<Value, Error> {
    Ok(read(text)?.value)
}

/// Why strict reading would refuse a text that can be read: keys that are there twice.
pub fn duplicates(text: &[u8]) -> Result<Option<String>, Error> {
    Ok(read(text)?.duplicates())
}

fn read(text: &[u8]) -> Result<tree::Read, Error> {
    tree::of(&nodes::parse(text)?)
}
