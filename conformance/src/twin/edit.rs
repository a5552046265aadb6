//! Changes to an object by path, and the forms of patch that say the same.

use api::{EcoString, Value, value};
use schema::{Schemas, Shape, TypeId};

/// One step of a path into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(EcoString),
    Item(usize),
}

/// A place and what is put there; none leaves the member or the item out, null is said as null.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub path: Vec<Step>,
    pub new: Option<Value>,
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
        Edit::at(path.iter().map(|name| Step::Member((*name).into())).collect(), new)
    }

    pub fn at(path: Vec<Step>, new: impl Into<Value>) -> Edit {
        Edit { path, new: Some(new.into()) }
    }

    pub fn without(path: Vec<Step>) -> Edit {
        Edit { path, new: None }
    }

    /// Makes the change; objects are made on the way, items that are not there are left alone.
    pub fn apply(&self, object: &mut Value) {
        let Some(new) = &self.new else { return self.leave_out(object) };
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
        *at = new.clone();
    }

    fn leave_out(&self, object: &mut Value) {
        let Some((last, way)) = self.path.split_last() else { return };
        let mut at = object;
        for step in way {
            let next = match step {
                Step::Member(name) => at.get_mut(name),
                Step::Item(i) => at.as_array_mut().and_then(|items| items.get_mut(*i)),
            };
            let Some(next) = next else { return };
            at = next;
        }
        match last {
            Step::Member(name) => drop(at.remove(name)),
            Step::Item(i) => {
                if let Some(items) = at.as_array_mut().filter(|items| *i < items.len()) {
                    items.remove(*i);
                }
            }
        }
    }

    pub fn title(&self) -> String {
        let at = shown(&self.path);
        match &self.new {
            Some(new) => format!("{at}: {}", codec::json::to_string(new).chars().take(60).collect::<String>()),
            None => format!("without {at}"),
        }
    }

    /// As a merge patch, where no list stands on the way.
    pub fn merge_patch(&self) -> Option<Value> {
        let mut patch = Value::object();
        let mut at = &mut patch;
        for step in &self.path {
            let Step::Member(name) = step else { return None };
            at = at.entry(name);
        }
        *at = self.new.clone().unwrap_or_default();
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
            (None, _) => value!([{"op": "remove", "path": pointer}]),
            (Some(new), Some(_)) => value!([{"op": "replace", "path": pointer, "value": (new.clone())}]),
            (Some(new), None) => value!([{"op": "add", "path": pointer, "value": (new.clone())}]),
        }
    }

    /// `[["spec","containers",0],value]`, without the value what leaves out.
    pub fn to_value(&self) -> Value {
        let path = self.path.iter().map(|step| match step {
            Step::Member(name) => Value::Str(name.clone()),
            Step::Item(i) => Value::from(*i),
        });
        Value::array([Value::array(path.collect())].into_iter().chain(self.new.clone()).collect())
    }

    pub fn from_value(value: &Value) -> Option<Edit> {
        let (path, new) = match value.items() {
            [path] => (path, None),
            [path, new] => (path, Some(new.clone())),
            _ => return None,
        };
        let step = |v: &Value| match v {
            Value::Str(name) => Some(Step::Member(name.clone())),
            Value::Int(i) => Some(Step::Item(usize::try_from(*i).ok()?)),
            _ => None,
        };
        Some(Edit { path: path.items().iter().map(step).collect::<Option<_>>()?, new })
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

/// An edit as the smallest object that says it (null takes a member away), with the keys of the items on the way; none where a list has none.
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
    *at = edit.new.clone().unwrap_or_default();
    Some(out)
}
