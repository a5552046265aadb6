//! What was of use last: a map with a limit, whose oldest go first, and in which nothing is found that is too old.
//!
//! Upstream: apimachinery/pkg/util/cache/lruexpirecache.go.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key. What is found is the youngest from then on.
pub(crate) struct Recent<K, V> {
    max: usize,
    values: HashMap<K, Kept<V>>,
    /// Keys by their last use.
    uses: BTreeMap<u64, K>,
    last: u64,
}

struct Kept<V> {
    value: V,
    until_nanos: i128,
    used: u64,
}

// === impl Recent ===

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub fn new(max: usize) -> Recent<K, V> {
        Recent { max, values: HashMap::new(), uses: BTreeMap::new(), last: 0 }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// What lies under a key, while it is not too old.
    pub fn get(&mut self, key: &K, now_nanos: i128) -> Option<&V> {
        let kept = self.values.get_mut(key)?;
        self.uses.remove(&kept.used);
        if kept.until_nanos <= now_nanos {
            self.values.remove(key);
            return None;
        }
        self.last += 1;
        kept.used = self.last;
        self.uses.insert(self.last, key.clone());
        Some(&self.values.get(key)?.value)
    }

    /// Puts a value under a key; one that has not been used for longest makes room.
    pub fn put(&mut self, key: K, value: V, until_nanos: i128) {
        self.last += 1;
        self.uses.insert(self.last, key.clone());
        if let Some(before) = self.values.insert(key, Kept { value, until_nanos, used: self.last }) {
            self.uses.remove(&before.used);
        }
        while self.values.len() > self.max {
            let Some((_, oldest)) = self.uses.pop_first() else { return };
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_is_not_used_makes_room() {
        let mut recent = Recent::new(2);
        recent.put("a", 1, 10);
        recent.put("b", 2, 10);
        assert_eq!(recent.get(&"a", 0), Some(&1));
        recent.put("c", 3, 10);
        assert_eq!(recent.get(&"b", 0), None);
        assert_eq!((recent.get(&"a", 0).copied(), recent.get(&"c", 0).copied()), (Some(1), Some(3)));
        recent.put("a", 4, 10);
        recent.put("d", 5, 10);
        assert_eq!((recent.get(&"a", 0).copied(), recent.get(&"c", 0)), (Some(4), None));
        assert_eq!((recent.values.len(), recent.uses.len()), (2, 2));
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let mut recent = Recent::new(2);
        recent.put("a", 1, 10);
        assert_eq!(recent.get(&"a", 9), Some(&1));
        assert_eq!(recent.get(&"a", 10), None);
        assert!(recent.values.is_empty() && recent.uses.is_empty());
    }
}
