//! Programs: what a checked expression is planned into ([`plan`]), and how that is evaluated ([`machine`]).

pub(crate) mod attribute;
pub(crate) mod machine;
pub(crate) mod plan;

use std::sync::Arc;

use regex::Regex;

use crate::functions::{Cost, Function, Overload};
use crate::library::regex::Find;
use crate::value::{EvalError, Map, Value};
use attribute::Attribute;

/// The number of a walk's variable.
pub(crate) type Slot = usize;

/// A part of a program.
pub(crate) enum Node {
    Constant(Value),
    Attribute(Box<Attribute>),
    /// The accumulator of a walk, moved out: what is made of it replaces it.
    Take(Slot),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// Whether the two are equal, or are not.
    Equal(Box<[Node; 2]>, bool),
    Call(Box<Call>),
    /// Whether the value is one of those, which are known beforehand.
    Among(Box<Node>, Map),
    /// The first optional that has a value, or its value.
    OrOptional(Box<[Node; 2]>),
    OrValue(Box<[Node; 2]>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct(Arc<str>, Vec<(Arc<str>, Node, bool)>),
    Fold(Box<Fold>),
}

pub(crate) struct Call {
    pub function: Arc<Function>,
    /// The only one that fits.
    pub overload: Option<Arc<Overload>>,
    pub arguments: Vec<Node>,
    pub cost: Cost,
    /// Stops at the first argument that is an error.
    pub stops: bool,
    pub pattern: Option<Pattern>,
}

/// A function whose pattern is known beforehand.
pub(crate) struct Pattern {
    pub regex: Regex,
    pub run: Find,
}

pub(crate) struct Fold {
    pub range: Node,
    pub init: Node,
    pub condition: Node,
    pub step: Node,
    pub result: Node,
    pub accumulator: Slot,
    pub variable: Slot,
    pub second_variable: Option<Slot>,
}

/// Where a program finds the variables of its environment.
pub trait Variables: Sync {
    /// The value of a variable, or the error that it comes to; `None` when there is none of this name.
    fn get(&self, name: &str) -> Option<Result<Value, EvalError>>;
}

/// No variables.
impl Variables for () {
    fn get(&self, _: &str) -> Option<Result<Value, EvalError>> {
        None
    }
}

/// By name.
impl Variables for std::collections::BTreeMap<String, Value> {
    fn get(&self, name: &str) -> Option<Result<Value, EvalError>> {
        self.get(name).cloned().map(Ok)
    }
}

/// How much an evaluation may cost, and did.
pub struct Budget<'a> {
    /// Of one evaluation.
    pub limit: u64,
    /// Of all evaluations so far.
    pub used: u64,
    /// Asked now and then whether to stop.
    pub interrupt: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl Budget<'_> {
    /// What one evaluation may cost at most. Upstream: apiserver/pkg/apis/cel/config.go PerCallLimit.
    pub const PER_CALL: u64 = 1_000_000;
}

impl Default for Budget<'_> {
    fn default() -> Self {
        Budget { limit: Budget::PER_CALL, used: 0, interrupt: None }
    }
}
