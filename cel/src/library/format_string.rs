//! `'%d of %s'.format([1, 'x'])`: the clauses, and what they make of values.
//!
//! Upstream: cel-go ext/formatting.go (before version 4 of the library), with numbers as its locale en-US prints them.

use crate::types::Type;
use crate::value::{EvalError, List, Map, Value, show};

/// What stands behind a `%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clause {
    Text,
    Decimal,
    Fixed(usize),
    Scientific(usize),
    Binary,
    Hex(bool),
    Octal,
}

/// Digits behind the point when none are asked for.
const PRECISION: usize = 6;

impl Clause {
    /// Whether the checker lets values of this type stand for the clause.
    pub(crate) fn takes_type(self, t: &Type) -> bool {
        let is_integer = matches!(t, Type::Int | Type::Uint);
        match self {
            Clause::Text => {
                is_integer
                    || matches!(
                        t,
                        Type::List(_)
                            | Type::Map(_)
                            | Type::Double
                            | Type::Bool
                            | Type::String
                            | Type::Timestamp
                            | Type::Bytes
                            | Type::Duration
                            | Type::Type(_)
                            | Type::Null
                    )
            }
            Clause::Decimal | Clause::Octal => is_integer,
            Clause::Fixed(_) | Clause::Scientific(_) => matches!(t, Type::Double | Type::String),
            Clause::Binary => is_integer || *t == Type::Bool,
            Clause::Hex(_) => is_integer || matches!(t, Type::String | Type::Bytes),
        }
    }

    fn refusal(self, given: &str) -> String {
        match self {
            Clause::Text => format!(
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, \
                 durations, and timestamps, was given {given}"
            ),
            Clause::Decimal => format!("decimal clause can only be used on integers, was given {given}"),
            Clause::Fixed(_) => format!("fixed-point clause can only be used on doubles, was given {given}"),
            Clause::Scientific(_) => format!("scientific clause can only be used on doubles, was given {given}"),
            Clause::Binary => format!("only integers and bools can be formatted as binary, was given {given}"),
            Clause::Hex(_) => {
                format!("only integers, byte buffers, and strings can be formatted as hex, was given {given}")
            }
            Clause::Octal => format!("octal clause can only be used on integers, was given {given}"),
        }
    }

    fn write(self, value: &Value) -> Result<String, String> {
        let refuse = || self.refusal(value.value_type().runtime_name());
        match (self, value) {
            (Clause::Text, value) => text(value),
            (Clause::Decimal, Value::Int(value)) => Ok(value.to_string()),
            (Clause::Decimal, Value::Uint(value)) => Ok(value.to_string()),
            (Clause::Fixed(precision), value) => fixed(double(value).ok_or_else(refuse)?, precision),
            (Clause::Scientific(precision), value) => scientific(double(value).ok_or_else(refuse)?, precision),
            (Clause::Binary, Value::Int(value)) => Ok(signed(*value, |v| format!("{v:b}"))),
            (Clause::Binary, Value::Uint(value)) => Ok(format!("{value:b}")),
            (Clause::Binary, Value::Bool(value)) => Ok(if *value { "1" } else { "0" }.to_owned()),
            (Clause::Octal, Value::Int(value)) => Ok(signed(*value, |v| format!("{v:o}"))),
            (Clause::Octal, Value::Uint(value)) => Ok(format!("{value:o}")),
            (Clause::Hex(upper), value) => hex(value, upper).ok_or_else(refuse),
            _ => Err(refuse()),
        }
    }
}

/// Walks a format string; each clause is handed on with the number of its argument.
fn walk(
    text: &str,
    count: usize,
    mut plain: impl FnMut(&str),
    mut clause: impl FnMut(usize, Clause) -> Result<(), Problem>,
) -> Result<usize, Problem> {
    let (mut rest, mut used) = (text, 0);
    while let Some(at) = rest.find('%') {
        plain(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            plain("%");
            rest = after;
            continue;
        }
        if used >= count {
            return Err(Problem::plain(format!("index {used} out of range")));
        }
        if rest.is_empty() {
            return Err(Problem::plain("unexpected end of string"));
        }
        let (found, len) =
            parse(rest).map_err(|why| Problem::plain(format!("could not parse formatting clause: {why}")))?;
        clause(used, found)?;
        rest = &rest[len..];
        used += 1;
    }
    plain(rest);
    Ok(used)
}

/// What is wrong, and with which expression.
struct Problem {
    at: Option<usize>,
    message: String,
}

impl Problem {
    fn plain(message: impl Into<String>) -> Problem {
        Problem { at: None, message: message.into() }
    }
}

/// The clause here, and its length without the `%`.
fn parse(text: &str) -> Result<(Clause, usize), String> {
    let mut precision = PRECISION;
    let mut at = 0;
    if let Some(after) = text.strip_prefix('.') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if digits == after.len() {
            return Err("error while parsing precision: could not find end of precision specifier".to_owned());
        }
        let number = &after[..digits];
        let reason = if number.is_empty() { "invalid syntax" } else { "value out of range" };
        precision = number.parse().map_err(|_| {
            let quoted = show::quote(number);
            format!(
                "error while parsing precision: error while converting precision to integer: \
                 strconv.Atoi: parsing {quoted}: {reason}"
            )
        })?;
        at = 1 + digits;
    }
    let clause = match text.as_bytes()[at] {
        b's' => Clause::Text,
        b'd' => Clause::Decimal,
        b'f' => Clause::Fixed(precision),
        b'e' => Clause::Scientific(precision),
        b'b' => Clause::Binary,
        b'x' => Clause::Hex(false),
        b'X' => Clause::Hex(true),
        b'o' => Clause::Octal,
        other => return Err(format!("unrecognized formatting clause \"{}\"", other as char)),
    };
    Ok((clause, at + 1))
}

/// How many arguments a format string uses. `fits` says of the argument with a number whether a clause takes it, or else which
/// expression it does not take and the name of its type.
pub(crate) fn check(
    text: &str,
    count: usize,
    fits: &mut dyn FnMut(usize, Clause) -> Result<(), (usize, String)>,
) -> Result<usize, (Option<usize>, String)> {
    let used = walk(
        text,
        count,
        |_| {},
        |index, clause| {
            fits(index, clause).map_err(|(at, given)| Problem {
                at: Some(at),
                message: format!("error during formatting: {}", clause.refusal(&given)),
            })
        },
    );
    used.map_err(|problem| (problem.at, problem.message))
}

pub(crate) fn format(text: &str, arguments: &List) -> Result<String, EvalError> {
    let out = std::cell::RefCell::new(String::new());
    let done = walk(
        text,
        arguments.len(),
        |part| out.borrow_mut().push_str(part),
        |index, clause| {
            let value = arguments.get(index).map_err(|error| Problem::plain(error.message))?;
            let written = clause.write(&value);
            let written = written.map_err(|why| Problem::plain(format!("error during formatting: {why}")))?;
            out.borrow_mut().push_str(&written);
            Ok(())
        },
    );
    match done {
        Ok(_) => Ok(out.into_inner()),
        Err(problem) => Err(EvalError::new(problem.message)),
    }
}

// --- what clauses make of values

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::List(list) => list_text(list),
        Value::Map(map) => map_text(map),
        Value::Null => Ok("null".to_owned()),
        Value::Optional(_) | Value::Object(_) => Err(Clause::Text.refusal(value.value_type().runtime_name())),
        other => match other.convert(&Type::String) {
            Ok(Value::String(text)) => Ok(text.to_string()),
            Ok(_) => Err(String::new()),
            Err(error) => Err(format!("could not convert argument {} to string", show::quote(&error.message))),
        },
    }
}

/// Within a list or map, where text is quoted.
fn nested(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(show::quote(text)),
        Value::Bytes(_) => Ok(format!("b{}", show::quote(&text(value)?))),
        Value::Timestamp(_) => Ok(format!("timestamp({})", show::quote(&text(value)?))),
        Value::Duration(_) => Ok(format!("duration({})", show::quote(&text(value)?))),
        Value::Double(value) if value.is_nan() => Ok("\"NaN\"".to_owned()),
        Value::Double(value) if value.is_infinite() => {
            Ok(if *value > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" }.to_owned())
        }
        Value::Double(value) => Ok(format!("{value:.PRECISION$}")),
        Value::Optional(_) | Value::Object(_) => {
            Err(format!("no formatting function for {}", value.value_type().runtime_name()))
        }
        other => text(other),
    }
}

fn list_text(list: &List) -> Result<String, String> {
    let items: Result<Vec<_>, _> = list.iter().map(|item| nested(&item.map_err(|e| e.message)?)).collect();
    Ok(format!("[{}]", items?.join(", ")))
}

fn map_text(map: &Map) -> Result<String, String> {
    let mut entries = Vec::new();
    for key in map.keys() {
        let shown = match &key {
            Value::String(_) | Value::Bool(_) | Value::Int(_) | Value::Uint(_) => nested(&key)?,
            other => {
                let name = other.value_type();
                return Err(format!("no formatting function for map key of type {}", name.runtime_name()));
            }
        };
        let value = map.get(&key).map_err(|e| e.message)?.unwrap_or(Value::Null);
        entries.push((shown, nested(&value)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let shown: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    Ok(format!("{{{}}}", shown.join(", ")))
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Double(value) => Some(*value),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "∞" } else { "-∞" })
    } else {
        None
    }
}

/// With commas between thousands.
fn fixed(value: f64, precision: usize) -> Result<String, String> {
    if let Some(special) = special(value) {
        return Ok(special.to_owned());
    }
    let plain = format!("{:.precision$}", value.abs());
    let (whole, part) = plain.split_once('.').map_or((plain.as_str(), None), |(whole, part)| (whole, Some(part)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 { "-" } else { "" };
    Ok(part.map_or_else(|| format!("{sign}{grouped}"), |part| format!("{sign}{grouped}.{part}")))
}

/// `1.052033×10⁰³`. What is asked for as precision upstream takes for the width.
fn scientific(value: f64, width: usize) -> Result<String, String> {
    if let Some(special) = special(value) {
        return Ok(format!("{special:>width$}"));
    }
    let plain = format!("{value:.PRECISION$e}");
    let (mantissa, exponent) = plain.split_once('e').unwrap_or((&plain, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ("\u{207b}", digits),
        None => ("", exponent),
    };
    let raised: String = format!("{digits:0>2}")
        .chars()
        .map(|digit| match digit {
            '1' => '\u{b9}',
            '2' => '\u{b2}',
            '3' => '\u{b3}',
            other => char::from_u32(0x2070 + other.to_digit(10).unwrap_or(0)).unwrap_or(other),
        })
        .collect();
    Ok(format!("{:>width$}", format!("{mantissa}\u{d7}10{sign}{raised}")))
}

fn signed(value: i64, write: impl Fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", write(value.unsigned_abs()))
}

fn hex(value: &Value, upper: bool) -> Option<String> {
    let lower = match value {
        Value::Int(value) => signed(*value, |v| format!("{v:x}")),
        Value::Uint(value) => format!("{value:x}"),
        Value::String(text) => bytes_hex(text.as_bytes()),
        Value::Bytes(bytes) => bytes_hex(bytes),
        _ => return None,
    };
    Some(if upper { lower.to_uppercase() } else { lower })
}

fn bytes_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
