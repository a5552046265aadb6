//! Reads messages.

use api::{Map, Value};
use schema::{Field, OneOf, Schemas, Shape, Type, TypeId, Wire, WireField, normalise};

use super::{
    scalar,
    wire::{self, Reader},
};
use crate::{DEPTH_MAX, Error};

/// Reads the message of a struct.
pub fn message(bytes: &[u8], id: TypeId, schemas: &Schemas) -> Result<Value, Error> {
    Decoder { schemas, depth: 0 }.structure(bytes, id)
}

struct Decoder<'a> {
    schemas: &'a Schemas,
    depth: usize,
}

impl Decoder<'_> {
    fn structure(&mut self, bytes: &[u8], id: TypeId) -> Result<Value, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error("exceeded max depth".into()));
        }
        let kind = self.schemas.get(id);
        let mut members = Map::new();
        self.fields(bytes, &kind.wire, kind, &mut members)?;
        members.retain(|name, value| kind.field(name).is_none_or(|(_, f)| is_kept(value, f)));
        self.depth -= 1;
        Ok(Value::from(members))
    }

    fn fields(&mut self, bytes: &[u8], wire: &Wire, kind: &Type, members: &mut Map) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        while let Some((number, found)) = reader.next()? {
            let Ok(at) = wire.fields.binary_search_by_key(&number, |(n, _)| *n) else { continue };
            match (&wire.fields[at].1, found) {
                (WireField::Inline(inner), wire::Field::Bytes(bytes)) => self.fields(bytes, inner, kind, members)?,
                (WireField::Inline(_), _) => return Err(Error("proto: wrong wireType for an embedded message".into())),
                (WireField::Field(i), found) => self.member(found, &kind.fields[usize::from(*i)], members)?,
            }
        }
        Ok(())
    }

    fn member(&mut self, found: wire::Field<'_>, field: &Field, members: &mut Map) -> Result<(), Error> {
        match (&field.shape, found) {
            (Shape::List(item), wire::Field::Bytes(bytes)) if field.wrapped => {
                let list = self.wrapped(bytes, item)?;
                members.insert(field.name.clone(), list);
            }
            (Shape::List(item), found) => {
                let items = self.items(found, item)?;
                members.entry(&field.name).make_array().extend(items);
            }
            (Shape::Map(item), wire::Field::Bytes(bytes)) => {
                let (key, value) = self.pair(bytes, item, field.wrapped)?;
                members.entry(&field.name).make_object().insert(key, value);
            }
            (shape, found) => {
                let value = self.one(found, shape)?;
                members.insert(field.name.clone(), value);
            }
        }
        Ok(())
    }

    /// One element, or several numbers in one piece.
    fn items(&mut self, found: wire::Field<'_>, item: &Shape) -> Result<Vec<Value>, Error> {
        match (item, found) {
            (Shape::Int32 | Shape::Int64 | Shape::Bool, wire::Field::Bytes(packed)) => {
                let mut reader = Reader::new(packed);
                let mut items = Vec::new();
                while !reader.is_empty() {
                    items.push(scalar::read(wire::Field::Varint(reader.varint()?), item)?);
                }
                Ok(items)
            }
            _ => Ok(vec![self.one(found, item)?]),
        }
    }

    /// A message around a list of strings.
    fn wrapped(&mut self, bytes: &[u8], item: &Shape) -> Result<Value, Error> {
        let mut reader = Reader::new(bytes);
        let mut items = Vec::new();
        while let Some((number, found)) = reader.next()? {
            if number == 1 {
                items.push(self.one(found, item)?);
            }
        }
        Ok(Value::array(items))
    }

    fn pair(&mut self, bytes: &[u8], item: &Shape, wrapped: bool) -> Result<(api::EcoString, Value), Error> {
        let mut reader = Reader::new(bytes);
        let (mut key, mut value) = (api::EcoString::new(), zero(item));
        while let Some((number, found)) = reader.next()? {
            match (number, found, item) {
                (1, wire::Field::Bytes(text), _) => key = scalar::text(text)?,
                (2, wire::Field::Bytes(bytes), Shape::List(inner)) if wrapped => value = self.wrapped(bytes, inner)?,
                (2, found, item) => value = self.one(found, item)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    fn one(&mut self, found: wire::Field<'_>, shape: &Shape) -> Result<Value, Error> {
        match (shape, found) {
            (Shape::Struct(id), wire::Field::Bytes(bytes)) => self.structure(bytes, *id),
            (Shape::OneOf(form, id), wire::Field::Bytes(bytes)) => self.one_of(bytes, *form, *id),
            (Shape::List(item), wire::Field::Bytes(bytes)) => self.wrapped(bytes, item),
            (shape, found) => scalar::read(found, shape),
        }
    }

    fn one_of(&mut self, bytes: &[u8], form: OneOf, id: TypeId) -> Result<Value, Error> {
        let mut reader = Reader::new(bytes);
        let (mut allows, mut schema, mut items) = (false, None, Vec::new());
        while let Some((number, found)) = reader.next()? {
            match (form, number, found) {
                (OneOf::Bool, 1, wire::Field::Varint(v)) => allows = v != 0,
                (OneOf::Bool, 2, wire::Field::Bytes(b)) => schema = Some(self.structure(b, id)?),
                (_, 1, wire::Field::Bytes(b)) => schema = Some(self.structure(b, id)?),
                (OneOf::Array, 2, wire::Field::Bytes(b)) => items.push(self.structure(b, id)?),
                (OneOf::StringArray, 2, wire::Field::Bytes(b)) => items.push(Value::Str(scalar::text(b)?)),
                _ => {}
            }
        }
        Ok(match (schema, form) {
            (Some(schema), _) => schema,
            (None, OneOf::Bool) => Value::Bool(allows),
            (None, _) => Value::array(items),
        })
    }
}

/// Nulls and empty lists, which the wire cannot tell from none, empty maps and what `omitempty` leaves out are not there.
/// Bytes of which there are none are: they have been sent.
fn is_kept(value: &Value, field: &Field) -> bool {
    match field.shape {
        _ if value.is_null() => false,
        Shape::List(_) | Shape::Map(_) => !value.is_empty(),
        Shape::Bytes => true,
        _ => field.omit == schema::Omit::Never || normalise::is_written(value, field),
    }
}

fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Str | Shape::Bytes => Value::from(""),
        Shape::Int32 | Shape::Int64 => Value::Int(0),
        Shape::Bool => Value::Bool(false),
        Shape::Quantity => Value::from("0"),
        Shape::Struct(_) => Value::object(),
        _ => Value::Null,
    }
}
