//! PEM text: reading certificates and keys out of it, and writing blocks.

use base64::Engine as _;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{PemObject as _, SectionKind},
};

use crate::Error;

/// Certificates in the order in which they stand. At least one, or an error.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::PemDamaged(error.to_string()))?;
    if found.is_empty() { Err(Error::PemMissing("certificate")) } else { Ok(found) }
}

/// The first private key: PKCS#8, PKCS#1 (RSA) or SEC1 (EC).
pub fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, Error> {
    match PrivateKeyDer::pem_slice_iter(text.as_bytes()).next() {
        None => Err(Error::PemMissing("private key")),
        Some(found) => found.map_err(|error| Error::PemDamaged(error.to_string())),
    }
}

/// Every block of a sort that is known (keys, certificates, …) and what is in it, in order.
pub fn blocks(text: &str) -> Result<Vec<(SectionKind, Vec<u8>)>, Error> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::PemDamaged(error.to_string()))
}

/// One block: `-----BEGIN label-----`, base64 in lines of 64, `-----END label-----`.
pub fn write(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
