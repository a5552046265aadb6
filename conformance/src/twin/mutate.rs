//! Variations of a valid object, driven by the types' facts.

use api::{EcoString, Value, value};
use schema::{Schemas, Shape, TypeId};

/// One step of a path into an object.
#[derive(Clone, Debug)]
enum Step {
    Member(EcoString),
    Item(usize),
}

/// A variation with its name.
pub struct Variation {
    pub title: String,
    pub object: Value,
}

/// Fields that a sample lacks are tried down to this depth.
const ADDED_DEPTH_MAX: usize = 7;

/// Every variation of a sample.
pub fn all(sample: &Value, kind_type: TypeId, schemas: &Schemas) -> Vec<Variation> {
    let mut walk = Walk { sample, schemas, out: Vec::new() };
    walk.structure(sample, kind_type, &mut Vec::new());
    walk.out
}

struct Walk<'a> {
    sample: &'a Value,
    schemas: &'a Schemas,
    out: Vec<Variation>,
}

impl Walk<'_> {
    fn structure(&mut self, value: &Value, id: TypeId, path: &mut Vec<Step>) {
        let kind = self.schemas.get(id);
        for field in &kind.fields {
            // What is the server's in metadata is tried by hand elsewhere.
            if path.is_empty() && field.name == "status" {
                continue;
            }
            path.push(Step::Member(field.name.clone()));
            match value.get(&field.name) {
                Some(present) => self.present(present, &field.shape, path),
                None if path.len() <= ADDED_DEPTH_MAX => self.absent(&field.shape, &field.values, path),
                None => {}
            }
            path.pop();
        }
        path.push(Step::Member("bogus".into()));
        self.set(path, value!("x"));
        path.pop();
    }

    /// A member that the sample has: without it, and with other values in its place.
    fn present(&mut self, value: &Value, shape: &Shape, path: &mut Vec<Step>) {
        self.set(path, Value::Null);
        for other in retyped(shape).into_iter().chain(odd(shape)) {
            self.set(path, other);
        }
        match (shape, value) {
            (Shape::Struct(id), Value::Object(_)) => self.structure(value, *id, path),
            (Shape::List(item), Value::Array(items)) => {
                self.set(path, value!([]));
                if let Some(first) = items.first() {
                    let mut doubled = items.to_vec();
                    doubled.push(first.clone());
                    self.set(path, Value::array(doubled));
                    path.push(Step::Item(0));
                    self.present(first, item, path);
                    path.pop();
                }
            }
            (Shape::Map(item), Value::Object(members)) => {
                for key in ["Bad Key!", "example.com/ok", ""] {
                    path.push(Step::Member(key.into()));
                    self.set(path, plausible(item).unwrap_or_else(|| value!("x")));
                    path.pop();
                }
                if let Some((key, first)) = members.iter().next() {
                    path.push(Step::Member(key.into()));
                    self.present(first, item, path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// A member that the sample lacks: with plausible and with odd values.
    fn absent(&mut self, shape: &Shape, values: &[EcoString], path: &[Step]) {
        for known in values {
            self.set(path, Value::Str(known.clone()));
        }
        if let Some(plausible) = plausible(shape) {
            self.set(path, plausible);
        }
        for odd in odd(shape) {
            self.set(path, odd);
        }
    }

    fn set(&mut self, path: &[Step], new: Value) {
        let mut object = self.sample.clone();
        let title = format!("{}: {}", shown(path), brief(&new));
        let mut at = &mut object;
        for step in path {
            at = match step {
                Step::Member(name) => at.entry(name),
                Step::Item(i) => match at.as_array_mut().and_then(|items| items.get_mut(*i)) {
                    Some(item) => item,
                    None => return,
                },
            };
        }
        *at = new;
        self.out.push(Variation { title, object });
    }
}

fn shown(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Member(name) if out.is_empty() => out += name,
            Step::Member(name) => out += &format!(".{name}"),
            Step::Item(i) => out += &format!("[{i}]"),
        }
    }
    out
}

fn brief(value: &Value) -> String {
    codec::json::to_string(value).chars().take(60).collect()
}

/// A value of a type that does not belong there.
fn retyped(shape: &Shape) -> Option<Value> {
    match shape {
        Shape::Str | Shape::Bytes => Some(value!(7)),
        Shape::Struct(_) | Shape::Map(_) => Some(value!("x")),
        Shape::List(_) => Some(value!({"a": 1})),
        Shape::Raw(_) => None,
        Shape::Quantity => Some(value!("five")),
        _ => Some(value!("x")),
    }
}

/// Values of the right type that are often wrong.
fn odd(shape: &Shape) -> Vec<Value> {
    match shape {
        Shape::Str => vec![value!(""), value!("Not Valid_!"), value!("a".repeat(300).as_str())],
        Shape::Int32 => vec![value!(-1), value!(0), value!(2_147_483_647), value!(4_294_967_296_i64)],
        Shape::Int64 => vec![value!(-1), value!(0), value!(9_000_000_000_000_000_i64)],
        Shape::Quantity => vec![value!("-1"), value!("0"), value!("1e3")],
        Shape::Bytes => vec![value!("!!!"), value!("")],
        Shape::IntOrString => vec![value!(-1), value!("150%"), value!("http")],
        Shape::Time | Shape::MicroTime => vec![value!("yesterday")],
        _ => Vec::new(),
    }
}

/// A value that may well be right.
fn plausible(shape: &Shape) -> Option<Value> {
    Some(match shape {
        Shape::Bool => value!(true),
        Shape::Int32 | Shape::Int64 => value!(1),
        Shape::Float => value!(1.5),
        Shape::Str => value!("abc"),
        Shape::Bytes => value!("YWJj"),
        Shape::Time => value!("2026-01-02T03:04:05Z"),
        Shape::MicroTime => value!("2026-01-02T03:04:05.000006Z"),
        Shape::Duration => value!("5s"),
        Shape::Quantity => value!("1500m"),
        Shape::IntOrString => value!("25%"),
        Shape::Struct(_) => value!({}),
        Shape::List(item) => Value::array(vec![plausible(item)?]),
        Shape::Map(item) => value!({"abc": (plausible(item)?)}),
        Shape::Raw(_) | Shape::OneOf(..) => value!({}),
    })
}
