//! What is wrong with an expression, and where: printed as upstream prints it, because clients see those words.
//!
//! Upstream: cel-go common/errors.go, common/error.go, common/source.go.

use std::fmt;

/// A snippet longer than this is not shown.
const SNIPPET_MAX: usize = 16_384;
/// More than these are counted, but not shown.
const ISSUES_MAX: usize = 100;

/// One thing that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub message: String,
    /// From 1; -1 for the expression as a whole.
    pub line: i64,
    /// From 0, in code points.
    pub column: i64,
    snippet: Option<String>,
}

/// All that is wrong with an expression. Prints as upstream's message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issues {
    list: Vec<Issue>,
    total: usize,
}

/// The text of an expression, by code points and lines.
#[derive(Debug)]
pub(crate) struct Source {
    pub chars: Vec<char>,
    /// The offset after each line's end, and the text's.
    lines: Vec<usize>,
}

// === impl Issues ===

impl Issues {
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Issue> {
        self.list.iter()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// About the expression as a whole.
    pub(crate) fn of(message: String) -> Issues {
        let issue = Issue { message, line: -1, column: -1, snippet: None };
        Issues { list: vec![issue], total: 1 }
    }

    /// At an offset in the text; `None` for the expression as a whole.
    pub(crate) fn report(&mut self, source: &Source, offset: Option<usize>, message: String) {
        self.total += 1;
        if self.list.len() >= ISSUES_MAX {
            return;
        }
        let (line, column) = match offset {
            Some(offset) => source.location(offset),
            None => (-1, -1),
        };
        self.list.push(Issue { message, line, column, snippet: source.snippet(line) });
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Issue> = self.list.iter().collect();
        sorted.sort_by_key(|issue| (issue.line, issue.column));
        for (index, issue) in sorted.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{issue}")?;
        }
        if self.total > ISSUES_MAX {
            write!(f, "\n{} more errors were truncated", self.total - ISSUES_MAX)?;
        }
        Ok(())
    }
}

impl std::error::Error for Issues {}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR: <input>:{}:{}: {}", self.line, self.column + 1, self.message)?;
        let Some(snippet) = self.snippet.as_ref().filter(|snippet| snippet.len() <= SNIPPET_MAX) else {
            return Ok(());
        };
        let snippet = snippet.replace('\t', " ");
        let mut chars = snippet.chars();
        let mut below = String::new();
        for c in chars.by_ref().take(usize::try_from(self.column).unwrap_or(0)) {
            below.push(if c.is_ascii() { '.' } else { '\u{ff0e}' });
        }
        below.push(if chars.next().is_some_and(|c| !c.is_ascii()) { '\u{ff3e}' } else { '^' });
        write!(f, "\n | {snippet}\n | {below}")
    }
}

// === impl Source ===

impl Source {
    pub(crate) fn new(text: &str) -> Source {
        let chars: Vec<char> = text.chars().collect();
        let mut lines: Vec<usize> =
            chars.iter().enumerate().filter(|(_, c)| **c == '\n').map(|(index, _)| index + 1).collect();
        lines.push(chars.len() + 1);
        Source { chars, lines }
    }

    /// Line from 1 and column from 0.
    fn location(&self, offset: usize) -> (i64, i64) {
        // Upstream's parser begins before the first character, and never gets there when there is none.
        if self.chars.is_empty() {
            return (1, -1);
        }
        let before = self.lines.partition_point(|start| *start <= offset);
        let start = if before == 0 { 0 } else { self.lines[before - 1] };
        (before as i64 + 1, (offset - start) as i64)
    }

    fn snippet(&self, line: i64) -> Option<String> {
        let line = usize::try_from(line).ok().filter(|line| *line >= 1 && *line <= self.lines.len())?;
        if self.chars.is_empty() {
            return None;
        }
        let start = if line == 1 { 0 } else { self.lines[line - 2] };
        let end = (self.lines[line - 1] - 1).min(self.chars.len());
        Some(self.chars.get(start..end)?.iter().collect())
    }

    pub(crate) fn text(&self, from: usize, to: usize) -> String {
        self.chars[from..to].iter().collect()
    }
}
