//! Tokens from a file of comma-separated values: token, user, uid, and groups in one quoted field.
//!
//! Upstream: apiserver pkg/authentication/token/tokenfile (`--token-auth-file`).

use std::collections::HashMap;

use api::User;

use super::{Identity, Outcome, Token, TokenAuthenticator, agnostic_audiences};

/// Static tokens. Not printable: it holds secrets.
pub struct TokenFile {
    users: HashMap<String, User>,
    api_audiences: Vec<String>,
}

/// What is wrong with the file's text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    #[error("must have at least 3 columns (token, user name, user uid), found {0}")]
    Columns(usize),
    #[error("record {0}: a quote is not closed or stands in the middle of a field")]
    Quote(usize),
}

// === impl TokenFile ===

impl TokenFile {
    /// Reads the text of the file. Records without a token are left out; of two with the same the last counts.
    pub fn parse(text: &str, api_audiences: Vec<String>) -> Result<TokenFile, TokenFileError> {
        let mut users = HashMap::new();
        for record in records(text)? {
            if record.len() < 3 {
                return Err(TokenFileError::Columns(record.len()));
            }
            let groups = record.get(3).map(|groups| groups.split(',').map(str::to_owned).collect());
            let user = User {
                name: record[1].clone(),
                uid: record[2].clone(),
                groups: groups.unwrap_or_default(),
                ..User::default()
            };
            if !record[0].is_empty() {
                users.insert(record[0].clone(), user);
            }
        }
        Ok(TokenFile { users, api_audiences })
    }
}

impl TokenAuthenticator for TokenFile {
    fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let Some(audiences) = agnostic_audiences(&self.api_audiences, token.audiences) else { return Ok(None) };
        let user = self.users.get(token.text).cloned();
        Ok(user.map(|user| Identity { user, audiences, ..Identity::default() }))
    }
}

/// RFC 4180 as Go's encoding/csv reads it: empty lines are skipped, a quoted field may hold commas, doubled quotes and
/// line breaks.
fn records(text: &str) -> Result<Vec<Vec<String>>, TokenFileError> {
    let mut records = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('\n').or_else(|| rest.strip_prefix("\r\n")) {
            rest = after;
            continue;
        }
        let mut record = Vec::new();
        loop {
            let (value, after) = field(rest).ok_or(TokenFileError::Quote(records.len() + 1))?;
            record.push(value);
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None => {
                    rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix('\n')).unwrap_or(after);
                    break;
                }
            }
        }
        records.push(record);
    }
    Ok(records)
}

/// One field, and what follows it: a comma, a line break or nothing.
fn field(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        let line_end = value.ends_with('\r') && after.starts_with('\n');
        let value = if line_end { &value[..value.len() - 1] } else { value };
        return (!value.contains('"')).then(|| (value.to_owned(), after));
    };
    let mut value = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        value.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                value.push('"');
                rest = after;
            }
            None => {
                let ends = after.is_empty() || after.starts_with([',', '\n']) || after.starts_with("\r\n");
                return ends.then_some((value, after));
            }
        }
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
        let file = TokenFile::parse(text, vec![]).expect("it is well-formed");
        assert_eq!(user(&file, "t2").expect("known").groups, ["dev", "ops"]);
        assert_eq!(user(&file, "t\"3").expect("known").groups, ["one"]);
        assert_eq!(user(&file, "t1").expect("known").name, "eve");
        assert_eq!(user(&file, "t1").expect("known").groups, Vec::<String>::new());
        assert_eq!(user(&file, ""), None);
        assert_eq!(user(&file, "t4"), None);
    }

    #[test]
    fn malformed_files_are_refused() {
        assert_eq!(TokenFile::parse("a,b", vec![]).err(), Some(TokenFileError::Columns(2)));
        assert_eq!(TokenFile::parse("a,b,c\n\"a,b,c", vec![]).err(), Some(TokenFileError::Quote(2)));
        assert_eq!(TokenFile::parse("a\"x,b,c", vec![]).err(), Some(TokenFileError::Quote(1)));
    }

    #[test]
    fn they_are_meant_for_this_server_alone() {
        let file = TokenFile::parse("t,alice,1", vec!["api".to_owned()]).expect("it is well-formed");
        let ask = |audience: &str| {
            let audiences = [audience.to_owned()];
            file.authenticate(&Token { text: "t", audiences: &audiences, now: 0 }).expect("never refuses")
        };
        assert_eq!(ask("api").expect("known").audiences, ["api"]);
        assert_eq!(ask("vault"), None);
    }
}
