//! authorization.k8s.io: may somebody do something. Answered at once, never stored.
//!
//! The answers are made in `registry/special`. Upstream: pkg/apis/authorization/validation, pkg/registry/authorization.

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use crate::{
    cells, checks,
    row::{Row, Rules, TypeDefault, Verbs, Version},
};

const GROUP: &str = "authorization.k8s.io";
const EXACTLY_ONE: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";

pub const ROWS: &[Row] = &[
    Row {
        kind: "LocalSubjectAccessReview",
        plural: "localsubjectaccessreviews",
        namespaced: true,
        versions: &[Version::stable("v1", "io.k8s.api.authorization.v1.LocalSubjectAccessReview")],
        rules: Rules { validate: |new, _| validate_local(new), ..Rules::NONE },
        ..REVIEW
    },
    Row {
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        versions: &[Version::stable("v1", "io.k8s.api.authorization.v1.SelfSubjectAccessReview")],
        rules: Rules { validate: |new, _| validate_cluster(new, false), ..Rules::NONE },
        ..REVIEW
    },
    Row {
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        versions: &[Version::stable("v1", "io.k8s.api.authorization.v1.SelfSubjectRulesReview")],
        ..REVIEW
    },
    Row {
        kind: "SubjectAccessReview",
        plural: "subjectaccessreviews",
        versions: &[Version::stable("v1", "io.k8s.api.authorization.v1.SubjectAccessReview")],
        rules: Rules { validate: |new, _| validate_cluster(new, true), ..Rules::NONE },
        ..REVIEW
    },
];

pub const DEFAULTS: &[TypeDefault] = &[];

const REVIEW: Row = Row {
    group: GROUP,
    verbs: Verbs::CreateOnly,
    name_rule: |_, _| Vec::new(),
    columns: cells::NAME_AND_CREATED,
    ..Row::CLUSTER
};

/// Upstream: `ValidateSubjectAccessReview`, `ValidateSelfSubjectAccessReview`.
fn validate_cluster(review: &Value, names_subject: bool) -> Errors {
    let mut errs = Errors::new();
    validate_spec(review.at("spec"), names_subject, &mut errs);
    empty_metadata(review, &["managedFields"], "must be empty", &mut errs);
    errs
}

/// Upstream: `ValidateLocalSubjectAccessReview`.
fn validate_local(review: &Value) -> Errors {
    let mut errs = Errors::new();
    let spec = review.at("spec");
    validate_spec(spec, true, &mut errs);
    empty_metadata(review, &["managedFields", "namespace"], "must be empty except for namespace", &mut errs);
    let resource = spec.at("resourceAttributes");
    if !resource.is_null() && resource.str("namespace") != api::meta::of(review).namespace() {
        let at = Path::new("spec.resourceAttributes.namespace");
        errs.invalid(&at, resource.str("namespace"), "must match metadata.namespace");
    }
    if spec.has("nonResourceAttributes") {
        let at = Path::new("spec.nonResourceAttributes");
        errs.invalid(&at, shown(spec.at("nonResourceAttributes")), "disallowed on this kind of request");
    }
    errs
}

fn empty_metadata(review: &Value, but: &[&str], text: &str, errs: &mut Errors) {
    let mut metadata = review.at("metadata").clone();
    if let Some(members) = metadata.as_object_mut() {
        // Upstream shows its struct, where nothing is left out.
        members.retain(|_, value| !value.is_empty());
    }
    if metadata.members().any(|(key, _)| !but.contains(&key)) {
        errs.invalid(&Path::new("metadata"), &metadata, text);
    }
}

/// As upstream shows NonResourceAttributes.
fn shown(attributes: &Value) -> Value {
    if attributes.is_null() {
        return Value::Null;
    }
    value!({"Path": (attributes.str("path")), "Verb": (attributes.str("verb"))})
}

/// Upstream: `ValidateSubjectAccessReviewSpec`, `ValidateSelfSubjectAccessReviewSpec`.
fn validate_spec(spec: &Value, names_subject: bool, errs: &mut Errors) {
    let at = Path::new("spec");
    if spec.has("resourceAttributes") == spec.has("nonResourceAttributes") {
        errs.invalid(&at, shown(spec.at("nonResourceAttributes")), EXACTLY_ONE);
    }
    if names_subject && spec.str("user").is_empty() && spec.list("groups").is_empty() {
        errs.invalid(&at.child("user"), "", "at least one of user or group must be specified");
    }
    let (attributes, at) = (spec.at("resourceAttributes"), Path::new("spec.resourceAttributes"));
    validate_selector(attributes.at("fieldSelector"), &at.child("fieldSelector"), errs, field_requirement);
    let options = checks::SelectorOptions { unknown_operator: true, ..Default::default() };
    validate_selector(attributes.at("labelSelector"), &at.child("labelSelector"), errs, |requirement, at, errs| {
        checks::selector_requirement(requirement, options, at, errs);
    });
}

/// Upstream: `validateFieldSelectorAttributes`, `validateLabelSelectorAttributes`. Operators that are not known here pass,
/// so that newer clients are answered.
fn validate_selector(selector: &Value, at: &Path, errs: &mut Errors, one: impl Fn(&Value, &Path, &mut Errors)) {
    if selector.is_null() {
        return;
    }
    let (raw, requirements) = (selector.str("rawSelector"), selector.list("requirements"));
    if !raw.is_empty() && !requirements.is_empty() {
        errs.invalid(&at.child("rawSelector"), raw, "may not specified at the same time as requirements");
    }
    if raw.is_empty() && requirements.is_empty() {
        let text = format!("when {at} is specified, requirements or rawSelector is required");
        errs.required(&at.child("requirements"), text);
    }
    for (i, requirement) in requirements.iter().enumerate() {
        one(requirement, &at.child("requirements").index(i), errs);
    }
}

/// Upstream: `ValidateFieldSelectorRequirement`.
fn field_requirement(requirement: &Value, at: &Path, errs: &mut Errors) {
    if requirement.str("key").is_empty() {
        errs.required(&at.child("key"), "must be specified");
    }
    checks::selector_operator(requirement, true, at, errs);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;

    #[test]
    fn a_review_names_somebody_and_one_thing() {
        assert_eq!(
            texts(&validate_cluster(&value!({"metadata": {"name": "a"}, "spec": {}}), true)),
            [
                "spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
                "metadata: Invalid value: {\"name\":\"a\"}: must be empty",
            ]
        );
        let review = value!({"metadata": {"managedFields": [{"manager": "m"}]}, "spec": {"nonResourceAttributes": {"path": "/"}}});
        assert!(validate_cluster(&review, false).is_empty());
    }

    #[test]
    fn a_local_review_stays_in_its_namespace() {
        let review = value!({
            "metadata": {"namespace": "a"}, "spec": {"user": "u", "resourceAttributes": {"namespace": "b"}}
        });
        assert_eq!(
            texts(&validate_local(&review)),
            ["spec.resourceAttributes.namespace: Invalid value: \"b\": must match metadata.namespace"]
        );
    }

    #[test]
    fn a_selector_is_raw_or_parsed() {
        let review = value!({"spec": {"resourceAttributes": {
            "fieldSelector": {}, "labelSelector": {"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Near"}]}
        }}});
        assert_eq!(
            texts(&validate_cluster(&review, false)),
            [
                "spec.resourceAttributes.fieldSelector.requirements: Required value: when spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
                "spec.resourceAttributes.labelSelector.rawSelector: Invalid value: \"a=b\": may not specified at the same time as requirements",
            ]
        );
    }
}
