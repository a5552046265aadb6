//! What expressions make patches of: `Object{spec: Object.spec{…}}` and `JSONPatch{op: …}`.
//!
//! Upstream: apiserver/pkg/cel/mutation.

use std::any::Any;
use std::sync::Arc;

use crate::types::Type;
use crate::value::{EvalError, List, Object, Value};

/// The type of objects; that of a member `spec` is `Object.spec`, and so on.
pub(super) const OBJECT: &str = "Object";
pub(super) const JSON_PATCH: &str = "JSONPatch";

/// An object that an expression has made.
#[derive(Debug)]
pub struct Made {
    /// `Object.spec`
    pub name: Arc<str>,
    pub fields: Vec<(Arc<str>, Value)>,
}

/// An operation of a JSON patch that an expression has made. What was not said is empty.
#[derive(Debug, Default)]
pub struct JsonPatch {
    pub op: String,
    pub path: String,
    pub from: String,
    pub value: Option<Value>,
}

pub(super) fn has_type(name: &str) -> bool {
    name == JSON_PATCH || name == OBJECT || name.strip_prefix(OBJECT).is_some_and(|rest| rest.starts_with('.'))
}

/// Of an object any member may be named: what it is made of is known only to who lays it over another.
pub(super) fn field(object: &str, field: &str) -> Option<Type> {
    match (object == JSON_PATCH, field) {
        (true, "op" | "path" | "from") => Some(Type::String),
        (true, "value") | (false, _) => Some(Type::Dyn),
        // Upstream knows the field, and no type of it: nothing that has one fits.
        (true, _) => Some(Type::object("")),
    }
}

pub(super) fn construct(name: &str, fields: Vec<(Arc<str>, Value)>) -> Result<Value, EvalError> {
    if name != JSON_PATCH {
        return Ok(Value::object(Made { name: name.into(), fields }));
    }
    let mut patch = JsonPatch::default();
    for (field, value) in fields {
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.to_string()),
            other => {
                let found = crate::run::machine::go_type(other);
                Err(EvalError::new(format!("unexpected type {found} for JSONPatchType '{field}' field")))
            }
        };
        match &*field {
            "op" => patch.op = text(&value)?,
            "path" => patch.path = text(&value)?,
            "from" => patch.from = text(&value)?,
            "value" => patch.value = Some(value),
            other => return Err(EvalError::new(format!("unexpected JSONPatchType field: {other}"))),
        }
    }
    Ok(Value::object(patch))
}

// === impl Made ===

impl Made {
    /// Objects whose type is not the one of the place where they stand, in upstream's words. Upstream:
    /// CheckTypeNamesMatchFieldPathNames.
    pub fn misnamed(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.find_misnamed(&self.name, &mut found);
        found
    }

    fn find_misnamed(&self, expected: &str, found: &mut Vec<String>) {
        if &*self.name != expected {
            found.push(format!(
                "unexpected type name \"{}\", expected \"{expected}\", which matches field name path from root Object type",
                self.name
            ));
        }
        for (field, value) in &self.fields {
            misnamed(value, &format!("{expected}.{field}"), found);
        }
    }
}

/// Lists and maps are places without a name of their own.
fn misnamed(value: &Value, expected: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(_) => {
            if let Some(made) = value.downcast::<Made>() {
                made.find_misnamed(expected, found);
            }
        }
        Value::List(List::Own(items)) => items.iter().for_each(|item| misnamed(item, expected, found)),
        Value::Map(map) => {
            for value in map.keys().iter().filter_map(|key| map.get(key).ok().flatten()) {
                misnamed(&value, expected, found);
            }
        }
        _ => {}
    }
}

impl Object for Made {
    fn value_type(&self) -> Type {
        Type::object(&self.name)
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        let Some(other) = other.downcast::<Made>() else { return Ok(false) };
        let same = |(name, value): &(Arc<str>, Value)| {
            let theirs = other.fields.iter().find(|(field, _)| field == name);
            theirs.is_some_and(|(_, theirs)| value.equals(theirs) == Ok(true))
        };
        Ok(self.name == other.name && self.fields.len() == other.fields.len() && self.fields.iter().all(same))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_zero(&self) -> bool {
        self.fields.is_empty()
    }
}

// === impl JsonPatch ===

impl Object for JsonPatch {
    fn value_type(&self) -> Type {
        Type::object(JSON_PATCH)
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        let Some(other) = other.downcast::<JsonPatch>() else { return Ok(false) };
        if (&self.op, &self.path, &self.from) != (&other.op, &other.path, &other.from) {
            return Ok(false);
        }
        match (&self.value, &other.value) {
            (None, None) => Ok(true),
            (Some(a), Some(b)) => a.equals(b),
            _ => Ok(false),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn get(&self, field: &str) -> Option<Result<Value, EvalError>> {
        let text = |text: &str| Ok(Value::string(text));
        Some(match field {
            "op" => text(&self.op),
            "path" => text(&self.path),
            "from" => text(&self.from),
            "value" => Ok(self.value.clone().unwrap_or(Value::Null)),
            other => Err(EvalError::new(format!("unsupported indexer: {other}"))),
        })
    }

    fn has(&self, field: &str) -> Option<bool> {
        Some(match field {
            "op" => !self.op.is_empty(),
            "path" => !self.path.is_empty(),
            "from" => !self.from.is_empty(),
            "value" => self.value.is_some(),
            _ => false,
        })
    }
}
