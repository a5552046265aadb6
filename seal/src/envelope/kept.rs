//! Sources that were opened once, so that a plugin is not asked again for each value.
//!
//! Upstream: apiserver/pkg/storage/value/encrypt/envelope/kmsv2/cache.go. Beside that, a refusal is kept for a
//! moment: one feed fills all caches here, and a plugin that hangs would stop it for the length of a call with each
//! of the values that lie under one source.

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{object::Id, seed::Opener};
use crate::Failure;

/// Upstream: `cacheTTL`. What is older stays until others come.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a refusal is not asked for again. Upstream: `kmsPluginHealthzNegativeTTL`, of the plugin as a whole.
const REFUSED_FOR: Duration = Duration::from_secs(3);
/// So many refusals are kept.
const REFUSED_MAX: usize = 1000;

/// What became of sources.
#[derive(Default)]
pub struct Kept(Mutex<Sources>);

#[derive(Default)]
struct Sources {
    opened: BTreeMap<Id, (Opener, Instant)>,
    refused: BTreeMap<Id, (Failure, Instant)>,
    /// Before this nothing of what is opened has had its time.
    swept: Option<Instant>,
}

// === impl Kept ===

impl Kept {
    /// None: nobody has asked.
    pub fn get(&self, id: &Id, now: Instant) -> Option<Result<Opener, Failure>> {
        let sources = self.0.lock();
        if let Some((opener, _)) = sources.opened.get(id) {
            return Some(Ok(opener.clone()));
        }
        sources.refused.get(id).filter(|(_, until)| now < *until).map(|(failure, _)| Err(failure.clone()))
    }

    /// How many there are with it.
    pub fn put(&self, id: Id, opener: Opener, now: Instant) -> usize {
        let mut sources = self.0.lock();
        sources.refused.remove(&id);
        sources.opened.insert(id, (opener, now + TTL));
        if sources.swept.is_none_or(|at| at <= now) {
            sources.opened.retain(|_, (_, until)| now < *until);
            sources.swept = sources.opened.values().map(|(_, until)| *until).min();
        }
        sources.opened.len()
    }

    pub fn refuse(&self, id: Id, failure: Failure, now: Instant) {
        let refused = &mut self.0.lock().refused;
        if refused.len() >= REFUSED_MAX {
            refused.clear();
        }
        refused.insert(id, (failure, now + REFUSED_FOR));
    }
}
