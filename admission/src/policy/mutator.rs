//! What a mutating policy would change.
//!
//! Upstream: plugin/policy/mutating/compilation.go, plugin/policy/mutating/patch.

use api::Value;
use cel::{
    Mode,
    admission::{Composer, Declares, JsonPatch, Made, POLICY_BUDGET, Returns},
};
use std::sync::Arc;

use super::Evaluator;
use crate::expressions::{Activation, Expression, Needs, OutOfBudget, tree_of};

/// A mutating policy's own part.
pub(crate) struct Mutator {
    pub mutations: Vec<Mutation>,
    /// It looks again when something changes after it.
    pub reinvoked_if_needed: bool,
}

pub(crate) struct Mutation {
    expression: Expression,
    is_configuration: bool,
}

/// What an expression wants to change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Patch {
    /// It is laid over the object as server-side apply does.
    Configuration(Value),
    /// The document of a JSON patch.
    Operations(Value),
}

// === impl Mutator ===

impl Evaluator for Mutator {
    fn compile(spec: &Value, composer: &Composer, declares: Declares, needs: &mut Needs) -> Mutator {
        let declares = Declares { patches: true, ..declares };
        let mutation = |mutation: &Value| {
            let is_configuration = mutation.str("patchType") == "ApplyConfiguration";
            let (member, returns) = match is_configuration {
                true => ("applyConfiguration", Returns::Configuration),
                false => ("jsonPatch", Returns::Patches),
            };
            let text = mutation.at(member).str("expression");
            let compiled = composer.compile(text, Mode::StoredExpressions, declares, returns);
            Mutation { expression: Expression::new(text, compiled, needs), is_configuration }
        };
        Mutator {
            mutations: spec.list("mutations").iter().map(mutation).collect(),
            reinvoked_if_needed: spec.str("reinvocationPolicy") == "IfNeeded",
        }
    }
}

// === impl Mutation ===

impl Mutation {
    /// What it comes to; the error is upstream's text.
    pub fn evaluate(&self, activation: &Arc<Activation>) -> Result<Patch, String> {
        if let Some(why) = self.expression.refused() {
            return Err(why.into());
        }
        let mut remaining = POLICY_BUDGET;
        let value = self.expression.evaluate(activation, &mut remaining);
        let value = value.map_err(|OutOfBudget| OutOfBudget::TEXT)??;
        match self.is_configuration {
            true => configuration(&value).map(Patch::Configuration),
            false => operations(&value).map(Patch::Operations),
        }
    }
}

fn configuration(value: &cel::Value) -> Result<Value, String> {
    let Some(made) = value.downcast::<Made>() else {
        let found = value.value_type();
        return Err(format!("unsupported return type from ApplyConfiguration expression: {found}"));
    };
    check_names(made)?;
    let tree = tree_of(value).map_err(|why| format!("invalid return type: {why}"))?;
    match null_in(&tree) {
        // A configuration says what is there; nothing is taken away by it.
        Some(at) => Err(format!(
            "error applying patch: failed to convert patch object to typed object: {at}: got structpb.NullValue"
        )),
        None => Ok(tree),
    }
}

/// The path to the first null in a tree.
fn null_in(tree: &Value) -> Option<String> {
    let below = |step: String, value: &Value| null_in(value).map(|rest| format!("{step}{rest}"));
    match tree {
        Value::Null => Some(String::new()),
        Value::Array(items) => items.iter().enumerate().find_map(|(i, item)| below(format!("[{i}]"), item)),
        _ => tree.members().find_map(|(name, member)| below(format!(".{name}"), member)),
    }
}

fn check_names(made: &Made) -> Result<(), String> {
    let wrong = made.misnamed();
    if wrong.is_empty() { Ok(()) } else { Err(format!("type mismatch: {}", wrong.join("\n"))) }
}

fn operations(value: &cel::Value) -> Result<Value, String> {
    let cel::Value::List(list) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".into());
    };
    let mut operations = Vec::with_capacity(list.len());
    for item in list.iter() {
        let item = item.map_err(|error| error.message)?;
        let Some(patch) = item.downcast::<JsonPatch>() else {
            return Err("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch".into());
        };
        operations.push(operation(patch)?);
    }
    Ok(Value::array(operations))
}

fn operation(patch: &JsonPatch) -> Result<Value, String> {
    let mut operation = api::value!({"op": (patch.op.as_str()), "path": (patch.path.as_str())});
    if !patch.from.is_empty() {
        operation.set("from", patch.from.as_str());
    }
    if let Some(value) = &patch.value {
        if let Some(made) = value.downcast::<Made>() {
            check_names(made)?;
        }
        let tree = tree_of(value).map_err(|why| {
            format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}")
        })?;
        operation.set("value", tree);
    }
    Ok(operation)
}
