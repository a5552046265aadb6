//! Certificates are exchanged before they end, at a time that is drawn for each, so that nodes which joined together do not
//! come back together.
//!
//! Upstream: client-go/util/certificate/certificate_manager.go.

use std::{sync::Arc, time::Duration};

use api::time::Clock;
use certs::{Names, PrivateKey, Subject, UnixSeconds};
use client::Client;
use tokio::time;

use super::{Error, Pair, Purpose, Store, csr, csr::Ask, metrics::Tally};

/// A request that nobody has approved by then is asked for anew. Upstream: certificateWaitTimeout.
const WITHIN: Duration = Duration::from_secs(15 * 60);
/// Between failures, doubled each time. Upstream: the backoff in manager.Start, and its polling afterwards.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(32);
/// Between one exchange and the next, for certificates that are hardly good for anything. Upstream: the period of
/// manager.Start.
const PAUSE: Duration = Duration::from_secs(1);
/// A wall clock may be set while one waits.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The part of its time after which a certificate is exchanged, and how much later at most. Upstream: jitteryDuration.
const EARLIEST: f64 = 0.7;
const SPREAD: f64 = 0.2;

/// A number from 0 to 1, drawn anew each time.
pub type Chance = Arc<dyn Fn() -> f64 + Send + Sync>;
/// Puts a pair into use.
pub type Install = Arc<dyn Fn(&Pair) -> Result<(), Error> + Send + Sync>;

/// Keeps one certificate of a node fresh.
pub struct Manager {
    pub purpose: Purpose,
    pub subject: Subject,
    pub names: Names,
    pub store: Store,
    pub client: Client,
    pub clock: Arc<dyn Clock>,
    pub chance: Chance,
    pub install: Install,
    pub tally: Arc<Tally>,
}

/// The certificate has expired and the server answers, but gives no other: only a new beginning can help. Upstream:
/// addCertRotation, which ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the currently active {} certificate has expired and the server is responsive", .0.prefix())]
pub struct Expired(Purpose);

// === impl Manager ===

impl Manager {
    /// Runs until nothing can be done any more. `current` is in use already; `at_once` says that it is to be exchanged
    /// however fresh it is.
    pub async fn run(self, mut current: Option<Pair>, mut at_once: bool) -> Expired {
        loop {
            self.tally.holds(self.purpose, current.as_ref().map(|pair| pair.not_after));
            let at = match at_once {
                true => None,
                false => rotate_at(current.as_ref(), (&self.subject, &self.names), (self.chance)()),
            };
            at_once = false;
            self.wait_until(at).await;
            match self.exchange(current.as_ref()).await {
                Ok(pair) => {
                    let lived = current.map(|old| self.clock.now().as_second() - old.not_before);
                    self.tally.exchanged(self.purpose, lived);
                    current = Some(pair);
                    time::sleep(PAUSE).await;
                }
                Err(expired) => return expired,
            }
        }
    }

    async fn wait_until(&self, at: Option<UnixSeconds>) {
        let Some(at) = at else { return };
        loop {
            let left = at - self.clock.now().as_second();
            let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else { return };
            time::sleep(Duration::from_secs(left).min(LOOK_EVERY)).await;
        }
    }

    /// Asks until there is another certificate.
    async fn exchange(&self, current: Option<&Pair>) -> Result<Pair, Expired> {
        let mut wait = RETRY;
        loop {
            let error = match self.ask().await {
                Ok(pair) => return Ok(pair),
                Err(error) => error,
            };
            self.tally.failed(self.purpose);
            tracing::warn!(%error, signer = self.purpose.signer(), "a certificate could not be exchanged");
            let is_over = current.is_some_and(|pair| pair.has_expired(self.clock.now().as_second()));
            // Who serves with an expired certificate harms nobody but those who look at it.
            if is_over && self.purpose == Purpose::Client && error.is_answer() {
                return Err(Expired(self.purpose));
            }
            time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// One request, with a key of its own. Upstream: rotateCerts.
    async fn ask(&self) -> Result<Pair, Error> {
        let key = PrivateKey::generate()?;
        let ask = Ask { name: None, purpose: self.purpose, subject: &self.subject, names: &self.names, key: &key };
        let posted = csr::post(&self.client, &ask, self.clock.now().as_second()).await?;
        let certificate = csr::wait(&self.client, &posted, WITHIN).await?;
        let pair = self.store.update(&certificate, &key, self.clock.now())?;
        (self.install)(&pair)?;
        Ok(pair)
    }
}

/// When a certificate is to be exchanged; none: now. Upstream: nextRotationDeadline.
fn rotate_at(current: Option<&Pair>, wanted: (&Subject, &Names), chance: f64) -> Option<UnixSeconds> {
    let pair = current.filter(|pair| pair.is_for(wanted.0, wanted.1))?;
    let lives = (pair.not_after - pair.not_before) as f64;
    Some(pair.not_before + (lives * (EARLIEST + SPREAD * chance)).round() as UnixSeconds)
}

#[cfg(test)]
mod tests;
