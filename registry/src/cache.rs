//! The objects of one storage prefix in memory, and their recent history.
//!
//! An ordered persistent map: a list or a page is a snapshot, taken in no time, and the writer goes on. Beside it a log
//! of events in revision order; a watcher is a [`Cursor`] on the log and costs nothing while nothing happens.

pub mod entry;
pub mod fill;
mod log;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::EcoString;
use imbl::OrdMap;
use parking_lot::RwLock;
use store::Revision;
use tokio::sync::watch;

pub use entry::{Entry, Head};
pub use log::{Change, Cursor, Event, Fallen};

use log::Log;

/// Objects by their local key (`namespace/name` or `name`), in the store's order.
pub type Objects = OrdMap<EcoString, Arc<Entry>>;

/// One resource's objects and recent events.
pub struct Cache {
    state: RwLock<State>,
    /// The sequence number after the last event: cursors wait on it.
    end: watch::Sender<u64>,
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
}

// === impl Cache ===

impl Cache {
    pub fn new() -> Arc<Cache> {
        Arc::new(Cache { state: RwLock::default(), end: watch::Sender::new(0) })
    }

    /// Sets the objects as they stood at `revision`; the log begins there, and every cursor there is has fallen out of it.
    pub fn load(&self, entries: Vec<Arc<Entry>>, revision: Revision) {
        let mut state = self.state.write();
        state.objects = entries.into_iter().map(|e| (e.key.clone(), e)).collect();
        state.revision = revision;
        state.log = state.log.begin_anew(revision);
        let end = state.log.end();
        drop(state);
        self.end.send_replace(end);
    }

    /// The first revision that a cursor can begin after.
    pub fn floor(&self) -> Revision {
        self.state.read().log.floor()
    }

    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key).cloned()
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
        let seq = self.state.read().log.position_after(revision).ok_or(Fallen)?;
        Ok(Cursor::new(self.clone(), seq, self.end.subscribe()))
    }

    /// The objects now and a cursor that goes on exactly there.
    pub fn snapshot_and_cursor(self: &Arc<Self>, applied: Revision) -> (Snapshot, Cursor) {
        let state = self.state.read();
        let snapshot = Snapshot { objects: state.objects.clone(), revision: state.revision.max(applied) };
        (snapshot, Cursor::new(self.clone(), state.log.end(), self.end.subscribe()))
    }

    /// Takes in changes in revision order; `now_seconds` dates them for the window.
    pub fn apply(&self, changes: Vec<Change>, now_seconds: i64) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.state.write();
        for change in changes {
            state.take(change, now_seconds);
        }
        let end = state.log.end();
        drop(state);
        self.end.send_replace(end);
    }

    fn read_log(&self, seq: u64, max: usize, out: &mut Vec<Arc<Event>>) -> Result<u64, Fallen> {
        self.state.read().log.read(seq, max, out)
    }
}

// === impl State ===

impl State {
    fn take(&mut self, change: Change, now_seconds: i64) {
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
        self.log.push(Arc::new(event), now_seconds);
    }
}
