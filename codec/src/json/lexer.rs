//! Tokens of JSON, with the errors that Go's scanner gives.

use std::borrow::Cow;

use api::EcoString;

use crate::Error;

/// What the scanner calls too deep. Upstream: `maxNestingDepth`.
const SKIP_DEPTH_MAX: usize = 10_000;
/// Room for what comes behind the first escape of a string.
const ESCAPED_LEN: usize = 32;

/// A position in a text.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    bytes: &'a [u8],
    /// The same, where all of it is known to be UTF-8: strings are then parts of it, and need not be looked at again.
    text: Option<&'a str>,
    pos: usize,
}

type Result<T> = std::result::Result<T, Error>;

impl<'a> Lexer<'a> {
    pub fn new(bytes: &'a [u8]) -> Lexer<'a> {
        Lexer { bytes, text: None, pos: 0 }
    }

    /// The same, for whoever reads the whole text: that it is UTF-8 is looked at once, and not for each string.
    pub fn whole(bytes: &'a [u8]) -> Lexer<'a> {
        Lexer { bytes, text: std::str::from_utf8(bytes).ok(), pos: 0 }
    }

    pub fn position(&self) -> usize {
        self.pos
    }

    /// The text between two positions.
    pub fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        &self.bytes[from..to]
    }

    /// The next byte that is no white space, not taken.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.get(self.pos) {
            self.pos += 1;
        }
        self.bytes.get(self.pos).copied()
    }

    /// The first byte of a value, not taken.
    pub fn peek_value(&mut self) -> Result<u8> {
        match self.peek() {
            Some(c @ (b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')) => Ok(c),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// Takes one byte that `peek` has seen.
    pub fn bump(&mut self) {
        self.pos += 1;
    }

    /// After `{`: the next key, or none at `}`.
    pub fn key(&mut self, first: bool) -> Result<Option<EcoString>> {
        Ok(self.name(first)?.map(EcoString::from))
    }

    /// As [`Lexer::key`], borrowed where it can be: for keys that are looked up and not kept.
    pub fn name(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        match (self.peek(), first) {
            (Some(b'}'), _) => {
                self.bump();
                return Ok(None);
            }
            (Some(b','), false) => {
                self.bump();
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("looking for beginning of object key string"));
                }
            }
            (Some(b'"'), true) => {}
            (_, true) => return Err(self.unexpected("looking for beginning of object key string")),
            (_, false) => return Err(self.unexpected("after object key:value pair")),
        }
        let key = self.text()?;
        if self.peek() != Some(b':') {
            return Err(self.unexpected("after object key"));
        }
        self.bump();
        Ok(Some(key))
    }

    /// After `[`: whether another element follows.
    pub fn element(&mut self, first: bool) -> Result<bool> {
        match (self.peek(), first) {
            (Some(b']'), _) => {
                self.bump();
                Ok(false)
            }
            (Some(b','), false) => {
                self.bump();
                Ok(true)
            }
            (_, true) => Ok(true),
            (_, false) => Err(self.unexpected("after array element")),
        }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("after top-level value")),
        }
    }

    /// Takes `true`, `false` or `null`.
    pub fn literal(&mut self, word: &'static str) -> Result<()> {
        for expected in word.bytes() {
            if self.bytes.get(self.pos) != Some(&expected) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{}')", expected as char)));
            }
            self.pos += 1;
        }
        Ok(())
    }

    /// Takes a string at its opening quote.
    pub fn string(&mut self) -> Result<EcoString> {
        self.text().map(EcoString::from)
    }

    /// As [`Lexer::string`], borrowed unless there are escapes in it.
    pub fn text(&mut self) -> Result<Cow<'a, str>> {
        self.pos += 1;
        let start = self.pos;
        self.pos += plain_len(&self.bytes[start..]);
        match self.bytes.get(self.pos) {
            Some(b'"') => {
                let end = self.pos;
                self.pos += 1;
                match self.text {
                    Some(text) => Ok(Cow::Borrowed(&text[start..end])),
                    None => Ok(String::from_utf8_lossy(&self.bytes[start..end])),
                }
            }
            Some(b'\\') => self.escaped(start).map(Cow::Owned),
            Some(_) => Err(self.unexpected("in string literal")),
            None => Err(end_of_input()),
        }
    }

    /// The rest of a string with escapes; `start` is its first byte.
    fn escaped(&mut self, start: usize) -> Result<String> {
        let mut out = Vec::with_capacity(2 * (self.pos - start) + ESCAPED_LEN);
        out.extend_from_slice(&self.bytes[start..self.pos]);
        loop {
            match self.bytes.get(self.pos) {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(match String::from_utf8(out) {
                        Ok(text) => text,
                        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
                    });
                }
                Some(b'\\') => {
                    self.pos += 1;
                    let c = self.escape()?;
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(0..=31) => return Err(self.unexpected("in string literal")),
                Some(_) => {
                    let len = plain_len(&self.bytes[self.pos..]);
                    out.extend_from_slice(&self.bytes[self.pos..self.pos + len]);
                    self.pos += len;
                }
                None => return Err(end_of_input()),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let Some(c) = self.bytes.get(self.pos) else { return Err(end_of_input()) };
        let plain = match c {
            b'"' | b'\\' | b'/' => *c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.pos += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.pos += 1;
        Ok(plain)
    }

    /// `\uXXXX`, with its second half when it is a surrogate; a lone one becomes U+FFFD as in Go.
    fn unicode(&mut self) -> Result<char> {
        let high = self.hex4()?;
        if (0xd800..0xdc00).contains(&high) && self.bytes[self.pos..].starts_with(b"\\u") {
            let back = self.pos;
            self.pos += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.pos = back;
        }
        Ok(char::from_u32(high).unwrap_or('\u{fffd}'))
    }

    fn hex4(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.bytes.get(self.pos).and_then(|b| (*b as char).to_digit(16));
            let Some(digit) = digit else { return Err(self.unexpected("in \\u hexadecimal character escape")) };
            code = code * 16 + digit;
            self.pos += 1;
        }
        Ok(code)
    }

    /// Takes a number and gives its text.
    pub fn number(&mut self) -> Result<&'a str> {
        let start = self.pos;
        if self.bytes[self.pos] == b'-' {
            self.pos += 1;
        }
        match self.bytes.get(self.pos) {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.bytes.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.pos) {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.pos) {
                self.pos += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(std::str::from_utf8(&self.bytes[start..self.pos]).expect("digits are ASCII"))
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.bytes.get(self.pos) {
            self.pos += 1;
        }
    }

    fn some_digits(&mut self, place: &str) -> Result<()> {
        if !matches!(self.bytes.get(self.pos), Some(b'0'..=b'9')) {
            return Err(self.unexpected(place));
        }
        self.digits();
        Ok(())
    }

    /// Takes any value without building it. No recursion: depth costs one byte a level.
    pub fn skip(&mut self) -> Result<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek_value()? {
                c @ (b'{' | b'[') => {
                    self.bump();
                    open.push(c);
                    if open.len() > SKIP_DEPTH_MAX {
                        return Err(too_deep(c));
                    }
                    if self.go_on(&mut open, true)? {
                        continue;
                    }
                }
                b'"' => drop(self.text()?),
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => drop(self.number()?),
            }
            if !self.go_on(&mut open, false)? {
                return Ok(());
            }
        }
    }

    /// After a value (or an opening bracket): closes what closes; whether another value follows.
    fn go_on(&mut self, open: &mut Vec<u8>, mut first: bool) -> Result<bool> {
        while let Some(bracket) = open.last() {
            let more = if *bracket == b'{' { self.name(first)?.is_some() } else { self.element(first)? };
            if more {
                return Ok(true);
            }
            open.pop();
            first = false;
        }
        Ok(false)
    }

    /// The error for the byte that stands here.
    pub fn unexpected(&self, place: &str) -> Error {
        match self.bytes.get(self.pos) {
            None => end_of_input(),
            Some(c) => Error(format!("invalid character {} {place}", quote_char(*c))),
        }
    }
}

/// How many bytes come before the first that a string cannot hold as it is: a quote, a backslash, a control. Eight at a
/// time, since strings are most of a text.
fn plain_len(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is 0; what stands above the first may be wrong.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut len = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("it has eight bytes"));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = control | zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return len + found.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + bytes[len..].iter().take_while(|b| !matches!(b, b'"' | b'\\' | 0..=31)).count()
}

/// The error for a bracket that opens one level too many.
pub fn too_deep(bracket: u8) -> Error {
    Error(format!("invalid character {} exceeded max depth", quote_char(bracket)))
}

fn end_of_input() -> Error {
    Error("unexpected end of JSON input".into())
}

/// Upstream: `quoteChar` of encoding/json.
fn quote_char(c: u8) -> String {
    match c {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        _ => {
            let quoted = api::field::quote(&(c as char).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}
