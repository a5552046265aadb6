//! Values: what variables hold and what expressions come to.
//!
//! A clone costs no more than a counter. Lists, maps and objects may be foreign: read out of somebody else's tree when an
//! expression asks, through [`ListLike`], [`MapLike`] and [`Object`]. Upstream: cel-go common/types.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use ecow::EcoString;

use crate::types::Type;

pub(crate) mod arithmetic;
mod compare;
mod convert;
mod equal;
mod map;
pub(crate) mod show;

pub use convert::parse_duration;
pub use map::{Key, Map};

/// A value of the language.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(EcoString),
    Bytes(Arc<[u8]>),
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    List(List),
    Map(Map),
    Object(Arc<dyn Object>),
    Optional(Option<Arc<Value>>),
    Type(Type),
}

/// A moment, and the offset from UTC in which it was written down.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    /// Since 1970.
    pub seconds: i64,
    pub nanos: u32,
    pub offset_seconds: i32,
}

/// A list: the language's own, or a foreign one.
#[derive(Clone, Debug)]
pub enum List {
    Own(Arc<Vec<Value>>),
    Foreign(Arc<dyn ListLike>),
}

/// A list in somebody else's tree.
pub trait ListLike: fmt::Debug + Send + Sync {
    fn len(&self) -> usize;

    /// The element at `index`, which is less than the length; an error is the value's, as when it is not what its schema says.
    fn get(&self, index: usize) -> Result<Value, EvalError>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Equality of its own (a list that is a set or a map); `None` for element by element.
    fn equals(&self, _other: &Value) -> Option<Result<bool, EvalError>> {
        None
    }

    /// Addition of its own (a list that is a set or a map); `None` for one behind the other.
    fn concat(&self, _other: &List) -> Option<Result<Value, EvalError>> {
        None
    }

    /// For whoever made it, to know it again.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// A map, or an object whose fields are read by name, in somebody else's tree.
pub trait MapLike: fmt::Debug + Send + Sync {
    fn len(&self) -> usize;

    /// The value at `key`; an error is the value's own.
    fn get(&self, key: &Value) -> Result<Option<Value>, EvalError>;

    /// In an order that is always the same.
    fn keys(&self) -> Vec<Value>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Equality of its own; `None` for key by key.
    fn equals(&self, _other: &Value) -> Option<Result<bool, EvalError>> {
        None
    }

    /// For whoever made it, to know it again.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// A value with a type of its own: of a library, or made by [`crate::TypeProvider::construct`].
pub trait Object: fmt::Debug + Send + Sync + Any {
    /// What `type()` says.
    fn value_type(&self) -> Type;

    fn equals(&self, other: &Value) -> Result<bool, EvalError>;

    fn as_any(&self) -> &dyn Any;

    /// The field of this name; the outer `None` for a value that has no fields at all.
    fn get(&self, _field: &str) -> Option<Result<Value, EvalError>> {
        None
    }

    /// Whether the field is there; `None` for a value that has no fields at all.
    fn has(&self, _field: &str) -> Option<bool> {
        None
    }

    /// What it counts in costs; `None` counts as one.
    fn size(&self) -> Option<u64> {
        None
    }

    /// Whether `optional.ofNonZeroValue` takes it for nothing.
    fn is_zero(&self) -> bool {
        false
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError {
    /// In upstream's words.
    pub message: String,
    pub kind: ErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Of the expression; `&&`, `||`, `all` and `exists` may absorb it.
    Plain,
    /// It cost more than it may.
    CostLimit,
    /// Whoever asked does not want to know any more.
    Interrupted,
}

pub(crate) type Outcome = Result<Value, EvalError>;

// === impl Value ===

impl Value {
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(List::Own(Arc::new(items)))
    }

    /// Of entries whose keys are bool, int, uint or string; a later entry of the same key wins.
    pub fn map(entries: Vec<(Value, Value)>) -> Value {
        Value::Map(Map::from_entries(entries))
    }

    pub fn string(text: impl Into<EcoString>) -> Value {
        Value::String(text.into())
    }

    pub fn bytes(bytes: &[u8]) -> Value {
        Value::Bytes(bytes.into())
    }

    pub fn some(value: Value) -> Value {
        Value::Optional(Some(Arc::new(value)))
    }

    pub fn object(object: impl Object) -> Value {
        Value::Object(Arc::new(object))
    }

    pub fn foreign_list(list: impl ListLike + 'static) -> Value {
        Value::List(List::Foreign(Arc::new(list)))
    }

    pub fn foreign_map(map: impl MapLike + 'static) -> Value {
        Value::Map(Map::Foreign(Arc::new(map)))
    }

    /// The type at run time: what `type()` says.
    pub fn value_type(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Timestamp(_) => Type::Timestamp,
            Value::Duration(_) => Type::Duration,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Value::Object(object) => object.value_type(),
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Type(_) => Type::Type(None),
        }
    }

    /// A library's own value, when it is one of this sort.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        match self {
            Value::Object(object) => object.as_any().downcast_ref(),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A time or a duration as JSON has it.
    pub fn time_text(&self) -> Option<String> {
        match self {
            Value::Timestamp(time) => Some(show::rfc3339(time)),
            Value::Duration(nanos) => Some(show::seconds(*nanos)),
            _ => None,
        }
    }

    /// What `size()` counts; `None` for what has no size. Code points of a string, bytes, elements, entries.
    pub(crate) fn size(&self) -> Option<u64> {
        Some(match self {
            Value::String(text) => code_points(text) as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Object(object) => return object.size(),
            _ => return None,
        })
    }

    /// Empty, zero, null: what `optional.ofNonZeroValue` takes for nothing.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Int(value) => *value == 0,
            Value::Uint(value) => *value == 0,
            Value::Double(value) => *value == 0.0,
            Value::String(text) => text.is_empty(),
            Value::Bytes(bytes) => bytes.is_empty(),
            Value::Timestamp(time) => time.seconds == Timestamp::MIN_SECONDS && time.nanos == 0,
            Value::Duration(nanos) => *nanos == 0,
            Value::List(list) => list.is_empty(),
            Value::Map(map) => map.is_empty(),
            Value::Object(object) => object.is_zero(),
            Value::Optional(_) | Value::Type(_) => false,
        }
    }
}

/// The number of code points, quickly for text that has no others than ASCII's.
pub(crate) fn code_points(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

// === impl List ===

impl List {
    pub fn len(&self) -> usize {
        match self {
            List::Own(items) => items.len(),
            List::Foreign(list) => list.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`, which is less than the length.
    pub fn get(&self, index: usize) -> Outcome {
        match self {
            List::Own(items) => {
                items.get(index).cloned().ok_or_else(|| EvalError::new(format!("index out of bounds: {index}")))
            }
            List::Foreign(list) => list.get(index),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Outcome> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// One behind the other, reusing the storage of the first when nobody else holds it.
    pub(crate) fn concat(self, other: &List) -> Outcome {
        if let List::Foreign(list) = &self
            && let Some(own) = list.concat(other)
        {
            return own;
        }
        let mut items = match self {
            List::Own(items) => items,
            List::Foreign(list) => Arc::new((0..list.len()).map(|i| list.get(i)).collect::<Result<Vec<_>, _>>()?),
        };
        match other {
            List::Own(more) => Arc::make_mut(&mut items).extend(more.iter().cloned()),
            List::Foreign(_) => {
                let more = other.iter().collect::<Result<Vec<_>, _>>()?;
                Arc::make_mut(&mut items).extend(more);
            }
        }
        Ok(Value::List(List::Own(items)))
    }
}

// === impl EvalError ===

impl EvalError {
    pub fn new(message: impl Into<String>) -> EvalError {
        EvalError { message: message.into(), kind: ErrorKind::Plain }
    }

    pub(crate) fn no_such_overload() -> EvalError {
        EvalError::new("no such overload")
    }

    pub(crate) fn no_such_key(key: &Value) -> EvalError {
        EvalError::new(format!("no such key: {}", show::plain(key)))
    }

    pub(crate) fn is_plain(&self) -> bool {
        self.kind == ErrorKind::Plain
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EvalError {}

// === impl From ===

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value.into())
    }
}
