//! What the language itself has: operators, sizes, conversions, texts. Times have their own file.
//!
//! Upstream: cel-go common/stdlib/standard.go.

use std::cmp::Ordering;

use crate::functions::{Row, Singleton, declared, global, member};
use crate::types::Type;
use crate::value::{EvalError, Outcome, Value, arithmetic};

use super::{mismatch, text};

/// In upstream's order.
#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    declared("_?_:_", "conditional", "bool, A, A", "A"),
    declared("_&&_", "logical_and", "bool, bool", "bool"),
    declared("_||_", "logical_or", "bool, bool", "bool"),
    declared("!_", "logical_not", "bool", "bool"),
    declared("@not_strictly_false", "not_strictly_false", "bool", "bool"),
    declared("_==_", "equals", "A, A", "bool"),
    declared("_!=_", "not_equals", "A, A", "bool"),
    declared("_+_", "add_bytes", "bytes, bytes", "bytes"),
    declared("_+_", "add_double", "double, double", "double"),
    declared("_+_", "add_duration_duration", "duration, duration", "duration"),
    declared("_+_", "add_duration_timestamp", "duration, timestamp", "timestamp"),
    declared("_+_", "add_timestamp_duration", "timestamp, duration", "timestamp"),
    declared("_+_", "add_int64", "int, int", "int"),
    declared("_+_", "add_list", "list(A), list(A)", "list(A)"),
    declared("_+_", "add_string", "string, string", "string"),
    declared("_+_", "add_uint64", "uint, uint", "uint"),
    declared("_/_", "divide_double", "double, double", "double"),
    declared("_/_", "divide_int64", "int, int", "int"),
    declared("_/_", "divide_uint64", "uint, uint", "uint"),
    declared("_%_", "modulo_int64", "int, int", "int"),
    declared("_%_", "modulo_uint64", "uint, uint", "uint"),
    declared("_*_", "multiply_double", "double, double", "double"),
    declared("_*_", "multiply_int64", "int, int", "int"),
    declared("_*_", "multiply_uint64", "uint, uint", "uint"),
    declared("-_", "negate_double", "double", "double"),
    declared("-_", "negate_int64", "int", "int"),
    declared("_-_", "subtract_double", "double, double", "double"),
    declared("_-_", "subtract_duration_duration", "duration, duration", "duration"),
    declared("_-_", "subtract_int64", "int, int", "int"),
    declared("_-_", "subtract_timestamp_duration", "timestamp, duration", "timestamp"),
    declared("_-_", "subtract_timestamp_timestamp", "timestamp, timestamp", "duration"),
    declared("_-_", "subtract_uint64", "uint, uint", "uint"),
    declared("_<_", "less_bool", "bool, bool", "bool"),
    declared("_<_", "less_int64", "int, int", "bool"),
    declared("_<_", "less_int64_double", "int, double", "bool"),
    declared("_<_", "less_int64_uint64", "int, uint", "bool"),
    declared("_<_", "less_uint64", "uint, uint", "bool"),
    declared("_<_", "less_uint64_double", "uint, double", "bool"),
    declared("_<_", "less_uint64_int64", "uint, int", "bool"),
    declared("_<_", "less_double", "double, double", "bool"),
    declared("_<_", "less_double_int64", "double, int", "bool"),
    declared("_<_", "less_double_uint64", "double, uint", "bool"),
    declared("_<_", "less_string", "string, string", "bool"),
    declared("_<_", "less_bytes", "bytes, bytes", "bool"),
    declared("_<_", "less_timestamp", "timestamp, timestamp", "bool"),
    declared("_<_", "less_duration", "duration, duration", "bool"),
    declared("_<=_", "less_equals_bool", "bool, bool", "bool"),
    declared("_<=_", "less_equals_int64", "int, int", "bool"),
    declared("_<=_", "less_equals_int64_double", "int, double", "bool"),
    declared("_<=_", "less_equals_int64_uint64", "int, uint", "bool"),
    declared("_<=_", "less_equals_uint64", "uint, uint", "bool"),
    declared("_<=_", "less_equals_uint64_double", "uint, double", "bool"),
    declared("_<=_", "less_equals_uint64_int64", "uint, int", "bool"),
    declared("_<=_", "less_equals_double", "double, double", "bool"),
    declared("_<=_", "less_equals_double_int64", "double, int", "bool"),
    declared("_<=_", "less_equals_double_uint64", "double, uint", "bool"),
    declared("_<=_", "less_equals_string", "string, string", "bool"),
    declared("_<=_", "less_equals_bytes", "bytes, bytes", "bool"),
    declared("_<=_", "less_equals_timestamp", "timestamp, timestamp", "bool"),
    declared("_<=_", "less_equals_duration", "duration, duration", "bool"),
    declared("_>_", "greater_bool", "bool, bool", "bool"),
    declared("_>_", "greater_int64", "int, int", "bool"),
    declared("_>_", "greater_int64_double", "int, double", "bool"),
    declared("_>_", "greater_int64_uint64", "int, uint", "bool"),
    declared("_>_", "greater_uint64", "uint, uint", "bool"),
    declared("_>_", "greater_uint64_double", "uint, double", "bool"),
    declared("_>_", "greater_uint64_int64", "uint, int", "bool"),
    declared("_>_", "greater_double", "double, double", "bool"),
    declared("_>_", "greater_double_int64", "double, int", "bool"),
    declared("_>_", "greater_double_uint64", "double, uint", "bool"),
    declared("_>_", "greater_string", "string, string", "bool"),
    declared("_>_", "greater_bytes", "bytes, bytes", "bool"),
    declared("_>_", "greater_timestamp", "timestamp, timestamp", "bool"),
    declared("_>_", "greater_duration", "duration, duration", "bool"),
    declared("_>=_", "greater_equals_bool", "bool, bool", "bool"),
    declared("_>=_", "greater_equals_int64", "int, int", "bool"),
    declared("_>=_", "greater_equals_int64_double", "int, double", "bool"),
    declared("_>=_", "greater_equals_int64_uint64", "int, uint", "bool"),
    declared("_>=_", "greater_equals_uint64", "uint, uint", "bool"),
    declared("_>=_", "greater_equals_uint64_double", "uint, double", "bool"),
    declared("_>=_", "greater_equals_uint64_int64", "uint, int", "bool"),
    declared("_>=_", "greater_equals_double", "double, double", "bool"),
    declared("_>=_", "greater_equals_double_int64", "double, int", "bool"),
    declared("_>=_", "greater_equals_double_uint64", "double, uint", "bool"),
    declared("_>=_", "greater_equals_string", "string, string", "bool"),
    declared("_>=_", "greater_equals_bytes", "bytes, bytes", "bool"),
    declared("_>=_", "greater_equals_timestamp", "timestamp, timestamp", "bool"),
    declared("_>=_", "greater_equals_duration", "duration, duration", "bool"),
    declared("_[_]", "index_list", "list(A), int", "A"),
    declared("_[_]", "index_map", "map(A, B), A", "B"),
    declared("@in", "in_list", "A, list(A)", "bool"),
    declared("@in", "in_map", "A, map(A, B)", "bool"),
    declared("size", "size_bytes", "bytes", "int"),
    declared("size", "bytes_size", "bytes", "int").member(),
    declared("size", "size_list", "list(A)", "int"),
    declared("size", "list_size", "list(A)", "int").member(),
    declared("size", "size_map", "map(A, B)", "int"),
    declared("size", "map_size", "map(A, B)", "int").member(),
    declared("size", "size_string", "string", "int"),
    declared("size", "string_size", "string", "int").member(),
    declared("type", "type", "A", "type(A)"),
    declared("dyn", "to_dyn", "A", "dyn"),
    declared("matches", "matches", "string, string", "bool"),
    declared("matches", "matches_string", "string, string", "bool").member(),
    global("bool", "bool_to_bool", "bool", "bool", to_bool),
    global("bool", "string_to_bool", "string", "bool", to_bool),
    global("bytes", "bytes_to_bytes", "bytes", "bytes", to_bytes),
    global("bytes", "string_to_bytes", "string", "bytes", to_bytes),
    global("double", "double_to_double", "double", "double", to_double),
    global("double", "int64_to_double", "int", "double", to_double),
    global("double", "string_to_double", "string", "double", to_double),
    global("double", "uint64_to_double", "uint", "double", to_double),
    global("duration", "duration_to_duration", "duration", "duration", to_duration),
    global("duration", "string_to_duration", "string", "duration", to_duration),
    global("int", "int64_to_int64", "int", "int", to_int),
    global("int", "double_to_int64", "double", "int", to_int),
    global("int", "duration_to_int64", "duration", "int", to_int),
    global("int", "string_to_int64", "string", "int", to_int),
    global("int", "timestamp_to_int64", "timestamp", "int", to_int),
    global("int", "uint64_to_int64", "uint", "int", to_int),
    global("string", "string_to_string", "string", "string", to_string),
    global("string", "bool_to_string", "bool", "string", to_string),
    global("string", "bytes_to_string", "bytes", "string", to_string),
    global("string", "double_to_string", "double", "string", to_string),
    global("string", "duration_to_string", "duration", "string", to_string),
    global("string", "int64_to_string", "int", "string", to_string),
    global("string", "timestamp_to_string", "timestamp", "string", to_string),
    global("string", "uint64_to_string", "uint", "string", to_string),
    global("timestamp", "timestamp_to_timestamp", "timestamp", "timestamp", to_timestamp),
    global("timestamp", "int64_to_timestamp", "int", "timestamp", to_timestamp),
    global("timestamp", "string_to_timestamp", "string", "timestamp", to_timestamp),
    global("uint", "uint64_to_uint64", "uint", "uint", to_uint),
    global("uint", "double_to_uint64", "double", "uint", to_uint),
    global("uint", "int64_to_uint64", "int", "uint", to_uint),
    global("uint", "string_to_uint64", "string", "uint", to_uint),
    member("contains", "contains_string", "string, string", "bool", contains),
    member("endsWith", "ends_with_string", "string, string", "bool", ends_with),
    member("startsWith", "starts_with_string", "string, string", "bool", starts_with),
];

pub(crate) const SINGLETONS: &[Singleton] = &[
    Singleton { function: "!_", takes: always, run: not },
    Singleton { function: "@not_strictly_false", takes: always, run: not_strictly_false },
    Singleton { function: "_+_", takes: is_adder, run: |a| arithmetic::add(a[0].clone(), &a[1]) },
    Singleton { function: "_-_", takes: is_subtractor, run: |a| arithmetic::subtract(&a[0], &a[1]) },
    Singleton { function: "_*_", takes: is_number, run: |a| arithmetic::multiply(&a[0], &a[1]) },
    Singleton { function: "_/_", takes: is_number, run: |a| arithmetic::divide(&a[0], &a[1]) },
    Singleton { function: "_%_", takes: is_integer, run: |a| arithmetic::modulo(&a[0], &a[1]) },
    Singleton { function: "-_", takes: is_negator, run: |a| arithmetic::negate(&a[0]) },
    Singleton { function: "_<_", takes: Value::is_comparable, run: |a| ordered(a, Ordering::is_lt) },
    Singleton { function: "_<=_", takes: Value::is_comparable, run: |a| ordered(a, Ordering::is_le) },
    Singleton { function: "_>_", takes: Value::is_comparable, run: |a| ordered(a, Ordering::is_gt) },
    Singleton { function: "_>=_", takes: Value::is_comparable, run: |a| ordered(a, Ordering::is_ge) },
    Singleton { function: "@in", takes: always, run: contained },
    Singleton { function: "size", takes: is_sizer, run: size },
    Singleton { function: "type", takes: always, run: |a| Ok(Value::Type(a[0].value_type())) },
    Singleton { function: "dyn", takes: always, run: |a| Ok(a[0].clone()) },
    Singleton { function: "matches", takes: |v| v.as_str().is_some(), run: super::regex::matches },
];

// --- which values know an operator

fn always(_: &Value) -> bool {
    true
}

fn is_integer(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Uint(_))
}

fn is_number(value: &Value) -> bool {
    is_integer(value) || matches!(value, Value::Double(_))
}

fn is_negator(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Duration(_))
}

fn is_subtractor(value: &Value) -> bool {
    is_number(value) || matches!(value, Value::Timestamp(_) | Value::Duration(_))
}

fn is_sizer(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))
}

fn is_adder(value: &Value) -> bool {
    is_subtractor(value) || matches!(value, Value::String(_) | Value::Bytes(_) | Value::List(_))
}

// --- what they do

fn not(arguments: &[Value]) -> Outcome {
    match &arguments[0] {
        Value::Bool(value) => Ok(Value::Bool(!value)),
        _ => mismatch(),
    }
}

fn not_strictly_false(arguments: &[Value]) -> Outcome {
    match &arguments[0] {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        _ => Ok(Value::Bool(true)),
    }
}

fn ordered(arguments: &[Value], is: fn(Ordering) -> bool) -> Outcome {
    arguments[0].compare(&arguments[1]).map(|order| Value::Bool(is(order)))
}

fn contained(arguments: &[Value]) -> Outcome {
    let wanted = &arguments[0];
    match &arguments[1] {
        Value::List(list) => {
            for item in list.iter() {
                if wanted.equals_inner(&item?) == Ok(true) {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        Value::Map(map) => map.get(wanted).map(|found| Value::Bool(found.is_some())),
        _ => mismatch(),
    }
}

fn size(arguments: &[Value]) -> Outcome {
    arguments[0].size().map(|size| Value::Int(size as i64)).ok_or_else(EvalError::no_such_overload)
}

fn to_bool(arguments: &[Value]) -> Outcome {
    arguments[0].convert(&Type::Bool)
}

fn to_bytes(arguments: &[Value]) -> Outcome {
    arguments[0].convert(&Type::Bytes)
}

fn to_double(arguments: &[Value]) -> Outcome {
    arguments[0].convert(&Type::Double)
}

fn to_duration(arguments: &[Value]) -> Outcome {
    arguments[0].convert(&Type::Duration)
}

fn to_int(arguments: &[Value]) -> Outcome {
    arguments[0].convert(&Type::Int)
}

fn to_string(arguments: &[Value]) -> Outcome {
    arguments[0].convert(&Type::String)
}

fn to_timestamp(arguments: &[Value]) -> Outcome {
    arguments[0].convert(&Type::Timestamp)
}

fn to_uint(arguments: &[Value]) -> Outcome {
    arguments[0].convert(&Type::Uint)
}

fn contains(arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(text(&arguments[0])?.contains(text(&arguments[1])?)))
}

fn ends_with(arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(text(&arguments[0])?.ends_with(text(&arguments[1])?)))
}

fn starts_with(arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(text(&arguments[0])?.starts_with(text(&arguments[1])?)))
}
