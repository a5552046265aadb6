//! One step of a path into an object: a member, an element by its keys or its value, an element by its place.
//!
//! Upstream: structured-merge-diff/v6/fieldpath/{element,serialize-pe}.go.

use std::{cmp::Ordering, fmt, sync::Arc};

use api::{
    EcoString, Value,
    field::{go_float, quote, write_json_string},
};

/// Selects a child of an object or a list.
#[derive(Clone, Debug)]
pub enum Element {
    /// A member of a struct or a map.
    Field(EcoString),
    /// The element of a list of objects with these members, ascending by name. Shared: sets are taken apart and put
    /// together all the time.
    Key(Arc<[(EcoString, Value)]>),
    /// The element of a set of scalars.
    Value(Value),
    Index(i64),
}

/// Steps from the root of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Element>);

/// A key of a FieldsV1 object that is none. The text is only ever shown behind upstream's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadElement(pub String);

// === impl Element ===

impl Element {
    /// Appends the key of FieldsV1: `f:spec`, `k:{"name":"a"}`, `v:"x"`, `i:0`.
    pub fn write(&self, out: &mut String) {
        match self {
            Element::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            Element::Key(keys) => {
                out.push_str("k:{");
                for (i, (name, value)) in keys.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    write_value(value, out);
                }
                out.push('}');
            }
            Element::Value(value) => {
                out.push_str("v:");
                write_value(value, out);
            }
            Element::Index(i) => out.push_str(&format!("i:{i}")),
        }
    }

    /// Reads a key of FieldsV1. `None` for kinds of elements that a later version may know.
    pub fn read(text: &str) -> Result<Option<Element>, BadElement> {
        let bytes = text.as_bytes();
        if bytes.len() < 2 {
            return Err(BadElement("key must be 2 characters long:".into()));
        }
        if bytes[1] != b':' {
            return Err(BadElement(format!("missing colon: {text}")));
        }
        let rest = &text[2..];
        let bad = |e: &dyn fmt::Display| BadElement(e.to_string());
        Ok(Some(match bytes[0] {
            b'f' => Element::Field(rest.into()),
            b'v' => Element::Value(serde_json::from_str(rest).map_err(|e| bad(&e))?),
            b'i' => Element::Index(rest.parse().map_err(|e| bad(&e))?),
            b'k' => match serde_json::from_str(rest).map_err(|e| bad(&e))? {
                Value::Object(members) => Element::key((*members).into_iter().collect()),
                _ => return Err(BadElement(format!("expected an object: {text}"))),
            },
            _ => return Ok(None),
        }))
    }

    /// The element with these keys, in whatever order they come.
    pub fn key(mut keys: Vec<(EcoString, Value)>) -> Element {
        if !keys.is_sorted_by(|a, b| a.0 <= b.0) {
            keys.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Element::Key(keys.into())
    }

    pub fn field(name: &str) -> Element {
        Element::Field(name.into())
    }

    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Key(_) => 1,
            Element::Value(_) => 2,
            Element::Index(_) => 3,
        }
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Element) -> Ordering {
        match (self, other) {
            (Element::Field(a), Element::Field(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Element::Key(a), Element::Key(b)) => compare_keys(a, b),
            (Element::Value(a), Element::Value(b)) => compare(a, b),
            (Element::Index(a), Element::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Element) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}

/// As in messages: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Key(keys) => {
                let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={}", shown(v))).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Element::Value(value) => write!(f, "[={}]", shown(value)),
            Element::Index(i) => write!(f, "[{i}]"),
        }
    }
}

// === impl Path ===

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|e| write!(f, "{e}"))
    }
}

fn compare_keys(a: &[(EcoString, Value)], b: &[(EcoString, Value)]) -> Ordering {
    for ((an, av), (bn, bv)) in a.iter().zip(b) {
        let order = an.as_bytes().cmp(bn.as_bytes()).then_with(|| compare(av, bv));
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// The order of values: numbers, strings, booleans, lists, objects, null. Upstream: value.go CompareUsing.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Int(a), Value::Float(b)) => compare_floats(*a as f64, *b),
        (Value::Float(a), Value::Int(b)) => compare_floats(*a, *b as f64),
        (Value::Float(a), Value::Float(b)) => compare_floats(*a, *b),
        (Value::Str(a), Value::Str(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let first = a.iter().zip(b.iter()).map(|(a, b)| compare(a, b)).find(|o| o.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(_), Value::Object(_)) => compare_keys(&sorted_members(a), &sorted_members(b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Equal, whole numbers written as floats included.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => compare(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            if a.len() != b.len() {
                return false;
            }
            // Two forms of the same type mostly have their members in the same order.
            a.iter().zip(b.iter()).all(|((ak, av), (bk, bv))| match ak == bk {
                true => same(av, bv),
                false => b.get(ak).is_some_and(|v| same(av, v)) && a.contains_key(bk),
            })
        }
        _ => a == b,
    }
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn sorted_members(value: &Value) -> Vec<(EcoString, Value)> {
    let mut members: Vec<(EcoString, Value)> = value.members().map(|(k, v)| (k.into(), v.clone())).collect();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    members
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::Str(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Str(text) => write_text(text, out),
        other => out.push_str(&api::field::go_json(other)),
    }
}

fn write_text(text: &str, out: &mut String) {
    if !text.bytes().all(is_plain) {
        return write_json_string(text, out);
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// A byte that JSON writes as it is.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// Upstream: value.go ToString.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => go_float(*f),
        Value::Str(s) => quote(s),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Object(members) => members.iter().map(|(k, v)| format!("{k}={}", shown(v))).collect(),
    }
}
