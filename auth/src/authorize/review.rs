//! SubjectAccessReviews, from their spec to a question and from a decision to their status.
//!
//! Upstream: pkg/registry/authorization/util/helpers.go, pkg/registry/authorization/subjectaccessreview/rest.go.

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
        field_selector: resource.at("fieldSelector").str("rawSelector").to_owned(),
        label_selector: resource.at("labelSelector").str("rawSelector").to_owned(),
        ..Attributes::default()
    }
}

/// The `status` that answers.
pub fn status(decision: &Decision) -> Value {
    let mut status = Map::new();
    status.insert("allowed", decision.verdict == Verdict::Allow);
    if decision.verdict == Verdict::Deny {
        status.insert("denied", true);
    }
    if !decision.reason.is_empty() {
        status.insert("reason", decision.reason.as_str());
    }
    if let Some(error) = &decision.error {
        status.insert("evaluationError", error.as_str());
    }
    status.into()
}
