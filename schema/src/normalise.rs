//! Brings a tree into the form in which Go would write it.
//!
//! Struct members in declared order, empty ones left out as `omitempty` says, those that are always written put in,
//! maps sorted by key. Rules may then write members wherever they like. Upstream has no such step: its structs cannot
//! be in any other form.

use api::{Map, Value, value};

use crate::types::{Field, Omit, Schemas, Shape, Type, TypeId};

/// Normalises an object of a struct type, in place.
pub fn object(value: &mut Value, id: TypeId, schemas: &Schemas) {
    let kind = schemas.get(id);
    let members = value.make_object();
    for (name, member) in members.iter_mut() {
        if let Some((_, field)) = kind.field(name) {
            shape(member, &field.shape, schemas);
        }
    }
    members.retain(|name, member| kind.field(name).is_none_or(|(_, field)| is_written(member, field)));
    if !is_in_order(members, kind) {
        reorder(members, kind, schemas);
    }
}

/// Normalises what stands in a field of this shape.
pub fn shape(value: &mut Value, of: &Shape, schemas: &Schemas) {
    match of {
        Shape::Struct(id) if !value.is_null() => object(value, *id, schemas),
        Shape::List(item) => {
            if is_plain(item) {
                return;
            }
            for element in value.as_array_mut().into_iter().flatten() {
                shape(element, item, schemas);
            }
        }
        Shape::Map(item) => {
            let Some(members) = value.as_object_mut() else { return };
            members.sort();
            for (_, member) in members.iter_mut().filter(|_| !is_plain(item)) {
                shape(member, item, schemas);
            }
        }
        Shape::OneOf(_, id) => match value {
            Value::Object(_) => object(value, *id, schemas),
            Value::Array(items) => {
                items.iter_mut().filter(|i| i.as_object().is_some()).for_each(|i| object(i, *id, schemas))
            }
            _ => {}
        },
        _ => {}
    }
}

/// Whether a shape has nothing inside that could be out of order.
fn is_plain(of: &Shape) -> bool {
    !matches!(of, Shape::Struct(_) | Shape::List(_) | Shape::Map(_) | Shape::OneOf(..))
}

/// Whether Go writes this member of a struct.
pub fn is_written(value: &Value, field: &Field) -> bool {
    if field.omit == Omit::Never {
        return true;
    }
    if value.is_null() {
        return is_mandatory(field);
    }
    match field.shape {
        // A pointer to a struct that is there is written, and so is a plain struct unless `omitzero` says otherwise.
        Shape::Struct(_) => field.pointer || field.omit != Omit::Zero || !value.is_empty(),
        Shape::Raw(_) | Shape::OneOf(..) | Shape::IntOrString => true,
        // Upstream's Quantity and Time are structs: their text is never empty.
        Shape::Quantity | Shape::Time | Shape::MicroTime | Shape::Duration => true,
        Shape::List(_) | Shape::Map(_) | Shape::Bytes => !value.is_empty(),
        _ => field.pointer || !value.is_empty(),
    }
}

fn is_in_order(members: &Map, kind: &Type) -> bool {
    let mut next = 0;
    let mut missing = kind.fields.iter().enumerate().filter(|(_, f)| is_mandatory(f)).map(|(i, _)| i).peekable();
    let skip = if kind.type_meta { 2 } else { 0 };
    if kind.type_meta && !members.keys().take(2).eq(["kind", "apiVersion"].iter()) && members.contains_key("kind") {
        return false;
    }
    let skip = if members.contains_key("kind") && kind.type_meta { skip } else { 0 };
    for (name, _) in members.iter().skip(skip) {
        let Some((i, _)) = kind.field_after(next, name) else { return false };
        if i < next || missing.peek().is_some_and(|m| *m < i) {
            return false;
        }
        missing.next_if_eq(&i);
        next = i + 1;
    }
    missing.peek().is_none()
}

/// A field that is written though nobody set it: never omitted, or a plain struct, as times and quantities are, too.
fn is_mandatory(field: &Field) -> bool {
    match field.omit {
        Omit::Never => true,
        Omit::Empty => is_struct(&field.shape) && !field.pointer,
        Omit::Zero => false,
    }
}

/// What is a struct in Go and so never empty. A condition without a probe's time says `"lastProbeTime": null`.
fn is_struct(shape: &Shape) -> bool {
    use Shape::{Duration, IntOrString, MicroTime, Quantity, Struct, Time};
    matches!(shape, Struct(_) | Time | MicroTime | Duration | Quantity | IntOrString)
}

fn reorder(members: &mut Map, kind: &Type, schemas: &Schemas) {
    let mut old = std::mem::take(members);
    if kind.type_meta {
        for name in ["kind", "apiVersion"] {
            if let Some(value) = take(&mut old, name) {
                members.push_new(name.into(), value);
            }
        }
    }
    for field in &kind.fields {
        match take(&mut old, &field.name) {
            Some(value) => members.push_new(field.name.clone(), value),
            None if is_mandatory(field) => members.push_new(field.name.clone(), zero(field, schemas)),
            None => {}
        }
    }
    // What the schema does not know keeps its place at the end: nothing is lost here.
    for (name, value) in old {
        if !value.is_null() && !members.contains_key(&name) {
            members.push_new(name, value);
        }
    }
}

/// Takes a member out and leaves null, which costs no shifting.
fn take(members: &mut Map, name: &str) -> Option<Value> {
    let value = members.get_mut(name)?;
    Some(value.take())
}

/// What Go writes for a member that nobody set.
fn zero(field: &Field, schemas: &Schemas) -> Value {
    match &field.shape {
        _ if field.pointer => Value::Null,
        Shape::Bool => value!(false),
        Shape::Int32 | Shape::Int64 | Shape::Float => value!(0),
        Shape::Str => value!(""),
        Shape::Quantity => value!("0"),
        Shape::Duration => value!("0s"),
        Shape::IntOrString => value!(0),
        Shape::Struct(id) => {
            let mut value = Value::object();
            object(&mut value, *id, schemas);
            value
        }
        _ => Value::Null,
    }
}
