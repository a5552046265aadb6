//! A variable or value, and the fields and indexes that lead from it: `a.b[c].?d`.
//!
//! Upstream: cel-go interpreter/attributes.go. Each step costs one as it is taken, and so does the whole.

use std::sync::Arc;

use crate::value::{EvalError, List, Outcome, Value};

use super::machine::Machine;
use super::{Node, Slot};

#[derive(Clone)]
pub(crate) struct Attribute {
    pub base: Base,
    pub steps: Vec<Step>,
    /// `has(…)` of the last step.
    pub test_only: bool,
}

#[derive(Clone)]
pub(crate) enum Base {
    Local(Slot),
    Global(Arc<str>),
    Value(Arc<Node>),
    Conditional(Arc<Conditional>),
}

#[derive(Clone)]
pub(crate) struct Conditional {
    pub condition: Arc<Node>,
    pub yes: Attribute,
    pub no: Attribute,
}

#[derive(Clone)]
pub(crate) struct Step {
    pub key: Key,
    pub optional: bool,
    /// Only asks whether it is there.
    pub test: bool,
}

#[derive(Clone)]
pub(crate) enum Key {
    Constant(Value),
    Computed(Arc<Attribute>),
}

impl Attribute {
    pub(crate) fn of(base: Base) -> Attribute {
        Attribute { base, steps: Vec::new(), test_only: false }
    }

    /// One step further. Both branches of a conditional take it.
    pub(crate) fn push(&mut self, step: Step) {
        match &mut self.base {
            Base::Conditional(conditional) => {
                let conditional = Arc::make_mut(conditional);
                conditional.yes.push(step.clone());
                conditional.no.push(step);
            }
            _ => self.steps.push(step),
        }
    }
}

impl<'a> Machine<'a> {
    /// The value of an attribute that stands for itself.
    pub(super) fn attribute(&mut self, attribute: &'a Attribute) -> Outcome {
        let resolved = self.resolve(attribute);
        if let Err(error) = &resolved
            && !error.is_plain()
        {
            return resolved;
        }
        let is_conditional = matches!(attribute.base, Base::Conditional(_));
        self.charge(u64::from(!is_conditional))?;
        if !attribute.test_only {
            return resolved;
        }
        self.cost = self.cost.saturating_sub(1);
        match resolved? {
            Value::Optional(value) => Ok(Value::Bool(value.is_some())),
            other => Ok(other),
        }
    }

    /// The value, without what the attribute itself costs.
    fn resolve(&mut self, attribute: &'a Attribute) -> Outcome {
        let base = match &attribute.base {
            Base::Conditional(conditional) => {
                return match self.eval(&conditional.condition)? {
                    Value::Bool(true) => self.resolve(&conditional.yes),
                    Value::Bool(false) => self.resolve(&conditional.no),
                    _ => Err(EvalError::no_such_overload()),
                };
            }
            Base::Local(slot) => self.local(*slot)?,
            Base::Global(name) => self.global(name)?,
            Base::Value(node) => self.eval(node)?,
        };
        if attribute.steps.is_empty() {
            return Ok(base);
        }
        let (mut here, mut optional) = match base {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(value)) => ((*value).clone(), true),
            other => (other, false),
        };
        for step in &attribute.steps {
            optional |= step.optional;
            if optional {
                match self.step_if_present(&here, step)? {
                    Some(value) => here = value,
                    None => return Ok(Value::Optional(None)),
                }
            } else {
                here = self.step(&here, step)?;
            }
        }
        Ok(if optional { Value::some(here) } else { here })
    }

    fn step(&mut self, value: &Value, step: &'a Step) -> Outcome {
        let key = match &step.key {
            Key::Constant(key) => key,
            Key::Computed(attribute) => {
                let key = self.computed_key(attribute);
                if key.as_ref().is_err_and(EvalError::is_plain) {
                    self.charge(1)?;
                }
                &key?
            }
        };
        let found = if step.test {
            find(value, key, true).map(|found| Value::Bool(found.is_some()))
        } else {
            find(value, key, false).and_then(|found| found.ok_or_else(|| missing(value, key)))
        };
        self.charge(1)?;
        found
    }

    fn step_if_present(&mut self, value: &Value, step: &'a Step) -> Result<Option<Value>, EvalError> {
        let key = match &step.key {
            Key::Constant(key) => key,
            Key::Computed(attribute) => &self.computed_key(attribute)?,
        };
        let found = find(value, key, true)?;
        if found.is_some() {
            self.charge(1)?;
        }
        Ok(found)
    }

    /// What an index is computed to.
    fn computed_key(&mut self, attribute: &'a Attribute) -> Outcome {
        match self.resolve(attribute)? {
            key if is_key(&key) => Ok(key),
            // Out of data, where Go has no type for it.
            Value::Null => Err(EvalError::new("invalid qualifier type: <nil>")),
            other => Err(invalid_key(&other)),
        }
    }
}

/// Whether a value can be a key at all.
pub(crate) fn is_key(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Int(_) | Value::Uint(_) | Value::Bool(_) | Value::Double(_))
}

pub(crate) fn invalid_key(value: &Value) -> EvalError {
    EvalError::new(format!("invalid qualifier type: {}", super::machine::go_type(value)))
}

fn missing(value: &Value, key: &Value) -> EvalError {
    match value {
        Value::List(_) => EvalError::new(format!("index out of bounds: {}", crate::value::show::plain(key))),
        _ => EvalError::no_such_key(key),
    }
}

/// What is at a key. `present`: what has no such thing as keys has none there, which is no error.
fn find(value: &Value, key: &Value, present: bool) -> Result<Option<Value>, EvalError> {
    match value {
        Value::Map(map) => map.get(key),
        Value::List(list) => match index(key)? {
            Some(at) if at < list.len() => element(list, at).map(Some),
            _ => Ok(None),
        },
        Value::Object(object) => {
            let Value::String(field) = key else { return Ok(None) };
            match object.has(field) {
                Some(false) if present => Ok(None),
                Some(_) => object.get(field).transpose(),
                None => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn element(list: &List, at: usize) -> Outcome {
    list.get(at)
}

/// The index that a key is; `None` for one that no list has.
fn index(key: &Value) -> Result<Option<usize>, EvalError> {
    match key {
        Value::Int(at) => Ok(usize::try_from(*at).ok()),
        Value::Uint(at) => Ok(usize::try_from(*at).ok()),
        Value::Double(at) if at.fract() == 0.0 => Ok((*at >= 0.0).then_some(*at as usize)),
        Value::Double(_) => {
            let shown = crate::value::show::plain(key);
            Err(EvalError::new(format!("unsupported index value {shown} in list")))
        }
        other => {
            let name = other.value_type();
            Err(EvalError::new(format!("unsupported index type '{}' in list", name.declared_name())))
        }
    }
}
