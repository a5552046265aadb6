//! Reads JSON into a tree of a known type.
//!
//! The first misfit of a type is remembered and reading goes on, since a syntax error further down comes first, as in
//! Go, which scans the whole text before it looks at types.

use std::{borrow::Cow, collections::HashSet};

use api::{EcoString, Map, Value};
use base64::{Engine, engine::general_purpose::STANDARD};
use schema::{Field, OneOf, Schemas, Shape, TypeId, normalise};

use super::{
    lexer::{self, Lexer},
    scalar::{self, Misfit, Token},
};
use crate::{DEPTH_MAX, Decoded, Error};

/// At most this many strict errors are kept. Upstream: `saveStrictError`.
const STRICT_LEN_MAX: usize = 100;

/// Reads an object of a struct type.
pub fn object(text: &[u8], id: TypeId, schemas: &Schemas) -> Result<Decoded, Error> {
    let mut reader = Reader::new(text, schemas);
    let kind = schemas.get(id);
    reader.context = kind.go_name();
    let value = match reader.lexer.peek_value()? {
        b'{' => reader.structure(id)?,
        _ => reader.shape(&Shape::Struct(id), &kind.go)?,
    };
    reader.finish(value)
}

/// Reads any JSON, as upstream's unstructured objects are read.
pub fn any(text: &[u8]) -> Result<Decoded, Error> {
    let mut reader = Reader::new(text, no_types());
    let value = reader.any()?;
    reader.finish(value)
}

/// A member of an object that is wanted: whole, or some members of it.
pub struct Part<'p> {
    pub name: &'p str,
    /// None for all of it.
    pub parts: &'p [Part<'p>],
}

/// Reads these members of an object and passes over the others, which costs a fraction of reading them.
pub fn parts(text: &[u8], wanted: &[Part<'_>]) -> Result<Value, Error> {
    let mut reader = Reader::new(text, no_types());
    let value = reader.parts(wanted)?;
    Ok(reader.finish(value)?.value)
}

fn no_types() -> &'static Schemas {
    static NONE: std::sync::OnceLock<Schemas> = std::sync::OnceLock::new();
    NONE.get_or_init(Schemas::new)
}

/// Reads a value of a shape.
pub(crate) fn shape(text: &[u8], shape: &Shape, schemas: &Schemas) -> Result<Value, Error> {
    let mut reader = Reader::new(text, schemas);
    let value = reader.shape(shape, "")?;
    Ok(reader.finish(value)?.value)
}

/// Whether a text is JSON at all. Upstream: Go's `json.Valid`.
pub fn is_valid(text: &[u8]) -> bool {
    let mut lexer = Lexer::new(text);
    lexer.peek_value().and_then(|_| lexer.skip()).and_then(|()| lexer.end()).is_ok()
}

/// The `apiVersion` and `kind` of a text, after reading all of it for its form. Upstream: `SimpleMetaFactory.Interpret`.
pub fn type_meta(text: &[u8]) -> Result<(String, String), Error> {
    let mut lexer = Lexer::new(text);
    let mut found = (String::new(), String::new());
    if lexer.peek_value()? != b'{' {
        let word = match lexer.peek_value()? {
            b'n' => return lexer.skip().and_then(|()| lexer.end()).map(|()| found),
            first => word_of(first),
        };
        lexer.skip()?;
        lexer.end()?;
        let wanted = "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
        return Err(Error(format!("json: cannot unmarshal {word} into Go value of type {wanted}")));
    }
    lexer.bump();
    let mut first = true;
    let mut misfit = None;
    while let Some(key) = lexer.key(std::mem::take(&mut first))? {
        let place = match key.as_str() {
            "apiVersion" => Some(&mut found.0),
            "kind" => Some(&mut found.1),
            _ => None,
        };
        match (place, lexer.peek_value()?) {
            (Some(place), b'"') => *place = lexer.string()?.to_string(),
            (Some(_), first) if first != b'n' => {
                let word = word_of(first);
                let error = format!("json: cannot unmarshal {word} into Go struct field .{key} of type string");
                misfit.get_or_insert(Error(error));
                lexer.skip()?;
            }
            _ => lexer.skip()?,
        }
    }
    lexer.end()?;
    misfit.map_or(Ok(found), Err)
}

/// Go's word for what begins with this.
fn word_of(first: u8) -> &'static str {
    match first {
        b'{' => "object",
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        _ => "number",
    }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    schemas: &'a Schemas,
    depth: usize,
    /// The first misfit.
    misfit: Option<Error>,
    /// It came from a type's own parser, after which Go reads no further.
    is_final: bool,
    strict: Vec<String>,
    seen: HashSet<String>,
    /// Where we are, for strict errors: names, keys and indices.
    path: Vec<Step<'a>>,
    /// The struct we are in, for type errors.
    context: &'a str,
    /// Go's name of the elements of the list or map we are in.
    element: &'a str,
}

/// Borrowed where it can be: nearly every body is read without one error that would name a step.
enum Step<'a> {
    /// A struct that Go embeds: it stands in type errors and nowhere else.
    Embedded(&'a str),
    Field(&'a str),
    Key(Cow<'a, str>),
    Index(usize),
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8], schemas: &'a Schemas) -> Reader<'a> {
        let lexer = Lexer::whole(text);
        Reader {
            lexer,
            schemas,
            depth: 0,
            misfit: None,
            is_final: false,
            strict: vec![],
            seen: HashSet::new(),
            path: vec![],
            context: "",
            element: "",
        }
    }

    fn finish(mut self, value: Value) -> Result<Decoded, Error> {
        self.lexer.end()?;
        match self.misfit {
            Some(error) => Err(error),
            None => Ok(Decoded { value, strict: self.strict }),
        }
    }

    /// A value of this shape; null for JSON's null and for what did not fit. `go_type` names a named type.
    fn shape(&mut self, shape: &Shape, go_type: &str) -> Result<Value, Error> {
        match (self.lexer.peek_value()?, shape) {
            (b'n', _) => self.lexer.literal("null").map(|()| Value::Null),
            (_, Shape::Raw(_)) => self.any(),
            (b'{', Shape::Struct(id)) => self.nested(b'{', |r| r.structure(*id)),
            (b'{', Shape::Map(item)) => {
                let map = self.nested(b'{', |r| r.map(item))?;
                Ok(if map.is_empty() { Map::keyless().into() } else { map })
            }
            (b'[', Shape::List(item)) => self.nested(b'[', |r| r.list(item)),
            (b'[', Shape::Bytes) => self.nested(b'[', Self::octets),
            (c, Shape::OneOf(form, id)) => self.one_of(c, *form, *id),
            (b'{', _) => self.skip_misfit("object", shape, go_type),
            (b'[', _) => self.skip_misfit("array", shape, go_type),
            (_, shape) => self.scalar(shape, go_type),
        }
    }

    fn nested<T>(&mut self, bracket: u8, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(lexer::too_deep(bracket));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn structure(&mut self, id: TypeId) -> Result<Value, Error> {
        self.lexer.bump();
        let kind = self.schemas.get(id);
        let outer = std::mem::replace(&mut self.context, kind.go_name());
        let mut members = Map::with_capacity(kind.fields.len().min(8));
        let mut first = true;
        let mut hint = 0;
        // Behind the last of those that were there nothing can have been before.
        let mut fresh_from = 0;
        while let Some(name) = self.lexer.name(std::mem::take(&mut first))? {
            if let Some((i, field)) = kind.field_after(hint, &name) {
                hint = i + 1;
                let again = i < fresh_from && members.contains_key(&field.name);
                fresh_from = fresh_from.max(hint);
                self.member(&mut members, field, again)?;
            } else if let Some(name) = ["kind", "apiVersion"].into_iter().find(|n| kind.type_meta && name == *n) {
                self.type_meta(&mut members, name)?;
            } else {
                self.note("unknown field", &name);
                self.lexer.peek_value()?;
                self.lexer.skip()?;
            }
        }
        self.context = outer;
        Ok(Value::from(members))
    }

    fn member(&mut self, members: &mut Map, field: &'a Field, again: bool) -> Result<(), Error> {
        if again {
            self.note("duplicate field", &field.name);
        }
        if !field.embed.is_empty() {
            self.path.push(Step::Embedded(&field.embed));
        }
        self.path.push(Step::Field(&field.name));
        let outer = std::mem::replace(&mut self.element, &field.go_element);
        let value = self.shape(&field.shape, &field.go_type)?;
        self.element = outer;
        self.path.pop();
        if !field.embed.is_empty() {
            self.path.pop();
        }
        match (is_kept(&value, field) && !value.is_null(), again) {
            (true, true) => drop(members.insert(field.name.clone(), value)),
            (true, false) => members.push_new(field.name.clone(), value),
            (false, true) => drop(members.remove(&field.name)),
            (false, false) => {}
        }
        Ok(())
    }

    fn type_meta(&mut self, members: &mut Map, name: &'static str) -> Result<(), Error> {
        if members.contains_key(name) {
            self.note("duplicate field", name);
        }
        self.path.push(Step::Field(name));
        let value = self.shape(&Shape::Str, "")?;
        self.path.pop();
        members.insert(name, value);
        Ok(())
    }

    fn map(&mut self, item: &Shape) -> Result<Value, Error> {
        self.lexer.bump();
        let mut members = Map::new();
        let mut first = true;
        let of_items = std::mem::take(&mut self.element);
        // Keys are mostly sorted: as long as they are, what is greater than the last one is new.
        let mut sorted = true;
        while let Some(name) = self.lexer.name(std::mem::take(&mut first))? {
            let key = EcoString::from(&*name);
            sorted &= members.last_key().is_none_or(|last| *last < key);
            let again = !sorted && members.contains_key(&key);
            if again {
                self.note("duplicate field", &key);
            }
            self.path.push(Step::Key(name));
            let mut value = self.shape(item, of_items)?;
            self.path.pop();
            // Go keeps the key with the zero value of its type.
            if value.is_null() {
                value = zero(item);
            }
            match again {
                true => drop(members.insert(key, value)),
                false => members.push_new(key, value),
            }
        }
        self.element = of_items;
        Ok(Value::from(members))
    }

    fn list(&mut self, item: &Shape) -> Result<Value, Error> {
        self.lexer.bump();
        let mut items = Vec::new();
        // The name is that of these elements; what they hold has names of its own.
        let name = std::mem::take(&mut self.element);
        while self.lexer.element(items.is_empty())? {
            self.path.push(Step::Index(items.len()));
            let value = self.shape(item, name)?;
            self.path.pop();
            items.push(if value.is_null() { zero(item) } else { value });
        }
        self.element = name;
        Ok(Value::array(items))
    }

    /// Bytes may be a list of numbers too, as for Go any `[]uint8` may.
    fn octets(&mut self) -> Result<Value, Error> {
        const OCTET: &str = "uint8";
        self.lexer.bump();
        let (mut octets, mut first) = (Vec::new(), true);
        while self.lexer.element(std::mem::take(&mut first))? {
            let word = match self.lexer.peek_value()? {
                b'"' => "string",
                b't' | b'f' => "bool",
                b'{' => "object",
                b'[' => "array",
                b'n' => "",
                _ => {
                    let number = self.lexer.number()?;
                    match number.parse() {
                        Ok(octet) => octets.push(octet),
                        Err(_) => self.misfit(&format!("number {number}"), &Shape::Bytes, OCTET),
                    }
                    continue;
                }
            };
            self.lexer.skip()?;
            match word {
                "" => octets.push(0),
                word => self.misfit(word, &Shape::Bytes, OCTET),
            }
        }
        Ok(Value::from(STANDARD.encode(octets)))
    }

    /// What reads itself from JSON: how strictly the whole is read does not reach into it. Upstream: apiextensions/v1/marshal.go.
    fn one_of(&mut self, first: u8, form: OneOf, id: TypeId) -> Result<Value, Error> {
        let noted = self.strict.len();
        let read = self.one_of_forms(first, form, id);
        self.strict.truncate(noted);
        read
    }

    fn one_of_forms(&mut self, first: u8, form: OneOf, id: TypeId) -> Result<Value, Error> {
        match (first, form) {
            (b'{', _) => self.nested(first, |r| r.structure(id)),
            (b'[', OneOf::Array) => self.nested(first, |r| r.list(&Shape::Struct(id))),
            (b'[', OneOf::StringArray) => self.nested(first, |r| r.list(&Shape::Str)),
            (b't' | b'f', OneOf::Bool) => self.scalar(&Shape::Bool, ""),
            _ => {
                self.lexer.skip()?;
                // What is no list either is as good as nothing.
                if form == OneOf::Bool {
                    self.fail(Error("boolean or JSON schema expected".into()));
                }
                Ok(Value::Null)
            }
        }
    }

    fn scalar(&mut self, shape: &Shape, go_type: &str) -> Result<Value, Error> {
        let text;
        let token = match self.lexer.peek_value()? {
            b'"' => {
                text = self.lexer.string()?;
                Token::Str(&text)
            }
            b't' => self.lexer.literal("true").map(|()| Token::Bool(true))?,
            b'f' => self.lexer.literal("false").map(|()| Token::Bool(false))?,
            _ => Token::Number(self.lexer.number()?),
        };
        match scalar::read(token, shape) {
            Ok(value) => return Ok(value),
            Err(Misfit::Own(text)) if matches!(shape, Shape::Bytes | Shape::Raw(_)) => self.fail(Error(text)),
            Err(Misfit::Own(text)) => self.stop(Error(text)),
            Err(Misfit::Inner(word, wanted)) => {
                let error = self.type_error(&word, wanted);
                self.stop(error);
            }
            Err(Misfit::Type(word)) => self.misfit(&word, shape, go_type),
        }
        Ok(Value::Null)
    }

    fn any(&mut self) -> Result<Value, Error> {
        match self.lexer.peek_value()? {
            b'{' => self.nested(b'{', |r| r.map(&Shape::Raw(schema::RawForm::Json))),
            b'[' => self.nested(b'[', |r| r.list(&Shape::Raw(schema::RawForm::Json))),
            b'n' => self.lexer.literal("null").map(|()| Value::Null),
            _ => self.scalar(&Shape::Raw(schema::RawForm::Json), ""),
        }
    }

    fn parts(&mut self, wanted: &[Part<'_>]) -> Result<Value, Error> {
        if wanted.is_empty() || self.lexer.peek_value()? != b'{' {
            return self.any();
        }
        self.lexer.bump();
        let mut members = Map::with_capacity(wanted.len());
        let mut first = true;
        while let Some(name) = self.lexer.name(std::mem::take(&mut first))? {
            match wanted.iter().find(|part| part.name == name) {
                Some(part) => {
                    let value = self.parts(part.parts)?;
                    members.insert(part.name, value);
                }
                None => self.lexer.skip()?,
            }
        }
        Ok(Value::from(members))
    }

    fn skip_misfit(&mut self, word: &str, shape: &Shape, go_type: &str) -> Result<Value, Error> {
        self.lexer.skip()?;
        match shape {
            Shape::Quantity => self.stop(Error(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".into(),
            )),
            Shape::Time | Shape::MicroTime | Shape::Duration => {
                let error = self.type_error(word, "string");
                self.stop(error);
            }
            Shape::IntOrString => {
                let error = self.type_error(word, "int32");
                self.stop(error);
            }
            _ => self.misfit(word, shape, go_type),
        }
        Ok(Value::Null)
    }

    /// Upstream: `UnmarshalTypeError.Error`.
    fn misfit(&mut self, word: &str, shape: &Shape, go_type: &str) {
        let wanted = if go_type.is_empty() { self.go_shape(shape) } else { go_type.to_string() };
        let error = self.type_error(word, &wanted);
        self.fail(error);
    }

    fn type_error(&self, word: &str, wanted: &str) -> Error {
        let names: Vec<&str> = self
            .path
            .iter()
            .filter_map(|s| if let Step::Field(n) | Step::Embedded(n) = s { Some(*n) } else { None })
            .collect();
        Error(match names.is_empty() {
            true => format!("json: cannot unmarshal {word} into Go value of type {wanted}"),
            false => {
                let (context, path) = (&self.context, names.join("."));
                format!("json: cannot unmarshal {word} into Go struct field {context}.{path} of type {wanted}")
            }
        })
    }

    fn fail(&mut self, error: Error) {
        self.misfit.get_or_insert(error);
    }

    /// What ends the reading is the error, whatever did not fit before.
    fn stop(&mut self, error: Error) {
        if !std::mem::replace(&mut self.is_final, true) {
            self.misfit = Some(error);
        }
    }

    fn note(&mut self, what: &str, name: &str) {
        if self.strict.len() >= STRICT_LEN_MAX {
            return;
        }
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Index(i) => path += &format!("[{i}]"),
                Step::Embedded(_) => {}
                Step::Field(n) => join(&mut path, n),
                Step::Key(n) => join(&mut path, n),
            }
        }
        let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        let text = format!("{what} {}", api::field::quote(&path));
        if self.seen.insert(text.clone()) {
            self.strict.push(text);
        }
    }

    /// Go's name for a shape.
    fn go_shape(&self, shape: &Shape) -> String {
        match shape {
            Shape::Bool => "bool".into(),
            Shape::Int32 => "int32".into(),
            Shape::Int64 => "int64".into(),
            Shape::Float => "float64".into(),
            Shape::Bytes => "[]uint8".into(),
            Shape::Struct(id) => self.schemas.get(*id).go.to_string(),
            Shape::List(item) => format!("[]{}", self.go_item(item)),
            Shape::Map(item) => format!("map[string]{}", self.go_item(item)),
            Shape::Quantity => "resource.Quantity".into(),
            Shape::Raw(schema::RawForm::Json) => "v1.JSON".into(),
            Shape::Raw(_) => "runtime.RawExtension".into(),
            _ => "string".into(),
        }
    }

    /// Go's name for what a list or map holds: types that read a string themselves are named here.
    fn go_item(&self, shape: &Shape) -> String {
        match shape {
            Shape::Time => "v1.Time".into(),
            Shape::MicroTime => "v1.MicroTime".into(),
            Shape::Duration => "v1.Duration".into(),
            Shape::IntOrString => "intstr.IntOrString".into(),
            _ => self.go_shape(shape),
        }
    }
}

fn join(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// Whether a decoded member stays. What is empty does where Go's is not nil, and rules tell the two apart.
fn is_kept(value: &Value, field: &Field) -> bool {
    match field.shape {
        Shape::List(_) | Shape::Map(_) | Shape::Bytes => true,
        _ => field.omit == schema::Omit::Never || normalise::is_written(value, field),
    }
}

fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Str | Shape::Bytes => Value::from(""),
        Shape::Int32 | Shape::Int64 => Value::Int(0),
        Shape::Bool => Value::Bool(false),
        Shape::Struct(_) => Value::object(),
        Shape::Quantity => Value::from("0"),
        _ => Value::Null,
    }
}
