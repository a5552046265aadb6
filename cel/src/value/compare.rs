//! Order: within a type, and across numbers' types by number.

use std::cmp::Ordering;

use super::{EvalError, Value};

impl Value {
    /// Whether this sort of value has an order at all.
    pub(crate) fn is_comparable(&self) -> bool {
        matches!(
            self,
            Value::Bool(_)
                | Value::Int(_)
                | Value::Uint(_)
                | Value::Double(_)
                | Value::String(_)
                | Value::Bytes(_)
                | Value::Timestamp(_)
                | Value::Duration(_)
        )
    }

    pub(crate) fn compare(&self, other: &Value) -> Result<Ordering, EvalError> {
        let nan = || EvalError::new("NaN values cannot be ordered");
        Ok(match (self, other) {
            (Value::Double(a), _) if a.is_nan() => return Err(nan()),
            (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Double(b)) if b.is_nan() => return Err(nan()),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Uint(a), Value::Uint(b)) => a.cmp(b),
            (Value::Double(a), Value::Double(b)) => a.partial_cmp(b).ok_or_else(nan)?,
            (Value::Int(a), Value::Uint(b)) => int_and_uint(*a, *b),
            (Value::Uint(a), Value::Int(b)) => int_and_uint(*b, *a).reverse(),
            (Value::Double(a), Value::Int(b)) => double_and_int(*a, *b).ok_or_else(nan)?,
            (Value::Int(a), Value::Double(b)) => double_and_int(*b, *a).ok_or_else(nan)?.reverse(),
            (Value::Double(a), Value::Uint(b)) => double_and_uint(*a, *b).ok_or_else(nan)?,
            (Value::Uint(a), Value::Double(b)) => double_and_uint(*b, *a).ok_or_else(nan)?.reverse(),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Timestamp(a), Value::Timestamp(b)) => (a.seconds, a.nanos).cmp(&(b.seconds, b.nanos)),
            (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
            _ => return Err(EvalError::no_such_overload()),
        })
    }
}

pub(super) fn int_and_uint(a: i64, b: u64) -> Ordering {
    i128::from(a).cmp(&i128::from(b))
}

/// By way of a double, as upstream has it: large numbers are equal to what they round to.
pub(super) fn double_and_int(a: f64, b: i64) -> Option<Ordering> {
    if a < i64::MIN as f64 {
        return Some(Ordering::Less);
    }
    if a > i64::MAX as f64 {
        return Some(Ordering::Greater);
    }
    a.partial_cmp(&(b as f64))
}

pub(super) fn double_and_uint(a: f64, b: u64) -> Option<Ordering> {
    if a < 0.0 {
        return Some(Ordering::Less);
    }
    if a > u64::MAX as f64 {
        return Some(Ordering::Greater);
    }
    a.partial_cmp(&(b as f64))
}
