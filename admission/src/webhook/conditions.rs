//! Expressions that decide whether a webhook is asked.
//!
//! Upstream: plugin/webhook/matchconditions/matcher.go, plugin/cel/{condition,activation}.go.

use std::sync::Arc;

use api::{Attributes, User, Value};
use cel::{
    Budget, EvalError, Mode, Program, Variables,
    admission::{Declares, MATCH_CONDITIONS_BUDGET, environment},
    authz::{self, Decision, Question},
};
use futures::FutureExt;

use super::{ask::View, review};
use crate::{Cluster, May, Operation, Request, expressions::value_of};

/// An expression that has to be true for the webhook to be asked.
pub struct Condition {
    expression: String,
    /// The error is upstream's text.
    program: Result<Program, String>,
}

/// What the expressions see.
struct Seen {
    object: cel::Value,
    old: cel::Value,
    request: cel::Value,
    authorizer: cel::Value,
    own_check: cel::Value,
}

/// Whoever asks here is the one who makes the request, unless a service account is named.
struct Asking {
    may: Arc<dyn May>,
    user: User,
}

// === impl Condition ===

impl Condition {
    pub fn compile(condition: &Value) -> Condition {
        let expression = condition.str("expression").to_owned();
        let declares = Declares { params: false, authorizer: true };
        let compiled = cel::compile(&environment(Mode::StoredExpressions, declares), &expression);
        let program = match compiled {
            Err(issues) => Err(format!("compilation error: compilation failed: {issues}")),
            Ok(compiled) if *compiled.result_type() != cel::Type::Bool => {
                Err(format!("compilation error: must evaluate to bool but got {}", compiled.result_type()))
            }
            Ok(compiled) => {
                let planned = compiled.program();
                planned.map_err(|e| format!("compilation error: program instantiation failed: {}", e.message))
            }
        };
        Condition { expression, program }
    }

    fn holds(&self, seen: &Seen, budget: &mut Budget<'_>) -> Result<bool, String> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        // Each has the bound of one evaluation for itself; what all cost is summed up.
        let mut own = Budget::default();
        let outcome = program.evaluate(seen, &mut own);
        budget.used += own.used;
        let wrong = |why: &str| format!("expression '{}' resulted in error: {why}", self.expression);
        match outcome {
            Ok(value) => value.as_bool().ok_or_else(|| wrong("it is no bool")),
            Err(error) => Err(wrong(&error.message)),
        }
    }
}

/// Whether all conditions hold. One that does not is enough for no; else one that fails is an error, unless failures are
/// ignored: then it is a no too. An error is upstream's text.
pub fn hold(
    conditions: &[Condition],
    request: &Request<'_>,
    view: &View,
    cluster: &Cluster,
    ignores_failure: bool,
) -> Result<bool, String> {
    let seen = Seen::of(request, view, cluster);
    let mut budget = Budget { limit: MATCH_CONDITIONS_BUDGET, ..Budget::default() };
    let mut errors = Vec::new();
    for condition in conditions {
        let outcome = condition.holds(&seen, &mut budget);
        if budget.used > MATCH_CONDITIONS_BUDGET {
            let why = "validation failed due to running out of cost budget, no further validation rules will be run";
            return if ignores_failure { Ok(false) } else { Err(why.into()) };
        }
        match outcome {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => errors.push(why),
        }
    }
    match (errors.is_empty(), ignores_failure) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => Err(crate::aggregate(&errors)),
    }
}

// === impl Seen ===

impl Seen {
    fn of(request: &Request<'_>, view: &View, cluster: &Cluster) -> Seen {
        let review = review::question("v1", "", request, &view.seen, Value::NULL, Value::NULL);
        let asking = Arc::new(Asking { may: cluster.may.clone(), user: request.user.clone() });
        let own = Question {
            verb: verb(request).into(),
            group: request.resource.group.to_string(),
            resource: request.resource.resource.to_string(),
            subresource: request.subresource.into(),
            namespace: request.namespace_known().into(),
            name: request.name_known().into(),
            ..Question::default()
        };
        Seen {
            object: value_of(&view.object),
            old: value_of(&view.old),
            request: value_of(review.at("request")),
            authorizer: authz::authorizer(asking.clone()),
            own_check: authz::resource_check(asking, own),
        }
    }
}

fn verb(request: &Request<'_>) -> &'static str {
    match request.operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Connect => "connect",
    }
}

impl Variables for Seen {
    fn get(&self, name: &str) -> Option<Result<cel::Value, EvalError>> {
        Some(Ok(match name {
            "object" => self.object.clone(),
            "oldObject" => self.old.clone(),
            "request" => self.request.clone(),
            // Webhooks are not told it.
            "namespaceObject" => cel::Value::Null,
            "authorizer" => self.authorizer.clone(),
            "authorizer.requestResource" => self.own_check.clone(),
            _ => return None,
        }))
    }
}

impl authz::Authorizer for Asking {
    fn authorize(&self, question: &Question) -> Decision {
        let other = question.service_account.as_ref().map(|(namespace, name)| {
            let groups =
                ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), api::user::AUTHENTICATED];
            User::new(format!("system:serviceaccount:{namespace}:{name}"), &groups)
        });
        let attributes = Attributes {
            verb: question.verb.clone(),
            is_resource: question.path.is_empty(),
            group: question.group.clone(),
            version: "*".into(),
            resource: question.resource.clone(),
            subresource: question.subresource.clone(),
            namespace: question.namespace.clone(),
            name: question.name.clone(),
            path: question.path.clone(),
            field_selector: question.field_selector.clone(),
            label_selector: question.label_selector.clone(),
        };
        let user = other.as_ref().unwrap_or(&self.user);
        // The authorizer reads an index in memory; one that has to wait cannot be asked from within an expression.
        match self.may.may(user, &attributes).now_or_never() {
            Some(Ok(allowed)) => Decision { allowed, ..Decision::default() },
            Some(Err(error)) => Decision { error: Some(error.message().into()), ..Decision::default() },
            None => Decision { error: Some("the authorizer does not answer at once".into()), ..Decision::default() },
        }
    }
}
