//! Followers: each is a cursor into the shared ring, and continues from SQLite when it fell behind the ring.
//!
//! A slow follower costs nothing but its own delay: there is no queue per follower.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::history;
use super::shared::Shared;
use super::state::Group;
use crate::{Error, Event, Feed, Revision};

/// About how many events one answer carries at most; a transaction is never split.
const ANSWER_LEN_MAX: usize = 1024;

/// Everyone who wants to be woken.
#[derive(Default)]
pub struct Followers {
    interests: Mutex<Vec<Arc<Interest>>>,
    closed: AtomicBool,
}

/// One subscription.
pub struct Follower {
    shared: Arc<Shared>,
    interest: Arc<Interest>,
    /// Everything up to here has been delivered or does not concern the prefix.
    seen: Revision,
}

struct Interest {
    prefix: String,
    wake: Notify,
    /// The last revision the follower was told of, by an event or a progress.
    told: AtomicU64,
    /// It is to be told of at least this one.
    wanted: AtomicU64,
}

/// What one look at the ring came to.
enum Look {
    Nothing,
    Ready(Vec<Event>),
    BehindTheRing,
}

// === impl Followers ===

impl Followers {
    /// Wakes those whose prefix changed; to be called after the state holds the events.
    pub fn wake(&self, events: &[Event]) {
        for interest in &*self.interests.lock() {
            if events.iter().any(|event| event.is_under(&interest.prefix)) {
                interest.wake.notify_one();
            }
        }
    }

    /// Makes every follower that is behind `revision` say how far it is.
    pub fn want_progress(&self, revision: Revision) {
        for interest in &*self.interests.lock() {
            if interest.told.load(Ordering::Acquire) < revision {
                interest.wanted.fetch_max(revision, Ordering::AcqRel);
                interest.wake.notify_one();
            }
        }
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for interest in &*self.interests.lock() {
            interest.wake.notify_one();
        }
    }
}

// === impl Follower ===

impl Follower {
    pub fn new(shared: Arc<Shared>, prefix: &str, after: Revision) -> Follower {
        let interest = Arc::new(Interest {
            prefix: prefix.to_owned(),
            wake: Notify::new(),
            told: AtomicU64::new(after),
            wanted: AtomicU64::new(0),
        });
        shared.followers.interests.lock().push(interest.clone());
        Follower { shared, interest, seen: after }
    }

    fn look(&mut self) -> Result<Look, Error> {
        loop {
            let state = self.shared.state.read();
            state.check_followable(self.seen)?;
            let current = state.revision;
            if self.seen >= current {
                drop(state);
                return Ok(self.progress());
            }
            let Some(groups) = state.ring.after(self.seen, ANSWER_LEN_MAX) else { return Ok(Look::BehindTheRing) };
            drop(state);
            let ready = matching(&groups, self.seen, &self.interest.prefix);
            self.seen = groups.last().map_or(current, |group| group.last);
            if !ready.is_empty() {
                return Ok(Look::Ready(self.tell(ready)));
            }
        }
    }

    /// With nothing left to deliver: the progress, if somebody asked for it.
    fn progress(&mut self) -> Look {
        let told = self.interest.told.load(Ordering::Acquire);
        if told < self.seen && told < self.interest.wanted.load(Ordering::Acquire) {
            return Look::Ready(self.tell(Vec::new()));
        }
        Look::Nothing
    }

    /// The answer that brings the one who follows to `seen`.
    fn tell(&mut self, mut events: Vec<Event>) -> Vec<Event> {
        if events.last().is_none_or(|last| last.revision() < self.seen) {
            events.push(Event::Progress(self.seen));
        }
        self.interest.told.store(self.seen, Ordering::Release);
        events
    }
}

/// The events after `after` under the prefix.
fn matching(groups: &[Arc<Group>], after: Revision, prefix: &str) -> Vec<Event> {
    let events = groups.iter().flat_map(|group| &group.events);
    events.filter(|event| event.revision() > after && event.is_under(prefix)).cloned().collect()
}

#[async_trait]
impl Feed for Follower {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            match self.look()? {
                Look::Ready(events) => return Ok(events),
                Look::BehindTheRing => {
                    let (shared, prefix, after) = (self.shared.clone(), self.interest.prefix.clone(), self.seen);
                    let (events, passed) = history::blocking(move || history::events(&shared, &prefix, after)).await?;
                    self.seen = passed;
                    if !events.is_empty() {
                        return Ok(self.tell(events));
                    }
                }
                Look::Nothing => {
                    if self.shared.followers.closed.load(Ordering::Acquire) {
                        return Err(Error::Unavailable("the store was closed".to_owned()));
                    }
                    self.interest.wake.notified().await;
                }
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.followers.interests.lock().retain(|interest| !Arc::ptr_eq(interest, &self.interest));
    }
}
