//! What an expression will cost, at least and at most. Upstream: cel-go checker/cost.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{ACCUMULATOR, Call, Entry, Expr, Fold, Id, Kind, OLD_ACCUMULATOR};
use crate::check::Checked;
use crate::functions::{Functions, Overload};
use crate::types::Type;
use crate::value::{Value, code_points};

use super::library::{self, Given};
use super::{Bounds, LIST, MAP, PATTERN, STRUCT, TEXT};

/// How large a value may be: known from a schema's limits.
pub trait SizeEstimator: Sync {
    /// By the path from a variable on: names of fields, `@items` and `@indices` of a list, `@keys` and `@values` of a map.
    /// Empty when the value comes from no variable. `None` when nothing is known.
    fn estimate(&self, path: &[Arc<str>], t: &Type) -> Option<Bounds>;
}

/// A part of an expression as estimators see it.
pub(super) struct Node<'a> {
    pub path: Vec<Arc<str>>,
    pub t: Type,
    pub expr: Option<&'a Expr>,
    pub size: Option<Bounds>,
}

#[derive(Clone, Copy)]
pub(super) struct Estimated {
    pub cost: Bounds,
    /// Of the result.
    pub size: Option<Bounds>,
}

/// Sizes of what a list or map holds.
#[derive(Clone, Copy)]
struct Held {
    is_list: bool,
    key: Bounds,
    value: Bounds,
}

#[derive(Clone)]
struct Local {
    path: Vec<Arc<str>>,
    size: Option<Bounds>,
    held: Option<Held>,
}

pub(crate) fn estimate(checked: &Checked, functions: &Functions, estimator: &dyn SizeEstimator) -> Bounds {
    let mut coster = Coster {
        checked,
        functions,
        estimator,
        paths: BTreeMap::new(),
        sizes: BTreeMap::new(),
        held: BTreeMap::new(),
        locals: BTreeMap::new(),
    };
    coster.cost(&checked.expr)
}

struct Coster<'a> {
    checked: &'a Checked,
    functions: &'a Functions,
    estimator: &'a dyn SizeEstimator,
    paths: BTreeMap<Id, Vec<Arc<str>>>,
    sizes: BTreeMap<Id, Bounds>,
    held: BTreeMap<Id, Held>,
    locals: BTreeMap<Arc<str>, Vec<Local>>,
}

impl<'a> Coster<'a> {
    fn cost(&mut self, expr: &'a Expr) -> Bounds {
        match &expr.kind {
            Kind::Nothing | Kind::Literal(_) => Bounds::ZERO,
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| vec![name.clone()], |local| local.path.clone());
                self.paths.insert(expr.id, path);
                Bounds::ONE
            }
            Kind::Select(select) => {
                let operand = self.cost(&select.operand);
                if select.test_only {
                    return operand;
                }
                let mut path = self.path(&select.operand);
                path.push(select.field.clone());
                self.paths.insert(expr.id, path);
                match self.checked.type_of(&select.operand) {
                    Type::Map(_) | Type::Object(_) | Type::Param(_) | Type::Var(_) => operand.plus(Bounds::ONE),
                    _ => operand,
                }
            }
            Kind::Call(call) => self.call(expr, call),
            Kind::List(elements) => {
                let mut sum = Bounds::exactly(LIST);
                let mut size = Bounds { min: if elements.is_empty() { 0 } else { u64::MAX }, max: 0 };
                for element in elements {
                    sum = sum.plus(self.cost(&element.value));
                    size = size.or(self.size_or_unknown(&element.value));
                }
                self.held.insert(expr.id, Held { is_list: true, key: Bounds::ONE, value: size });
                sum
            }
            Kind::Map(entries) => self.map(expr, entries),
            Kind::Struct(_, fields) => {
                fields.iter().fold(Bounds::exactly(STRUCT), |sum, field| sum.plus(self.cost(&field.value)))
            }
            Kind::Fold(fold) if is_bind(fold) => self.bind(expr, fold),
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn map(&mut self, expr: &Expr, entries: &'a [Entry]) -> Bounds {
        let mut sum = Bounds::exactly(MAP);
        let none = Bounds { min: if entries.is_empty() { 0 } else { u64::MAX }, max: 0 };
        let (mut key, mut value) = (none, none);
        for entry in entries {
            sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
            key = key.or(self.size_or_unknown(&entry.key));
            value = value.or(self.size_or_unknown(&entry.value));
        }
        self.held.insert(expr.id, Held { is_list: false, key, value });
        sum
    }

    // --- walks

    fn fold(&mut self, expr: &Expr, fold: &'a Fold) -> Bounds {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_value(&fold.accumulator, &fold.init);
        let held = self.held(&fold.range);
        let is_list = held.map_or(matches!(self.checked.type_of(&fold.range), Type::List(_)), |held| held.is_list);
        let (key, value) = (held.map(|held| held.key), held.map(|held| held.value));
        let names = |is_list: bool| if is_list { ("@indices", "@items") } else { ("@keys", "@values") };
        match &fold.second_variable {
            Some(second) => {
                self.push_part(&fold.variable, &fold.range, names(is_list).0, key);
                self.push_part(second, &fold.range, names(is_list).1, value);
            }
            None if is_list => self.push_part(&fold.variable, &fold.range, "@items", value),
            None => self.push_part(&fold.variable, &fold.range, "@keys", key),
        }
        let each = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.pop(&fold.variable);
        if let Some(second) = &fold.second_variable {
            self.pop(second);
        }
        sum = sum.plus(self.cost(&fold.result));
        self.pop(&fold.accumulator);
        let count = self.size_or_unknown(&fold.range);
        match &fold.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&fold.init) {
                    self.sizes.insert(expr.id, size);
                }
            }
            Kind::List(_) | Kind::Map(_) => {
                self.sizes.insert(expr.id, count);
                if let Some(held) = self.held(&fold.step) {
                    self.held.insert(expr.id, held);
                }
            }
            _ => {}
        }
        sum.plus(count.times(each))
    }

    fn bind(&mut self, expr: &Expr, fold: &'a Fold) -> Bounds {
        let sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_value(&fold.accumulator, &fold.init);
        let sum = sum.plus(self.cost(&fold.result));
        self.pop(&fold.accumulator);
        self.copy_sizes(expr, &fold.result);
        sum
    }

    fn push_value(&mut self, name: &Arc<str>, expr: &Expr) {
        let local = Local { path: self.path(expr), size: self.size(expr), held: self.held(expr) };
        self.locals.entry(name.clone()).or_default().push(local);
    }

    fn push_part(&mut self, name: &Arc<str>, range: &Expr, part: &str, size: Option<Bounds>) {
        let mut path = self.path(range);
        path.push(part.into());
        self.locals.entry(name.clone()).or_default().push(Local { path, size, held: None });
    }

    fn pop(&mut self, name: &Arc<str>) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name)?.last()
    }

    // --- calls

    fn call(&mut self, expr: &'a Expr, call: &'a Call) -> Bounds {
        if &*call.function == "dyn" {
            let cost = self.cost(&call.arguments[0]).plus(Bounds::ONE);
            self.copy_sizes(expr, &call.arguments[0]);
            return cost;
        }
        let costs: Vec<Bounds> = call.arguments.iter().map(|argument| self.cost(argument)).collect();
        let nodes: Vec<Node<'a>> = call.arguments.iter().map(|argument| self.node(argument)).collect();
        let overloads = self.checked.overloads(expr.id);
        if overloads.is_empty() {
            return Bounds::ZERO;
        }
        let mut sum = Bounds::ZERO;
        let target = call.target.as_ref().map(|target| {
            sum = self.cost(target);
            self.node(target)
        });
        let mut total = Bounds { min: u64::MAX, max: 0 };
        let mut size: Option<Bounds> = None;
        for overload in overloads {
            let estimated = self.overload(expr, call, overload, target.as_ref(), &nodes, &costs);
            total = total.or(estimated.cost);
            size = match (size, estimated.size) {
                (Some(a), Some(b)) => Some(a.or(b)),
                (a, b) => a.or(b),
            };
            let part = match overload.id {
                "index_list" => Some("@items"),
                "index_map" => Some("@values"),
                _ => None,
            };
            if let Some(part) = part {
                size = self.held(&call.arguments[0]).map(|held| held.value);
                let mut path = self.path(&call.arguments[0]);
                path.push(part.into());
                self.paths.insert(expr.id, path);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        sum.plus(total)
    }

    fn overload(
        &mut self,
        expr: &Expr,
        call: &'a Call,
        overload: &Overload,
        target: Option<&Node<'a>>,
        nodes: &[Node<'a>],
        costs: &[Bounds],
    ) -> Estimated {
        let arguments = costs.iter().fold(Bounds::ZERO, |sum, cost| sum.plus(*cost));
        let with = |estimated: Estimated| Estimated { cost: estimated.cost.plus(arguments), ..estimated };
        let given = Given { target, arguments: nodes, estimator: self.estimator };
        let function = &*call.function;
        let found = match function {
            "_==_" => library::equality(&given),
            _ => {
                let cost = self.functions.get(function).map(|f| f.cost(Some(overload))).unwrap_or(overload.cost);
                library::estimate(cost, function, overload.id, &given)
            }
        };
        if let Some(found) = found {
            return with(found);
        }
        let size = |index: usize| nodes.get(index).and_then(|node| node.size).unwrap_or(Bounds::UNKNOWN);
        let plain = |cost: Bounds| Estimated { cost: cost.plus(arguments), size: None };
        match overload.id {
            "string_format" => match target {
                Some(target) => plain(target.size.unwrap_or(Bounds::UNKNOWN).scaled(TEXT)),
                None => plain(Bounds::ONE),
            },
            "string_to_bytes" => {
                let text = size(0);
                let size = Bounds { min: text.min, max: text.max.wrapping_mul(4) };
                with(Estimated { cost: text.scaled(TEXT), size: Some(size) })
            }
            "bytes_to_string" => {
                let size = Bounds { min: size(0).min / 4, max: size(0).max };
                with(Estimated { cost: nodes[0].size.unwrap_or(Bounds::UNKNOWN).scaled(TEXT), size: Some(size) })
            }
            "strings_quote" => {
                let text = size(0);
                let size = Bounds { min: text.min.wrapping_add(2), max: text.max.wrapping_mul(2).wrapping_add(2) };
                with(Estimated { cost: text.scaled(TEXT), size: Some(size) })
            }
            "starts_with_string" | "ends_with_string" => plain(size(0).scaled(TEXT)),
            "in_list" => plain(size(1)),
            "matches" | "matches_string" => {
                let (text, pattern) = match target {
                    Some(target) => (target.size.unwrap_or(Bounds::UNKNOWN), size(0)),
                    None => (size(0), size(1)),
                };
                plain(text.plus(Bounds::ONE).scaled(TEXT).times(pattern.scaled(PATTERN)))
            }
            "contains_string" => {
                let text = target.and_then(|target| target.size).unwrap_or(Bounds::UNKNOWN);
                plain(text.scaled(TEXT).times(size(0).scaled(TEXT)))
            }
            "logical_or" | "logical_and" => {
                let both = costs[0].plus(costs[1]);
                Estimated { cost: Bounds { min: costs[0].min, max: both.max }, size: None }
            }
            "conditional" => {
                if let (Some(yes), Some(no)) = (self.held(&call.arguments[1]), self.held(&call.arguments[2])) {
                    self.held.insert(expr.id, yes.or(no));
                }
                Estimated { cost: costs[0].plus(costs[1].or(costs[2])), size: Some(size(1).or(size(2))) }
            }
            "add_string" | "add_bytes" | "add_list" => {
                let size = size(0).plus(size(1));
                if let (Some(a), Some(b)) = (self.held(&call.arguments[0]), self.held(&call.arguments[1])) {
                    self.held.insert(expr.id, a.or(b));
                }
                let cost = if overload.id == "add_list" { Bounds::ONE } else { size.scaled(TEXT) };
                with(Estimated { cost, size: Some(size) })
            }
            "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes"
            | "equals"
            | "not_equals" => {
                let most = size(0).max.min(size(1).max);
                plain(Bounds { min: u64::from(most > 0), max: most }.scaled(TEXT))
            }
            _ => plain(Bounds::ONE),
        }
    }

    // --- what is known of parts

    fn path(&self, expr: &Expr) -> Vec<Arc<str>> {
        if let Some(local) = expr.ident().and_then(|name| self.local(name)) {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn node(&mut self, expr: &'a Expr) -> Node<'a> {
        let mut path = self.path(expr);
        if path.first().is_some_and(|first| &**first == ACCUMULATOR || &**first == OLD_ACCUMULATOR) {
            path.clear();
        }
        Node { path, t: self.checked.type_of(expr).clone(), expr: Some(expr), size: self.size(expr) }
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Bounds {
        self.size(expr).unwrap_or(Bounds::UNKNOWN)
    }

    fn size(&mut self, expr: &Expr) -> Option<Bounds> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = literal_size(expr) {
            return Some(Bounds::exactly(size));
        }
        let t = self.checked.type_of(expr);
        if let Some(size) = self.estimator.estimate(&self.path(expr), t) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(t) {
            return Some(Bounds::ONE);
        }
        self.local(expr.ident()?)?.size
    }

    fn held(&self, expr: &Expr) -> Option<Held> {
        match self.held.get(&expr.id) {
            Some(held) => Some(*held),
            None => self.local(expr.ident()?)?.held,
        }
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        if let Some(size) = self.size(from) {
            self.sizes.insert(to.id, size);
        }
        if let Some(held) = self.held(from) {
            self.held.insert(to.id, held);
        }
    }
}

impl Held {
    fn or(self, other: Held) -> Held {
        Held { is_list: self.is_list, key: self.key.or(other.key), value: self.value.or(other.value) }
    }
}

fn literal_size(expr: &Expr) -> Option<u64> {
    match &expr.kind {
        Kind::Literal(Value::String(text)) => Some(code_points(text) as u64),
        Kind::Literal(Value::Bytes(bytes)) => Some(bytes.len() as u64),
        Kind::Literal(_) => Some(1),
        Kind::List(elements) => Some(elements.len() as u64),
        Kind::Map(entries) => Some(entries.len() as u64),
        _ => None,
    }
}

fn is_scalar(t: &Type) -> bool {
    match t {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        other => match other.unwrap_optional() {
            (inner, true) => is_scalar(&inner),
            _ => false,
        },
    }
}

/// A walk over nothing, by which a name is bound.
fn is_bind(fold: &Fold) -> bool {
    matches!(&fold.range.kind, Kind::List(elements) if elements.is_empty())
        && matches!(fold.condition.literal(), Some(Value::Bool(false)))
        && &*fold.accumulator != OLD_ACCUMULATOR
}
