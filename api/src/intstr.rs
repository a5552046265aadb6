//! `IntOrString`: a number, or a percentage or name as text.
//!
//! Upstream: apimachinery/pkg/util/intstr. The value is a [`Value::Int`] or [`Value::Str`].

use crate::{Value, field::quote};

/// The value as text; null is `<nil>`.
pub fn text(value: &Value) -> String {
    match value {
        Value::Str(s) => s.to_string(),
        Value::Int(i) => i.to_string(),
        _ => "<nil>".into(),
    }
}

/// The number, or the number that the text reads as, else 0. Upstream: `IntValue`.
pub fn int_value(value: &Value) -> i64 {
    match value {
        Value::Int(i) => *i,
        Value::Str(s) => s.parse().unwrap_or(0),
        _ => 0,
    }
}

/// A number as it is, a percentage scaled to `total`; other texts are errors. Upstream:
/// `GetScaledValueFromIntOrPercent`.
pub fn scaled(value: &Value, total: i64, round_up: bool) -> Result<i64, String> {
    match value {
        Value::Int(i) => Ok(*i),
        Value::Str(s) => match s.strip_suffix('%') {
            Some(number) => {
                let percent = atoi(number)
                    .map_err(|e| format!("invalid value for IntOrString: invalid value {}: {e}", quote(s)))?;
                Ok(share(percent, total, round_up))
            }
            None => Err("invalid value for IntOrString: invalid type: string is not a percentage".into()),
        },
        _ => Err("nil value for IntOrString".into()),
    }
}

/// The number before `%`, when the value is a percentage.
pub fn percent(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// Go's `strconv.Atoi` with its error.
pub fn atoi(text: &str) -> Result<i64, String> {
    parsed(text, "Atoi")
}

/// Go's `strconv.ParseInt(text, 10, 64)` with its error.
pub fn parse_int(text: &str) -> Result<i64, String> {
    parsed(text, "ParseInt")
}

fn parsed(text: &str, function: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let why = match !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        true => "value out of range",
        false => "invalid syntax",
    };
    text.parse().map_err(|_| format!("strconv.{function}: parsing {}: {why}", quote(text)))
}

fn share(percent: i64, total: i64, round_up: bool) -> i64 {
    let exact = percent as f64 * total as f64 / 100.0;
    (if round_up { exact.ceil() } else { exact.floor() }) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_scale() {
        assert_eq!(scaled(&"25%".into(), 10, true), Ok(3));
        assert_eq!(scaled(&"25%".into(), 10, false), Ok(2));
        assert_eq!(scaled(&3.into(), 10, false), Ok(3));
        assert_eq!(
            scaled(&"a%".into(), 1, false),
            Err("invalid value for IntOrString: invalid value \"a%\": strconv.Atoi: parsing \"a\": invalid syntax"
                .into())
        );
        assert_eq!(
            scaled(&"3".into(), 1, false),
            Err("invalid value for IntOrString: invalid type: string is not a percentage".into())
        );
        assert!(scaled(&Value::Null, 1, false).is_err());
        assert_eq!(int_value(&"12".into()), 12);
        assert_eq!(text(&7.into()), "7");
    }
}
