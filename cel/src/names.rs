//! Names of fields as expressions have to write them: `namespace` is `__namespace__`, `a-b` is `a__dash__b`.
//!
//! Upstream: apiserver/pkg/cel/escaping.go.

/// What no field may be called in an expression.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What stands for characters that a name may not have.
const STAND_INS: &[(&str, &str)] = &[("__", "underscores"), (".", "dot"), ("-", "dash"), ("/", "slash")];

/// Whether no field may be called so in an expression.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// A property's name as expressions write it; `None` for one that they cannot write.
pub fn escape_name(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if is_reserved(name) {
        return Some(format!("__{name}__"));
    }
    let (mut escaped, mut rest) = (String::with_capacity(name.len()), name);
    while let Some(c) = rest.chars().next() {
        if let Some((text, stand_in)) = STAND_INS.iter().find(|(text, _)| rest.starts_with(text)) {
            escaped.push_str(&format!("__{stand_in}__"));
            rest = &rest[text.len()..];
        } else if c == '_' || c.is_ascii_alphanumeric() {
            escaped.push(c);
            rest = &rest[1..];
        } else {
            return None;
        }
    }
    Some(escaped)
}

/// The property's name that an expression means; `None` when nothing is written so.
pub fn unescape_name(escaped: &str) -> Option<String> {
    let (mut name, mut rest) = (String::with_capacity(escaped.len()), escaped);
    while let Some(at) = rest.find("__") {
        let inner = &rest[at + 2..];
        let len = inner.find('_').unwrap_or(inner.len());
        if len == 0 || !inner[len..].starts_with("__") {
            // No name between two pairs of underscores: what is here stands for itself.
            name.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
            continue;
        }
        name.push_str(&rest[..at]);
        let word = &inner[..len];
        match STAND_INS.iter().find(|(_, stand_in)| *stand_in == word) {
            Some((text, _)) => name.push_str(text),
            None if RESERVED.contains(&word) && escaped.len() == len + 4 => name.push_str(word),
            None => return None,
        }
        rest = &inner[len + 2..];
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_and_read() {
        let cases = [
            ("plain", "plain"),
            ("namespace", "__namespace__"),
            ("a.b", "a__dot__b"),
            ("a-b/c", "a__dash__b__slash__c"),
            ("a__b", "a__underscores__b"),
            ("__", "__underscores__"),
            ("___", "__underscores___"),
            ("_a_", "_a_"),
            ("in_", "in_"),
        ];
        for (name, escaped) in cases {
            assert_eq!(escape_name(name).as_deref(), Some(escaped), "{name}");
            assert_eq!(unescape_name(escaped).as_deref(), Some(name), "{escaped}");
        }
    }

    #[test]
    fn what_cannot_be_written_or_means_nothing() {
        for name in ["", "1a", "a b", "ü", "a$"] {
            assert_eq!(escape_name(name), None, "{name}");
        }
        for escaped in ["__x__", "a__namespace__", "__if__b"] {
            assert_eq!(unescape_name(escaped), None, "{escaped}");
        }
    }
}
