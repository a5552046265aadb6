//! What expressions of webhooks and policies see of a request, and what becomes of what they come to.
//!
//! A [`Stage`] is a request; it makes a [`Scene`] for each form in which it is seen. An [`Activation`] is a scene together
//! with a policy's variables, and an [`Expression`] is evaluated with one, within what is left of its budget. Upstream:
//! plugin/cel/{condition,activation,composition}.go.

mod activation;
mod asking;
pub mod conditions;
mod json;
mod stage;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;

use api::{Status, Value};
use cel::{
    Budget, Mode, Program,
    admission::{Compiled, Composer, Declares, Refused, Returns},
};

pub(crate) use activation::{Activation, Variable};
pub(crate) use json::tree_of;
pub(crate) use stage::{Scene, Stage};
pub(crate) use tree::value_of;

use crate::{Cluster, Request, matching::Seen};

/// A request in the version in which somebody wants to see it.
#[derive(Clone)]
pub(crate) struct View {
    pub seen: Seen,
    pub object: Arc<Value>,
    pub old: Arc<Value>,
}

/// What expressions name beside the objects: what none names is not made for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub request: bool,
    pub authorizer: bool,
    pub namespace: bool,
}

/// An expression that is evaluated for many requests.
pub(crate) struct Expression {
    text: String,
    /// The error is upstream's text.
    program: Result<Program, String>,
}

/// More was spent than there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfBudget;

impl OutOfBudget {
    pub const TEXT: &str =
        "validation failed due to running out of cost budget, no further validation rules will be run";
}

// === impl View ===

impl View {
    /// `object` is the hub's, as it is by now.
    pub async fn of(request: &Request<'_>, object: &Value, seen: Seen, cluster: &Cluster) -> Result<View, Status> {
        let object = Arc::new(in_version(request, object, &seen, cluster).await?);
        let old = Arc::new(in_version(request, request.old, &seen, cluster).await?);
        Ok(View { seen, object, old })
    }
}

/// A hub object in a version; of nothing, nothing.
async fn in_version(request: &Request<'_>, object: &Value, seen: &Seen, cluster: &Cluster) -> Result<Value, Status> {
    match object.is_null() {
        true => Ok(Value::Null),
        false => cluster.look.in_version(request, object, &seen.kind).await.map_err(Status::internal),
    }
}

// === impl Needs ===

impl Needs {
    fn add(&mut self, compiled: &Compiled) {
        let uses = |name: &str| compiled.expression.uses(name);
        self.request |= uses("request");
        self.authorizer |= uses("authorizer") || uses("authorizer.requestResource");
        self.namespace |= uses("namespaceObject");
    }
}

// === impl Expression ===

impl Expression {
    /// One that was compiled as a part of a policy.
    pub fn new(text: &str, compiled: Result<Compiled, Refused>, needs: &mut Needs) -> Expression {
        Expression { text: text.into(), program: program(compiled, needs) }
    }

    /// A match condition, which knows no variables.
    pub fn condition(condition: &Value, params: bool, needs: &mut Needs) -> Expression {
        let text = condition.str("expression");
        let declares = Declares { params, authorizer: true, patches: false };
        let composer = Composer::without_variables();
        Expression::new(text, composer.compile(text, Mode::StoredExpressions, declares, Returns::Bool), needs)
    }

    /// Why it cannot be evaluated at all.
    pub fn refused(&self) -> Option<&str> {
        self.program.as_ref().err().map(String::as_str)
    }

    /// What it comes to. An inner error is upstream's text; what it cost is taken from what remains.
    pub fn evaluate(
        &self,
        activation: &Arc<Activation>,
        remaining: &mut u64,
    ) -> Result<Result<cel::Value, String>, OutOfBudget> {
        let program = match &self.program {
            Ok(program) => program,
            Err(detail) => return Ok(Err(format!("compilation error: {detail}"))),
        };
        let names = activation.names();
        // Each has the bound of one evaluation for itself; what all cost is summed up.
        let mut budget = Budget::default();
        let outcome = program.evaluate(&names, &mut budget);
        for spent in [activation.take_cost(), budget.used] {
            *remaining = remaining.checked_sub(spent).ok_or(OutOfBudget)?;
        }
        let text = &self.text;
        Ok(outcome.map_err(|error| format!("expression '{text}' resulted in error: {}", error.message)))
    }
}

fn program(compiled: Result<Compiled, Refused>, needs: &mut Needs) -> Result<Program, String> {
    let compiled = compiled.map_err(|refused| refused.detail)?;
    needs.add(&compiled);
    Ok(compiled.program)
}
