//! What looks like a call and is a walk over a list: `all`, `map`, `has` and the like.
//!
//! Upstream: cel-go parser/macro.go, cel/library.go (optMap), ext/comprehensions.go, ext/lists.go (sortBy), ext/bindings.go.

use std::sync::Arc;

use crate::ast::{ACCUMULATOR, Call, Element, Entry, Expr, Field, Fold, Kind as Node, OLD_ACCUMULATOR, Select};
use crate::value::Value;

use super::parser::Parser;

/// Which macros there are beside the standard ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Macros {
    /// `cel.bind(name, value, expression)`.
    pub bind: bool,
}

/// A call that may be a macro's.
pub(crate) struct Request<'a> {
    /// Where its parenthesis stands: all nodes of a macro stand there.
    pub at: usize,
    pub function: &'a str,
    pub target: Option<Expr>,
    pub arguments: Vec<Expr>,
}

type Expander = fn(&mut Maker<'_, '_>, Expr, Vec<Expr>) -> Result<Expr, Refusal>;

/// Where and why a macro cannot be expanded.
struct Refusal {
    at: usize,
    message: String,
}

/// Those with a target: the name, how many arguments it takes, and what it comes to.
const RECEIVERS: &[(&str, usize, Expander)] = &[
    ("all", 2, all),
    ("exists", 2, exists),
    ("exists_one", 2, exists_one),
    ("map", 2, map),
    ("map", 3, map),
    ("filter", 2, filter),
    ("optMap", 2, opt_map),
    ("optFlatMap", 2, opt_flat_map),
    ("all", 3, all),
    ("exists", 3, exists),
    ("existsOne", 3, exists_one),
    ("exists_one", 3, exists_one),
    ("transformList", 3, transform_list),
    ("transformList", 4, transform_list),
    ("transformMap", 3, transform_map),
    ("transformMap", 4, transform_map),
    ("transformMapEntry", 3, transform_map_entry),
    ("transformMapEntry", 4, transform_map_entry),
    ("sortBy", 2, sort_by),
];

impl Macros {
    /// What the call comes to, or nothing when it is no macro's; then the request is as it was.
    pub(super) fn expand(self, parser: &mut Parser<'_>, request: &mut Request<'_>) -> Option<Expr> {
        let expander: Expander = match &request.target {
            None if request.function == "has" && request.arguments.len() == 1 => has,
            None => return None,
            Some(target) if self.bind && is_bind(target, request) => bind,
            Some(_) => {
                let count = request.arguments.len();
                RECEIVERS.iter().find(|(name, takes, _)| *name == request.function && *takes == count)?.2
            }
        };
        let nothing = Expr { id: 0, kind: Node::Nothing };
        let target = request.target.take().unwrap_or(nothing);
        let arguments = std::mem::take(&mut request.arguments);
        let mut maker = Maker { parser, at: request.at };
        Some(match expander(&mut maker, target, arguments) {
            Ok(expr) => expr,
            Err(refusal) => parser.refuse(refusal.at, refusal.message),
        })
    }
}

fn is_bind(target: &Expr, request: &Request<'_>) -> bool {
    request.function == "bind" && request.arguments.len() == 3 && target.ident().is_some_and(|name| &**name == "cel")
}

/// Makes the nodes that a macro comes to.
struct Maker<'a, 'b> {
    parser: &'a mut Parser<'b>,
    at: usize,
}

impl Maker<'_, '_> {
    fn node(&mut self, kind: Node) -> Expr {
        self.parser.node(self.at, kind)
    }

    fn literal(&mut self, value: Value) -> Expr {
        self.node(Node::Literal(value))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Node::Ident(name.into()))
    }

    fn accumulator(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn call(&mut self, function: &str, arguments: Vec<Expr>) -> Expr {
        self.node(Node::Call(Box::new(Call { function: function.into(), target: None, arguments })))
    }

    fn member_call(&mut self, function: &str, target: Expr, arguments: Vec<Expr>) -> Expr {
        self.node(Node::Call(Box::new(Call { function: function.into(), target: Some(target), arguments })))
    }

    fn list(&mut self, items: Vec<Expr>) -> Expr {
        let elements = items.into_iter().map(|value| Element { value, optional: false }).collect();
        self.node(Node::List(elements))
    }

    fn refusal(&self, expr: &Expr, message: impl Into<String>) -> Refusal {
        Refusal { at: self.parser.offsets.get(expr.id).copied().unwrap_or(0), message: message.into() }
    }

    /// The same expression once more, with ids of its own.
    fn copy(&mut self, expr: &Expr) -> Expr {
        let offset = self.parser.offsets[expr.id];
        let kind = match &expr.kind {
            Node::Nothing => Node::Nothing,
            Node::Literal(value) => Node::Literal(value.clone()),
            Node::Ident(name) => Node::Ident(name.clone()),
            Node::Select(select) => Node::Select(Box::new(Select {
                operand: self.copy(&select.operand),
                field: select.field.clone(),
                test_only: select.test_only,
            })),
            Node::Call(call) => Node::Call(Box::new(Call {
                function: call.function.clone(),
                target: call.target.as_ref().map(|target| self.copy(target)),
                arguments: call.arguments.iter().map(|argument| self.copy(argument)).collect(),
            })),
            Node::List(elements) => Node::List(
                elements.iter().map(|e| Element { value: self.copy(&e.value), optional: e.optional }).collect(),
            ),
            Node::Map(entries) => Node::Map(entries.iter().map(|entry| self.copy_entry(entry)).collect()),
            Node::Struct(name, fields) => {
                Node::Struct(name.clone(), fields.iter().map(|field| self.copy_field(field)).collect())
            }
            Node::Fold(fold) => Node::Fold(Box::new(self.copy_fold(fold))),
        };
        self.parser.node(offset, kind)
    }

    fn copy_entry(&mut self, entry: &Entry) -> Entry {
        Entry { key: self.copy(&entry.key), value: self.copy(&entry.value), optional: entry.optional }
    }

    fn copy_field(&mut self, field: &Field) -> Field {
        let id = self.parser.id(self.at);
        Field { id, name: field.name.clone(), value: self.copy(&field.value), optional: field.optional }
    }

    fn copy_fold(&mut self, fold: &Fold) -> Fold {
        Fold {
            range: self.copy(&fold.range),
            variable: fold.variable.clone(),
            second_variable: fold.second_variable.clone(),
            accumulator: fold.accumulator.clone(),
            init: self.copy(&fold.init),
            condition: self.copy(&fold.condition),
            step: self.copy(&fold.step),
            result: self.copy(&fold.result),
        }
    }

    /// A walk over `range` whose result is the accumulator.
    fn walk(&mut self, range: Expr, names: Names, init: Expr, condition: Expr, step: Expr) -> Expr {
        let result = self.accumulator();
        self.walk_to(range, names, init, condition, step, result)
    }

    fn walk_to(&mut self, range: Expr, names: Names, init: Expr, condition: Expr, step: Expr, result: Expr) -> Expr {
        let Names(variable, second_variable) = names;
        let accumulator = ACCUMULATOR.into();
        let fold = Fold { range, variable, second_variable, accumulator, init, condition, step, result };
        self.node(Node::Fold(Box::new(fold)))
    }

    /// `name` stands for `value` within `result`.
    fn bound(&mut self, name: Arc<str>, value: Expr, result: Expr) -> Expr {
        let fold = Fold {
            range: self.list(Vec::new()),
            variable: "#unused".into(),
            second_variable: None,
            init: value,
            condition: self.literal(Value::Bool(false)),
            step: self.ident(&name),
            accumulator: name,
            result,
        };
        self.node(Node::Fold(Box::new(fold)))
    }
}

/// One or two variables of a walk.
struct Names(Arc<str>, Option<Arc<str>>);

/// The variables of a macro that takes one of them with `with_one` arguments and two with more; and how many they are.
fn names(maker: &Maker<'_, '_>, arguments: &[Expr], two: bool, not_an_ident: &str) -> Result<(Names, usize), Refusal> {
    let first = arguments[0].ident().ok_or_else(|| maker.refusal(&arguments[0], not_an_ident))?.clone();
    let is_taken = |name: &Arc<str>| &**name == ACCUMULATOR || &**name == OLD_ACCUMULATOR;
    let overwrites = "iteration variable overwrites accumulator variable";
    if !two {
        if is_taken(&first) {
            return Err(maker.refusal(&arguments[0], overwrites));
        }
        return Ok((Names(first, None), 1));
    }
    let second = arguments[1].ident().ok_or_else(|| maker.refusal(&arguments[1], not_an_ident))?.clone();
    if first == second {
        return Err(maker.refusal(&arguments[1], format!("duplicate variable name: {first}")));
    }
    for (name, argument) in [(&first, &arguments[0]), (&second, &arguments[1])] {
        if is_taken(name) {
            return Err(maker.refusal(argument, overwrites));
        }
    }
    Ok((Names(first, Some(second)), 2))
}

const SIMPLE_NAME: &str = "argument must be a simple name";

fn has(maker: &mut Maker<'_, '_>, _: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let argument = arguments.remove(0);
    match argument.kind {
        Node::Select(select) => Ok(maker.node(Node::Select(Box::new(Select { test_only: true, ..*select })))),
        _ => Err(maker.refusal(&argument, "invalid argument to has() macro")),
    }
}

fn all(maker: &mut Maker<'_, '_>, target: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let (names, count) = names(maker, &arguments, arguments.len() == 3, SIMPLE_NAME)?;
    let predicate = arguments.remove(count);
    let init = maker.literal(Value::Bool(true));
    let so_far = maker.accumulator();
    let condition = maker.call("@not_strictly_false", vec![so_far]);
    let so_far = maker.accumulator();
    let step = maker.call("_&&_", vec![so_far, predicate]);
    Ok(maker.walk(target, names, init, condition, step))
}

fn exists(maker: &mut Maker<'_, '_>, target: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let (names, count) = names(maker, &arguments, arguments.len() == 3, SIMPLE_NAME)?;
    let predicate = arguments.remove(count);
    let init = maker.literal(Value::Bool(false));
    let so_far = maker.accumulator();
    let not_yet = maker.call("!_", vec![so_far]);
    let condition = maker.call("@not_strictly_false", vec![not_yet]);
    let so_far = maker.accumulator();
    let step = maker.call("_||_", vec![so_far, predicate]);
    Ok(maker.walk(target, names, init, condition, step))
}

fn exists_one(maker: &mut Maker<'_, '_>, target: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let (names, count) = names(maker, &arguments, arguments.len() == 3, SIMPLE_NAME)?;
    let predicate = arguments.remove(count);
    let init = maker.literal(Value::Int(0));
    let condition = maker.literal(Value::Bool(true));
    let (so_far, one) = (maker.accumulator(), maker.literal(Value::Int(1)));
    let one_more = maker.call("_+_", vec![so_far, one]);
    let so_far = maker.accumulator();
    let step = maker.call("_?_:_", vec![predicate, one_more, so_far]);
    let (so_far, one) = (maker.accumulator(), maker.literal(Value::Int(1)));
    let result = maker.call("_==_", vec![so_far, one]);
    Ok(maker.walk_to(target, names, init, condition, step, result))
}

/// Appends `item` for each element for which `filter` holds.
fn collect(maker: &mut Maker<'_, '_>, target: Expr, names: Names, filter: Option<Expr>, item: Expr) -> Expr {
    let init = maker.list(Vec::new());
    let condition = maker.literal(Value::Bool(true));
    let (so_far, more) = (maker.accumulator(), maker.list(vec![item]));
    let step = maker.call("_+_", vec![so_far, more]);
    let step = filtered(maker, filter, step);
    maker.walk(target, names, init, condition, step)
}

fn filtered(maker: &mut Maker<'_, '_>, filter: Option<Expr>, step: Expr) -> Expr {
    match filter {
        None => step,
        Some(filter) => {
            let so_far = maker.accumulator();
            maker.call("_?_:_", vec![filter, step, so_far])
        }
    }
}

fn map(maker: &mut Maker<'_, '_>, target: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let (names, _) = names(maker, &arguments, false, "argument is not an identifier")?;
    let filter = (arguments.len() == 3).then(|| arguments.remove(1));
    let item = arguments.remove(1);
    Ok(collect(maker, target, names, filter, item))
}

fn filter(maker: &mut Maker<'_, '_>, target: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let (names, _) = names(maker, &arguments, false, "argument is not an identifier")?;
    let filter = arguments.remove(1);
    let item = arguments.remove(0);
    Ok(collect(maker, target, names, Some(filter), item))
}

fn transform_list(maker: &mut Maker<'_, '_>, target: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let (names, _) = names(maker, &arguments, true, SIMPLE_NAME)?;
    let filter = (arguments.len() == 4).then(|| arguments.remove(2));
    let item = arguments.remove(2);
    Ok(collect(maker, target, names, filter, item))
}

fn transform_map(maker: &mut Maker<'_, '_>, target: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let (names, _) = names(maker, &arguments, true, SIMPLE_NAME)?;
    let filter = (arguments.len() == 4).then(|| arguments.remove(2));
    let value = arguments.remove(2);
    let init = maker.node(Node::Map(Vec::new()));
    let condition = maker.literal(Value::Bool(true));
    let (so_far, key) = (maker.accumulator(), maker.ident(&names.0.clone()));
    let step = maker.call("cel.@mapInsert", vec![so_far, key, value]);
    let step = filtered(maker, filter, step);
    Ok(maker.walk(target, names, init, condition, step))
}

fn transform_map_entry(maker: &mut Maker<'_, '_>, target: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let (names, _) = names(maker, &arguments, true, SIMPLE_NAME)?;
    let filter = (arguments.len() == 4).then(|| arguments.remove(2));
    let entries = arguments.remove(2);
    let init = maker.node(Node::Map(Vec::new()));
    let condition = maker.literal(Value::Bool(true));
    let so_far = maker.accumulator();
    let step = maker.call("cel.@mapInsert", vec![so_far, entries]);
    let step = filtered(maker, filter, step);
    Ok(maker.walk(target, names, init, condition, step))
}

fn opt_map(maker: &mut Maker<'_, '_>, target: Expr, arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    optional(maker, target, arguments, "optMap", true)
}

fn opt_flat_map(maker: &mut Maker<'_, '_>, target: Expr, arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    optional(maker, target, arguments, "optFlatMap", false)
}

fn optional(
    maker: &mut Maker<'_, '_>,
    target: Expr,
    mut arguments: Vec<Expr>,
    name: &str,
    wraps: bool,
) -> Result<Expr, Refusal> {
    let no_name = || maker.refusal(&arguments[0], format!("{name}() variable name must be a simple identifier"));
    let variable = arguments[0].ident().cloned().ok_or_else(no_name)?;
    let mapped = arguments.remove(1);
    let copy = maker.copy(&target);
    let is_there = maker.member_call("hasValue", target, Vec::new());
    let value = maker.member_call("value", copy, Vec::new());
    let mut result = maker.bound(variable, value, mapped);
    if wraps {
        result = maker.call("optional.of", vec![result]);
    }
    let none = maker.call("optional.none", Vec::new());
    Ok(maker.call("_?_:_", vec![is_there, result, none]))
}

fn sort_by(maker: &mut Maker<'_, '_>, target: Expr, arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    const INPUT: &str = "@__sortBy_input__";
    if !matches!(target.kind, Node::List(_) | Node::Select(_) | Node::Ident(_) | Node::Fold(_) | Node::Call(_)) {
        let message = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
        return Err(maker.refusal(&target, message));
    }
    let input = maker.ident(INPUT);
    let keys = map(maker, input, arguments)?;
    let input = maker.ident(INPUT);
    let sorted = maker.member_call("@sortByAssociatedKeys", input, vec![keys]);
    Ok(maker.bound(INPUT.into(), target, sorted))
}

/// Upstream: cel-go ext/bindings.go.
fn bind(maker: &mut Maker<'_, '_>, _: Expr, mut arguments: Vec<Expr>) -> Result<Expr, Refusal> {
    let no_name = || maker.refusal(&arguments[0], "cel.bind() variable names must be simple identifiers");
    let name = arguments[0].ident().cloned().ok_or_else(no_name)?;
    let result = arguments.remove(2);
    let value = arguments.remove(1);
    Ok(maker.bound(name, value, result))
}
