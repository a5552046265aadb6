//! Single values of a known shape, from what JSON has in their place.

use api::{EcoString, Value, quantity::Quantity};
use base64::{Engine, engine::general_purpose::STANDARD};
use schema::Shape;

/// A JSON scalar as it was read.
#[derive(Clone, Copy)]
pub enum Token<'a> {
    Str(&'a EcoString),
    Number(&'a str),
    Bool(bool),
}

/// Why a scalar does not fit.
pub enum Misfit {
    /// Go's UnmarshalTypeError: the word for what was there.
    Type(String),
    /// A type's own parser said this.
    Own(String),
    /// A type's own parser read it as another type, into which it does not fit.
    Inner(String, &'static str),
}

/// Reads a scalar as `shape`. Upstream: `literalStore` and the types' own UnmarshalJSON.
pub fn read(token: Token<'_>, shape: &Shape) -> Result<Value, Misfit> {
    match (shape, token) {
        (Shape::Str, Token::Str(s)) => Ok(Value::Str(s.clone())),
        (Shape::Bool, Token::Bool(b)) => Ok(Value::Bool(b)),
        (Shape::Int32, Token::Number(n)) => {
            n.parse::<i32>().map(Value::from).map_err(|_| Misfit::Type(format!("number {n}")))
        }
        (Shape::Int64, Token::Number(n)) => {
            n.parse::<i64>().map(Value::from).map_err(|_| Misfit::Type(format!("number {n}")))
        }
        (Shape::Float, Token::Number(n)) => {
            finite(n).map(Value::Float).ok_or_else(|| Misfit::Type(format!("number {n}")))
        }
        (Shape::Bytes, Token::Str(s)) => bytes(s),
        (Shape::Time, Token::Str(s)) => time(s, false),
        (Shape::MicroTime, Token::Str(s)) => time(s, true),
        (Shape::Quantity, token) => quantity(token),
        (Shape::IntOrString, Token::Str(s)) => Ok(Value::Str(s.clone())),
        (Shape::IntOrString, Token::Number(n)) => {
            n.parse::<i32>().map(Value::from).map_err(|_| Misfit::Inner(format!("number {n}"), "int32"))
        }
        (Shape::IntOrString, Token::Bool(_)) => Err(Misfit::Inner("bool".into(), "int32")),
        (Shape::Duration, Token::Str(s)) => duration(s),
        (Shape::Time | Shape::MicroTime | Shape::Duration, token) => Err(Misfit::Inner(word(token).into(), "string")),
        // Beyond every float it could only be written as what is no JSON.
        (Shape::Raw(_), Token::Number(n)) if n.parse::<i64>().is_err() && finite(n).is_none() => {
            Err(Misfit::Own(format!("json: cannot unmarshal number {n} into Go value of type float64")))
        }
        (Shape::Raw(_), token) => Ok(any(token)),
        (_, token) => Err(Misfit::Type(word(token).into())),
    }
}

/// A scalar where anything may stand. Upstream: `convertNumber` with `PreserveInts`.
pub fn any(token: Token<'_>) -> Value {
    match token {
        Token::Str(s) => Value::Str(s.clone()),
        Token::Bool(b) => Value::Bool(b),
        Token::Number(n) => match n.parse::<i64>() {
            Ok(i) if !n.contains('.') => Value::Int(i),
            _ => Value::Float(n.parse().unwrap_or(f64::MAX)),
        },
    }
}

/// What Go calls a scalar that does not fit.
pub fn word(token: Token<'_>) -> &'static str {
    match token {
        Token::Str(_) => "string",
        Token::Number(_) => "number",
        Token::Bool(_) => "bool",
    }
}

fn finite(n: &str) -> Option<f64> {
    n.parse::<f64>().ok().filter(|f| f.is_finite())
}

fn bytes(s: &EcoString) -> Result<Value, Misfit> {
    // Go skips line breaks inside base64.
    let clean: EcoString;
    let text = if s.contains(['\n', '\r']) {
        clean = s.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
        &clean
    } else {
        s
    };
    match STANDARD.decode(text.as_bytes()) {
        Ok(_) => Ok(Value::Str(text.clone())),
        Err(e) => Err(Misfit::Own(format!("illegal base64 data at input byte {}", illegal_at(text, &e)))),
    }
}

fn illegal_at(text: &str, error: &base64::DecodeError) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        // Go points at the end of the last whole quantum of four.
        _ => text.trim_end_matches('=').len() / 4 * 4,
    }
}

fn time(s: &EcoString, micro: bool) -> Result<Value, Misfit> {
    match api::time::parse(s) {
        Some(at) if micro => Ok(api::time::micros(at).into()),
        Some(at) => Ok(api::time::seconds(at).into()),
        None if micro => Err(Misfit::Own(parsing_time(s, "2006-01-02T15:04:05.000000Z07:00"))),
        None => Err(Misfit::Own(parsing_time(s, "2006-01-02T15:04:05Z07:00"))),
    }
}

/// Upstream: Go's `time.ParseError`, for the commonest ways to be wrong.
fn parsing_time(text: &str, layout: &str) -> String {
    const STEPS: [(usize, &str); 10] = [
        (4, "2006"),
        (5, "-"),
        (7, "01"),
        (8, "-"),
        (10, "02"),
        (11, "T"),
        (13, "15"),
        (14, ":"),
        (16, "04"),
        (17, ":"),
    ];
    let quoted = quoted_time(text);
    let beyond = |what: &str| format!("parsing time {quoted}: {what} out of range");
    let mut from = 0;
    for (to, what) in STEPS {
        let part = text.get(from..to);
        let fits =
            part.is_some_and(|p| if what.len() == 1 { p == what } else { p.bytes().all(|b| b.is_ascii_digit()) });
        if !fits {
            let rest = quoted_time(text.get(from..).unwrap_or(""));
            return format!("parsing time {quoted} as \"{layout}\": cannot parse {rest} as \"{what}\"");
        }
        let number: u32 = part.and_then(|part| part.parse().ok()).unwrap_or_default();
        match what {
            "01" if !(1..=12).contains(&number) => return beyond("month"),
            "15" if number > 23 => return beyond("hour"),
            "04" if number > 59 => return beyond("minute"),
            _ => {}
        }
        from = to;
    }
    if text.get(17..19).and_then(|seconds| seconds.parse::<u32>().ok()).is_some_and(|seconds| seconds > 59) {
        return beyond("second");
    }
    // With a day that every month has, nothing else is wrong: it is the day.
    if text.is_char_boundary(10) && api::time::parse(&format!("{}-01{}", &text[..7], &text[10..])).is_some() {
        return beyond("day");
    }
    let rest = quoted_time(text.get(from..).unwrap_or(""));
    let what = if text.len() >= 19 { "Z07:00" } else { "05" };
    let rest = if text.len() >= 19 { quoted_time(text.get(19..).unwrap_or("")) } else { rest };
    format!("parsing time {quoted} as \"{layout}\": cannot parse {rest} as \"{what}\"")
}

/// As Go's package for times quotes: byte by byte, whatever is not ASCII. Upstream: time/format.go `quote`.
fn quoted_time(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' | 0x7f => out.push(char::from(byte)),
            _ => out += &format!("\\x{byte:02x}"),
        }
    }
    out + "\""
}

fn quantity(token: Token<'_>) -> Result<Value, Misfit> {
    let text = match token {
        Token::Str(s) => s.as_str(),
        Token::Number(n) => n,
        Token::Bool(b) => {
            if b {
                "true"
            } else {
                "false"
            }
        }
    };
    match Quantity::parse(text) {
        Ok(quantity) => Ok(Value::str_of(quantity.to_string())),
        Err(e) => Err(Misfit::Own(e.to_string())),
    }
}

/// Durations are kept as Go prints them; anything Go's ParseDuration takes is taken.
fn duration(s: &EcoString) -> Result<Value, Misfit> {
    match api::duration::parse(s) {
        Ok(nanos) => Ok(api::duration::format(nanos).into()),
        Err(e) => Err(Misfit::Own(e)),
    }
}
