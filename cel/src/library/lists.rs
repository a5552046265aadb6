//! Lists: parts of them, order, what is in them once. Upstream: cel-go ext/lists.go at version 3.

use std::cmp::Ordering;

use crate::functions::{Cost, Row, Singleton, declared, global, member};
use crate::types::Type;
use crate::value::{EvalError, List, Outcome, Value};

use super::{int, list, mismatch};

/// The longest list that `lists.range` makes.
const RANGE_MAX: i64 = 1_000_000;

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    member("slice", "list_slice", "list(T), int, int", "list(T)", slice).cost(Cost::Slice),
    member("flatten", "list_flatten", "list(list(T))", "list(T)", flatten).cost(Cost::Flatten),
    member("flatten", "list_flatten_int", "list(dyn), int", "list(dyn)", flatten).cost(Cost::Flatten),
    sort("list_int_sort", "list(int)"),
    sort("list_uint_sort", "list(uint)"),
    sort("list_double_sort", "list(double)"),
    sort("list_bool_sort", "list(bool)"),
    sort("list_google.protobuf.Duration_sort", "list(duration)"),
    sort("list_google.protobuf.Timestamp_sort", "list(timestamp)"),
    sort("list_string_sort", "list(string)").cost(Cost::Sort(0, true)),
    sort("list_bytes_sort", "list(bytes)").cost(Cost::Sort(0, true)),
    sort_by("list_int_sortByAssociatedKeys", "list(T), list(int)"),
    sort_by("list_uint_sortByAssociatedKeys", "list(T), list(uint)"),
    sort_by("list_double_sortByAssociatedKeys", "list(T), list(double)"),
    sort_by("list_bool_sortByAssociatedKeys", "list(T), list(bool)"),
    sort_by("list_google.protobuf.Duration_sortByAssociatedKeys", "list(T), list(duration)"),
    sort_by("list_google.protobuf.Timestamp_sortByAssociatedKeys", "list(T), list(timestamp)"),
    sort_by("list_string_sortByAssociatedKeys", "list(T), list(string)").cost(Cost::Sort(1, true)),
    sort_by("list_bytes_sortByAssociatedKeys", "list(T), list(bytes)").cost(Cost::Sort(1, true)),
    global("lists.range", "lists_range", "int", "list(int)", range).cost(Cost::Range),
    member("reverse", "list_reverse", "list(T)", "list(T)", reverse).cost(Cost::Reverse),
    member("distinct", "list_distinct", "list(T)", "list(T)", distinct).cost(Cost::Distinct),
];

pub(crate) const SINGLETONS: &[Singleton] = &[
    Singleton { function: "sort", takes: is_list, run: sorted },
    Singleton { function: "@sortByAssociatedKeys", takes: is_list, run: sorted },
];

const fn sort(id: &'static str, argument: &'static str) -> Row {
    declared("sort", id, argument, argument).member().cost(Cost::Sort(0, false))
}

const fn sort_by(id: &'static str, arguments: &'static str) -> Row {
    declared("@sortByAssociatedKeys", id, arguments, "list(T)").member().cost(Cost::Sort(1, false))
}

fn is_list(value: &Value) -> bool {
    matches!(value, Value::List(_))
}

fn slice(arguments: &[Value]) -> Outcome {
    let list = list(&arguments[0])?;
    let (start, end) = (int(&arguments[1])?, int(&arguments[2])?);
    let cannot = |why: String| Err(EvalError::new(format!("cannot slice({start}, {end}), {why}")));
    if start < 0 || end < 0 {
        return cannot("negative indexes not supported".to_owned());
    }
    if start > end {
        return cannot("start index must be less than or equal to end index".to_owned());
    }
    if end > list.len() as i64 {
        return cannot(format!("list is length {}", list.len()));
    }
    (start as usize..end as usize).map(|index| list.get(index)).collect::<Result<_, _>>().map(Value::list)
}

fn flatten(arguments: &[Value]) -> Outcome {
    let Value::List(list) = &arguments[0] else {
        let name = arguments[0].value_type().declared_name();
        return Err(EvalError::new(format!("no such overload: {name}.flatten()")));
    };
    let depth = arguments.get(1).map_or(Ok(1), int)?;
    if depth < 0 {
        return Err(EvalError::new("level must be non-negative"));
    }
    let mut flat = Vec::new();
    flatten_into(list, depth, &mut flat)?;
    Ok(Value::list(flat))
}

fn flatten_into(list: &List, depth: i64, flat: &mut Vec<Value>) -> Result<(), EvalError> {
    for item in list.iter() {
        match item? {
            Value::List(inner) if depth > 0 => flatten_into(&inner, depth - 1, flat)?,
            other => flat.push(other),
        }
    }
    Ok(())
}

/// A list by its own elements, or by those of another of the same length.
fn sorted(arguments: &[Value]) -> Outcome {
    let values = list(&arguments[0])?;
    let keys = list(arguments.last().unwrap_or(&arguments[0]))?;
    if values.len() != keys.len() {
        return Err(EvalError::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} \
             elements respectively",
            values.len(),
            keys.len()
        )));
    }
    if values.is_empty() {
        return Ok(arguments[0].clone());
    }
    let keys: Vec<Value> = keys.iter().collect::<Result<_, _>>()?;
    if !keys[0].is_comparable() {
        return Err(EvalError::new("list elements must be comparable"));
    }
    let first = keys[0].value_type();
    if keys.len() > 1 && keys.iter().any(|key| key.value_type() != first) {
        return Err(EvalError::new("list elements must have the same type"));
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|a, b| keys[*a].compare(&keys[*b]).unwrap_or(Ordering::Equal));
    order.into_iter().map(|index| values.get(index)).collect::<Result<_, _>>().map(Value::list)
}

fn range(arguments: &[Value]) -> Outcome {
    match int(&arguments[0])? {
        size if size < 0 => Err(EvalError::new(format!("lists.range: size must be non-negative, got {size}"))),
        size if size > RANGE_MAX => {
            Err(EvalError::new(format!("lists.range: size {size} exceeds maximum allowed ({RANGE_MAX})")))
        }
        size => Ok(Value::list((0..size).map(Value::Int).collect())),
    }
}

fn reverse(arguments: &[Value]) -> Outcome {
    let list = list(&arguments[0])?;
    (0..list.len()).rev().map(|index| list.get(index)).collect::<Result<_, _>>().map(Value::list)
}

fn distinct(arguments: &[Value]) -> Outcome {
    let Value::List(list) = &arguments[0] else { return mismatch() };
    let mut unique: Vec<Value> = Vec::new();
    for item in list.iter() {
        let item = item?;
        if !unique.iter().any(|other| item.equals_inner(other) == Ok(true)) {
            unique.push(item);
        }
    }
    Ok(Value::list(unique))
}

/// Whether sorting elements of this type reads text.
pub(crate) fn is_text(t: &Type) -> bool {
    matches!(t, Type::String | Type::Bytes)
}
