//! Revisions of bytes: the one trait every backend implements, and the words it speaks.
//!
//! A store knows keys and revisions and never what a value means, so that replacing a backend cannot change a
//! semantic. The revision is one counter over all keys, as etcd's: each commit takes the next one. A delete takes one
//! too, and its event carries it. *Acknowledged means durable*: `commit` answers only when the change is on disk.

pub mod backends;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// A point in the history of the whole store; 0 is before the first write.
pub type Revision = u64;

/// A key with its value at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Bytes,
    pub create_revision: Revision,
    pub mod_revision: Revision,
    pub lease: LeaseId,
    pub seal: Seal,
}

/// What whoever opened a value says of how it lies in the backend; backends themselves say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seal {
    #[default]
    Current,
    /// It would be written otherwise by now.
    Stale,
    /// It could not be opened, for this reason, and there is no value.
    Broken(Arc<str>),
}

/// A lease ends the keys that hang on it; 0 is none.
pub type LeaseId = i64;

/// What must be true of a key for a transaction to go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    Absent(String),
    AtRevision(String, Revision),
}

/// One change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Put { key: String, value: Bytes, lease: LeaseId },
    Delete { key: String },
}

/// All guards hold and all ops happen at one revision, or nothing does.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    pub guards: Vec<Guard>,
    pub ops: Vec<Op>,
}

/// What a commit came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable, at this revision.
    Committed(Revision),
    /// A guard did not hold. Nothing was written; this is what stands under the guarded keys now, guard by guard.
    Refused(Vec<Option<Entry>>),
}

/// Which keys to read. Keys are compared as bytes; the order of the answer is ascending.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// Every key that begins with this.
    pub prefix: String,
    /// Begin at this key (inclusive) instead of at the prefix.
    pub from: Option<String>,
    /// At most this many entries; 0 is all.
    pub limit: usize,
    /// Read as of this revision; 0 is now.
    pub at: Revision,
}

/// One answer to a range.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// The store's revision when it was read (not that of the entries).
    pub revision: Revision,
    /// How many keys the whole range holds, this page included.
    pub count: usize,
}

/// One change as followers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key was put; `previous` is what it replaced, where the backend knows it.
    Put { entry: Entry, previous: Option<Entry> },
    /// A key went away at `revision`.
    Delete { key: String, revision: Revision, previous: Option<Entry> },
    /// Everything up to this revision has been delivered; nothing changed under the prefix since the last event.
    Progress(Revision),
}

impl Event {
    /// The revision that the event happened at, or that the progress reaches.
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put { entry, .. } => entry.mod_revision,
            Event::Delete { revision, .. } | Event::Progress(revision) => *revision,
        }
    }

    /// Whether it changes a key that begins with `prefix`; a progress changes none.
    pub fn is_under(&self, prefix: &str) -> bool {
        match self {
            Event::Put { entry, .. } => entry.key.starts_with(prefix),
            Event::Delete { key, .. } => key.starts_with(prefix),
            Event::Progress(_) => false,
        }
    }
}

/// A subscription: events in revision order, none skipped, none repeated. It ends with an error when it cannot go on.
/// The events of one revision are never split between two answers. [`Store::revision`] makes every feed that is behind
/// its answer deliver at least a [`Event::Progress`] that reaches it, so a cache knows when it holds what was confirmed.
#[async_trait]
pub trait Feed: Send {
    /// Waits for at least one event and takes all that are ready (bounded). An empty answer never happens.
    async fn next(&mut self) -> Result<Vec<Event>, Error>;
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The revision asked for is gone; `oldest` is the first that can still be read, 0 where the backend does not say.
    #[error("required revision has been compacted (oldest is {oldest})")]
    Compacted { oldest: Revision },
    /// The revision asked for has not happened yet.
    #[error("required revision is a future revision")]
    Future { current: Revision },
    /// The write may or may not have happened (connection lost, timeout).
    #[error("the outcome of the write is not known: {0}")]
    Unknown(String),
    /// Nothing was written and nothing was read.
    #[error("storage is unavailable: {0}")]
    Unavailable(String),
    /// The value or the transaction is larger than the backend takes.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// The transaction could never go through: a key twice or none, a lease that is not there. Nothing was written.
    #[error("etcdserver: {0}")]
    Invalid(String),
    /// What is on disk cannot be what was written.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A value could not be sealed. Nothing was written.
    #[error("{0}")]
    Sealing(String),
}

/// Revisions of bytes.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads one key as of now, linearizably.
    async fn get(&self, key: &str) -> Result<(Option<Entry>, Revision), Error>;
    /// Reads keys in order, as of now or as of a revision.
    async fn range(&self, range: Range) -> Result<Page, Error>;
    /// Carries out a transaction; the answer is durable. One that changes nothing (no ops, or deletes of absent keys)
    /// takes no revision and is answered with the current one, as in etcd. The ops name each key at most once.
    async fn commit(&self, txn: Txn) -> Result<Outcome, Error>;
    /// Delivers every change under `prefix` with a revision greater than `after`. Fails with `Compacted` when that is
    /// gone, here or from the feed. An `after` that has not happened yet is waited for.
    async fn follow(&self, prefix: &str, after: Revision) -> Result<Box<dyn Feed>, Error>;
    /// The revision of the last commit, linearizably.
    async fn revision(&self) -> Result<Revision, Error>;
    /// Forgets what is older than `revision`: reads at it still work, earlier ones fail with `Compacted`, and so does
    /// compacting there again.
    async fn compact(&self, revision: Revision) -> Result<(), Error>;
    /// A lease of `ttl_seconds`; keys put with it are deleted (with events) when it ends.
    async fn lease(&self, ttl_seconds: i64) -> Result<LeaseId, Error>;
    /// Whether others may write to it: then memory may be behind, and a read as of now has to ask first.
    fn is_shared(&self) -> bool {
        false
    }
    /// Whether values lie in it otherwise than they are handed in: then what is written may be the same and has to be
    /// written all the same.
    fn is_sealed(&self) -> bool {
        false
    }
    /// Bytes the store takes on disk.
    async fn size_bytes(&self) -> Result<u64, Error>;
    /// Finishes what is queued and takes no more; waits until that is done. Dropping the store does the same.
    fn close(&self) {}
}
