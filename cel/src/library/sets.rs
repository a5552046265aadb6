//! Lists as sets. Upstream: cel-go ext/sets.go.

use crate::functions::{Cost, Row, global};
use crate::value::{EvalError, List, Outcome, Value};

use super::list;

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("sets.contains", "list_sets_contains_list", "list(T), list(T)", "bool", contains).cost(Cost::Sets(1.0)),
    global("sets.equivalent", "list_sets_equivalent_list", "list(T), list(T)", "bool", equivalent).cost(Cost::Sets(2.0)),
    global("sets.intersects", "list_sets_intersects_list", "list(T), list(T)", "bool", intersects).cost(Cost::Sets(1.0)),
];

fn has(list: &List, wanted: &Value) -> Result<bool, EvalError> {
    for item in list.iter() {
        if wanted.equals_inner(&item?) == Ok(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_all(list: &List, wanted: &List) -> Result<bool, EvalError> {
    for item in wanted.iter() {
        if !has(list, &item?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains(arguments: &[Value]) -> Outcome {
    has_all(list(&arguments[0])?, list(&arguments[1])?).map(Value::Bool)
}

fn equivalent(arguments: &[Value]) -> Outcome {
    let (a, b) = (list(&arguments[0])?, list(&arguments[1])?);
    Ok(Value::Bool(has_all(a, b)? && has_all(b, a)?))
}

fn intersects(arguments: &[Value]) -> Outcome {
    let (a, b) = (list(&arguments[0])?, list(&arguments[1])?);
    for item in a.iter() {
        if has(b, &item?)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
