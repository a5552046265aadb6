//! Variations of a valid object, driven by the types' facts: where an object can be changed, and into what.

use api::{EcoString, Value, value};
use schema::{Schemas, Shape, TypeId};

use super::{
    dice::Dice,
    edit::{Edit, Step},
};

/// A place of an object and what may be put there.
#[derive(Clone, Debug)]
pub struct Point {
    pub path: Vec<Step>,
    pub values: Vec<Value>,
}

/// Fields that a sample lacks are tried down to this depth.
const ADDED_DEPTH_MAX: usize = 7;

/// Every place of an object of a type with its values. `status` is looked at only when it is asked for by itself.
pub fn points(object: &Value, kind_type: TypeId, schemas: &Schemas) -> Vec<Point> {
    let mut walk = Walk { schemas, out: Vec::new(), top: true };
    walk.structure(object, kind_type, &mut Vec::new());
    walk.out
}

/// The same of one member.
pub fn points_of(object: &Value, kind_type: TypeId, member: &str, schemas: &Schemas) -> Vec<Point> {
    let mut walk = Walk { schemas, out: Vec::new(), top: false };
    if let Some((_, field)) = schemas.get(kind_type).field(member) {
        let mut path = vec![Step::Member(member.into())];
        match object.get(member) {
            Some(present) => walk.present(present, &field.shape, &mut path),
            None => walk.absent(&field.shape, &field.values, &path),
        }
    }
    walk.out
}

/// Every single change.
pub fn edits(points: &[Point]) -> Vec<Edit> {
    let of = |point: &Point| -> Vec<Edit> {
        point.values.iter().map(|new| Edit { path: point.path.clone(), new: new.clone() }).collect()
    };
    points.iter().flat_map(of).collect()
}

/// Subtrees that `full` has and `object` lacks: ways to get at fields that a small sample does not reach.
pub fn grafts(object: &Value, full: &Value, depth_max: usize) -> Vec<Edit> {
    let mut out = Vec::new();
    graft(object, full, &mut Vec::new(), depth_max, &mut out);
    out
}

fn graft(object: &Value, full: &Value, path: &mut Vec<Step>, depth_max: usize, out: &mut Vec<Edit>) {
    match (object, full) {
        (Value::Object(_), Value::Object(members)) => {
            for (name, member) in members.iter() {
                if path.is_empty() && matches!(name, "metadata" | "status" | "kind" | "apiVersion") {
                    continue;
                }
                path.push(Step::Member(name.into()));
                match object.get(name) {
                    Some(inner) if depth_max > 0 => graft(inner, member, path, depth_max - 1, out),
                    Some(_) => {}
                    None => out.push(Edit { path: path.clone(), new: member.clone() }),
                }
                path.pop();
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            if let (Some(ours), Some(theirs)) = (ours.first(), theirs.first()) {
                path.push(Step::Item(0));
                graft(ours, theirs, path, depth_max, out);
                path.pop();
            }
        }
        _ => {}
    }
}

/// A value of any kind, for a place whose type does not matter any more.
pub fn strange(dice: &mut Dice) -> Value {
    let long = |len: usize| Value::from("a".repeat(len));
    let values = [
        value!("A"),
        value!("-a"),
        value!("a-"),
        value!("a.b"),
        value!("a/b"),
        value!("a.b/c"),
        value!("a b"),
        value!("é"),
        value!("0"),
        value!("10"),
        value!("-1"),
        value!("1.5"),
        value!("a,b"),
        value!("a:b"),
        value!("*"),
        value!("10.0.0.1"),
        value!("10.0.0.0/8"),
        value!("fd00::1"),
        value!("010.0.0.1"),
        value!("http://a"),
        value!("a_b"),
        value!("a..b"),
        value!("kubernetes.io/a"),
        value!("../a"),
        value!("/a"),
        long(63),
        long(64),
        long(253),
        long(254),
        long(1025),
        value!(0),
        value!(1),
        value!(65_535),
        value!(65_536),
        value!(2_147_483_648_i64),
        value!(-2_147_483_649_i64),
        value!(1.5),
        value!(true),
        value!(false),
        Value::Null,
        value!([]),
        value!({}),
        value!([""]),
        value!([{}]),
        value!({"": ""}),
    ];
    values[dice.below(values.len())].clone()
}

struct Walk<'a> {
    schemas: &'a Schemas,
    out: Vec<Point>,
    top: bool,
}

impl Walk<'_> {
    fn structure(&mut self, value: &Value, id: TypeId, path: &mut Vec<Step>) {
        let kind = self.schemas.get(id);
        for field in &kind.fields {
            if self.top && path.is_empty() && field.name == "status" {
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
        self.at(path, vec![value!("x")]);
        path.pop();
    }

    /// A member that the sample has: without it, and with other values in its place.
    fn present(&mut self, value: &Value, shape: &Shape, path: &mut Vec<Step>) {
        let mut values = vec![Value::Null];
        values.extend(retyped(shape));
        values.extend(odd(shape));
        if let (Shape::List(_), Value::Array(items)) = (shape, value) {
            values.push(value!([]));
            if let Some(first) = items.first() {
                let mut doubled = items.to_vec();
                doubled.push(first.clone());
                values.push(Value::array(doubled));
            }
        }
        self.at(path, values);
        match (shape, value) {
            (Shape::Struct(id), Value::Object(_)) => self.structure(value, *id, path),
            (Shape::List(item), Value::Array(items)) => {
                if let Some(first) = items.first() {
                    path.push(Step::Item(0));
                    self.present(first, item, path);
                    path.pop();
                }
            }
            (Shape::Map(item), Value::Object(members)) => {
                for key in ["Bad Key!", "example.com/ok", ""] {
                    path.push(Step::Member(key.into()));
                    self.at(path, vec![plausible(item).unwrap_or_else(|| value!("x"))]);
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
    fn absent(&mut self, shape: &Shape, known: &[EcoString], path: &[Step]) {
        let mut values: Vec<Value> = known.iter().cloned().map(Value::Str).collect();
        values.extend(plausible(shape));
        values.extend(odd(shape));
        self.at(path, values);
    }

    fn at(&mut self, path: &[Step], values: Vec<Value>) {
        self.out.push(Point { path: path.to_vec(), values });
    }
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
