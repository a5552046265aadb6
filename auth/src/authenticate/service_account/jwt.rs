//! The outer form of a token: three parts in base64, the second of them claims, the third a signature over both.
//!
//! Upstream: pkg/serviceaccount/jwt.go jwtTokenAuthenticator.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::keys::KeySet;
use crate::authenticate::Refusal;

/// Larger ones are nobody's; headers are limited anyway, reviews are not.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "alg")]
    _algorithm: String,
    #[serde(rename = "kid", default)]
    key_id: String,
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(rename = "iss", default)]
    issuer: String,
}

/// The claims of a token whose signature holds; `None` for what is not a token of one of these issuers.
pub(super) fn verify<T: DeserializeOwned>(
    token: &str,
    issuers: &[String],
    keys: &KeySet,
) -> Result<Option<T>, Refusal> {
    let Some((header, payload, message, signature)) = split(token) else { return Ok(None) };
    // Not verified yet: it only decides whose the token would be.
    let Ok(issuer) = serde_json::from_slice::<Issuer>(&payload) else { return Ok(None) };
    if !issuers.contains(&issuer.issuer) {
        return Ok(None);
    }
    let mut found = keys.find(&header.key_id).peekable();
    if found.peek().is_none() {
        return Err(Refusal::because("invalid signature, no keys found"));
    }
    let holds = found.any(|key| {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, key.algorithm).unwrap_or(false)
    });
    if !holds {
        return Err(Refusal::because("go-jose/go-jose: error in cryptographic primitive"));
    }
    serde_json::from_slice(&payload).map(Some).map_err(|error| Refusal::because(error.to_string()))
}

/// Header, claims, what is signed, and the signature.
fn split(token: &str) -> Option<(Header, Vec<u8>, &str, &str)> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    if payload.contains('.') {
        return None;
    }
    let header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    Some((header, URL_SAFE_NO_PAD.decode(payload).ok()?, message, signature))
}
