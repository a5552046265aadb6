//! The string form of label selectors: a scanner of bytes and a parser of tokens, both as upstream's, errors included.

use ecow::EcoString;

use super::{Operator, Requirement, Selector};
use crate::{
    Value,
    field::{Errors, Path},
    names,
};

const BINARY_OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    End,
    Close,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

/// Tokens with one token of look-ahead.
struct Parser<'a> {
    scanner: Scanner<'a>,
    next: (Token, EcoString),
    path: &'a Path,
}

pub(super) fn parse(text: &str, path: &Path) -> Result<Selector, String> {
    let mut scanner = Scanner { text: text.as_bytes(), at: 0 };
    let next = scanner.token();
    let mut parser = Parser { scanner, next, path };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::Identifier | Token::Not => {
                let requirement = parser.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                requirements.push(requirement);
                match parser.take() {
                    (Token::End, _) => break,
                    (Token::Comma, _) if matches!(parser.peek(), Token::Identifier | Token::Not) => {}
                    (Token::Comma, _) => {
                        return Err(format!("found '{}', expected: identifier after ','", parser.next.1));
                    }
                    (_, literal) => return Err(format!("found '{literal}', expected: ',' or 'end of string'")),
                }
            }
            Token::End => break,
            _ => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", parser.next.1)),
        }
    }
    Ok(Selector::all_of(requirements))
}

// === impl Scanner ===

impl Scanner<'_> {
    /// The next token with its text. A NUL byte ends the text as the end does.
    fn token(&mut self) -> (Token, EcoString) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
        match self.peek() {
            None => (Token::End, EcoString::new()),
            Some(b) if is_special(b) => self.symbol(),
            Some(_) => self.word(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied().filter(|b| *b != 0)
    }

    fn symbol(&mut self) -> (Token, EcoString) {
        let rest = &self.text[self.at..];
        let (token, literal) = match rest {
            [b'=', b'=', ..] => (Token::DoubleEquals, "=="),
            [b'!', b'=', ..] => (Token::NotEquals, "!="),
            [b'=', ..] => (Token::Equals, "="),
            [b'!', ..] => (Token::Not, "!"),
            [b'>', ..] => (Token::Greater, ">"),
            [b'<', ..] => (Token::Less, "<"),
            [b',', ..] => (Token::Comma, ","),
            [b'(', ..] => (Token::Open, "("),
            _ => (Token::Close, ")"),
        };
        self.at += literal.len();
        (token, literal.into())
    }

    fn word(&mut self) -> (Token, EcoString) {
        let start = self.at;
        while self.peek().is_some_and(|b| !is_special(b) && !is_space(b)) {
            self.at += 1;
        }
        let word = String::from_utf8_lossy(&self.text[start..self.at]);
        let token = match word.as_ref() {
            "in" => Token::In,
            "notin" => Token::NotIn,
            _ => Token::Identifier,
        };
        (token, word.as_ref().into())
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_special(b: u8) -> bool {
    matches!(b, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

// === impl Parser ===

impl Parser<'_> {
    /// The coming token where a value may stand: there `in` and `notin` are words.
    fn peek(&self) -> Token {
        as_value(self.next.0)
    }

    fn take(&mut self) -> (Token, EcoString) {
        let (token, literal) = self.take_operator();
        (as_value(token), literal)
    }

    fn take_operator(&mut self) -> (Token, EcoString) {
        let next = self.scanner.token();
        std::mem::replace(&mut self.next, next)
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.take();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.take();
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        self.check_key(&key)?;
        if negated {
            return self.checked(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return self.checked(&key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        self.checked(&key, operator, values)
    }

    fn check_key(&self, key: &str) -> Result<(), String> {
        let wrong = names::qualified_name(key);
        if wrong.is_empty() {
            return Ok(());
        }
        let mut errors = Errors::new();
        errors.invalid(self.path, key, wrong.join("; "));
        Err(errors.message())
    }

    fn checked(&self, key: &str, operator: Operator, mut values: Vec<EcoString>) -> Result<Requirement, String> {
        values.sort_unstable();
        values.dedup();
        let shown = Value::from(values.clone());
        Requirement::checked(key, operator, values, self.path, shown)
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let (token, literal) = self.take_operator();
        Ok(match token {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            _ => return Err(format!("found '{literal}', expected: {BINARY_OPERATORS}")),
        })
    }

    /// `(a,b)`, with empty values where commas say so.
    fn values(&mut self) -> Result<Vec<EcoString>, String> {
        let (token, literal) = self.take();
        if token != Token::Open {
            return Err(format!("found '{literal}' expected: '('"));
        }
        match self.peek() {
            Token::Identifier | Token::Comma => {
                let values = self.identifiers()?;
                // The list ends before the closing parenthesis.
                self.take();
                Ok(values)
            }
            Token::Close => {
                self.take();
                Ok(vec![EcoString::new()])
            }
            _ => Err(format!("found '{}', expected: ',', ')' or identifier", self.next.1)),
        }
    }

    fn identifiers(&mut self) -> Result<Vec<EcoString>, String> {
        let mut values = Vec::new();
        loop {
            match self.take() {
                (Token::Identifier, word) => {
                    values.push(word);
                    match self.peek() {
                        Token::Comma => {}
                        Token::Close => return Ok(values),
                        _ => return Err(format!("found '{}', expected: ',' or ')'", self.next.1)),
                    }
                }
                (Token::Comma, _) => {
                    let next = self.peek();
                    if values.is_empty() || matches!(next, Token::Close | Token::Comma) {
                        values.push(EcoString::new());
                    }
                    if next == Token::Close {
                        return Ok(values);
                    }
                }
                (_, literal) => return Err(format!("found '{literal}', expected: ',', or identifier")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<EcoString, String> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(EcoString::new());
        }
        match self.take() {
            (Token::Identifier, word) => Ok(word),
            (_, literal) => Err(format!("found '{literal}', expected: identifier")),
        }
    }
}

fn as_value(token: Token) -> Token {
    match token {
        Token::In | Token::NotIn => Token::Identifier,
        other => other,
    }
}
