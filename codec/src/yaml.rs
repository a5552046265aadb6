//! YAML, by way of JSON, as upstream's sigs.k8s.io/yaml.

use api::Value;
use schema::{Schemas, TypeId};

use crate::{Decoded, Error, json};

/// Reads an object of a struct type.
pub fn object(text: &[u8], id: TypeId, schemas: &Schemas) -> Result<Decoded, Error> {
    json::object(json::to_string(&any(text)?).as_bytes(), id, schemas)
}

/// Reads any YAML document.
pub fn any(text: &[u8]) -> Result<Value, Error> {
    serde_yaml_ng::from_slice(text).map_err(|e| Error(format!("error converting YAML to JSON: yaml: {e}")))
}

/// Writes a value as YAML.
pub fn to_string(value: &Value) -> String {
    serde_yaml_ng::to_string(value).unwrap_or_default()
}
