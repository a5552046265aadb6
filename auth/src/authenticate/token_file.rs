//! Tokens from a file of comma-separated values: token, user, uid, and groups in one quoted field.
//!
//! Upstream: apiserver pkg/authentication/token/tokenfile (`--token-auth-file`).

use std::collections::HashMap;
use std::fmt;

use api::User;
use aws_lc_rs::digest;

use super::{Identity, Outcome, Token, TokenAuthenticator, agnostic_audiences};

/// Static tokens. They are known by their digests: how long a look-up takes says nothing about how much of a token is right,
/// and none lies in memory.
pub struct TokenFile {
    users: HashMap<[u8; 32], User>,
    api_audiences: Vec<String>,
}

/// What is wrong with a file's text. The form of its lines in Go's words: encoding/csv ParseError.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    #[error("token file '{path}' must have at least 3 columns (token, user name, user uid), found {found}")]
    Columns { path: String, found: usize },
    #[error("{0}{1}")]
    Form(At, &'static str),
}

/// Where a record begins, and where in it something is wrong; lines and columns (bytes) from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    record: usize,
    line: usize,
    column: usize,
}

const BARE: &str = "bare \" in non-quoted-field";
const QUOTE: &str = "extraneous or missing \" in quoted-field";

// === impl TokenFile ===

impl TokenFile {
    /// Reads the text of the file at `path`. Records without a token are left out; of two with the same the last counts.
    pub fn parse(path: &str, text: &str, api_audiences: Vec<String>) -> Result<TokenFile, TokenFileError> {
        let mut users = HashMap::new();
        let mut lines = Lines { rest: text, line: 0 };
        while let Some(record) = lines.record()? {
            if record.len() < 3 {
                return Err(TokenFileError::Columns { path: path.to_owned(), found: record.len() });
            }
            let groups = record.get(3).map(|groups| groups.split(',').map(str::to_owned).collect());
            let user = User {
                name: record[1].clone(),
                uid: record[2].clone(),
                groups: groups.unwrap_or_default(),
                ..User::default()
            };
            if !record[0].is_empty() {
                users.insert(digest_of(&record[0]), user);
            }
        }
        Ok(TokenFile { users, api_audiences })
    }
}

impl TokenAuthenticator for TokenFile {
    fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let Some(audiences) = agnostic_audiences(&self.api_audiences, token.audiences) else { return Ok(None) };
        let user = self.users.get(&digest_of(token.text)).cloned();
        Ok(user.map(|user| Identity { user, audiences, ..Identity::default() }))
    }
}

fn digest_of(token: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// RFC 4180 as Go's encoding/csv reads it: empty lines are skipped, a quoted field may hold commas, doubled quotes and
/// line breaks.
struct Lines<'a> {
    rest: &'a str,
    /// The number of the last that was read.
    line: usize,
}

// === impl Lines ===

impl Lines<'_> {
    /// The next line with its break, which is one character; empty at the end.
    fn next(&mut self) -> String {
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        if line.is_empty() {
            return String::new();
        }
        self.line += 1;
        line.strip_suffix("\r\n").map_or_else(|| line.to_owned(), |line| format!("{line}\n"))
    }

    fn record(&mut self) -> Result<Option<Vec<String>>, TokenFileError> {
        let mut line = self.next();
        while line == "\n" {
            line = self.next();
        }
        if line.is_empty() {
            return Ok(None);
        }
        let (start, mut column, mut record) = (self.line, 1, Vec::new());
        loop {
            let more = match line[column - 1..].starts_with('"') {
                true => self.quoted(&mut line, &mut column, start, &mut record)?,
                false => plain(&line, &mut column, (start, self.line), &mut record)?,
            };
            if !more {
                return Ok(Some(record));
            }
        }
    }

    /// A field in quotes, which may go on in the next lines; whether another field follows.
    fn quoted(
        &mut self,
        line: &mut String,
        column: &mut usize,
        record: usize,
        fields: &mut Vec<String>,
    ) -> Result<bool, TokenFileError> {
        let mut value = String::new();
        *column += 1;
        loop {
            let rest = &line[*column - 1..];
            let Some(at) = rest.find('"') else {
                value.push_str(rest);
                *column += rest.len();
                let last = self.line;
                let next = self.next();
                if next.is_empty() {
                    return Err(TokenFileError::Form(At { record, line: last, column: *column }, QUOTE));
                }
                (*line, *column) = (next, 1);
                continue;
            };
            value.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            *column += at + 1;
            match after.chars().next() {
                Some('"') => {
                    value.push('"');
                    *column += 1;
                }
                Some(',') => {
                    fields.push(value);
                    *column += 1;
                    return Ok(true);
                }
                None | Some('\n') => {
                    fields.push(value);
                    return Ok(false);
                }
                Some(_) => {
                    let at = At { record, line: self.line, column: *column - 1 };
                    return Err(TokenFileError::Form(at, QUOTE));
                }
            }
        }
    }
}

/// A field without quotes; whether another follows.
fn plain(
    line: &str,
    column: &mut usize,
    from: (usize, usize),
    fields: &mut Vec<String>,
) -> Result<bool, TokenFileError> {
    let rest = line[*column - 1..].trim_end_matches('\n');
    let (field, more) = rest.split_once(',').map_or((rest, false), |(field, _)| (field, true));
    if let Some(quote) = field.find('"') {
        let (record, line) = from;
        return Err(TokenFileError::Form(At { record, line, column: *column + quote }, BARE));
    }
    *column += field.len() + 1;
    fields.push(field.to_owned());
    Ok(more)
}

// === impl At ===

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let At { record, line, column } = self;
        if record != line {
            write!(f, "record on line {record}; ")?;
        }
        write!(f, "parse error on line {line}, column {column}: ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(file: &TokenFile, text: &str) -> Option<User> {
        let identity = file.authenticate(&Token { text, audiences: &[], now: 0 }).expect("never refuses");
        identity.map(|identity| identity.user)
    }

    #[test]
    fn records_are_read_as_go_reads_them() {
        let text = "t1,alice,1\n\nt2,bob,2,\"dev,ops\"\r\n\"t\"\"3\",carol,3,one\n,nobody,4\nt1,eve,5";
        let file = TokenFile::parse("f", text, vec![]).expect("it is well-formed");
        assert_eq!(user(&file, "t2").expect("known").groups, ["dev", "ops"]);
        assert_eq!(user(&file, "t\"3").expect("known").groups, ["one"]);
        assert_eq!(user(&file, "t1").expect("known").name, "eve");
        assert_eq!(user(&file, "t1").expect("known").groups, Vec::<String>::new());
        assert_eq!(user(&file, ""), None);
        assert_eq!(user(&file, "t4"), None);
    }

    #[test]
    fn malformed_files_are_refused_in_gos_words() {
        for (text, words) in [
            ("a,b", "token file 'f' must have at least 3 columns (token, user name, user uid), found 2"),
            ("a,b,c\n\"a,b,c\n", "parse error on line 2, column 8: extraneous or missing \" in quoted-field"),
            (
                "\"a\nb\nc",
                "record on line 1; parse error on line 3, column 2: extraneous or missing \" in quoted-field",
            ),
            ("a,\"b\"x,c", "parse error on line 1, column 5: extraneous or missing \" in quoted-field"),
            ("a\"x,b,c", "parse error on line 1, column 2: bare \" in non-quoted-field"),
        ] {
            assert_eq!(TokenFile::parse("f", text, vec![]).err().expect("refused").to_string(), words);
        }
    }

    #[test]
    fn they_are_meant_for_this_server_alone() {
        let file = TokenFile::parse("f", "t,alice,1", vec!["api".to_owned()]).expect("it is well-formed");
        let ask = |audience: &str| {
            let audiences = [audience.to_owned()];
            file.authenticate(&Token { text: "t", audiences: &audiences, now: 0 }).expect("never refuses")
        };
        assert_eq!(ask("api").expect("known").audiences, ["api"]);
        assert_eq!(ask("vault"), None);
    }
}
