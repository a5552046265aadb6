//! Reading what others sent: PEM as Go reads it, certificate requests, certificates and public keys, and whether the
//! signatures on them are right. Bytes in, facts out; nothing is trusted here.

#[cfg(test)]
mod tests;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    oid_registry,
    prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate},
    x509::SubjectPublicKeyInfo,
};

use crate::UnixSeconds;

/// One PEM block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub label: String,
    /// Whether lines `key: value` stood before the body.
    pub has_headers: bool,
    pub der: Vec<u8>,
}

/// A PKCS#10 certificate request.
pub struct Request<'a> {
    pub(crate) parsed: X509CertificationRequest<'a>,
    pub key: Key,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub is_ca: bool,
    pub dns_names: Vec<String>,
    pub email_addresses: Vec<String>,
    pub not_before: UnixSeconds,
    pub not_after: UnixSeconds,
    /// SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
}

/// A public key of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// SubjectPublicKeyInfo.
    pub der: Vec<u8>,
    pub kind: Kind,
    raw: Vec<u8>,
}

/// What kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ed25519,
    /// With the curve's name as Go prints it: `P-256`.
    Curve(&'static str),
    Rsa {
        bits: usize,
    },
    Other,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";

/// The next block and the text after it; what cannot be read is skipped. Each end is looked at once, and with it the last
/// beginning before it, so that a text full of either takes no longer than another. Upstream: encoding/pem Decode.
pub fn next_block(text: &[u8]) -> Option<(Block, &[u8])> {
    let mut rest = text;
    loop {
        let end = rest.windows(END.len()).position(|window| window == END)?;
        let after = &rest[end + END.len()..];
        if let Some(found) = ended(&rest[..end], after) {
            return Some(found);
        }
        rest = after;
    }
}

/// Every block of a text.
pub fn blocks(text: &[u8]) -> Vec<Block> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((block, after)) = next_block(rest) {
        found.push(block);
        rest = after;
    }
    found
}

/// Reads a certificate request; `None` when it is damaged.
pub fn request(der: &[u8]) -> Option<Request<'_>> {
    let (rest, parsed) = X509CertificationRequest::from_der(der).ok()?;
    if !rest.is_empty() || !asks_well(&parsed) {
        return None;
    }
    let key = key_of(&parsed.certification_request_info.subject_pki);
    Some(Request { parsed, key })
}

/// Whether the names that it asks for can stand in a certificate: the parser takes texts of any letters. Upstream:
/// crypto/x509 parseSANExtension.
fn asks_well(request: &X509CertificationRequest<'_>) -> bool {
    let attributes = request.certification_request_info.iter_attributes();
    let mut extensions = attributes.flat_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(asked) => asked.extensions.as_slice(),
        _ => &[],
    });
    extensions.all(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => names.general_names.iter().all(|name| match name {
            GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => text.is_ascii(),
            GeneralName::IPAddress(octets) => matches!(octets.len(), 4 | 16),
            // A mail address, a host or a URI that is no text; what else is damaged nobody looks at.
            GeneralName::Invalid(tag, _) => !matches!(tag.0, 1 | 2 | 6),
            _ => true,
        }),
        _ => extension.oid != oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME,
    })
}

/// Reads one certificate; `None` when it is damaged or something follows it.
pub fn certificate(der: &[u8]) -> Option<Certificate> {
    let (rest, parsed) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let constraints = parsed.basic_constraints().ok()?;
    let mut found = Certificate {
        is_ca: constraints.is_some_and(|c| c.value.ca),
        dns_names: Vec::new(),
        email_addresses: Vec::new(),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
        public_key: parsed.public_key().raw.to_vec(),
    };
    let names = parsed.subject_alternative_name().ok()?;
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => found.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => found.email_addresses.push((*name).to_owned()),
            _ => {}
        }
    }
    Some(found)
}

/// Reads SubjectPublicKeyInfo; `None` when it is damaged.
pub fn key(der: &[u8]) -> Option<Key> {
    let (rest, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
    rest.is_empty().then(|| key_of(&info))
}

/// The block that ends where `before` does; `after` begins with what is said of the end.
fn ended<'a>(before: &[u8], after: &'a [u8]) -> Option<(Block, &'a [u8])> {
    let begin = before.windows(BEGIN.len()).rposition(|window| window == BEGIN)?;
    // A mark in the middle of a line opens nothing.
    if begin > 0 && before[begin - 1] != b'\n' {
        return None;
    }
    let opened = &before[begin + BEGIN.len()..];
    let line_len = opened.iter().position(|byte| *byte == b'\n').unwrap_or(opened.len());
    let (line, body) = opened.split_at(line_len);
    let label = std::str::from_utf8(line.trim_ascii_end().strip_suffix(DASHES)?).ok()?;
    let left = after.strip_prefix(label.as_bytes())?.strip_prefix(DASHES)?;
    let line_len = left.iter().position(|byte| *byte == b'\n').map_or(left.len(), |at| at + 1);
    let (line, left) = left.split_at(line_len);
    let block = block_of(label, body.get(1..).unwrap_or_default())?;
    line.trim_ascii_end().is_empty().then_some((block, left))
}

fn block_of(label: &str, body: &[u8]) -> Option<Block> {
    let body = std::str::from_utf8(body).ok()?;
    let header_lines = body.lines().take_while(|line| line.contains(':')).count();
    let encoded: String =
        body.lines().skip(header_lines).flat_map(str::chars).filter(|c| !c.is_ascii_whitespace()).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    Some(Block { label: label.to_owned(), has_headers: header_lines > 0, der })
}

fn key_of(info: &SubjectPublicKeyInfo<'_>) -> Key {
    let raw = info.subject_public_key.data.to_vec();
    let kind = if info.algorithm.algorithm == oid_registry::OID_SIG_ED25519 {
        Kind::Ed25519
    } else {
        match info.parsed() {
            Ok(x509_parser::public_key::PublicKey::RSA(key)) => Kind::Rsa { bits: key.key_size() },
            Ok(x509_parser::public_key::PublicKey::EC(_)) => curve(info),
            _ => Kind::Other,
        }
    };
    Key { der: info.raw.to_vec(), kind, raw }
}

fn curve(info: &SubjectPublicKeyInfo<'_>) -> Kind {
    let oid = info.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
    let curves = [
        (oid_registry::OID_EC_P256, "P-256"),
        (oid_registry::OID_NIST_EC_P384, "P-384"),
        (oid_registry::OID_NIST_EC_P521, "P-521"),
    ];
    match curves.iter().find(|(known, _)| oid.as_ref() == Some(known)) {
        Some((_, name)) => Kind::Curve(name),
        None => Kind::Other,
    }
}

// === impl Request ===

impl Request<'_> {
    /// Whether whoever made the request holds the key in it.
    pub fn is_signed(&self) -> bool {
        self.parsed.verify_signature().is_ok() || self.is_signed_on_p521()
    }

    /// P-521 is missing in the parser's own check.
    fn is_signed_on_p521(&self) -> bool {
        let algorithm: &dyn VerificationAlgorithm =
            if self.parsed.signature_algorithm.algorithm == oid_registry::OID_SIG_ECDSA_WITH_SHA512 {
                &signature::ECDSA_P521_SHA512_ASN1
            } else {
                return false;
            };
        self.key.kind == Kind::Curve("P-521")
            && UnparsedPublicKey::new(algorithm, &self.key.raw)
                .verify(self.parsed.certification_request_info.raw, &self.parsed.signature_value.data)
                .is_ok()
    }
}

// === impl Key ===

impl Key {
    /// Whether the key made this signature over the message: Ed25519, ECDSA in ASN.1 over SHA-256 on any curve, or
    /// RSA-PSS with SHA-256.
    pub fn verifies(&self, message: &[u8], made: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.kind {
            Kind::Ed25519 => &signature::ED25519,
            Kind::Curve("P-256") => &signature::ECDSA_P256_SHA256_ASN1,
            Kind::Curve("P-384") => &signature::ECDSA_P384_SHA256_ASN1,
            Kind::Curve("P-521") => &signature::ECDSA_P521_SHA256_ASN1,
            Kind::Rsa { .. } => &signature::RSA_PSS_2048_8192_SHA256,
            _ => return false,
        };
        UnparsedPublicKey::new(algorithm, &self.raw).verify(message, made).is_ok()
    }
}
