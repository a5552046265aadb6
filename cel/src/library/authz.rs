//! Questions to the authorizer: `authorizer.group('apps').resource('deployments').check('get').allowed()`.
//!
//! Whom it asks is handed in as a value ([`Authorizer`]). Upstream: apiserver/pkg/cel/library/authz.go.

use std::any::Any;
use std::sync::Arc;

use crate::functions::{Cost, Row, member};
use crate::types::Type;
use crate::value::{EvalError, Object, Outcome, Value};

use super::format::{is_label, is_subdomain};
use super::{mismatch, object, text};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    member("path", "authorizer_path", "kubernetes.authorization.Authorizer, string", "kubernetes.authorization.PathCheck", path).cost(Cost::Fixed(1)),
    member("group", "authorizer_group", "kubernetes.authorization.Authorizer, string", "kubernetes.authorization.GroupCheck", group).cost(Cost::Fixed(1)),
    member("serviceAccount", "authorizer_serviceaccount", "kubernetes.authorization.Authorizer, string, string", "kubernetes.authorization.Authorizer", service_account).cost(Cost::Fixed(1)),
    member("resource", "groupcheck_resource", "kubernetes.authorization.GroupCheck, string", "kubernetes.authorization.ResourceCheck", resource).cost(Cost::Fixed(1)),
    member("subresource", "resourcecheck_subresource", "kubernetes.authorization.ResourceCheck, string", "kubernetes.authorization.ResourceCheck", |a| with(a, |q, v| q.subresource = v)).cost(Cost::Fixed(1)),
    member("namespace", "resourcecheck_namespace", "kubernetes.authorization.ResourceCheck, string", "kubernetes.authorization.ResourceCheck", |a| with(a, |q, v| q.namespace = v)).cost(Cost::Fixed(1)),
    member("name", "resourcecheck_name", "kubernetes.authorization.ResourceCheck, string", "kubernetes.authorization.ResourceCheck", |a| with(a, |q, v| q.name = v)).cost(Cost::Fixed(1)),
    member("check", "pathcheck_check", "kubernetes.authorization.PathCheck, string", "kubernetes.authorization.Decision", check).cost(Cost::Fixed(350_000)),
    member("check", "resourcecheck_check", "kubernetes.authorization.ResourceCheck, string", "kubernetes.authorization.Decision", check).cost(Cost::Fixed(350_000)),
    member("errored", "decision_errored", "kubernetes.authorization.Decision", "bool", |a| Ok(Value::Bool(object::<Said>(&a[0])?.0.error.is_some()))).cost(Cost::Fixed(1)),
    member("error", "decision_error", "kubernetes.authorization.Decision", "string", |a| Ok(Value::string(object::<Said>(&a[0])?.0.error.clone().unwrap_or_default()))).cost(Cost::Fixed(1)),
    member("allowed", "decision_allowed", "kubernetes.authorization.Decision", "bool", |a| Ok(Value::Bool(object::<Said>(&a[0])?.0.allowed))).cost(Cost::Fixed(1)),
    member("reason", "decision_reason", "kubernetes.authorization.Decision", "string", |a| Ok(Value::string(&*object::<Said>(&a[0])?.0.reason))).cost(Cost::Fixed(1)),
];

#[rustfmt::skip]
pub(crate) const SELECTOR_ROWS: &[Row] = &[
    member("fieldSelector", "authorizer_fieldselector", "kubernetes.authorization.ResourceCheck, string", "kubernetes.authorization.ResourceCheck", |a| with(a, |q, v| q.field_selector = v)).cost(Cost::Selector),
    member("labelSelector", "authorizer_labelselector", "kubernetes.authorization.ResourceCheck, string", "kubernetes.authorization.ResourceCheck", |a| with(a, |q, v| q.label_selector = v)).cost(Cost::Selector),
];

/// Whoever answers whether somebody may do something.
pub trait Authorizer: Send + Sync {
    fn authorize(&self, question: &Question) -> Decision;
}

/// What is asked. Empty texts are what was not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Namespace and name of the service account that is asked about; `None`: whoever makes the request.
    pub service_account: Option<(String, String)>,
    pub verb: String,
    /// Of a request that is not about a resource; otherwise empty.
    pub path: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// As they were written: whether they can be read is the authorizer's matter.
    pub field_selector: String,
    pub label_selector: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

/// The value of the variable `authorizer`.
pub fn authorizer(authorizer: Arc<dyn Authorizer>) -> Value {
    asking("Authorizer", authorizer, Question::default())
}

/// The value of the variable `authorizer.requestResource`: a check of the request's own resource.
pub fn resource_check(authorizer: Arc<dyn Authorizer>, question: Question) -> Value {
    asking("ResourceCheck", authorizer, question)
}

/// The type of the variable `authorizer`.
pub fn authorizer_type() -> Type {
    type_named("Authorizer")
}

/// The type of the variable `authorizer.requestResource`.
pub fn resource_check_type() -> Type {
    type_named("ResourceCheck")
}

fn type_named(name: &str) -> Type {
    Type::object(&format!("kubernetes.authorization.{name}"))
}

/// A question as far as it has been asked.
struct Asking {
    name: &'static str,
    authorizer: Arc<dyn Authorizer>,
    question: Question,
}

/// What the authorizer said.
#[derive(Debug)]
struct Said(Decision);

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({:?})", self.name, self.question)
    }
}

impl Object for Asking {
    fn value_type(&self) -> Type {
        type_named(self.name)
    }

    /// Upstream cannot compare these: what it compares is only the part that all of them share.
    fn equals(&self, _: &Value) -> Result<bool, EvalError> {
        mismatch()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Object for Said {
    fn value_type(&self) -> Type {
        type_named("Decision")
    }

    fn equals(&self, _: &Value) -> Result<bool, EvalError> {
        mismatch()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn asking(name: &'static str, authorizer: Arc<dyn Authorizer>, question: Question) -> Value {
    Value::object(Asking { name, authorizer, question })
}

/// The same question with something more said.
fn next(arguments: &[Value], name: &'static str, change: impl FnOnce(&mut Question)) -> Outcome {
    let asked = object::<Asking>(&arguments[0])?;
    let mut question = asked.question.clone();
    change(&mut question);
    Ok(asking(name, asked.authorizer.clone(), question))
}

fn path(arguments: &[Value]) -> Outcome {
    let path = text(&arguments[1])?;
    if path.trim().is_empty() {
        return Err(EvalError::new("path must not be empty"));
    }
    next(arguments, "PathCheck", |question| question.path = path.to_owned())
}

fn group(arguments: &[Value]) -> Outcome {
    let group = text(&arguments[1])?;
    next(arguments, "GroupCheck", |question| question.group = group.to_owned())
}

fn service_account(arguments: &[Value]) -> Outcome {
    let (namespace, name) = (text(&arguments[1])?, text(&arguments[2])?);
    if !is_subdomain(name) {
        return Err(EvalError::new("Invalid service account name"));
    }
    if !is_label(namespace) {
        return Err(EvalError::new("Invalid service account namespace"));
    }
    let account = Some((namespace.to_owned(), name.to_owned()));
    next(arguments, "Authorizer", |question| question.service_account = account)
}

fn resource(arguments: &[Value]) -> Outcome {
    let resource = text(&arguments[1])?;
    if resource.trim().is_empty() {
        return Err(EvalError::new("resource must not be empty"));
    }
    next(arguments, "ResourceCheck", |question| question.resource = resource.to_owned())
}

fn with(arguments: &[Value], set: fn(&mut Question, String)) -> Outcome {
    let value = text(&arguments[1])?.to_owned();
    next(arguments, "ResourceCheck", |question| set(question, value))
}

fn check(arguments: &[Value]) -> Outcome {
    let asked = object::<Asking>(&arguments[0])?;
    let question = Question { verb: text(&arguments[1])?.to_owned(), ..asked.question.clone() };
    Ok(Value::object(Said(asked.authorizer.authorize(&question))))
}
