//! Nodes' requests for client certificates are approved when whoever asks may ask for that.
//!
//! Not a plan: the server is asked what the requestor may do. Upstream: pkg/controller/certificates/approver.

use std::{sync::Arc, time::Duration};

use api::{Value, value};
use async_trait::async_trait;
use client::{Client, Resource};

use crate::{
    csr::{self, REQUESTS},
    driver::{Failed, Spec, Steps, Wake, Work, world::World},
};

pub const SPEC: Spec = Spec {
    name: "certificatesigningrequest-approving-controller",
    alias: "csrapproving",
    acts_for: "certificate-controller",
    tells_as: "certificate-controller",
    wakes_on: &[Wake::Itself(REQUESTS)],
    workers: 5,
    work: Work::Steps(|_| Arc::new(Approver)),
};

/// Upstream: NewCertificateController.
const RETRY_MAX: Duration = Duration::from_secs(1000);

struct Approver;

/// A way to ask, by the subresource whose `create` it takes, and what an approval says.
type Way = (&'static str, &'static str);

const OWN: Way = ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
const ANY: Way = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");

/// In which ways a request may be approved, the narrower first.
fn ways(csr: &Value) -> Result<Vec<Way>, String> {
    if csr::is_issued(csr) || csr::has(csr, "Approved") || csr::has(csr, "Denied") {
        return Ok(Vec::new());
    }
    let request = csr::read(csr)?;
    let spec = csr.at("spec");
    let fits = request.check_kubelet_client(&csr::usages(csr)).is_ok();
    if spec.str("signerName") != csr::KUBELET_CLIENT || !fits {
        return Ok(Vec::new());
    }
    let is_own = spec.str("username") == request.common_name;
    Ok(if is_own { vec![OWN, ANY] } else { vec![ANY] })
}

async fn may(client: &Client, csr: &Value, subresource: &str) -> Result<bool, client::Error> {
    let spec = csr.at("spec");
    let mut review = value!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": spec.str("username"), "uid": spec.str("uid"),
            "resourceAttributes": {
                "group": "certificates.k8s.io", "version": "*", "resource": "certificatesigningrequests",
                "subresource": subresource, "verb": "create"
            }
        }
    });
    for member in ["groups", "extra"] {
        if spec.has(member) {
            review.set_path(&["spec", member], spec.at(member));
        }
    }
    let reviews = Resource::new("authorization.k8s.io", "v1", "subjectaccessreviews");
    let answer = client.create(reviews.all(), &review).await?;
    Ok(answer.at("status").bool("allowed"))
}

fn approved(csr: &Value, message: &str) -> Value {
    let condition = value!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message});
    csr::with_condition(csr, condition)
}

#[async_trait]
impl Steps for Approver {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(csr) = world.itself(REQUESTS) else { return Ok(None) };
        let ways = ways(&csr).map_err(Failed)?;
        for (subresource, message) in &ways {
            if may(client, &csr, subresource).await? {
                let resource = Resource::parse(REQUESTS).expect("it is a resource");
                let target = resource.named("", api::meta::of(&csr).name()).below("approval");
                client.update(target, &approved(&csr, message)).await?;
                return Ok(None);
            }
        }
        if ways.is_empty() {
            return Ok(None);
        }
        let tried: Vec<&str> = ways.iter().map(|(subresource, _)| *subresource).collect();
        let name = api::meta::of(&csr).name();
        Err(Failed(format!(
            "recognized csr {name:?} as [{}] but subject access review was not approved",
            tried.join(" ")
        )))
    }

    fn retry_max(&self) -> Duration {
        RETRY_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(request: &str, username: &str) -> Value {
        let file: Value = yaml_serde::from_str(include_str!("../cases/csr_requests.yaml")).expect("it is YAML");
        value!({"metadata": {"name": "c"}, "spec": {
            "request": file.str(request), "signerName": csr::KUBELET_CLIENT, "username": username,
            "usages": ["digital signature", "client auth"]
        }})
    }

    #[test]
    fn nodes_may_ask_for_themselves_and_others_for_them() {
        assert_eq!(ways(&csr("node", "system:node:n")), Ok(vec![OWN, ANY]));
        assert_eq!(ways(&csr("node", "system:bootstrap:abcdef")), Ok(vec![ANY]));
        assert_eq!(ways(&csr("user", "system:node:n")), Ok(vec![]));
        let mut other = csr("node", "system:node:n");
        other.set_path(&["spec", "signerName"], "kubernetes.io/kube-apiserver-client");
        assert_eq!(ways(&other), Ok(vec![]));
        let why = ways(&value!({"metadata": {"name": "c"}, "spec": {"request": "eA=="}})).expect_err("it is no PEM");
        assert_eq!(why, "unable to parse csr \"c\": PEM block type must be CERTIFICATE REQUEST");
    }

    #[test]
    fn what_is_decided_is_left_alone() {
        let new = approved(&csr("node", "system:node:n"), OWN.1);
        assert_eq!(new.at("status").list("conditions")[0].str("reason"), "AutoApproved");
        assert_eq!(ways(&new), Ok(vec![]));
    }

    #[tokio::test]
    async fn the_server_is_asked_what_the_requestor_may_do() {
        let fake = client::fake::Fake::new();
        let csr = csr("node", "system:node:n");
        let reviews = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
        fake.answer_next(reviews, 201, value!({"status": {"allowed": true}}));
        assert_eq!(may(&fake.client(), &csr, "nodeclient").await.ok(), Some(true));
        fake.answer_next(reviews, 201, value!({"status": {"denied": true}}));
        assert_eq!(may(&fake.client(), &csr, "nodeclient").await.ok(), Some(false));
        assert_eq!(fake.writes().len(), 2);
    }
}
