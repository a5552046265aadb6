//! What somebody elsewhere said about a token, for a while.
//!
//! Tokens are known by their digests, so that none lies in memory for longer than its request. Refusals with a reason are not
//! kept. Upstream: apiserver pkg/authentication/token/cache.

use std::collections::HashMap;
use std::sync::Arc;

use api::time::Clock;
use async_trait::async_trait;
use aws_lc_rs::digest;
use parking_lot::Mutex;

use super::{Elsewhere, Identity, Outcome, Token};

/// An authenticator, and what it has said.
pub struct Remembered {
    inner: Box<dyn Elsewhere>,
    clock: Arc<dyn Clock>,
    accepted_nanos: i64,
    refused_nanos: i64,
    said: Mutex<HashMap<[u8; 32], Said>>,
}

struct Said {
    identity: Option<Identity>,
    until_nanos: i128,
}

/// At the limit all that is too old is forgotten, and everything when that is not enough.
const SAID_MAX: usize = 32_768;

impl Remembered {
    /// Keeps what `inner` accepts and what it does not know for so long; nothing for 0.
    pub fn new(
        inner: Box<dyn Elsewhere>,
        clock: Arc<dyn Clock>,
        accepted_nanos: i64,
        refused_nanos: i64,
    ) -> Remembered {
        Remembered { inner, clock, accepted_nanos, refused_nanos, said: Mutex::default() }
    }

    fn keep(&self, id: [u8; 32], identity: Option<Identity>) {
        let nanos = if identity.is_some() { self.accepted_nanos } else { self.refused_nanos };
        if nanos <= 0 {
            return;
        }
        let now = self.clock.now().as_nanosecond();
        let mut said = self.said.lock();
        if said.len() >= SAID_MAX {
            said.retain(|_, said| said.until_nanos > now);
        }
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(id, Said { identity, until_nanos: now + i128::from(nanos) });
    }
}

#[async_trait]
impl Elsewhere for Remembered {
    async fn authenticate(&self, token: &Token<'_>) -> Outcome {
        let id = id(token);
        let now = self.clock.now().as_nanosecond();
        if let Some(said) = self.said.lock().get(&id).filter(|said| said.until_nanos > now) {
            return Ok(said.identity.clone());
        }
        let outcome = self.inner.authenticate(token).await?;
        self.keep(id, outcome.clone());
        Ok(outcome)
    }
}

/// The lengths are part of it, so that nothing moves from one text into the next.
fn id(token: &Token<'_>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for text in std::iter::once(token.text).chain(token.audiences.iter().map(String::as_str)) {
        context.update(&(text.len() as u64).to_be_bytes());
        context.update(text.as_bytes());
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
