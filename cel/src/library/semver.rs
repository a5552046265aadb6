//! Semantic versions. Upstream: apiserver/pkg/cel/library/semverlib.go; github.com/blang/semver for what is one.

use std::any::Any;
use std::cmp::Ordering;

use crate::functions::{Cost, Row, global, member};
use crate::types::Type;
use crate::value::show::quote;
use crate::value::{EvalError, Object, Outcome, Value};

use super::{boolean, object, text};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("semver", "string_to_semver", "string", "kubernetes.Semver", semver).cost(Cost::Scan(1)),
    global("semver", "string_bool_to_semver", "string, bool", "kubernetes.Semver", semver).cost(Cost::Scan(1)),
    global("isSemver", "is_semver_string", "string", "bool", is_semver).cost(Cost::Scan(1)),
    global("isSemver", "is_semver_string_bool", "string, bool", "bool", is_semver).cost(Cost::Scan(1)),
    member("isGreaterThan", "semver_is_greater_than", "kubernetes.Semver, kubernetes.Semver", "bool", |a| order(a).map(|o| Value::Bool(o.is_gt()))).cost(Cost::Fixed(1)),
    member("isLessThan", "semver_is_less_than", "kubernetes.Semver, kubernetes.Semver", "bool", |a| order(a).map(|o| Value::Bool(o.is_lt()))).cost(Cost::Fixed(1)),
    member("compareTo", "semver_compare_to", "kubernetes.Semver, kubernetes.Semver", "int", |a| order(a).map(|o| Value::Int(o as i64))).cost(Cost::Fixed(1)),
    member("major", "semver_major", "kubernetes.Semver", "int", |a| Ok(Value::Int(object::<Version>(&a[0])?.numbers[0] as i64))).cost(Cost::Fixed(1)),
    member("minor", "semver_minor", "kubernetes.Semver", "int", |a| Ok(Value::Int(object::<Version>(&a[0])?.numbers[1] as i64))).cost(Cost::Fixed(1)),
    member("patch", "semver_patch", "kubernetes.Semver", "int", |a| Ok(Value::Int(object::<Version>(&a[0])?.numbers[2] as i64))).cost(Cost::Fixed(1)),
];

/// A version as a value. What it was built from does not count in comparisons.
#[derive(Debug)]
pub(crate) struct Version {
    numbers: [u64; 3],
    before: Vec<Part>,
}

/// Of a pre-release. Numbers come before words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Object for Version {
    fn value_type(&self) -> Type {
        Type::object("kubernetes.Semver")
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        Ok(self.order(object::<Version>(other)?).is_eq())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Version {
    fn order(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.before.cmp(&other.before),
        })
    }
}

fn order(arguments: &[Value]) -> Result<Ordering, EvalError> {
    Ok(object::<Version>(&arguments[0])?.order(object(&arguments[1])?))
}

fn given(arguments: &[Value]) -> Result<Result<Version, String>, EvalError> {
    let text = text(&arguments[0])?;
    let normalize = arguments.get(1).map_or(Ok(false), boolean)?;
    Ok(if normalize { normalized(text) } else { parse(text) })
}

fn semver(arguments: &[Value]) -> Outcome {
    given(arguments)?.map(Value::object).map_err(EvalError::new)
}

fn is_semver(arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(given(arguments)?.is_ok()))
}

/// Of what is nearly a version: `v01.2`.
fn normalized(text: &str) -> Result<Version, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
    if parts.len() < 3 {
        if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".to_owned());
        }
        parts.resize(3, "0".to_owned());
    }
    parse(&parts.join("."))
}

fn without_zeros(part: &str) -> String {
    if part.len() <= 1 {
        return part.to_owned();
    }
    let trimmed = part.trim_start_matches('0');
    if trimmed.starts_with(|c: char| c.is_ascii_digit()) { trimmed.to_owned() } else { format!("0{trimmed}") }
}

fn parse(text: &str) -> Result<Version, String> {
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let [major, minor, rest] = parts.as_slice() else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let (major, minor) = (number(major, "major", "Major")?, number(minor, "minor", "Minor")?);
    let (rest, build) = match rest.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (*rest, None),
    };
    let (patch, before) = match rest.split_once('-') {
        Some((patch, before)) => (patch, Some(before)),
        None => (rest, None),
    };
    let patch = number(patch, "patch", "Patch")?;
    let before = before.map_or(Ok(Vec::new()), |before| before.split('.').map(pre_release).collect())?;
    for part in build.into_iter().flat_map(|build| build.split('.')) {
        if part.is_empty() {
            return Err("Build meta data is empty".to_owned());
        }
        if !is_word(part) {
            return Err(format!("Invalid character(s) found in build meta data {}", quote(part)));
        }
    }
    Ok(Version { numbers: [major, minor, patch], before })
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn has_leading_zeros(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

fn integer(text: &str) -> Result<u64, String> {
    let reason = if text.is_empty() { "invalid syntax" } else { "value out of range" };
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: {reason}", quote(text)))
}

fn number(text: &str, name: &str, title: &str) -> Result<u64, String> {
    if !is_number(text) {
        return Err(format!("Invalid character(s) found in {name} number {}", quote(text)));
    }
    if has_leading_zeros(text) {
        return Err(format!("{title} number must not contain leading zeroes {}", quote(text)));
    }
    integer(text)
}

fn pre_release(text: &str) -> Result<Part, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if is_number(text) {
        if has_leading_zeros(text) {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {}", quote(text)));
        }
        return integer(text).map(Part::Number);
    }
    if is_word(text) {
        return Ok(Part::Word(text.to_owned()));
    }
    Err(format!("Invalid character(s) found in prerelease {}", quote(text)))
}
