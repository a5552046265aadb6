//! A client that believes any server: for questions whose answer is worth nothing to whoever would forge it.
//!
//! Upstream: `InsecureSkipVerify` of component statuses' probes.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::{
    Error,
    tls::{KeyPair, provider},
};

/// Settings for a client that does not look who the server is; HTTP/1.1 alone.
pub fn client_config() -> Result<rustls::ClientConfig, Error> {
    client_config_as(None)
}

/// The same, for a client that says who it is: nodes show certificates of their own making, and are still to know the API
/// server by its.
pub fn client_config_as(shown: Option<Arc<KeyPair>>) -> Result<rustls::ClientConfig, Error> {
    let provider = provider();
    let believes = AnyServer { algorithms: provider.signature_verification_algorithms };
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::ALL_VERSIONS)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(believes));
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_cert_resolver(pair),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes every server whose key is its certificate's.
#[derive(Debug)]
struct AnyServer {
    algorithms: WebPkiSupportedAlgorithms,
}

// === impl AnyServer ===

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
