//! What upstream says about text that is no expression.

use crate::issue::{Issues, Source};

use super::lexer::{Bad, Kind, Token};

/// Reports what is wrong with the tokens.
pub(super) fn report(source: &Source, tokens: &[Token], bad: Vec<Bad>, issues: &mut Issues) {
    for bad in bad {
        let text = source.text(bad.start, bad.end);
        issues.report(source, Some(bad.start), format!("Syntax error: token recognition error at: '{text}'"));
    }
    if issues.is_empty() {
        let end = tokens.iter().find(|token| token.kind == Kind::End).map_or(0, |token| token.start);
        issues.report(source, Some(end), "Syntax error: unexpected input".to_owned());
    }
}
