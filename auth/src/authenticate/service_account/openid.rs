//! What others need to verify tokens by themselves: the issuer's configuration and its keys, as JSON text.
//!
//! Upstream: pkg/serviceaccount/openidmetadata.go.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::key::PublicParts;
use jsonwebtoken::Algorithm;
use serde::Serialize;

use super::keys::{KeySet, VerifyingKey};

pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
pub const KEYS_PATH: &str = "/openid/v1/jwks";
/// For how long a reader may keep either document.
pub const MAX_AGE_SECONDS: u64 = 3600;

/// The two documents, ready to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// `application/json`
    pub configuration: String,
    /// `application/jwk-set+json`
    pub keys: String,
}

#[derive(Serialize)]
struct Configuration<'a> {
    issuer: &'a str,
    jwks_uri: &'a str,
    response_types_supported: [&'a str; 1],
    subject_types_supported: [&'a str; 1],
    id_token_signing_alg_values_supported: Vec<&'a str>,
}

#[derive(Serialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Serialize)]
struct Key {
    #[serde(rename = "use")]
    purpose: &'static str,
    kty: &'static str,
    kid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

// === impl Documents ===

impl Documents {
    /// `keys_uri` is where the keys can be read; `None` stands for this server at `external_address` (`host:port`). An
    /// error says, as upstream does, why nothing can be published; the server starts nevertheless.
    pub fn new(
        issuer: &str,
        keys_uri: Option<&str>,
        external_address: &str,
        keys: &KeySet,
    ) -> Result<Documents, String> {
        check_issuer(issuer)?;
        let keys_uri = match keys_uri {
            Some(uri) if !uri.starts_with("https://") => {
                return Err(format!("jwksURI requires https scheme, parsed as: {uri}"));
            }
            Some(uri) => uri.to_owned(),
            None if external_address.is_empty() => {
                return Err("either the JWKS URI or the default external address, or both, must be set".to_owned());
            }
            None => format!("https://{external_address}{KEYS_PATH}"),
        };
        if keys.keys.is_empty() {
            return Err("no keys provided for validating keyset".to_owned());
        }
        let mut algorithms: Vec<&str> = keys.keys.iter().map(|key| name(key.algorithm)).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let configuration = Configuration {
            issuer,
            jwks_uri: &keys_uri,
            response_types_supported: ["id_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: algorithms,
        };
        let keys = Keys { keys: keys.keys.iter().map(Key::new).collect() };
        let text = |result: Result<String, serde_json::Error>| result.expect("structs of text are always JSON");
        Ok(Documents {
            configuration: text(serde_json::to_string(&configuration)),
            keys: text(serde_json::to_string(&keys)),
        })
    }
}

fn check_issuer(issuer: &str) -> Result<(), String> {
    if issuer.is_empty() {
        return Err("empty issuer URL".to_owned());
    }
    if !issuer.starts_with("https://") {
        return Err(format!("issuer URL must use https scheme, got: {issuer}"));
    }
    if issuer.contains('?') {
        return Err(format!("issuer URL may not include a query, got: {issuer}"));
    }
    if issuer.contains('#') {
        return Err(format!("issuer URL may not include a fragment, got: {issuer}"));
    }
    Ok(())
}

impl Key {
    fn new(key: &VerifyingKey) -> Key {
        let text = |number: &[u8]| Some(URL_SAFE_NO_PAD.encode(number));
        let (purpose, kid, alg) = ("sig", key.id.clone(), name(key.algorithm));
        match &key.public.parts {
            PublicParts::Rsa { modulus, exponent } => {
                let (n, e) = (text(modulus), text(exponent));
                Key { purpose, kty: "RSA", kid, crv: None, alg, n, e, x: None, y: None }
            }
            PublicParts::Curve { x, y, .. } => {
                let crv = if key.algorithm == Algorithm::ES256 { "P-256" } else { "P-384" };
                Key { purpose, kty: "EC", kid, crv: Some(crv), alg, n: None, e: None, x: text(x), y: text(y) }
            }
        }
    }
}

/// Key sets hold these three alone.
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        _ => "RS256",
    }
}
