//! Servers whose own certificate is among those that a client believes: nobody has to have signed it then.
//!
//! Go's verifier takes such a certificate for a chain of one, whether it is an authority's or not; rustls-webpki wants an
//! authority above it. controller-runtime's envtest hands a webhook's own certificate as its authority, and so does who makes
//! one certificate and no more. Dates, names and usage are looked at as with any other. Upstream: crypto/x509
//! Certificate.Verify, where `opts.Roots.contains` the leaf.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;

use crate::authority::parse;
use crate::tls::provider;
use crate::{Error, UnixSeconds, pem};

/// Who a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Server,
    Client,
}

/// Believes what is in a bundle, and what that has signed.
#[derive(Debug)]
pub struct Pinned {
    pins: Vec<CertificateDer<'static>>,
    others: Arc<WebPkiServerVerifier>,
}

/// What a certificate that needs no authority can still be refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    Early,
    Expired,
    Usage,
}

/// Looks at dates and usage alone. No usage said is any.
pub fn fits(certificate: &X509Certificate<'_>, purpose: Purpose, now: UnixSeconds) -> Result<(), Unfit> {
    let validity = certificate.validity();
    if now < validity.not_before.timestamp() {
        return Err(Unfit::Early);
    }
    if now > validity.not_after.timestamp() {
        return Err(Unfit::Expired);
    }
    let usage = certificate.extended_key_usage().ok().flatten().map(|found| found.value);
    let is_meant = usage.is_none_or(|usage| {
        usage.any
            || match purpose {
                Purpose::Server => usage.server_auth,
                Purpose::Client => usage.client_auth,
            }
    });
    if is_meant { Ok(()) } else { Err(Unfit::Usage) }
}

// === impl Pinned ===

impl Pinned {
    pub fn from_pem(bundle: &str) -> Result<Pinned, Error> {
        let pins = pem::certificates(bundle)?;
        let mut roots = RootCertStore::empty();
        for certificate in &pins {
            roots.add(certificate.clone())?;
        }
        let others = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let others = others.map_err(|error| Error::Certificate(error.to_string()))?;
        Ok(Pinned { pins, others })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.pins.iter().any(|pin| pin == end_entity) {
            return self.others.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        }
        let certificate = parse(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        let seconds = UnixSeconds::try_from(now.as_secs()).unwrap_or(UnixSeconds::MAX);
        fits(&certificate, Purpose::Server, seconds).map_err(|unfit| match unfit {
            Unfit::Early => CertificateError::NotValidYet,
            Unfit::Expired => CertificateError::Expired,
            Unfit::Usage => CertificateError::InvalidPurpose,
        })?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.others.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.others.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.others.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, Issued, Profile, Subject};
    use crate::names::Names;

    const NOW: UnixSeconds = 1_795_000_000;
    const YEARS: UnixSeconds = 10 * 365 * 86_400;

    /// A leaf whose authority nobody knows any more.
    fn leaf(profile: &Profile) -> Issued {
        Authority::generate("gone", NOW).expect("an authority").issue(profile, NOW).expect("issued")
    }

    fn verify(bundle: &str, shown: &Issued, name: &str, now: UnixSeconds) -> Result<(), rustls::Error> {
        let chain = pem::certificates(&shown.certificate_pem).expect("a certificate");
        let name = ServerName::try_from(name).expect("a name");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.unsigned_abs()));
        let verifier = Pinned::from_pem(bundle).expect("a bundle");
        verifier.verify_server_cert(&chain[0], &[], &name, &[], now).map(drop)
    }

    #[test]
    fn a_certificate_that_is_believed_itself_needs_no_authority() {
        let mut names = Names::default();
        names.add("127.0.0.1");
        let (one, other) = (leaf(&Profile::server("one", names.clone())), leaf(&Profile::server("other", names)));
        assert_eq!(verify(&one.certificate_pem, &one, "127.0.0.1", NOW), Ok(()));
        let both = one.certificate_pem.clone() + &other.certificate_pem;
        assert_eq!(verify(&both, &other, "127.0.0.1", NOW), Ok(()));
        let why = |found: Result<(), rustls::Error>| found.expect_err("it is refused").to_string();
        let unknown = why(verify(&one.certificate_pem, &other, "127.0.0.1", NOW));
        assert!(unknown.contains("UnknownIssuer"), "{unknown}");
        let early = why(verify(&one.certificate_pem, &one, "127.0.0.1", NOW - YEARS));
        assert!(early.contains("NotValidYet"), "{early}");
        let expired = why(verify(&one.certificate_pem, &one, "127.0.0.1", NOW + YEARS));
        assert!(expired.contains("Expired"), "{expired}");
        let elsewhere = why(verify(&one.certificate_pem, &one, "127.0.0.2", NOW));
        assert!(elsewhere.contains("not valid for name"), "{elsewhere}");
        let client = leaf(&Profile::client(Subject::user("who", &[])));
        let usage = why(verify(&client.certificate_pem, &client, "127.0.0.1", NOW));
        assert!(usage.contains("InvalidPurpose"), "{usage}");
    }
}
