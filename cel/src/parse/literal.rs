//! Literals to values. Upstream: cel-go parser/unescape.go.

use crate::value::Value;

pub(super) fn int(text: &str) -> Option<Value> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(&format!("{sign}{hex}"), 16),
        None => text.parse(),
    };
    value.ok().map(Value::Int)
}

/// With the `u` at its end.
pub(super) fn uint(text: &str) -> Option<Value> {
    let digits = &text[..text.len() - 1];
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.ok().map(Value::Uint)
}

pub(super) fn double(text: &str) -> Option<Value> {
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Value::Double)
}

pub(super) fn string(text: &str) -> Result<Value, &'static str> {
    let bytes = unescape(text, false)?;
    String::from_utf8(bytes).map(Value::from).map_err(|_| "invalid unicode code point")
}

/// With the `b` before it.
pub(super) fn bytes(text: &str) -> Result<Value, &'static str> {
    unescape(&text[1..], true).map(|bytes| Value::bytes(&bytes))
}

fn unescape(text: &str, is_bytes: bool) -> Result<Vec<u8>, &'static str> {
    let normal = text.replace("\r\n", "\n").replace('\r', "\n");
    let (is_raw, quoted) = match normal.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, normal.as_str()),
    };
    let quotes = if quoted.len() >= 6 && (quoted.starts_with("'''") || quoted.starts_with("\"\"\"")) { 3 } else { 1 };
    let inner = &quoted[quotes..quoted.len() - quotes];
    if is_raw || !inner.contains('\\') {
        return Ok(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '\\' { escape(&mut chars, is_bytes, &mut out)? } else { push(&mut out, c) }
    }
    Ok(out)
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// What follows a backslash: in text a code point, in bytes a byte.
fn escape(chars: &mut std::str::Chars<'_>, is_bytes: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let bad = "unable to unescape string";
    let c = chars.next().ok_or("unable to unescape string, found '\\' as last character")?;
    let simple = match c {
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        '\\' | '\'' | '"' | '`' | '?' => Some(c),
        _ => None,
    };
    if let Some(simple) = simple {
        push(out, simple);
        return Ok(());
    }
    let (count, base, first) = match c {
        'x' | 'X' => (2, 16, 0),
        'u' if !is_bytes => (4, 16, 0),
        'U' if !is_bytes => (8, 16, 0),
        '0'..='3' => (2, 8, c as u32 - '0' as u32),
        _ => return Err(bad),
    };
    let mut value = first;
    for _ in 0..count {
        let digit = chars.next().and_then(|c| c.to_digit(base)).ok_or(bad)?;
        value = value.checked_mul(base).and_then(|v| v.checked_add(digit)).ok_or(bad)?;
    }
    if is_bytes {
        out.push(value as u8);
    } else {
        push(out, char::from_u32(value).ok_or("invalid unicode code point")?);
    }
    Ok(())
}
