//! Regular expressions: upstream's syntax (RE2 as Go has it) on the crate `regex`, which shares its promise of linear time.
//!
//! What the two read differently is written anew before it is compiled: Perl's classes are ASCII, a brace that repeats nothing
//! is a brace, and what only the crate knows is refused. Upstream: apiserver/pkg/cel/library/regex.go; cel-go
//! common/types/string.go Match.

use regex::Regex;

use crate::functions::{Cost, Row, member};
use crate::value::{EvalError, Outcome, Value};

use super::{int, text, texts};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    member("find", "string_find_string", "string, string", "string", find).cost(Cost::Find),
    member("findAll", "string_find_all_string", "string, string", "list(string)", find_all).cost(Cost::Find),
    member("findAll", "string_find_all_string_int", "string, string, int", "list(string)", find_all).cost(Cost::Find),
];

/// What such a function does with a pattern that is compiled already.
pub(crate) type Find = fn(&Regex, &[Value]) -> Outcome;

/// The functions whose second argument is a pattern, which is compiled once when it is a literal.
pub(crate) const WITH_PATTERN: &[(&str, Find)] =
    &[("matches", matches_compiled), ("find", find_compiled), ("findAll", find_all_compiled)];

pub(crate) fn matches(arguments: &[Value]) -> Outcome {
    let pattern = compile(text(&arguments[1])?).map_err(EvalError::new)?;
    matches_compiled(&pattern, arguments)
}

fn matches_compiled(pattern: &Regex, arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(pattern.is_match(text(&arguments[0])?)))
}

fn given(arguments: &[Value]) -> Result<Regex, EvalError> {
    compile(text(&arguments[1])?).map_err(|why| EvalError::new(format!("Illegal regex: {why}")))
}

fn find(arguments: &[Value]) -> Outcome {
    find_compiled(&given(arguments)?, arguments)
}

fn find_compiled(pattern: &Regex, arguments: &[Value]) -> Outcome {
    let found = pattern.find(text(&arguments[0])?);
    Ok(Value::string(found.map_or("", |found| found.as_str())))
}

fn find_all(arguments: &[Value]) -> Outcome {
    find_all_compiled(&given(arguments)?, arguments)
}

fn find_all_compiled(pattern: &Regex, arguments: &[Value]) -> Outcome {
    let limit = arguments.get(2).map_or(Ok(-1), int)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(texts(pattern.find_iter(text(&arguments[0])?).take(limit).map(|found| found.as_str())))
}

/// A pattern, or why it is none in upstream's words.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let translated = translate(pattern).map_err(|why| format!("error parsing regexp: {why}"))?;
    regex::RegexBuilder::new(&translated)
        .nest_limit(1000)
        .size_limit(64 << 20)
        .build()
        .map_err(|_| format!("error parsing regexp: invalid character class range: `{pattern}`"))
}

/// The pattern as the crate has to read it.
fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator { pattern, chars: pattern.char_indices().peekable(), out: String::new() };
    translator.whole()?;
    Ok(translator.out)
}

struct Translator<'a> {
    pattern: &'a str,
    chars: std::iter::Peekable<std::str::CharIndices<'a>>,
    out: String,
}

/// Whether a repetition may follow, and where the last one began.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Something,
    Repetition(usize),
}

impl Translator<'_> {
    fn at(&mut self) -> usize {
        self.chars.peek().map_or(self.pattern.len(), |(at, _)| *at)
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn skip_to(&mut self, to: usize) {
        while self.chars.peek().is_some_and(|(at, _)| *at < to) {
            self.chars.next();
        }
    }

    fn whole(&mut self) -> Result<(), String> {
        let mut open = Vec::new();
        let mut before = Before::Nothing;
        while let Some((at, c)) = self.chars.next() {
            before = match c {
                '\\' => self.escape(at)?,
                '[' => self.class(at)?,
                '(' => {
                    let is_group = self.group(at)?;
                    if is_group {
                        open.push(at);
                    }
                    Before::Nothing
                }
                ')' => {
                    if open.pop().is_none() {
                        return Err(format!("unexpected ): `{}`", self.pattern));
                    }
                    self.out.push(')');
                    Before::Something
                }
                '|' => {
                    self.out.push('|');
                    Before::Nothing
                }
                '*' | '+' | '?' => self.repetition(at, 1, before)?,
                '{' => match repetition(&self.pattern[at..]) {
                    Some((len, least, most)) => {
                        if least > 1000 || most.is_some_and(|most| most > 1000 || most < least) {
                            return Err(format!("invalid repeat count: `{}`", &self.pattern[at..at + len]));
                        }
                        self.skip_to(at + len);
                        self.repetition(at, len, before)?
                    }
                    None => {
                        self.out.push_str("\\{");
                        Before::Something
                    }
                },
                '}' => {
                    self.out.push_str("\\}");
                    Before::Something
                }
                c => {
                    self.out.push(c);
                    Before::Something
                }
            };
        }
        if open.is_empty() { Ok(()) } else { Err(format!("missing closing ): `{}`", self.pattern)) }
    }

    /// A repetition that begins at `at`; behind it may stand a `?`, but no other repetition.
    fn repetition(&mut self, at: usize, len: usize, before: Before) -> Result<Before, String> {
        let mut end = at + len;
        if self.peek() == Some('?') {
            self.chars.next();
            end += 1;
        }
        match before {
            Before::Nothing => Err(format!("missing argument to repetition operator: `{}`", &self.pattern[at..end])),
            Before::Repetition(from) => {
                Err(format!("invalid nested repetition operator: `{}`", &self.pattern[from..end]))
            }
            Before::Something => {
                self.out.push_str(&self.pattern[at..end]);
                Ok(Before::Repetition(at))
            }
        }
    }

    /// Behind a parenthesis; false for flags that hold from here on.
    fn group(&mut self, at: usize) -> Result<bool, String> {
        if self.peek() != Some('?') {
            self.out.push('(');
            return Ok(true);
        }
        let rest = &self.pattern[at..];
        let named = ["(?P<", "(?<"].iter().find_map(|start| rest.strip_prefix(start));
        if let Some(after) = named {
            let Some(len) = after.find('>') else { return Err(format!("invalid named capture: `{rest}`")) };
            let name = &after[..len];
            let is_good = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            if !is_good {
                let shown = &rest[..rest.len() - after.len() + len + 1];
                return Err(format!("invalid named capture: `{shown}`"));
            }
            self.out.push_str(&format!("(?P<_{name}>"));
            self.skip_to(at + rest.len() - after.len() + len + 1);
            return Ok(true);
        }
        let flags = rest[2..].find(|c: char| !matches!(c, 'i' | 'm' | 's' | 'U' | '-')).map_or(rest.len(), |n| n + 2);
        let end = rest[flags..].chars().next();
        let text = &rest[2..flags];
        let is_good = text.matches('-').count() <= 1 && !text.ends_with('-');
        match end {
            Some(':') if is_good => {
                self.out.push_str(&rest[..=flags]);
                self.skip_to(at + flags + 1);
                Ok(true)
            }
            Some(')') if is_good && !text.is_empty() => {
                self.out.push_str(&rest[..=flags]);
                self.skip_to(at + flags + 1);
                Ok(false)
            }
            None => Err(format!("missing closing ): `{}`", self.pattern)),
            Some(c) => Err(format!(
                "invalid or unsupported Perl syntax: `{}`",
                &rest[..(flags + c.len_utf8()).min(rest.len())]
            )),
        }
    }

    /// Behind a backslash outside of a class.
    fn escape(&mut self, at: usize) -> Result<Before, String> {
        let Some((_, c)) = self.chars.next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str("[\\t\\n\\x0c\\r ]"),
            'S' => self.out.push_str("[^\\t\\n\\x0c\\r ]"),
            'b' => self.out.push_str("(?-u:\\b)"),
            'B' => self.out.push_str("(?-u:\\B)"),
            'A' | 'z' => self.out.push_str(&format!("\\{c}")),
            'Q' => {
                let rest = &self.pattern[self.at().min(self.pattern.len())..];
                let start = self.at();
                let (literal, after) = match rest.find("\\E") {
                    Some(len) => (&rest[..len], start + len + 2),
                    None => (rest, self.pattern.len()),
                };
                self.out.push_str(&regex::escape(literal));
                self.skip_to(after);
            }
            _ => {
                let character = self.character(at, c)?;
                self.out.push_str(&character);
            }
        }
        Ok(Before::Something)
    }

    /// An escape that stands for one character or for a class of Unicode's, as the crate writes it.
    fn character(&mut self, at: usize, c: char) -> Result<String, String> {
        let escaped = |value: u32| format!("\\x{{{value:x}}}");
        let invalid = |end: usize| Err(format!("invalid escape sequence: `{}`", &self.pattern[at..end]));
        let after = at + 1 + c.len_utf8();
        match c {
            'a' => Ok(escaped(7)),
            'f' => Ok(escaped(12)),
            't' => Ok(escaped(9)),
            'n' => Ok(escaped(10)),
            'r' => Ok(escaped(13)),
            'v' => Ok(escaped(11)),
            'p' | 'P' => {
                let rest = &self.pattern[after..];
                let len = if rest.starts_with('{') {
                    rest.find('}').map(|n| n + 1)
                } else {
                    rest.chars().next().map(char::len_utf8)
                };
                let Some(len) = len else {
                    return Err(format!("invalid character class range: `{}`", &self.pattern[at..]));
                };
                self.skip_to(after + len);
                Ok(format!("\\{c}{}", &rest[..len]))
            }
            'x' => {
                let rest = &self.pattern[after..];
                let (digits, len) = match rest.strip_prefix('{') {
                    Some(inner) => match inner.find('}') {
                        Some(len) => (&inner[..len], len + 2),
                        None => return invalid(self.pattern.len()),
                    },
                    None if rest.len() >= 2 && rest.is_char_boundary(2) => (&rest[..2], 2),
                    None => return invalid(self.pattern.len()),
                };
                match u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) {
                    Some(value) => {
                        self.skip_to(after + len);
                        Ok(escaped(value as u32))
                    }
                    None => invalid(after + len),
                }
            }
            '0'..='7' => {
                let rest = &self.pattern[at + 1..];
                let len = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
                if c != '0' && len < 2 {
                    return invalid(after);
                }
                let value = u32::from_str_radix(&rest[..len], 8).unwrap_or(0);
                self.skip_to(at + 1 + len);
                Ok(escaped(value))
            }
            c if c.is_ascii_punctuation() => Ok(regex::escape(&c.to_string())),
            _ => invalid(after),
        }
    }

    /// Behind an opening bracket.
    fn class(&mut self, at: usize) -> Result<Before, String> {
        let missing = || Err(format!("missing closing ]: `{}`", &self.pattern[at..]));
        self.out.push('[');
        if self.peek() == Some('^') {
            self.chars.next();
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let Some((here, c)) = self.chars.next() else { return missing() };
            match c {
                ']' if !is_first => break,
                '[' if self.pattern[here..].starts_with("[:") && self.pattern[here..].contains(":]") => {
                    let len = self.pattern[here..].find(":]").map_or(2, |n| n + 2);
                    self.out.push_str(&self.pattern[here..here + len]);
                    self.skip_to(here + len);
                }
                '\\' => self.escape_in_class(here)?,
                '[' | ']' | '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                '-' if is_first || self.peek() == Some(']') => self.out.push_str("\\-"),
                c => self.out.push(c),
            }
            is_first = false;
        }
        self.out.push(']');
        Ok(Before::Something)
    }

    fn escape_in_class(&mut self, at: usize) -> Result<(), String> {
        let Some((_, c)) = self.chars.next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        let text = match c {
            'd' => "0-9".to_owned(),
            'D' => "[^0-9]".to_owned(),
            'w' => "0-9A-Za-z_".to_owned(),
            'W' => "[^0-9A-Za-z_]".to_owned(),
            's' => "\\t\\n\\x0c\\r ".to_owned(),
            'S' => "[^\\t\\n\\x0c\\r ]".to_owned(),
            _ => self.character(at, c)?,
        };
        self.out.push_str(&text);
        Ok(())
    }
}

/// `{2}`, `{2,}` or `{2,5}` at the beginning: its length and its bounds.
fn repetition(text: &str) -> Option<(usize, u64, Option<u64>)> {
    let len = text.find('}')? + 1;
    let inner = &text[1..len - 1];
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        (is_number && (digits == "0" || !digits.starts_with('0'))).then(|| digits.parse().unwrap_or(u64::MAX))
    };
    match inner.split_once(',') {
        None => number(inner).map(|count| (len, count, Some(count))),
        Some((least, "")) => number(least).map(|least| (len, least, None)),
        Some((least, most)) => Some((len, number(least)?, Some(number(most)?))),
    }
}
