//! Keys of an issuer, as it publishes them (RFC 7517), and signatures by them.
//!
//! Only public keys of kinds that sign are keys here. A set with one that is malformed is none, as upstream has it.
//! Upstream: go-jose jwk.go, asymmetric.go.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// A key by which signatures are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// May be empty.
    pub id: String,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// A point in its uncompressed form.
    Curve {
        curve: Curve,
        point: Vec<u8>,
    },
    /// What is no key for a signature that would be taken: a secret, or one of Edwards'.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

/// More keys of one issuer are not taken.
const KEYS_MAX: usize = 1024;

/// Reads a set of keys, `{"keys": […]}`.
pub fn read(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let keys = match set.get("keys") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(keys)) if keys.len() <= KEYS_MAX => keys,
        Some(Value::Array(keys)) => return Err(format!("{} keys are too many", keys.len())),
        Some(other) => return Err(super::claims::misfit(other, "[]jose.JSONWebKey")),
    };
    keys.iter().map(Key::read).collect()
}

// === impl Key ===

impl Key {
    fn read(key: &Value) -> Result<Key, String> {
        let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text(name)).ok().filter(|bytes| !bytes.is_empty());
            bytes.ok_or_else(|| format!("go-jose/go-jose: invalid {} key, missing {name} value", text("kty")))
        };
        let material = match text("kty") {
            "RSA" => Material::Rsa { modulus: number("n")?, exponent: number("e")? },
            "EC" => {
                let curve = match text("crv") {
                    "P-256" => Curve::P256,
                    "P-384" => Curve::P384,
                    "P-521" => Curve::P521,
                    other => return Err(format!("go-jose/go-jose: unsupported elliptic curve '{other}'")),
                };
                Material::Curve { curve, point: curve.point(&number("x")?, &number("y")?)? }
            }
            "oct" | "OKP" => Material::Other,
            other => return Err(format!("go-jose/go-jose: unknown json web key type '{other}'")),
        };
        Ok(Key { id: text("kid").to_owned(), material })
    }

    /// Whether `signature` is of `message` by this key and algorithm.
    pub(super) fn verify(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { modulus, exponent } => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature).is_ok()
            }),
            Material::Curve { curve, point } => ecdsa(algorithm, *curve)
                .is_some_and(|how| UnparsedPublicKey::new(how, point).verify(message, signature).is_ok()),
            Material::Other => false,
        }
    }
}

impl Curve {
    fn point(self, x: &[u8], y: &[u8]) -> Result<Vec<u8>, String> {
        let len = match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        };
        if x.len() != len || y.len() != len {
            return Err(format!("go-jose/go-jose: invalid EC public key, wrong length for x or y: {len} is right"));
        }
        Ok([&[4], x, y].concat())
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn ecdsa(algorithm: &str, curve: Curve) -> Option<&'static EcdsaVerificationAlgorithm> {
    Some(match (algorithm, curve) {
        ("ES256", Curve::P256) => &ECDSA_P256_SHA256_FIXED,
        ("ES384", Curve::P384) => &ECDSA_P384_SHA384_FIXED,
        ("ES512", Curve::P521) => &ECDSA_P521_SHA512_FIXED,
        _ => return None,
    })
}
