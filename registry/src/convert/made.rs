//! What webhooks have made: entries of views, kept for lists and watches.
//!
//! Upstream has a watch cache for each version, which holds all objects; here is held what somebody has asked for.

use std::{collections::BTreeMap, sync::Arc};

use api::EcoString;
use store::Revision;

use crate::cache::{Cache, Entry};

/// So many are kept whatever the cache holds, before old ones are looked for.
const LEN_MIN: usize = 1024;

/// Entries by the place of their version, key and revision.
#[derive(Default)]
pub struct Made(BTreeMap<(usize, EcoString, Revision), Arc<Entry>>);

impl Made {
    pub fn find(&self, place: usize, entry: &Entry) -> Option<Arc<Entry>> {
        self.0.get(&(place, entry.key.clone(), entry.revision)).cloned()
    }

    /// Keeps an entry, and the one before it: who watches compares the two. `cache` says which objects there are.
    pub fn keep(&mut self, place: usize, entry: Arc<Entry>, cache: &Cache) {
        let (key, revision) = (entry.key.clone(), entry.revision);
        self.0.insert((place, key.clone(), revision), entry);
        let same = (place, key.clone(), 0)..=(place, key, Revision::MAX);
        let older: Vec<_> = self.0.range(same).rev().skip(2).map(|(k, _)| k.clone()).collect();
        older.iter().for_each(|k| drop(self.0.remove(k)));
        let versions = self.0.last_key_value().map_or(1, |((place, ..), _)| place + 1);
        if self.0.len() > LEN_MIN + 2 * versions * cache.len() {
            self.0.retain(|(_, key, revision), _| cache.get(key).is_some_and(|live| live.revision <= *revision));
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
