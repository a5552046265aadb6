//! Deciding a group: guards, revisions and events against memory, before anything is written.
//!
//! A group is decided as if its requests came one after another: a later one sees what an earlier one will have done.
//! Nothing here touches the disk or what readers see, so a group that fails on disk has not happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::disk::{Facts, LeaseRow, LogRow};
use super::state::{Live, LiveMap, row_id};
use crate::backends::txn;
use crate::{Entry, Error, Event, LeaseId, Op, Outcome, Revision, Seal, Txn};

/// The leases that run, and the keys that hang on each.
#[derive(Default)]
pub struct Leases {
    running: BTreeMap<LeaseId, LeaseRow>,
    keys: HashMap<LeaseId, BTreeSet<Arc<str>>>,
}

/// What a group comes to.
pub struct Stage<'a> {
    live: &'a LiveMap,
    leases: &'a Leases,
    /// The counters as they will be.
    pub facts: Facts,
    /// The keys that change, with what they become.
    pub changed: HashMap<Arc<str>, Option<Live>>,
    pub rows: Vec<LogRow>,
    pub events: Vec<Event>,
    pub leases_begun: Vec<LeaseRow>,
    pub leases_ended: Vec<LeaseId>,
}

// === impl Leases ===

impl Leases {
    pub fn new(rows: Vec<LeaseRow>, live: &LiveMap) -> Leases {
        let mut leases = Leases { running: rows.into_iter().map(|row| (row.id, row)).collect(), keys: HashMap::new() };
        for (key, entry) in live.iter().filter(|(_, entry)| entry.lease != 0) {
            leases.keys.entry(entry.lease).or_default().insert(key.clone());
        }
        leases
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Brings the bookkeeping after a group that is durable.
    pub fn begin(&mut self, rows: Vec<LeaseRow>) {
        self.running.extend(rows.into_iter().map(|row| (row.id, row)));
    }

    pub fn end(&mut self, ids: &[LeaseId]) {
        for id in ids {
            self.running.remove(id);
            self.keys.remove(id);
        }
    }

    pub fn moved(&mut self, key: &Arc<str>, from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if let Some(keys) = self.keys.get_mut(&from) {
            keys.remove(key);
        }
        if to != 0 {
            self.keys.entry(to).or_default().insert(key.clone());
        }
    }
}

// === impl Stage ===

impl<'a> Stage<'a> {
    pub fn new(live: &'a LiveMap, leases: &'a Leases, facts: Facts) -> Stage<'a> {
        Stage {
            live,
            leases,
            facts,
            changed: HashMap::new(),
            rows: Vec::new(),
            events: Vec::new(),
            leases_begun: Vec::new(),
            leases_ended: Vec::new(),
        }
    }

    pub fn commit(&mut self, txn: Txn) -> Result<Outcome, Error> {
        let holds = |guard| txn::holds(guard, self.current(txn::guard_key(guard)).map_or(0, Live::mod_revision));
        if !txn.guards.iter().all(holds) {
            let standing = txn.guards.iter().map(|guard| self.entry(txn::guard_key(guard)));
            return Ok(Outcome::Refused(standing.collect()));
        }
        let unknown = |op: &Op| matches!(op, Op::Put { lease, .. } if *lease != 0 && !self.is_running(*lease));
        if txn.ops.iter().any(unknown) {
            return Err(Error::Invalid("requested lease not found".to_owned()));
        }
        self.apply(txn.ops);
        Ok(Outcome::Committed(self.facts.revision))
    }

    pub fn compact(&mut self, revision: Revision) -> Result<(), Error> {
        let Facts { revision: current, compacted, .. } = self.facts;
        if revision <= compacted {
            return Err(Error::Compacted { oldest: compacted });
        }
        if revision > current {
            return Err(Error::Future { current });
        }
        self.facts.compacted = revision;
        Ok(())
    }

    pub fn lease(&mut self, ttl_seconds: i64, now: i64) -> LeaseId {
        let ttl_seconds = ttl_seconds.max(1);
        self.facts.lease += 1;
        let id = self.facts.lease;
        self.leases_begun.push(LeaseRow { id, ttl_seconds, ends_at: now.saturating_add(ttl_seconds) });
        id
    }

    /// Ends the leases that are due. All keys of one go at one revision, as in etcd.
    pub fn end_leases(&mut self, now: i64) {
        let leases = self.leases;
        for lease in leases.running.values().filter(|lease| lease.ends_at <= now) {
            self.leases_ended.push(lease.id);
            let keys = leases.keys.get(&lease.id).into_iter().flatten();
            self.apply(keys.map(|key| Op::Delete { key: key.to_string() }).collect());
        }
    }

    /// Whether there is anything to write.
    pub fn is_idle(&self, before: &Facts) -> bool {
        self.facts == *before && self.leases_begun.is_empty() && self.leases_ended.is_empty()
    }

    fn apply(&mut self, ops: Vec<Op>) {
        let revision = self.facts.revision + 1;
        let mut place = 0;
        for op in ops {
            if self.change(op, revision, place) {
                place += 1;
            }
        }
        if place > 0 {
            self.facts.revision = revision;
        }
    }

    /// Whether anything changed: deleting what is not there leaves no trace.
    fn change(&mut self, op: Op, revision: Revision, place: usize) -> bool {
        let id = row_id(revision, place);
        let key = txn::op_key(&op);
        let shared_key = self.live.get_key_value(key).map(|(key, _)| key.clone());
        let shared_key: Arc<str> = shared_key.unwrap_or_else(|| key.into());
        let standing = self.current(key);
        let (was, created) = standing.map_or((0, revision), |live| (live.row, live.create_revision));
        let previous = standing.map(|live| live.entry(key));
        match op {
            Op::Put { key, value, lease } => {
                self.facts.live += u64::from(was == 0);
                self.rows.push(LogRow {
                    id,
                    previous: was,
                    created,
                    lease,
                    key: key.clone(),
                    value: Some(value.clone()),
                });
                let live = Live { value: value.clone(), create_revision: created, lease, row: id };
                self.changed.insert(shared_key, Some(live));
                let entry = Entry {
                    key,
                    value,
                    create_revision: created,
                    mod_revision: revision,
                    lease,
                    seal: Seal::default(),
                };
                self.events.push(Event::Put { entry, previous });
            }
            Op::Delete { .. } if was == 0 => return false,
            Op::Delete { key } => {
                self.facts.live -= 1;
                self.rows.push(LogRow { id, previous: was, created: 0, lease: 0, key: key.clone(), value: None });
                self.changed.insert(shared_key, None);
                self.events.push(Event::Delete { key, revision, previous });
            }
        }
        true
    }

    fn current(&self, key: &str) -> Option<&Live> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.live.get(key),
        }
    }

    fn entry(&self, key: &str) -> Option<Entry> {
        self.current(key).map(|live| live.entry(key))
    }

    fn is_running(&self, lease: LeaseId) -> bool {
        self.leases.running.contains_key(&lease) && !self.leases_ended.contains(&lease)
    }
}
