//! Changes to an object by path, and the forms of patch that say the same.

use api::{EcoString, Value, value};
use schema::{Schemas, Shape, TypeId};

/// One step of a path into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(EcoString),
    Item(usize),
}

/// A place and what is put there; null takes a member away as far as the API is concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub path: Vec<Step>,
    pub new: Value,
}

/// `spec.containers[0].name`
pub fn shown(path: &[Step]) -> String {
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

// === impl Edit ===

impl Edit {
    pub fn of(path: &[&str], new: impl Into<Value>) -> Edit {
        Edit { path: path.iter().map(|name| Step::Member((*name).into())).collect(), new: new.into() }
    }

    /// Makes the change; objects are made on the way, items that are not there are left alone.
    pub fn apply(&self, object: &mut Value) {
        let mut at = object;
        for step in &self.path {
            at = match step {
                Step::Member(name) => at.entry(name),
                Step::Item(i) => match at.as_array_mut().and_then(|items| items.get_mut(*i)) {
                    Some(item) => item,
                    None => return,
                },
            };
        }
        *at = self.new.clone();
    }

    pub fn title(&self) -> String {
        let new: String = codec::json::to_string(&self.new).chars().take(60).collect();
        format!("{}: {new}", shown(&self.path))
    }

    /// As a merge patch, where no list stands on the way.
    pub fn merge_patch(&self) -> Option<Value> {
        let mut patch = Value::object();
        let mut at = &mut patch;
        for step in &self.path {
            let Step::Member(name) = step else { return None };
            at = at.entry(name);
        }
        *at = self.new.clone();
        Some(patch)
    }

    /// As a JSON patch's operation.
    pub fn json_patch(&self, object: &Value) -> Value {
        let mut pointer = String::new();
        let mut at = Some(object);
        for step in &self.path {
            match step {
                Step::Member(name) => {
                    pointer += &format!("/{}", name.replace("~", "~0").replace("/", "~1"));
                    at = at.and_then(|v| v.get(name));
                }
                Step::Item(i) => {
                    pointer += &format!("/{i}");
                    at = at.and_then(|v| v.items().get(*i));
                }
            }
        }
        match (&self.new, at) {
            (Value::Null, Some(_)) => value!([{"op": "remove", "path": pointer}]),
            (_, Some(_)) => value!([{"op": "replace", "path": pointer, "value": (self.new.clone())}]),
            _ => value!([{"op": "add", "path": pointer, "value": (self.new.clone())}]),
        }
    }

    /// `[["spec","containers",0],value]`
    pub fn to_value(&self) -> Value {
        let path = self.path.iter().map(|step| match step {
            Step::Member(name) => Value::Str(name.clone()),
            Step::Item(i) => Value::from(*i),
        });
        Value::array(vec![Value::array(path.collect()), self.new.clone()])
    }

    pub fn from_value(value: &Value) -> Option<Edit> {
        let [path, new] = value.items() else { return None };
        let step = |v: &Value| match v {
            Value::Str(name) => Some(Step::Member(name.clone())),
            Value::Int(i) => Some(Step::Item(usize::try_from(*i).ok()?)),
            _ => None,
        };
        Some(Edit { path: path.items().iter().map(step).collect::<Option<_>>()?, new: new.clone() })
    }
}

/// Which members tell a list's items apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    /// Strategic merge patch.
    Merge,
    /// Server-side apply.
    Apply,
}

/// An edit as the smallest object that says it, with the keys of the items on the way; none where a list has none.
pub fn sparse(edit: &Edit, object: &Value, kind: TypeId, schemas: &Schemas, keyed: Keyed) -> Option<Value> {
    let mut out = Value::object();
    let mut shape = Shape::Struct(kind);
    let (mut at, mut source) = (&mut out, object);
    let mut keys: Vec<EcoString> = Vec::new();
    for step in &edit.path {
        match step {
            Step::Member(name) => {
                let (inner, inner_keys) = match &shape {
                    Shape::Struct(id) => match schemas.get(*id).field(name) {
                        Some((_, field)) if keyed == Keyed::Merge && field.patch_merge_key.is_empty() => {
                            (field.shape.clone(), Vec::new())
                        }
                        Some((_, field)) if keyed == Keyed::Merge => {
                            (field.shape.clone(), vec![field.patch_merge_key.clone()])
                        }
                        Some((_, field)) => (field.shape.clone(), field.keys.clone()),
                        None => (Shape::Raw(schema::RawForm::Json), Vec::new()),
                    },
                    Shape::Map(item) => ((**item).clone(), Vec::new()),
                    _ => (Shape::Raw(schema::RawForm::Json), Vec::new()),
                };
                (shape, keys) = (inner, inner_keys);
                at = at.entry(name);
                source = source.at(name);
            }
            Step::Item(i) => {
                let item = source.items().get(*i)?;
                if keys.is_empty() {
                    return None;
                }
                let mut new = Value::object();
                for key in keys.iter().filter(|key| item.has(key)) {
                    new.set(key, item.at(key));
                }
                at.make_array().push(new);
                at = at.as_array_mut()?.first_mut()?;
                source = item;
                shape = match shape {
                    Shape::List(item) => *item,
                    other => other,
                };
            }
        }
    }
    *at = edit.new.clone();
    Some(out)
}
