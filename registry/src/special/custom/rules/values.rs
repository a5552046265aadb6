//! Objects as rules see them: values by their schemas.
//!
//! A value is made once for the outermost schema with rules, and those within take their part of it. Texts are shared with the
//! tree. What does not fit its schema is an error where an expression reads it, and nowhere else. Upstream:
//! apiserver/pkg/cel/common/valuesunstructured.go UnstructuredToVal.

mod list;
mod times;

use std::{any::Any, collections::BTreeMap, sync::LazyLock};

use api::{EcoString, Value, field::go_type};
use base64::{
    DecodeError, Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use cel::{EvalError, MapLike, Timestamp, escape_name, schema::says_all_of_meta, unescape_name};
use schema::structural::{Additional, Node, formats};

use super::typed::Typed;
use list::List;

/// A value, or why there is none.
pub(super) type Outcome = Result<cel::Value, EvalError>;

/// An object, or a map.
#[derive(Debug)]
struct Members {
    /// The schema names them; null ones are as if they were not there.
    are_named: bool,
    /// What the schema tells of; nothing for a null that counts as missing.
    known: BTreeMap<EcoString, Option<Outcome>>,
    /// What it does not tell of: seen when objects are compared, and else by nobody.
    rest: BTreeMap<EcoString, Value>,
}

/// A value of which the schema says nothing.
#[derive(Debug)]
struct Preserved(Value);

/// What upstream reads bytes by, although it judges them by the other alphabet.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

static TEXT: LazyLock<Node> = LazyLock::new(|| Node { kind: "string".into(), ..Node::default() });

static METADATA: LazyLock<Node> = LazyLock::new(|| {
    let text = || Node { kind: "string".into(), ..Node::default() };
    let properties = BTreeMap::from([("name".into(), text()), ("generateName".into(), text())]);
    Node { kind: "object".into(), properties, ..Node::default() }
});

/// A value as expressions see it. `is_root`: of an object with apiVersion, kind and metadata.
pub(super) fn of(value: &Value, node: &Node, is_root: bool) -> Outcome {
    if value.is_null() {
        return match node.nullable {
            true => Ok(cel::Value::Null),
            false => Err(EvalError::new("invalid data, got null for schema with nullable=false")),
        };
    }
    if node.int_or_string {
        return match value {
            Value::Str(text) => Ok(cel::Value::String(text.clone())),
            Value::Int(i) => Ok(cel::Value::Int(*i)),
            _ => Err(EvalError::new("invalid data, expected XIntOrString value to be either a string or integer")),
        };
    }
    let misfit = |what: &str| Err(EvalError::new(format!("invalid data, expected {what}, got {}", go_type(value))));
    match (node.kind.as_str(), value) {
        ("object", Value::Object(_)) => Ok(cel::Value::foreign_map(Members::of(value, node, is_root))),
        ("object", _) => Err(EvalError::new("invalid data, expected a map for the provided schema with type=object")),
        ("array", Value::Array(items)) => list(items, node),
        ("array", _) => Err(EvalError::new("invalid data, expected an array for the provided schema with type=array")),
        ("string", Value::Str(text)) => string(text, &node.checks.format_name),
        ("string", _) => misfit("string"),
        ("number", Value::Int(i)) => Ok(cel::Value::Double(*i as f64)),
        ("number", Value::Float(f)) => Ok(cel::Value::Double(*f)),
        ("number", _) => misfit("float"),
        ("integer", Value::Int(i)) => Ok(cel::Value::Int(*i)),
        ("integer", _) => misfit("int"),
        ("boolean", Value::Bool(b)) => Ok(cel::Value::Bool(*b)),
        ("boolean", _) => misfit("bool"),
        _ if node.preserve => Ok(cel::Value::object(Preserved(value.clone()))),
        (kind, _) => Err(EvalError::new(format!(
            "invalid type, expected object, array, number, integer, boolean or string, or no type with \
             x-kubernetes-int-or-string or x-kubernetes-preserve-unknown-fields is true, got {kind}"
        ))),
    }
}

/// The member of an object or a map that has been made before.
pub(super) fn member_of(made: &Outcome, name: &str) -> Option<Outcome> {
    members(made.as_ref().ok()?)?.known.get(name)?.clone()
}

/// The element of a list that has been made before.
pub(super) fn item_of(made: &Outcome, index: usize) -> Option<Outcome> {
    match made {
        Ok(cel::Value::List(list)) if index < list.len() => Some(list.get(index)),
        _ => None,
    }
}

fn members(value: &cel::Value) -> Option<&Members> {
    match value {
        cel::Value::Map(cel::Map::Foreign(map)) => map.as_any()?.downcast_ref(),
        _ => None,
    }
}

fn list(items: &[Value], node: &Node) -> Outcome {
    let Some(of_items) = &node.items else {
        return Err(EvalError::new("invalid array type, expected Items with a non-empty Schema"));
    };
    let items = items.iter().map(|item| of(item, of_items, of_items.embedded)).collect();
    Ok(cel::Value::foreign_list(List::new(items, node)))
}

fn string(text: &EcoString, format: &str) -> Outcome {
    let bad = |what: &str, why: String| EvalError::new(format!("Invalid {what} {text}: {why}"));
    Ok(match format {
        "duration" => {
            let nanos = formats::duration(text);
            let why = || bad("duration", format!("unable to parse {text} as duration"));
            cel::Value::Duration(nanos.ok_or_else(why)?)
        }
        "date" => {
            let time = Timestamp::parse(&format!("{text}T00:00:00Z"));
            cel::Value::Timestamp(time.ok_or_else(|| bad("date formatted string", times::wrong(text, times::DATE)))?)
        }
        "date-time" => {
            let why = || bad("date-time formatted string", times::wrong(text, times::DATE_TIME));
            cel::Value::Timestamp(Timestamp::parse(text).ok_or_else(why)?)
        }
        "byte" => {
            let why =
                |error| bad("byte formatted string", format!("illegal base64 data at input byte {}", place(error)));
            cel::Value::bytes(&BASE64.decode(text.as_bytes()).map_err(why)?)
        }
        _ => cel::Value::String(text.clone()),
    })
}

/// The byte that is wrong.
fn place(error: DecodeError) -> usize {
    match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) | DecodeError::InvalidLength(at) => at,
        DecodeError::InvalidPadding => 0,
    }
}

// === impl Members ===

impl Members {
    fn of(value: &Value, node: &Node, is_root: bool) -> Members {
        let adds_meta = is_root && !says_all_of_meta(Typed(node));
        let are_named = adds_meta || !node.properties.is_empty();
        let (mut known, mut rest) = (BTreeMap::new(), BTreeMap::new());
        for (name, member) in value.members() {
            let of_member = match (name, adds_meta) {
                ("kind" | "apiVersion", true) => Some(&*TEXT),
                ("metadata", true) => Some(&*METADATA),
                _ => match &node.additional {
                    _ if are_named => node.properties.get(name),
                    Additional::Schema(values) => Some(&**values),
                    _ => None,
                },
            };
            match of_member {
                None => drop(rest.insert(name.into(), member.clone())),
                Some(_) if are_named && member.is_null() => drop(known.insert(name.into(), None)),
                Some(of_member) => drop(known.insert(name.into(), Some(of(member, of_member, of_member.embedded)))),
            }
        }
        Members { are_named, known, rest }
    }

    fn find(&self, name: &str) -> Option<&Outcome> {
        self.known.get(name)?.as_ref()
    }

    fn is_same(&self, other: &cel::Value) -> Result<bool, EvalError> {
        let cel::Value::Map(other_map) = other else { return Err(EvalError::new("no such overload")) };
        if self.len() != other_map.len() {
            return Ok(false);
        }
        let theirs = members(other);
        for (name, own) in &self.known {
            let found = match theirs {
                Some(theirs) => theirs.find(name).cloned().transpose()?,
                None => other_map.get(&cel::Value::String(name.clone()))?,
            };
            match (own, found) {
                (None, None) => {}
                (Some(own), Some(found)) => {
                    if !own.clone()?.equals(&found)? {
                        return Ok(false);
                    }
                }
                _ => return Ok(false),
            }
        }
        if self.rest.is_empty() {
            return Ok(true);
        }
        // Such objects are compared with their like alone.
        let theirs = theirs.ok_or_else(|| EvalError::new("no such overload"))?;
        Ok(self.rest.iter().all(|(name, own)| theirs.rest.get(name).is_none_or(|other| own == other)))
    }
}

impl MapLike for Members {
    fn len(&self) -> usize {
        self.known.len() + self.rest.len()
    }

    fn get(&self, key: &cel::Value) -> Result<Option<cel::Value>, EvalError> {
        let Some(name) = key.as_str() else { return Err(EvalError::new("no such overload")) };
        let found = match self.are_named && name.contains("__") {
            true => unescape_name(name).and_then(|name| self.find(&name)),
            false => self.find(name),
        };
        found.cloned().transpose()
    }

    fn keys(&self) -> Vec<cel::Value> {
        let written = |name: &EcoString| match escape_name(name).filter(|_| self.are_named) {
            Some(escaped) => cel::Value::string(escaped),
            None => cel::Value::String(name.clone()),
        };
        self.known.keys().map(written).collect()
    }

    fn equals(&self, other: &cel::Value) -> Option<Result<bool, EvalError>> {
        Some(self.is_same(other))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

// === impl Preserved ===

impl cel::Object for Preserved {
    fn value_type(&self) -> cel::Type {
        cel::Type::object("unknown")
    }

    fn equals(&self, other: &cel::Value) -> Result<bool, EvalError> {
        Ok(other.downcast::<Preserved>().is_some_and(|other| self.0 == other.0))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
