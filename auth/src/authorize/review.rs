//! SubjectAccessReviews, from their spec to a question and from a decision to their status.
//!
//! Upstream: pkg/registry/authorization/util/helpers.go, pkg/registry/authorization/subjectaccessreview/rest.go.

use api::field_selector::{FieldSelector, Term};
use api::selector::Selector;
use api::{Attributes, Map, User, Value};

use super::{Decision, Verdict};

/// The user that a spec of a SubjectAccessReview or a LocalSubjectAccessReview asks about.
pub fn user(spec: &Value) -> User {
    let texts = |list: &Value| list.items().iter().filter_map(Value::as_str).map(str::to_owned).collect();
    User {
        name: spec.str("user").to_owned(),
        uid: spec.str("uid").to_owned(),
        groups: texts(spec.at("groups")),
        extra: spec.at("extra").members().map(|(key, values)| (key.to_owned(), texts(values))).collect(),
    }
}

/// What a spec asks for. No version stands for all of them.
pub fn attributes(spec: &Value) -> Attributes {
    let resource = spec.at("resourceAttributes");
    if resource.is_null() {
        let path = spec.at("nonResourceAttributes");
        return Attributes {
            verb: path.str("verb").to_owned(),
            path: path.str("path").to_owned(),
            ..Attributes::default()
        };
    }
    let text = |key: &str| resource.str(key).to_owned();
    Attributes {
        verb: text("verb"),
        is_resource: true,
        group: text("group"),
        version: Some(text("version")).filter(|version| !version.is_empty()).unwrap_or_else(|| "*".to_owned()),
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        field_selector: fields(resource.at("fieldSelector")).text,
        label_selector: labels(resource.at("labelSelector")).text,
        ..Attributes::default()
    }
}

/// A selector of a spec, raw or as requirements, in the form that requests have it in. What cannot be read is left out: a
/// question about less than a selector says is a question about more objects.
struct Read {
    text: String,
    /// Whether something was left out.
    partly: bool,
}

/// Upstream: fieldSelectorAsSelector.
fn fields(selector: &Value) -> Read {
    let requirements = selector.list("requirements");
    if requirements.is_empty() {
        return Read::of(FieldSelector::parse(selector.str("rawSelector")));
    }
    let terms: Vec<Term> = requirements.iter().filter_map(term).collect();
    Read { partly: terms.len() < requirements.len(), text: FieldSelector(terms).to_string() }
}

fn term(requirement: &Value) -> Option<Term> {
    let equals = match requirement.str("operator") {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    match requirement.list("values") {
        [value] => Some(Term { field: requirement.str("key").into(), equals, value: value.as_str()?.into() }),
        _ => None,
    }
}

/// Upstream: labelSelectorAsSelector.
fn labels(selector: &Value) -> Read {
    let requirements = selector.list("requirements");
    if requirements.is_empty() {
        return Read::of(Selector::parse(selector.str("rawSelector")));
    }
    let one = |requirement: &Value| {
        Selector::from_label_selector(&api::value!({"matchExpressions": [(requirement.clone())]})).ok()
    };
    let each: Vec<Selector> = requirements.iter().filter_map(one).collect();
    let all = Selector::all_of(each.iter().flat_map(Selector::requirements).cloned().collect());
    Read { partly: each.len() < requirements.len(), text: all.to_string() }
}

impl Read {
    fn of<S: ToString>(raw: Result<S, String>) -> Read {
        match raw {
            Ok(selector) => Read { text: selector.to_string(), partly: false },
            Err(_) => Read { text: String::new(), partly: true },
        }
    }
}

/// What went wrong while deciding about a spec and while reading it. Upstream: BuildEvaluationError.
fn errors(decision: &Decision, spec: &Value) -> String {
    let resource = spec.at("resourceAttributes");
    let read = [
        ("fieldSelector", fields(resource.at("fieldSelector"))),
        ("labelSelector", labels(resource.at("labelSelector"))),
    ];
    let mut errors: Vec<String> = decision.error.iter().cloned().collect();
    for (member, read) in read.into_iter().filter(|(_, read)| read.partly) {
        let much = if read.text.is_empty() { "ignored" } else { "partially ignored" };
        errors.push(format!("spec.resourceAttributes.{member} {much} due to parse error"));
    }
    errors.join("; ")
}

/// The `status` that answers a spec.
pub fn status(decision: &Decision, spec: &Value) -> Value {
    let mut status = Map::new();
    status.insert("allowed", decision.verdict == Verdict::Allow);
    if decision.verdict == Verdict::Deny {
        status.insert("denied", true);
    }
    if !decision.reason.is_empty() {
        status.insert("reason", decision.reason.as_str());
    }
    let errors = errors(decision, spec);
    if !errors.is_empty() {
        status.insert("evaluationError", errors);
    }
    status.into()
}
