//! Keys that are made of a seed, one for each value, and what opens values of a source.
//!
//! A value begins with 32 bytes by chance; they and the seed make its key (HKDF's second half, with SHA-256), by
//! which the rest is sealed with AES in GCM. So no key ever seals twice, and the seed need not be drawn anew.
//! Upstream: apiserver/pkg/storage/value/encrypt/aes/aes_extended_nonce.go.

use std::sync::Arc;

use aws_lc_rs::hmac;

use super::object::Form;
use crate::{
    Failure, Random, Secret,
    provider::{Gcm, too_short},
};

/// In bytes, as are those below.
const INFO_LEN: usize = 32;
pub const SEED_LEN: usize = 32;

/// What keys are made of.
pub struct Seed(hmac::Key);

/// Opens values of one source.
#[derive(Clone)]
pub enum Opener {
    Key(Arc<Gcm>),
    Seed(Arc<Seed>),
}

// === impl Seed ===

impl Seed {
    /// Fails with one that is too short.
    pub fn new(seed: &Secret) -> Result<Seed, Failure> {
        match seed.bytes() {
            bytes if bytes.len() < SEED_LEN => {
                Err(Failure::new(format!("invalid seed length {} used for key generation", bytes.len())))
            }
            bytes => Ok(Seed(hmac::Key::new(hmac::HMAC_SHA256, bytes))),
        }
    }

    /// HKDF-Expand of RFC 5869, whose first block is all that is needed.
    fn key(&self, info: &[u8; INFO_LEN]) -> Gcm {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(info);
        context.update(&[1]);
        Gcm::new(&Secret::new(context.sign().as_ref()))
    }

    fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, Failure> {
        let (info, sealed) = sealed.split_first_chunk().ok_or_else(too_short)?;
        self.key(info).open(sealed, place)
    }

    /// Appends what the value comes to.
    pub fn seal(&self, value: &[u8], place: &[u8], random: &dyn Random, out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut info = [0; INFO_LEN];
        random.fill(&mut info);
        out.extend_from_slice(&info);
        self.key(&info).seal(value, place, random, out)
    }
}

// === impl Opener ===

impl Opener {
    /// Of what a plugin opened, which may be anything.
    pub fn new(form: Form, opened: &Secret) -> Result<Opener, Failure> {
        Ok(match form {
            Form::Seed => Opener::Seed(Arc::new(Seed::new(opened)?)),
            Form::Key if matches!(opened.bytes().len(), 16 | 24 | 32) => Opener::Key(Arc::new(Gcm::new(opened))),
            // Go's words.
            Form::Key => {
                return Err(Failure::new(format!("crypto/aes: invalid key size {}", opened.bytes().len())));
            }
        })
    }

    pub fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Opener::Key(key) => key.open(sealed, place),
            Opener::Seed(seed) => seed.open(sealed, place),
        }
    }
}
