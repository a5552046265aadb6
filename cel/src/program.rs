//! From text to what can be evaluated: [`compile`], then [`Expression::program`], then [`Program::evaluate`].

use std::sync::Arc;

use crate::ast::Expr;
use crate::check::{self, Checked};
use crate::cost::estimate;
use crate::cost::{Bounds, SizeEstimator};
use crate::depth;
use crate::environment::Environment;
use crate::issue::{Issues, Source};
use crate::parse;
use crate::run::plan::{self, Planned};
use crate::run::{Budget, Variables, machine};
use crate::types::{Type, TypeProvider};
use crate::value::{EvalError, Value};

/// An expression that has been parsed and checked.
pub struct Expression {
    checked: Checked,
    environment: Environment,
    is_deep: bool,
}

/// An expression that can be evaluated, any number of times and by several at once.
pub struct Program {
    planned: Planned,
    types: Arc<dyn TypeProvider>,
    is_deep: bool,
}

/// Parses and checks an expression. All that is wrong with it is said at once, in upstream's words.
pub fn compile(environment: &Environment, source: &str) -> Result<Expression, Issues> {
    let compiled = depth::with_room(depth::may_be_deep(source), || {
        let source = Source::new(source);
        let parsed = parse::parse(&source, environment.macros)?;
        let checked = check::check(environment, &source, parsed)?;
        let is_deep = depth::is_deep(&checked.expr);
        Ok(Expression { checked, environment: environment.clone(), is_deep })
    });
    compiled.unwrap_or_else(|error| Err(Issues::of(error.to_string())))
}

impl Expression {
    /// The type of what it comes to.
    pub fn result_type(&self) -> &Type {
        self.checked.type_of(&self.checked.expr)
    }

    /// What it costs at least and at most.
    pub fn cost_estimate(&self, sizes: &dyn SizeEstimator) -> Bounds {
        let estimated =
            depth::with_room(self.is_deep, || estimate::estimate(&self.checked, &self.environment.functions, sizes));
        // What cannot be estimated costs too much.
        estimated.unwrap_or(Bounds::UNKNOWN)
    }

    /// Whether a name stands in it as a variable of its environment.
    pub fn uses(&self, variable: &str) -> bool {
        self.checked.uses(variable)
    }

    pub(crate) fn tree(&self) -> &Expr {
        &self.checked.expr
    }

    /// What can be evaluated. An error: something constant in it has no value, or is no pattern.
    pub fn program(&self) -> Result<Program, EvalError> {
        let planned = depth::with_room(self.is_deep, || plan::plan(&self.checked, &self.environment.functions));
        let planned = planned.unwrap_or_else(|error| Err(EvalError::new(error.to_string())))?;
        Ok(Program { planned, types: self.environment.types.clone(), is_deep: self.is_deep })
    }
}

impl Program {
    /// What the expression comes to. What it cost is added to the budget, also when it comes to an error.
    pub fn evaluate<'a>(&'a self, variables: &'a dyn Variables, budget: &mut Budget<'a>) -> Result<Value, EvalError> {
        let Planned { node, slots } = &self.planned;
        let outcome =
            depth::with_room(self.is_deep, || machine::evaluate(node, *slots, &*self.types, variables, budget));
        outcome.unwrap_or_else(|error| Err(EvalError::new(error.to_string())))
    }
}
