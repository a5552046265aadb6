//! Trees as values of the expression language: as their JSON, with times and bytes as text, and read only where an
//! expression goes.
//!
//! Upstream: apiserver/pkg/cel/common SchemalessTypedToVal.

use std::{fmt, sync::Arc};

use api::Value;
use cel::{EvalError, ListLike, MapLike};

/// Steps that are remembered in place; what is deeper is copied out.
const STEPS_MAX: usize = 15;

/// A list or an object somewhere in a tree, by the steps that lead to it.
#[derive(Clone)]
struct Place {
    root: Arc<Value>,
    len: u8,
    steps: [u32; STEPS_MAX],
}

/// A tree as a value of the expression language.
pub fn value_of(root: &Arc<Value>) -> cel::Value {
    let place = Place { root: root.clone(), len: 0, steps: [0; STEPS_MAX] };
    value_at(root, || Some(place))
}

fn value_at(value: &Value, place: impl FnOnce() -> Option<Place>) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(it) => cel::Value::Bool(*it),
        Value::Int(it) => cel::Value::Int(*it),
        Value::Float(it) => cel::Value::Double(*it),
        Value::Str(text) => cel::Value::String(text.clone()),
        Value::Array(items) => match place() {
            Some(place) => cel::Value::foreign_list(place),
            None => cel::Value::list(items.iter().map(copied).collect()),
        },
        Value::Object(members) => match place() {
            Some(place) => cel::Value::foreign_map(place),
            None => {
                let entry = |(key, member): (&str, &Value)| (cel::Value::string(key), copied(member));
                cel::Value::map(members.iter().map(entry).collect())
            }
        },
    }
}

fn copied(value: &Value) -> cel::Value {
    value_at(value, || None)
}

// === impl Place ===

impl Place {
    fn here(&self) -> &Value {
        let steps = self.steps[..usize::from(self.len)].iter().map(|step| *step as usize);
        steps.fold(&*self.root, |value, step| match value {
            Value::Array(items) => &items[step],
            Value::Object(members) => members.nth(step).map_or(Value::NULL, |(_, member)| member),
            _ => Value::NULL,
        })
    }

    /// What stands one step further.
    fn step(&self, value: &Value, step: usize) -> cel::Value {
        value_at(value, || {
            let (len, step) = (usize::from(self.len), u32::try_from(step).ok()?);
            let mut further = self.clone();
            *further.steps.get_mut(len)? = step;
            further.len += 1;
            Some(further)
        })
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.here().fmt(f)
    }
}

impl ListLike for Place {
    fn len(&self) -> usize {
        self.here().items().len()
    }

    fn get(&self, index: usize) -> Result<cel::Value, EvalError> {
        let item = self.here().items().get(index);
        item.map(|item| self.step(item, index)).ok_or_else(|| EvalError::new(format!("index out of bounds: {index}")))
    }
}

impl MapLike for Place {
    fn len(&self) -> usize {
        self.here().as_object().map_or(0, api::Map::len)
    }

    fn get(&self, key: &cel::Value) -> Result<Option<cel::Value>, EvalError> {
        let (Some(members), Some(key)) = (self.here().as_object(), key.as_str()) else { return Ok(None) };
        let found = members.position(key).and_then(|place| Some((place, members.nth(place)?.1)));
        Ok(found.map(|(place, member)| self.step(member, place)))
    }

    fn keys(&self) -> Vec<cel::Value> {
        let members = self.here().as_object();
        members.into_iter().flat_map(|members| members.keys()).map(|key| cel::Value::String(key.clone())).collect()
    }
}
