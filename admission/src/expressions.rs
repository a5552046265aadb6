//! Objects as expressions see them: as their JSON, with times and bytes as text.
//!
//! Upstream: apiserver/pkg/cel/common SchemalessTypedToVal.

use api::Value;

/// A tree as a value of the expression language.
pub fn value_of(tree: &Value) -> cel::Value {
    match tree {
        Value::Null => cel::Value::Null,
        Value::Bool(it) => cel::Value::Bool(*it),
        Value::Int(it) => cel::Value::Int(*it),
        Value::Float(it) => cel::Value::Double(*it),
        Value::Str(text) => cel::Value::string(text.as_str()),
        Value::Array(items) => cel::Value::list(items.iter().map(value_of).collect()),
        Value::Object(members) => {
            let entry = |(key, member): (&str, &Value)| (cel::Value::string(key), value_of(member));
            cel::Value::map(members.iter().map(entry).collect())
        }
    }
}
