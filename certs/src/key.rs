//! Private keys: made, read from the forms that users have, and used for signing.
//!
//! New keys are ECDSA on P-256: one is made in a fraction of a millisecond, where RSA takes more than the whole start
//! of a control plane may. RSA, P-384 and P-521 keys that a user brings are accepted.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RsaKeyPair};
use rustls::pki_types::{
    PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::{PemObject as _, SectionKind},
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::{Error, pem};

/// What a key is, which decides the signatures it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    P256,
    P384,
    P521,
    Rsa,
}

/// A private key. It prints as its kind and nothing more, and its PEM text leaves only through [`PrivateKey::to_pem`].
pub struct PrivateKey {
    kind: KeyKind,
    pair: Pair,
    pkcs8: Vec<u8>,
    public: Vec<u8>,
}

/// A public key: what verifies a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo.
    pub der: Vec<u8>,
    pub parts: PublicParts,
}

/// The numbers of a public key, big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicParts {
    /// Each coordinate padded to the length of the curve.
    Curve {
        kind: KeyKind,
        x: Vec<u8>,
        y: Vec<u8>,
    },
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

const CURVES: [(KeyKind, &EcdsaSigningAlgorithm); 3] = [
    (KeyKind::P256, &signature::ECDSA_P256_SHA256_ASN1_SIGNING),
    (KeyKind::P384, &signature::ECDSA_P384_SHA384_ASN1_SIGNING),
    (KeyKind::P521, &signature::ECDSA_P521_SHA512_ASN1_SIGNING),
];

// === impl PrivateKey ===

impl PrivateKey {
    /// A new key on P-256.
    pub fn generate() -> Result<PrivateKey, Error> {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(|_| Error::Key("the system gave no randomness"))?;
        PrivateKey::from_ecdsa(KeyKind::P256, pair)
    }

    /// Reads PKCS#8, SEC1 (`EC PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`).
    pub fn from_pem(text: &str) -> Result<PrivateKey, Error> {
        PrivateKey::from_rustls(&pem::private_key(text)?)
    }

    fn from_rustls(der: &PrivateKeyDer<'_>) -> Result<PrivateKey, Error> {
        match der {
            PrivateKeyDer::Sec1(key) => PrivateKey::from_ec_der(key.secret_sec1_der()),
            PrivateKeyDer::Pkcs1(key) => {
                PrivateKey::from_rsa(RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(unusable)?)
            }
            PrivateKeyDer::Pkcs8(key) => match RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()) {
                Ok(pair) => PrivateKey::from_rsa(pair),
                Err(_) => PrivateKey::from_ec_der(key.secret_pkcs8_der()),
            },
            _ => Err(Error::Key("its form is unknown")),
        }
    }

    /// PKCS#8 as PEM: the secret itself. For files that only the owner reads.
    pub fn to_pem(&self) -> String {
        pem::write("PRIVATE KEY", &self.pkcs8)
    }

    /// The public half as PEM (`PUBLIC KEY`).
    pub fn public_pem(&self) -> String {
        pem::write("PUBLIC KEY", &self.public)
    }

    /// The public half as SubjectPublicKeyInfo.
    pub fn public_der(&self) -> &[u8] {
        &self.public
    }

    /// PKCS#8: the secret itself.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// An RSA key as PKCS#1, which is what PKCS#8 wraps: the secret itself. `None` for elliptic curves.
    pub fn pkcs1(&self) -> Option<Vec<u8>> {
        if self.kind != KeyKind::Rsa {
            return None;
        }
        yasna::parse_der(&self.pkcs8, |reader| {
            reader.read_sequence(|parts| {
                parts.next().read_der()?;
                parts.next().read_der()?;
                parts.next().read_bytes()
            })
        })
        .ok()
    }

    /// Signs as certificates and TLS want it: ECDSA in ASN.1 with the curve's hash, RSA as PKCS#1 v1.5 with SHA-256.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message).map(|made| made.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut made = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut made).map(|()| made)
            }
        }
        .map_err(|_| Error::Signing("the key refused".to_owned()))
    }

    /// The key as rustls wants it.
    pub fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.clone()))
    }

    fn from_ec_der(der: &[u8]) -> Result<PrivateKey, Error> {
        for (kind, algorithm) in CURVES {
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(algorithm, der) {
                return PrivateKey::from_ecdsa(kind, pair);
            }
        }
        Err(Error::Key("it is neither RSA nor ECDSA on P-256, P-384 or P-521"))
    }

    fn from_ecdsa(kind: KeyKind, pair: EcdsaKeyPair) -> Result<PrivateKey, Error> {
        let pkcs8 = pair.to_pkcs8v1().map_err(unencodable)?.as_ref().to_vec();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(unencodable)?;
        let public = public.as_ref().to_vec();
        Ok(PrivateKey { kind, pair: Pair::Ecdsa(pair), pkcs8, public })
    }

    fn from_rsa(pair: RsaKeyPair) -> Result<PrivateKey, Error> {
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(unencodable)?;
        let pkcs8 = pkcs8.as_ref().to_vec();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(unencodable)?;
        let public = public.as_ref().to_vec();
        Ok(PrivateKey { kind: KeyKind::Rsa, pair: Pair::Rsa(pair), pkcs8, public })
    }
}

// === impl PublicKey ===

impl PublicKey {
    /// Reads SubjectPublicKeyInfo.
    pub fn from_der(der: &[u8]) -> Result<PublicKey, Error> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| Error::Key("the public key is damaged"))?;
        let parts = match info.parsed().map_err(|_| Error::Key("the public key is damaged"))? {
            x509_parser::public_key::PublicKey::RSA(key) => PublicParts::Rsa {
                modulus: without_zeros(key.modulus).to_vec(),
                exponent: without_zeros(key.exponent).to_vec(),
            },
            x509_parser::public_key::PublicKey::EC(point) => curve(point.data())?,
            _ => return Err(Error::Key("it is neither RSA nor ECDSA on P-256, P-384 or P-521")),
        };
        Ok(PublicKey { der: der.to_vec(), parts })
    }

    /// Every public key of the text, in order: public keys, those of certificates, and the public halves of private keys.
    /// Other blocks are passed over; without a single key it fails. Upstream: client-go/util/keyutil `ParsePublicKeysPEM`.
    pub fn all_from_pem(text: &str) -> Result<Vec<PublicKey>, Error> {
        let keys: Vec<PublicKey> =
            pem::blocks(text)?.into_iter().filter_map(|(kind, der)| PublicKey::of_block(kind, der)).collect();
        if keys.is_empty() { Err(Error::PemMissing("public key")) } else { Ok(keys) }
    }

    fn of_block(kind: SectionKind, der: Vec<u8>) -> Option<PublicKey> {
        match kind {
            SectionKind::PublicKey => PublicKey::from_der(&der).ok(),
            SectionKind::Certificate => {
                let (_, certificate) = X509Certificate::from_der(&der).ok()?;
                PublicKey::from_der(certificate.public_key().raw).ok()
            }
            _ => {
                let private = PrivateKey::from_rustls(&PrivateKeyDer::from_pem(kind, der)?).ok()?;
                PublicKey::from_der(private.public_der()).ok()
            }
        }
    }
}

fn curve(point: &[u8]) -> Result<PublicParts, Error> {
    let kind = match point.len() {
        65 => KeyKind::P256,
        97 => KeyKind::P384,
        133 => KeyKind::P521,
        _ => return Err(Error::Key("its curve is neither P-256, P-384 nor P-521")),
    };
    match point.split_first() {
        Some((4, coordinates)) => {
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            Ok(PublicParts::Curve { kind, x: x.to_vec(), y: y.to_vec() })
        }
        _ => Err(Error::Key("the public key is compressed")),
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:?})", self.kind)
    }
}

fn unusable(_: aws_lc_rs::error::KeyRejected) -> Error {
    Error::Key("it is damaged, or RSA with fewer than 2048 bits")
}

fn unencodable(_: aws_lc_rs::error::Unspecified) -> Error {
    Error::Key("it cannot be encoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Profile, Subject};

    /// controller-runtime's envtest hands a server the certificate of an authority as the key of its tokens.
    #[test]
    fn public_keys_are_found_in_whatever_holds_them() -> Result<(), Error> {
        let [first, second] = [PrivateKey::generate()?, PrivateKey::generate()?];
        let issued = Authority::generate("one", 0)?.issue(&Profile::client(Subject::user("who", &[])), 0)?;
        let curves = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let text = [curves, &first.public_pem(), &issued.certificate_pem, &second.to_pem()].concat();
        let found: Vec<Vec<u8>> = PublicKey::all_from_pem(&text)?.into_iter().map(|key| key.der).collect();
        assert_eq!(found, [first.public_der(), issued.key.public_der(), second.public_der()]);
        let none = PublicKey::all_from_pem(curves).expect_err("there is no key").to_string();
        assert_eq!(none, "no public key found in the PEM text");
        Ok(())
    }
}
