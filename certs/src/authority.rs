//! An authority: a certificate that may sign others, and its key.

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::oid_registry;
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use crate::encode::{self, Leaf};
use crate::key::{KeyKind, PrivateKey};
use crate::{Error, Names, UnixSeconds, pem};

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// How long an authority made here is valid. Upstream: kubeadm's CertificateAuthorityPeriod.
pub const AUTHORITY_SECONDS: i64 = 10 * 365 * DAY_SECONDS;
/// How long what it issues is valid. Upstream: kubeadm's CertificateValidityPeriod.
pub const LEAF_SECONDS: i64 = 365 * DAY_SECONDS;
/// Certificates begin in the past by this much, so that a peer whose clock is behind accepts them at once.
const BACKDATE_SECONDS: i64 = 5 * 60;
/// Kubernetes' own attribute for a user's uid. Upstream: apiserver pkg/authentication/request/x509 asn1util.X509UID.
const KUBERNETES_UID: &str = "1.3.6.1.4.1.57683.2";

/// Whom a certificate is about. For clients: the user's name, groups and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    /// Written one by one, in this order, repeated values included.
    pub organizations: Vec<String>,
    /// Kubernetes' attribute for a uid (1.3.6.1.4.1.57683.2).
    pub uid: Option<String>,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
    Both,
}

/// What to issue.
#[derive(Clone, Debug)]
pub struct Profile {
    pub subject: Subject,
    pub names: Names,
    pub usage: Usage,
    pub valid_seconds: i64,
}

/// A certificate with its key. `Debug` shows the certificate alone.
pub struct Issued {
    pub certificate_pem: String,
    pub key: PrivateKey,
    pub not_before: UnixSeconds,
    pub not_after: UnixSeconds,
}

/// A certificate that may sign others, and its key.
#[derive(Debug)]
pub struct Authority {
    bundle_pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKey,
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    not_after: UnixSeconds,
}

/// What a certificate says that is not its authority's to say: see [`Leaf`].
pub(crate) struct Content<'a> {
    pub subject: &'a [u8],
    pub alt_names: Option<&'a [u8]>,
    pub key_usage: u16,
    pub extended: &'a [&'a [u64]],
    pub not_before: UnixSeconds,
    pub not_after: UnixSeconds,
    pub public_key: &'a [u8],
}

/// Bits of the extension keyUsage.
const DIGITAL_SIGNATURE: u16 = 1;
const KEY_ENCIPHERMENT: u16 = 1 << 2;

// === impl Authority ===

impl Authority {
    /// Makes a new one, valid for ten years.
    pub fn generate(common_name: &str, now: UnixSeconds) -> Result<Authority, Error> {
        let key = PrivateKey::generate()?;
        let signer = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &rustls::pki_types::PrivatePkcs8KeyDer::from(key.pkcs8().to_vec()),
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )
        .map_err(unsigned)?;
        let certificate = authority_params(common_name, now)?.self_signed(&signer).map_err(unsigned)?;
        Authority::load(&pem::write("CERTIFICATE", certificate.der()), &key.to_pem())
    }

    /// Reads one. Of several certificates the first is the one that signs; all of them are trusted.
    pub fn load(bundle_pem: &str, key_pem: &str) -> Result<Authority, Error> {
        let certificate = pem::certificates(bundle_pem)?.swap_remove(0);
        let key = PrivateKey::from_pem(key_pem)?;
        let parsed = parse(&certificate)?;
        if !parsed.is_ca() {
            return Err(Error::NotAnAuthority);
        }
        if parsed.public_key().raw != key.public_der() {
            return Err(Error::KeyMismatch);
        }
        let subject = parsed.subject().as_raw().to_vec();
        let key_id = subject_key_id(&parsed);
        let not_after = parsed.validity().not_after.timestamp();
        Ok(Authority { bundle_pem: bundle_pem.to_owned(), key, subject, key_id, not_after, certificate })
    }

    /// A new key and a certificate for it.
    pub fn issue(&self, profile: &Profile, now: UnixSeconds) -> Result<Issued, Error> {
        let key = PrivateKey::generate()?;
        let (der, not_before, not_after) = self.sign(profile, key.public_der(), now)?;
        Ok(Issued { certificate_pem: pem::write("CERTIFICATE", &der), key, not_before, not_after })
    }

    /// A certificate (DER) for a key that somebody else holds, given as SubjectPublicKeyInfo, with the first and the
    /// last moment of its validity, which never outlasts the authority's own.
    pub fn sign(
        &self,
        profile: &Profile,
        public_key: &[u8],
        now: UnixSeconds,
    ) -> Result<(Vec<u8>, UnixSeconds, UnixSeconds), Error> {
        if self.not_after <= now {
            return Err(Error::AuthorityExpired(self.not_after));
        }
        check_names(&profile.names)?;
        let not_before = now - BACKDATE_SECONDS;
        let not_after = self.not_after.min(now + profile.valid_seconds);
        let der = self.seal(&Content {
            subject: &encode::subject(&profile.subject),
            alt_names: encode::alt_names(&profile.names).as_deref(),
            key_usage: DIGITAL_SIGNATURE | KEY_ENCIPHERMENT,
            extended: profile.usage.extended(),
            not_before,
            not_after,
            public_key,
        })?;
        Ok((der, not_before, not_after))
    }

    /// A certificate (DER) that says this.
    pub(crate) fn seal(&self, content: &Content<'_>) -> Result<Vec<u8>, Error> {
        let leaf = Leaf {
            serial: serial()?,
            signer: self.key.kind(),
            issuer: &self.subject,
            issuer_key_id: self.key_id.as_deref(),
            subject: content.subject,
            alt_names: content.alt_names,
            key_usage: content.key_usage,
            extended: content.extended,
            not_before: content.not_before,
            not_after: content.not_after,
            public_key: content.public_key,
        };
        let to_be_signed = encode::to_be_signed(&leaf)?;
        let signature = self.key.sign(&to_be_signed)?;
        Ok(encode::certificate(&to_be_signed, self.key.kind(), &signature))
    }

    /// The text to trust: every certificate of the bundle.
    pub fn bundle_pem(&self) -> &str {
        &self.bundle_pem
    }

    /// The key's PEM text: the secret itself.
    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    pub fn key_kind(&self) -> KeyKind {
        self.key.kind()
    }

    /// The certificate that signs, as DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn not_after(&self) -> UnixSeconds {
        self.not_after
    }
}

// === impl Subject ===

impl Subject {
    /// A user of this name in these groups.
    pub fn user(name: &str, groups: &[&str]) -> Subject {
        let organizations = groups.iter().map(|&group| group.to_owned()).collect();
        Subject { common_name: name.to_owned(), organizations, uid: None }
    }

    /// Whom a certificate is about. Of several common names the last counts, as with Go; several uids, an empty one
    /// or one that is no text are refused. Upstream: apiserver pkg/authentication/request/x509 parseUIDFromCert.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Subject, Error> {
        let parsed = parse(certificate)?;
        let mut subject = Subject::default();
        for attribute in parsed.subject().iter_attributes() {
            let (kind, value) = (attribute.attr_type(), attribute.as_str().ok().map(str::to_owned));
            if *kind == oid_registry::OID_X509_COMMON_NAME {
                subject.common_name = value.unwrap_or(subject.common_name);
            } else if *kind == oid_registry::OID_X509_ORGANIZATION_NAME {
                subject.organizations.extend(value);
            } else if kind.to_id_string() == KUBERNETES_UID {
                let value = value.ok_or_else(|| bad_uid("unable to parse UID into a string"))?;
                if value.is_empty() {
                    return Err(bad_uid("UID cannot be an empty string"));
                }
                if let Some(first) = subject.uid.replace(value) {
                    return Err(bad_uid(&format!("expected 1 UID, but found multiple, the first is {first}")));
                }
            }
        }
        Ok(subject)
    }
}

// === impl Profile ===

impl Profile {
    /// For a client of this identity.
    pub fn client(subject: Subject) -> Profile {
        Profile { subject, names: Names::default(), usage: Usage::Client, valid_seconds: LEAF_SECONDS }
    }

    /// For a server with these names.
    pub fn server(common_name: &str, names: Names) -> Profile {
        Profile { subject: Subject::user(common_name, &[]), names, usage: Usage::Server, valid_seconds: LEAF_SECONDS }
    }
}

// === impl Usage ===

impl Usage {
    fn extended(self) -> &'static [&'static [u64]] {
        match self {
            Usage::Server => &[encode::SERVER_AUTH],
            Usage::Client => &[encode::CLIENT_AUTH],
            Usage::Both => &[encode::SERVER_AUTH, encode::CLIENT_AUTH],
        }
    }
}

// === impl Issued ===

impl Issued {
    /// Whether a third or less of its life is left.
    pub fn is_due(&self, now: UnixSeconds) -> bool {
        (self.not_after - now) * 3 <= self.not_after - self.not_before
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("key", &self.key).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    X509Certificate::from_der(der).map(|(_, parsed)| parsed).map_err(|error| Error::Certificate(error.to_string()))
}

fn authority_params(common_name: &str, now: UnixSeconds) -> Result<rcgen::CertificateParams, Error> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![
        rcgen::KeyUsagePurpose::DigitalSignature,
        rcgen::KeyUsagePurpose::KeyEncipherment,
        rcgen::KeyUsagePurpose::KeyCertSign,
    ];
    params.not_before = date(now - BACKDATE_SECONDS)?;
    params.not_after = date(now + AUTHORITY_SECONDS)?;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&serial()?));
    Ok(params)
}

fn date(seconds: UnixSeconds) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Time(seconds))
}

fn subject_key_id(parsed: &X509Certificate<'_>) -> Option<Vec<u8>> {
    parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

/// 127 random bits with the highest of them set: positive, of fixed length, and unique for all practical purposes.
fn serial() -> Result<[u8; 16], Error> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| Error::Key("the system gave no randomness"))?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn check_names(names: &Names) -> Result<(), Error> {
    match names.hosts.iter().find(|host| host.is_empty() || !host.is_ascii()) {
        Some(host) => Err(Error::BadName(host.clone())),
        None => Ok(()),
    }
}

fn bad_uid(reason: &str) -> Error {
    Error::Certificate(reason.to_owned())
}

fn unsigned(error: rcgen::Error) -> Error {
    Error::Signing(error.to_string())
}
