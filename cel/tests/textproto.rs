//! The expressions in the conformance tests of the language, which are protobuf messages as text.

/// The values of all fields `expr`.
pub fn expressions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("expr:") {
        let starts_line = rest[..at].trim_end_matches([' ', '\t']).ends_with('\n');
        rest = &rest[at + "expr:".len()..];
        if starts_line && let Some((value, after)) = strings(rest) {
            found.push(value);
            rest = after;
        }
    }
    found
}

/// The strings here, one behind the other, as one; and what is behind them.
fn strings(text: &str) -> Option<(String, &str)> {
    let (mut bytes, mut rest, mut any) = (Vec::new(), text.trim_start(), false);
    while let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        rest = string(&rest[1..], quote, &mut bytes)?.trim_start();
        any = true;
    }
    let value = String::from_utf8(bytes).ok()?;
    any.then_some((value, rest))
}

/// Up to the closing quote; what is behind it.
fn string<'a>(text: &'a str, quote: char, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some(&text[at + c.len_utf8()..]),
            '\\' => {
                let (at, escaped) = chars.next()?;
                let digits = |from: usize, most: usize, base: u32| {
                    let len = text[from..].chars().take(most).take_while(|c| c.is_digit(base)).count();
                    (u32::from_str_radix(&text[from..from + len], base).unwrap_or(0), len)
                };
                let (value, skipped) = match escaped {
                    'n' => (u32::from(b'\n'), 0),
                    't' => (u32::from(b'\t'), 0),
                    'r' => (u32::from(b'\r'), 0),
                    'x' => digits(at + 1, 2, 16),
                    'u' => digits(at + 1, 4, 16),
                    'U' => digits(at + 1, 8, 16),
                    '0'..='7' => {
                        let (value, len) = digits(at, 3, 8);
                        (value, len - 1)
                    }
                    other => (other as u32, 0),
                };
                for _ in 0..skipped {
                    chars.next();
                }
                if matches!(escaped, 'x' | '0'..='7') {
                    bytes.push(value as u8);
                } else {
                    bytes.extend(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    None
}
