//! What the store is now, in memory: the live entries, and the ring of recent events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;

use crate::backends::txn;
use crate::{Entry, Error, Event, LeaseId, Page, Range, Revision, Seal};

/// The number of a row of the log: the revision, then the place in its transaction.
pub type RowId = i64;

const PLACE_BITS: u32 = 20;

pub type LiveMap = OrdMap<Arc<str>, Live>;

/// A key's current value. The key stands beside it in the map.
#[derive(Clone, Debug)]
pub struct Live {
    pub value: Bytes,
    pub create_revision: Revision,
    pub lease: LeaseId,
    /// The row that wrote it; says the revision too.
    pub row: RowId,
}

pub struct State {
    pub live: LiveMap,
    pub revision: Revision,
    /// Reads below this fail; 0 when nothing was ever compacted.
    pub compacted: Revision,
    pub ring: Ring,
}

/// A consistent view, cheap to take and owned by whoever took it.
pub struct Snapshot {
    pub live: LiveMap,
    pub revision: Revision,
}

/// Recent events in whole groups; the oldest groups go when the limits are reached.
pub struct Ring {
    groups: VecDeque<Arc<Group>>,
    /// Every event after this revision is in the ring.
    start: Revision,
    bytes: usize,
    len: usize,
    bytes_max: usize,
    len_max: usize,
}

/// The events of transactions that became durable together; never empty.
pub struct Group {
    pub events: Vec<Event>,
    pub last: Revision,
    bytes: usize,
}

/// The row of the `place`-th change at a revision.
pub fn row_id(revision: Revision, place: usize) -> RowId {
    (revision as RowId) << PLACE_BITS | place as RowId
}

pub fn row_revision(row: RowId) -> Revision {
    (row >> PLACE_BITS) as Revision
}

pub fn row_place(row: RowId) -> usize {
    (row & ((1 << PLACE_BITS) - 1)) as usize
}

// === impl Live ===

impl Live {
    pub fn mod_revision(&self) -> Revision {
        row_revision(self.row)
    }

    pub fn entry(&self, key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            value: self.value.clone(),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision(),
            lease: self.lease,
            seal: Seal::default(),
        }
    }
}

// === impl State ===

impl State {
    pub fn check_readable(&self, at: Revision) -> Result<(), Error> {
        if at > self.revision {
            return Err(Error::Future { current: self.revision });
        }
        if at < self.compacted { Err(Error::Compacted { oldest: self.compacted }) } else { Ok(()) }
    }

    pub fn check_followable(&self, after: Revision) -> Result<(), Error> {
        if after.saturating_add(1) < self.compacted {
            return Err(Error::Compacted { oldest: self.compacted });
        }
        Ok(())
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The range as of the snapshot, whatever its `at` says.
    pub fn page(&self, range: &Range) -> Page {
        let mut entries = Vec::new();
        let mut count = 0;
        for (key, live) in self.under(range) {
            if range.limit == 0 || count < range.limit {
                entries.push(live.entry(key));
            }
            count += 1;
        }
        Page { entries, revision: self.revision, count }
    }

    /// The range as it was at `range.at`, given what each key that changed since then was at that time.
    pub fn page_before(&self, range: &Range, mut were: BTreeMap<String, Option<Entry>>) -> Page {
        let first = txn::first_key(range);
        were.retain(|key, _| key.as_str() >= first);
        for (key, live) in self.under(range).filter(|(_, live)| live.mod_revision() <= range.at) {
            were.insert(key.to_string(), Some(live.entry(key)));
        }
        txn::page(were.into_values().flatten(), range.limit, self.revision)
    }

    fn under<'a>(&'a self, range: &'a Range) -> impl Iterator<Item = (&'a Arc<str>, &'a Live)> {
        let from = (std::ops::Bound::Included(txn::first_key(range)), std::ops::Bound::Unbounded);
        self.live.range::<_, str>(from).take_while(|(key, _)| key.starts_with(&range.prefix))
    }
}

// === impl Ring ===

impl Ring {
    pub fn new(start: Revision, bytes_max: usize, len_max: usize) -> Ring {
        Ring { groups: VecDeque::new(), start, bytes: 0, len: 0, bytes_max, len_max }
    }

    /// The group as it stands in the ring, if there was anything to push.
    pub fn push(&mut self, events: Vec<Event>) -> Option<Arc<Group>> {
        let last = events.last()?.revision();
        let bytes = events.iter().map(event_bytes).sum();
        self.bytes += bytes;
        self.len += events.len();
        let group = Arc::new(Group { events, last, bytes });
        self.groups.push_back(group.clone());
        // The newest group stays whatever its size: those who wait for it read it from here.
        while self.groups.len() > 1 && (self.bytes > self.bytes_max || self.len > self.len_max) {
            let Some(oldest) = self.groups.pop_front() else { break };
            self.bytes -= oldest.bytes;
            self.len -= oldest.events.len();
            self.start = oldest.last;
        }
        Some(group)
    }

    /// The groups that hold events after `revision`, at least one if there is any and about `len_max` events;
    /// `None` when the ring no longer reaches back so far.
    pub fn after(&self, revision: Revision, len_max: usize) -> Option<Vec<Arc<Group>>> {
        if revision < self.start {
            return None;
        }
        let first = self.groups.partition_point(|group| group.last <= revision);
        let mut len = 0;
        let within = |group: &&Arc<Group>| {
            let before = len;
            len += group.events.len();
            before < len_max
        };
        Some(self.groups.range(first..).take_while(within).cloned().collect())
    }
}

fn event_bytes(event: &Event) -> usize {
    let entry_bytes = |entry: &Entry| entry.key.len() + entry.value.len() + size_of::<Entry>();
    match event {
        Event::Put { entry, previous } => entry_bytes(entry) + previous.as_ref().map_or(0, entry_bytes),
        Event::Delete { key, previous, .. } => key.len() + previous.as_ref().map_or(0, entry_bytes),
        Event::Progress(_) => 0,
    }
}
