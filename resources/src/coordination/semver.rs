//! Semantic versions, as strictly as upstream's library reads them. Upstream: github.com/blang/semver/v4 `Parse`.

use std::cmp::Ordering;

/// A version; build metadata does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    pre: Vec<Pre>,
}

/// An identifier of a pre-release. Numbers sort before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pre {
    Number(u64),
    Word(String),
}

/// Reads `1.2.3-alpha.1+build`.
pub fn parse(text: &str) -> Option<Version> {
    let (rest, build) = split(text, '+');
    // A plus sign belongs to the build only when no dash stands before it; in either case it ends the numbers.
    let (numbers, pre) = split(rest, '-');
    let mut parts = numbers.split('.');
    let numbers = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
    if parts.next().is_some() || build.is_some_and(|b| !b.split('.').all(is_identifier)) {
        return None;
    }
    let pre = match pre {
        Some(pre) => pre.split('.').map(identifier).collect::<Option<Vec<_>>>()?,
        None => Vec::new(),
    };
    Some(Version { numbers, pre })
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(head, tail)| (head, Some(tail)))
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn identifier(text: &str) -> Option<Pre> {
    if !is_identifier(text) {
        return None;
    }
    match text.bytes().all(|b| b.is_ascii_digit()) {
        true => number(text).map(Pre::Number),
        false => Some(Pre::Word(text.into())),
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

// === impl Version ===

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        // A version without pre-release is the greater one.
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| self.pre.is_empty().cmp(&other.pre.is_empty()))
            .then_with(|| self.pre.cmp(&other.pre))
    }
}
