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
    /// None leaves the place out.
    pub values: Vec<Option<Value>>,
    /// The object has nothing there, so that the first value is one that may well be right.
    pub absent: bool,
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
            Some(present) => walk.present(present, &field.shape, &field.values, &mut path),
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
                    None => out.push(Edit::at(path.clone(), member.clone())),
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
    let long = |len: usize| Value::from(long(len));
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
                Some(present) => self.present(present, &field.shape, &field.values, path),
                None if path.len() <= ADDED_DEPTH_MAX => self.absent(&field.shape, &field.values, path),
                None => {}
            }
            path.pop();
        }
        path.push(Step::Member("bogus".into()));
        self.at(path, vec![Some(value!("x"))], false);
        path.pop();
    }

    /// A member that the sample has: null, without it, and with other values in its place, right and wrong.
    fn present(&mut self, value: &Value, shape: &Shape, known: &[EcoString], path: &mut Vec<Step>) {
        let mut values = vec![Value::Null];
        values.extend(known.iter().cloned().map(Value::Str));
        values.extend(another(value, shape));
        values.extend(retyped(shape));
        values.extend(odd(shape));
        if let (Shape::List(_), Value::Array(items)) = (shape, value)
            && let Some(first) = items.first()
        {
            let mut doubled = items.to_vec();
            doubled.push(first.clone());
            values.push(Value::array(doubled));
            values.extend(ITEM_COUNTS.iter().map(|len| many(first, *len)));
        }
        values.retain(|new| new != value);
        let values = std::iter::once(None).chain(values.into_iter().map(Some)).collect();
        self.at(path, values, false);
        match (shape, value) {
            (Shape::Struct(id), Value::Object(_)) => self.structure(value, *id, path),
            (Shape::List(item), Value::Array(items)) => {
                if let Some(first) = items.first() {
                    path.push(Step::Item(0));
                    self.present(first, item, known, path);
                    path.pop();
                }
            }
            (Shape::Map(item), Value::Object(members)) => {
                let long = [long(63), long(64), format!("{}/x", long(253)), format!("{}/x", long(254))];
                let keys = ["Bad Key!", "example.com/ok", ""].map(str::to_owned).into_iter().chain(long);
                for key in keys {
                    path.push(Step::Member(key.into()));
                    self.at(path, vec![Some(plausible(item).unwrap_or_else(|| value!("x")))], true);
                    path.pop();
                }
                if let Some((key, first)) = members.iter().next() {
                    path.push(Step::Member(key.into()));
                    self.present(first, item, &[], path);
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
        if let Shape::List(item) = shape
            && let Some(item) = plausible(item)
        {
            values.extend(ITEM_COUNTS.iter().map(|len| many(&item, *len)));
        }
        self.at(path, values.into_iter().map(Some).collect(), true);
    }

    fn at(&mut self, path: &[Step], values: Vec<Option<Value>>, absent: bool) {
        self.out.push(Point { path: path.to_vec(), values, absent });
    }
}

/// Limits of lists are such numbers, and one more is too many.
const ITEM_COUNTS: [usize; 8] = [3, 4, 20, 21, 32, 33, 100, 101];

fn long(len: usize) -> String {
    "a".repeat(len)
}

/// So many items like one, told apart where they have a name or are texts.
fn many(item: &Value, len: usize) -> Value {
    let nth = |n: usize| match item {
        Value::Str(text) => Value::from(format!("{text}{n}")),
        item => {
            let mut item = item.clone();
            if let Some(name) = item.opt_str("name").map(str::to_owned) {
                item.set("name", format!("{name}{n}"));
            }
            item
        }
    };
    Value::array((0..len).map(nth).collect())
}

/// Another value that is as likely to be right as the one that is there.
fn another(value: &Value, shape: &Shape) -> Vec<Value> {
    match (value, shape) {
        (Value::Bool(on), _) => vec![Value::Bool(!on)],
        (Value::Int(number), _) => vec![Value::Int(number.saturating_add(1))],
        (Value::Str(text), Shape::Str) => vec![Value::from(neighbour(text)), value!("abc")],
        (_, Shape::Struct(_) | Shape::List(_) | Shape::Map(_) | Shape::Raw(_) | Shape::OneOf(..)) => Vec::new(),
        (_, shape) => plausible(shape).into_iter().collect(),
    }
}

/// A text of the same form: its last letter or digit is the next one.
fn neighbour(text: &str) -> String {
    let next = |c: char| match c {
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        c => char::from_u32(u32::from(c) + 1).unwrap_or(c),
    };
    let last = text.char_indices().rev().find(|(_, c)| c.is_ascii_alphanumeric());
    match last {
        Some((at, c)) => format!("{}{}{}", &text[..at], next(c), &text[at + 1..]),
        None => format!("{text}a"),
    }
}

/// Two members of one structure at once, neither of which is there: most of what excludes each other stands so.
pub fn pair(points: &[Point], grafts: &[Edit], dice: &mut Dice) -> Vec<Edit> {
    let added = points.iter().filter(|point| point.absent).filter_map(|point| {
        let new = point.values.first()?.clone()?;
        Some(Edit::at(point.path.clone(), new))
    });
    let all: Vec<Edit> = added.chain(grafts.iter().cloned()).collect();
    let Some(first) = dice.pick(&all) else { return Vec::new() };
    let beside = |edit: &&Edit| {
        let (Some((a, place)), Some((b, other))) = (first.path.split_last(), edit.path.split_last()) else {
            return false;
        };
        place == other && a != b
    };
    let siblings: Vec<&Edit> = all.iter().filter(beside).collect();
    dice.pick(&siblings).map(|second| vec![first.clone(), (*second).clone()]).unwrap_or_default()
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
        Shape::Str => {
            let lengths = [63, 64, 253, 254].map(|len| Value::from(long(len)));
            [value!(""), value!("Not Valid_!")].into_iter().chain(lengths).collect()
        }
        Shape::Int32 => vec![value!(-1), value!(0), value!(2_147_483_647), value!(4_294_967_296_i64)],
        Shape::Int64 => vec![
            value!(-1),
            value!(0),
            value!(9_000_000_000_000_000_i64),
            Value::Int(i64::MAX),
            Value::Float(9_223_372_036_854_775_808.0),
            Value::Float(1e30),
        ],
        Shape::Quantity => vec![value!("-1"), value!("0"), value!("1e3")],
        Shape::Bytes => vec![value!("!!!"), value!("")],
        Shape::IntOrString => vec![value!(-1), value!("150%"), value!("http")],
        Shape::Time | Shape::MicroTime => vec![value!("yesterday")],
        Shape::List(_) => vec![value!([])],
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
