//! How a type merges: what server-side apply sees of a field.
//!
//! Upstream builds a second schema out of OpenAPI for this (kube-openapi/pkg/schemaconv); here it is read off [`Type`]
//! as the walks go.

use api::{EcoString, Value};

use super::element::Element;
use crate::types::{Field, Listing, OneOf, RawForm, Rest, Schemas, Shape, Type};

/// What stands somewhere in an object.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    Scalar(Scalar),
    Struct {
        kind: &'a Type,
        atomic: bool,
    },
    Map {
        item: &'a Shape,
        atomic: bool,
    },
    List {
        item: &'a Shape,
        listing: Listing,
        keys: &'a [EcoString],
    },
    /// Anything, as one value.
    Any,
    /// Anything: objects merge member by member, lists are one value.
    Open,
}

/// Kinds of scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Number,
    Text,
    Boolean,
    Any,
}

/// Forms that a value picks out of [`Form::Any`] and [`Form::Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picked {
    Scalar,
    List,
    Object,
}

// === impl Form ===

impl<'a> Form<'a> {
    /// The form of a struct type.
    pub fn of_type(kind: &'a Type, schemas: &'a Schemas) -> Form<'a> {
        match &kind.scalar {
            Some(shape) => Form::of_shape(shape, schemas),
            None => Form::Struct { kind, atomic: kind.atomic },
        }
    }

    /// The form of a shape about which its field says nothing: an element, a map's value.
    pub fn of_shape(shape: &'a Shape, schemas: &'a Schemas) -> Form<'a> {
        match shape {
            Shape::Bool => Form::Scalar(Scalar::Boolean),
            Shape::Int32 | Shape::Int64 | Shape::Float => Form::Scalar(Scalar::Number),
            Shape::Str | Shape::Bytes | Shape::Duration => Form::Scalar(Scalar::Text),
            Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::IntOrString => Form::Scalar(Scalar::Any),
            Shape::Raw(RawForm::Extension) => Form::Any,
            Shape::Raw(RawForm::FieldsV1 | RawForm::Json) => Form::Open,
            Shape::OneOf(OneOf::Array | OneOf::Bool | OneOf::StringArray, _) => Form::Open,
            Shape::Struct(id) => Form::of_type(schemas.get(*id), schemas),
            Shape::List(item) => Form::List { item, listing: Listing::Atomic, keys: &[] },
            Shape::Map(item) => Form::Map { item, atomic: false },
        }
    }

    pub fn of_field(field: &'a Field, schemas: &'a Schemas) -> Form<'a> {
        match Form::of_shape(&field.shape, schemas) {
            Form::List { item, .. } => Form::List { item, listing: field.listing, keys: &field.keys },
            Form::Struct { kind, atomic } => Form::Struct { kind, atomic: (atomic && !field.granular) || field.atomic },
            Form::Map { item, .. } => Form::Map { item, atomic: field.atomic },
            Form::Open if field.atomic => Form::Any,
            other => other,
        }
    }

    /// The form of a member, and whether the type declares it. `None` where there can be none.
    pub fn member(self, hint: usize, name: &str, schemas: &'a Schemas) -> Option<Member<'a>> {
        match self {
            Form::Struct { kind, .. } => match kind.field_after(hint, name) {
                Some((place, field)) => Some(Member { form: Form::of_field(field, schemas), declared: true, place }),
                None if kind.type_meta && (name == "kind" || name == "apiVersion") => {
                    Some(Member { form: Form::Scalar(Scalar::Text), declared: true, place: hint.wrapping_sub(1) })
                }
                None if has_rest(kind) => Some(Member { form: Form::Open, declared: false, place: hint }),
                None => None,
            },
            Form::Map { item, .. } => {
                Some(Member { form: Form::of_shape(item, schemas), declared: false, place: hint })
            }
            Form::Open => Some(Member { form: Form::Open, declared: false, place: hint }),
            Form::Any => Some(Member { form: Form::Any, declared: false, place: hint }),
            Form::Scalar(_) | Form::List { .. } => None,
        }
    }

    /// The form of a list's elements.
    pub fn item(self, schemas: &'a Schemas) -> Form<'a> {
        match self {
            Form::List { item, .. } => Form::of_shape(item, schemas),
            _ => Form::Any,
        }
    }

    /// The form that a value has where several may stand. Upstream: `deduceAtom`, `handleAtom`.
    pub fn pick(self, value: &Value) -> Picked {
        match (self, value) {
            (Form::Scalar(_), _) => Picked::Scalar,
            (Form::List { .. }, _) => Picked::List,
            (Form::Struct { .. } | Form::Map { .. }, _) => Picked::Object,
            (Form::Any | Form::Open, Value::Array(_)) => Picked::List,
            (Form::Any | Form::Open, Value::Object(_) | Value::Null) => Picked::Object,
            (Form::Any | Form::Open, _) => Picked::Scalar,
        }
    }

    /// Whether an object here is one value.
    pub fn is_atomic_object(self) -> bool {
        matches!(self, Form::Struct { atomic: true, .. } | Form::Map { atomic: true, .. } | Form::Any)
    }

    /// Whether a list here is one value.
    pub fn is_atomic_list(self) -> bool {
        !matches!(self, Form::List { listing: Listing::Map | Listing::Set, .. })
    }
}

/// Whether an object may have members that its type does not declare: any, where it declares none. Upstream: schemaconv
/// `parseObject`.
fn has_rest(kind: &Type) -> bool {
    match kind.rest {
        Rest::Open => true,
        Rest::Unsaid => kind.fields.is_empty() && !kind.type_meta,
        Rest::Closed => false,
    }
}

/// A member's form.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub form: Form<'a>,
    /// It is a field of a struct, not a key of a map.
    pub declared: bool,
    /// Its place among the fields: the next one is probably behind it.
    pub place: usize,
}

/// How an element of a set or of a list with keys is found again. Upstream: `listItemToPathElement`.
pub fn element_of(form: Form<'_>, item: &Value, schemas: &Schemas) -> Result<Element, String> {
    let Form::List { keys, listing, .. } = form else { return Err("invalid indexing of non-associative list".into()) };
    if listing != Listing::Map {
        return match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            scalar => Ok(Element::Value(scalar.clone())),
        };
    }
    let members = match item {
        Value::Object(members) => members,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        match members.get(key) {
            Some(value) => found.push((key.clone(), value.clone())),
            None => found.extend(key_default(form.item(schemas), key).map(|value| (key.clone(), value))),
        }
    }
    if found.is_empty() {
        let keys: Vec<String> = keys.iter().map(|k| api::field::quote(k)).collect();
        let keys = keys.join(" ");
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{keys}] (and doesn't have default values for any key fields)"
        ));
    }
    Ok(Element::key(found))
}

/// What a key that is missing stands for: the declared default, or the zero value of a field that Go always writes.
fn key_default(item: Form<'_>, key: &str) -> Option<Value> {
    let Form::Struct { kind, .. } = item else { return None };
    let (_, field) = kind.field(key)?;
    if field.default.is_some() {
        return field.default.clone();
    }
    // Declared by a marker and not by Go's zero: `+default=""`.
    let reference = kind.name == "io.k8s.api.core.v1.LocalObjectReference";
    if (field.pointer || field.omit != crate::Omit::Never) && !reference {
        return None;
    }
    match field.shape {
        Shape::Str => Some(Value::from("")),
        Shape::Int32 | Shape::Int64 | Shape::Float => Some(Value::Int(0)),
        Shape::Bool => Some(Value::Bool(false)),
        _ => None,
    }
}
