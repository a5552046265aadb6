//! Equality: across numbers' types by number, otherwise only within a type.

use super::compare::{double_and_int, double_and_uint, int_and_uint};
use super::{EvalError, List, Map, Value};

impl Value {
    /// Whether two values are equal. Values of different types are not, without an error; but a foreign value may know
    /// better. Upstream: cel-go common/types/util.go Equal.
    pub fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        match (self, other) {
            (Value::Null, Value::Null) => Ok(true),
            (Value::Null, _) | (_, Value::Null) => Ok(false),
            (a, b) => a.equals_inner(b),
        }
    }

    /// As [`Value::equals`] but that null meets what it is compared with. Upstream: the method Equal of each type.
    pub(crate) fn equals_inner(&self, other: &Value) -> Result<bool, EvalError> {
        Ok(match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), _) => numbers(self, other),
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => (a.seconds, a.nanos) == (b.seconds, b.nanos),
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::List(a), b) => return lists(a, b),
            (Value::Map(a), b) => return maps(a, b),
            (Value::Object(a), b) => return a.equals(b),
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => return a.equals_inner(b),
                _ => false,
            },
            (Value::Type(a), Value::Type(b)) => a.runtime_name() == b.runtime_name(),
            _ => false,
        })
    }
}

fn numbers(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Uint(a), Value::Uint(b)) => a == b,
        (Value::Double(a), Value::Double(b)) => a == b,
        (Value::Int(a), Value::Uint(b)) | (Value::Uint(b), Value::Int(a)) => int_and_uint(*a, *b).is_eq(),
        (Value::Double(a), Value::Int(b)) | (Value::Int(b), Value::Double(a)) => {
            double_and_int(*a, *b).is_some_and(|o| o.is_eq())
        }
        (Value::Double(a), Value::Uint(b)) | (Value::Uint(b), Value::Double(a)) => {
            double_and_uint(*a, *b).is_some_and(|o| o.is_eq())
        }
        _ => false,
    }
}

fn lists(a: &List, other: &Value) -> Result<bool, EvalError> {
    if let List::Foreign(list) = a
        && let Some(own) = list.equals(other)
    {
        return own;
    }
    let Value::List(b) = other else { return Ok(false) };
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b.iter()) {
        // An element that cannot be compared does not make lists unequal.
        if let Ok(false) = a?.equals(&b?) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn maps(a: &Map, other: &Value) -> Result<bool, EvalError> {
    if let Map::Foreign(map) = a
        && let Some(own) = map.equals(other)
    {
        return own;
    }
    let Value::Map(b) = other else { return Ok(false) };
    if a.len() != b.len() {
        return Ok(false);
    }
    for key in a.keys() {
        match (a.get(&key)?, b.get(&key)?) {
            (Some(a), Some(b)) => {
                if let Ok(false) = a.equals(&b) {
                    return Ok(false);
                }
            }
            _ => return Ok(false),
        }
    }
    Ok(true)
}
