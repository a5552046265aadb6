//! Documents as protobuf: what kubectl asks for, since it is quicker to read.
//!
//! The messages are gnostic's, which reads the JSON of a document member by member: [`v2`] and [`v3`] say which member is
//! which field, and what is here writes any document by such rows. Upstream: kube-openapi/pkg/handler `ToProtoBinary`,
//! handler3 `ToV3ProtoBinary`; github.com/google/gnostic-models, openapiv2/OpenAPIv2.go, openapiv3/OpenAPIv3.go.

mod v2;
mod v3;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api::Value;
use codec::proto::fields;

use super::sink::Sink;

/// Writes the message `Document` of a version.
pub struct Proto {
    /// The document, and what is open in it.
    levels: Vec<Level>,
}

/// What a value is written as.
enum Form {
    Text,
    Flag,
    /// A double.
    Number,
    Int,
    /// Its text in YAML.
    Yaml,
    /// Each item of a list, under the same number.
    Each(&'static Form),
    Message(&'static [Field]),
    /// A message with one field alone: the first that the value is fit for, and none when it is fit for none.
    OneOf(&'static [(Fit, Field)]),
}

struct Field {
    number: u32,
    pick: Pick,
    form: &'static Form,
}

/// Which part of an object a field is about.
enum Pick {
    Member(&'static str),
    /// Every member whose name is such a one: pairs of name and value.
    Named(fn(&str) -> bool),
    /// All of it.
    Whole,
}

/// What a value has to be.
enum Fit {
    Text,
    Flag,
    Number,
    /// An object with this member.
    Has(&'static str),
    /// An object whose member says this.
    Says(&'static str, &'static str),
    Anything,
}

/// A message that is being written. Fields stand by their numbers, whichever comes first.
struct Level {
    /// Its number in what is around it; 0 of the document, and of what no row knows, which is dropped.
    number: u32,
    fields: &'static [Field],
    written: BTreeMap<u32, Vec<u8>>,
}

// === impl Proto ===

impl Proto {
    /// `openapi.v2.Document`.
    pub fn v2() -> Proto {
        Proto { levels: vec![Level::new(0, &v2::DOCUMENT)] }
    }

    /// `openapi.v3.Document`.
    pub fn v3() -> Proto {
        Proto { levels: vec![Level::new(0, &v3::DOCUMENT)] }
    }

    /// The bytes, once everything that was opened is closed.
    pub fn finish(mut self) -> Vec<u8> {
        self.levels.pop().map(Level::bytes).unwrap_or_default()
    }
}

impl Sink for Proto {
    fn open(&mut self, name: &str) {
        let field = self.levels.last().and_then(|level| level.field(name));
        self.levels
            .push(field.map_or_else(|| Level::new(0, &Form::Text), |field| Level::new(field.number, field.form)));
    }

    fn put(&mut self, name: &str, value: Value) {
        let Some(level) = self.levels.last_mut() else { return };
        let Some(field) = level.field(name) else { return };
        let out = level.written.entry(field.number).or_default();
        match field.pick {
            Pick::Named(_) => entry(field.number, name, field.form, &value, out),
            _ => put(field.number, field.form, &value, false, out),
        }
    }

    fn close(&mut self) {
        let Some(level) = self.levels.pop().filter(|level| level.number != 0) else { return };
        if let Some(around) = self.levels.last_mut() {
            let number = level.number;
            fields::bytes(number, &level.bytes(), around.written.entry(number).or_default());
        }
    }
}

// === impl Level ===

impl Level {
    fn new(number: u32, form: &'static Form) -> Level {
        let fields = if let Form::Message(fields) = form { fields } else { &[][..] };
        Level { number, fields, written: BTreeMap::new() }
    }

    /// The field that a member is.
    fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| match field.pick {
            Pick::Member(member) => member == name,
            Pick::Named(is_one) => is_one(name),
            Pick::Whole => false,
        })
    }

    fn bytes(self) -> Vec<u8> {
        self.written
            .into_values()
            .reduce(|mut all, more| {
                all.extend_from_slice(&more);
                all
            })
            .unwrap_or_default()
    }
}

// === impl Fit ===

impl Fit {
    fn is_fit(&self, value: &Value) -> bool {
        match self {
            Fit::Text => value.as_str().is_some(),
            Fit::Flag => value.as_bool().is_some(),
            Fit::Number => number(value).is_some(),
            Fit::Has(name) => value.has(name),
            Fit::Says(name, word) => value.str(name) == *word,
            Fit::Anything => true,
        }
    }
}

/// Writes a field. What is zero is left out unless it says something that it is there.
fn put(number_of: u32, form: &'static Form, value: &Value, is_told: bool, out: &mut Vec<u8>) {
    match form {
        Form::Text => {
            if let Some(text) = value.as_str().filter(|text| is_told || !text.is_empty()) {
                fields::bytes(number_of, text.as_bytes(), out);
            }
        }
        Form::Flag => {
            if let Some(flag) = value.as_bool().filter(|flag| is_told || *flag) {
                fields::varint(number_of, u64::from(flag), out);
            }
        }
        Form::Int => {
            if let Some(int) = value.as_int().filter(|int| is_told || *int != 0) {
                fields::varint(number_of, int as u64, out);
            }
        }
        Form::Number => {
            if let Some(number) = number(value).filter(|number| is_told || number.to_bits() != 0) {
                fields::double(number_of, number, out);
            }
        }
        Form::Yaml => fields::bytes(number_of, codec::yaml::in_order(value).as_bytes(), out),
        Form::Each(form) => value.items().iter().for_each(|item| put(number_of, form, item, true, out)),
        Form::Message(_) | Form::OneOf(_) => fields::nested(number_of, out, |out| message(form, value, out)),
    }
}

fn message(form: &'static Form, value: &Value, out: &mut Vec<u8>) {
    match form {
        Form::Message(fields) => fields.iter().for_each(|field| pick(field, value, false, out)),
        Form::OneOf(rows) => {
            if let Some((_, field)) = rows.iter().find(|(fit, _)| fit.is_fit(value)) {
                pick(field, value, true, out);
            }
        }
        _ => {}
    }
}

fn pick(field: &'static Field, value: &Value, is_told: bool, out: &mut Vec<u8>) {
    match field.pick {
        Pick::Member(name) => {
            if let Some(member) = value.get(name) {
                put(field.number, field.form, member, is_told, out);
            }
        }
        Pick::Named(is_one) => {
            let members = value.members().filter(|(name, _)| is_one(name));
            members.for_each(|(name, member)| entry(field.number, name, field.form, member, out));
        }
        Pick::Whole => put(field.number, field.form, value, is_told, out),
    }
}

/// A member of a map: name 1, value 2.
fn entry(number: u32, name: &str, form: &'static Form, value: &Value, out: &mut Vec<u8>) {
    fields::nested(number, out, |out| {
        put(1, &Form::Text, &Value::from(name), false, out);
        put(2, form, value, false, out);
    });
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

// What rows are made of.

static TEXTS: Form = Form::Each(&Form::Text);
/// Any value: a message with its text alone.
static ANY: Form = Form::Message(&[whole(2, &Form::Yaml)]);

const fn member(number: u32, name: &'static str, form: &'static Form) -> Field {
    Field { number, pick: Pick::Member(name), form }
}

const fn text(number: u32, name: &'static str) -> Field {
    member(number, name, &Form::Text)
}

const fn flag(number: u32, name: &'static str) -> Field {
    member(number, name, &Form::Flag)
}

const fn double(number: u32, name: &'static str) -> Field {
    member(number, name, &Form::Number)
}

const fn int(number: u32, name: &'static str) -> Field {
    member(number, name, &Form::Int)
}

const fn texts(number: u32, name: &'static str) -> Field {
    member(number, name, &TEXTS)
}

const fn whole(number: u32, form: &'static Form) -> Field {
    Field { number, pick: Pick::Whole, form }
}

const fn named(number: u32, is_one: fn(&str) -> bool, form: &'static Form) -> Field {
    Field { number, pick: Pick::Named(is_one), form }
}

/// Every member that is an extension.
const fn extensions(number: u32) -> Field {
    named(number, is_extension, &ANY)
}

fn is_any(_: &str) -> bool {
    true
}

fn is_extension(name: &str) -> bool {
    name.starts_with("x-")
}

fn is_path(name: &str) -> bool {
    name.starts_with('/')
}
