//! What somebody elsewhere said about a token, for a while.
//!
//! Tokens are known by their digests, so that none lies in memory for longer than its request. Refusals with a reason are not
//! kept, but who asks about the same token meanwhile gets them too. Upstream: apiserver pkg/authentication/token/cache.

use std::collections::HashMap;
use std::sync::Arc;

use api::time::Clock;
use async_trait::async_trait;
use aws_lc_rs::digest;
use futures::lock::Mutex as Turn;
use parking_lot::Mutex;

use super::{Elsewhere, Identity, Outcome, Token};
use crate::recent::Recent;
use crate::tally::{Tally, Waiting, Waits, seconds_since};

/// An authenticator, and what it has said.
pub struct Remembered {
    inner: Box<dyn Elsewhere>,
    clock: Arc<dyn Clock>,
    tally: Arc<dyn Tally>,
    accepted_nanos: i64,
    refused_nanos: i64,
    said: Mutex<Recent<Id, Option<Identity>>>,
    /// Tokens that are being looked at: who comes in the meantime waits for the answer.
    asked: Mutex<HashMap<Id, Arc<Turn<Option<Outcome>>>>>,
}

type Id = [u8; 32];

/// Outcomes that are kept.
const SAID_MAX: usize = 32_768;

/// Takes a token off those that are being looked at, also when its request is given up.
struct Asking<'a>(&'a Remembered, Id);

impl Remembered {
    /// Keeps what `inner` accepts and what it does not know for so long; nothing for 0.
    pub fn new(
        inner: Box<dyn Elsewhere>,
        clock: Arc<dyn Clock>,
        tally: Arc<dyn Tally>,
        accepted_nanos: i64,
        refused_nanos: i64,
    ) -> Remembered {
        let said = Mutex::new(Recent::new(SAID_MAX));
        Remembered { inner, clock, tally, accepted_nanos, refused_nanos, said, asked: Mutex::default() }
    }

    fn known(&self, id: &Id) -> Option<Option<Identity>> {
        self.said.lock().get(id, self.clock.now().as_nanosecond()).cloned()
    }

    fn keep(&self, id: Id, identity: &Option<Identity>) {
        let nanos = if identity.is_some() { self.accepted_nanos } else { self.refused_nanos };
        if nanos > 0 {
            let until = self.clock.now().as_nanosecond() + i128::from(nanos);
            self.said.lock().put(id, identity.clone(), until);
        }
    }

    async fn ask(&self, id: Id, token: &Token<'_>) -> Outcome {
        let turn = self.asked.lock().entry(id).or_default().clone();
        let mut said = turn.lock().await;
        if let Some(outcome) = &*said {
            return outcome.clone();
        }
        let _asking = Asking(self, id);
        let in_flight = Waits::new(&*self.tally, Waiting::InFlight);
        let outcome = self.inner.authenticate(token).await;
        drop(in_flight);
        self.tally.fetched(outcome.is_ok());
        if let Ok(identity) = &outcome {
            self.keep(id, identity);
        }
        *said = Some(outcome.clone());
        outcome
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asked.lock().remove(&self.1);
    }
}

#[async_trait]
impl Elsewhere for Remembered {
    async fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let begun = self.clock.now();
        let id = id(token);
        if let Some(identity) = self.known(&id) {
            self.tally.remembered(true, seconds_since(&*self.clock, begun));
            return Ok(identity);
        }
        let _blocked = Waits::new(&*self.tally, Waiting::Blocked);
        let outcome = self.ask(id, token).await;
        self.tally.remembered(false, seconds_since(&*self.clock, begun));
        outcome
    }
}

/// The lengths are part of it, so that nothing moves from one text into the next.
fn id(token: &Token<'_>) -> Id {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in std::iter::once(token.text).chain(token.audiences.iter().map(String::as_str)) {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
