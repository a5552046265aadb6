//! A new key of a wanted sort, and the certificate request that proves to have it.
//!
//! Such a request says nothing of its owner: who that is stands in the API object around it. Upstream:
//! pkg/kubelet/podcertificate `generateKeyAndProof`.

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};

use crate::Error;

pub struct Proof {
    /// PKCS#8 as PEM: the secret itself.
    pub key_pem: String,
    /// PKCS#10.
    pub request_der: Vec<u8>,
}

/// Makes one; `kind` is the API's word: `ECDSAP256`, `ED25519`, `RSA3072`, …
pub fn generate(kind: &str) -> Result<Proof, Error> {
    let pair = match kind {
        "RSA3072" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        "RSA4096" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        "ECDSAP256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        "ECDSAP384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        "ECDSAP521" => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
        "ED25519" => KeyPair::generate_for(&PKCS_ED25519),
        _ => return Err(Error::Key("its kind is unknown")),
    };
    let pair = pair.map_err(|_| Error::Key("the system gave no randomness"))?;
    let mut nobody = CertificateParams::default();
    nobody.distinguished_name = DistinguishedName::new();
    let request = nobody.serialize_request(&pair).map_err(|error| Error::Signing(error.to_string()))?;
    Ok(Proof { key_pem: pair.serialize_pem(), request_der: request.der().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{self, Kind};

    #[test]
    fn the_request_is_signed_by_a_key_of_the_wanted_sort() {
        for (kind, expected) in [
            ("ECDSAP256", Kind::Curve("P-256")),
            ("ECDSAP384", Kind::Curve("P-384")),
            ("ECDSAP521", Kind::Curve("P-521")),
            ("ED25519", Kind::Ed25519),
        ] {
            let proof = generate(kind).expect("makes one");
            let request = inspect::request(&proof.request_der).expect("can be read");
            assert_eq!(request.key.kind, expected);
            assert!(request.is_signed(), "{kind}");
            assert!(proof.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        }
        assert!(generate("DSA").is_err());
    }
}
