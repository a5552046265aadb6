//! YAML, by way of JSON, as upstream's sigs.k8s.io/yaml.

use api::Value;
use schema::{Schemas, TypeId};

use crate::{Decoded, Error, json};

/// What upstream calls too deep (`max_flow_level`).
const DEPTH_MAX: usize = 10_000;
/// Brackets that may be open at once. Trees are never so deep.
const OPEN_MAX: usize = 2 * crate::DEPTH_MAX;

/// Reads an object of a struct type.
pub fn object(text: &[u8], id: TypeId, schemas: &Schemas) -> Result<Decoded, Error> {
    json::object(json::to_string(&any(text)?).as_bytes(), id, schemas)
}

/// Reads any YAML document.
pub fn any(text: &[u8]) -> Result<Value, Error> {
    if let Some(line) = too_deep(text) {
        return Err(Error(format!(
            "error converting YAML to JSON: yaml: line {line}: exceeded max depth of {DEPTH_MAX}"
        )));
    }
    serde_yaml_ng::from_slice(text).map_err(|e| Error(format!("error converting YAML to JSON: yaml: {e}")))
}

/// The line in which more brackets are open than may be. The parser's time grows with their number times the text's length,
/// so they are counted before it; what a text quotes is counted too, which only a text that opens so many and closes none
/// can notice.
fn too_deep(text: &[u8]) -> Option<usize> {
    let (mut depth, mut line) = (0usize, 1);
    for byte in text {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'\n' => line += 1,
            _ => {}
        }
        if depth > OPEN_MAX {
            return Some(line);
        }
    }
    None
}

/// Writes a value as YAML, members sorted as upstream's have gone through a Go map.
pub fn to_string(value: &Value) -> String {
    let mut value = value.clone();
    sort(&mut value);
    serde_yaml_ng::to_string(&value).unwrap_or_default()
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.sort();
            members.iter_mut().for_each(|(_, member)| sort(member));
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_at_every_depth() {
        let value = api::value!({"kind": "X", "apiVersion": "v1", "spec": [{"b": 1, "a": {"d": 1, "c": 2}}]});
        assert_eq!(to_string(&value), "apiVersion: v1\nkind: X\nspec:\n- a:\n    c: 2\n    d: 1\n  b: 1\n");
    }
}
