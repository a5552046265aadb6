//! How a plugin is: what it says of itself, and what follows from that for what values are sealed with.
//!
//! Upstream: apiserver/pkg/server/options/encryptionconfig/config.go kmsv2PluginProbe, primeAndProbeKMSv2.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use api::{field::quote, time};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    Envelope, NOTHING_YET, State, Status, hash,
    object::{self, Form, Source},
    seed::{SEED_LEN, Seed},
};
use crate::{Failure, Secret, tally::Kept as Counted};

/// Upstream: `kmsv2PluginHealthzPositiveInterval`.
const EVERY: Duration = Duration::from_secs(60);
/// Upstream: `kmsv2PluginHealthzNegativeInterval`.
const EVERY_WHILE_UNWELL: Duration = Duration::from_secs(10);
/// How long values are sealed after the plugin was well for the last time. Upstream: `kmsv2PluginWriteDEKSourceMaxTTL`.
const SEALS_FOR: Duration = Duration::from_secs(180);
/// How long an answer is the answer to others who ask. Upstream: `kmsPluginHealthzPositiveTTL`.
const HOLDS: Duration = Duration::from_secs(20);
/// Upstream: `kmsPluginHealthzNegativeTTL`.
const HOLDS_WHILE_UNWELL: Duration = Duration::from_secs(3);
/// The first is what a plugin should say, the second means the same.
const VERSIONS: [&str; 2] = ["v2", "v2beta1"];

/// What was asked so far.
#[derive(Default)]
pub struct Asked {
    /// The first one that the plugin named; it must not change.
    version: String,
    last: Option<Last>,
}

struct Last {
    at: Instant,
    outcome: Result<(), Failure>,
}

// === impl Last ===

impl Last {
    fn holds(&self) -> bool {
        let long = if self.outcome.is_ok() { HOLDS } else { HOLDS_WHILE_UNWELL };
        self.at.elapsed() < long
    }
}

// === impl Envelope ===

impl Envelope {
    /// Asks the plugin how it is, unless that was asked just now, and takes another seed where its key is another.
    pub async fn check(&self) -> Result<(), Failure> {
        let mut asked = self.asked.lock().await;
        if let Some(last) = asked.last.as_ref().filter(|last| last.holds()) {
            return last.outcome.clone();
        }
        let (kept, said) = match self.service.status().await {
            Ok(status) => {
                let judged = self.judge(&mut asked.version, &status).await;
                (judged.clone(), judged)
            }
            // Who asks while this holds gets it without its first words, as with upstream.
            Err(failure) => {
                let of = format!(
                    "failed to perform status section of the healthz check for KMS Provider {}, error",
                    self.name
                );
                (Err(failure.clone()), Err(failure.within(&of)))
            }
        };
        asked.last = Some(Last { at: Instant::now(), outcome: kept });
        if said.is_ok() && self.missed.swap(false, Ordering::Relaxed) {
            (self.outside.well)();
        }
        said
    }

    /// Asks again and again. `is_well` says how it was just now.
    pub async fn follow(self: Arc<Self>, mut is_well: bool) {
        loop {
            tokio::time::sleep(if is_well { EVERY } else { EVERY_WHILE_UNWELL }).await;
            is_well = self.probe().await;
        }
    }

    /// Whether the plugin is well.
    pub async fn probe(&self) -> bool {
        let outcome = self.check().await;
        if let Err(why) = &outcome {
            tracing::warn!(name = self.name, %why, "kms plugin failed health check probe");
        }
        outcome.is_ok()
    }

    /// Upstream: `isKMSv2ProviderHealthyAndMaybeRotateDEK`.
    async fn judge(&self, version: &mut String, status: &Status) -> Result<(), Failure> {
        let mut faults = faults(version, status);
        let key_id = &status.key_id;
        match object::check_key_id(key_id) {
            Err((code, why)) => {
                self.outside.tally.kept(&Counted::Misnamed { provider: &self.name, why: code });
                let shown = quote(&hash(key_id));
                faults.push(Failure::new(format!("got invalid KMSv2 KeyID hash {shown}: {why}")));
            }
            Ok(()) => {
                self.outside.tally.kept(&Counted::Told { provider: &self.name, key_id });
                faults.extend(self.rotate(key_id).await.err());
            }
        }
        let of = format!("kmsv2 Provider {} is not healthy, error", self.name);
        Failure::of_all(faults).map_or(Ok(()), |failure| Err(failure.within(&of)))
    }

    /// Goes on with what there is where the plugin's key is the same, and takes another seed where it is not. When
    /// that fails, what there is goes on until its time is over. Upstream: `rotateDEKOnKeyIDChange`.
    async fn rotate(&self, key_id: &str) -> Result<(), Failure> {
        let standing = self.state();
        // From before the call: it may take its time.
        let until = Instant::now() + SEALS_FOR;
        let until_shown = later(self.outside.clock.now());
        if let Some(state) = standing.as_ref().filter(|state| state.source.key_id == key_id) {
            let prolonged = State { until, until_shown, ..State::clone(state) };
            *self.state.write() = Some(Arc::new(prolonged));
            return Ok(());
        }
        let uid = (self.outside.uid)();
        let made = self.draw(&uid).await;
        if let Ok((seed, source)) = &made
            && source.key_id == key_id
        {
            tracing::debug!(uid, key = hash(key_id), "successfully rotated DEK");
            let state = State { source: source.clone(), seed: seed.clone(), until, until_shown };
            *self.state.write() = Some(Arc::new(state));
            return Ok(());
        }
        let no_state = if standing.is_some() { "<nil>" } else { NOTHING_YET };
        let why = made.as_ref().err().map_or("<nil>", |failure| failure.text.as_str());
        let of = |id: Option<&str>| quote(&id.map(hash).unwrap_or_default());
        let encrypted = of(made.as_ref().ok().map(|(_, source)| source.key_id.as_str()));
        let ours = of(standing.as_ref().map(|state| state.source.key_id.as_str()));
        // Go's zero.
        let until = standing.map_or("0001-01-01T00:00:00Z".into(), |state| time::seconds(state.until_shown));
        let (uid, told) = (quote(&uid), of(Some(key_id)));
        Err(Failure::new(format!(
            "failed to rotate DEK uid={uid}, useSeed=true, errState={no_state}, errGen={why}, statusKeyIDHash={told}, encryptKeyIDHash={encrypted}, stateKeyIDHash={ours}, expirationTimestamp={until}"
        )))
    }

    /// A fresh seed, and what the plugin makes of it. Upstream: `GenerateTransformer`.
    async fn draw(&self, uid: &str) -> Result<(Arc<Seed>, Source), Failure> {
        let begun = Instant::now();
        let mut bytes = [0; SEED_LEN];
        self.outside.random.fill(&mut bytes);
        self.outside.tally.kept(&Counted::Drawn { took: begun.elapsed() });
        let drawn = Secret::new(bytes);
        let shut = self.service.encrypt(uid, &drawn).await;
        let shut = shut.map_err(|failure| failure.within("failed to encrypt DEK, error"))?;
        let source =
            Source { form: Form::Seed, shut: shut.ciphertext, key_id: shut.key_id, annotations: shut.annotations };
        source.check().map_err(Failure::new)?;
        Ok((Arc::new(Seed::new(&drawn)?), source))
    }
}

/// What is wrong with a plugin's word of itself, but for its key.
fn faults(version: &mut String, status: &Status) -> Vec<Failure> {
    let mut faults = Vec::new();
    let (said, healthz) = (&status.version, &status.healthz);
    if healthz != "ok" {
        faults.push(Failure::new(format!("got unexpected healthz status: {healthz}")));
    }
    if !VERSIONS.contains(&said.as_str()) {
        faults.push(Failure::new(format!("expected KMSv2 API version {}, got {said}", VERSIONS[0])));
    } else if version.is_empty() {
        version.clone_from(said);
    } else if version != said {
        faults.push(Failure::new(format!(
            "KMSv2 API version should not change after the initial status response version {version}, got {said}"
        )));
    }
    faults
}

/// When what is well now seals no more.
fn later(now: Timestamp) -> Timestamp {
    let long = SignedDuration::try_from(SEALS_FOR).unwrap_or(SignedDuration::MAX);
    now.checked_add(long).unwrap_or(Timestamp::MAX)
}
