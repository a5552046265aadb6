//! AES in CBC with PKCS#7 padding: nothing is authenticated. Upstream: apiserver/pkg/storage/value/encrypt/aes/aes.go cbc.

use aws_lc_rs::{
    cipher::{
        AES_128, AES_192, AES_256, Algorithm, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
        UnboundCipherKey,
    },
    iv::FixedLength,
};

use super::too_short;
use crate::{Failure, Random, Secret};

const BLOCK_LEN: usize = 16;

pub struct Cbc {
    sealing: EncryptingKey,
    opening: DecryptingKey,
}

// === impl Cbc ===

impl Cbc {
    /// The key's length was judged where it was read.
    pub fn new(key: &Secret) -> Cbc {
        const WHY: &str = "keys of 16, 24 and 32 bytes are keys of AES";
        let algorithm: &Algorithm = match key.bytes().len() {
            16 => &AES_128,
            24 => &AES_192,
            _ => &AES_256,
        };
        let key = || UnboundCipherKey::new(algorithm, key.bytes()).expect(WHY);
        Cbc { sealing: EncryptingKey::cbc(key()).expect(WHY), opening: DecryptingKey::cbc(key()).expect(WHY) }
    }

    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Failure> {
        let (iv, sealed) = sealed.split_first_chunk::<BLOCK_LEN>().ok_or_else(too_short)?;
        if !sealed.len().is_multiple_of(BLOCK_LEN) {
            return Err(Failure::new("the stored data is not a multiple of the block size"));
        }
        let unpadded = || Failure::new("invalid PKCS7 data (empty or not padded)");
        if sealed.is_empty() {
            return Err(unpadded());
        }
        let mut opened = sealed.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        self.opening.decrypt(&mut opened, context).map_err(|_| unpadded())?;
        let last = *opened.last().ok_or_else(unpadded)?;
        let len = opened.len().checked_sub(usize::from(last)).filter(|_| last > 0).ok_or_else(unpadded)?;
        if opened[len..].iter().any(|byte| *byte != last) {
            return Err(Failure::new("invalid padding on input"));
        }
        opened.truncate(len);
        Ok(opened)
    }

    pub fn seal(&self, value: &[u8], random: &dyn Random, out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut iv = [0; BLOCK_LEN];
        random.fill(&mut iv);
        out.extend_from_slice(&iv);
        let begin = out.len();
        out.extend_from_slice(value);
        let padding = BLOCK_LEN - value.len() % BLOCK_LEN;
        out.extend(std::iter::repeat_n(padding as u8, padding));
        let context = EncryptionContext::Iv128(FixedLength::from(&iv));
        let sealed = self.sealing.less_safe_encrypt(&mut out[begin..], context);
        sealed.map(drop).map_err(|_| Failure::new("AES-CBC took no block"))
    }
}
