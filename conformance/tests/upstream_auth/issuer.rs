//! Tokens of an issuer, good and forged, and the keys by which they are good.

use anyhow::{Context, Result};
use api::{Value, value};
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Keys by name. Those of `unknown` are published nowhere, that of `account` is the servers' own.
pub struct Signers {
    rsa: RsaKeyPair,
    rsa2: RsaKeyPair,
    unknown: RsaKeyPair,
    ec: EcdsaKeyPair,
    account: EcdsaKeyPair,
}

enum Key<'a> {
    Rsa(&'a RsaKeyPair),
    Curve(&'a EcdsaKeyPair),
}

// === impl Signers ===

impl Signers {
    /// `account` is the key of service accounts, as PEM.
    pub fn new(account: &str) -> Result<Signers> {
        let account = certs::PrivateKey::from_pem(account)?;
        let how = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let rsa = || RsaKeyPair::generate(KeySize::Rsa2048).context("a key");
        Ok(Signers {
            rsa: rsa()?,
            rsa2: rsa()?,
            unknown: rsa()?,
            ec: EcdsaKeyPair::generate(how).context("a key")?,
            account: EcdsaKeyPair::from_pkcs8(how, account.pkcs8()).context("the servers' key")?,
        })
    }

    fn key(&self, name: &str) -> Key<'_> {
        match name {
            "rsa2" => Key::Rsa(&self.rsa2),
            "unknown" => Key::Rsa(&self.unknown),
            "ec" => Key::Curve(&self.ec),
            "account" => Key::Curve(&self.account),
            _ => Key::Rsa(&self.rsa),
        }
    }

    /// A set of public keys.
    pub fn published(&self) -> Value {
        let rsa = |id: &str, key: &RsaKeyPair| {
            let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
            let (n, e) = (encoded(n.big_endian_without_leading_zero()), encoded(e.big_endian_without_leading_zero()));
            value!({"kty": "RSA", "kid": (id), "use": "sig", "alg": "RS256", "n": (n), "e": (e)})
        };
        let point = self.ec.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
        let ec = value!({"kty": "EC", "kid": "ec", "use": "sig", "crv": "P-256", "x": (x), "y": (y)});
        value!({"keys": [(rsa("rsa", &self.rsa)), (rsa("rsa2", &self.rsa2)), (ec)]})
    }

    /// A token as a row says it: `key`, members of the header (null takes one out) and claims (`absent` takes one out, and
    /// `{now: SECONDS}` is a time).
    pub fn token(&self, row: &Value, issuer: &str, now: i64) -> Result<String> {
        let name = row.opt_str("key").unwrap_or("rsa");
        let key = self.key(name);
        let algorithm = if matches!(key, Key::Rsa(_)) { "RS256" } else { "ES256" };
        let mut header = value!({"alg": (algorithm), "kid": (name)});
        if name == "account" {
            header.remove("kid");
        }
        for (member, value) in row.at("header").members() {
            match value.is_null() {
                true => drop(header.remove(member)),
                false => header.set(member, value.clone()),
            }
        }
        let mut claims = value!({"iss": (issuer), "aud": "skiff", "sub": "jane", "exp": (now + 3600)});
        for (claim, value) in row.at("claims").members() {
            match (value.as_str(), value.opt_int("now")) {
                (Some("absent"), _) => drop(claims.remove(claim)),
                (_, Some(seconds)) => claims.set(claim, now + seconds),
                _ => claims.set(claim, value.clone()),
            }
        }
        let part = |value: &Value| encoded(codec::json::to_string(value).as_bytes());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = sign(&key, header.str("alg"), message.as_bytes())?;
        Ok(format!("{message}.{}", encoded(&signature)))
    }
}

fn sign(key: &Key<'_>, algorithm: &str, message: &[u8]) -> Result<Vec<u8>> {
    let random = SystemRandom::new();
    match (key, algorithm) {
        (_, "none") => Ok(Vec::new()),
        (Key::Rsa(key), "HS256") => {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_key().as_ref());
            Ok(hmac::sign(&secret, message).as_ref().to_vec())
        }
        (Key::Rsa(key), algorithm) => {
            let how: &dyn signature::RsaEncoding = match algorithm {
                "RS512" => &signature::RSA_PKCS1_SHA512,
                "PS512" => &signature::RSA_PSS_SHA512,
                _ => &signature::RSA_PKCS1_SHA256,
            };
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(how, &random, message, &mut signature).context("it signs")?;
            Ok(signature)
        }
        (Key::Curve(key), _) => Ok(key.sign(&random, message).context("it signs")?.as_ref().to_vec()),
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
