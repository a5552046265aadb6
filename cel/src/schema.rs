//! Types that schemas declare: what expressions may name below `self`, and how large it may be.
//!
//! A [`Schema`] is a look at somebody's tree; [`declare`] makes a [`Declared`] of it, which knows nothing of the tree any
//! more. [`DeclaredTypes`] gives such trees to an environment under names of their own; a [`Declared`] itself says
//! how large what an expression reads may be. Upstream: apiserver/pkg/cel/common/schemas.go SchemaDeclType,
//! apiserver/pkg/cel/types.go DeclType.

mod types;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::names::escape_name;
use crate::types::Type;

pub use types::DeclaredTypes;

/// The largest request there is. Upstream: apiserver/pkg/apis/cel/config.go MaxRequestSizeBytes.
pub const REQUEST_BYTES_MAX: i64 = 3 << 20;

/// The longest name of an object.
const NAME_MAX: i64 = 253;
/// Of a text, with its quotes.
const TEXT_MIN: i64 = 2;
const DURATION_MIN: i64 = 3;
const DURATION_MAX: i64 = 32;
const DATE_SIZE: i64 = 12;
const TIME_MIN: i64 = 21;
const TIME_MAX: i64 = 32;

/// A schema in somebody's tree; `'a` is the tree's.
pub trait Schema<'a>: Copy {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; `""` where none is said.
    fn kind(self) -> &'a str;

    /// `""` where none is said.
    fn format(self) -> &'a str;

    fn items(self) -> Option<Self>;

    fn properties(self) -> impl Iterator<Item = (&'a str, Self)>;

    fn property(self, name: &str) -> Option<Self>;

    /// The schema of members that are not declared.
    fn additional(self) -> Option<Self>;

    fn required(self) -> impl Iterator<Item = &'a str>;

    fn has_default(self) -> bool;

    fn is_int_or_string(self) -> bool;

    /// An object with apiVersion, kind and metadata.
    fn is_embedded(self) -> bool;

    /// In code points.
    fn len_max(self) -> Option<i64>;

    fn items_max(self) -> Option<i64>;

    fn members_max(self) -> Option<i64>;

    /// The bytes of the longest text that a value may be; `None` where the values are not told.
    fn longest_choice(self) -> Option<i64>;
}

/// What a schema declares.
#[derive(Debug)]
pub struct Declared {
    shape: Shape,
    /// Elements, entries or bytes.
    elements_max: i64,
    /// Bytes of JSON that the smallest value takes.
    size_min: i64,
}

#[derive(Debug)]
enum Shape {
    Plain(Type),
    List(Arc<Declared>),
    Map(Arc<Declared>),
    /// By the fields' names as expressions write them.
    Object(BTreeMap<Arc<str>, Arc<Declared>>),
}

/// What a schema declares; `None` when expressions are not to see values of it. `is_root`: of an object that has
/// apiVersion, kind and metadata, whatever the schema says of them.
pub fn declare<'a, S: Schema<'a>>(schema: S, is_root: bool) -> Option<Arc<Declared>> {
    declared(schema, is_root).map(Arc::new)
}

// === impl Declared ===

impl Declared {
    /// The type of a field, by its name as expressions write it.
    pub fn field(&self, escaped: &str) -> Option<&Arc<Declared>> {
        match &self.shape {
            Shape::Object(fields) => fields.get(escaped),
            _ => None,
        }
    }

    /// The type of a list's elements or a map's values.
    pub fn element(&self) -> Option<&Arc<Declared>> {
        match &self.shape {
            Shape::List(element) | Shape::Map(element) => Some(element),
            _ => None,
        }
    }

    /// Bytes of JSON that the smallest value takes.
    pub fn size_min(&self) -> u64 {
        self.size_min as u64
    }

    fn plain(t: Type, size_min: i64, elements_max: i64) -> Declared {
        Declared { shape: Shape::Plain(t), elements_max, size_min }
    }

    fn text(len_max: i64) -> Declared {
        Declared::plain(Type::String, TEXT_MIN, len_max)
    }
}

// === of a schema ===

fn declared<'a, S: Schema<'a>>(schema: S, is_root: bool) -> Option<Declared> {
    if schema.is_int_or_string() {
        let len_max = schema.len_max().map_or(REQUEST_BYTES_MAX - 2, bytes_of);
        return Some(Declared::plain(Type::Dyn, 1, len_max));
    }
    match schema.kind() {
        "array" => list(schema),
        "object" => match schema.additional() {
            Some(values) => map(schema, values),
            None => Some(object(schema, is_root)),
        },
        "string" => Some(string(schema)),
        "boolean" => Some(Declared::plain(Type::Bool, 4, 0)),
        "number" => Some(Declared::plain(Type::Double, 1, 0)),
        "integer" => Some(Declared::plain(Type::Int, 1, 0)),
        _ => None,
    }
}

fn list<'a, S: Schema<'a>>(schema: S) -> Option<Declared> {
    let items = schema.items()?;
    let element = declare(items, items.is_embedded())?;
    let elements_max = match schema.items_max() {
        Some(max) => max.max(0),
        None => (REQUEST_BYTES_MAX - 2) / (element.size_min + 1),
    };
    Some(Declared { shape: Shape::List(element), elements_max, size_min: 2 })
}

fn map<'a, S: Schema<'a>>(schema: S, values: S) -> Option<Declared> {
    let element = declare(values, values.is_embedded())?;
    let elements_max = match schema.members_max() {
        Some(max) => max.max(0),
        // A key takes six bytes with what stands around it.
        None => (REQUEST_BYTES_MAX - 2) / (element.size_min + 6),
    };
    Some(Declared { shape: Shape::Map(element), elements_max, size_min: 2 })
}

fn object<'a, S: Schema<'a>>(schema: S, is_root: bool) -> Declared {
    let required: BTreeSet<&str> = schema.required().collect();
    let (mut fields, mut size_min) = (BTreeMap::new(), 2);
    let mut put = |name: &str, field: Arc<Declared>, has_default: bool| {
        if required.contains(name) && !has_default {
            size_min += name.len() as i64 + field.size_min + 4;
        }
        if let Some(escaped) = escape_name(name) {
            fields.insert(Arc::from(escaped), field);
        }
    };
    let adds_meta = is_root && !says_all_of_meta(schema);
    for (name, property) in schema.properties() {
        if adds_meta && matches!(name, "kind" | "apiVersion" | "metadata") {
            continue;
        }
        if let Some(field) = declare(property, property.is_embedded()) {
            put(name, field, property.has_default());
        }
    }
    if adds_meta {
        put("kind", Arc::new(Declared::text(REQUEST_BYTES_MAX - 2)), false);
        put("apiVersion", Arc::new(Declared::text(REQUEST_BYTES_MAX - 2)), false);
        put("metadata", Arc::new(metadata(schema)), false);
    }
    Declared { shape: Shape::Object(fields), elements_max: 0, size_min }
}

/// Whether a schema tells of kind, apiVersion and both names itself.
pub fn says_all_of_meta<'a, S: Schema<'a>>(schema: S) -> bool {
    let is = |of: S, name: &str, kind: &str| of.property(name).is_some_and(|property| property.kind() == kind);
    is(schema, "kind", "string")
        && is(schema, "apiVersion", "string")
        && schema.property("metadata").is_some_and(|metadata| {
            metadata.kind() == "object" && is(metadata, "name", "string") && is(metadata, "generateName", "string")
        })
}

/// Names are no longer than names can be, or than the schema allows.
fn metadata<'a, S: Schema<'a>>(schema: S) -> Declared {
    let said = |name: &str| schema.property("metadata")?.property(name)?.len_max();
    let name = |name: &str, max: i64| {
        let max = said(name).filter(|said| *said < max).unwrap_or(max);
        (Arc::from(name), Arc::new(Declared::text(bytes_of(max))))
    };
    let fields = BTreeMap::from([name("name", NAME_MAX), name("generateName", NAME_MAX - 1)]);
    Declared { shape: Shape::Object(fields), elements_max: 0, size_min: 2 }
}

fn string<'a, S: Schema<'a>>(schema: S) -> Declared {
    match schema.format() {
        "byte" => {
            let max = schema.len_max().map_or(REQUEST_BYTES_MAX - 2, |max| max.max(0));
            Declared::plain(Type::Bytes, TEXT_MIN, max)
        }
        "duration" => Declared::plain(Type::Duration, DURATION_MIN, DURATION_MAX),
        "date" => Declared::plain(Type::Timestamp, DATE_SIZE, DATE_SIZE),
        "date-time" => Declared::plain(Type::Timestamp, TIME_MIN, TIME_MAX),
        _ => Declared::text(match (schema.len_max(), schema.longest_choice()) {
            (Some(max), _) => bytes_of(max),
            (None, Some(longest)) => longest,
            (None, None) => REQUEST_BYTES_MAX - 2,
        }),
    }
}

/// A code point takes up to four bytes.
fn bytes_of(code_points: i64) -> i64 {
    code_points.max(0).wrapping_mul(4)
}
