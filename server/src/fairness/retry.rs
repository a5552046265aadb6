//! When those who were sent away may come again: the later, the more of them there were lately.
//!
//! Upstream: apiserver/pkg/util/flowcontrol/dropped_requests_tracker.go.

use std::collections::VecDeque;

use parking_lot::Mutex;

const SECONDS_MAX: i64 = 32;

/// The requests of a level that were sent away.
#[derive(Default)]
pub struct Dropped(Mutex<History>);

struct History {
    /// Second and count, the oldest first, without the present second.
    past: VecDeque<(i64, i64)>,
    second: i64,
    count: i64,
    retry_after: i64,
    changed: i64,
}

impl Default for History {
    fn default() -> History {
        // It may grow at any time after the first.
        History { past: VecDeque::new(), second: 0, count: 0, retry_after: 1, changed: -SECONDS_MAX }
    }
}

// === impl Dropped ===

impl Dropped {
    /// One more; in how many seconds it may come again.
    pub fn record(&self, second: i64) -> u32 {
        let mut history = self.0.lock();
        if history.second != second {
            history.turn(second);
        }
        history.count += 1;
        u32::try_from(history.retry_after).unwrap_or(1)
    }
}

impl History {
    fn turn(&mut self, second: i64) {
        self.past.push_back((self.second, self.count));
        let kept = (2 * self.retry_after).min(SECONDS_MAX);
        self.past.retain(|(past, _)| second - past <= kept);
        (self.second, self.count) = (second, 0);
        let lately = self.past.iter().filter(|(past, _)| second - past <= self.retry_after);
        let dropped: i64 = lately.map(|(_, count)| count).sum();
        if second - self.changed >= self.retry_after && dropped >= 3 * self.retry_after {
            self.retry_after = (self.retry_after * 2).min(SECONDS_MAX);
            self.changed = second;
        } else if dropped < self.retry_after && self.retry_after > 1 {
            self.retry_after -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_with_the_flood_and_falls_after_it() {
        let dropped = Dropped::default();
        assert_eq!(dropped.record(100), 1);
        (0..9).for_each(|_| {
            dropped.record(100);
        });
        assert_eq!(dropped.record(101), 2, "ten in a second are three times one");
        (0..9).for_each(|_| {
            dropped.record(102);
        });
        assert_eq!(dropped.record(103), 4);
        assert_eq!(dropped.record(200), 3, "nobody for long");
        assert_eq!(dropped.record(201), 2);
    }
}
