//! authentication.k8s.io: who is behind a token, and who am I. Answered at once, never stored.
//!
//! The answers are made in `registry/special`; a TokenRequest is the body of a service account's `token`. Upstream:
//! pkg/apis/authentication/validation, pkg/registry/authentication.

use api::{
    Value,
    field::{Errors, Path},
    names, value,
};

use crate::{
    cells,
    row::{Row, TypeDefault, Verbs, Version},
};

const GROUP: &str = "authentication.k8s.io";
const API_GROUPS: &str = "admissionReviewAPIGroups";

pub const ROWS: &[Row] = &[
    Row {
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        versions: &[Version::stable("v1", "io.k8s.api.authentication.v1.SelfSubjectReview")],
        ..REVIEW
    },
    Row {
        kind: "TokenReview",
        plural: "tokenreviews",
        versions: &[Version::stable("v1", "io.k8s.api.authentication.v1.TokenReview")],
        ..REVIEW
    },
];

const REVIEW: Row = Row {
    group: GROUP,
    verbs: Verbs::CreateOnly,
    name_rule: |_, _| Vec::new(),
    columns: cells::NAME_AND_CREATED,
    ..Row::CLUSTER
};

pub const DEFAULTS: &[TypeDefault] =
    &[TypeDefault { schema: "io.k8s.api.authentication.v1.TokenRequestSpec", run: default_token_request }];

fn default_token_request(spec: &mut Value) {
    spec.default("expirationSeconds", 3600);
}

/// What is wrong with a TokenRequest. Upstream: `ValidateTokenRequest`.
pub fn validate_token_request(request: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (request.at("spec"), Path::new("spec"));
    let seconds = spec.int("expirationSeconds");
    if seconds < 600 {
        errs.invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > 1 << 32 {
        errs.invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds");
    }
    let (attestations, attestations_at) = (spec.at("attestations"), at.child("attestations"));
    if is_webhook(spec.at("boundObjectRef")) {
        if spec.list("audiences").len() != 1 {
            errs.invalid(
                &at.child("audiences"),
                spec.at("audiences"),
                "must be length 1 when bound to a webhook config",
            );
        }
        validate_attestations(attestations, &attestations_at, &mut errs);
    } else if attestations.members().next().is_some() {
        let mut only = Errors::new();
        let text = "attestations may only be specified with a webhook bound object reference";
        only.invalid(&attestations_at, attestations, text);
        return only;
    }
    errs
}

fn is_webhook(reference: &Value) -> bool {
    let kind = reference.str("kind");
    matches!(kind, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration")
        && reference.str("apiVersion") == "admissionregistration.k8s.io/v1"
}

fn validate_attestations(attestations: &Value, at: &Path, errs: &mut Errors) {
    let mut members = attestations.members();
    let (Some((key, values)), None) = (members.next(), members.next()) else {
        let shown = if attestations.is_null() { value!(null) } else { attestations.clone() };
        return errs.invalid(
            at,
            shown,
            "webhook bound requests require exactly one admissionReviewAPIGroups attestation",
        );
    };
    let at = at.key(key);
    if key != API_GROUPS {
        return errs.not_supported(&at, key, &[API_GROUPS]);
    }
    let [group] = values.items() else {
        return errs.invalid(&at, values, "must specify a single value");
    };
    match group.as_str().unwrap_or("") {
        "" => errs.invalid(&at.index(0), "", "may not be an empty string"),
        "*" => {}
        group => {
            for text in names::dns1123_subdomain(group) {
                errs.invalid(&at.index(0), group, format!("must specify a valid API Group: {text}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;

    #[test]
    fn a_token_lives_ten_minutes_at_least() {
        let mut request = value!({"spec": {}});
        default_token_request(request.entry("spec"));
        assert!(validate_token_request(&request).is_empty());
        request.set_path(&["spec", "expirationSeconds"], 599);
        assert_eq!(
            texts(&validate_token_request(&request)),
            ["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"]
        );
    }

    #[test]
    fn only_webhooks_attest() {
        let mut request =
            value!({"spec": {"expirationSeconds": 600, "attestations": {"admissionReviewAPIGroups": ["App s"]}}});
        assert!(texts(&validate_token_request(&request))[0].contains("only be specified with a webhook"));
        let reference =
            value!({"kind": "MutatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1"});
        request.set_path(&["spec", "boundObjectRef"], reference);
        request.set_path(&["spec", "audiences"], value!(["a"]));
        let found = texts(&validate_token_request(&request));
        assert!(
            found[0]
                .starts_with("spec.attestations[admissionReviewAPIGroups][0]: Invalid value: \"App s\": must specify")
        );
        assert_eq!(found.len(), 1);
    }
}
