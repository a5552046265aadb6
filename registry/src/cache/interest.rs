//! Who wants to know of which events: a ring for each namespace, object and field value that somebody watches.
//!
//! A watcher of one node's pods is not woken for the pods of others, and does not walk over their events either: its
//! ring holds the places in the log of what concerns it. Rings exist as long as somebody watches.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use api::EcoString;

use super::{Event, Fallen, log::Log, waiters::Waiters};

/// What a watcher is woken for: the narrowest thing that holds all that its filter lets through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    Everything,
    Namespace(EcoString),
    /// One object, by its key in the cache.
    Object(EcoString),
    /// A selectable field, by its place in the row, with a value: the pods of a node.
    Field(usize, EcoString),
}

/// The rings of a cache.
#[derive(Default)]
pub(super) struct Rings {
    by_interest: HashMap<Interest, Ring>,
    /// How many rings there are for each selectable field, so that the others are not looked at.
    fields: BTreeMap<usize, usize>,
}

/// The events of one interest.
struct Ring {
    /// Their sequence numbers in the log.
    seqs: VecDeque<u64>,
    /// What came before is not known any more.
    floor: u64,
    cursors: usize,
    waiters: Arc<Waiters>,
}

// === impl Rings ===

impl Rings {
    /// One more cursor on an interest that is not everything. A new ring begins with what the log holds.
    pub fn join(&mut self, interest: &Interest, log: &Log) -> Arc<Waiters> {
        if let Some(ring) = self.by_interest.get_mut(interest) {
            ring.cursors += 1;
            return ring.waiters.clone();
        }
        if let Interest::Field(place, _) = interest {
            *self.fields.entry(*place).or_default() += 1;
        }
        let seqs = log.all().filter(|(_, event)| concerns(event, interest)).map(|(seq, _)| seq).collect();
        let ring = Ring { seqs, floor: log.first(), cursors: 1, waiters: Arc::default() };
        let waiters = ring.waiters.clone();
        self.by_interest.insert(interest.clone(), ring);
        waiters
    }

    /// A cursor less.
    pub fn leave(&mut self, interest: &Interest) {
        let Some(ring) = self.by_interest.get_mut(interest) else { return };
        ring.cursors -= 1;
        if ring.cursors > 0 {
            return;
        }
        self.by_interest.remove(interest);
        if let Interest::Field(place, _) = interest
            && let Some(count) = self.fields.get_mut(place)
        {
            *count -= 1;
            if *count == 0 {
                self.fields.remove(place);
            }
        }
    }

    /// Notes an event of the log; who has to be woken is added to `woken`.
    pub fn note(&mut self, seq: u64, event: &Event, first: u64, woken: &mut Vec<Arc<Waiters>>) {
        if self.by_interest.is_empty() {
            return;
        }
        let mut interests =
            vec![Interest::Namespace(event.entry.head.namespace.clone()), Interest::Object(event.entry.key.clone())];
        for place in self.fields.keys() {
            let [now, before] = values(event, *place);
            interests.extend(now.map(|value| Interest::Field(*place, value.clone())));
            interests.extend(before.filter(|b| Some(*b) != now).map(|value| Interest::Field(*place, value.clone())));
        }
        for interest in interests {
            if let Some(ring) = self.by_interest.get_mut(&interest) {
                ring.push(seq, first);
                woken.push(ring.waiters.clone());
            }
        }
    }

    /// The log begins anew at `first`: every cursor there is has fallen out of its ring. Who has to be woken is returned.
    pub fn begin_anew(&mut self, first: u64) -> Vec<Arc<Waiters>> {
        let emptied = self.by_interest.values_mut().map(|ring| {
            (ring.floor, ring.seqs) = (first, VecDeque::new());
            ring.waiters.clone()
        });
        emptied.collect()
    }

    /// Appends up to `max` events of an interest from `seq` on; returns where to go on.
    pub fn read(
        &self,
        interest: &Interest,
        log: &Log,
        seq: u64,
        max: usize,
        out: &mut Vec<Arc<Event>>,
    ) -> Result<u64, Fallen> {
        let ring = self.by_interest.get(interest).filter(|ring| ring.floor <= seq).ok_or(Fallen)?;
        let from = ring.seqs.partition_point(|at| *at < seq);
        let to = ring.seqs.len().min(from.saturating_add(max));
        for at in ring.seqs.range(from..to) {
            out.push(log.at(*at).ok_or(Fallen)?.clone());
        }
        Ok(ring.seqs.get(to).copied().unwrap_or(log.end()))
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_interest.len()
    }
}

// === impl Ring ===

impl Ring {
    fn push(&mut self, seq: u64, first: u64) {
        while let Some(oldest) = self.seqs.front().filter(|oldest| **oldest < first) {
            self.floor = oldest + 1;
            self.seqs.pop_front();
        }
        // An object that moves within an interest is one event.
        if self.seqs.back() != Some(&seq) {
            self.seqs.push_back(seq);
        }
    }
}

fn concerns(event: &Event, interest: &Interest) -> bool {
    match interest {
        Interest::Everything => true,
        Interest::Namespace(namespace) => event.entry.head.namespace == *namespace,
        Interest::Object(key) => event.entry.key == *key,
        Interest::Field(place, value) => values(event, *place).contains(&Some(value)),
    }
}

/// A field's value after and before an event.
fn values(event: &Event, place: usize) -> [Option<&EcoString>; 2] {
    [Some(&event.entry), event.previous.as_ref()].map(|entry| entry.and_then(|entry| entry.head.fields.get(place)))
}
