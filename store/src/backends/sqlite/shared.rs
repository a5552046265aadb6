//! What the writer, the readers and the followers have in common.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use parking_lot::{Condvar, Mutex, RwLock};

use super::disk::{Facts, Files};
use super::feed::Followers;
use super::history::Readers;
use super::queue::Queue;
use super::state::{LiveMap, Ring, Snapshot, State};
use crate::{Entry, Error, Event, Page, Range};

pub struct Shared {
    pub files: Files,
    pub state: RwLock<State>,
    pub queue: Queue,
    pub followers: Followers,
    pub readers: Readers,
    pub checkpoint: Mutex<Checkpoint>,
    /// Rung when `checkpoint` changes.
    pub checkpoint_due: Condvar,
    /// Why nothing is written any more.
    broken: OnceLock<String>,
}

/// What the writer and the checkpointer tell one another.
#[derive(Default)]
pub struct Checkpoint {
    /// Pages written to the log since a checkpoint was last begun, about.
    pub pages: usize,
    /// The log is long and almost all of it is in the database: the writer finishes, so that the log can begin anew.
    pub finish: bool,
    pub closed: bool,
}

// === impl Shared ===

impl Shared {
    pub fn new(
        files: Files,
        facts: &Facts,
        live: LiveMap,
        queue_len_max: usize,
        ring_bytes_max: usize,
        ring_len_max: usize,
    ) -> Shared {
        let ring = Ring::new(facts.revision, ring_bytes_max, ring_len_max);
        Shared {
            readers: Readers::new(files.clone()),
            files,
            state: RwLock::new(State { live, revision: facts.revision, compacted: facts.compacted, ring }),
            queue: Queue::new(queue_len_max),
            followers: Followers::default(),
            checkpoint: Mutex::default(),
            checkpoint_due: Condvar::new(),
            broken: OnceLock::new(),
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.read();
        Snapshot { live: state.live.clone(), revision: state.revision }
    }

    /// A range at a revision that the ring still reaches back to; `None` when it does not.
    pub fn recent_page(&self, range: &Range) -> Result<Option<Page>, Error> {
        let state = self.state.read();
        state.check_readable(range.at)?;
        let snapshot = Snapshot { live: state.live.clone(), revision: state.revision };
        let Some(groups) = state.ring.after(range.at, usize::MAX) else { return Ok(None) };
        drop(state);
        let mut were: BTreeMap<String, Option<Entry>> = BTreeMap::new();
        let since = groups.iter().flat_map(|group| &group.events).filter(|event| event.revision() > range.at);
        for event in since.filter(|event| event.is_under(&range.prefix)) {
            let (key, previous) = match event {
                Event::Put { entry, previous } => (&entry.key, previous),
                Event::Delete { key, previous, .. } => (key, previous),
                Event::Progress(_) => continue,
            };
            if !were.contains_key(key) {
                were.insert(key.clone(), previous.clone());
            }
        }
        Ok(Some(snapshot.page_before(range, were)))
    }

    pub fn check_writable(&self) -> Result<(), Error> {
        match self.broken.get() {
            None => Ok(()),
            Some(why) => Err(Error::Unavailable(format!("nothing is written since a write failed: {why}"))),
        }
    }

    /// From now on nothing is written; reads go on. The first reason stays.
    pub fn break_down(&self, why: String) {
        tracing::error!(%why, "the store refuses writes from now on");
        drop(self.broken.set(why));
    }

    pub fn close(&self) {
        self.queue.close();
        self.followers.close();
        // The last connection to go folds the log into the database, and one that only reads cannot.
        self.readers.close();
    }

    /// For when the writer is gone: two connections that go at once each take the other for one that stays, and
    /// neither folds the log into the database.
    pub fn close_checkpoints(&self) {
        self.checkpoint.lock().closed = true;
        self.checkpoint_due.notify_all();
    }
}
