//! Requests: what they hold, and who may change which part.

use api::value;
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::testing::{context, texts};

/// An Ed25519 request made with openssl (`req -new -subj /CN=ann`).
const PEM: &str = include_str!("../../../tests/data/request.pem");

fn a_request() -> Value {
    value!({"spec": {
        "request": (STANDARD.encode(PEM)), "signerName": "example.com/a", "usages": ["client auth"], "username": "mallory"
    }})
}

#[test]
fn a_request_is_signed_by_its_key() {
    assert!(validate(&a_request(), &Allowed::default()).is_empty());
    let mut request = a_request();
    request.set_path(&["spec", "request"], STANDARD.encode("hello"));
    assert_eq!(
        texts(&validate(&request, &Allowed::default())),
        ["spec.request: Invalid value: \"aGVsbG8=\": PEM block type must be CERTIFICATE REQUEST"]
    );
}

#[test]
fn usages_and_times_are_known() {
    let mut request = a_request();
    let spec = request.entry("spec");
    spec.set("usages", value!(["any", "any", "baking"]));
    spec.set("expirationSeconds", 599);
    spec.set("signerName", LEGACY_SIGNER);
    let found = texts(&validate(&request, &Allowed::default()));
    assert!(
        found[0]
            .starts_with("spec.usages[2]: Unsupported value: \"baking\": supported values: \"any\", \"cert sign\",")
    );
    assert_eq!(
        found[1..],
        [
            "spec.usages[1]: Duplicate value: \"any\"",
            "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ]
    );
}

#[test]
fn the_server_says_who_asks() {
    let mut request = a_request();
    prepare_create(&mut request, &context());
    assert_eq!(request.at("spec").str("username"), "tester");
}

#[test]
fn approving_needs_its_own_door() {
    let old = a_request();
    let mut new = a_request();
    new.set_path(&["status", "conditions"], value!([{"type": "Approved", "status": "True"}]));
    assert_eq!(
        texts(&validate_update(&new, &old, Allowed::of(&new, &old))),
        ["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""]
    );
    prepare_approval(&mut new, &old, &context());
    assert!((APPROVE.validate)(&new, &old, &context()).is_empty());
    assert_eq!(new.at("status").list("conditions")[0].str("lastUpdateTime"), "2026-01-02T03:04:05Z");
    assert_eq!(state(&new), "Approved".into());
    assert_eq!(
        texts(&(APPROVE.validate)(&old, &new, &context())),
        ["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""]
    );
}

#[test]
fn a_certificate_is_set_once_and_through_status() {
    let old = a_request();
    let mut new = a_request();
    new.set_path(&["status", "certificate"], STANDARD.encode("nonsense"));
    assert_eq!(
        texts(&(STATUS.validate)(&new, &old, &context())),
        ["status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block"]
    );
    assert_eq!(
        texts(&(APPROVE.validate)(&new, &old, &context()))[1..],
        ["status.certificate: Forbidden: updates may not set certificate content"]
    );
}

#[test]
fn whoever_says_for_how_long_is_counted_once_and_with_what_he_got() {
    use certs::{Authority, authority::Profile, authority::Subject};
    const NOW: i64 = 1_795_000_000;
    let authority = Authority::generate("test", NOW).expect("made");
    let certificate = |valid_seconds: i64| {
        let profile = Profile { valid_seconds, ..Profile::client(Subject::user("ann", &[])) };
        authority.issue(&profile, NOW).expect("issued").certificate_pem
    };
    let asked = |signer: &str, seconds: Option<i64>, certificate: &str| {
        let mut request = a_request();
        request.set_path(&["spec", "signerName"], signer);
        if let Some(seconds) = seconds {
            request.set_path(&["spec", "expirationSeconds"], seconds);
        }
        if !certificate.is_empty() {
            request.set_path(&["status", "certificate"], STANDARD.encode(certificate));
        }
        request
    };
    let (day, own) = (86_400, "kubernetes.io/kube-apiserver-client");
    let came = |signer: &str, certificate: &str| {
        issued(&asked(signer, Some(day), certificate), &asked(signer, Some(day), "")).map(|i| (i.signer, i.is_as_long))
    };
    assert_eq!(came(own, &certificate(day)), Some((own.to_owned(), true)));
    assert_eq!(came("example.com/a", &certificate(2 * day)), Some(("other".to_owned(), false)));
    assert_eq!(came(own, "nonsense"), Some((own.to_owned(), false)));
    let there = asked(own, Some(day), &certificate(day));
    assert_eq!(issued(&there, &there), None, "it was counted when it came");
    assert_eq!(issued(&asked(own, None, &certificate(day)), &asked(own, None, "")), None, "nothing was wanted");
    assert_eq!(issued(&asked(own, Some(day), ""), &asked(own, Some(day), "")), None, "nothing has come");
    // A twentieth and five minutes more or less are as long.
    assert!(is_near(1000, 1349) && !is_near(1000, 1350) && is_near(1000, 651) && !is_near(1000, 650));
}
