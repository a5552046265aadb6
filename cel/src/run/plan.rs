//! A checked expression into a program: names to slots, what is constant to its value, patterns compiled.
//!
//! Upstream: cel-go interpreter/planner.go, interpreter/decorators.go. What is folded here is what upstream folds, since what
//! is folded costs nothing.

use std::sync::Arc;

use crate::ast::{Call as CallExpr, Entry, Expr, Fold as FoldExpr, Kind, Select};
use crate::check::{Checked, Reference};
use crate::functions::{Cost, Functions};
use crate::library::regex;
use crate::types::Type;
use crate::value::{EvalError, Map, Value};

use super::attribute::{Attribute, Base, Conditional, Key, Step, invalid_key, is_key};
use super::{Call, Fold, Node, Pattern, Slot};

/// Functions whose value for a constant is a constant.
const CONVERSIONS: &[&str] =
    &["bool", "bytes", "double", "dyn", "duration", "int", "string", "timestamp", "type", "uint"];

pub(crate) struct Planned {
    pub node: Node,
    /// How many variables of walks there are.
    pub slots: usize,
}

/// An error: what is constant comes to none, or a pattern is none.
pub(crate) fn plan(checked: &Checked, functions: &Functions) -> Result<Planned, EvalError> {
    let mut planner = Planner { checked, functions, scope: Vec::new(), slots: 0 };
    let node = planner.node(&checked.expr)?;
    Ok(Planned { node, slots: planner.slots })
}

struct Planner<'a> {
    checked: &'a Checked,
    functions: &'a Functions,
    /// Variables of the walks around, the innermost last.
    scope: Vec<(Arc<str>, Slot)>,
    slots: usize,
}

type Planning = Result<Node, EvalError>;

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Planning {
        match &expr.kind {
            Kind::Nothing => Err(EvalError::new("unsupported expr")),
            Kind::Literal(value) => Ok(Node::Constant(value.clone())),
            Kind::Ident(_) => self.ident(expr),
            Kind::Select(select) => self.select(expr, select),
            Kind::Call(call) => self.call(expr, call),
            Kind::List(elements) => {
                let mut planned = Vec::with_capacity(elements.len());
                for element in elements {
                    planned.push((self.node(&element.value)?, element.optional));
                }
                Ok(constant_list(planned))
            }
            Kind::Map(entries) => self.map(entries),
            Kind::Struct(name, fields) => {
                let mut planned = Vec::with_capacity(fields.len());
                for field in fields {
                    planned.push((field.name.clone(), self.node(&field.value)?, field.optional));
                }
                Ok(Node::Struct(name.clone(), planned))
            }
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn map(&mut self, entries: &[Entry]) -> Planning {
        let mut planned = Vec::with_capacity(entries.len());
        for entry in entries {
            planned.push((self.node(&entry.key)?, self.node(&entry.value)?, entry.optional));
        }
        let is_constant = |(key, value, optional): &(Node, Node, bool)| {
            !optional && matches!((key, value), (Node::Constant(_), Node::Constant(_)))
        };
        if !planned.iter().all(is_constant) {
            return Ok(Node::Map(planned));
        }
        let entries = planned.into_iter().filter_map(|entry| match entry {
            (Node::Constant(key), Node::Constant(value), _) => Some((key, value)),
            _ => None,
        });
        Ok(Node::Constant(Value::map(entries.collect())))
    }

    fn ident(&mut self, expr: &Expr) -> Planning {
        match &self.checked.references[expr.id] {
            Reference::TypeName(t) => {
                let name = expr.ident().map_or("", |name| name.strip_prefix('.').unwrap_or(name));
                // What a place calls a type of its own is no value.
                if matches!(t, Type::Object(_)) || t.runtime_name() != name {
                    return Err(EvalError::new(format!("reference to undefined type: {name}")));
                }
                Ok(Node::Constant(Value::Type(t.clone())))
            }
            Reference::Variable { name, global } => {
                let local = self.scope.iter().rev().find(|(local, _)| local == name).filter(|_| !global);
                let base = match local {
                    Some((_, slot)) => Base::Local(*slot),
                    None => Base::Global(name.clone()),
                };
                Ok(Node::Attribute(Box::new(Attribute::of(base))))
            }
            _ => Err(EvalError::new("a name without a reference")),
        }
    }

    fn select(&mut self, expr: &Expr, select: &Select) -> Planning {
        if !matches!(self.checked.references[expr.id], Reference::Nothing) {
            return self.ident(expr);
        }
        let mut attribute = as_attribute(self.node(&select.operand)?);
        let key = Key::Constant(Value::from(&*select.field));
        attribute.push(Step { key, optional: false, test: select.test_only });
        attribute.test_only |= select.test_only;
        Ok(Node::Attribute(Box::new(attribute)))
    }

    fn arguments(&mut self, call: &CallExpr) -> Result<Vec<Node>, EvalError> {
        call.target.iter().chain(&call.arguments).map(|argument| self.node(argument)).collect()
    }

    fn call(&mut self, expr: &Expr, call: &CallExpr) -> Planning {
        let mut arguments = self.arguments(call)?;
        let two = |arguments: &mut Vec<Node>| -> Option<Box<[Node; 2]>> {
            let second = arguments.pop()?;
            Some(Box::new([arguments.pop()?, second]))
        };
        let count = arguments.len();
        match (&*call.function, count) {
            ("_&&_", 2) => return two(&mut arguments).map(Node::And).ok_or_else(unplanned),
            ("_||_", 2) => return two(&mut arguments).map(Node::Or).ok_or_else(unplanned),
            ("_==_", 2) => return two(&mut arguments).map(|s| Node::Equal(s, true)).ok_or_else(unplanned),
            ("_!=_", 2) => return two(&mut arguments).map(|s| Node::Equal(s, false)).ok_or_else(unplanned),
            ("or", 2) => return two(&mut arguments).map(Node::OrOptional).ok_or_else(unplanned),
            ("orValue", 2) => return two(&mut arguments).map(Node::OrValue).ok_or_else(unplanned),
            ("_?_:_", 3) => return Ok(conditional(arguments)),
            ("_[_]", 2) => return index(arguments, false),
            ("_[?_]" | "_?._", 2) => return index(arguments, true),
            _ => {}
        }
        self.function(expr, call, arguments)
    }

    fn function(&mut self, expr: &Expr, call: &CallExpr, arguments: Vec<Node>) -> Planning {
        let function = self.functions.get(&call.function).ok_or_else(unplanned)?.clone();
        let overloads = self.checked.overloads(expr.id);
        let overload = if let [only] = overloads { Some(only.clone()) } else { None };
        if overload.as_ref().is_some_and(|overload| overload.id == "in_list")
            && let Some(among) = constant_members(&arguments)
        {
            return Ok(match among.is_empty() {
                true => Node::Constant(Value::Bool(false)),
                false => Node::Among(Box::new(arguments.into_iter().next().ok_or_else(unplanned)?), among),
            });
        }
        if CONVERSIONS.contains(&function.name)
            && let [Node::Constant(value)] = arguments.as_slice()
        {
            return function.call(overload.as_deref(), std::slice::from_ref(value)).map(Node::Constant);
        }
        let pattern = constant_pattern(function.name, &arguments)?;
        let stops = pattern.is_some() || function.stops(overload.as_deref(), arguments.len());
        let cost = if overloads.is_empty() { Cost::Standard } else { function.cost(overload.as_deref()) };
        Ok(Node::Call(Box::new(Call { function, overload, arguments, cost, stops, pattern })))
    }

    fn slot(&mut self) -> Slot {
        self.slots += 1;
        self.slots - 1
    }

    fn fold(&mut self, fold: &FoldExpr) -> Planning {
        let init = self.node(&fold.init)?;
        let range = self.node(&fold.range)?;
        let (accumulator, variable) = (self.slot(), self.slot());
        let second_variable = fold.second_variable.as_ref().map(|_| self.slot());
        let outer = self.scope.len();
        self.scope.push((fold.accumulator.clone(), accumulator));
        self.scope.push((fold.variable.clone(), variable));
        if let (Some(name), Some(slot)) = (&fold.second_variable, second_variable) {
            self.scope.push((name.clone(), slot));
        }
        let condition = self.node(&fold.condition)?;
        let mut step = self.node(&fold.step)?;
        take(&mut step, accumulator);
        self.scope.truncate(outer + 1);
        let result = self.node(&fold.result)?;
        self.scope.truncate(outer);
        Ok(Node::Fold(Box::new(Fold { range, init, condition, step, result, accumulator, variable, second_variable })))
    }
}

fn unplanned() -> EvalError {
    EvalError::new("no such overload")
}

/// An attribute, or one that begins with the value.
fn as_attribute(node: Node) -> Attribute {
    match node {
        Node::Attribute(attribute) => *attribute,
        other => Attribute::of(Base::Value(Arc::new(other))),
    }
}

fn conditional(arguments: Vec<Node>) -> Node {
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().unwrap_or(Node::Constant(Value::Null));
    let condition = Arc::new(next());
    // A branch is no attribute of its own: whether it is there is for the whole to say.
    let branch = |node: Node| Attribute { test_only: false, ..as_attribute(node) };
    let (yes, no) = (branch(next()), branch(next()));
    let conditional = Conditional { condition, yes, no };
    Node::Attribute(Box::new(Attribute::of(Base::Conditional(Arc::new(conditional)))))
}

fn index(arguments: Vec<Node>, optional: bool) -> Planning {
    let mut arguments = arguments.into_iter();
    let (Some(operand), Some(index)) = (arguments.next(), arguments.next()) else { return Err(unplanned()) };
    let key = match index {
        Node::Constant(value) if is_key(&value) => Key::Constant(value),
        Node::Constant(value) => return Err(invalid_key(&value)),
        other => Key::Computed(Arc::new(as_attribute(other))),
    };
    let mut attribute = as_attribute(operand);
    attribute.push(Step { key, optional, test: false });
    Ok(Node::Attribute(Box::new(attribute)))
}

fn constant_list(elements: Vec<(Node, bool)>) -> Node {
    if !elements.iter().all(|(element, optional)| !optional && matches!(element, Node::Constant(_))) {
        return Node::List(elements);
    }
    let values = elements.into_iter().filter_map(|(element, _)| match element {
        Node::Constant(value) => Some(value),
        _ => None,
    });
    Node::Constant(Value::list(values.collect()))
}

/// The elements of the constant list on the right of `in`, when all of them can be found by themselves.
fn constant_members(arguments: &[Node]) -> Option<Map> {
    let [_, Node::Constant(Value::List(list))] = arguments else { return None };
    let mut entries = Vec::with_capacity(list.len());
    for item in list.iter() {
        let item = item.ok().filter(is_key)?;
        entries.push((item, Value::Bool(true)));
    }
    Some(Map::from_entries(entries))
}

fn constant_pattern(function: &str, arguments: &[Node]) -> Result<Option<Pattern>, EvalError> {
    let Some((_, run)) = regex::WITH_PATTERN.iter().find(|(name, _)| *name == function) else { return Ok(None) };
    match arguments.get(1) {
        Some(Node::Constant(Value::String(text))) => {
            let regex = regex::compile(text).map_err(EvalError::new)?;
            Ok(Some(Pattern { regex, run: *run }))
        }
        _ => Ok(None),
    }
}

/// Has the step move the accumulator that it adds to, instead of sharing it: what is shared has to be copied before it grows.
fn take(step: &mut Node, accumulator: Slot) {
    match step {
        Node::Call(call) if matches!(call.function.name, "_+_" | "cel.@mapInsert") => {
            let first = &mut call.arguments[0];
            if matches!(first, Node::Attribute(a) if a.steps.is_empty() && matches!(a.base, Base::Local(slot) if slot == accumulator))
            {
                *first = Node::Take(accumulator);
            }
        }
        Node::Attribute(attribute) => {
            if let Base::Conditional(conditional) = &mut attribute.base
                && let Some(conditional) = Arc::get_mut(conditional)
                && let Base::Value(node) = &mut conditional.yes.base
                && let Some(node) = Arc::get_mut(node)
            {
                take(node, accumulator);
            }
        }
        _ => {}
    }
}
