//! Text to tree. Upstream: cel-go parser/parser.go and its grammar parser/gen/CEL.g4.
//!
//! The parser is one pass by hand and stops at the first thing that is no expression; what upstream says about such text, with
//! all that its parser does to go on after an error, is found by [`recover`] alone, so that what is right pays nothing for it.
//! Nesting is bounded as upstream bounds it, in the same places.

mod lexer;
mod literal;
pub(crate) mod macros;
mod parser;
mod recover;

use crate::ast::Expr;
use crate::issue::{Issues, Source};
use macros::Macros;
use parser::{Parser, Stop};

/// Code points that an expression may have.
const SIZE_MAX: usize = 100_000;

/// An expression, and where in the text each of its nodes stands.
pub(crate) struct Parsed {
    pub expr: Expr,
    /// By a node's id.
    pub offsets: Vec<usize>,
}

pub(crate) fn parse(source: &Source, macros: Macros) -> Result<Parsed, Issues> {
    let mut issues = Issues::default();
    let size = source.chars.len();
    if size > SIZE_MAX {
        let message = format!("expression code point size exceeds limit: size: {size}, limit {SIZE_MAX}");
        issues.report(source, None, message);
        return Err(issues);
    }
    let (tokens, bad) = lexer::tokens(&source.chars);
    let mut parser = Parser::new(source, &tokens, macros);
    let stopped = if bad.is_empty() { parser.whole() } else { Err(Stop::Syntax) };
    match stopped {
        Ok(expr) if parser.issues.is_empty() => return Ok(Parsed { expr, offsets: parser.offsets }),
        Ok(_) => return Err(parser.issues),
        Err(Stop::Syntax) => recover::report(source, &tokens, bad, &mut issues),
        Err(Stop::Depth(message)) => {
            issues = parser.issues;
            issues.report(source, None, message);
        }
    }
    Err(issues)
}
