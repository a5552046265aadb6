//! Values as text: in error messages ([`plain`]), and numbers and times as Go writes them.

use super::{Timestamp, Value};

/// As upstream's messages print a value (`%v`).
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "NULL_VALUE".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double(*value),
        Value::String(text) => text.to_string(),
        Value::Bytes(bytes) => format!("[{}]", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ")),
        Value::Timestamp(time) => go_time(time),
        Value::Duration(nanos) => go_duration(*nanos),
        Value::List(list) => {
            let items: Vec<_> = list.iter().map(|item| item.map_or_else(|e| e.message, |v| plain(&v))).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let entry = |key: &Value| {
                let value = map.get(key).ok().flatten().map(|value| plain(&value)).unwrap_or_default();
                format!("{}: {value}", plain(key))
            };
            format!("{{{}}}", map.keys().iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Object(object) => format!("{object:?}"),
        Value::Optional(None) => "optional.none()".to_owned(),
        Value::Optional(Some(value)) => format!("optional({})", plain(value)),
        Value::Type(t) => t.declared_name(),
    }
}

/// The shortest text that reads back as the same number, with an exponent from a million on (Go's `%g`).
pub(crate) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    } else {
        format!("{value}")
    }
}

/// Seconds without trailing zeros: `3600s`, `0.5s`.
pub(crate) fn seconds(nanos: i64) -> String {
    let whole = nanos / 1_000_000_000;
    let part = nanos % 1_000_000_000;
    format!("{}s", whole as f64 + part as f64 / 1e9)
}

/// As RFC 3339 has it, with the fraction that there is.
pub(crate) fn rfc3339(time: &Timestamp) -> String {
    let local = civil(time);
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    );
    text.push_str(&fraction(time.nanos));
    if time.offset_seconds == 0 {
        text.push('Z');
    } else {
        text.push_str(&offset(time.offset_seconds, ":"));
    }
    text
}

fn fraction(nanos: u32) -> String {
    if nanos == 0 {
        return String::new();
    }
    let digits = format!("{nanos:09}");
    format!(".{}", digits.trim_end_matches('0'))
}

fn offset(seconds: i32, between: &str) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
}

fn go_time(time: &Timestamp) -> String {
    let local = civil(time);
    let zone = if time.offset_seconds == 0 { "UTC".to_owned() } else { offset(time.offset_seconds, "") };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}{} {} {zone}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second(),
        fraction(time.nanos),
        offset(time.offset_seconds, "")
    )
}

/// `1h0m0.5s`.
fn go_duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if magnitude == 0 {
        return "0s".to_owned();
    }
    let small = |unit: u64, name: &str| format!("{sign}{}{name}", magnitude as f64 / unit as f64);
    match magnitude {
        0..1_000 => return small(1, "ns"),
        1_000..1_000_000 => return small(1_000, "µs"),
        1_000_000..1_000_000_000 => return small(1_000_000, "ms"),
        _ => {}
    }
    let whole = magnitude / 1_000_000_000;
    let (hours, minutes) = (whole / 3600, whole / 60 % 60);
    let seconds = format!("{}{}s", whole % 60, fraction((magnitude % 1_000_000_000) as u32));
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
    }
}

/// Date and time of day where it was written down.
fn civil(time: &Timestamp) -> jiff::civil::DateTime {
    time.local(i64::from(time.offset_seconds))
}

/// Go's `%q`.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if !is_printable(c) && (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if !is_printable(c) => out.push_str(&format!("\\U{:08x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What Go prints as it is; close enough to its tables for what people write.
fn is_printable(c: char) -> bool {
    let is_unprintable = matches!(
        c as u32,
        0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff0..=0xfffb | 0xe000..=0xf8ff
            | 0x323b0..=0xe00ff | 0xe01f0..=0x10ffff
    );
    !c.is_control() && (c == ' ' || !c.is_whitespace()) && !is_unprintable
}
