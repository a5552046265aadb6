//! What a scalar means that nobody put in quotes. Upstream: go-yaml 2, resolve.go.

use crate::Error;

/// A scalar's meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    /// What is larger than the largest signed number.
    Uint(u64),
    Float(f64),
    /// It looks like a time, and is read as the text that it is.
    Time,
    /// The text that it is.
    Text,
    /// The text behind it in base64.
    Binary(String),
}

const TAG: &str = "tag:yaml.org,2002:";

/// The meaning of a scalar; one that is quoted and has no tag is its text, which is the caller's to know.
pub fn scalar(tag: Option<&str>, text: &str) -> Result<Scalar, Error> {
    let wanted = tag.and_then(|tag| tag.strip_prefix(TAG));
    match (tag, wanted) {
        (Some(_), Some("binary")) => {
            use base64::{Engine, engine::general_purpose::STANDARD};
            let bare: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
            let bytes = STANDARD.decode(bare);
            let bytes = bytes.map_err(|_| Error("yaml: !!binary value contains invalid base64 data".into()))?;
            return Ok(Scalar::Binary(String::from_utf8_lossy(&bytes).into_owned()));
        }
        (Some(_), Some("str")) => return Ok(Scalar::Text),
        (None, _) | (_, Some("bool" | "int" | "float" | "null" | "timestamp")) => {}
        _ => return Ok(Scalar::Text),
    }
    let found = meaning(text, matches!(wanted, None | Some("timestamp")));
    match (wanted, &found) {
        (None, _) => Ok(found),
        (Some("float"), Scalar::Int(i)) => Ok(Scalar::Float(*i as f64)),
        (Some(wanted), found) if wanted == name(found) => Ok(found.clone()),
        (Some(wanted), found) => Err(Error(format!("yaml: cannot decode !!{} `{text}` as a !!{wanted}", name(found)))),
    }
}

fn name(scalar: &Scalar) -> &'static str {
    match scalar {
        Scalar::Null => "null",
        Scalar::Bool(_) => "bool",
        Scalar::Int(_) | Scalar::Uint(_) => "int",
        Scalar::Float(_) => "float",
        Scalar::Time => "timestamp",
        Scalar::Text => "str",
        Scalar::Binary(_) => "binary",
    }
}

/// Upstream: `resolveMap`, then by the first character.
fn meaning(text: &str, may_be_time: bool) -> Scalar {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' if is_float(text) => text.parse().map_or(Scalar::Text, Scalar::Float),
        b'0'..=b'9' | b'+' | b'-' => {
            if may_be_time && is_time(text) {
                return Scalar::Time;
            }
            number(&text.replace('_', "")).unwrap_or(Scalar::Text)
        }
        _ => Scalar::Text,
    }
}

fn number(text: &str) -> Option<Scalar> {
    if let Some(integer) = integer(text) {
        return Some(integer);
    }
    if is_float(text) {
        // Go reports what is out of range, and the text stays a text.
        return text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Scalar::Float);
    }
    None
}

/// Upstream: Go's `strconv.ParseInt` with base 0: the base is in the text.
fn integer(text: &str) -> Option<Scalar> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let size = u64::from_str_radix(digits, base).ok()?;
    match (is_negative, i64::try_from(size)) {
        (false, Ok(i)) => Some(Scalar::Int(i)),
        (true, Ok(i)) => Some(Scalar::Int(-i)),
        (true, Err(_)) if size == 1 << 63 => Some(Scalar::Int(i64::MIN)),
        // An unsigned number has no sign, not even a plus.
        (false, Err(_)) if !text.starts_with('+') => Some(Scalar::Uint(size)),
        _ => None,
    }
}

/// Upstream: `yamlStyleFloat`.
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(rest);
    let rest = &rest[whole..];
    let (part, rest) = match rest.strip_prefix('.') {
        Some(after) => (digits(after), &after[digits(after)..]),
        None => (0, rest),
    };
    if whole + part == 0 {
        return false;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
    }
}

/// Upstream: `parseTimestamp`, in its four forms.
pub fn is_time(text: &str) -> bool {
    let mut rest = text;
    let Some(year) = take(&mut rest, 4, 4) else { return false };
    if !skip(&mut rest, "-") {
        return false;
    }
    let Some(month) = take(&mut rest, 1, 2).filter(|month| (1..=12).contains(month)) else { return false };
    if !skip(&mut rest, "-") {
        return false;
    }
    let day = take(&mut rest, 1, 2).and_then(|day| jiff::civil::Date::new(year as i16, month as i8, day as i8).ok());
    if day.is_none() {
        return false;
    }
    if rest.is_empty() {
        return true;
    }
    let has_zone = skip(&mut rest, "T") || skip(&mut rest, "t");
    if !has_zone && !skip(&mut rest, " ") {
        return false;
    }
    for (i, max) in [23, 59, 59].into_iter().enumerate() {
        if i > 0 && !skip(&mut rest, ":") {
            return false;
        }
        if take(&mut rest, 1, 2).is_none_or(|part| part > max) {
            return false;
        }
    }
    if rest.starts_with(['.', ',']) {
        let len = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return false;
        }
        rest = &rest[1 + len..];
    }
    match has_zone {
        false => rest.is_empty(),
        true => rest == "Z" || is_zone(rest),
    }
}

fn is_zone(mut rest: &str) -> bool {
    (skip(&mut rest, "+") || skip(&mut rest, "-"))
        && take(&mut rest, 2, 2).is_some_and(|hours| hours <= 24)
        && skip(&mut rest, ":")
        && take(&mut rest, 2, 2).is_some_and(|minutes| minutes <= 60)
        && rest.is_empty()
}

/// Takes a number of so many digits off a text.
fn take(rest: &mut &str, least: usize, most: usize) -> Option<u32> {
    let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let number = rest[..len].parse().ok().filter(|_| len >= least)?;
    *rest = &rest[len..];
    Some(number)
}

fn skip(rest: &mut &str, word: &str) -> bool {
    let after = rest.strip_prefix(word);
    *rest = after.unwrap_or(rest);
    after.is_some()
}
