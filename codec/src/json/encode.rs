//! Writes a tree as Go's encoding/json writes it: no spaces, HTML characters escaped.

use api::{Value, field::json_float};

/// The text of a value.
pub fn to_string(value: &Value) -> String {
    let mut out = Vec::with_capacity(512);
    write(value, &mut out);
    String::from_utf8(out).expect("a tree holds only UTF-8")
}

/// Appends the text of a value.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(i) => out.extend_from_slice(itoa::Buffer::new().format(*i).as_bytes()),
        Value::Float(f) => out.extend_from_slice(json_float(*f).as_bytes()),
        Value::Str(s) => string(s, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (i, (key, item)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                write(item, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a string with its quotes. Whole runs that need no escape are copied at once.
pub fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut from = 0;
    let mut i = plain_len(bytes);
    while i < bytes.len() {
        let len = match bytes[i] {
            // U+2028 and U+2029
            0xe2 if bytes[i..].starts_with(&[0xe2, 0x80, 0xa8]) || bytes[i..].starts_with(&[0xe2, 0x80, 0xa9]) => 3,
            0xe2 => 0,
            _ => 1,
        };
        if len > 0 {
            out.extend_from_slice(&bytes[from..i]);
            escape(&bytes[i..i + len], out);
            from = i + len;
        }
        i += len.max(1);
        i += plain_len(&bytes[i..]);
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// The bytes that may need an escape.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = matches!(byte as u8, b'"' | b'\\' | 0..=31 | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    special
};

/// How many bytes come before the first that may need an escape. Sixteen are looked at together, which the compiler makes
/// a few instructions of; most strings are shorter.
fn plain_len(bytes: &[u8]) -> usize {
    let special = |b: &u8| matches!(b, b'"' | b'\\' | 0..=31 | b'<' | b'>' | b'&' | 0xe2);
    let plain = |chunk: &[u8]| !chunk.iter().fold(false, |any, b| any | special(b));
    let len = 16 * bytes.chunks_exact(16).take_while(|chunk| plain(chunk)).count();
    len + bytes[len..].iter().take_while(|b| !SPECIAL[usize::from(**b)]).count()
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match bytes {
        [b'"'] => out.extend_from_slice(b"\\\""),
        [b'\\'] => out.extend_from_slice(b"\\\\"),
        [b'\n'] => out.extend_from_slice(b"\\n"),
        [b'\r'] => out.extend_from_slice(b"\\r"),
        [b'\t'] => out.extend_from_slice(b"\\t"),
        [8] => out.extend_from_slice(b"\\b"),
        [12] => out.extend_from_slice(b"\\f"),
        [c] => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]),
        [.., last] => out.extend_from_slice(&[b'\\', b'u', b'2', b'0', b'2', HEX[usize::from(last & 15)]]),
        [] => {}
    }
}

/// The text of a value over several lines. Upstream: `json.MarshalIndent(obj, "", "  ")`.
pub fn pretty(value: &Value) -> String {
    let mut out = Vec::with_capacity(1024);
    indented(value, 0, &mut out);
    String::from_utf8(out).expect("a tree holds only UTF-8")
}

fn indented(value: &Value, depth: usize, out: &mut Vec<u8>) {
    let line = |depth: usize, out: &mut Vec<u8>| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                line(depth + 1, out);
                indented(item, depth + 1, out);
            }
            line(depth, out);
            out.push(b']');
        }
        Value::Object(members) if !members.is_empty() => {
            out.push(b'{');
            for (i, (key, item)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                line(depth + 1, out);
                string(key, out);
                out.extend_from_slice(b": ");
                indented(item, depth + 1, out);
            }
            line(depth, out);
            out.push(b'}');
        }
        other => write(other, out),
    }
}
