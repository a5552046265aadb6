//! Conversions between types, and texts of times and durations.

use crate::types::Type;

use super::{EvalError, Outcome, Timestamp, Value, show};

impl Timestamp {
    /// The first second of the year 1.
    pub const MIN_SECONDS: i64 = -62_135_596_800;
    /// The last second of the year 9999.
    pub const MAX_SECONDS: i64 = 253_402_300_799;

    /// In UTC; `None` outside of the years 1 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<Timestamp> {
        let is_within = (Timestamp::MIN_SECONDS..=Timestamp::MAX_SECONDS).contains(&seconds);
        is_within.then_some(Timestamp { seconds, nanos, offset_seconds: 0 })
    }

    /// Date and time of day so many seconds east of UTC.
    pub(crate) fn local(&self, east_seconds: i64) -> jiff::civil::DateTime {
        let seconds = self.seconds + east_seconds;
        let days = jiff::Span::new().try_days(seconds.div_euclid(86_400)).unwrap_or_default();
        let date = jiff::civil::date(1970, 1, 1).checked_add(days).unwrap_or(jiff::civil::Date::MAX);
        let of_day = seconds.rem_euclid(86_400);
        date.at((of_day / 3600) as i8, (of_day / 60 % 60) as i8, (of_day % 60) as i8, 0)
    }

    /// Out of text as RFC 3339 has it.
    pub fn parse(text: &str) -> Option<Timestamp> {
        parse_rfc3339(text)
    }
}

fn overflow() -> EvalError {
    EvalError::new("timestamp overflow")
}

impl Value {
    /// This value as one of another type, for `int()`, `string()` and the like.
    pub(crate) fn convert(&self, to: &Type) -> Outcome {
        let no = || {
            let (from, to) = (self.value_type().declared_name(), to.declared_name());
            EvalError::new(format!("type conversion error from '{from}' to '{to}'"))
        };
        if let Type::Type(_) = to {
            return Ok(Value::Type(self.value_type()));
        }
        match self {
            Value::Bool(value) => match to {
                Type::String => Ok(Value::string(if *value { "true" } else { "false" })),
                Type::Bool => Ok(self.clone()),
                _ => Err(no()),
            },
            Value::Null if *to == Type::String => Ok(Value::string("null")),
            Value::Int(value) => int(*value, to).unwrap_or_else(|| Err(no())),
            Value::Uint(value) => uint(*value, to).unwrap_or_else(|| Err(no())),
            Value::Double(value) => double(*value, to).unwrap_or_else(|| Err(no())),
            Value::String(text) => string(text, to).unwrap_or_else(|| Err(no())),
            Value::Bytes(bytes) => match to {
                Type::Bytes => Ok(self.clone()),
                Type::String => match std::str::from_utf8(bytes) {
                    Ok(text) => Ok(Value::string(text)),
                    Err(_) => Err(EvalError::new("invalid UTF-8 in bytes, cannot convert to string")),
                },
                _ => Err(no()),
            },
            Value::Timestamp(time) => match to {
                Type::String => Ok(Value::string(show::rfc3339(time))),
                Type::Int => Ok(Value::Int(time.seconds)),
                Type::Timestamp => Ok(self.clone()),
                _ => Err(no()),
            },
            Value::Duration(nanos) => match to {
                Type::String => Ok(Value::string(show::seconds(*nanos))),
                Type::Int => Ok(Value::Int(*nanos)),
                Type::Duration => Ok(self.clone()),
                _ => Err(no()),
            },
            Value::Type(t) if *to == Type::String => Ok(Value::string(t.runtime_name())),
            _ => Err(no()),
        }
    }
}

fn int(value: i64, to: &Type) -> Option<Outcome> {
    Some(match to {
        Type::Int => Ok(Value::Int(value)),
        Type::Uint => u64::try_from(value).map(Value::Uint).map_err(|_| EvalError::new("unsigned integer overflow")),
        Type::Double => Ok(Value::Double(value as f64)),
        Type::String => Ok(Value::string(value.to_string())),
        Type::Timestamp => Timestamp::new(value, 0).map(Value::Timestamp).ok_or_else(overflow),
        _ => return None,
    })
}

fn uint(value: u64, to: &Type) -> Option<Outcome> {
    Some(match to {
        Type::Int => i64::try_from(value).map(Value::Int).map_err(|_| EvalError::new("integer overflow")),
        Type::Uint => Ok(Value::Uint(value)),
        Type::Double => Ok(Value::Double(value as f64)),
        Type::String => Ok(Value::string(value.to_string())),
        _ => return None,
    })
}

fn double(value: f64, to: &Type) -> Option<Outcome> {
    Some(match to {
        Type::Int if value > i64::MIN as f64 && value < i64::MAX as f64 => Ok(Value::Int(value as i64)),
        Type::Int => Err(EvalError::new("integer overflow")),
        Type::Uint if (0.0..18_446_744_073_709_551_616.0).contains(&value) => Ok(Value::Uint(value as u64)),
        Type::Uint => Err(EvalError::new("unsigned integer overflow")),
        Type::Double => Ok(Value::Double(value)),
        Type::String => Ok(Value::string(show::double(value))),
        _ => return None,
    })
}

fn string(text: &str, to: &Type) -> Option<Outcome> {
    Some(match to {
        Type::Int => Ok(Value::Int(parse_int(text)?)),
        Type::Uint => Ok(Value::Uint(text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())??)),
        Type::Double => Ok(Value::Double(parse_double(text)?)),
        Type::Bool => Ok(Value::Bool(match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => return None,
        })),
        Type::Bytes => Ok(Value::bytes(text.as_bytes())),
        Type::String => Ok(Value::string(text)),
        Type::Duration => Ok(Value::Duration(parse_duration(text)?)),
        Type::Timestamp => {
            let time = parse_rfc3339(text)?;
            match Timestamp::new(time.seconds, time.nanos) {
                Some(_) => Ok(Value::Timestamp(time)),
                None => Err(overflow()),
            }
        }
        _ => return None,
    })
}

/// A sign and decimal digits.
fn parse_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// As Go reads a number: also `inf`, `1_000` not, hexadecimal with an exponent.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let value = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" if digits.len() == text.len() => f64::NAN,
        _ if lower.starts_with("0x") => hexadecimal(&lower[2..])?,
        _ if digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) => {
            let value: f64 = digits.parse().ok()?;
            if value.is_infinite() || !digits.bytes().any(|b| b.is_ascii_digit()) {
                return None;
            }
            value
        }
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

/// `1.8p3` after the `0x`.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let digit = |c: char| c.to_digit(16).map(f64::from);
    let mut value = 0.0;
    for c in whole.chars() {
        value = value * 16.0 + digit(c)?;
    }
    let mut scale = 1.0 / 16.0;
    for c in part.chars() {
        value += digit(c)? * scale;
        scale /= 16.0;
    }
    let value = value * 2f64.powi(exponent);
    value.is_finite().then_some(value)
}

/// Nanoseconds out of Go's durations: `1h30m`, `-1.5s`, `10us`.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (amount, after) = duration_part(rest)?;
        total = total.checked_add(amount).filter(|sum| *sum <= 1 << 63)?;
        rest = after;
    }
    match (negative, total) {
        (true, total) => Some((total as i64).wrapping_neg()),
        (false, total) => i64::try_from(total).ok(),
    }
}

fn duration_part(text: &str) -> Option<(u64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole_len = digits(text);
    let whole: u64 = if whole_len == 0 { 0 } else { text[..whole_len].parse().ok().filter(|v| *v <= 1 << 63)? };
    let mut rest = &text[whole_len..];
    let mut part = "";
    if let Some(after) = rest.strip_prefix('.') {
        let len = digits(after);
        part = &after[..len];
        rest = &after[len..];
    }
    if whole_len == 0 && part.is_empty() {
        return None;
    }
    let unit_len = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let unit: u64 = match &rest[..unit_len] {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let mut amount = whole.checked_mul(unit).filter(|v| *v <= 1 << 63)?;
    if !part.is_empty() {
        let (mut value, mut scale) = (0u64, 1f64);
        for digit in part.bytes() {
            if value > (1 << 63) / 10 - 1 {
                break;
            }
            value = value * 10 + u64::from(digit - b'0');
            scale *= 10.0;
        }
        amount = amount.checked_add((value as f64 * (unit as f64 / scale)) as u64).filter(|v| *v <= 1 << 63)?;
    }
    Some((amount, &rest[unit_len..]))
}

/// A date, `T`, a time of day with or without a fraction, and `Z` or an offset. Leap seconds there are none.
fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let mut reader = Digits { rest: text };
    let year = reader.number(4, 4)?;
    reader.skip(b"-")?;
    let month = reader.number(2, 2)?;
    reader.skip(b"-")?;
    let day = reader.number(2, 2)?;
    reader.skip(b"T")?;
    let hour = reader.number(1, 2)?;
    reader.skip(b":")?;
    let minute = reader.number(2, 2)?;
    reader.skip(b":")?;
    let second = reader.number(2, 2)?;
    let nanos = reader.fraction()?;
    let offset_seconds = reader.zone()?;
    if !reader.rest.is_empty() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let date = jiff::civil::Date::new(year as i16, month as i8, day as i8).ok()?;
    let days = days_since_1970(date);
    let seconds = days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some(Timestamp { seconds: seconds - i64::from(offset_seconds), nanos, offset_seconds })
}

fn days_since_1970(date: jiff::civil::Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    date.since(epoch).map(|span| i64::from(span.get_days())).unwrap_or(0)
}

struct Digits<'a> {
    rest: &'a str,
}

impl Digits<'_> {
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let len = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if len < least {
            return None;
        }
        let value = self.rest[..len].parse().ok()?;
        self.rest = &self.rest[len..];
        Some(value)
    }

    fn skip(&mut self, one_of: &[u8]) -> Option<u8> {
        let first = *self.rest.as_bytes().first().filter(|b| one_of.contains(b))?;
        self.rest = &self.rest[1..];
        Some(first)
    }

    fn fraction(&mut self) -> Option<u32> {
        let next_is_digit = self.rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        if !next_is_digit || self.skip(b".,").is_none() {
            return Some(0);
        }
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let kept = &self.rest[..len.min(9)];
        let nanos = format!("{kept:0<9}").parse().ok()?;
        self.rest = &self.rest[len..];
        Some(nanos)
    }

    fn zone(&mut self) -> Option<i32> {
        let sign = self.skip(b"Z+-")?;
        if sign == b'Z' {
            return Some(0);
        }
        let hours = self.number(2, 2)?;
        self.skip(b":")?;
        let minutes = self.number(2, 2)?;
        if hours > 24 || minutes > 60 {
            return None;
        }
        let seconds = (hours * 3600 + minutes * 60) as i32;
        Some(if sign == b'-' { -seconds } else { seconds })
    }
}
