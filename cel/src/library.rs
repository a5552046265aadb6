//! The functions that expressions may call: a file per library, each a table of rows and what they do.
//!
//! Which of them there are is the environment's matter ([`crate::environment`]).

pub mod authz;
pub(crate) mod cidr;
pub(crate) mod comprehensions;
pub(crate) mod format;
pub(crate) mod format_string;
pub(crate) mod ip;
pub(crate) mod jsonpatch;
pub(crate) mod lists;
pub(crate) mod lists_kubernetes;
pub(crate) mod optional;
pub mod quantity;
pub(crate) mod regex;
pub(crate) mod semver;
pub(crate) mod sets;
pub(crate) mod standard;
pub(crate) mod strings;
pub(crate) mod time;
pub(crate) mod url;

use crate::value::{EvalError, List, Map, Value};

/// The error of a function that was given something else than it takes.
pub(crate) fn mismatch<T>() -> Result<T, EvalError> {
    Err(EvalError::no_such_overload())
}

pub(crate) fn text(value: &Value) -> Result<&str, EvalError> {
    value.as_str().map_or_else(mismatch, Ok)
}

pub(crate) fn int(value: &Value) -> Result<i64, EvalError> {
    match value {
        Value::Int(value) => Ok(*value),
        _ => mismatch(),
    }
}

pub(crate) fn boolean(value: &Value) -> Result<bool, EvalError> {
    value.as_bool().map_or_else(mismatch, Ok)
}

pub(crate) fn list(value: &Value) -> Result<&List, EvalError> {
    match value {
        Value::List(list) => Ok(list),
        _ => mismatch(),
    }
}

pub(crate) fn map(value: &Value) -> Result<&Map, EvalError> {
    match value {
        Value::Map(map) => Ok(map),
        _ => mismatch(),
    }
}

/// A library's own value.
pub(crate) fn object<T: 'static>(value: &Value) -> Result<&T, EvalError> {
    value.downcast().map_or_else(mismatch, Ok)
}

pub(crate) fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::list(items.into_iter().map(|item| Value::string(item.as_ref())).collect())
}
