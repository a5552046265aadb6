//! The objects of one storage prefix in memory, and their recent history.
//!
//! An ordered persistent map: a list or a page is a snapshot, taken in no time, and the writer goes on. Beside it a log
//! of events in revision order; a watcher is a [`Cursor`] on the log and costs nothing while nothing happens.

mod cursor;
pub mod entry;
pub mod fill;
mod interest;
mod log;
#[cfg(test)]
mod tests;
mod trees;
mod waiters;

use std::sync::Arc;

use api::{EcoString, Value};
use imbl::OrdMap;
use parking_lot::RwLock;
use store::Revision;

pub use cursor::Cursor;
pub use entry::{Entry, Head};
pub use interest::Interest;
pub use log::{Change, Event, Fallen};

use interest::Rings;
use log::Log;
use trees::Trees;
use waiters::Waiters;

use crate::unread::Corrupt;

/// Objects by their local key (`namespace/name` or `name`), in the store's order.
pub type Objects = OrdMap<EcoString, Arc<Entry>>;

/// One resource's objects and recent events.
pub struct Cache {
    state: RwLock<State>,
    /// Cursors that wait for any event.
    waiters: Arc<Waiters>,
    trees: Trees,
}

/// Everything as of one revision.
#[derive(Clone)]
pub struct Snapshot {
    pub objects: Objects,
    /// No change to these objects up to this revision is missing.
    pub revision: Revision,
}

#[derive(Default)]
struct State {
    objects: Objects,
    /// That of the last event.
    /// What lies in the store and cannot be read.
    unread: OrdMap<EcoString, Corrupt>,
    revision: Revision,
    log: Log,
    rings: Rings,
    /// Changes that came from the store.
    received: u64,
    /// How often something was no object of its kind.
    undecodable: u64,
}

// === impl Cache ===

impl Cache {
    pub fn new() -> Arc<Cache> {
        Arc::new(Cache { state: RwLock::default(), waiters: Arc::default(), trees: Trees::default() })
    }

    /// Sets the objects as they stood at `revision`; the log begins there, and every cursor there is has fallen out of it.
    pub fn load(&self, entries: Vec<Arc<Entry>>, revision: Revision) {
        self.load_all(entries, Vec::new(), revision);
    }

    /// The same with what could not be read.
    pub fn load_all(&self, entries: Vec<Arc<Entry>>, unread: Vec<(EcoString, Corrupt)>, revision: Revision) {
        let mut state = self.state.write();
        state.undecodable += unread.iter().filter(|(_, why)| why.opens()).count() as u64;
        state.unread = unread.into_iter().collect();
        state.objects = entries.into_iter().map(|e| (e.key.clone(), e)).collect();
        let woken = state.begin_anew(revision);
        drop(state);
        self.waiters.wake();
        woken.iter().for_each(|waiters| waiters.wake());
    }

    /// Lets every cursor that there is fall out of the log: who holds one closes its stream.
    pub fn end_cursors(&self) {
        let mut state = self.state.write();
        let revision = state.revision;
        let woken = state.begin_anew(revision);
        drop(state);
        self.waiters.wake();
        woken.iter().for_each(|waiters| waiters.wake());
    }

    /// The first revision that a cursor can begin after.
    pub fn floor(&self) -> Revision {
        self.state.read().log.floor()
    }

    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key).cloned()
    }

    /// Whether everything that there is can be read.
    pub fn is_whole(&self) -> bool {
        self.state.read().unread.is_empty()
    }

    /// Why an object cannot be read, when that is so.
    pub fn unread(&self, key: &str) -> Option<Corrupt> {
        self.state.read().unread.get(key).cloned()
    }

    /// The objects of an interest that cannot be read.
    pub fn unread_in(&self, interest: &Interest) -> Vec<(EcoString, Corrupt)> {
        let state = self.state.read();
        let concerns = |key: &str| match interest {
            Interest::Object(name) => key == name.as_str(),
            Interest::Namespace(name) => key.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/')),
            _ => true,
        };
        state.unread.iter().filter(|(key, _)| concerns(key)).map(|(key, why)| (key.clone(), why.clone())).collect()
    }

    /// How often something was read that is no object of its kind.
    pub fn undecodable(&self) -> u64 {
        self.state.read().undecodable
    }

    /// So many were read elsewhere that are none.
    pub(crate) fn count_undecodable(&self, more: usize) {
        self.state.write().undecodable += more as u64;
    }

    /// An object as a tree, shared with others who ask for it while it is as it is: what every write of some kind looks at
    /// is read once.
    pub fn tree(&self, key: &str) -> Option<Arc<Value>> {
        self.get(key).map(|entry| self.trees.of(entry))
    }

    /// How many changes have come from the store.
    pub fn received(&self) -> u64 {
        self.state.read().received
    }

    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// That of the last change.
    pub fn revision(&self) -> Revision {
        self.state.read().revision
    }

    /// The objects now. `applied` is a revision up to which every cache has been filled, read before this call.
    pub fn snapshot(&self, applied: Revision) -> Snapshot {
        let state = self.state.read();
        Snapshot { objects: state.objects.clone(), revision: state.revision.max(applied) }
    }

    /// A cursor that delivers every event after `revision`; an error when some of them are no longer here.
    pub fn cursor(self: &Arc<Self>, revision: Revision) -> Result<Cursor, Fallen> {
        self.cursor_on(Interest::Everything, revision)
    }

    /// A cursor that delivers the events after `revision` that concern an interest.
    pub fn cursor_on(self: &Arc<Self>, interest: Interest, revision: Revision) -> Result<Cursor, Fallen> {
        let mut state = self.state.write();
        let seq = state.log.position_after(revision).ok_or(Fallen)?;
        Ok(self.join(&mut state, interest, seq))
    }

    /// The objects now and a cursor that goes on exactly there.
    pub fn snapshot_and_cursor(self: &Arc<Self>, applied: Revision) -> (Snapshot, Cursor) {
        self.snapshot_and_cursor_on(Interest::Everything, applied)
    }

    /// The objects now and a cursor on an interest that goes on exactly there.
    pub fn snapshot_and_cursor_on(self: &Arc<Self>, interest: Interest, applied: Revision) -> (Snapshot, Cursor) {
        let mut state = self.state.write();
        let snapshot = Snapshot { objects: state.objects.clone(), revision: state.revision.max(applied) };
        let seq = state.log.end();
        (snapshot, self.join(&mut state, interest, seq))
    }

    /// Takes in changes in revision order; `now_seconds` dates them for the window.
    pub fn apply(&self, changes: Vec<Change>, now_seconds: i64) {
        if changes.is_empty() {
            return;
        }
        let mut woken = Vec::new();
        let mut state = self.state.write();
        for change in changes {
            state.take(change, now_seconds, &mut woken);
        }
        drop(state);
        self.waiters.wake();
        woken.iter().for_each(|waiters| waiters.wake());
    }

    fn join(self: &Arc<Self>, state: &mut State, interest: Interest, seq: u64) -> Cursor {
        let waiters = match &interest {
            Interest::Everything => self.waiters.clone(),
            narrow => state.rings.join(narrow, &state.log),
        };
        Cursor::new(self.clone(), interest, seq, waiters)
    }

    fn leave(&self, interest: &Interest) {
        if *interest != Interest::Everything {
            self.state.write().rings.leave(interest);
        }
    }

    fn read_log(&self, interest: &Interest, seq: u64, max: usize, out: &mut Vec<Arc<Event>>) -> Result<u64, Fallen> {
        let state = self.state.read();
        match interest {
            Interest::Everything => state.log.read(seq, max, out),
            narrow => state.rings.read(narrow, &state.log, seq, max, out),
        }
    }
}

// === impl State ===

impl State {
    /// The log begins here: every cursor has fallen out of it, and whoever waits has to be woken.
    fn begin_anew(&mut self, revision: Revision) -> Vec<Arc<Waiters>> {
        self.revision = revision;
        self.log = self.log.begin_anew(revision);
        self.rings.begin_anew(self.log.first())
    }

    fn take(&mut self, change: Change, now_seconds: i64, woken: &mut Vec<Arc<Waiters>>) {
        self.received += 1;
        let event = match change {
            Change::Put(entry) => {
                self.unread.remove(&entry.key);
                let previous = self.objects.insert(entry.key.clone(), entry.clone());
                self.revision = entry.revision;
                Event::new(entry, previous, false)
            }
            Change::Unread { key, why } => {
                self.objects.remove(&key);
                let revision = why.revision;
                self.undecodable += u64::from(why.opens());
                self.unread.insert(key, why);
                // Nobody can be told what it is now: who watches has to begin anew, and hears why he cannot.
                woken.extend(self.begin_anew(revision));
                return;
            }
            Change::Delete { key, revision } => {
                self.revision = revision;
                self.unread.remove(&key);
                let Some(previous) = self.objects.remove(&key) else { return };
                Event::new(Arc::new(previous.at(revision)), Some(previous), true)
            }
        };
        let (seq, event) = (self.log.end(), Arc::new(event));
        self.log.push(event.clone(), now_seconds);
        self.rings.note(seq, &event, self.log.first(), woken);
    }
}
