//! Evaluates a program, counting what it costs as upstream counts it.
//!
//! Upstream: cel-go interpreter/interpretable.go for what happens, interpreter/runtimecost.go for what it costs.

use std::sync::Arc;

use crate::cost::{LIST, MAP, STRUCT, actual};
use crate::types::TypeProvider;
use crate::value::{ErrorKind, EvalError, Outcome, Value, arithmetic, show};

use super::{Budget, Call, Fold, Node, Slot, Variables};

/// How many turns of walks pass between two questions whether to stop. Upstream: apiserver/pkg/apis/cel/config.go
/// CheckFrequency.
const TURNS_BETWEEN_CHECKS: u32 = 100;

pub(crate) struct Machine<'a> {
    variables: &'a dyn Variables,
    types: &'a dyn TypeProvider,
    /// Variables of walks; an accumulator that has not been read yet is nothing, and its init stands here.
    locals: Vec<Local<'a>>,
    pub(super) cost: u64,
    limit: u64,
    interrupt: Option<&'a (dyn Fn() -> bool + Sync)>,
    turns: u32,
}

#[derive(Clone)]
enum Local<'a> {
    Nothing,
    /// Evaluated when it is first read.
    Later(&'a Node),
    Known(Outcome),
}

/// Evaluates a program with so many variables of walks.
pub(crate) fn evaluate<'a>(
    node: &'a Node,
    slots: usize,
    types: &'a dyn TypeProvider,
    variables: &'a dyn Variables,
    budget: &mut Budget<'a>,
) -> Outcome {
    let mut machine = Machine {
        variables,
        types,
        locals: vec![Local::Nothing; slots],
        cost: 0,
        limit: budget.limit,
        interrupt: budget.interrupt,
        turns: 0,
    };
    let outcome = machine.eval(node);
    budget.used = budget.used.saturating_add(machine.cost);
    outcome
}

impl<'a> Machine<'a> {
    pub(super) fn charge(&mut self, cost: u64) -> Result<(), EvalError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit {
            let message = "operation cancelled: actual cost limit exceeded".to_owned();
            return Err(EvalError { message, kind: ErrorKind::CostLimit });
        }
        Ok(())
    }

    pub(super) fn local(&mut self, slot: Slot) -> Outcome {
        match &self.locals[slot] {
            Local::Known(outcome) => outcome.clone(),
            Local::Later(init) => {
                let init = *init;
                let outcome = self.eval(init);
                self.locals[slot] = Local::Known(outcome.clone());
                outcome
            }
            Local::Nothing => Err(EvalError::new("no such attribute(s): a variable of a walk")),
        }
    }

    pub(super) fn global(&mut self, name: &str) -> Outcome {
        match self.variables.get(name) {
            Some(outcome) => outcome,
            None => Err(EvalError::new(format!("no such attribute(s): {name}"))),
        }
    }

    pub(super) fn eval(&mut self, node: &'a Node) -> Outcome {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Attribute(attribute) => self.attribute(attribute),
            Node::Take(slot) => self.take(*slot),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Equal(sides, equal) => self.equal(sides, *equal),
            Node::Call(call) => self.call(call),
            Node::Among(value, among) => {
                let value = self.eval(value)?;
                Ok(Value::Bool(among.get(&value)?.is_some()))
            }
            Node::OrOptional(sides) => match self.eval(&sides[0])? {
                Value::Optional(None) => self.eval(&sides[1]),
                some @ Value::Optional(_) => Ok(some),
                _ => Err(EvalError::no_such_overload()),
            },
            Node::OrValue(sides) => match self.eval(&sides[0])? {
                Value::Optional(None) => self.eval(&sides[1]),
                Value::Optional(Some(value)) => Ok((*value).clone()),
                _ => Err(EvalError::no_such_overload()),
            },
            Node::List(elements) => {
                let made = self.list(elements);
                self.made(made, LIST)
            }
            Node::Map(entries) => {
                let made = self.map(entries);
                self.made(made, MAP)
            }
            Node::Struct(name, fields) => {
                let made = self.construct(name, fields);
                self.made(made, STRUCT)
            }
            Node::Fold(fold) => self.fold(fold),
        }
    }

    /// The accumulator, which costs as any variable does.
    fn take(&mut self, slot: Slot) -> Outcome {
        let outcome = match std::mem::replace(&mut self.locals[slot], Local::Nothing) {
            Local::Known(outcome) => outcome,
            Local::Later(init) => self.eval(init),
            Local::Nothing => Err(EvalError::no_such_overload()),
        };
        self.charge(1)?;
        outcome
    }

    /// `&&` and `||`: the term that decides does so whatever goes wrong in the other.
    fn logic(&mut self, terms: &'a [Node; 2], deciding: bool) -> Outcome {
        let mut error = None;
        for term in terms {
            match self.eval(term) {
                Ok(Value::Bool(value)) if value == deciding => return Ok(Value::Bool(deciding)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => error = error.or(Some(EvalError::no_such_overload())),
                Err(other) if other.is_plain() => error = error.or(Some(other)),
                Err(fatal) => return Err(fatal),
            }
        }
        error.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn equal(&mut self, sides: &'a [Node; 2], wanted: bool) -> Outcome {
        let (mut arguments, mut error) = (Vec::with_capacity(2), None);
        for side in sides {
            arguments.push(self.argument(side, &mut error)?);
        }
        let outcome = match error {
            Some(error) => Err(error),
            None => match arguments[0].equals(&arguments[1]) {
                Ok(is_equal) => Ok(Value::Bool(is_equal == wanted)),
                // What cannot be compared is not equal.
                Err(_) if !wanted => Ok(Value::Bool(true)),
                Err(error) => Err(error),
            },
        };
        let overload = if wanted { "equals" } else { "not_equals" };
        self.charge(actual::call(crate::functions::Cost::Standard, overload, &arguments, None))?;
        outcome
    }

    /// An argument of a function that evaluates all of them: an error is remembered, and counts as null.
    fn argument(&mut self, node: &'a Node, error: &mut Option<EvalError>) -> Outcome {
        match self.eval(node) {
            Ok(value) => Ok(value),
            Err(other) if other.is_plain() => {
                error.get_or_insert(other);
                Ok(Value::Null)
            }
            Err(fatal) => Err(fatal),
        }
    }

    fn call(&mut self, call: &'a Call) -> Outcome {
        let (mut arguments, mut error) = (Vec::with_capacity(call.arguments.len()), None);
        let is_lenient = call.function.name == "@not_strictly_false";
        let last = call.arguments.len().saturating_sub(1);
        for (index, argument) in call.arguments.iter().enumerate() {
            // Upstream counts a call whose arguments have all been evaluated, be they errors.
            if call.stops && index < last {
                arguments.push(self.eval(argument)?);
            } else {
                arguments.push(self.argument(argument, &mut error)?);
            }
        }
        let overload = call.overload.as_ref().map_or("", |overload| overload.id);
        if let Some(error) = error {
            self.charge(actual::call(call.cost, overload, &arguments, None))?;
            return if is_lenient { Ok(Value::Bool(true)) } else { Err(error) };
        }
        if call.function.name == "_+_" {
            self.charge(actual::call(call.cost, overload, &arguments, None))?;
            return self.add(call, arguments);
        }
        let outcome = match &call.pattern {
            Some(pattern) => (pattern.run)(&pattern.regex, &arguments),
            None => call.function.call(call.overload.as_deref(), &arguments),
        };
        self.charge(actual::call(call.cost, overload, &arguments, outcome.as_ref().ok()))?;
        outcome
    }

    /// Addition, which may reuse what the first summand holds.
    fn add(&mut self, call: &Call, mut arguments: Vec<Value>) -> Outcome {
        if call.function.singleton.as_ref().is_some_and(|singleton| !(singleton.takes)(&arguments[0])) {
            return call.function.call(None, &arguments);
        }
        let second = arguments.pop().unwrap_or(Value::Null);
        let first = arguments.pop().unwrap_or(Value::Null);
        arithmetic::add(first, &second)
    }

    // --- what is made

    fn made(&mut self, made: Outcome, cost: u64) -> Outcome {
        if made.as_ref().is_err_and(|error| !error.is_plain()) {
            return made;
        }
        self.charge(cost)?;
        made
    }

    fn list(&mut self, elements: &'a [(Node, bool)]) -> Outcome {
        let mut items = Vec::with_capacity(elements.len());
        for (element, optional) in elements {
            let value = self.eval(element)?;
            match value {
                Value::Optional(value) if *optional => items.extend(value.map(|value| (*value).clone())),
                other if *optional => {
                    let shown = show::plain(&other);
                    let message = format!("cannot initialize optional list element from non-optional value {shown}");
                    return Err(EvalError::new(message));
                }
                value => items.push(value),
            }
        }
        Ok(Value::list(items))
    }

    /// The value of an entry, or nothing when it is an optional that has none.
    fn entry(&mut self, name: &str, value: Value, optional: bool) -> Result<Option<Value>, EvalError> {
        match value {
            Value::Optional(value) if optional => Ok(value.map(|value| (*value).clone())),
            other if optional => {
                let shown = show::plain(&other);
                let message = format!("cannot initialize optional entry '{name}' from non-optional value {shown}");
                Err(EvalError::new(message))
            }
            value => Ok(Some(value)),
        }
    }

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Outcome {
        let mut made: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            let value = self.eval(value)?;
            match self.entry(&show::plain(&key), value, *optional)? {
                Some(value) => made.push((key, value)),
                None => made.retain(|(other, _)| other.equals(&key) != Ok(true)),
            }
        }
        Ok(Value::map(made))
    }

    fn construct(&mut self, name: &Arc<str>, fields: &'a [(Arc<str>, Node, bool)]) -> Outcome {
        let mut made: Vec<(Arc<str>, Value)> = Vec::with_capacity(fields.len());
        for (field, value, optional) in fields {
            let value = self.eval(value)?;
            let entry = self.entry(field, value, *optional)?;
            made.retain(|(other, _)| other != field);
            made.extend(entry.map(|value| (field.clone(), value)));
        }
        self.types.construct(name, made)
    }

    // --- walks

    fn fold(&mut self, fold: &'a Fold) -> Outcome {
        let range = self.eval(&fold.range)?;
        self.locals[fold.accumulator] = Local::Later(&fold.init);
        match (&range, fold.second_variable) {
            (Value::List(list), second) => {
                for index in 0..list.len() {
                    let item = list.get(index);
                    match second {
                        None => self.set(fold.variable, item),
                        Some(second) => {
                            self.set(fold.variable, Ok(Value::Int(index as i64)));
                            self.set(second, item);
                        }
                    }
                    if !self.turn(fold)? {
                        break;
                    }
                }
            }
            (Value::Map(map), second) => {
                for key in map.keys() {
                    if let Some(second) = second {
                        let value = map.get(&key).and_then(|v| v.ok_or_else(|| EvalError::no_such_key(&key)));
                        self.set(second, value);
                    }
                    self.set(fold.variable, Ok(key));
                    if !self.turn(fold)? {
                        break;
                    }
                }
            }
            (other, None) => {
                return Err(EvalError::new(format!("got '{}', expected iterable type", go_type(other))));
            }
            (other, Some(_)) => {
                return Err(EvalError::new(format!("unsupported comprehension range type: {}", go_type(other))));
            }
        }
        self.eval(&fold.result)
    }

    fn set(&mut self, slot: Slot, outcome: Outcome) {
        self.locals[slot] = Local::Known(outcome);
    }

    /// One turn; false when the walk ends before it.
    fn turn(&mut self, fold: &'a Fold) -> Result<bool, EvalError> {
        match self.eval(&fold.condition) {
            Ok(Value::Bool(false)) => return Ok(false),
            Err(error) if !error.is_plain() => return Err(error),
            _ => {}
        }
        match self.eval(&fold.step) {
            Err(error) if !error.is_plain() => return Err(error),
            outcome => self.set(fold.accumulator, outcome),
        }
        self.turns += 1;
        if self.turns.is_multiple_of(TURNS_BETWEEN_CHECKS) && self.interrupt.is_some_and(|interrupt| interrupt()) {
            let message = "operation interrupted".to_owned();
            return Err(EvalError { message, kind: ErrorKind::Interrupted });
        }
        Ok(true)
    }
}

/// What Go calls the type of a value, for messages that say it.
pub(crate) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::Uint(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::String(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Duration(_) => "types.Duration",
        Value::List(_) => "*types.baseList",
        Value::Map(_) => "*types.baseMap",
        Value::Object(object) => match object.value_type().runtime_name() {
            "net.IP" => "cel.IP",
            "net.CIDR" => "cel.CIDR",
            "kubernetes.Quantity" => "cel.Quantity",
            "kubernetes.Semver" => "cel.Semver",
            "kubernetes.URL" => "cel.URL",
            "kubernetes.NamedFormat" => "cel.Format",
            _ => "ref.Val",
        },
        Value::Optional(_) => "*types.Optional",
        Value::Type(_) => "*types.Type",
    }
}
