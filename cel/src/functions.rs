//! Functions: what there is, declared as rows, and how a call finds what it runs.
//!
//! Each library is a file with a table of rows. The order of rows is upstream's, since it is the order in which the checker
//! tries overloads.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::Type;
use crate::value::{EvalError, Outcome, Value};

/// What an overload does.
pub(crate) type Run = fn(&[Value]) -> Outcome;

/// One overload, as a table declares it.
pub(crate) struct Row {
    pub function: &'static str,
    pub id: &'static str,
    /// Called on its first argument: `a.f(b)`.
    pub member: bool,
    /// Types by name, a comma between them: `list(T), int`.
    pub arguments: &'static str,
    pub result: &'static str,
    /// None: what it does is a matter of the function ([`Singleton`]) or of the planner.
    pub run: Option<Run>,
    pub cost: Cost,
    /// Stops at the first argument that is an error, instead of evaluating all of one or two.
    pub stops: bool,
}

/// How a call counts. Upstream: apiserver/pkg/cel/library/cost.go; cel-go ext/costs.go, ext/lists.go and ext/sets.go for those
/// that go by overload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cost {
    /// As the language's own functions: see [`crate::cost`].
    Standard,
    /// So much, whatever it is given.
    Fixed(u64),
    /// Reads the text once, or so many times.
    Scan(u64),
    /// Reads a text and makes one of another length.
    Replace,
    Split,
    Join,
    /// Walks a list and what is in it.
    Traverse,
    /// A regular expression over a text.
    Find,
    /// An address in a network; whether it is given as text.
    ContainsIp(bool),
    ContainsCidr(bool),
    /// A text against a named format.
    Validate,
    /// A selector, parsed.
    Selector,
    // By overload: they count only where one overload alone fits.
    Sets(f64),
    Slice,
    Range,
    Reverse,
    Flatten,
    Distinct,
    /// Compares elements of the argument at this place with each other; whether they are text.
    Sort(usize, bool),
}

impl Cost {
    /// Whether it hangs on the overload and not on the function.
    fn is_by_overload(self) -> bool {
        matches!(
            self,
            Cost::Sets(_)
                | Cost::Slice
                | Cost::Range
                | Cost::Reverse
                | Cost::Flatten
                | Cost::Distinct
                | Cost::Sort(..)
                | Cost::ContainsIp(_)
                | Cost::ContainsCidr(_)
        )
    }
}

/// What all overloads of a function share: values of these sorts know by themselves.
#[derive(Clone, Copy)]
pub(crate) struct Singleton {
    pub function: &'static str,
    /// Whether the first argument is of a sort that knows.
    pub takes: fn(&Value) -> bool,
    pub run: Run,
}

/// An overload as the checker and the planner see it.
#[derive(Debug)]
pub(crate) struct Overload {
    pub id: &'static str,
    pub member: bool,
    pub arguments: Vec<Type>,
    pub result: Type,
    pub run: Option<Run>,
    pub cost: Cost,
    pub stops: bool,
    /// Names of parameters in the declaration, in the order of their first standing.
    pub parameters: Vec<Arc<str>>,
}

pub(crate) struct Function {
    pub name: &'static str,
    pub overloads: Vec<Arc<Overload>>,
    pub singleton: Option<Singleton>,
    /// The function itself sees to the types of what it is given.
    pub unguarded: bool,
}

/// All functions of an environment, by name.
#[derive(Default)]
pub(crate) struct Functions {
    by_name: BTreeMap<&'static str, Arc<Function>>,
}

/// Functions that look at their arguments' types themselves.
const UNGUARDED: &[&str] = &["contains", "endsWith", "startsWith", "flatten"];

// === impl Row ===

/// A function that is called by its name alone.
pub(crate) const fn global(
    function: &'static str,
    id: &'static str,
    arguments: &'static str,
    result: &'static str,
    run: Run,
) -> Row {
    Row { function, id, member: false, arguments, result, run: Some(run), cost: Cost::Standard, stops: false }
}

/// A function that is called on a value.
pub(crate) const fn member(
    function: &'static str,
    id: &'static str,
    arguments: &'static str,
    result: &'static str,
    run: Run,
) -> Row {
    Row { function, id, member: true, arguments, result, run: Some(run), cost: Cost::Standard, stops: false }
}

/// A declaration whose doing is elsewhere.
pub(crate) const fn declared(
    function: &'static str,
    id: &'static str,
    arguments: &'static str,
    result: &'static str,
) -> Row {
    Row { function, id, member: false, arguments, result, run: None, cost: Cost::Standard, stops: false }
}

impl Row {
    pub(crate) const fn cost(self, cost: Cost) -> Row {
        Row { cost, ..self }
    }

    pub(crate) const fn stops(self) -> Row {
        Row { stops: true, ..self }
    }

    pub(crate) const fn member(self) -> Row {
        Row { member: true, ..self }
    }
}

// === impl Functions ===

impl Functions {
    pub(crate) fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let function = self.by_name.entry(row.function).or_insert_with(|| {
                Arc::new(Function {
                    name: row.function,
                    overloads: Vec::new(),
                    singleton: None,
                    unguarded: UNGUARDED.contains(&row.function),
                })
            });
            if let Some(function) = Arc::get_mut(function) {
                function.overloads.push(Arc::new(overload(row)));
            }
        }
    }

    pub(crate) fn share(&mut self, singletons: &[Singleton]) {
        for singleton in singletons {
            if let Some(function) = self.by_name.get_mut(singleton.function).and_then(Arc::get_mut) {
                function.singleton = Some(*singleton);
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Function>> {
        self.by_name.get(name.strip_prefix('.').unwrap_or(name))
    }
}

fn overload(row: &Row) -> Overload {
    let arguments = split(row.arguments).iter().map(|text| parse(text)).collect::<Vec<_>>();
    let mut parameters = Vec::new();
    arguments.iter().for_each(|argument| collect_parameters(argument, &mut parameters));
    let result = parse(row.result);
    collect_parameters(&result, &mut parameters);
    Overload {
        id: row.id,
        member: row.member,
        stops: row.stops || arguments.len() > 2,
        arguments,
        result,
        run: row.run,
        cost: row.cost,
        parameters,
    }
}

fn collect_parameters(t: &Type, into: &mut Vec<Arc<str>>) {
    if let Type::Param(name) = t
        && !into.contains(name)
    {
        into.push(name.clone());
    }
    t.parameters().iter().for_each(|parameter| collect_parameters(parameter, into));
}

/// `map(K, V), int` into `map(K, V)` and `int`.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[from..index].trim());
                from = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// A type by its name in a table.
fn parse(text: &str) -> Type {
    let (name, inner) = match text.split_once('(') {
        Some((name, inner)) => (name, split(inner.trim_end().strip_suffix(')').unwrap_or(inner))),
        None => (text, Vec::new()),
    };
    let of = |index: usize| inner.get(index).map_or(Type::Dyn, |text| parse(text));
    match name {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "list" => Type::list(of(0)),
        "map" => Type::map(of(0), of(1)),
        "type" => Type::type_of(of(0)),
        "optional" => Type::optional(of(0)),
        "net.IP" | "net.CIDR" => Type::opaque(name, Vec::new()),
        parameter if parameter.len() == 1 => Type::Param(parameter.into()),
        object => Type::object(object),
    }
}

// === impl Function ===

impl Function {
    /// What a call of this function counts as, when `overload` alone fits or when several do.
    pub(crate) fn cost(&self, overload: Option<&Overload>) -> Cost {
        match overload {
            Some(overload) => overload.cost,
            None => {
                let by_function = |o: &&Arc<Overload>| o.cost != Cost::Standard && !o.cost.is_by_overload();
                match self.name {
                    "containsIP" => Cost::ContainsIp(false),
                    "containsCIDR" => Cost::ContainsCidr(false),
                    _ => self.overloads.iter().find(by_function).map_or(Cost::Standard, |o| o.cost),
                }
            }
        }
    }

    /// Whether a call stops at the first argument that is an error.
    pub(crate) fn stops(&self, overload: Option<&Overload>, count: usize) -> bool {
        if count > 2 {
            return true;
        }
        match overload {
            Some(overload) if overload.run.is_some() => overload.stops,
            _ => self.singleton.is_none() && self.bound().count() > 1,
        }
    }

    fn bound(&self) -> impl Iterator<Item = &Arc<Overload>> {
        self.overloads.iter().filter(|overload| overload.run.is_some())
    }

    /// What the call comes to. `overload`: the only one that the checker left.
    pub(crate) fn call(&self, overload: Option<&Overload>, arguments: &[Value]) -> Outcome {
        if let Some(Overload { run: Some(run), .. }) = overload {
            let fits = overload.is_some_and(|overload| self.unguarded || overload.accepts(arguments));
            return if fits { run(arguments) } else { Err(self.no_such_overload(arguments)) };
        }
        if let Some(singleton) = &self.singleton {
            return match arguments.first() {
                Some(first) if !(singleton.takes)(first) => Err(self.not_taken(first)),
                _ => (singleton.run)(arguments),
            };
        }
        let fitting = self.bound().find(|overload| {
            overload.arguments.len() == arguments.len() && (self.unguarded || overload.accepts(arguments))
        });
        match fitting.and_then(|overload| overload.run) {
            Some(run) => run(arguments),
            None => Err(self.no_such_overload(arguments)),
        }
    }

    fn not_taken(&self, first: &Value) -> EvalError {
        match first {
            Value::String(_) | Value::Timestamp(_) | Value::Duration(_) => EvalError::no_such_overload(),
            _ => EvalError::new(format!("no such overload: {}", self.name)),
        }
    }

    fn no_such_overload(&self, arguments: &[Value]) -> EvalError {
        let types: Vec<String> = arguments.iter().map(|a| a.value_type().runtime_name().to_owned()).collect();
        EvalError::new(format!("no such overload: {}({})", self.name, types.join(", ")))
    }
}

// === impl Overload ===

impl Overload {
    fn accepts(&self, arguments: &[Value]) -> bool {
        self.arguments.len() == arguments.len() && self.arguments.iter().zip(arguments).all(|(t, v)| accepts(t, v))
    }
}

/// Whether a value is what a declaration asks for, as far as its first element tells.
fn accepts(t: &Type, value: &Value) -> bool {
    match (t, value) {
        (Type::Dyn | Type::Any | Type::Param(_) | Type::Var(_), _) => true,
        (Type::List(element), Value::List(list)) => {
            list.is_empty() || list.get(0).is_ok_and(|first| accepts(element, &first))
        }
        (Type::Map(pair), Value::Map(map)) => match map.keys().first() {
            None => true,
            Some(key) => {
                let value = map.get(key).ok().flatten();
                accepts(&pair.0, key) && value.is_some_and(|value| accepts(&pair.1, &value))
            }
        },
        (t, value) => t.runtime_name() == value.value_type().runtime_name(),
    }
}
