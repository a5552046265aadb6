//! Text to tokens: the longest that fits, as upstream's lexer has it; what fits nothing is reported and skipped.

/// What a token is. The order is upstream's, by which it lists what it would have expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    End,
    Equals,
    NotEquals,
    In,
    Less,
    LessEquals,
    GreaterEquals,
    Greater,
    And,
    Or,
    OpenBracket,
    CloseBracket,
    OpenBrace,
    CloseBrace,
    OpenParen,
    CloseParen,
    Dot,
    Comma,
    Minus,
    Not,
    Question,
    Colon,
    Plus,
    Star,
    Slash,
    Percent,
    True,
    False,
    Null,
    Float,
    Int,
    Uint,
    String,
    Bytes,
    Ident,
    EscapedIdent,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Text that begins no token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bad {
    pub start: usize,
    pub end: usize,
}

const WORDS: &[(&str, Kind)] = &[("in", Kind::In), ("true", Kind::True), ("false", Kind::False), ("null", Kind::Null)];

/// Longer ones first.
const SIGNS: &[(&str, Kind)] = &[
    ("==", Kind::Equals),
    ("!=", Kind::NotEquals),
    ("<=", Kind::LessEquals),
    (">=", Kind::GreaterEquals),
    ("&&", Kind::And),
    ("||", Kind::Or),
    ("<", Kind::Less),
    (">", Kind::Greater),
    ("[", Kind::OpenBracket),
    ("]", Kind::CloseBracket),
    ("{", Kind::OpenBrace),
    ("}", Kind::CloseBrace),
    ("(", Kind::OpenParen),
    (")", Kind::CloseParen),
    (".", Kind::Dot),
    (",", Kind::Comma),
    ("-", Kind::Minus),
    ("!", Kind::Not),
    ("?", Kind::Question),
    (":", Kind::Colon),
    ("+", Kind::Plus),
    ("*", Kind::Star),
    ("/", Kind::Slash),
    ("%", Kind::Percent),
];

/// All tokens, the last of which is [`Kind::End`]; and what was none.
pub(super) fn tokens(chars: &[char]) -> (Vec<Token>, Vec<Bad>) {
    let mut lexer = Lexer { chars };
    let (mut found, mut bad, mut at) = (Vec::new(), Vec::new(), 0);
    while at < chars.len() {
        if let Some(after) = lexer.hidden(at) {
            at = after;
            continue;
        }
        match lexer.token(at) {
            Ok((kind, end)) => {
                found.push(Token { kind, start: at, end });
                at = end;
            }
            Err(died) => {
                let end = (died + 1).min(chars.len());
                bad.push(Bad { start: at, end });
                at = end;
            }
        }
    }
    found.push(Token { kind: Kind::End, start: chars.len(), end: chars.len() });
    (found, bad)
}

struct Lexer<'a> {
    chars: &'a [char],
}

impl Lexer<'_> {
    fn at(&self, index: usize) -> Option<char> {
        self.chars.get(index).copied()
    }

    fn starts_with(&self, at: usize, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, c)| self.at(at + offset) == Some(c))
    }

    fn span(&self, from: usize, is_in: impl Fn(char) -> bool) -> usize {
        from + self.chars[from.min(self.chars.len())..].iter().take_while(|c| is_in(**c)).count()
    }

    /// Behind white space or a comment, if there is any here.
    fn hidden(&self, at: usize) -> Option<usize> {
        if self.starts_with(at, "//") {
            return Some(self.span(at, |c| c != '\n'));
        }
        let end = self.span(at, |c| matches!(c, '\t' | ' ' | '\r' | '\n' | '\u{c}'));
        (end > at).then_some(end)
    }

    /// The token here and its end, or the index of the character at which hope was lost.
    fn token(&mut self, at: usize) -> Result<(Kind, usize), usize> {
        let first = self.chars[at];
        if first.is_ascii_digit() || (first == '.' && self.at(at + 1).is_some_and(|c| c.is_ascii_digit())) {
            return Ok(self.number(at));
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(self.word(at));
        }
        if first == '\'' || first == '"' {
            return self.string(at, false).map(|end| (Kind::String, end));
        }
        if first == '`' {
            return self.escaped(at);
        }
        match SIGNS.iter().find(|(sign, _)| self.starts_with(at, sign)) {
            Some((sign, kind)) => Ok((*kind, at + sign.len())),
            None if matches!(first, '=' | '&' | '|') => Err(at + 1),
            None => Err(at),
        }
    }

    fn number(&self, at: usize) -> (Kind, usize) {
        let is_digit = |c: char| c.is_ascii_digit();
        let (mut kind, mut end) = (Kind::Int, self.span(at, is_digit));
        if self.starts_with(at, "0x") && self.at(at + 2).is_some_and(|c| c.is_ascii_hexdigit()) {
            end = self.span(at + 2, |c| c.is_ascii_hexdigit());
        } else {
            if self.at(end) == Some('.') && self.at(end + 1).is_some_and(is_digit) {
                (kind, end) = (Kind::Float, self.span(end + 1, is_digit));
            }
            if matches!(self.at(end), Some('e' | 'E')) {
                let signed = end + 1 + usize::from(matches!(self.at(end + 1), Some('+' | '-')));
                if self.at(signed).is_some_and(is_digit) {
                    (kind, end) = (Kind::Float, self.span(signed, is_digit));
                }
            }
        }
        if kind == Kind::Int && matches!(self.at(end), Some('u' | 'U')) {
            return (Kind::Uint, end + 1);
        }
        (kind, end)
    }

    /// A word, or a string with letters before it.
    fn word(&self, at: usize) -> (Kind, usize) {
        let is_quote = |index: usize| matches!(self.at(index), Some('\'' | '"'));
        let (is_bytes, is_raw) = (matches!(self.chars[at], 'b' | 'B'), matches!(self.chars[at], 'r' | 'R'));
        if (is_bytes || is_raw) && is_quote(at + 1) {
            if let Ok(end) = self.string(at + 1, is_raw) {
                return (if is_bytes { Kind::Bytes } else { Kind::String }, end);
            }
        } else if is_bytes
            && matches!(self.at(at + 1), Some('r' | 'R'))
            && is_quote(at + 2)
            && let Ok(end) = self.string(at + 2, true)
        {
            return (Kind::Bytes, end);
        }
        let end = self.span(at, |c| c.is_ascii_alphanumeric() || c == '_');
        let known = WORDS.iter().find(|(word, _)| word.len() == end - at && self.starts_with(at, word));
        (known.map_or(Kind::Ident, |(_, kind)| *kind), end)
    }

    fn escaped(&self, at: usize) -> Result<(Kind, usize), usize> {
        let end = self.span(at + 1, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' '));
        if end > at + 1 && self.at(end) == Some('`') { Ok((Kind::EscapedIdent, end + 1)) } else { Err(end) }
    }

    /// Behind the string whose quote stands here, or where it broke off.
    fn string(&self, at: usize, is_raw: bool) -> Result<usize, usize> {
        let quote = self.chars[at];
        if self.at(at + 1) == Some(quote) {
            let empty = at + 2;
            if self.at(at + 2) == Some(quote) {
                return Ok(self.long(at + 3, quote, is_raw).unwrap_or(empty));
            }
            return Ok(empty);
        }
        let mut here = at + 1;
        loop {
            match self.at(here) {
                Some(c) if c == quote => return Ok(here + 1),
                None | Some('\n' | '\r') => return Err(here),
                Some('\\') if !is_raw => here = self.escape(here + 1)?,
                Some(_) => here += 1,
            }
        }
    }

    /// Behind three quotes.
    fn long(&self, from: usize, quote: char, is_raw: bool) -> Option<usize> {
        let mut here = from;
        loop {
            match self.at(here)? {
                c if c == quote && self.at(here + 1) == Some(quote) && self.at(here + 2) == Some(quote) => {
                    return Some(here + 3);
                }
                '\\' if !is_raw => here = self.escape(here + 1).ok()?,
                _ => here += 1,
            }
        }
    }

    /// Behind what follows a backslash, or the character that cannot follow.
    fn escape(&self, at: usize) -> Result<usize, usize> {
        let digits = |from: usize, count: usize, is_digit: fn(char) -> bool| {
            let good = (from..from + count).find(|index| !self.at(*index).is_some_and(is_digit));
            good.map_or(Ok(from + count), Err)
        };
        let is_octal = |c: char| ('0'..='7').contains(&c);
        let is_hex = |c: char| c.is_ascii_hexdigit();
        match self.at(at) {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => Ok(at + 1),
            Some('0'..='3') => digits(at + 1, 2, is_octal),
            Some('x' | 'X') => digits(at + 1, 2, is_hex),
            Some('u') => digits(at + 1, 4, is_hex),
            Some('U') => digits(at + 1, 8, is_hex),
            _ => Err(at),
        }
    }
}
