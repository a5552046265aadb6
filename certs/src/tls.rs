//! TLS settings: the listener's, and those of a client that trusts one authority.
//!
//! A listener asks for a client certificate and takes any whose holder proves to have its key, unknown issuers and
//! expired ones included: whether it means anything is the authenticator's question, and its answer is a 401 that a
//! client can read, not a broken connection. Upstream: apiserver pkg/server/secure_serving.go (RequestClientCert).

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::{ResolvesClientCert, danger::HandshakeSignatureValid};
use rustls::crypto::{
    CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme, SupportedProtocolVersion};
use x509_parser::prelude::X509Version;

use crate::authority::parse;
use crate::pinned::Pinned;
use crate::{Error, PrivateKey, pem};

static TLS13_ALONE: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The one cryptography provider of the program.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A certificate with its key, shown by a server or by a client, that can be replaced while connections are made. Go:
/// `tls.Config.GetCertificate` and `GetClientCertificate`.
pub struct KeyPair {
    /// None yet: a server refuses every handshake, a client shows nothing.
    current: RwLock<Option<Arc<CertifiedKey>>>,
}

/// The oldest version of TLS a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldestVersion {
    #[default]
    Tls12,
    Tls13,
}

/// What a listener needs.
#[derive(Debug)]
pub struct ServerSettings {
    /// What is shown: one pair, or one of several.
    pub certificate: Arc<dyn ResolvesServerCert>,
    /// The authorities whose clients are welcome, as PEM: a client with several certificates picks by them. Empty text
    /// when there are none. Nothing is verified against them here.
    pub client_authorities_pem: String,
    pub oldest_version: OldestVersion,
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
}

/// What a listener may speak, of all that it could.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Cipher suites of TLS 1.2, by their names as Go has them; all, when none is named. Those of 1.3 are not chosen, as in
    /// Go.
    pub suites: Vec<String>,
    /// Groups of the key exchange by their numbers; those of the provider, when none is named.
    pub groups: Vec<u16>,
}

/// Settings for a listener: TLS 1.2 and 1.3, HTTP/2 and 1.1.
pub fn server_config(settings: ServerSettings) -> Result<rustls::ServerConfig, Error> {
    server_config_with(settings, &Choice::default())
}

/// The same of one that speaks what is chosen alone.
pub fn server_config_with(settings: ServerSettings, choice: &Choice) -> Result<rustls::ServerConfig, Error> {
    let ServerSettings { certificate, client_authorities_pem, oldest_version, http2 } = settings;
    let Choice { suites, groups } = choice;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !groups.is_empty() {
        provider.kx_groups = every_group().filter(|group| groups.contains(&number_of(*group))).collect();
    }
    if !suites.is_empty() {
        let is_chosen = |name: &str| suites.iter().any(|suite| full_name(suite) == name);
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || is_chosen(&name_of(suite)));
    }
    let provider = Arc::new(provider);
    let verifier = AnyClient {
        algorithms: provider.signature_verification_algorithms,
        hints: authority_names(&client_authorities_pem)?,
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(oldest_version))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate);
    config.alpn_protocols = alpn(http2);
    Ok(config)
}

/// Whether a listener can speak the cipher suite of this name, as Go has it.
pub fn is_cipher_suite(name: &str) -> bool {
    provider().cipher_suites.iter().any(|suite| name_of(suite) == full_name(name))
}

/// Whether a listener can exchange keys by the group of this number.
pub fn is_group(number: u16) -> bool {
    every_group().any(|group| number_of(group) == number)
}

fn every_group() -> impl Iterator<Item = &'static dyn SupportedKxGroup> {
    rustls::crypto::aws_lc_rs::ALL_KX_GROUPS.iter().copied()
}

fn number_of(group: &dyn SupportedKxGroup) -> u16 {
    group.name().into()
}

/// IANA's name, which is Go's.
fn name_of(suite: &rustls::SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_")
}

/// Go has two suites under a name of earlier days too.
fn full_name(name: &str) -> String {
    if name.ends_with("_CHACHA20_POLY1305") { format!("{name}_SHA256") } else { name.to_owned() }
}

/// Settings for a client that trusts the authorities of `bundle_pem` alone, and servers that are in it themselves.
pub fn client_config(
    bundle_pem: &str,
    shown: Option<Arc<KeyPair>>,
    http2: bool,
) -> Result<rustls::ClientConfig, Error> {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(OldestVersion::Tls12))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned::from_pem(bundle_pem)?));
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(pair) => builder.with_client_cert_resolver(pair),
    };
    config.alpn_protocols = alpn(http2);
    Ok(config)
}

fn versions(oldest: OldestVersion) -> &'static [&'static SupportedProtocolVersion] {
    match oldest {
        OldestVersion::Tls12 => rustls::ALL_VERSIONS,
        OldestVersion::Tls13 => TLS13_ALONE,
    }
}

fn alpn(http2: bool) -> Vec<Vec<u8>> {
    let offered: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    offered.iter().map(|protocol| protocol.to_vec()).collect()
}

fn authority_names(bundle_pem: &str) -> Result<Vec<DistinguishedName>, Error> {
    if bundle_pem.is_empty() {
        return Ok(Vec::new());
    }
    let certificates = pem::certificates(bundle_pem)?;
    certificates.iter().map(|der| Ok(DistinguishedName::from(parse(der)?.subject().as_raw().to_vec()))).collect()
}

// === impl KeyPair ===

impl KeyPair {
    /// Fails when the key is not the certificate's.
    pub fn new(certificate_pem: &str, key: &PrivateKey) -> Result<KeyPair, Error> {
        Ok(KeyPair { current: RwLock::new(Some(certified(certificate_pem, key)?)) })
    }

    /// None yet: until one is put into use nobody gets in.
    pub fn none() -> KeyPair {
        KeyPair { current: RwLock::default() }
    }

    /// Puts another pair into use for connections from now on. On failure the old pair stays.
    pub fn replace(&self, certificate_pem: &str, key: &PrivateKey) -> Result<(), Error> {
        let new = certified(certificate_pem, key)?;
        *self.current.write() = Some(new);
        Ok(())
    }

    /// The chain in use, the holder's own certificate first; empty, when there is none yet.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current.read().as_ref().map(|current| current.cert.clone()).unwrap_or_default()
    }
}

fn certified(certificate_pem: &str, key: &PrivateKey) -> Result<Arc<CertifiedKey>, Error> {
    let chain = pem::certificates(certificate_pem)?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key.to_rustls(), &provider())?))
}

impl ResolvesServerCert for KeyPair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.read().clone()
    }
}

impl ResolvesClientCert for KeyPair {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current.read().clone()
    }

    fn has_certs(&self) -> bool {
        self.current.read().is_some()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair")
    }
}

/// Takes every client certificate whose key the client holds.
#[derive(Debug)]
struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

// === impl AnyClient ===

impl ClientCertVerifier for AnyClient {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// The chain is judged by the x509 authenticator, request by request: see the head of this file.
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
            .or_else(|refused| self.verify_version_1(message, cert, dss, refused))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms).or_else(|refused| {
            let Some(key) = version_1_key(cert) else { return Err(refused) };
            verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
        })
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl AnyClient {
    /// rustls reads no certificate of version 1, which Go does: their key is taken out and used by itself.
    fn verify_version_1(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
        refused: rustls::Error,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let Some(key) = version_1_key(cert) else { return Err(refused) };
        let Ok(key) = webpki::RawPublicKeyEntity::try_from(&key) else { return Err(refused) };
        let fitting = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == dss.scheme);
        let mut algorithms = fitting.flat_map(|(_, algorithms)| algorithms.iter());
        match algorithms.any(|&algorithm| key.verify_signature(algorithm, message, dss.signature()).is_ok()) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(refused),
        }
    }
}

fn version_1_key(cert: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let parsed = parse(cert).ok().filter(|parsed| parsed.version() == X509Version::V1)?;
    Some(SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()))
}

#[cfg(test)]
mod tests;
