//! Validation errors: what is wrong, where, and in upstream's words.
//!
//! Upstream: apimachinery/pkg/util/validation/field. A rule pushes into [`Errors`]; one place makes a 422 of them.

use std::{collections::HashSet, fmt};

use crate::{Map, Status, Value, gvk::GroupResource, status::Cause};

/// Where in an object: `spec.containers[0].name`, `data[key]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

/// What kind of wrong. The name is the cause's type on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TooFew,
    Internal,
    TypeInvalid,
    TooShort,
}

/// The value that an error shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Bad {
    /// The message shows none.
    Omitted,
    Value(Value),
    /// Text that is shown as it is: what upstream prints of a Go struct, a duration or the like.
    Raw(String),
}

/// One thing that is wrong with a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub kind: Kind,
    pub field: String,
    pub bad: Bad,
    pub detail: String,
}

/// What is wrong with an object, in the order in which it was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors(pub Vec<FieldError>);

// === impl Path ===

impl Path {
    pub fn new(root: &str) -> Path {
        Path(root.into())
    }

    /// The empty path: the object itself.
    pub fn root() -> Path {
        Path::default()
    }

    pub fn child(&self, name: &str) -> Path {
        match (self.0.is_empty(), name.is_empty()) {
            (_, true) => self.clone(),
            (true, _) => Path(name.into()),
            (false, _) => self.longer(&[".", name]),
        }
    }

    pub fn children(&self, names: &[&str]) -> Path {
        names.iter().fold(self.clone(), |path, name| path.child(name))
    }

    pub fn index(&self, i: usize) -> Path {
        self.longer(&["[", &i.to_string(), "]"])
    }

    pub fn key(&self, key: &str) -> Path {
        self.longer(&["[", key, "]"])
    }

    /// Rules make a path for every field they look at, so it is put together without the formatting machinery: one
    /// allocation of the right size.
    fn longer(&self, parts: &[&str]) -> Path {
        let len = self.0.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut text = String::with_capacity(len);
        text.push_str(&self.0);
        parts.iter().for_each(|part| text.push_str(part));
        Path(text)
    }

    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "<nil>" } else { &self.0 }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Kind ===

impl Kind {
    /// The type of the cause in a Status.
    pub fn cause(self) -> &'static str {
        match self {
            Kind::NotFound => "FieldValueNotFound",
            Kind::Required => "FieldValueRequired",
            Kind::Duplicate => "FieldValueDuplicate",
            Kind::Invalid => "FieldValueInvalid",
            Kind::NotSupported => "FieldValueNotSupported",
            Kind::Forbidden => "FieldValueForbidden",
            Kind::TooLong => "FieldValueTooLong",
            Kind::TooMany => "FieldValueTooMany",
            Kind::TooFew => "FieldValueTooFew",
            Kind::Internal => "InternalError",
            Kind::TypeInvalid => "FieldValueTypeInvalid",
            Kind::TooShort => "FieldValueTooShort",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Kind::NotFound => "Not found",
            Kind::Required => "Required value",
            Kind::Duplicate => "Duplicate value",
            Kind::Invalid | Kind::TypeInvalid => "Invalid value",
            Kind::NotSupported => "Unsupported value",
            Kind::Forbidden => "Forbidden",
            Kind::TooLong => "Too long",
            Kind::TooMany => "Too many",
            Kind::TooFew => "Too few",
            Kind::Internal => "Internal error",
            Kind::TooShort => "Too short",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Kind::Required | Kind::Forbidden | Kind::TooLong | Kind::TooShort | Kind::Internal)
    }
}

// === impl FieldError ===

impl FieldError {
    /// The message without the field's name. Upstream: `Error.ErrorBody`.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_string();
        if self.kind.shows_value() {
            match &self.bad {
                Bad::Omitted => {}
                Bad::Raw(raw) => text += &format!(": {raw}"),
                Bad::Value(Value::Str(s)) => text += &format!(": {}", quote(s)),
                Bad::Value(value) => text += &format!(": {}", go_json(value)),
            }
        }
        if !self.detail.is_empty() {
            text += ": ";
            text += &self.detail;
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

// === impl Errors ===

impl Errors {
    pub fn new() -> Errors {
        Errors::default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn push(&mut self, kind: Kind, at: &Path, bad: Bad, detail: impl Into<String>) {
        self.0.push(FieldError { kind, field: at.as_str().into(), bad, detail: detail.into() });
    }

    pub fn extend(&mut self, more: Errors) {
        self.0.extend(more.0);
    }

    pub fn not_found(&mut self, at: &Path, bad: impl Into<Value>) {
        self.push(Kind::NotFound, at, Bad::Value(bad.into()), "");
    }

    pub fn required(&mut self, at: &Path, detail: impl Into<String>) {
        self.push(Kind::Required, at, Bad::Value("".into()), detail);
    }

    pub fn duplicate(&mut self, at: &Path, bad: impl Into<Value>) {
        self.push(Kind::Duplicate, at, Bad::Value(bad.into()), "");
    }

    pub fn invalid(&mut self, at: &Path, bad: impl Into<Value>, detail: impl Into<String>) {
        self.push(Kind::Invalid, at, Bad::Value(bad.into()), detail);
    }

    /// As [`Errors::invalid`], with text that stands for the value as it is.
    pub fn invalid_raw(&mut self, at: &Path, raw: impl Into<String>, detail: impl Into<String>) {
        self.push(Kind::Invalid, at, Bad::Raw(raw.into()), detail);
    }

    pub fn type_invalid(&mut self, at: &Path, bad: impl Into<Value>, detail: impl Into<String>) {
        self.push(Kind::TypeInvalid, at, Bad::Value(bad.into()), detail);
    }

    /// `valid` in the order in which the message names them (upstream sorts most of its sets).
    pub fn not_supported<S: AsRef<str>>(&mut self, at: &Path, bad: impl Into<Value>, valid: &[S]) {
        let names: Vec<String> = valid.iter().map(|v| quote(v.as_ref())).collect();
        let detail = if names.is_empty() { String::new() } else { format!("supported values: {}", names.join(", ")) };
        self.push(Kind::NotSupported, at, Bad::Value(bad.into()), detail);
    }

    pub fn forbidden(&mut self, at: &Path, detail: impl Into<String>) {
        self.push(Kind::Forbidden, at, Bad::Value("".into()), detail);
    }

    /// Longer than `max` bytes; a negative `max` is not named.
    pub fn too_long(&mut self, at: &Path, max: i64) {
        self.push(Kind::TooLong, at, Bad::Omitted, too_long(max, "byte"));
    }

    pub fn too_long_characters(&mut self, at: &Path, max: i64) {
        self.push(Kind::TooLong, at, Bad::Omitted, too_long(max, "character"));
    }

    pub fn too_many(&mut self, at: &Path, actual: usize, max: usize) {
        let items = if max == 1 { "item" } else { "items" };
        self.push(Kind::TooMany, at, Bad::Value(actual.into()), format!("must have at most {max} {items}"));
    }

    pub fn too_few(&mut self, at: &Path, actual: usize, min: usize) {
        let items = if min == 1 { "item" } else { "items" };
        self.push(Kind::TooFew, at, Bad::Value(actual.into()), format!("must have at least {min} {items}"));
    }

    pub fn too_short(&mut self, at: &Path, min: i64) {
        let bytes = if min == 1 { "byte" } else { "bytes" };
        self.push(Kind::TooShort, at, Bad::Omitted, format!("must be at least {min} {bytes}"));
    }

    pub fn internal(&mut self, at: &Path, detail: impl Into<String>) {
        self.push(Kind::Internal, at, Bad::Omitted, detail);
    }

    /// All messages as one: alone as it is, several as `[a, b]`, none twice. Upstream: `ErrorList.ToAggregate`.
    pub fn message(&self) -> String {
        let mut seen = HashSet::new();
        let mut texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        texts.retain(|text| seen.insert(text.clone()));
        match texts.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        }
    }

    /// The 422 that says all this about an object; `Ok` when there is nothing to say.
    pub fn into_status(mut self, kind: &GroupResource, name: &str) -> Result<(), Status> {
        let mut seen = HashSet::new();
        // Upstream's filter for declared errors makes one list of the messages and back, which drops what stands twice.
        self.0.retain(|e| seen.insert(e.to_string()));
        self.into_status_repeating(kind, name)
    }

    /// The same of a kind that no such filter looks at: what stands twice has two causes.
    pub fn into_status_repeating(self, kind: &GroupResource, name: &str) -> Result<(), Status> {
        if self.is_empty() {
            return Ok(());
        }
        let message = self.message();
        let causes = self.0.into_iter();
        let causes = causes.map(|e| Cause { kind: e.kind.cause().into(), message: e.body(), field: e.field });
        Err(Status::invalid(kind, name, &message, causes.collect()))
    }
}

fn too_long(max: i64, unit: &str) -> String {
    match max {
        ..=-1 => "value is too long".into(),
        1 => format!("may not be more than 1 {unit}"),
        _ => format!("may not be more than {max} {unit}s"),
    }
}

/// A string as Go's `%q` prints it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control()
                || c == '\u{feff}'
                || c == '\u{2028}'
                || c == '\u{2029}'
                || c == '\u{a0}'
                || c == '\u{ad}' =>
            {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A value as Go's `json.Marshal` prints it: HTML characters escaped.
pub fn go_json(value: &Value) -> String {
    let mut out = String::new();
    write_json(value, &mut out);
    out
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(&i.to_string()),
        Value::Float(f) => out.push_str(&json_float(*f)),
        Value::Str(s) => write_json_string(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            // Messages show structs whose maps are left out when they are empty.
            let is_shown = |item: &Value| !item.as_object().is_some_and(Map::is_keyless);
            for (i, (key, item)) in members.iter().filter(|(_, item)| is_shown(item)).enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_string(key, out);
                out.push(':');
                write_json(item, out);
            }
            out.push('}');
        }
    }
}

/// A decoded tree as Go's `%+v` writes it: `map[a:1 b:[x <nil>]]`.
pub fn go_plain(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => "<nil>".into(),
        Value::Str(text) => text.to_string(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(go_plain).collect())),
        Value::Object(members) => {
            let mut members: Vec<(&str, &Value)> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            format!("map[{}]", joined(members.into_iter().map(|(k, v)| format!("{k}:{}", go_plain(v))).collect()))
        }
        other => go_json(other),
    }
}

/// Go's name of a decoded value's type (`%T`).
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A float as `encoding/json` writes it: `1e-7`, where `fmt` has two digits.
pub fn json_float(f: f64) -> String {
    go_float(f).replace("e-0", "e-")
}

/// A float as `fmt` shows it.
pub fn go_float(f: f64) -> String {
    let magnitude = f.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{f:e}");
        return match text.split_once("e-") {
            Some((m, e)) => format!("{m}e-{e:0>2}"),
            None => text.replace('e', "e+"),
        };
    }
    format!("{f}")
}

/// A string as `encoding/json` writes it, quotes included.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    #[test]
    fn bodies_read_as_upstreams() {
        let spec = Path::new("spec");
        let mut errors = Errors::new();
        errors.invalid(&spec.child("replicas"), -1, "must be greater than or equal to 0");
        errors.required(&spec.child("containers").index(0).child("name"), "");
        errors.not_supported(&spec.child("dnsPolicy"), "No", &["Default", "None"]);
        errors.too_long(&spec.key("a"), 63);
        errors.invalid(&spec.child("selector"), value!({"a": "<b>"}), "");
        let bodies: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            bodies,
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.containers[0].name: Required value",
                "spec.dnsPolicy: Unsupported value: \"No\": supported values: \"Default\", \"None\"",
                "spec[a]: Too long: may not be more than 63 bytes",
                "spec.selector: Invalid value: {\"a\":\"\\u003cb\\u003e\"}",
            ]
        );
    }

    #[test]
    fn a_single_error_stands_alone_and_none_stands_twice() {
        let mut errors = Errors::new();
        errors.required(&Path::new("a"), "");
        errors.required(&Path::new("a"), "");
        assert_eq!(errors.message(), "a: Required value");
        errors.required(&Path::new("b"), "");
        assert_eq!(errors.message(), "[a: Required value, b: Required value]");
        let status = errors.into_status(&GroupResource::new("", "Pod"), "x").expect_err("there are two");
        assert_eq!(status.failure().details.as_ref().map(|d| d.causes.len()), Some(2));
    }

    #[test]
    fn floats_read_as_gos() {
        assert_eq!(go_float(1e21), "1e+21");
        assert_eq!((go_float(0.0000001).as_str(), json_float(0.0000001).as_str()), ("1e-07", "1e-7"));
        assert_eq!((json_float(1e-10).as_str(), json_float(1e21).as_str()), ("1e-10", "1e+21"));
        assert_eq!(go_float(1.5), "1.5");
    }
}
