//! Values that may be absent. `or`, `orValue` and the `?` of fields and indexes are the planner's matter: what they need not
//! evaluate they do not.
//!
//! Upstream: cel-go cel/library.go OptionalTypes.

use crate::functions::{Row, declared, global, member};
use crate::value::{EvalError, Outcome, Value, show};

use super::{list, mismatch};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("optional.of", "optional_of", "V", "optional(V)", |a| Ok(Value::some(a[0].clone()))),
    global("optional.ofNonZeroValue", "optional_ofNonZeroValue", "V", "optional(V)", of_non_zero),
    global("optional.none", "optional_none", "", "optional(V)", |_| Ok(Value::Optional(None))),
    member("value", "optional_value", "optional(V)", "V", value),
    member("hasValue", "optional_hasValue", "optional(V)", "bool", has_value),
    declared("or", "optional_or_optional", "optional(V), optional(V)", "optional(V)").member(),
    declared("orValue", "optional_orValue_value", "optional(V), V", "V").member(),
    declared("_?._", "select_optional_field", "dyn, string", "optional(V)"),
    declared("_[?_]", "list_optindex_optional_int", "list(V), int", "optional(V)"),
    declared("_[?_]", "optional_list_optindex_optional_int", "optional(list(V)), int", "optional(V)"),
    declared("_[?_]", "map_optindex_optional_value", "map(K, V), K", "optional(V)"),
    declared("_[?_]", "optional_map_optindex_optional_value", "optional(map(K, V)), K", "optional(V)"),
    declared("_[_]", "optional_list_index_int", "optional(list(V)), int", "optional(V)"),
    declared("_[_]", "optional_map_index_value", "optional(map(K, V)), K", "optional(V)"),
    member("last", "list_last", "list(V)", "optional(V)", last),
    member("first", "list_first", "list(V)", "optional(V)", first),
    global("optional.unwrap", "optional_unwrap", "list(optional(V))", "list(V)", unwrap),
    member("unwrapOpt", "optional_unwrapOpt", "list(optional(V))", "list(V)", unwrap),
];

fn of_non_zero(arguments: &[Value]) -> Outcome {
    let value = &arguments[0];
    Ok(if value.is_zero() { Value::Optional(None) } else { Value::some(value.clone()) })
}

fn value(arguments: &[Value]) -> Outcome {
    match &arguments[0] {
        Value::Optional(Some(value)) => Ok((**value).clone()),
        Value::Optional(None) => Err(EvalError::new("optional.none() dereference")),
        _ => mismatch(),
    }
}

fn has_value(arguments: &[Value]) -> Outcome {
    match &arguments[0] {
        Value::Optional(value) => Ok(Value::Bool(value.is_some())),
        _ => mismatch(),
    }
}

fn last(arguments: &[Value]) -> Outcome {
    let list = list(&arguments[0])?;
    match list.len() {
        0 => Ok(Value::Optional(None)),
        len => list.get(len - 1).map(Value::some),
    }
}

fn first(arguments: &[Value]) -> Outcome {
    let list = list(&arguments[0])?;
    if list.is_empty() { Ok(Value::Optional(None)) } else { list.get(0).map(Value::some) }
}

fn unwrap(arguments: &[Value]) -> Outcome {
    let mut values = Vec::new();
    for item in list(&arguments[0])?.iter() {
        match item? {
            Value::Optional(None) => {}
            Value::Optional(Some(value)) => values.push((*value).clone()),
            other => return Err(EvalError::new(format!("value {} is not optional", show::plain(&other)))),
        }
    }
    Ok(Value::list(values))
}
