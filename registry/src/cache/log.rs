//! The recent events of a cache.
//!
//! The window is kept in time with a cap in bytes. A cursor that falls out of it is told so; whoever holds it closes its
//! stream without an error and the client resumes.

use std::{collections::VecDeque, sync::Arc};

use api::EcoString;
use bytes::Bytes;
use parking_lot::Mutex;
use store::Revision;

use super::Entry;
use crate::unread::Corrupt;

/// Events are kept this long. Upstream: etcd's compaction interval of the API server.
const WINDOW_SECONDS: i64 = 300;
/// … but not more of them than this, counted by the bytes of their objects.
const WINDOW_BYTES_MAX: usize = 64 << 20;
/// … and at least so many, whatever their size or age, so that a burst does not throw everyone out.
const WINDOW_LEN_MIN: usize = 1000;

/// A change as it comes from the store.
pub enum Change {
    Put(Arc<Entry>),
    /// What lies there now cannot be read.
    Unread {
        key: EcoString,
        why: Corrupt,
    },
    Delete {
        key: EcoString,
        revision: Revision,
    },
}

/// A change as watchers see it.
pub struct Event {
    /// The object after the change; of a deletion, as it last was, at the deletion's revision.
    pub entry: Arc<Entry>,
    pub previous: Option<Arc<Entry>>,
    pub deleted: bool,
    /// The frames of this event by form, made once for all watchers.
    frames: Mutex<Vec<(u64, Bytes)>>,
}

/// The place is no longer in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallen;

#[derive(Default)]
pub(super) struct Log {
    events: VecDeque<(i64, Arc<Event>)>,
    first: u64,
    /// Every event with a greater revision is (or was) in the log.
    floor: Revision,
    bytes: usize,
}

// === impl Event ===

impl Event {
    pub(crate) fn new(entry: Arc<Entry>, previous: Option<Arc<Entry>>, deleted: bool) -> Event {
        Event { entry, previous, deleted, frames: Mutex::default() }
    }

    pub fn revision(&self) -> Revision {
        self.entry.revision
    }

    /// The frame under a form's number, made by `make` when nobody has asked for it before.
    pub fn frame(&self, form: u64, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut frames = self.frames.lock();
        if let Some((_, bytes)) = frames.iter().find(|(f, _)| *f == form) {
            return bytes.clone();
        }
        let bytes = make();
        frames.push((form, bytes.clone()));
        bytes
    }
}

// === impl Log ===

impl Log {
    /// An empty log from `revision` on, whose places are all behind those of this one.
    pub(super) fn begin_anew(&self, revision: Revision) -> Log {
        Log { floor: revision, first: self.end() + 1, ..Log::default() }
    }

    pub(super) fn floor(&self) -> Revision {
        self.floor
    }

    /// The sequence number of the oldest event.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The sequence number after the last event.
    pub(super) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The event of a sequence number, when it is still here.
    pub(super) fn at(&self, seq: u64) -> Option<&Arc<Event>> {
        self.events.get(seq.checked_sub(self.first)? as usize).map(|(_, event)| event)
    }

    /// All events with their sequence numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Arc<Event>)> {
        (self.first..).zip(self.events.iter().map(|(_, event)| event))
    }

    /// The sequence number of the first event after a revision.
    pub(super) fn position_after(&self, revision: Revision) -> Option<u64> {
        if revision < self.floor {
            return None;
        }
        Some(self.first + self.events.partition_point(|(_, e)| e.revision() <= revision) as u64)
    }

    pub(super) fn read(&self, seq: u64, max: usize, out: &mut Vec<Arc<Event>>) -> Result<u64, Fallen> {
        let from = seq.checked_sub(self.first).ok_or(Fallen)? as usize;
        let to = self.events.len().min(from.saturating_add(max));
        out.extend(self.events.range(from.min(to)..to).map(|(_, e)| e.clone()));
        Ok(self.first + to.max(from) as u64)
    }

    pub(super) fn push(&mut self, event: Arc<Event>, now_seconds: i64) {
        self.bytes += event.entry.json.len();
        self.events.push_back((now_seconds, event));
        while self.events.len() > WINDOW_LEN_MIN {
            let Some((at, oldest)) = self.events.front() else { break };
            if self.bytes <= WINDOW_BYTES_MAX && now_seconds - at <= WINDOW_SECONDS {
                break;
            }
            self.bytes -= oldest.entry.json.len();
            self.floor = oldest.revision();
            self.first += 1;
            self.events.pop_front();
        }
    }
}
