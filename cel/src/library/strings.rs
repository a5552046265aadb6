//! Text. Indexes count code points. Upstream: cel-go ext/strings.go at version 2.

use crate::functions::{Cost, Row, global, member};
use crate::value::{EvalError, Outcome, Value, show};

use super::{format_string, int, list, text, texts};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    member("charAt", "string_char_at_int", "string, int", "string", char_at),
    member("indexOf", "string_index_of_string", "string, string", "int", index_of).cost(Cost::Traverse),
    member("indexOf", "string_index_of_string_int", "string, string, int", "int", index_of).cost(Cost::Traverse),
    member("lastIndexOf", "string_last_index_of_string", "string, string", "int", last_index_of).cost(Cost::Traverse),
    member("lastIndexOf", "string_last_index_of_string_int", "string, string, int", "int", last_index_of).cost(Cost::Traverse),
    member("lowerAscii", "string_lower_ascii", "string", "string", lower).cost(Cost::Scan(1)),
    member("replace", "string_replace_string_string", "string, string, string", "string", replace).cost(Cost::Replace),
    member("replace", "string_replace_string_string_int", "string, string, string, int", "string", replace).cost(Cost::Replace),
    member("split", "string_split_string", "string, string", "list(string)", split).cost(Cost::Split),
    member("split", "string_split_string_int", "string, string, int", "list(string)", split).cost(Cost::Split),
    member("substring", "string_substring_int", "string, int", "string", substring).cost(Cost::Scan(1)),
    member("substring", "string_substring_int_int", "string, int, int", "string", substring).cost(Cost::Scan(1)),
    member("trim", "string_trim", "string", "string", trim).cost(Cost::Scan(1)),
    member("upperAscii", "string_upper_ascii", "string", "string", upper).cost(Cost::Scan(1)),
    member("format", "string_format", "string, list(dyn)", "string", format).stops(),
    global("strings.quote", "strings_quote", "string", "string", quote),
    member("join", "list_join", "list(string)", "string", join).cost(Cost::Join),
    member("join", "list_join_string", "list(string), string", "string", join).cost(Cost::Join),
];

fn out_of_range<T>(index: i64) -> Result<T, EvalError> {
    Err(EvalError::new(format!("index out of range: {index}")))
}

/// An index into something so long, its end included.
fn within(index: i64, len: usize) -> Result<usize, EvalError> {
    match usize::try_from(index) {
        Ok(index) if index <= len => Ok(index),
        _ => out_of_range(index),
    }
}

fn char_at(arguments: &[Value]) -> Outcome {
    let chars: Vec<char> = text(&arguments[0])?.chars().collect();
    let index = within(int(&arguments[1])?, chars.len())?;
    Ok(Value::string(chars.get(index).map(char::to_string).unwrap_or_default()))
}

fn index_of(arguments: &[Value]) -> Outcome {
    let chars: Vec<char> = text(&arguments[0])?.chars().collect();
    let wanted: Vec<char> = text(&arguments[1])?.chars().collect();
    let offset = arguments.get(2).map_or(Ok(0), int)?;
    let Ok(from) = usize::try_from(offset) else { return out_of_range(offset) };
    if wanted.is_empty() {
        return Ok(Value::Int(offset.min(chars.len() as i64)));
    }
    if from >= chars.len() {
        return Ok(Value::Int(-1));
    }
    let found = chars[from..].windows(wanted.len()).position(|window| window == wanted);
    Ok(Value::Int(found.map_or(-1, |index| (index + from) as i64)))
}

fn last_index_of(arguments: &[Value]) -> Outcome {
    let chars: Vec<char> = text(&arguments[0])?.chars().collect();
    let wanted: Vec<char> = text(&arguments[1])?.chars().collect();
    let len = chars.len() as i64;
    let offset = match arguments.get(2) {
        Some(offset) => int(offset)?,
        None if wanted.is_empty() => return Ok(Value::Int(len)),
        None if wanted.len() > chars.len() => return Ok(Value::Int(-1)),
        None => len - 1,
    };
    let Ok(from) = usize::try_from(offset) else { return out_of_range(offset) };
    if wanted.is_empty() {
        return Ok(Value::Int(offset.min(len)));
    }
    if from >= chars.len() || wanted.len() > chars.len() {
        return Ok(Value::Int(-1));
    }
    let last = from.min(chars.len() - wanted.len());
    let found = (0..=last).rev().find(|at| chars[*at..].starts_with(&wanted));
    Ok(Value::Int(found.map_or(-1, |index| index as i64)))
}

fn lower(arguments: &[Value]) -> Outcome {
    Ok(Value::string(text(&arguments[0])?.to_ascii_lowercase()))
}

fn upper(arguments: &[Value]) -> Outcome {
    Ok(Value::string(text(&arguments[0])?.to_ascii_uppercase()))
}

fn trim(arguments: &[Value]) -> Outcome {
    Ok(Value::string(text(&arguments[0])?.trim()))
}

fn replace(arguments: &[Value]) -> Outcome {
    let (from, to) = (text(&arguments[1])?, text(&arguments[2])?);
    let limit = arguments.get(3).map_or(Ok(-1), int)?;
    let replaced = match usize::try_from(limit) {
        Ok(limit) => text(&arguments[0])?.replacen(from, to, limit),
        Err(_) => text(&arguments[0])?.replace(from, to),
    };
    Ok(Value::string(replaced))
}

fn split(arguments: &[Value]) -> Outcome {
    let (whole, separator) = (text(&arguments[0])?, text(&arguments[1])?);
    let limit = arguments.get(2).map_or(Ok(-1), int)?;
    let most = match limit {
        0 => return Ok(Value::list(Vec::new())),
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    if !separator.is_empty() {
        return Ok(texts(whole.splitn(most, separator)));
    }
    let mut parts: Vec<String> = whole.chars().take(most.saturating_sub(1)).map(String::from).collect();
    let taken: usize = parts.iter().map(String::len).sum();
    if taken < whole.len() {
        parts.push(whole[taken..].to_owned());
    }
    Ok(texts(parts))
}

fn substring(arguments: &[Value]) -> Outcome {
    let chars: Vec<char> = text(&arguments[0])?.chars().collect();
    let start = int(&arguments[1])?;
    let end = match arguments.get(2) {
        None => chars.len() as i64,
        Some(end) => int(end)?,
    };
    if arguments.len() == 3 && start > end {
        return Err(EvalError::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let (start, end) = (within(start, chars.len())?, within(end, chars.len())?);
    Ok(Value::string(chars[start..end].iter().collect::<String>()))
}

fn format(arguments: &[Value]) -> Outcome {
    format_string::format(text(&arguments[0])?, list(&arguments[1])?).map(Value::from)
}

fn quote(arguments: &[Value]) -> Outcome {
    let mut quoted = String::from("\"");
    for c in text(&arguments[0])?.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(Value::string(quoted))
}

fn join(arguments: &[Value]) -> Outcome {
    let separator = arguments.get(1).map_or(Ok(""), text)?;
    let mut joined = String::new();
    for (index, item) in list(&arguments[0])?.iter().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        match item? {
            Value::String(text) => joined.push_str(&text),
            other => return Err(EvalError::new(format!("join: invalid input: {}", show::plain(&other)))),
        }
    }
    Ok(Value::string(joined))
}
