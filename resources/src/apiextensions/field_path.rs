//! Paths into a schema: `.spec.replicas`, `.data['a.b']`. Upstream: pkg/apiserver/schema/cel/validation.go ValidFieldPath.

use api::{Value, field::Path};

/// One step down a schema: the path there and what stands there, or upstream's word for that there is nothing.
pub type Stepped<S> = Result<(Path, S), String>;

/// Follows a path through `schema`; the error is what upstream says about it.
pub fn follow<'a>(path: &str, schema: &'a Value, brackets: bool) -> Stepped<&'a Value> {
    walk(path, schema, brackets, step)
}

/// The same through any tree of schemas.
pub fn walk<S>(path: &str, mut schema: S, brackets: bool, step: impl Fn(&Path, S, &str) -> Stepped<S>) -> Stepped<S> {
    let mut tokens = tokens(path).into_iter();
    let mut at = Path::root();
    let end = || "unexpected end of JSON path".to_string();
    while let Some(token) = tokens.next() {
        let name = match token {
            "[" if !brackets => return Err("array notation is not allowed".into()),
            "[" => {
                let token = tokens.next().ok_or_else(end)?;
                let inner = token.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
                unquoted(inner.ok_or_else(|| format!("expected single quoted string but got {token}"))?)?
            }
            "." => tokens.next().ok_or_else(end)?.to_string(),
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        (at, schema) = step(&at, schema, &name)?;
        if token == "[" {
            match tokens.next().ok_or_else(end)? {
                "]" => {}
                other => return Err(format!("expected ] but got {other}")),
            }
        }
    }
    Ok((at, schema))
}

/// What a schema without such a field is answered with.
pub fn nothing() -> String {
    "does not refer to a valid field".into()
}

fn step<'a>(at: &Path, schema: &'a Value, name: &str) -> Stepped<&'a Value> {
    if schema.at("properties").members().next().is_some() {
        let found = schema.at("properties").get(name).ok_or_else(nothing)?;
        return Ok((at.child(name), found));
    }
    match schema.at("additionalProperties") {
        Value::Null => Err(nothing()),
        found => Ok((at.key(name), found)),
    }
}

/// Upstream: `unescapeSingleQuote`.
fn unquoted(text: &str) -> Result<String, String> {
    let (mut plain, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match chars.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(c @ ('\'' | '\\')) => c,
            Some(other) => return Err(format!("invalid string literal: invalid escape char \\{other}")),
            None => '\\',
        });
    }
    Ok(plain)
}

/// Splits at `.`, `[` and `]`, which are tokens themselves; quoted text is one token.
fn tokens(path: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '.' | '[' | ']' => 1,
            '\'' => quoted_end(rest),
            _ => rest.find(['.', '[', ']']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(end);
        found.push(token);
        rest = after;
    }
    found
}

fn quoted_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    (1..bytes.len()).find(|&i| bytes[i] == b'\'' && bytes[i - 1] != b'\\').map_or(text.len(), |i| i + 1)
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn paths_are_followed_through_properties() {
        let schema = value!({"properties": {"spec": {"properties": {"a.b": {"type": "string"}}}}});
        let (at, found) = follow(".spec['a.b']", &schema, true).expect("it is there");
        assert_eq!((at.as_str(), found.str("type")), ("spec.a.b", "string"));
        let cases = [
            (".spec['a.b']", "array notation is not allowed"),
            (".status", "does not refer to a valid field"),
            ("spec", "expected [ or . but got: spec"),
            (".", "unexpected end of JSON path"),
        ];
        for (path, wrong) in cases {
            assert_eq!(follow(path, &schema, false).err().as_deref(), Some(wrong), "{path}");
        }
    }
}
