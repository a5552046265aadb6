//! What webhooks answer: of admission, of conversions, of whose a token is and of what somebody may.

use std::sync::Arc;

use admission::webhook::{CallError, review as admission_review};
use api::{Attributes, Gvk, User, Value, field::Errors, value};
use async_trait::async_trait;
use auth::{
    authenticate::{Elsewhere as _, Token, webhook::Webhook as Authenticator},
    authorize::{
        Verdict,
        webhook::{Settings, Webhook as Authorizer},
    },
    elsewhere::{Failed, Reviewer},
    tally::Uncounted,
};
use registry::convert::review as conversion_review;
use server::outgoing::answer::decode;

use crate::{NOON, Noon, frames::now};

const UID: &str = "u-1";
const CODES: [u16; 8] = [200, 200, 200, 201, 404, 409, 429, 503];

/// Says the same to every review.
struct Says(Value);

#[async_trait]
impl Reviewer for Says {
    async fn review(&self, _: &Value) -> Result<Value, Failed> {
        Ok(self.0.clone())
    }
}

/// A byte that says what was asked, in which version, and with which code is answered; then the body. What is believed is an
/// answer to what was asked.
pub fn reviews(data: &[u8]) {
    let Some((bits, body)) = data.split_first() else { return };
    let version = if bits & 1 == 0 { "v1" } else { "v1beta1" };
    let code = CODES[usize::from(bits >> 3 & 7)];
    let ask = |group: &str, kind: &str| {
        let asked = value!({"apiVersion": (format!("{group}/{version}")), "kind": kind});
        said(code, body, &asked)
    };
    match bits >> 1 & 3 {
        0 => ask("admission.k8s.io", "AdmissionReview").into_iter().for_each(|said| admission(version, &said)),
        1 => conversion(version, code, body),
        2 => ask("authentication.k8s.io", "TokenReview").into_iter().for_each(|said| token(version, said)),
        _ => ask("authorization.k8s.io", "SubjectAccessReview").into_iter().for_each(|said| access(version, said)),
    }
}

/// The review of an answer that is one.
fn said(code: u16, body: &[u8], asked: &Value) -> Option<Value> {
    let why = match decode(code, body, "application/json", asked) {
        Ok(review) => return Some(review),
        Err(CallError::Status(status)) => status.message().to_owned(),
        Err(CallError::Unreachable(why)) => why,
    };
    assert!(!why.is_empty() || code != 200, "nothing is said of what is wrong");
    None
}

fn admission(version: &str, said: &Value) {
    for mutating in [false, true] {
        match admission_review::answer(version, UID, mutating, said) {
            Ok(verdict) => {
                assert!(verdict.patch.is_empty() || mutating, "who judges changes nothing");
                assert!(verdict.patch.is_empty() || !verdict.patch_type.is_empty());
                assert_eq!(verdict.allowed, said.at("response").bool("allowed"));
                assert!(version != "v1" || said.at("response").str("uid") == UID);
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}

fn conversion(version: &str, code: u16, body: &[u8]) {
    let object = |name: &str| {
        value!({
            "kind": "Site", "apiVersion": "example.com/v1",
            "metadata": {"name": name, "namespace": "ns", "uid": UID, "labels": {"a": "b"}}, "spec": {"x": 1}
        })
    };
    let sent = vec![object("a"), object("b")];
    let to = Gvk::new("example.com", "v2", "Site");
    let question = conversion_review::question(version, UID, &to, sent.clone());
    let Some(said) = said(code, body, &question) else { return };
    let made = match conversion_review::answer(&question, said) {
        Ok(made) => made,
        Err(failure) => return assert!(!failure.text.is_empty() && !failure.kind.is_empty()),
    };
    assert_eq!(made.len(), sent.len());
    for (made, sent) in made.iter().zip(&sent) {
        assert_eq!(api::meta::gvk(made), to);
        let [mut made, mut sent] = [made, sent].map(|object| object.at("metadata").clone());
        let mut errors = Errors::new();
        resources::checks::labels(made.at("labels"), &api::field::Path::new("metadata"), &mut errors);
        assert!(errors.is_empty(), "labels that nobody may have: {}", errors.message());
        for metadata in [&mut made, &mut sent] {
            ["labels", "annotations"].iter().for_each(|member| drop(metadata.remove(member)));
        }
        assert_eq!(made, sent, "it is another object");
    }
}

fn token(version: &str, said: Value) {
    let is_known = said.at("status").bool("authenticated");
    let reviewer = Arc::new(Says(said));
    let webhook = Authenticator { reviewer, version: version.into(), api_audiences: vec!["api".into()] };
    for audiences in [vec![], vec!["api".to_owned(), "b".to_owned()]] {
        match now(webhook.authenticate(&Token { text: "t", audiences: &audiences, now: NOON })) {
            Ok(Some(identity)) => {
                assert!(is_known && identity.audiences.iter().all(|audience| audiences.contains(audience)));
                assert!(audiences.is_empty() || !identity.audiences.is_empty(), "it is meant for somebody else");
            }
            Ok(None) => {}
            Err(refusal) => assert!(!is_known && !refusal.to_string().is_empty()),
        }
    }
}

fn access(version: &str, said: Value) {
    let (allowed, denied) = (said.at("status").bool("allowed"), said.at("status").bool("denied"));
    let settings = Settings {
        name: "w".into(),
        version: version.into(),
        allowed_nanos: 0,
        refused_nanos: 0,
        on_failure: Verdict::Deny,
    };
    let webhook = Authorizer::new(settings, Vec::new(), Arc::new(Says(said)), Arc::new(Noon), Arc::new(Uncounted));
    let decision = now(webhook.decide(&User::new("u", &[]), &Attributes::default()));
    let wanted = match (allowed, denied) {
        (_, true) => Verdict::Deny,
        (true, false) => Verdict::Allow,
        (false, false) => Verdict::NoOpinion,
    };
    assert_eq!(decision.verdict, wanted);
}
