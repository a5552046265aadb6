//! Sums, extremes and places in lists. Upstream: apiserver/pkg/cel/library/lists.go.

use std::cmp::Ordering;

use crate::functions::{Cost, Row, member};
use crate::value::{EvalError, Outcome, Value, arithmetic};

use super::{list, mismatch};

const fn row(
    function: &'static str,
    id: &'static str,
    arguments: &'static str,
    result: &'static str,
    run: crate::functions::Run,
) -> Row {
    member(function, id, arguments, result, run).cost(Cost::Traverse)
}

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    row("isSorted", "list_int_is_sorted_bool", "list(int)", "bool", is_sorted),
    row("isSorted", "list_uint_is_sorted_bool", "list(uint)", "bool", is_sorted),
    row("isSorted", "list_double_is_sorted_bool", "list(double)", "bool", is_sorted),
    row("isSorted", "list_bool_is_sorted_bool", "list(bool)", "bool", is_sorted),
    row("isSorted", "list_duration_is_sorted_bool", "list(duration)", "bool", is_sorted),
    row("isSorted", "list_timestamp_is_sorted_bool", "list(timestamp)", "bool", is_sorted),
    row("isSorted", "list_string_is_sorted_bool", "list(string)", "bool", is_sorted),
    row("isSorted", "list_bytes_is_sorted_bool", "list(bytes)", "bool", is_sorted),
    row("sum", "list_int_sum_int", "list(int)", "int", |a| sum(a, Value::Int(0))),
    row("sum", "list_uint_sum_uint", "list(uint)", "uint", |a| sum(a, Value::Uint(0))),
    row("sum", "list_double_sum_double", "list(double)", "double", |a| sum(a, Value::Double(0.0))),
    row("sum", "list_duration_sum_duration", "list(duration)", "duration", |a| sum(a, Value::Duration(0))),
    row("max", "list_int_max_int", "list(int)", "int", max),
    row("max", "list_uint_max_uint", "list(uint)", "uint", max),
    row("max", "list_double_max_double", "list(double)", "double", max),
    row("max", "list_bool_max_bool", "list(bool)", "bool", max),
    row("max", "list_duration_max_duration", "list(duration)", "duration", max),
    row("max", "list_timestamp_max_timestamp", "list(timestamp)", "timestamp", max),
    row("max", "list_string_max_string", "list(string)", "string", max),
    row("max", "list_bytes_max_bytes", "list(bytes)", "bytes", max),
    row("min", "list_int_min_int", "list(int)", "int", min),
    row("min", "list_uint_min_uint", "list(uint)", "uint", min),
    row("min", "list_double_min_double", "list(double)", "double", min),
    row("min", "list_bool_min_bool", "list(bool)", "bool", min),
    row("min", "list_duration_min_duration", "list(duration)", "duration", min),
    row("min", "list_timestamp_min_timestamp", "list(timestamp)", "timestamp", min),
    row("min", "list_string_min_string", "list(string)", "string", min),
    row("min", "list_bytes_min_bytes", "list(bytes)", "bytes", min),
    row("indexOf", "list_a_index_of_int", "list(A), A", "int", index_of),
    row("lastIndexOf", "list_a_last_index_of_int", "list(A), A", "int", last_index_of),
];

pub(crate) const SINCE_1_37: &[Row] = &[row("includes", "list_includes_dyn_dyn", "dyn, dyn", "bool", includes)];

fn is_sorted(arguments: &[Value]) -> Outcome {
    let mut before: Option<Value> = None;
    for item in list(&arguments[0])?.iter() {
        let item = item?;
        if !item.is_comparable() {
            return mismatch();
        }
        if before.is_some_and(|before| before.compare(&item) == Ok(Ordering::Greater)) {
            return Ok(Value::Bool(false));
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum(arguments: &[Value], zero: Value) -> Outcome {
    let mut total = zero;
    for item in list(&arguments[0])?.iter() {
        // Whatever goes wrong within a sum is told of as this.
        total = arithmetic::add(total, &item?).map_err(|error| match error.message.as_str() {
            "no such overload" => EvalError::no_such_overload(),
            _ => error,
        })?;
    }
    Ok(total)
}

fn max(arguments: &[Value]) -> Outcome {
    extreme(arguments, "max", Ordering::Less)
}

fn min(arguments: &[Value]) -> Outcome {
    extreme(arguments, "min", Ordering::Greater)
}

/// The first of those that no other beats.
fn extreme(arguments: &[Value], name: &str, beaten: Ordering) -> Outcome {
    let mut best: Option<Value> = None;
    for item in list(&arguments[0])?.iter() {
        let item = item?;
        if !item.is_comparable() {
            return mismatch();
        }
        if best.as_ref().is_none_or(|best| best.compare(&item) == Ok(beaten)) {
            best = Some(item);
        }
    }
    best.ok_or_else(|| EvalError::new(format!("{name} called on empty list")))
}

fn index_of(arguments: &[Value]) -> Outcome {
    let list = list(&arguments[0])?;
    place(arguments, 0..list.len())
}

fn last_index_of(arguments: &[Value]) -> Outcome {
    let list = list(&arguments[0])?;
    place(arguments, (0..list.len()).rev())
}

fn place(arguments: &[Value], mut order: impl Iterator<Item = usize>) -> Outcome {
    let list = list(&arguments[0])?;
    let found = order.find(|index| list.get(*index).is_ok_and(|item| item.equals_inner(&arguments[1]) == Ok(true)));
    Ok(Value::Int(found.map_or(-1, |index| index as i64)))
}

/// Whether a list has it, or whether what is no list is it.
fn includes(arguments: &[Value]) -> Outcome {
    let wanted = &arguments[1];
    let Value::List(list) = &arguments[0] else {
        return Ok(Value::Bool(arguments[0].equals_inner(wanted) == Ok(true)));
    };
    let found = list.iter().any(|item| item.is_ok_and(|item| item.equals_inner(wanted) == Ok(true)));
    Ok(Value::Bool(found))
}
