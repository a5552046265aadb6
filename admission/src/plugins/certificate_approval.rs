//! Who approves a certificate has to be allowed to for its signer.
//!
//! Upstream: plugin/pkg/admission/certificates/approval/admission.go, pkg/certauthorization.

use api::{Attributes, Status, field::quote};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request};

pub struct CertificateApproval;

#[async_trait]
impl Plugin for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !is_signing_request(request) || request.subresource != "approval" {
            return Ok(());
        }
        // The old object's signer counts: the new one's may be made up.
        let signer = request.old.at("spec").str("signerName");
        if may_for_signer(request, cluster, "approve", signer).await {
            return Ok(());
        }
        Err(request.forbid(format!("user not permitted to approve requests with signerName {}", quote(signer))))
    }
}

pub(super) fn is_signing_request(request: &Request<'_>) -> bool {
    request.resource.group == "certificates.k8s.io" && request.resource.resource == "certificatesigningrequests"
}

/// Whether the user may do this for the signer or for all of its domain. Upstream: `IsAuthorizedForSignerName`.
pub(super) async fn may_for_signer(request: &Request<'_>, cluster: &Cluster, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_string(), format!("{domain}/*")] {
        let attributes = Attributes {
            verb: verb.into(),
            is_resource: true,
            group: "certificates.k8s.io".into(),
            version: "*".into(),
            resource: "signers".into(),
            name,
            ..Attributes::default()
        };
        // Who cannot be asked has not allowed it.
        if cluster.may.may(request.user, &attributes).await.unwrap_or(false) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    #[test]
    fn approval_needs_a_right_to_the_signer_or_its_domain() {
        let request = value!({"metadata": {"name": "r"}, "spec": {"signerName": "example.com/s"}});
        let resource = "certificatesigningrequests.certificates.k8s.io";
        let ask = Ask::update(resource, "CertificateSigningRequest", request.clone(), request);
        let why = "user not permitted to approve requests with signerName \"example.com/s\"";
        assert_forbidden(ask.clone().at("approval").validate(&CertificateApproval, &World::new()), why);
        let other = World::new().allowing("alice approve certificates.k8s.io/signers example.com/other");
        assert_forbidden(ask.clone().at("approval").validate(&CertificateApproval, &other), why);
        for name in ["example.com/s", "example.com/*"] {
            let world = World::new().allowing(&format!("alice approve certificates.k8s.io/signers {name}"));
            assert_eq!(ask.clone().at("approval").validate(&CertificateApproval, &world), Ok(()));
        }
        assert_eq!(ask.validate(&CertificateApproval, &World::new()), Ok(()));
    }
}
