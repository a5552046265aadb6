//! Who writes a certificate into a request has to be allowed to sign for its signer.
//!
//! Upstream: plugin/pkg/admission/certificates/signing/admission.go.

use api::{Status, field::quote};
use async_trait::async_trait;

use super::certificate_approval::{is_signing_request, may_for_signer};
use crate::{Cluster, Operation, Plugin, Request};

pub struct CertificateSigning;

#[async_trait]
impl Plugin for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Update
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        if !is_signing_request(request) || request.subresource != "status" {
            return Ok(());
        }
        let (new, old) = (request.object.at("status"), request.old.at("status"));
        if new.str("certificate") == old.str("certificate") && new.list("conditions") == old.list("conditions") {
            return Ok(());
        }
        let signer = request.old.at("spec").str("signerName");
        if may_for_signer(request, cluster, "sign", signer).await {
            return Ok(());
        }
        Err(request.forbid(format!("user not permitted to sign requests with signerName {}", quote(signer))))
    }
}

#[cfg(test)]
mod tests {
    use api::{Value, value};

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    #[test]
    fn signing_needs_a_right_to_the_signer() {
        let request = |status: Value| value!({"metadata": {"name": "r"}, "spec": {"signerName": "example.com/s"}, "status": (status)});
        let ask = |new: Value| {
            let resource = "certificatesigningrequests.certificates.k8s.io";
            Ask::update(resource, "CertificateSigningRequest", request(new), request(value!({}))).at("status")
        };
        let allowed = World::new().allowing("alice sign certificates.k8s.io/signers example.com/s");
        let why = "user not permitted to sign requests with signerName \"example.com/s\"";
        for change in [value!({"certificate": "eA=="}), value!({"conditions": [{"type": "Failed"}]})] {
            assert_forbidden(ask(change.clone()).validate(&CertificateSigning, &World::new()), why);
            assert_eq!(ask(change).validate(&CertificateSigning, &allowed), Ok(()));
        }
        assert_eq!(ask(value!({"conditions": []})).validate(&CertificateSigning, &World::new()), Ok(()));
    }
}
