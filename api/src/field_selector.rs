//! Field selectors: `metadata.name=a,spec.nodeName!=b`, values escaped by backslashes.
//!
//! Upstream: apimachinery/pkg/fields/selector.go.

use std::fmt;

use ecow::EcoString;

/// Which values fields must have: all terms hold. A field that a kind does not have reads as `""`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector(pub Vec<Term>);

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    pub field: EcoString,
    /// Whether the field must have the value, or must not.
    pub equals: bool,
    pub value: EcoString,
}

// === impl FieldSelector ===

impl FieldSelector {
    pub fn everything() -> FieldSelector {
        FieldSelector::default()
    }

    pub fn equals(field: &str, value: &str) -> FieldSelector {
        FieldSelector(vec![Term { field: field.into(), equals: true, value: value.into() }])
    }

    /// Reads the string form; the error is upstream's text. Terms are ordered by their text, as upstream's.
    pub fn parse(text: &str) -> Result<FieldSelector, String> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            let (field, equals, value) =
                split_term(part).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            let value = unescape(value)?;
            // Upstream takes a term without field and value for no term.
            if !(field.is_empty() && value.is_empty()) {
                terms.push(Term { field: field.into(), equals, value });
            }
        }
        Ok(FieldSelector(terms))
    }

    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub fn terms(&self) -> &[Term] {
        &self.0
    }

    /// Whether an object with these fields is wanted.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> &'a str) -> bool {
        self.0.iter().all(|t| (field(&t.field) == t.value) == t.equals)
    }

    /// The one value that `field` must have. Upstream: `RequiresExactMatch`.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|t| t.equals && t.field == field).map(|t| t.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let operator = if term.equals { "=" } else { "!=" };
            write!(f, "{comma}{}{operator}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

/// A value as it stands in a field selector.
pub fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn unescape(text: &str) -> Result<EcoString, String> {
    if !text.contains(['\\', ',', '=']) {
        return Ok(text.into());
    }
    let mut out = EcoString::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let shown = other.map(String::from).unwrap_or_default();
                    return Err(format!("invalid field selector: invalid escape sequence: \\{shown}"));
                }
            },
            // Go prints the rune as a number.
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c))),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The terms between commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator, wherever it stands.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let bytes = term.as_bytes();
    (0..bytes.len()).find_map(|i| match &bytes[i..] {
        [b'!', b'=', ..] => Some((&term[..i], false, &term[i + 2..])),
        [b'=', b'=', ..] => Some((&term[..i], true, &term[i + 2..])),
        [b'=', ..] => Some((&term[..i], true, &term[i + 1..])),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_grammar_is_upstreams() {
        let cases = [
            ("", ""),
            ("x=a,y=b", "x=a,y=b"),
            ("y=b,,x==a", "x=a,y=b"),
            ("x!=a", "x!=a"),
            (r"x=a\,b\=c\\", r"x=a\,b\=c\\"),
            ("=", ""),
            ("!=,x=a,==", "x=a"),
        ];
        for (text, printed) in cases {
            assert_eq!(FieldSelector::parse(text).map(|s| s.to_string()), Ok(printed.to_string()), "{text}");
        }
        let cases = [
            ("x", "invalid selector: 'x'; can't understand 'x'"),
            (r"x=\a", r"invalid field selector: invalid escape sequence: \a"),
            (r"x=\", r"invalid field selector: invalid escape sequence: \"),
            ("x=a=b", "invalid field selector: unescaped character in value: 61"),
            ("x===a", "invalid field selector: unescaped character in value: 61"),
        ];
        for (text, error) in cases {
            assert_eq!(FieldSelector::parse(text), Err(error.to_string()), "{text}");
        }
    }

    #[test]
    fn matching() {
        let selector = FieldSelector::parse("a=1,b!=2").expect("it is valid");
        assert!(selector.matches(|f| if f == "a" { "1" } else { "" }));
        assert!(!selector.matches(|f| if f == "a" { "1" } else { "2" }));
        assert_eq!(selector.exact("a"), Some("1"));
        assert_eq!(selector.exact("b"), None);
    }

    proptest! {
        #[test]
        fn values_survive_escaping(value in ".{0,16}") {
            let text = FieldSelector::equals("f", &value).to_string();
            prop_assert_eq!(FieldSelector::parse(&text), Ok(FieldSelector::equals("f", &value)));
        }
    }
}
