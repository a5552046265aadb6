//! Go's regular expressions on Rust's engine. Both are automata, so no pattern takes more than linear time.
//!
//! Their syntax is nearly the same. What differs is rewritten: Go's classes `\d`, `\s`, `\w` know ASCII only, a brace that
//! begins no repetition is itself, and within brackets there are no brackets. Upstream: Go's regexp/syntax.

use regex::{Regex, RegexBuilder};

/// What a compiled pattern may take, so that a definition cannot take all memory.
const SIZE_MAX: usize = 4 << 20;

/// A pattern, or why it is none.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    compiled: Result<Regex, String>,
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        Pattern { text: text.into(), compiled: compile(text) }
    }

    /// Whether a text matches; else what upstream's message shows.
    pub fn matches(&self, text: &str) -> Result<(), String> {
        match &self.compiled {
            Ok(regex) if regex.is_match(text) => Ok(()),
            Ok(_) => Err(self.text.clone()),
            Err(why) => Err(format!("{}, but pattern is invalid: {why}", self.text)),
        }
    }
}

/// Compiles a pattern. Errors are Go's where the kind of mistake is plain.
pub fn compile(text: &str) -> Result<Regex, String> {
    let rewritten = rewrite(text)?;
    let built = RegexBuilder::new(&rewritten).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).nest_limit(1000).build();
    built.map_err(|error| explain(text, &error))
}

/// Go's words for the commonest mistakes; the engine's own for the others.
fn explain(text: &str, error: &regex::Error) -> String {
    let said = error.to_string();
    let of = |what: &str, part: &str| format!("error parsing regexp: {what}: `{part}`");
    if said.contains("unclosed group") {
        return of("missing closing )", text);
    }
    if said.contains("unopened group") {
        return of("unexpected )", text);
    }
    if said.contains("unclosed character class") {
        let from = text.find('[').unwrap_or(0);
        return of("missing closing ]", &text[from..]);
    }
    if said.contains("repetition operator missing expression") {
        let part = text.chars().find(|c| "*+?".contains(*c)).map(String::from).unwrap_or_default();
        return of("missing argument to repetition operator", &part);
    }
    if said.contains("look-around") {
        let from = text.find("(?").unwrap_or(0);
        let part: String = text[from..].chars().take(if text[from..].starts_with("(?<") { 4 } else { 3 }).collect();
        return of("invalid or unsupported Perl syntax", &part);
    }
    of("invalid pattern", said.lines().last().unwrap_or_default().trim())
}

fn rewrite(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.chars().peekable();
    let mut within = false;
    // Where a class begins `]` is itself.
    let mut at_start = false;
    while let Some(c) = rest.next() {
        let first = std::mem::take(&mut at_start);
        match c {
            '\\' => escape(&mut rest, within, &mut out)?,
            '[' if !within => {
                (within, at_start) = (true, true);
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' if within && !first => {
                within = false;
                out.push(']');
            }
            '[' | ']' if within => out.extend(['\\', c]),
            '&' | '~' if within => out.extend(['\\', c]),
            // A dash before a class is itself.
            '-' if within && (rest.peek() == Some(&'-') || begins_class(rest.clone())) => out.push_str("\\-"),
            '{' if !within && !repeats(rest.clone()) => out.push_str("\\{"),
            '}' if !within && !out_repeats(&out) => out.push_str("\\}"),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Whether a class such as `\w` comes next.
fn begins_class(mut rest: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    rest.next() == Some('\\') && rest.next().is_some_and(|c| "dDwWsSpP".contains(c))
}

/// Whether what follows a brace is a repetition: `3}`, `3,}`, `3,5}`.
fn repeats(rest: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let inner: String = rest.take_while(|c| *c != '}').collect();
    let (least, most) = inner.split_once(',').unwrap_or((&inner, ""));
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// Whether a closing brace ends a repetition that was begun.
fn out_repeats(out: &str) -> bool {
    let from = out.rfind('{').filter(|at| !out[..*at].ends_with('\\'));
    from.is_some_and(|at| {
        let inner = &out[at + 1..];
        !inner.is_empty() && inner.chars().all(|c| c.is_ascii_digit() || c == ',')
    }) || out.rfind("\\p{").or(out.rfind("\\P{")).or(out.rfind("\\x{")).is_some_and(|at| !out[at..].contains('}'))
}

fn escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, within: bool, out: &mut String) -> Result<(), String> {
    let class = |inner: &str, negated: bool| match (within, negated) {
        (true, false) => inner.to_string(),
        (true, true) => format!("[^{inner}]"),
        (false, false) => format!("[{inner}]"),
        (false, true) => format!("[^{inner}]"),
    };
    const WORD: &str = "0-9A-Za-z_";
    const SPACE: &str = r"\t\n\f\r ";
    let Some(c) = rest.next() else {
        return Err("error parsing regexp: trailing backslash at end of expression: ``".into());
    };
    match c {
        'd' | 'D' => out.push_str(&class("0-9", c == 'D')),
        'w' | 'W' => out.push_str(&class(WORD, c == 'W')),
        's' | 'S' => out.push_str(&class(SPACE, c == 'S')),
        'b' | 'B' if !within => out.push_str(if c == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" }),
        'Q' if !within => {
            let mut literal = String::new();
            while let Some(c) = rest.next() {
                if c == '\\' && rest.next_if_eq(&'E').is_some() {
                    break;
                }
                literal.push(c);
            }
            out.push_str(&regex::escape(&literal));
        }
        'A' | 'z' if !within => out.extend(['\\', c]),
        'a' | 'f' | 't' | 'n' | 'r' | 'v' | 'x' | 'p' | 'P' => out.extend(['\\', c]),
        '0'..='7' => {
            let mut code = c.to_digit(8).unwrap_or(0);
            let more = rest.peek().is_some_and(|c| c.is_digit(8));
            if c != '0' && !more {
                return Err(format!("error parsing regexp: invalid escape sequence: `\\{c}`"));
            }
            for _ in 0..2 {
                let Some(next) = rest.next_if(|c| c.is_digit(8)) else { break };
                code = code * 8 + next.to_digit(8).unwrap_or(0);
            }
            out.push_str(&format!("\\x{{{code:x}}}"));
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => out.push_str(&match c {
            ' ' | '_' | '"' | '\'' | '/' | ',' | ':' | ';' | '=' | '@' | '`' | '!' | '%' | '<' | '>' => c.to_string(),
            c => format!("\\{c}"),
        }),
        c => return Err(format!("error parsing regexp: invalid escape sequence: `\\{c}`")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_gos() {
        let cases: [(&str, &str, bool); 15] = [
            ("^[a-z]+$", "abc", true),
            (r"^\d+$", "١٢", false),
            (r"^\d+$", "12", true),
            (r"^\w+$", "é", false),
            (r"^[\w.-]+$", "a-b.c", true),
            (r"^a{2,3}$", "aaa", true),
            (r"^\${x}$", "${x}", true),
            (r"^{}$", "{}", true),
            (r"^[[]$", "[", true),
            (r"^[]a]$", "]", true),
            (r"^[a&&b]$", "&", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^[a-\d]+$", "a-1", true),
        ];
        for (pattern, text, wanted) in cases {
            let compiled = compile(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(compiled.is_match(text), wanted, "{pattern} on {text}");
        }
    }

    #[test]
    fn mistakes_have_gos_words() {
        let said = |pattern: &str| compile(pattern).expect_err(pattern);
        assert_eq!(said("(a"), "error parsing regexp: missing closing ): `(a`");
        assert_eq!(said("*"), "error parsing regexp: missing argument to repetition operator: `*`");
        assert_eq!(said("[a"), "error parsing regexp: missing closing ]: `[a`");
        assert_eq!(said("(?!a)"), "error parsing regexp: invalid or unsupported Perl syntax: `(?!`");
    }
}
