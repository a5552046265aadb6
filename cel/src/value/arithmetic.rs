//! `+ - * / %` and negation. An error says what went wrong in upstream's words; nothing wraps around.

use super::{EvalError, Outcome, Timestamp, Value};

const SECOND: i64 = 1_000_000_000;

fn int(value: Option<i64>) -> Outcome {
    value.map(Value::Int).ok_or_else(|| EvalError::new("integer overflow"))
}

fn uint(value: Option<u64>) -> Outcome {
    value.map(Value::Uint).ok_or_else(|| EvalError::new("unsigned integer overflow"))
}

fn duration(value: Option<i64>) -> Outcome {
    value.map(Value::Duration).ok_or_else(|| EvalError::new("integer overflow"))
}

pub(crate) fn add(a: Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_add(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_add(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(mut a), Value::String(b)) => {
            a.push_str(b);
            Ok(Value::String(a))
        }
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::bytes(&[&*a, &**b].concat())),
        (Value::List(a), Value::List(b)) => a.concat(b),
        (Value::Duration(a), Value::Duration(b)) => duration(a.checked_add(*b)),
        (Value::Duration(a), Value::Timestamp(b)) => shift(b, i128::from(a)),
        (Value::Timestamp(a), Value::Duration(b)) => shift(&a, i128::from(*b)),
        _ => Err(EvalError::no_such_overload()),
    }
}

pub(crate) fn subtract(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_sub(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_sub(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Value::Duration(a), Value::Duration(b)) => duration(a.checked_sub(*b)),
        (Value::Timestamp(a), Value::Duration(b)) => match b.checked_neg() {
            Some(b) => shift(a, i128::from(b)),
            None => duration(None),
        },
        (Value::Timestamp(a), Value::Timestamp(b)) => {
            let seconds = (a.seconds - b.seconds).checked_mul(SECOND);
            let nanos = i64::from(a.nanos) - i64::from(b.nanos);
            duration(seconds.and_then(|seconds| seconds.checked_add(nanos)))
        }
        _ => Err(EvalError::no_such_overload()),
    }
}

pub(crate) fn multiply(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(a.checked_mul(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_mul(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        _ => Err(EvalError::no_such_overload()),
    }
}

pub(crate) fn divide(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => Err(EvalError::new("division by zero")),
        (Value::Int(a), Value::Int(b)) => int(a.checked_div(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_div(*b)),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        _ => Err(EvalError::no_such_overload()),
    }
}

pub(crate) fn modulo(a: &Value, b: &Value) -> Outcome {
    match (a, b) {
        (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => Err(EvalError::new("modulus by zero")),
        (Value::Int(a), Value::Int(b)) => int(a.checked_rem(*b)),
        (Value::Uint(a), Value::Uint(b)) => uint(a.checked_rem(*b)),
        _ => Err(EvalError::no_such_overload()),
    }
}

pub(crate) fn negate(value: &Value) -> Outcome {
    match value {
        Value::Int(value) => int(value.checked_neg()),
        Value::Double(value) => Ok(Value::Double(-value)),
        Value::Duration(value) => duration(value.checked_neg()),
        _ => Err(EvalError::no_such_overload()),
    }
}

/// A moment so many nanoseconds later.
fn shift(time: &Timestamp, by_nanos: i128) -> Outcome {
    let total = i128::from(time.seconds) * i128::from(SECOND) + i128::from(time.nanos) + by_nanos;
    let seconds = total.div_euclid(i128::from(SECOND)) as i64;
    let nanos = total.rem_euclid(i128::from(SECOND)) as u32;
    match Timestamp::new(seconds, nanos) {
        Some(moved) => Ok(Value::Timestamp(Timestamp { offset_seconds: time.offset_seconds, ..moved })),
        None => Err(EvalError::new("timestamp overflow")),
    }
}
