//! Requests for pods' certificates, as upstream judges them.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::testing::{context, texts};

const PEM: &str = include_str!("../../../tests/data/request.pem");

fn a_request() -> Value {
    let der = inspect::blocks(PEM.as_bytes()).remove(0).der;
    value!({"spec": {
        "signerName": "example.com/a", "podName": "p", "podUID": "1", "serviceAccountName": "s", "serviceAccountUID": "2",
        "nodeName": "n", "nodeUID": "3", "maxExpirationSeconds": 7200, "stubPKCS10Request": (STANDARD.encode(der))
    }})
}

fn with_condition(kind: &str) -> Value {
    let mut request = a_request();
    let condition = value!({
        "type": kind, "status": "True", "reason": "Because", "lastTransitionTime": "2026-01-01T00:00:00Z"
    });
    request.set_path(&["status", "conditions"], vec![condition]);
    request
}

#[test]
fn a_request_has_one_key_that_it_holds() {
    assert_eq!(texts(&validate(&a_request(), &context())), Vec::<String>::new());
    let mut request = a_request();
    request.set_path(&["spec", "pkixPublicKey"], "AAAA");
    assert_eq!(
        texts(&validate(&request, &context())),
        ["spec: Invalid value: exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"]
    );
    request.set_path(&["spec", "stubPKCS10Request"], "");
    request.set_path(&["spec", "proofOfPossession"], "AAAA");
    assert_eq!(
        texts(&validate(&request, &context())),
        ["spec.pkixPublicKey: Invalid value: \"AAAA\": must be a valid PKIX-serialized public key"]
    );
}

#[test]
fn signers_of_kubernetes_have_a_day() {
    let mut request = a_request();
    request.set_path(&["spec", "maxExpirationSeconds"], 2 * DAY);
    assert!(validate(&request, &context()).is_empty());
    request.set_path(&["spec", "signerName"], "kubernetes.io/a");
    assert_eq!(
        texts(&validate(&request, &context())),
        ["spec.maxExpirationSeconds: Invalid value: 172800: must be in the range [3600, 86400]"]
    );
}

#[test]
fn what_is_decided_stays() {
    let (pending, denied, issued) = (a_request(), with_condition("Denied"), with_condition("Issued"));
    assert!(validate_status(&denied, &pending, &context()).is_empty());
    assert_eq!(
        texts(&validate_status(&pending, &denied, &context())),
        ["status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"]
    );
    assert_eq!(
        texts(&validate_status(&issued, &pending, &context())),
        [
            "status.certificateChain: Invalid value: \"\": issued certificate chain must contain at least one certificate"
        ]
    );
    assert_eq!(
        texts(&validate_status(&with_condition("Lost"), &pending, &context())),
        [
            "status.conditions.[0].type: Unsupported value: \"Lost\": supported values: \"Issued\", \"Denied\", \"Failed\""
        ]
    );
}

#[test]
fn bytes_of_which_there_are_none_are_no_change_and_shown_in_one() {
    let old = a_request();
    let mut new = old.clone();
    for member in BYTES.into_iter().filter(|member| !old.at("spec").has(member)) {
        new.set_path(&["spec", member], "");
    }
    assert_ne!(new, old);
    assert!(validate_update(&new, &old, &context()).is_empty());
    new.set_path(&["spec", "nodeName"], "other");
    let found = texts(&validate_update(&new, &old, &context()));
    assert!(found[0].contains("\"PKIXPublicKey\":\"\",\"ProofOfPossession\":\"\""), "{found:?}");
}
