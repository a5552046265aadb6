//! Values under keys that a plugin guards: KMS v2.
//!
//! A seed is drawn here and shut by the plugin; each value has a key of its own, made of the seed, and carries the
//! shut seed with it. So the plugin is asked for a seed and not for a value. What it says of itself is asked again
//! and again: under another key there is another seed, and where a plugin has not been well for three minutes nothing
//! is written any more, while what was opened once stays readable. Upstream:
//! apiserver/pkg/storage/value/encrypt/envelope/kmsv2/envelope.go.

mod check;
mod kept;
mod object;
mod seed;
mod socket;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use api::time;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    Failure, Outside, Secret, configuration,
    provider::{Opened, Passage},
    tally::{Direction, Kept as Counted},
};
use check::Asked;
use kept::Kept;
use object::Source;
use seed::{Opener, Seed};

pub use socket::Socket;

/// What a plugin is asked. Every call ends in time.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    async fn status(&self) -> Result<Status, Failure>;

    /// `uid` says which call it is, for logs on both sides.
    async fn encrypt(&self, uid: &str, plain: &Secret) -> Result<Shut, Failure>;

    async fn decrypt(&self, uid: &str, shut: &Shut) -> Result<Secret, Failure>;
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Of the protocol: `v2`.
    pub version: String,
    /// `ok`, or what is wrong.
    pub healthz: String,
    /// Of the key that it shuts with now.
    pub key_id: String,
}

/// What a plugin makes of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    pub ciphertext: Bytes,
    pub key_id: String,
    /// What it wants to be shown when it has to open this.
    pub annotations: BTreeMap<String, Bytes>,
}

/// Values of one plugin.
pub struct Envelope {
    /// `k8s:enc:kms:v2:NAME:`
    prefix: String,
    /// As the file names the plugin.
    name: String,
    service: Arc<dyn Service>,
    outside: Outside,
    /// None until the plugin was well for the first time.
    state: RwLock<Option<Arc<State>>>,
    asked: Mutex<Asked>,
    kept: Kept,
    /// Something could not be opened because the plugin did not do it.
    missed: AtomicBool,
}

/// What values are sealed with at present. Upstream: `State`.
#[derive(Clone)]
struct State {
    source: Source,
    seed: Arc<Seed>,
    /// When it seals no more.
    until: Instant,
    /// The same as a point in time, for people.
    until_shown: Timestamp,
}

/// Upstream: `getCurrentState`.
const NOTHING_YET: &str = "got unexpected nil transformer";

// === impl Envelope ===

impl Envelope {
    pub fn new(said: &configuration::Plugin, service: Arc<dyn Service>, outside: Outside) -> Envelope {
        Envelope {
            prefix: format!("k8s:enc:kms:v2:{}:", said.name),
            name: said.name.clone(),
            service,
            outside,
            state: RwLock::default(),
            asked: Mutex::default(),
            kept: Kept::default(),
            missed: AtomicBool::new(false),
        }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Upstream: `envelopeTransformer.TransformFromStorage`.
    pub async fn open(&self, value: &Bytes, passage: Passage<'_>) -> Result<Opened, Failure> {
        let (source, sealed) = object::decode(value)?;
        let Some(state) = self.state() else {
            self.missed.store(true, Ordering::Relaxed);
            return Err(Failure::new(NOTHING_YET));
        };
        let opener = self.opener(&source).await?;
        self.count(Direction::FromStorage, &source.key_id);
        let opened = opener.open(&sealed, passage.key.as_bytes())?;
        let stale = source.key_id != state.source.key_id || source.form != state.source.form;
        Ok(Opened { value: opened.into(), stale })
    }

    /// Upstream: `envelopeTransformer.TransformToStorage`.
    pub fn seal(&self, value: &[u8], passage: Passage<'_>) -> Result<Bytes, Failure> {
        let state = self.state().ok_or_else(|| Failure::new(NOTHING_YET))?;
        let now = Instant::now();
        if now > state.until {
            let (key, until) = (hash(&state.source.key_id), time::seconds(state.until_shown));
            let now = time::seconds(self.outside.clock.now());
            let key = api::field::quote(&key);
            return Err(Failure::new(format!(
                "encryptedDEKSource with keyID hash {key} expired at {until} (current time is {now})"
            )));
        }
        // It is read as soon as it is written.
        self.keep(&state.source, Opener::Seed(state.seed.clone()), now);
        let mut sealed = Vec::new();
        state.seed.seal(value, passage.key.as_bytes(), passage.random, &mut sealed)?;
        self.count(Direction::ToStorage, &state.source.key_id);
        Ok(object::encode(&state.source, sealed))
    }

    fn state(&self) -> Option<Arc<State>> {
        self.state.read().clone()
    }

    /// What opens values of a source; the plugin is asked where nobody has asked it yet.
    async fn opener(&self, source: &Source) -> Result<Opener, Failure> {
        let id = source.id();
        if let Some(known) = self.kept.get(&id, Instant::now()) {
            return known;
        }
        self.outside.tally.kept(&Counted::Missed);
        let uid = (self.outside.uid)();
        let Source { form, shut, key_id, annotations } = source.clone();
        let asked = self.service.decrypt(&uid, &Shut { ciphertext: shut, key_id, annotations }).await;
        let opened = asked.map_err(|failure| failure.within("failed to decrypt DEK, error"));
        match opened.and_then(|opened| Opener::new(form, &opened)) {
            Ok(opener) => {
                self.keep(source, opener.clone(), Instant::now());
                Ok(opener)
            }
            Err(failure) => {
                self.missed.store(true, Ordering::Relaxed);
                self.kept.refuse(id, failure.clone(), Instant::now());
                Err(failure)
            }
        }
    }

    fn keep(&self, source: &Source, opener: Opener, now: Instant) {
        let count = self.kept.put(source.id(), opener, now);
        self.outside.tally.kept(&Counted::Known { provider: &self.name, count });
    }

    fn count(&self, direction: Direction, key_id: &str) {
        self.outside.tally.kept(&Counted::Used { provider: &self.name, direction, key_id });
    }
}

/// A key's id as messages show it. Upstream: `GetHashIfNotEmpty`.
fn hash(key_id: &str) -> String {
    if key_id.is_empty() { String::new() } else { configuration::hash(key_id.as_bytes()) }
}
