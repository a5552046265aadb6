//! Which pod is next, which wait for a while, and which wait for something to happen.
//!
//! Every method is given the time; nothing here waits. Upstream: pkg/scheduler/backend/queue.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use api::EcoString;
use jiff::{SignedDuration, Timestamp};

use crate::{
    Pod,
    plugins::{self, Event},
};

/// Whoever waited for so long is tried again though nothing happened. Upstream: DefaultPodMaxInUnschedulablePodsDuration.
const WAIT_MAX: SignedDuration = SignedDuration::from_mins(5);

/// Pods without a node.
#[derive(Debug)]
pub struct Queue {
    first_backoff: Duration,
    backoff_max: Duration,
    pods: HashMap<EcoString, Waiting>,
    active: BTreeSet<Rank>,
    /// By when they may be tried again.
    backing_off: BTreeSet<(Timestamp, Rank)>,
    /// Numbers events, so that one that comes while a pod is tried is not missed.
    events: u64,
}

/// Higher priority first, then who came first, then by uid.
type Rank = (std::cmp::Reverse<i64>, Timestamp, EcoString);

#[derive(Debug)]
struct Waiting {
    pod: Arc<Pod>,
    since: Timestamp,
    /// How often it found no node, and how often in a row something failed.
    refusals: u32,
    errors: u32,
    plugins: Vec<&'static str>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Gated,
    Active,
    BackingOff(Timestamp),
    /// Until something happens.
    Parked,
    /// It is being tried, since so many events.
    Tried(u64),
}

// === impl Queue ===

impl Queue {
    pub fn new(first_backoff: Duration, backoff_max: Duration) -> Queue {
        Queue {
            first_backoff,
            backoff_max,
            pods: HashMap::new(),
            active: BTreeSet::new(),
            backing_off: BTreeSet::new(),
            events: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.pods.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    pub fn has(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// The pod as it was seen last.
    pub fn get(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.pods.get(uid).map(|waiting| &waiting.pod)
    }

    /// A pod came, or changed.
    pub fn put(&mut self, pod: Arc<Pod>, now: Timestamp) {
        let Some(waiting) = self.pods.get_mut(&pod.uid) else {
            let place = if pod.is_gated { Place::Gated } else { Place::Parked };
            let uid = pod.uid.clone();
            let waiting = Waiting { pod, since: now, refusals: 0, errors: 0, plugins: Vec::new(), place };
            self.pods.insert(uid.clone(), waiting);
            if place != Place::Gated {
                self.activate(&uid, now);
            }
            return;
        };
        let old = std::mem::replace(&mut waiting.pod, pod.clone());
        match waiting.place {
            Place::Gated if !pod.is_gated => self.activate(&pod.uid.clone(), now),
            Place::Parked => {
                let event = Event::Itself { old, new: pod.clone() };
                if waiting.is_helped_by(&event) {
                    self.wake(&pod.uid.clone(), now);
                }
            }
            Place::Active if old.priority != pod.priority => {
                self.active.remove(&(std::cmp::Reverse(old.priority), waiting.since, pod.uid.clone()));
                let rank = waiting.rank();
                self.active.insert(rank);
            }
            _ => {}
        }
    }

    /// It is gone, or has a node.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let waiting = self.pods.remove(uid)?;
        self.active.remove(&waiting.rank());
        if let Place::BackingOff(until) = waiting.place {
            self.backing_off.remove(&(until, waiting.rank()));
        }
        Some(waiting.pod)
    }

    /// The next pod to try: one whose turn it is, else the first of those that back off because they found no node.
    pub fn pop(&mut self, now: Timestamp) -> Option<Arc<Pod>> {
        self.flush(now);
        let rank = self.active.pop_first().or_else(|| {
            let refused = |(_, rank): &&(Timestamp, Rank)| self.pods.get(&rank.2).is_some_and(|w| w.errors == 0);
            let early = self.backing_off.iter().find(refused).cloned()?;
            self.backing_off.remove(&early);
            Some(early.1)
        })?;
        let events = self.events;
        let waiting = self.pods.get_mut(&rank.2)?;
        waiting.place = Place::Tried(events);
        Some(waiting.pod.clone())
    }

    /// When the next pod's time comes, if nothing happens before.
    pub fn next_at(&self) -> Option<Timestamp> {
        let parked = self.pods.values().filter(|w| w.place == Place::Parked).map(|w| w.since + WAIT_MAX).min();
        let backing_off = self.backing_off.first().map(|(until, _)| *until);
        [parked, backing_off].into_iter().flatten().min()
    }

    /// No node would do; these said no. It waits for something to happen that may help.
    pub fn refused(&mut self, uid: &str, by: Vec<&'static str>, now: Timestamp) {
        let events = self.events;
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        let missed = matches!(waiting.place, Place::Tried(at) if at != events);
        waiting.refusals += 1;
        waiting.errors = 0;
        waiting.since = now;
        waiting.plugins = by;
        waiting.place = Place::Parked;
        if missed {
            self.wake(&EcoString::from(uid), now);
        }
    }

    /// Something failed on the way: it is tried again after a while.
    pub fn failed(&mut self, uid: &str, now: Timestamp) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        // One that comes back was put in as a new one.
        self.active.remove(&waiting.rank());
        waiting.errors += 1;
        waiting.since = now;
        waiting.plugins.clear();
        waiting.place = Place::Parked;
        self.wake(&EcoString::from(uid), now);
    }

    /// Something happened: pods that it may help are tried again.
    pub fn happened(&mut self, event: &Event, now: Timestamp) {
        self.events += 1;
        let mut helped: Vec<(Rank, EcoString)> = self
            .pods
            .iter()
            .filter(|(_, waiting)| waiting.place == Place::Parked && waiting.is_helped_by(event))
            .map(|(uid, waiting)| (waiting.rank(), uid.clone()))
            .collect();
        helped.sort_unstable();
        for (_, uid) in helped {
            self.wake(&uid, now);
        }
    }

    /// Those whose time has come.
    fn flush(&mut self, now: Timestamp) {
        while let Some((until, rank)) = self.backing_off.first().filter(|(until, _)| *until <= now).cloned() {
            self.backing_off.remove(&(until, rank.clone()));
            self.activate(&rank.2, now);
        }
        let is_due = |w: &Waiting| w.place == Place::Parked && w.since + WAIT_MAX <= now;
        let mut due: Vec<EcoString> = self.pods.iter().filter(|(_, w)| is_due(w)).map(|(uid, _)| uid.clone()).collect();
        due.sort_unstable();
        for uid in due {
            self.wake(&uid, now);
        }
    }

    /// To the active ones, after what is left of its back-off.
    fn wake(&mut self, uid: &EcoString, now: Timestamp) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        let count = if waiting.errors > 0 { waiting.errors } else { waiting.refusals };
        let backoff = backoff(self.first_backoff, self.backoff_max, count);
        let until = waiting.since + SignedDuration::try_from(backoff).unwrap_or(SignedDuration::ZERO);
        if count == 0 || until <= now {
            return self.activate(uid, now);
        }
        waiting.place = Place::BackingOff(until);
        let rank = waiting.rank();
        self.backing_off.insert((until, rank));
    }

    fn activate(&mut self, uid: &EcoString, _: Timestamp) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        waiting.place = Place::Active;
        let rank = waiting.rank();
        self.active.insert(rank);
    }
}

// === impl Waiting ===

impl Waiting {
    fn rank(&self) -> Rank {
        (std::cmp::Reverse(self.pod.priority), self.since, self.pod.uid.clone())
    }

    fn is_helped_by(&self, event: &Event) -> bool {
        // Nobody said no: there was no node, or nothing is known. Everything may help.
        self.plugins.is_empty()
            || matches!(event, Event::Other)
            || self.plugins.iter().filter_map(|name| plugins::named(name)).any(|p| p.may_help(&self.pod, event))
    }
}

/// Twice as long each time. Upstream: `calculateBackoffDuration`.
fn backoff(first: Duration, most: Duration, count: u32) -> Duration {
    match count {
        0 => Duration::ZERO,
        count => first.saturating_mul(1u32.checked_shl(count - 1).unwrap_or(u32::MAX)).min(most),
    }
}

#[cfg(test)]
mod tests;
