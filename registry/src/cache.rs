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
use parking_lot::{RwLock, RwLockWriteGuard};
use store::Revision;

pub use cursor::Cursor;
pub use entry::{Entry, Head};
pub use interest::Interest;
pub use log::{Change, Event, Fallen};

use interest::Rings;
use log::Log;
use trees::Trees;
use waiters::Waiters;

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
    revision: Revision,
    log: Log,
    rings: Rings,
}

// === impl Cache ===

impl Cache {
    pub fn new() -> Arc<Cache> {
        Arc::new(Cache { state: RwLock::default(), waiters: Arc::default(), trees: Trees::default() })
    }

    /// Sets the objects as they stood at `revision`; the log begins there, and every cursor there is has fallen out of it.
    pub fn load(&self, entries: Vec<Arc<Entry>>, revision: Revision) {
        let mut state = self.state.write();
        state.objects = entries.into_iter().map(|e| (e.key.clone(), e)).collect();
        self.begin_anew(state, revision);
    }

    /// Lets every cursor that there is fall out of the log: who holds one closes its stream.
    pub fn end_cursors(&self) {
        let state = self.state.write();
        let revision = state.revision;
        self.begin_anew(state, revision);
    }

    fn begin_anew(&self, mut state: RwLockWriteGuard<'_, State>, revision: Revision) {
        state.revision = revision;
        state.log = state.log.begin_anew(revision);
        let State { log, rings, .. } = &mut *state;
        let woken = rings.begin_anew(log.first());
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

    /// An object as a tree, shared with others who ask for it while it is as it is: what every write of some kind looks at
    /// is read once.
    pub fn tree(&self, key: &str) -> Option<Arc<Value>> {
        self.get(key).map(|entry| self.trees.of(entry))
    }

    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
    fn take(&mut self, change: Change, now_seconds: i64, woken: &mut Vec<Arc<Waiters>>) {
        let event = match change {
            Change::Put(entry) => {
                let previous = self.objects.insert(entry.key.clone(), entry.clone());
                self.revision = entry.revision;
                Event::new(entry, previous, false)
            }
            Change::Delete { key, revision } => {
                self.revision = revision;
                let Some(previous) = self.objects.remove(&key) else { return };
                Event::new(Arc::new(previous.at(revision)), Some(previous), true)
            }
        };
        let (seq, event) = (self.log.end(), Arc::new(event));
        self.log.push(event.clone(), now_seconds);
        self.rings.note(seq, &event, self.log.first(), woken);
    }
}
