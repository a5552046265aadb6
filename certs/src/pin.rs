//! Pins: hashes of the public keys of those who may be believed, for a first meeting.
//!
//! What is hashed is the SubjectPublicKeyInfo, so that a pin outlives the renewal of a certificate (RFC 7469). Upstream:
//! cmd/kubeadm/app/util/pubkeypin.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;

use crate::{Error, authority::parse, verify::hex};

const FORMAT: &str = "sha256";
const HASH_LEN: usize = 32;

/// Pins of the form `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeSet<String>);

/// The pin of a certificate's key.
pub fn of(certificate: &CertificateDer<'_>) -> Result<String, Error> {
    let key = parse(certificate)?.public_key().raw.to_vec();
    Ok(format!("{FORMAT}:{}", hex(digest::digest(&digest::SHA256, &key).as_ref())))
}

// === impl Pins ===

impl Pins {
    /// Reads pins; the error is upstream's. Upstream: Set.Allow.
    pub fn parse<T: AsRef<str>>(pins: &[T]) -> Result<Pins, String> {
        pins.iter().map(|pin| one(pin.as_ref())).collect::<Result<_, _>>().map(Pins)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of the certificates is pinned, else why none is. Upstream: Set.CheckAny.
    pub fn check_any(&self, certificates: &[CertificateDer<'_>]) -> Result<(), String> {
        let found = certificates.iter().map(of).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        match found.iter().any(|pin| self.0.contains(pin)) {
            true => Ok(()),
            false => Err(format!("none of the public keys {:?} are pinned", found.join(":"))),
        }
    }
}

fn one(pin: &str) -> Result<String, String> {
    let known = format!("Known format(s) are: {FORMAT}");
    let Some((format, value)) = pin.split_once(':').filter(|(_, value)| !value.contains(':')) else {
        return Err(format!("invalid hash, expected \"format:hex-value\". {known}"));
    };
    if !format.eq_ignore_ascii_case(FORMAT) {
        return Err(format!("unknown hash format {format:?}. {known}"));
    }
    let len = value.len() / 2;
    if len != HASH_LEN {
        return Err(format!("invalid hash {pin:?}, expected a {HASH_LEN} byte SHA-256 hash, found {len} bytes"));
    }
    if value.len() != 2 * HASH_LEN || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("invalid hash {pin:?}, could not decode SHA-256 from hex"));
    }
    Ok(format!("{FORMAT}:{}", value.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, pem};

    #[test]
    fn a_pin_is_a_hash_of_the_key_and_not_of_the_certificate() {
        // By openssl: x509 -pubkey | pkey -pubin -outform der | sha256sum.
        let certificate = pem::certificates(include_str!("pin/testdata/certificate.pem")).expect("it is one");
        let pin = "sha256:5757a32f9e8cfbff2b53e8f09af966d07df0b90aded82c09e3f1506a517a031d";
        assert_eq!(of(&certificate[0]).expect("it has a key"), pin);
        let upper = pin.to_ascii_uppercase();
        let pins = Pins::parse(&[upper.as_str()]).expect("both are pins");
        assert_eq!(pins.check_any(&certificate), Ok(()));
        let other = Authority::generate("other", 1_795_000_000).expect("it can be made");
        let why = pins.check_any(std::slice::from_ref(other.certificate())).expect_err("it is another's key");
        assert!(why.starts_with("none of the public keys \"sha256:") && why.ends_with("\" are pinned"), "{why}");
        let both = [other.certificate().clone(), certificate[0].clone()];
        assert_eq!(pins.check_any(&both), Ok(()), "one of a bundle is enough");
    }

    #[test]
    fn what_is_no_pin_is_told() {
        let why = |pin: &str| Pins::parse(&[pin]).expect_err("it is none");
        let known = "Known format(s) are: sha256";
        assert_eq!(why("abc"), format!("invalid hash, expected \"format:hex-value\". {known}"));
        assert_eq!(why("a:b:c"), format!("invalid hash, expected \"format:hex-value\". {known}"));
        assert_eq!(why("sha512:00"), format!("unknown hash format \"sha512\". {known}"));
        assert_eq!(why("sha256:00"), "invalid hash \"sha256:00\", expected a 32 byte SHA-256 hash, found 1 bytes");
        let bad = format!("sha256:{}", "zz".repeat(32));
        assert_eq!(why(&bad), format!("invalid hash {bad:?}, could not decode SHA-256 from hex"));
        assert!(Pins::parse::<&str>(&[]).is_ok_and(|pins| pins.is_empty()));
    }
}
