//! One provider of a rule: the keys it seals and opens with, in their order.
//!
//! The first key seals, all open; a key that does not fit is no reason not to try the next one, since two may have one
//! name. Upstream: apiserver/pkg/storage/value/transformer.go prefixTransformers.

mod cbc;
mod gcm;
mod secretbox;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    Failure, Outside, Random,
    configuration::{Key, Said},
    envelope::{Envelope, Socket},
    tally::{Direction, Tally, Transformation},
};

use cbc::Cbc;
pub(crate) use gcm::Gcm;
use secretbox::Secretbox;

/// Reserved for what is encrypted: neither JSON nor protobuf begins so.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// A value and where it lies, on its way.
#[derive(Clone, Copy)]
pub struct Passage<'a> {
    /// The key in the store: it is authenticated with the value, so that values cannot be moved.
    pub key: &'a str,
    pub resource: &'a str,
    pub random: &'a dyn Random,
    pub tally: &'a dyn Tally,
}

/// What came out of a sealed value.
pub struct Opened {
    pub value: Bytes,
    /// It has to be written anew even if nothing of it changes.
    pub stale: bool,
}

/// How values of a resource may lie in the store; the first of several is how they are written.
pub enum Provider {
    Identity,
    Keys(Keys),
    Plugin(Arc<Envelope>),
}

/// A cipher and its keys.
pub struct Keys {
    prefix: &'static str,
    /// What a value is told that names another key.
    unknown: &'static str,
    keys: Vec<Named>,
}

struct Named {
    /// The key's name and a colon.
    prefix: String,
    cipher: Cipher,
}

enum Cipher {
    Cbc(Box<Cbc>),
    Gcm(Box<Gcm>),
    Secretbox(Secretbox),
}

/// Too short for what has to stand in front.
pub(crate) fn too_short() -> Failure {
    Failure::new("the stored data was shorter than the required size")
}

// === impl Provider ===

impl Provider {
    /// An error in upstream's words when a plugin cannot be reached by what is said of it.
    pub fn new(said: &Said, outside: &Outside) -> Result<Provider, String> {
        let keys = |prefix, unknown, keys: &[Key], cipher: fn(&Key) -> Cipher| {
            let named = keys.iter().map(|key| Named { prefix: format!("{}:", key.name), cipher: cipher(key) });
            Provider::Keys(Keys { prefix, unknown, keys: named.collect() })
        };
        const AES: &str = "no matching key was found for the provided AES transformer";
        const SECRETBOX: &str = "no matching key was found for the provided Secretbox transformer";
        Ok(match said {
            Said::Identity => Provider::Identity,
            Said::AesCbc(said) => {
                keys("k8s:enc:aescbc:v1:", AES, said, |key| Cipher::Cbc(Box::new(Cbc::new(&key.secret))))
            }
            Said::AesGcm(said) => {
                keys("k8s:enc:aesgcm:v1:", AES, said, |key| Cipher::Gcm(Box::new(Gcm::new(&key.secret))))
            }
            Said::Secretbox(said) => {
                keys("k8s:enc:secretbox:v1:", SECRETBOX, said, |key| Cipher::Secretbox(Secretbox::new(&key.secret)))
            }
            Said::Kms(plugin) => {
                let socket = Socket::new(plugin, outside.tally.clone()).map_err(|why| {
                    let name = api::field::quote(&plugin.name);
                    format!("could not configure KMSv2-Plugin's probe {name}, error: {why}")
                })?;
                Provider::Plugin(Arc::new(Envelope::new(plugin, Arc::new(socket), outside.clone())))
            }
        })
    }

    /// What values of it begin with.
    pub fn prefix(&self) -> &str {
        match self {
            Provider::Identity => "",
            Provider::Keys(keys) => keys.prefix,
            Provider::Plugin(envelope) => envelope.prefix(),
        }
    }

    /// Opens what stands behind the prefix.
    pub async fn open(&self, value: &Bytes, passage: Passage<'_>) -> Result<Opened, Failure> {
        match self {
            Provider::Identity if value.starts_with(ENCRYPTED) => {
                Err(Failure::new("identity transformer tried to read encrypted data"))
            }
            Provider::Identity => Ok(Opened { value: value.clone(), stale: false }),
            Provider::Keys(keys) => keys.open(value, passage),
            Provider::Plugin(envelope) => envelope.open(value, passage).await,
        }
    }

    /// What comes behind the prefix.
    pub fn seal(&self, value: &Bytes, passage: Passage<'_>) -> Result<Bytes, Failure> {
        match self {
            Provider::Identity => Ok(value.clone()),
            Provider::Keys(keys) => keys.seal(value, passage),
            Provider::Plugin(envelope) => envelope.seal(value, passage),
        }
    }
}

// === impl Keys ===

impl Keys {
    fn open(&self, value: &[u8], passage: Passage<'_>) -> Result<Opened, Failure> {
        let begun = Instant::now();
        let mut failures = Vec::new();
        for (i, key) in self.keys.iter().enumerate() {
            let Some(rest) = value.strip_prefix(key.prefix.as_bytes()) else { continue };
            let outcome = key.cipher.open(rest, passage.key.as_bytes());
            passage.count(Direction::FromStorage, &key.prefix, begun, outcome.as_ref().err());
            match outcome {
                Ok(opened) => return Ok(Opened { value: opened.into(), stale: i > 0 }),
                Err(failure) => failures.push(failure),
            }
        }
        Err(Failure::of_all(failures).unwrap_or_else(|| {
            let failure = Failure::new(self.unknown);
            passage.count(Direction::FromStorage, "unknown", begun, Some(&failure));
            failure
        }))
    }

    fn seal(&self, value: &[u8], passage: Passage<'_>) -> Result<Bytes, Failure> {
        let begun = Instant::now();
        let key = self.keys.first().ok_or_else(|| Failure::new("a provider has no key"))?;
        let mut out = key.prefix.clone().into_bytes();
        let outcome = key.cipher.seal(value, passage.key.as_bytes(), passage.random, &mut out);
        passage.count(Direction::ToStorage, &key.prefix, begun, outcome.as_ref().err());
        outcome.map(|()| out.into())
    }
}

// === impl Cipher ===

impl Cipher {
    fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Cipher::Cbc(cbc) => cbc.open(sealed),
            Cipher::Gcm(gcm) => gcm.open(sealed, place),
            Cipher::Secretbox(secretbox) => secretbox.open(sealed),
        }
    }

    /// Appends what the value comes to.
    fn seal(&self, value: &[u8], place: &[u8], random: &dyn Random, out: &mut Vec<u8>) -> Result<(), Failure> {
        match self {
            Cipher::Cbc(cbc) => cbc.seal(value, random, out),
            Cipher::Gcm(gcm) => gcm.seal(value, place, random, out),
            Cipher::Secretbox(secretbox) => secretbox.seal(value, random, out),
        }
    }
}

// === impl Passage ===

impl Passage<'_> {
    pub fn count(&self, direction: Direction, prefix: &str, begun: Instant, failure: Option<&Failure>) {
        let code = failure.map_or("OK", |failure| failure.code);
        let (resource, took) = (self.resource, begun.elapsed());
        self.tally.transformed(&Transformation { resource, direction, prefix, code, took });
    }
}
