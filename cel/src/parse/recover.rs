//! What upstream says about text that is no expression: its parser as a generator of parsers wrote it, with the ways in which
//! that goes on after an error. It makes no tree; it only speaks.
//!
//! Upstream: cel-go parser/parser.go, parser/gen/CEL.g4; antlr4-go error_strategy.go for what is said and where it goes on. The
//! numbers of states are those of the generated parser: it gives way when it fails twice at the same token in the same state.

mod grammar;
mod tokens;

use std::collections::BTreeSet;

use crate::issue::{Issues, Source};

use super::lexer::{Bad, Kind, Token};
use tokens::Set;

/// How often it may go on after an error, over how many tokens, and how many errors are told.
const ATTEMPTS_MAX: usize = 30;
const SKIPPED_MAX: usize = 256;
const ERRORS_MAX: usize = 100;
const DEPTH_MAX: usize = 250;

/// Reports what is wrong with the tokens.
pub(super) fn report(source: &Source, tokens: &[Token], bad: Vec<Bad>, issues: &mut Issues) {
    for bad in bad.iter().take(ERRORS_MAX) {
        let text = shown(&source.text(bad.start, bad.end));
        issues.report(source, Some(bad.start), format!("Syntax error: token recognition error at: {text}"));
    }
    let mut parser = Recovering {
        source,
        tokens,
        at: 0,
        issues,
        bad: &bad,
        told: bad.len().min(ERRORS_MAX),
        nameless: Vec::new(),
        follows: Vec::new(),
        state: 0,
        is_recovering: false,
        last_error: None,
        attempts: 0,
        exprs: 0,
        relations: 0,
        calcs: 0,
    };
    if bad.len() > ERRORS_MAX {
        let at = bad[ERRORS_MAX].start;
        parser.issues.report(source, Some(at), format!("Syntax error: More than {ERRORS_MAX} syntax errors"));
        return;
    }
    // What ends it early has said so itself; otherwise its tree is looked at.
    if parser.start().is_ok() {
        for at in std::mem::take(&mut parser.nameless) {
            let offset = tokens[at.min(tokens.len() - 1)].start;
            parser.issues.report(source, Some(offset), "unsupported ident kind".to_owned());
        }
    }
}

/// As messages quote text.
fn shown(text: &str) -> String {
    format!("'{}'", text.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r"))
}

struct Recovering<'a> {
    source: &'a Source,
    tokens: &'a [Token],
    at: usize,
    /// What the lexer left out.
    bad: &'a [Bad],
    issues: &'a mut Issues,
    /// Where the name of a field would have begun, and none came.
    nameless: Vec<usize>,
    /// How many errors have been told.
    told: usize,
    /// What may follow each of the rules that are under way, the innermost last.
    follows: Vec<Set>,
    state: u16,
    /// Since an error nothing has matched: nothing more is told.
    is_recovering: bool,
    /// The token at which it failed last, and the states in which it did.
    last_error: Option<(usize, BTreeSet<u16>)>,
    attempts: usize,
    exprs: usize,
    relations: usize,
    calcs: usize,
}

/// Why a rule ends before its end.
enum Fail {
    /// A token that may not stand here; what may.
    Mismatch(Set),
    /// From the token at this index on nothing fits, as the one at the other index shows.
    NoViable(usize, usize),
    /// It goes on no further; what is to be said has been said.
    End,
}

type Run = Result<(), Fail>;

impl Recovering<'_> {
    // --- tokens

    fn kind(&self) -> Kind {
        self.ahead(0)
    }

    fn ahead(&self, count: usize) -> Kind {
        self.tokens.get(self.at + count).map_or(Kind::End, |token| token.kind)
    }

    fn consume(&mut self) {
        if self.kind() != Kind::End {
            self.at += 1;
        }
    }

    fn token_shown(&self, at: usize) -> String {
        match self.tokens[at.min(self.tokens.len() - 1)] {
            Token { kind: Kind::End, .. } => "'<EOF>'".to_owned(),
            token => shown(&self.source.text(token.start, token.end)),
        }
    }

    // --- sets

    /// All that may come after what a state has before it, through the rules that are under way.
    fn expected(&self, next: Set) -> Set {
        let mut expected = next;
        for follow in self.follows.iter().rev() {
            if !expected.may_end() {
                return expected;
            }
            expected = expected.without_end().or(*follow);
        }
        if expected.may_end() { expected.without_end().or(Set::of(&[Kind::End])) } else { expected }
    }

    fn recovery_set(&self) -> Set {
        self.follows.iter().fold(Set::NONE, |set, follow| set.or(follow.without_end()))
    }

    // --- what is told

    fn tell(&mut self, at: usize, message: String) -> Run {
        let offset = self.tokens[at.min(self.tokens.len() - 1)].start;
        if self.told >= ERRORS_MAX {
            let message = format!("Syntax error: More than {ERRORS_MAX} syntax errors");
            self.issues.report(self.source, Some(offset), message);
            return Err(Fail::End);
        }
        self.told += 1;
        self.issues.report(self.source, Some(offset), format!("Syntax error: {message}"));
        Ok(())
    }

    fn unwanted(&mut self, next: Set) -> Run {
        if self.is_recovering {
            return Ok(());
        }
        self.is_recovering = true;
        let message = format!("extraneous input {} expecting {}", self.token_shown(self.at), self.expected(next));
        self.tell(self.at, message)
    }

    fn matched(&mut self) {
        self.is_recovering = false;
        self.last_error = None;
    }

    fn attempt(&mut self) -> Run {
        if self.attempts == ATTEMPTS_MAX {
            self.attempts += 1;
            let message = format!("Syntax error: error recovery attempt limit exceeded: {ATTEMPTS_MAX}");
            self.issues.report(self.source, None, message);
            return Err(Fail::End);
        }
        self.attempts += 1;
        Ok(())
    }

    // --- going on

    /// One token, or what stands for it when it is missing or another stands before it.
    fn matching(&mut self, state: u16, kind: Kind, after: Set) -> Run {
        self.state = state;
        if self.kind() == kind {
            self.matched();
            self.consume();
            return Ok(());
        }
        self.attempt()?;
        let next = Set::of(&[kind]);
        if self.delete(next)? {
            self.consume();
            return Ok(());
        }
        if self.expected(after).has(self.kind()) {
            if !self.is_recovering {
                self.is_recovering = true;
                let message = format!("missing {} at {}", self.expected(next), self.token_shown(self.at));
                self.tell(self.at, message)?;
            }
            return Ok(());
        }
        Err(Fail::Mismatch(self.expected(next)))
    }

    /// Passes over one token when what is behind it fits.
    fn delete(&mut self, next: Set) -> Result<bool, Fail> {
        if !self.expected(next).has(self.ahead(1)) {
            return Ok(false);
        }
        self.unwanted(next)?;
        self.consume();
        self.matched();
        Ok(true)
    }

    /// Before a choice or a loop: whether what comes may come at all.
    fn sync(&mut self, state: u16, next: Set) -> Run {
        self.state = state;
        if self.is_recovering || next.may_end() || next.has(self.kind()) || self.delete(next)? {
            return Ok(());
        }
        Err(Fail::Mismatch(self.expected(next)))
    }

    /// Within a loop: what may not come is passed over.
    fn sync_loop(&mut self, state: u16, next: Set) -> Run {
        self.state = state;
        if self.is_recovering || next.may_end() || next.has(self.kind()) {
            return Ok(());
        }
        self.unwanted(next)?;
        let until = self.expected(next).or(self.recovery_set());
        self.skip_until(until, 0)
    }

    fn skip_until(&mut self, until: Set, mut skipped: usize) -> Run {
        while self.kind() != Kind::End && !until.has(self.kind()) {
            if skipped >= SKIPPED_MAX {
                let message = format!("error recovery token lookahead limit exceeded: {SKIPPED_MAX}");
                self.issues.report(self.source, None, message);
                return Err(Fail::End);
            }
            skipped += 1;
            self.consume();
        }
        Ok(())
    }

    /// A rule within another: its errors end it, and what may follow it decides where the other goes on.
    fn rule(&mut self, state: u16, follow: Set, body: impl FnOnce(&mut Self) -> Run) -> Run {
        self.state = state;
        self.follows.push(follow);
        let outcome = match body(self) {
            Err(Fail::End) => Err(Fail::End),
            Err(fail) => self.give_up(fail),
            Ok(()) => Ok(()),
        };
        self.follows.pop();
        self.state = state;
        outcome
    }

    fn give_up(&mut self, fail: Fail) -> Run {
        if !self.is_recovering {
            self.is_recovering = true;
            let (at, message) = match fail {
                Fail::Mismatch(expected) => {
                    (self.at, format!("mismatched input {} expecting {expected}", self.token_shown(self.at)))
                }
                Fail::NoViable(from, at) => (at, self.no_viable(from, at)),
                Fail::End => return Err(Fail::End),
            };
            self.tell(at, message)?;
        }
        self.attempt()?;
        let mut skipped = 0;
        if let Some((at, states)) = &self.last_error
            && *at == self.at
            && states.contains(&self.state)
        {
            self.consume();
            skipped = 1;
        }
        let mut states = self.last_error.take().map(|(_, states)| states).unwrap_or_default();
        states.insert(self.state);
        self.last_error = Some((self.at, states));
        let until = self.recovery_set();
        self.skip_until(until, skipped)
    }

    fn no_viable(&self, from: usize, at: usize) -> String {
        let (first, last) = (self.tokens[from], self.tokens[at.min(self.tokens.len() - 1)]);
        if first.kind == Kind::End {
            return "no viable alternative at input '<EOF>'".to_owned();
        }
        let (mut text, mut from) = (String::new(), first.start);
        for bad in self.bad.iter().filter(|bad| bad.start >= first.start && bad.end <= last.end) {
            text.push_str(&self.source.text(from, bad.start));
            from = bad.end;
        }
        text.push_str(&self.source.text(from, last.end));
        // Upstream keeps an older message where a word stands for a name.
        let word = text.char_indices().nth(1).map_or("", |(at, _)| &text[at..]);
        if matches!(word, "true" | "false" | "null") {
            return format!("mismatched input '{word}' expecting IDENTIFIER");
        }
        format!("no viable alternative at input {}", shown(&text))
    }

    fn too_deep(&mut self) -> Run {
        let message = format!("expression recursion limit exceeded: {DEPTH_MAX}");
        self.issues.report(self.source, None, message);
        Err(Fail::End)
    }
}
