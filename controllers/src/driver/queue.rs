//! Which key is next: each once, the failed ones later, the held ones not yet.
//!
//! Upstream: client-go/util/workqueue, with DefaultTypedControllerRateLimiter's rates.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// Retries of one key wait so long, doubled each time, up to the maximum.
const RETRY_MIN: Duration = Duration::from_millis(5);
pub const RETRY_MAX: Duration = Duration::from_secs(1000);
/// Retries of all keys together: so many at once, and then one in so long.
const RETRIES_BURST: u32 = 100;
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// Keys to work on. `W` is what a key waits for before it may be worked on again.
pub struct Queue<K, W> {
    inner: Mutex<Inner<K, W>>,
    wake: Notify,
    retry_max: Duration,
}

struct Inner<K, W> {
    ready: VecDeque<K>,
    states: HashMap<K, State>,
    held: HashMap<K, Held<W>>,
    delayed: BinaryHeap<Reverse<(Instant, u64, Late<K>)>>,
    /// When each delayed key is due; what else the heap says of it is out of date.
    due: HashMap<K, Instant>,
    failures: HashMap<K, u32>,
    sequence: u64,
    /// When the next retry is due if all earlier ones are taken into account.
    retries_until: Option<Instant>,
}

enum State {
    Ready,
    /// Being worked on; `again` when it was added meanwhile.
    Working {
        again: bool,
    },
}

struct Held<W> {
    since: Instant,
    awaits: Vec<W>,
    again: bool,
}

/// A key in the heap, which orders by time and sequence alone.
struct Late<K>(K);

impl<K> PartialEq for Late<K> {
    fn eq(&self, _: &Late<K>) -> bool {
        true
    }
}

impl<K> Eq for Late<K> {}

impl<K> PartialOrd for Late<K> {
    fn partial_cmp(&self, other: &Late<K>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Late<K> {
    fn cmp(&self, _: &Late<K>) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

// === impl Queue ===

impl<K: Clone + Eq + Hash + Debug, W> Default for Queue<K, W> {
    fn default() -> Queue<K, W> {
        Queue::with_retry_max(RETRY_MAX)
    }
}

impl<K: Clone + Eq + Hash + Debug, W> Queue<K, W> {
    pub fn with_retry_max(retry_max: Duration) -> Queue<K, W> {
        let inner = Inner {
            ready: VecDeque::new(),
            states: HashMap::new(),
            held: HashMap::new(),
            delayed: BinaryHeap::new(),
            due: HashMap::new(),
            failures: HashMap::new(),
            sequence: 0,
            retries_until: None,
        };
        Queue { inner: Mutex::new(inner), wake: Notify::new(), retry_max }
    }

    /// Has a key worked on; nothing happens when it waits for that already.
    pub fn add(&self, key: K) {
        self.inner.lock().add(key);
        self.wake.notify_one();
    }

    pub fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.inner.lock().add_at(key, Instant::now() + delay);
        self.wake.notify_one();
    }

    /// Has a key worked on again, later each time.
    pub fn failed(&self, key: &K) {
        let mut inner = self.inner.lock();
        let failures = inner.failures.entry(key.clone()).or_default();
        let own = RETRY_MIN.saturating_mul(2u32.saturating_pow(*failures)).min(self.retry_max);
        *failures += 1;
        let now = Instant::now();
        // A bucket of RETRIES_BURST tokens, kept as the time at which it is full again.
        let full_at = inner.retries_until.unwrap_or(now).max(now) + RETRY_EVERY;
        inner.retries_until = Some(full_at);
        let all = full_at.saturating_duration_since(now).saturating_sub(RETRY_EVERY * RETRIES_BURST);
        inner.add_at(key.clone(), now + own.max(all));
        drop(inner);
        self.wake.notify_one();
    }

    /// A key has succeeded: its next failure is its first.
    pub fn forget(&self, key: &K) {
        self.inner.lock().failures.remove(key);
    }

    pub fn failures(&self, key: &K) -> u32 {
        self.inner.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// A key is no longer worked on; it is held until `release` finds nothing in `awaits` any more.
    pub fn done(&self, key: &K, awaits: Vec<W>) {
        let mut inner = self.inner.lock();
        let again = matches!(inner.states.remove(key), Some(State::Working { again: true }));
        if !awaits.is_empty() {
            inner.held.insert(key.clone(), Held { since: Instant::now(), awaits, again });
        } else if again {
            inner.add(key.clone());
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// Lets go of the keys whose waits are over, or that have been held too long.
    pub fn release(&self, now: Instant, hold_max: Duration, is_over: impl Fn(&W) -> bool) {
        let mut inner = self.inner.lock();
        if inner.held.is_empty() {
            return;
        }
        let mut free = Vec::new();
        inner.held.retain(|key, held| {
            held.awaits.retain(|w| !is_over(w));
            let over = held.awaits.is_empty() || now.saturating_duration_since(held.since) >= hold_max;
            if over && held.again {
                free.push(key.clone());
            }
            !over
        });
        for key in free {
            inner.add(key);
        }
        let any = !inner.ready.is_empty();
        drop(inner);
        if any {
            self.wake.notify_one();
        }
    }

    /// The next key; whoever gets it calls `done`.
    pub async fn pop(&self) -> K {
        loop {
            let told = self.wake.notified();
            let next = {
                let mut inner = self.inner.lock();
                inner.ripen(Instant::now());
                if let Some(key) = inner.ready.pop_front() {
                    inner.states.insert(key.clone(), State::Working { again: false });
                    let more = !inner.ready.is_empty() || !inner.delayed.is_empty();
                    drop(inner);
                    if more {
                        // Another worker may be asleep beside a heap that has grown.
                        self.wake.notify_one();
                    }
                    return key;
                }
                inner.delayed.peek().map(|Reverse((at, ..))| *at)
            };
            match next {
                None => told.await,
                Some(at) => tokio::select! {
                    () = told => {}
                    () = tokio::time::sleep_until(at) => {}
                },
            }
        }
    }

    /// So many keys wait or are worked on.
    pub fn len(&self) -> usize {
        let inner = self.inner.lock();
        inner.states.len() + inner.held.len() + inner.due.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// === impl Inner ===

impl<K: Clone + Eq + Hash, W> Inner<K, W> {
    fn add(&mut self, key: K) {
        if let Some(held) = self.held.get_mut(&key) {
            held.again = true;
            return;
        }
        match self.states.get_mut(&key) {
            Some(State::Ready) => {}
            Some(State::Working { again }) => *again = true,
            None => {
                self.states.insert(key.clone(), State::Ready);
                self.ready.push_back(key);
            }
        }
    }

    /// A key that is due earlier already stays so.
    fn add_at(&mut self, key: K, at: Instant) {
        if self.due.get(&key).is_some_and(|known| *known <= at) {
            return;
        }
        self.due.insert(key.clone(), at);
        self.sequence += 1;
        self.delayed.push(Reverse((at, self.sequence, Late(key))));
    }

    /// Delayed keys whose time has come become ready.
    fn ripen(&mut self, now: Instant) {
        while self.delayed.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((at, _, Late(key)))) = self.delayed.pop() else { return };
            if self.due.get(&key) == Some(&at) {
                self.due.remove(&key);
                self.add(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
