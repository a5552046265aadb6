//! The types of expressions, and where an environment learns of objects' fields.
//!
//! A type is cheap to clone. Names are those that clients see in refusals: `list(string)`, `map(string, int)`,
//! `optional_type(int)`. Upstream: cel-go common/types/types.go, checker/format.go.

use std::fmt;
use std::sync::Arc;

use crate::value::{EvalError, Value};

/// The type of an expression, as the checker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Anything; what it really is shows when it is evaluated.
    Dyn,
    /// As [`Type::Dyn`], by another name.
    Any,
    /// Of an expression that has been refused already.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Type>),
    Map(Arc<(Type, Type)>),
    /// A type with fields, or one of the libraries' (`kubernetes.Quantity`).
    Object(Arc<str>),
    /// A type that is only what functions make of it: `optional_type(T)`, `net.IP`.
    Opaque(Arc<str>, Arc<[Type]>),
    /// The type of a type.
    Type(Option<Arc<Type>>),
    /// A parameter in a function's declaration.
    Param(Arc<str>),
    /// A type that the checker has yet to find.
    Var(u32),
}

/// The name of optional types.
pub(crate) const OPTIONAL: &str = "optional_type";

impl Type {
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    pub fn object(name: &str) -> Type {
        Type::Object(name.into())
    }

    pub fn opaque(name: &str, parameters: Vec<Type>) -> Type {
        Type::Opaque(name.into(), parameters.into())
    }

    pub fn optional(of: Type) -> Type {
        Type::opaque(OPTIONAL, vec![of])
    }

    pub fn type_of(of: Type) -> Type {
        Type::Type(Some(Arc::new(of)))
    }

    /// The name at run time, without parameters: `list`, `google.protobuf.Timestamp`.
    pub fn runtime_name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Any => "google.protobuf.Any",
            Type::Error => "error",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Duration => "google.protobuf.Duration",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Type(_) => "type",
            Type::Object(name) | Type::Opaque(name, _) | Type::Param(name) => name,
            Type::Var(_) => "_var",
        }
    }

    /// As Go prints it, and errors at run time say it: `google.protobuf.Duration`, `list(dyn)`.
    pub fn declared_name(&self) -> String {
        match self.parameters().as_slice() {
            [] => self.runtime_name().to_owned(),
            some => format!("{}({})", self.runtime_name(), joined(some.iter().map(|p| p.declared_name()))),
        }
    }

    pub(crate) fn parameters(&self) -> Vec<Type> {
        match self {
            Type::List(element) => vec![(**element).clone()],
            Type::Map(pair) => vec![pair.0.clone(), pair.1.clone()],
            Type::Opaque(_, parameters) => parameters.to_vec(),
            Type::Type(Some(of)) => vec![(**of).clone()],
            _ => Vec::new(),
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn | Type::Any)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        self.is_dyn() || matches!(self, Type::Error)
    }

    /// What an optional type is of, or the type itself; and whether it is optional.
    pub(crate) fn unwrap_optional(&self) -> (Type, bool) {
        match self {
            Type::Opaque(name, parameters) if &**name == OPTIONAL && parameters.len() == 1 => {
                (parameters[0].clone(), true)
            }
            other => (other.clone(), false),
        }
    }

    /// Equal but for the names of parameters.
    pub(crate) fn is_equivalent(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Param(_) | Type::Var(_), Type::Param(_) | Type::Var(_)) => true,
            (Type::List(a), Type::List(b)) => a.is_equivalent(b),
            (Type::Map(a), Type::Map(b)) => a.0.is_equivalent(&b.0) && a.1.is_equivalent(&b.1),
            (Type::Opaque(a, ap), Type::Opaque(b, bp)) => {
                a == b && ap.len() == bp.len() && ap.iter().zip(bp.iter()).all(|(a, b)| a.is_equivalent(b))
            }
            (Type::Type(Some(a)), Type::Type(Some(b))) => a.is_equivalent(b),
            (a, b) => a == b,
        }
    }
}

/// As refusals name a type.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Type::Any => "any",
            Type::Duration => "duration",
            Type::Timestamp => "timestamp",
            Type::Error => "!error!",
            Type::Null => "null",
            Type::Var(number) => return write!(f, "_var{number}"),
            other => other.runtime_name(),
        };
        match self.parameters().as_slice() {
            [] => f.write_str(name),
            some => write!(f, "{name}({})", joined(some.iter().map(|p| p.to_string()))),
        }
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// Where an environment learns which object types there are, what fields they have, and how one is made.
pub trait TypeProvider: Send + Sync {
    /// Whether there is an object type of this name.
    fn has_type(&self, name: &str) -> bool;

    /// What a name means: an object type of that name, as a rule.
    fn named(&self, name: &str) -> Option<Type> {
        self.has_type(name).then(|| Type::object(name))
    }

    /// The type of a field; `None` when the type has no such field.
    fn field(&self, object: &str, field: &str) -> Option<Type>;

    /// The value that `Name{field: value, …}` comes to.
    fn construct(&self, name: &str, fields: Vec<(Arc<str>, Value)>) -> Result<Value, EvalError> {
        let _ = fields;
        Err(EvalError::new(format!("unknown type '{name}'")))
    }
}

/// No object types at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTypes;

impl TypeProvider for NoTypes {
    fn has_type(&self, _: &str) -> bool {
        false
    }

    fn field(&self, _: &str, _: &str) -> Option<Type> {
        None
    }
}
