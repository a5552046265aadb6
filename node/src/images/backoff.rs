//! How long a pod waits before its image is pulled again, and how many pulls a second the node begins.
//! Upstream: client-go/util/flowcontrol.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::since;

const FIRST: SignedDuration = SignedDuration::from_secs(10);
const LONGEST: SignedDuration = SignedDuration::from_secs(300);

/// Failures by pod and image.
#[derive(Debug, Default)]
pub struct Backoff {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    wait: SignedDuration,
    failed_at: Timestamp,
    words: String,
}

/// A bucket of pulls that fills up again.
#[derive(Debug)]
pub struct Budget {
    per_second: f64,
    burst: f64,
    left: f64,
    seen_at: Option<Timestamp>,
}

// === impl Backoff ===

impl Backoff {
    /// While it waits: the words of what failed last.
    pub fn is_waiting(&self, key: &str, now: Timestamp) -> Option<&str> {
        let entry = self.entries.get(key)?;
        (since(now, entry.failed_at) < entry.wait).then_some(entry.words.as_str())
    }

    pub fn next(&mut self, key: &str, now: Timestamp, words: String) {
        let wait = match self.entries.get(key) {
            Some(entry) if since(now, entry.failed_at) <= LONGEST * 2 => (entry.wait * 2).min(LONGEST),
            _ => FIRST,
        };
        self.entries.insert(key.to_owned(), Entry { wait, failed_at: now, words });
    }

    /// Drops what has not failed for long.
    pub fn sweep(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| since(now, entry.failed_at) <= LONGEST * 2);
    }

    /// Drops all whose key begins so.
    pub fn forget(&mut self, prefix: &str) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }
}

// === impl Budget ===

impl Budget {
    /// `per_second` 0 is without bound.
    pub fn new(per_second: f64, burst: f64) -> Budget {
        Budget { per_second, burst, left: burst, seen_at: None }
    }

    /// Whether one more may begin now.
    pub fn spend(&mut self, now: Timestamp) -> bool {
        if self.per_second <= 0.0 {
            return true;
        }
        let passed = self.seen_at.map_or(SignedDuration::ZERO, |then| since(now, then));
        self.left = (self.left + passed.as_secs_f64() * self.per_second).min(self.burst);
        self.seen_at = Some(now);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(1_700_000_000 + second, 0).expect("is a time")
    }

    #[test]
    fn each_failure_waits_twice_as_long_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut now = 0;
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            backoff.next("k", at(now), "why".into());
            assert_eq!(backoff.is_waiting("k", at(now + wait - 1)), Some("why"));
            assert_eq!(backoff.is_waiting("k", at(now + wait)), None);
            now += wait;
        }
        backoff.next("k", at(now + 601), "why".into());
        assert_eq!(backoff.is_waiting("k", at(now + 611)), None, "it began anew");
        backoff.forget("k");
        assert_eq!(backoff.is_waiting("k", at(now + 602)), None);
    }

    #[test]
    fn what_was_not_spent_is_kept_up_to_the_burst() {
        let mut budget = Budget::new(1.0, 2.0);
        assert!(budget.spend(at(0)) && budget.spend(at(0)) && !budget.spend(at(0)));
        assert!(budget.spend(at(1)) && !budget.spend(at(1)));
        assert!(budget.spend(at(100)) && budget.spend(at(100)) && !budget.spend(at(100)));
        assert!(!budget.spend(at(50)), "a clock that goes back gives nothing");
        let mut free = Budget::new(0.0, 0.0);
        assert!((0..100).all(|_| free.spend(at(0))));
    }
}
