//! No client certificate makes its holder one of `system:masters`.
//!
//! Upstream: plugin/pkg/admission/certificates/subjectrestriction/admission.go.

use api::Status;
use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use x509_parser::{
    certification_request::X509CertificationRequest,
    pem,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

use super::certificate_approval::is_signing_request;
use crate::{Cluster, Operation, Plugin, Request};

pub struct CertificateSubjectRestriction;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    async fn validate(&self, request: &Request<'_>, _: &Cluster) -> Result<(), Status> {
        let spec = request.object.at("spec");
        let concerns = is_signing_request(request) && request.subresource.is_empty();
        if !concerns || spec.str("signerName") != CLIENT_SIGNER {
            return Ok(());
        }
        let groups = organizations(spec.str("request"));
        let groups = groups.map_err(|e| request.forbid(format!("failed to parse CSR: {e}")))?;
        if groups.iter().any(|g| g == api::user::MASTERS) {
            return Err(
                request.forbid(format!("use of {CLIENT_SIGNER} signer with system:masters group is not allowed"))
            );
        }
        Ok(())
    }
}

/// The organisations of the subject of a request.
fn organizations(request: &str) -> Result<Vec<String>, String> {
    subject(request, |name| texts(name.iter_organization()))
}

/// The subject's common name, `""` when it has none.
pub(super) fn common_name(request: &str) -> Result<String, String> {
    Ok(subject(request, |name| texts(name.iter_common_name()))?.pop().unwrap_or_default())
}

/// Reads the subject of a request: base64 of PEM, as the field holds it. Upstream: `ParseCSR`.
fn subject<T>(request: &str, read: impl FnOnce(&X509Name<'_>) -> Result<T, String>) -> Result<T, String> {
    let text = STANDARD.decode(request).map_err(|e| e.to_string())?;
    let wrong = "PEM block type must be CERTIFICATE REQUEST";
    let (_, block) = pem::parse_x509_pem(&text).map_err(|_| wrong)?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err(wrong.into());
    }
    let (_, parsed) = X509CertificationRequest::from_der(&block.contents).map_err(|e| e.to_string())?;
    read(&parsed.certification_request_info.subject)
}

/// A name that is no text cannot be told apart from the one that is not allowed: it is an error.
fn texts<'a>(names: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Result<Vec<String>, String> {
    names.map(|name| name.as_str().map(String::from)).collect::<Result<_, _>>().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, assert_forbidden};

    /// `CN=u, O=system:masters` and `CN=u, O=dev`, without a valid signature.
    fn csr(organization: &str) -> String {
        let der = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let name = |last: u8, text: &str| {
            let pair = [der(6, &[0x55, 4, last]), der(12, text.as_bytes())].concat();
            der(0x31, &der(0x30, &pair))
        };
        let subject = der(0x30, &[name(10, organization), name(3, "u")].concat());
        let ed25519 = der(0x30, &der(6, &[0x2b, 0x65, 0x70]));
        let key = der(0x30, &[ed25519.clone(), der(3, &[&[0][..], &[7; 32]].concat())].concat());
        let info = der(0x30, &[der(2, &[0]), subject, key, vec![0xa0, 0]].concat());
        let signature = der(3, &[&[0][..], &[7; 16]].concat());
        let all = [info, ed25519, signature].concat();
        let all = [&[0x30, 0x81, all.len() as u8][..], &all].concat();
        let pem = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(all)
        );
        STANDARD.encode(pem)
    }

    #[test]
    fn nobody_becomes_a_master() {
        let ask = |signer: &str, request: String| {
            let object = value!({"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": request}});
            Ask::create("certificatesigningrequests.certificates.k8s.io", "CertificateSigningRequest", object)
        };
        let check = |ask: Ask| ask.validate(&CertificateSubjectRestriction, &World::new());
        let why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
        assert_forbidden(check(ask(CLIENT_SIGNER, csr("system:masters"))), why);
        assert_eq!(check(ask(CLIENT_SIGNER, csr("dev"))), Ok(()));
        assert_eq!(check(ask("example.com/s", csr("system:masters"))), Ok(()));
        let broken = "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST";
        assert_forbidden(check(ask(CLIENT_SIGNER, STANDARD.encode("x"))), broken);
    }
}
