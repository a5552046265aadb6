//! What walks with two variables need. Upstream: cel-go ext/comprehensions.go.

use crate::functions::{Row, global};
use crate::value::{EvalError, Outcome, Value};

use super::map;

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("cel.@mapInsert", "@mapInsert_map_key_value", "map(K, V), K, V", "map(K, V)", insert),
    global("cel.@mapInsert", "@mapInsert_map_map", "map(K, V), map(K, V)", "map(K, V)", insert_all),
];

fn insert(arguments: &[Value]) -> Outcome {
    map(&arguments[0])?.clone().insert(arguments[1].clone(), arguments[2].clone())
}

fn insert_all(arguments: &[Value]) -> Outcome {
    let more = map(&arguments[1])?;
    let mut whole = arguments[0].clone();
    for key in more.keys() {
        let value = more.get(&key)?.ok_or_else(|| EvalError::no_such_key(&key))?;
        whole = map(&whole)?.clone().insert(key, value)?;
    }
    Ok(whole)
}
