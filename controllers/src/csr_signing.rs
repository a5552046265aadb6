//! Approved requests for certificates get them, when this cluster's authority signs for the signer that they name.
//!
//! Upstream: pkg/controller/certificates/signer.

use std::sync::Arc;

use api::{Value, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use certs::{Authority, Policy, Request};

use crate::{
    csr::{self, REQUESTS},
    driver::{
        Spec, Wake, Work,
        plan::{Action, Plan},
        world::World,
    },
};

pub const SPEC: Spec = Spec {
    name: "certificatesigningrequest-signing-controller",
    alias: "csrsigning",
    acts_for: "certificate-controller",
    tells_as: "certificate-controller",
    wakes_on: &[Wake::Itself(REQUESTS)],
    workers: 5,
    work: Work::Plan(plan),
};

/// Signers, and what they refuse.
pub const SIGNERS: [(&str, Check); 4] = [
    ("kubernetes.io/kubelet-serving", Request::check_kubelet_serving),
    (csr::KUBELET_CLIENT, Request::check_kubelet_client),
    ("kubernetes.io/kube-apiserver-client", |_, usages| check_client_usages(usages)),
    ("kubernetes.io/legacy-unknown", |_, _| Ok(())),
];

type Check = fn(&Request, &[&str]) -> Result<(), String>;

const MINUTE: i64 = 60;
/// Certificates begin so long ago, for clocks that are behind.
const BACKDATE: i64 = 5 * MINUTE;
/// What is valid for less than this keeps all of it.
const SHORT: i64 = 8 * 60 * MINUTE;
/// Nobody gets less.
const LEAST: i64 = 10 * MINUTE;

/// Upstream: validAPIServerClientUsages.
fn check_client_usages(usages: &[&str]) -> Result<(), String> {
    if let Some(other) = usages.iter().find(|u| !["digital signature", "key encipherment", "client auth"].contains(u)) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    match usages.contains(&"client auth") {
        true => Ok(()),
        false => Err("missing required usage for client certificate: client auth".into()),
    }
}

fn plan(world: &World<'_>) -> Plan {
    let Some(csr) = world.itself(REQUESTS) else { return Plan::nothing("it is gone") };
    if csr::is_issued(&csr) {
        return Plan::nothing("it has its certificate");
    }
    if !csr::has(&csr, "Approved") || csr::has(&csr, "Denied") {
        return Plan::nothing("it is not approved");
    }
    if csr::is_true(&csr, "Failed") {
        return Plan::nothing("it has failed");
    }
    let signer = csr.at("spec").str("signerName");
    let authority = world.settings.signers.iter().find(|(name, _)| *name == signer);
    let check = SIGNERS.iter().find(|(name, _)| *name == signer);
    let (Some((_, authority)), Some((_, check))) = (authority, check) else {
        return Plan::nothing("another signs it");
    };
    let request = match csr::read(&csr) {
        Ok(request) => request,
        Err(why) => return Plan::nothing(why),
    };
    if let Err(why) = check(&request, &csr::usages(&csr)) {
        let now = api::time::seconds(world.now);
        let condition = value!({
            "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
            "lastUpdateTime": now
        });
        let new = csr::with_condition(&csr, condition);
        return Plan::of(vec![Action::update_status(REQUESTS, new)], "its signer refuses it");
    }
    match sign(world, authority, &csr, &request) {
        Ok(certificate) => {
            let mut new = Value::clone(&csr);
            new.set_path(&["status", "certificate"], STANDARD.encode(certificate));
            Plan::of(vec![Action::update_status(REQUESTS, new)], "it is signed")
        }
        Err(why) => Plan::nothing(format!("error auto signing csr: {why}")),
    }
}

fn sign(world: &World<'_>, authority: &Arc<Authority>, csr: &Value, request: &Request) -> Result<String, certs::Error> {
    let policy = Policy {
        valid_seconds: duration(csr.at("spec").opt_int("expirationSeconds"), world.settings.signing_seconds),
        backdate_seconds: BACKDATE,
        short_seconds: SHORT,
        usages: &csr::usages(csr),
    };
    authority.grant(request, &policy, world.now.as_second())
}

/// Who asks for less gets less, but never next to nothing.
fn duration(asked: Option<i64>, most: i64) -> i64 {
    match asked {
        None => most,
        Some(asked) if asked > most => most,
        Some(asked) => asked.max(LEAST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        crate::driver::cases::run(&SPEC, include_str!("../cases/csr_signing.yaml"));
    }

    #[test]
    fn nobody_gets_more_than_the_most_or_less_than_ten_minutes() {
        let all = [None, Some(1), Some(600), Some(3600), Some(9999)].map(|asked| duration(asked, 5000));
        assert_eq!(all, [5000, 600, 600, 3600, 5000]);
        assert_eq!(duration(Some(300), 120), 120, "the most is the most");
    }

    #[test]
    fn clients_are_for_clients() {
        assert_eq!(check_client_usages(&["client auth", "digital signature"]), Ok(()));
        let why = |usages: &[&str]| check_client_usages(usages).expect_err("it is wrong");
        assert_eq!(why(&["server auth"]), "invalid usage for client certificate: server auth");
        assert_eq!(why(&["digital signature"]), "missing required usage for client certificate: client auth");
    }
}
