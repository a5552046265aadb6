//! Whether a client's certificate chain leads to an authority that is trusted, and whom it is about.
//!
//! rustls-webpki decides. Go's verifier, which clients of Kubernetes are used to, does things of its own: it looks at the
//! root's own dates, and it accepts a leaf of X.509 version 1, as `openssl x509 -req` without extensions makes it. A third
//! is that a leaf that is trusted itself needs nobody above it ([`crate::pinned`]). All are added here. Upstream: crypto/x509 Certificate.Verify, as called by apiserver pkg/authentication/request/x509.

use std::time::Duration;

use aws_lc_rs::digest;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::X509Version;

use crate::authority::{Subject, parse};
use crate::pinned::{Purpose, Unfit, fits};
use crate::{Error, UnixSeconds, pem};

/// Authorities whose clients are trusted.
#[derive(Debug, Default)]
pub struct Bundle {
    roots: Vec<Root>,
}

#[derive(Debug)]
struct Root {
    der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    not_before: UnixSeconds,
    not_after: UnixSeconds,
}

/// What a verified client certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub subject: Subject,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub sha256: String,
    pub not_after: UnixSeconds,
}

/// Why a chain is not trusted. The texts are those of Go's verifier where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("x509: certificate signed by unknown authority")]
    UnknownAuthority,
    #[error("x509: certificate has expired or is not yet valid")]
    Expired,
    #[error("x509: certificate specifies an incompatible key usage")]
    Usage,
    #[error("x509: {0}")]
    Other(String),
}

// === impl Bundle ===

impl Bundle {
    /// Reads every certificate of the text.
    pub fn from_pem(text: &str) -> Result<Bundle, Error> {
        pem::certificates(text)?.into_iter().map(Root::new).collect::<Result<_, _>>().map(|roots| Bundle { roots })
    }

    /// Verifies `chain`, whose first certificate is the client's own and whose others may help to reach a root.
    pub fn verify_client(&self, chain: &[CertificateDer<'_>], now: UnixSeconds) -> Result<Client, Untrusted> {
        let Some((leaf, intermediates)) = chain.split_first() else { return Err(Untrusted::UnknownAuthority) };
        let parsed = parse(leaf).map_err(other)?;
        let client = Client {
            subject: Subject::of(leaf).map_err(other)?,
            sha256: hex(digest::digest(&digest::SHA256, leaf).as_ref()),
            not_after: parsed.validity().not_after.timestamp(),
        };
        if self.roots.iter().any(|root| root.der == *leaf) {
            return match fits(&parsed, Purpose::Client, now) {
                Ok(()) => Ok(client),
                Err(Unfit::Early | Unfit::Expired) => Err(Untrusted::Expired),
                Err(Unfit::Usage) => Err(Untrusted::Usage),
            };
        }
        let roots = || self.roots.iter().filter(|root| (root.not_before..=root.not_after).contains(&now));
        if parsed.version() == X509Version::V1 {
            return match roots().any(|root| root.signed(&parsed)) {
                false => Err(Untrusted::UnknownAuthority),
                true if parsed.validity().not_before.timestamp() > now || client.not_after < now => {
                    Err(Untrusted::Expired)
                }
                true => Ok(client),
            };
        }
        let anchors: Vec<TrustAnchor<'_>> = roots().map(|root| root.anchor.clone()).collect();
        let moment = UnixTime::since_unix_epoch(Duration::from_secs(now.max(0).unsigned_abs()));
        EndEntityCert::try_from(leaf)
            .and_then(|leaf| {
                let usage = KeyUsage::client_auth();
                let algorithms = webpki::ALL_VERIFICATION_ALGS;
                leaf.verify_for_usage(algorithms, &anchors, intermediates, moment, usage, None, None).map(|_| ())
            })
            .map_err(untrusted)?;
        Ok(client)
    }
}

/// Until when a certificate says that it is good; `None` when it cannot be read.
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<UnixSeconds> {
    Some(parse(certificate).ok()?.validity().not_after.timestamp())
}

impl Root {
    fn new(der: CertificateDer<'static>) -> Result<Root, Error> {
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| Error::Certificate(error.to_string()))?;
        let anchor = anchor.to_owned();
        let parsed = parse(&der)?;
        let (not_before, not_after) =
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        Ok(Root { anchor, not_before, not_after, der })
    }

    fn signed(&self, leaf: &x509_parser::certificate::X509Certificate<'_>) -> bool {
        parse(&self.der).is_ok_and(|root| {
            root.subject().as_raw() == leaf.issuer().as_raw() && leaf.verify_signature(Some(root.public_key())).is_ok()
        })
    }
}

fn untrusted(error: webpki::Error) -> Untrusted {
    match error {
        webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => Untrusted::Expired,
        webpki::Error::RequiredEkuNotFoundContext(_) => Untrusted::Usage,
        webpki::Error::UnknownIssuer
        | webpki::Error::InvalidSignatureForPublicKey
        | webpki::Error::SignatureAlgorithmMismatch => Untrusted::UnknownAuthority,
        error => Untrusted::Other(error.to_string()),
    }
}

fn other(error: Error) -> Untrusted {
    Untrusted::Other(error.to_string())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
