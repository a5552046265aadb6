//! The store as a model: everything in memory, nothing clever. It is what the other backends are compared with.
//!
//! History is a list of events since the last compaction and the state at that compaction; a read at an old revision
//! plays the events onto it. Nothing is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Clock, txn};
use crate::{Entry, Error, Event, Feed, LeaseId, Op, Outcome, Page, Range, Revision, Seal, Store, Txn};

/// A store that is gone when the process is.
pub struct Memory {
    shared: Arc<Shared>,
    now: Clock,
}

struct Shared {
    state: Mutex<State>,
    /// Says that something was committed; the value is the revision.
    changed: watch::Sender<Revision>,
}

struct State {
    revision: Revision,
    compacted: Revision,
    /// What stood at `compacted`.
    base: BTreeMap<String, Entry>,
    live: BTreeMap<String, Entry>,
    /// Every event at or above `compacted`.
    log: BTreeMap<Revision, Vec<Event>>,
    /// When each lease ends, in seconds.
    leases: BTreeMap<LeaseId, i64>,
    lease_next: LeaseId,
}

struct Follower {
    shared: Arc<Shared>,
    changed: watch::Receiver<Revision>,
    prefix: String,
    seen: Revision,
}

// === impl Memory ===

impl Memory {
    /// A store whose leases never end.
    pub fn new() -> Memory {
        Memory::with_clock(Arc::new(|| 0))
    }

    pub fn with_clock(now: Clock) -> Memory {
        let state = State {
            revision: 1,
            compacted: 0,
            base: BTreeMap::new(),
            live: BTreeMap::new(),
            log: BTreeMap::new(),
            leases: BTreeMap::new(),
            lease_next: 1,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(1) });
        Memory { shared, now }
    }

    /// Ends every lease that is due. Each request does so too; this is for the owner of a clock who wants no request.
    pub fn expire(&self) {
        drop(self.state());
    }

    /// The state as of the clock's now.
    fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        let mut state = self.shared.state.lock();
        state.end_leases((self.now)());
        self.shared.publish(&state);
        state
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<(Option<Entry>, Revision), Error> {
        let state = self.state();
        Ok((state.live.get(key).cloned(), state.revision))
    }

    async fn range(&self, range: Range) -> Result<Page, Error> {
        self.state().range(&range)
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        txn::check(&txn, txn::REQUEST_BYTES_MAX)?;
        let mut state = self.state();
        let outcome = state.commit(txn)?;
        self.shared.publish(&state);
        Ok(outcome)
    }

    async fn follow(&self, prefix: &str, after: Revision) -> Result<Box<dyn Feed>, Error> {
        let state = self.state();
        state.check_followable(after)?;
        let changed = self.shared.changed.subscribe();
        Ok(Box::new(Follower { shared: self.shared.clone(), changed, prefix: prefix.to_owned(), seen: after }))
    }

    async fn revision(&self) -> Result<Revision, Error> {
        let revision = self.state().revision;
        // Said again, so that followers of quiet prefixes deliver their progress.
        self.shared.changed.send_replace(revision);
        Ok(revision)
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.state().compact(revision)
    }

    async fn lease(&self, ttl_seconds: i64) -> Result<LeaseId, Error> {
        let mut state = self.state();
        let id = state.lease_next;
        state.lease_next += 1;
        state.leases.insert(id, (self.now)() + ttl_seconds.max(1));
        Ok(id)
    }

    async fn size_bytes(&self) -> Result<u64, Error> {
        let state = self.state();
        Ok(state.live.values().map(|entry| (entry.key.len() + entry.value.len()) as u64).sum())
    }
}

// === impl Shared ===

impl Shared {
    fn publish(&self, state: &State) {
        self.changed.send_if_modified(|revision| std::mem::replace(revision, state.revision) != state.revision);
    }
}

// === impl State ===

impl State {
    fn commit(&mut self, txn: Txn) -> Result<Outcome, Error> {
        let standing: Vec<Option<Entry>> =
            txn.guards.iter().map(|guard| self.live.get(txn::guard_key(guard)).cloned()).collect();
        let revision_of = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.mod_revision);
        if !txn.guards.iter().zip(&standing).all(|(guard, entry)| txn::holds(guard, revision_of(entry))) {
            return Ok(Outcome::Refused(standing));
        }
        let unknown = |op: &Op| matches!(op, Op::Put { lease, .. } if *lease != 0 && !self.leases.contains_key(lease));
        if txn.ops.iter().any(unknown) {
            return Err(Error::Invalid("requested lease not found".to_owned()));
        }
        self.apply(txn.ops);
        Ok(Outcome::Committed(self.revision))
    }

    /// Nothing changed means no revision: deleting what is not there leaves no trace, as in etcd.
    fn apply(&mut self, ops: Vec<Op>) {
        let revision = self.revision + 1;
        let events: Vec<Event> = ops.into_iter().filter_map(|op| change(&mut self.live, op, revision)).collect();
        if !events.is_empty() {
            self.revision = revision;
            self.log.insert(revision, events);
        }
    }

    fn end_leases(&mut self, now: i64) {
        let due: Vec<LeaseId> = self.leases.iter().filter(|(_, end)| **end <= now).map(|(id, _)| *id).collect();
        for lease in due {
            self.leases.remove(&lease);
            let keys = self.live.values().filter(|entry| entry.lease == lease);
            let ops = keys.map(|entry| Op::Delete { key: entry.key.clone() }).collect();
            self.apply(ops);
        }
    }

    fn range(&self, range: &Range) -> Result<Page, Error> {
        let entries = if range.at == 0 { self.live.clone() } else { self.at(range.at)? };
        let found = entries.into_values().skip_while(|entry| entry.key.as_str() < txn::first_key(range));
        Ok(txn::page(found.take_while(|entry| entry.key.starts_with(&range.prefix)), range.limit, self.revision))
    }

    fn at(&self, revision: Revision) -> Result<BTreeMap<String, Entry>, Error> {
        if revision > self.revision {
            return Err(Error::Future { current: self.revision });
        }
        if revision < self.compacted {
            return Err(Error::Compacted { oldest: self.compacted });
        }
        let mut entries = self.base.clone();
        for event in self.log.range(..=revision).flat_map(|(_, events)| events) {
            match event {
                Event::Put { entry, .. } => drop(entries.insert(entry.key.clone(), entry.clone())),
                Event::Delete { key, .. } => drop(entries.remove(key)),
                Event::Progress(_) => {}
            }
        }
        Ok(entries)
    }

    fn compact(&mut self, revision: Revision) -> Result<(), Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted { oldest: self.compacted });
        }
        self.base = self.at(revision)?;
        self.compacted = revision;
        self.log = self.log.split_off(&revision);
        Ok(())
    }

    fn check_followable(&self, after: Revision) -> Result<(), Error> {
        if after + 1 < self.compacted { Err(Error::Compacted { oldest: self.compacted }) } else { Ok(()) }
    }
}

/// Carries out one op; the event that says so, or nothing when nothing changed.
fn change(live: &mut BTreeMap<String, Entry>, op: Op, revision: Revision) -> Option<Event> {
    match op {
        Op::Put { key, value, lease } => {
            let previous = live.get(&key).cloned();
            let create_revision = previous.as_ref().map_or(revision, |previous| previous.create_revision);
            let entry = Entry {
                key: key.clone(),
                value,
                create_revision,
                mod_revision: revision,
                lease,
                seal: Seal::default(),
            };
            live.insert(key, entry.clone());
            Some(Event::Put { entry, previous })
        }
        Op::Delete { key } => {
            let previous = live.remove(&key)?;
            Some(Event::Delete { key, revision, previous: Some(previous) })
        }
    }
}

// === impl Follower ===

impl Follower {
    /// Everything after `seen` under the prefix, and the progress to where the store stands.
    fn ready(&mut self, current: Revision) -> Result<Vec<Event>, Error> {
        let state = self.shared.state.lock();
        if self.seen >= current {
            return Ok(Vec::new());
        }
        state.check_followable(self.seen)?;
        let new = state.log.range(self.seen + 1..=current).flat_map(|(_, events)| events);
        let mut ready: Vec<Event> = new.filter(|event| event.is_under(&self.prefix)).cloned().collect();
        if ready.last().is_none_or(|event| event.revision() < current) {
            ready.push(Event::Progress(current));
        }
        self.seen = current;
        Ok(ready)
    }
}

#[async_trait]
impl Feed for Follower {
    async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            let current = *self.changed.borrow_and_update();
            let ready = self.ready(current)?;
            if !ready.is_empty() {
                return Ok(ready);
            }
            if self.changed.changed().await.is_err() {
                return Err(Error::Unavailable("the store was closed".to_owned()));
            }
        }
    }
}
