//! An object: one ordered tree of JSON's types.
//!
//! Reading follows Go's zero values: a member that is missing reads as [`Value::NULL`], `""`, `0` or `false`, so that a
//! rule reads like upstream's and never has to ask first. Writing creates what is missing on the way.

mod convert;
mod map;
#[cfg(test)]
mod tests;

pub use map::{Map, is_same_name};

use ecow::EcoString;

/// A JSON value whose members keep their order. 24 bytes; short strings are stored in place.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(EcoString),
    Array(Box<Vec<Value>>),
    Object(Box<Map>),
}

static NULL: Value = Value::Null;

impl Value {
    /// What a missing member reads as.
    pub const NULL: &'static Value = &NULL;

    pub fn str_of(text: impl Into<EcoString>) -> Value {
        Value::Str(text.into())
    }

    pub fn object() -> Value {
        Value::Object(Box::default())
    }

    pub fn array(items: Vec<Value>) -> Value {
        Value::Array(Box::new(items))
    }

    // --- reading

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Null, `""`, `0`, `false`, `[]` or `{}`: what Go's `omitempty` leaves out.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Int(i) => *i == 0,
            Value::Float(f) => *f == 0.0,
            Value::Str(s) => s.is_empty(),
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.is_empty(),
        }
    }

    /// The member `key`, or null.
    pub fn at(&self, key: &str) -> &Value {
        self.get(key).unwrap_or(Value::NULL)
    }

    /// The member at the end of a path of member names, or null.
    pub fn at_path(&self, path: &[&str]) -> &Value {
        path.iter().fold(self, |v, key| v.at(key))
    }

    /// The member `key` if this is an object that has it (a null member counts as there).
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(o) => o.get(key),
            _ => None,
        }
    }

    /// Whether the member `key` is there and not null: a Go pointer, slice or map that is not nil.
    pub fn has(&self, key: &str) -> bool {
        !self.at(key).is_null()
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Value::Object(o) => Some(o),
            _ => None,
        }
    }

    /// The string member `key`, `""` when it is missing.
    pub fn str(&self, key: &str) -> &str {
        self.at(key).as_str().unwrap_or("")
    }

    /// The integer member `key`, 0 when it is missing.
    pub fn int(&self, key: &str) -> i64 {
        self.at(key).as_int().unwrap_or(0)
    }

    /// The boolean member `key`, false when it is missing.
    pub fn bool(&self, key: &str) -> bool {
        self.at(key).as_bool().unwrap_or(false)
    }

    pub fn opt_str(&self, key: &str) -> Option<&str> {
        self.at(key).as_str()
    }

    pub fn opt_int(&self, key: &str) -> Option<i64> {
        self.at(key).as_int()
    }

    pub fn opt_bool(&self, key: &str) -> Option<bool> {
        self.at(key).as_bool()
    }

    /// The elements of an array, none for anything else.
    pub fn items(&self) -> &[Value] {
        self.as_array().unwrap_or(&[])
    }

    /// The elements of the array member `key`.
    pub fn list(&self, key: &str) -> &[Value] {
        self.at(key).items()
    }

    /// The members of an object in order, none for anything else.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.as_object().into_iter().flat_map(Map::iter)
    }

    /// The members of the object member `key` that are strings, as of a `map[string]string`.
    pub fn strings(&self, key: &str) -> impl Iterator<Item = (&str, &str)> {
        self.at(key).members().filter_map(|(k, v)| Some((k, v.as_str()?)))
    }

    /// Whether upstream's semantic equality would call these equal: nothing, `[]` and a map without keys are one, members
    /// have no order.
    ///
    /// A struct without members is not nothing: it is a pointer to one, which is not nil. Upstream:
    /// `equality.Semantic.DeepEqual`.
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            _ if self.is_nothing() && other.is_nothing() => true,
            (Value::Object(a), Value::Object(b)) => {
                // What both have is compared once: twice would double with each level.
                a.iter().all(|(key, value)| value.is_same(other.at(key)))
                    && b.iter().all(|(key, value)| a.get(key).is_some() || value.is_nothing())
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.is_same(b))
            }
            _ => self == other,
        }
    }

    /// Null, a list without elements, a map without keys.
    fn is_nothing(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_keyless(),
            _ => false,
        }
    }

    /// Whether Go's `reflect.DeepEqual` would call these equal: what is empty is not what is missing.
    pub fn is_identical(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Object(a), Value::Object(b)) => {
                a.is_keyless() == b.is_keyless()
                    && a.iter().all(|(key, value)| value.is_identical(other.at(key)))
                    && b.iter().all(|(key, value)| value.is_null() || !self.at(key).is_null())
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.is_identical(b))
            }
            _ => self == other,
        }
    }

    // --- writing

    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Value::Object(o) => Some(o),
            _ => None,
        }
    }

    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_object_mut()?.get_mut(key)
    }

    /// The member at the end of a path, when all of it is there.
    pub fn path_mut(&mut self, path: &[&str]) -> Option<&mut Value> {
        path.iter().try_fold(self, |v, key| v.get_mut(key))
    }

    /// This as an object; anything else is replaced by an empty one.
    pub fn make_object(&mut self) -> &mut Map {
        if !matches!(self, Value::Object(_)) {
            *self = Value::object();
        }
        self.as_object_mut().expect("it was just made one")
    }

    /// This as an array; anything else is replaced by an empty one.
    pub fn make_array(&mut self) -> &mut Vec<Value> {
        if !matches!(self, Value::Array(_)) {
            *self = Value::array(vec![]);
        }
        self.as_array_mut().expect("it was just made one")
    }

    /// The member `key`, made null when it is missing; this becomes an object.
    pub fn entry(&mut self, key: &str) -> &mut Value {
        self.make_object().entry(key)
    }

    /// The member at the end of a path; objects are made on the way.
    pub fn entry_path(&mut self, path: &[&str]) -> &mut Value {
        path.iter().fold(self, |v, key| v.entry(key))
    }

    /// Sets the member `key`; this becomes an object.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        *self.entry(key) = value.into();
    }

    /// Sets the member at the end of a path.
    pub fn set_path(&mut self, path: &[&str], value: impl Into<Value>) {
        *self.entry_path(path) = value.into();
    }

    /// Sets the member `key` where it is missing or null. Returns whether it did.
    pub fn default(&mut self, key: &str, value: impl Into<Value>) -> bool {
        let missing = !self.has(key);
        if missing {
            self.set(key, value);
        }
        missing
    }

    /// Takes the member `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.as_object_mut()?.remove(key)
    }

    /// Takes the member at the end of a path out.
    pub fn remove_path(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        self.path_mut(parents)?.remove(last)
    }

    /// Takes this value and leaves null.
    pub fn take(&mut self) -> Value {
        std::mem::take(self)
    }
}

/// Builds a [`Value`] from a literal that looks like JSON; where a value stands, any expression that is `Into<Value>` may.
#[macro_export]
macro_rules! value {
    (@object $map:ident) => {};
    (@object $map:ident $key:literal : null $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::Value::Null);
        $crate::value!(@object $map $($($rest)*)?);
    };
    (@object $map:ident $key:literal : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::value!([ $($inner)* ]));
        $crate::value!(@object $map $($($rest)*)?);
    };
    (@object $map:ident $key:literal : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $map.insert($key, $crate::value!({ $($inner)* }));
        $crate::value!(@object $map $($($rest)*)?);
    };
    (@object $map:ident $key:literal : $value:expr $(, $($rest:tt)*)?) => {
        $map.insert($key, $value);
        $crate::value!(@object $map $($($rest)*)?);
    };
    (@array $items:ident) => {};
    (@array $items:ident null $(, $($rest:tt)*)?) => {
        $items.push($crate::Value::Null);
        $crate::value!(@array $items $($($rest)*)?);
    };
    (@array $items:ident [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $items.push($crate::value!([ $($inner)* ]));
        $crate::value!(@array $items $($($rest)*)?);
    };
    (@array $items:ident { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $items.push($crate::value!({ $($inner)* }));
        $crate::value!(@array $items $($($rest)*)?);
    };
    (@array $items:ident $value:expr $(, $($rest:tt)*)?) => {
        $items.push($crate::Value::from($value));
        $crate::value!(@array $items $($($rest)*)?);
    };
    (null) => { $crate::Value::Null };
    ([ $($items:tt)* ]) => {{
        #[allow(unused_mut)]
        let mut items: Vec<$crate::Value> = Vec::new();
        $crate::value!(@array items $($items)*);
        $crate::Value::array(items)
    }};
    ({ $($members:tt)* }) => {{
        #[allow(unused_mut)]
        let mut map = $crate::Map::new();
        $crate::value!(@object map $($members)*);
        $crate::Value::Object(Box::new(map))
    }};
    ($other:expr) => { $crate::Value::from($other) };
}
