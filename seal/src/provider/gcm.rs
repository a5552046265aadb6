//! AES in GCM with a nonce by chance; the place is authenticated. Upstream: encrypt/aes/aes.go gcm.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};

use super::too_short;
use crate::{Failure, Random, Secret};

pub struct Gcm(LessSafeKey);

// === impl Gcm ===

impl Gcm {
    /// The key's length was judged where it was read.
    pub fn new(key: &Secret) -> Gcm {
        let algorithm: &Algorithm = match key.bytes().len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            _ => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, key.bytes()).expect("keys of 16, 24 and 32 bytes are keys of AES");
        Gcm(LessSafeKey::new(key))
    }

    pub fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, Failure> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(too_short)?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = self.0.open_in_place(nonce, Aad::from(place), &mut opened).map(|opened| opened.len());
        // Go's words.
        opened.truncate(len.map_err(|_| Failure::new("cipher: message authentication failed"))?);
        Ok(opened)
    }

    pub fn seal(&self, value: &[u8], place: &[u8], random: &dyn Random, out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        out.extend_from_slice(&nonce);
        let begin = out.len();
        out.extend_from_slice(value);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(place), &mut out[begin..]);
        let tag = tag.map_err(|_| Failure::new("AES-GCM took no value of this length"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }
}
