//! From nodes to a tree of JSON's types. Upstream: go-yaml 2's decoder into an `interface{}`, and sigs.k8s.io/yaml's
//! `convertToJSONableObject`.

use std::collections::HashSet;

use api::Value;
use ecow::EcoString;

use super::{
    nodes::{self, Content, Document},
    resolve::{self, Scalar},
};
use crate::{Error, json};

/// A document as a tree.
pub struct Read {
    pub value: Value,
    /// `line 3: key "a" already set in map`
    again: Vec<String>,
}

/// A key as a Go map has it.
enum Key {
    Text(EcoString),
    /// Scalars of other types are texts in JSON.
    Other(EcoString),
    Null,
}

struct Reader<'a> {
    document: &'a Document,
    again: Vec<String>,
    /// Aliases that are being followed.
    following: HashSet<usize>,
    visited: usize,
    visited_by_alias: usize,
    depth: usize,
}

/// Upstream: `alias_ratio_range_low` and `_high`: between them the share that aliases may have shrinks.
const RATIO_LOW: f64 = 400_000.0;
const RATIO_HIGH: f64 = 4_000_000.0;
/// Containers inside one another, aliases followed.
const DEPTH_MAX: usize = 2 * crate::DEPTH_MAX;

/// The tree of a document; of none it is null.
pub fn of(document: &Option<Document>) -> Result<Read, Error> {
    let Some(document) = document else { return Ok(Read { value: Value::Null, again: Vec::new() }) };
    let mut reader =
        Reader { document, again: Vec::new(), following: HashSet::new(), visited: 0, visited_by_alias: 0, depth: 0 };
    let value = if document.nodes.is_empty() { Value::Null } else { reader.value(0)? };
    Ok(Read { value, again: reader.again })
}

// === impl Read ===

impl Read {
    /// What strict reading says of keys that are there twice. Upstream: go-yaml's `TypeError`.
    pub fn duplicates(&self) -> Option<String> {
        (!self.again.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", self.again.join("\n  ")))
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn value(&mut self, place: usize) -> Result<Value, Error> {
        self.visited += 1;
        if !self.following.is_empty() {
            self.visited_by_alias += 1;
        }
        self.check_ratio()?;
        let document = self.document;
        match &document.nodes[place].content {
            Content::Scalar { value, tag, implicit } => match scalar(value, tag.as_deref(), *implicit)? {
                Scalar::Null => Ok(Value::Null),
                Scalar::Bool(b) => Ok(Value::Bool(b)),
                Scalar::Int(i) => Ok(Value::Int(i)),
                Scalar::Uint(u) => Ok(Value::Float(u as f64)),
                Scalar::Float(f) => float(f),
                Scalar::Time | Scalar::Text => Ok(Value::str_of(value.as_str())),
                Scalar::Binary(text) => Ok(Value::str_of(text)),
            },
            Content::Alias { anchor, target } => {
                if !self.following.insert(place) {
                    return Err(Error(format!("yaml: anchor '{anchor}' value contains itself")));
                }
                let value = self.value(*target);
                self.following.remove(&place);
                value
            }
            Content::Sequence(children) => {
                self.enter(place)?;
                let items: Result<Vec<Value>, Error> = children.iter().map(|child| self.value(*child)).collect();
                self.depth -= 1;
                Ok(Value::array(items?))
            }
            Content::Mapping(children) => {
                self.enter(place)?;
                let mut members = Vec::with_capacity(children.len() / 2);
                let mut seen = HashSet::new();
                self.members(children, &mut members, &mut seen)?;
                self.depth -= 1;
                Ok(object(members))
            }
        }
    }

    fn enter(&mut self, place: usize) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(nodes::too_deep_at(self.document.nodes[place].line));
        }
        Ok(())
    }

    /// Adds a mapping's members to those of the one that it stands in or is merged into.
    fn members(
        &mut self,
        children: &[usize],
        members: &mut Vec<(EcoString, Value)>,
        seen: &mut HashSet<EcoString>,
    ) -> Result<(), Error> {
        let document = self.document;
        for pair in children.chunks_exact(2) {
            let (key, value) = (pair[0], pair[1]);
            if self.is_merge(key) {
                self.merge(value, members, seen)?;
                continue;
            }
            let key = self.key(key)?;
            let shown = match &key {
                Key::Text(text) => api::field::quote(text),
                Key::Other(text) => text.to_string(),
                Key::Null => "interface {}(nil)".into(),
            };
            let value_line = document.nodes[value].line;
            let value = self.value(value)?;
            let text = match key {
                Key::Text(text) | Key::Other(text) => text,
                Key::Null => {
                    let shown = go_syntax(&value);
                    return Err(Error(format!("unsupported map key of type: %!s(<nil>), key: <nil>, value: {shown}")));
                }
            };
            if !seen.insert(text.clone()) {
                self.again.push(format!("line {value_line}: key {shown} already set in map"));
            }
            members.push((text, value));
        }
        Ok(())
    }

    fn key(&mut self, place: usize) -> Result<Key, Error> {
        let document = self.document;
        match &document.nodes[place].content {
            Content::Alias { .. } | Content::Sequence(_) | Content::Mapping(_) => match self.value(place)? {
                Value::Str(text) => Ok(Key::Text(text)),
                Value::Null => Ok(Key::Null),
                found @ (Value::Array(_) | Value::Object(_)) => {
                    Err(Error(format!("yaml: invalid map key: {}", go_syntax(&found))))
                }
                other => Ok(Key::Other(json::to_string(&other).into())),
            },
            Content::Scalar { value, tag, implicit } => {
                self.visited += 1;
                Ok(match scalar(value, tag.as_deref(), *implicit)? {
                    Scalar::Null => Key::Null,
                    Scalar::Bool(b) => Key::Other(if b { "true".into() } else { "false".into() }),
                    Scalar::Int(i) => Key::Other(i.to_string().into()),
                    Scalar::Uint(u) => {
                        let shown = format!("unsupported map key of type: uint64, key: 0x{u:x}, value: ");
                        return Err(Error(shown));
                    }
                    Scalar::Float(f) => Key::Other(float_key(f).into()),
                    Scalar::Time | Scalar::Text => Key::Text(value.as_str().into()),
                    Scalar::Binary(text) => Key::Text(text.into()),
                })
            }
        }
    }

    fn is_merge(&self, place: usize) -> bool {
        match &self.document.nodes[place].content {
            Content::Scalar { value, tag, implicit } => {
                value == "<<" && (*implicit || tag.as_deref() == Some("tag:yaml.org,2002:merge"))
            }
            _ => false,
        }
    }

    /// What stands behind `<<`: one mapping or several, of which the earlier ones win.
    fn merge(
        &mut self,
        place: usize,
        members: &mut Vec<(EcoString, Value)>,
        seen: &mut HashSet<EcoString>,
    ) -> Result<(), Error> {
        let document = self.document;
        match &document.nodes[place].content {
            Content::Sequence(children) => {
                for child in children.iter().rev() {
                    if matches!(document.nodes[*child].content, Content::Sequence(_)) {
                        return Err(want_map());
                    }
                    self.merge(*child, members, seen)?;
                }
                Ok(())
            }
            Content::Mapping(children) => {
                self.enter(place)?;
                self.visited += 1;
                self.check_ratio()?;
                self.members(children, members, seen)?;
                self.depth -= 1;
                Ok(())
            }
            Content::Alias { anchor, target } => {
                if !matches!(document.nodes[*target].content, Content::Mapping(_)) {
                    return Err(want_map());
                }
                if !self.following.insert(place) {
                    return Err(Error(format!("yaml: anchor '{anchor}' value contains itself")));
                }
                self.visited_by_alias += 1;
                let merged = self.merge(*target, members, seen);
                self.following.remove(&place);
                merged
            }
            Content::Scalar { .. } => Err(want_map()),
        }
    }

    /// A few aliases can stand for more than there is memory. Upstream: `allowedAliasRatio`.
    fn check_ratio(&self) -> Result<(), Error> {
        let (all, by_alias) = (self.visited as f64, self.visited_by_alias as f64);
        let allowed = 0.99 - 0.89 * ((all - RATIO_LOW) / (RATIO_HIGH - RATIO_LOW)).clamp(0.0, 1.0);
        if self.visited_by_alias > 100 && self.visited > 1000 && by_alias / all > allowed {
            return Err(Error("yaml: document contains excessive aliasing".into()));
        }
        Ok(())
    }
}

fn scalar(value: &str, tag: Option<&str>, implicit: bool) -> Result<Scalar, Error> {
    match (tag, implicit) {
        (None, false) => Ok(Scalar::Text),
        _ => resolve::scalar(tag, value),
    }
}

fn want_map() -> Error {
    Error("yaml: map merge requires map or sequence of maps as the value".into())
}

/// Members sorted, of equal ones the last.
fn object(mut members: Vec<(EcoString, Value)>) -> Value {
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut map = api::value::Map::with_capacity(members.len());
    let mut members = members.into_iter().peekable();
    while let Some((key, value)) = members.next() {
        if members.peek().is_none_or(|(next, _)| *next != key) {
            map.push_new(key, value);
        }
    }
    Value::Object(Box::new(map))
}

/// A number as JSON has it: what has no fraction is written without one and read as an integer.
fn float(f: f64) -> Result<Value, Error> {
    if !f.is_finite() {
        let shown = if f.is_nan() {
            "NaN"
        } else if f > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return Err(Error(format!("json: unsupported value: {shown}")));
    }
    let written = Value::Float(f);
    let text = json::to_string(&written);
    match text.parse::<i64>() {
        Ok(i) => Ok(Value::Int(i)),
        Err(_) => Ok(written),
    }
}

/// Upstream: `strconv.FormatFloat` of 32 bits, in the shorter of its two forms.
fn float_key(f: f64) -> String {
    match f as f32 {
        f if f.is_nan() => ".nan".into(),
        f if f.is_infinite() => {
            if f > 0.0 {
                ".inf".into()
            } else {
                "-.inf".into()
            }
        }
        f => {
            let shown = format!("{f:e}");
            let (digits, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let len = digits.bytes().filter(u8::is_ascii_digit).count() as i32;
            if exponent < -4 || exponent >= len.max(21) {
                let sign = if exponent < 0 { '-' } else { '+' };
                return format!("{digits}e{sign}{:02}", exponent.abs());
            }
            format!("{f}")
        }
    }
}

/// A value as Go's `%#v` writes what was decoded into an `interface{}`.
fn go_syntax(value: &Value) -> String {
    let inner = |value: &Value| match value {
        Value::Null => "interface {}(nil)".to_owned(),
        other => go_syntax(other),
    };
    match value {
        Value::Null => "<nil>".into(),
        Value::Str(text) => api::field::quote(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inner).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{}:{}", api::field::quote(key), inner(value))).collect();
            format!("map[interface {{}}]interface {{}}{{{}}}", members.join(", "))
        }
        other => json::to_string(other),
    }
}
