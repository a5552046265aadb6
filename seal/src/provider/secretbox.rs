//! XSalsa20 and Poly1305. Upstream: apiserver/pkg/storage/value/encrypt/secretbox/secretbox.go.

use crypto_secretbox::{
    KeyInit, Nonce, XSalsa20Poly1305,
    aead::{AeadInPlace, Tag, generic_array::GenericArray},
};

use super::too_short;
use crate::{Failure, Random, Secret};

const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

pub struct Secretbox(XSalsa20Poly1305);

// === impl Secretbox ===

impl Secretbox {
    /// The key's length was judged where it was read.
    pub fn new(key: &Secret) -> Secretbox {
        Secretbox(XSalsa20Poly1305::new_from_slice(key.bytes()).expect("keys of 32 bytes are keys of secretbox"))
    }

    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Failure> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(too_short)?;
        let (tag, rest) = rest.split_at_checked(TAG_LEN).ok_or_else(too_short)?;
        let mut opened = rest.to_vec();
        let tag: &Tag<XSalsa20Poly1305> = GenericArray::from_slice(tag);
        let outcome = self.0.decrypt_in_place_detached(Nonce::from_slice(nonce), b"", &mut opened, tag);
        // Upstream says this of whatever does not open.
        outcome.map_err(|_| Failure::new("output array was not large enough for encryption"))?;
        Ok(opened)
    }

    pub fn seal(&self, value: &[u8], random: &dyn Random, out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = value.to_vec();
        let tag = self.0.encrypt_in_place_detached(Nonce::from_slice(&nonce), b"", &mut sealed);
        let tag = tag.map_err(|_| Failure::new("secretbox took no value of this length"))?;
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&tag);
        out.extend_from_slice(&sealed);
        Ok(())
    }
}
