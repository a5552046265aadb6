//! A Rust file as the laws see it: what is code, what is a comment or a string, what is a test.
//!
//! A small lexer instead of a parser: tidy has to be quick to build, works on files that do not compile yet, and needs
//! no more than where strings, comments, braces and the word `fn` are.

use std::ops::RangeInclusive;

/// One file. Lines count from 1.
pub struct Source {
    /// From the workspace's directory, with `/`.
    pub path: String,
    pub text: String,
    /// `text` with comments and the contents of strings and characters blanked; lines are where they were.
    pub code: String,
    /// What stands in string literals, with the line on which each begins.
    pub strings: Vec<(usize, String)>,
    tests: Vec<RangeInclusive<usize>>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    /// From the line of `fn` to that of the closing brace.
    pub len_lines: usize,
}

// === impl Source ===

impl Source {
    pub fn new(path: &str, text: String) -> Source {
        let (code, strings) = Lexer::new(&text).lex();
        let tests = if is_test_file(path) { vec![1..=usize::MAX] } else { test_modules(&code) };
        Source { path: path.to_owned(), text, code, strings, tests }
    }

    pub fn is_test(&self, line: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&line))
    }

    /// The crate's directory: the first part of the path.
    pub fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Lines of code, numbered, comments and strings blanked.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Every function that has a body, nested ones and those in `impl` blocks and macros included.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for (start, _) in self.code.match_indices("fn ") {
            if self.code[..start].chars().next_back().is_some_and(is_word) {
                continue;
            }
            let name: String = self.code[start + 3..].trim_start().chars().take_while(|c| is_word(*c)).collect();
            if name.is_empty() {
                continue;
            }
            if let Some(end) = body_end(&self.code, start) {
                let line = line_of(&self.code, start);
                functions.push(Function { name, line, len_lines: line_of(&self.code, end) - line + 1 });
            }
        }
        functions
    }
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words of a line: runs of letters, digits and `_`.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].bytes().filter(|byte| *byte == b'\n').count() + 1
}

/// The offset of the brace that closes the first body after `start`; `None` when a `;` comes first (no body).
fn body_end(code: &str, start: usize) -> Option<usize> {
    let (mut round, mut braces) = (0usize, 0usize);
    for (offset, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' if braces == 0 => round += 1,
            b')' | b']' if braces == 0 => round = round.saturating_sub(1),
            b';' if braces == 0 && round == 0 => return None,
            b'{' => braces += 1,
            b'}' if braces <= 1 => return (braces == 1).then_some(offset),
            b'}' => braces -= 1,
            _ => {}
        }
    }
    None
}

/// The lines of `#[cfg(test)] mod … { … }`.
fn test_modules(code: &str) -> Vec<RangeInclusive<usize>> {
    let starts = code.match_indices("#[cfg(test)]").map(|(start, _)| start);
    starts.filter_map(|start| Some(line_of(code, start)..=line_of(code, body_end(code, start + 12)?))).collect()
}

// === the lexer ===

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    code: Vec<u8>,
    strings: Vec<(usize, String)>,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text: text.as_bytes(), at: 0, code: Vec::with_capacity(text.len()), strings: Vec::new(), line: 1 }
    }

    fn lex(mut self) -> (String, Vec<(usize, String)>) {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            if rest.starts_with(b"//") {
                let len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                self.blank(len);
            } else if rest.starts_with(b"/*") {
                self.blank(block_comment_len(rest));
            } else if let Some((prefix_len, hashes)) = self.raw_string() {
                self.string(prefix_len, raw_body_len(&rest[prefix_len..], hashes), 1 + hashes);
            } else if rest[0] == b'"' {
                self.string(1, escaped_body_len(&rest[1..], b'"'), 1);
            } else if rest[0] == b'\'' && is_character(rest) {
                self.keep(1);
                self.blank(escaped_body_len(&rest[1..], b'\''));
                self.keep(1);
            } else {
                self.keep(1);
            }
        }
        (String::from_utf8_lossy(&self.code).into_owned(), self.strings)
    }

    /// For `r"`, `br##"` and the like: the length up to the quote, it included, and the number of hashes.
    fn raw_string(&self) -> Option<(usize, usize)> {
        if self.at > 0 && is_word(char::from(self.text[self.at - 1])) {
            return None;
        }
        let rest = &self.text[self.at..];
        let letters = if rest.starts_with(b"br") || rest.starts_with(b"cr") { 2 } else { 1 };
        if rest[letters - 1] != b'r' {
            return None;
        }
        let hashes = rest[letters..].iter().take_while(|byte| **byte == b'#').count();
        (rest.get(letters + hashes) == Some(&b'"')).then_some((letters + hashes + 1, hashes))
    }

    fn string(&mut self, prefix_len: usize, body_len: usize, suffix_len: usize) {
        let line = self.line;
        self.keep(prefix_len);
        let body = &self.text[self.at..(self.at + body_len).min(self.text.len())];
        self.strings.push((line, String::from_utf8_lossy(body).into_owned()));
        self.blank(body_len);
        self.keep(suffix_len);
    }

    fn keep(&mut self, len: usize) {
        self.copy(len, |byte| byte);
    }

    fn blank(&mut self, len: usize) {
        self.copy(len, |byte| if byte == b'\n' { byte } else { b' ' });
    }

    fn copy(&mut self, len: usize, each: impl Fn(u8) -> u8) {
        let end = (self.at + len).min(self.text.len());
        for byte in &self.text[self.at..end] {
            self.line += usize::from(*byte == b'\n');
            self.code.push(each(*byte));
        }
        self.at = end;
    }
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match &rest[at..(at + 2).min(rest.len())] {
            b"/*" => depth += 1,
            b"*/" if depth == 1 => return at + 2,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    rest.len()
}

fn raw_body_len(rest: &[u8], hashes: usize) -> usize {
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    rest.windows(end.len()).position(|window| window == end).unwrap_or(rest.len())
}

fn escaped_body_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at.min(rest.len())
}

/// A character literal, not a lifetime: an escape, or one character and a quote.
fn is_character(rest: &[u8]) -> bool {
    if rest.get(1) == Some(&b'\\') {
        return true;
    }
    let text = String::from_utf8_lossy(&rest[1..rest.len().min(8)]);
    text.chars().nth(1) == Some('\'')
}

#[cfg(test)]
mod tests;
