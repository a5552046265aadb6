//! What expressions have made, as trees: objects and values of patches.
//!
//! Upstream: apiserver/pkg/cel/mutation/dynamic/objects.go; cel-go's conversions to JSON.

use api::{EcoString, Map, Value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cel::admission::Made;

/// Values within one another: an expression can name the same one twice in each of a chain of variables.
const VALUES_MAX: usize = 1 << 20;
/// Whole numbers that a reader of JSON holds exactly.
const EXACT: std::ops::RangeInclusive<i64> = -(1 << 53)..=1 << 53;

/// A value as JSON has it; the error says what cannot be.
pub fn tree_of(value: &cel::Value) -> Result<Value, String> {
    tree(value, &mut 0)
}

fn tree(value: &cel::Value, count: &mut usize) -> Result<Value, String> {
    *count += 1;
    if *count > VALUES_MAX {
        return Err("it is too large".into());
    }
    Ok(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(it) => Value::Bool(*it),
        cel::Value::Int(it) if EXACT.contains(it) => Value::Int(*it),
        cel::Value::Int(it) => Value::from(it.to_string()),
        cel::Value::Uint(it) => match i64::try_from(*it).ok().filter(|it| EXACT.contains(it)) {
            Some(it) => Value::Int(it),
            None => Value::from(it.to_string()),
        },
        cel::Value::Double(it) => Value::Float(*it),
        cel::Value::String(text) => Value::Str(text.clone()),
        cel::Value::Bytes(bytes) => Value::from(STANDARD.encode(bytes)),
        cel::Value::Timestamp(_) | cel::Value::Duration(_) => Value::from(value.time_text().unwrap_or_default()),
        cel::Value::List(list) => {
            let item = |item: Result<cel::Value, cel::EvalError>| tree(&item.map_err(|e| e.message)?, count);
            Value::array(list.iter().map(item).collect::<Result<_, _>>()?)
        }
        cel::Value::Map(map) => {
            let mut members = Map::with_capacity(map.len());
            for key in map.keys() {
                let Some(name) = key.as_str() else { return Err("a key of a map is not a string".into()) };
                let member = map.get(&key).map_err(|e| e.message)?.unwrap_or(cel::Value::Null);
                members.insert(EcoString::from(name), tree(&member, count)?);
            }
            members.into()
        }
        cel::Value::Object(_) => match value.downcast::<Made>() {
            Some(made) => fields(made, count)?,
            None => return Err(format!("a value of type {} has no form in JSON", value.value_type())),
        },
        cel::Value::Optional(_) | cel::Value::Type(_) => {
            return Err(format!("a value of type {} has no form in JSON", value.value_type()));
        }
    })
}

fn fields(made: &Made, count: &mut usize) -> Result<Value, String> {
    let mut members = Map::with_capacity(made.fields.len());
    for (name, value) in &made.fields {
        let value =
            tree(value, count).map_err(|why| format!("fail to convert field {}: {why}", api::field::quote(name)))?;
        members.insert(EcoString::from(&**name), value);
    }
    Ok(members.into())
}
