//! The keys that sign and verify tokens, told apart by an id that is a hash of the public key.
//!
//! The algorithm always follows from the key, never from what a token claims about itself.
//! Upstream: pkg/serviceaccount/jwt.go keyIDFromPublicKey, StaticPublicKeysGetter.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::key::{KeyKind, PublicParts};
use certs::{PrivateKey, PublicKey};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

/// A key that cannot be used for tokens.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("service account keys are RSA, or ECDSA on P-256 or P-384; P-521 (ES512) is not supported")]
    Curve,
    #[error("the service account key cannot be used: {0}")]
    Unusable(#[from] certs::Error),
    #[error("signing a token failed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// Keys whose signatures are accepted.
#[derive(Clone)]
pub struct KeySet {
    pub(super) keys: Vec<VerifyingKey>,
}

#[derive(Clone)]
pub(super) struct VerifyingKey {
    pub id: String,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
    pub public: PublicKey,
}

/// The key that signs new tokens.
pub struct SigningKey {
    pub(super) id: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
}

// === impl KeySet ===

impl KeySet {
    pub fn new(keys: Vec<PublicKey>) -> Result<KeySet, KeyError> {
        keys.into_iter().map(VerifyingKey::new).collect::<Result<_, _>>().map(|keys| KeySet { keys })
    }

    /// The keys of this id; all of them when a token names none.
    pub(super) fn find(&self, id: &str) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter().filter(move |key| id.is_empty() || key.id == id)
    }
}

impl VerifyingKey {
    fn new(public: PublicKey) -> Result<VerifyingKey, KeyError> {
        let key = match &public.parts {
            PublicParts::Rsa { modulus, exponent } => DecodingKey::from_rsa_raw_components(modulus, exponent),
            PublicParts::Curve { x, y, .. } => {
                DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y))?
            }
        };
        Ok(VerifyingKey { id: key_id(&public.der), algorithm: algorithm(&public)?, key, public })
    }
}

// === impl SigningKey ===

impl SigningKey {
    pub fn new(private: &PrivateKey) -> Result<SigningKey, KeyError> {
        let public = PublicKey::from_der(private.public_der())?;
        let key = match private.pkcs1() {
            Some(pkcs1) => EncodingKey::from_rsa_der(&pkcs1),
            None => EncodingKey::from_ec_der(private.pkcs8()),
        };
        Ok(SigningKey { id: key_id(&public.der), algorithm: algorithm(&public)?, key })
    }
}

fn algorithm(public: &PublicKey) -> Result<Algorithm, KeyError> {
    match &public.parts {
        PublicParts::Rsa { .. } => Ok(Algorithm::RS256),
        PublicParts::Curve { kind: KeyKind::P256, .. } => Ok(Algorithm::ES256),
        PublicParts::Curve { kind: KeyKind::P384, .. } => Ok(Algorithm::ES384),
        PublicParts::Curve { .. } => Err(KeyError::Curve),
    }
}

fn key_id(public_der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, public_der))
}
