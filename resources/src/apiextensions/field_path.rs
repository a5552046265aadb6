//! Paths into a schema: `.spec.replicas`, `.data['a.b']`. Upstream: pkg/apiserver/schema/cel/validation.go ValidFieldPath.

use api::{Value, field::Path};

/// Follows a path through `schema`; the error is what upstream says about it.
pub fn follow<'a>(path: &str, schema: &'a Value, brackets: bool) -> Result<(Path, &'a Value), String> {
    let mut tokens = tokens(path).into_iter();
    let (mut at, mut schema) = (Path::root(), schema);
    let end = || "unexpected end of JSON path".to_string();
    while let Some(token) = tokens.next() {
        let name = match token {
            "[" if !brackets => return Err("array notation is not allowed".into()),
            "[" => {
                let token = tokens.next().ok_or_else(end)?;
                let inner = token.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
                inner.ok_or_else(|| format!("expected single quoted string but got {token}"))?.replace("\\'", "'")
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

fn step<'a>(at: &Path, schema: &'a Value, name: &str) -> Result<(Path, &'a Value), String> {
    let nothing = || "does not refer to a valid field".to_string();
    if schema.at("properties").members().next().is_some() {
        let found = schema.at("properties").get(name).ok_or_else(nothing)?;
        return Ok((at.child(name), found));
    }
    match schema.at("additionalProperties") {
        Value::Null => Err(nothing()),
        found => Ok((at.key(name), found)),
    }
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
