//! The store in one SQLite file: every live entry in memory, one writer thread, one fsync for all who wait together.
//!
//! The writer ([`writer`]) takes what is queued, decides it against memory ([`stage`]), writes it in one transaction
//! ([`disk`]), then publishes to memory and to the followers ([`state`], [`feed`]), and only then answers. Reads come
//! from memory; SQLite is read when the store opens ([`load`]) and for history that memory no longer holds
//! ([`history`]). After an I/O error nothing is written any more, because what the disk then holds is not known.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::checkpoint::Checkpointer;
use self::disk::Files;
use self::feed::Follower;
use self::load::Loaded;
use self::queue::Request;
use self::shared::Shared;
use self::writer::Writer;
use super::{Clock, txn};
use crate::{Entry, Error, Feed, LeaseId, Outcome, Page, Range, Revision, Store, Txn};

mod checkpoint;
mod disk;
mod feed;
mod history;
mod load;
mod lock;
#[cfg(test)]
mod power_loss;
mod queue;
mod shared;
mod stage;
mod state;
mod tail;
mod writer;

/// What the store is told. Everything is plain data except the clock.
#[derive(Clone)]
pub struct Config {
    /// Holds the database, its log and the lock; made when it is not there.
    pub directory: PathBuf,
    /// The most that the keys and values of one transaction may take together.
    pub request_bytes_max: usize,
    /// How much recent history stays in memory for followers and for reads at a revision; older comes from SQLite.
    pub ring_bytes_max: usize,
    pub ring_len_max: usize,
    /// How many transactions share one fsync at most.
    pub group_len_max: usize,
    /// How many transactions may wait for the writer; more wait for room.
    pub queue_len_max: usize,
    /// Whether what was answered outlives a loss of power. Without, it outlives this process, and the database may be
    /// damaged by a loss of power: for data that nobody wants back.
    pub durable: bool,
    /// Seconds since 1970; leases end by it.
    pub now: Clock,
}

/// A store in a directory. Dropping it writes what is queued, folds the log into the database and lets the lock go.
pub struct Sqlite {
    shared: Arc<Shared>,
    request_bytes_max: usize,
    /// The writer, then the checkpointer; none when the store is closed.
    threads: Mutex<Option<[JoinHandle<()>; 2]>>,
    _lock: std::fs::File,
}

// === impl Config ===

impl Config {
    pub fn new(directory: impl Into<PathBuf>, now: Clock) -> Config {
        Config {
            directory: directory.into(),
            request_bytes_max: txn::REQUEST_BYTES_MAX,
            ring_bytes_max: 32 << 20,
            ring_len_max: 1 << 16,
            group_len_max: 512,
            queue_len_max: 8192,
            durable: true,
            now,
        }
    }
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens the store, or makes it; reads every live entry, so this takes a while on a large one.
    ///
    /// Fails with `Unavailable` when the directory cannot be used (another process, rights, a newer version's file) and
    /// with `Damaged` when the file is not what was written.
    pub fn open(config: Config) -> Result<Arc<Sqlite>, Error> {
        let Config { directory, request_bytes_max, ring_bytes_max, ring_len_max, .. } = config;
        let Config { group_len_max, queue_len_max, durable, now, .. } = config;
        let lock = lock::take(&directory)?;
        let files = Files { durable, ..Files::in_directory(&directory) };
        let Loaded { live, begin } = load::open(&files)?;
        let shared = Arc::new(Shared::new(files, &begin.facts, live, queue_len_max, ring_bytes_max, ring_len_max));
        let writer = Writer::new(shared.clone(), begin, now);
        let checkpointer = Checkpointer::open(shared.clone())?;
        let writer = spawn("store-writer", move || writer.run(group_len_max))?;
        let checkpointer = spawn("store-checkpoint", move || checkpointer.run())?;
        let threads = Mutex::new(Some([writer, checkpointer]));
        Ok(Arc::new(Sqlite { shared, request_bytes_max, threads, _lock: lock }))
    }

    /// Ends every lease that is due by the clock. The writer does so by itself within a second, and before each group.
    pub async fn expire(&self) -> Result<(), Error> {
        self.ask(|answer| Request::Expire { answer }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request) -> Result<T, Error> {
        self.shared.check_writable()?;
        let (answer, answered) = oneshot::channel();
        self.shared.queue.push(request(answer)).await?;
        answered.await.unwrap_or_else(|_| Err(Error::Unknown("the writer stopped before it answered".to_owned())))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &str) -> Result<(Option<Entry>, Revision), Error> {
        let state = self.shared.state.read();
        Ok((state.live.get(key).map(|live| live.entry(key)), state.revision))
    }

    async fn range(&self, range: Range) -> Result<Page, Error> {
        if range.at == 0 {
            return Ok(self.shared.snapshot().page(&range));
        }
        if let Some(page) = self.shared.recent_page(&range)? {
            return Ok(page);
        }
        let shared = self.shared.clone();
        history::blocking(move || history::page(&shared, &range)).await
    }

    async fn commit(&self, txn: Txn) -> Result<Outcome, Error> {
        txn::check(&txn, self.request_bytes_max)?;
        self.ask(|answer| Request::Commit { txn, answer }).await
    }

    async fn follow(&self, prefix: &str, after: Revision) -> Result<Box<dyn Feed>, Error> {
        self.shared.state.read().check_followable(after)?;
        Ok(Box::new(Follower::new(self.shared.clone(), prefix, after)))
    }

    async fn revision(&self) -> Result<Revision, Error> {
        let revision = self.shared.state.read().revision;
        self.shared.followers.want_progress(revision);
        Ok(revision)
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.ask(|answer| Request::Compact { revision, answer }).await
    }

    async fn lease(&self, ttl_seconds: i64) -> Result<LeaseId, Error> {
        self.ask(|answer| Request::Lease { ttl_seconds, answer }).await
    }

    async fn size_bytes(&self) -> Result<u64, Error> {
        Ok(self.shared.files.size_bytes())
    }

    fn close(&self) {
        let Some([writer, checkpointer]) = self.threads.lock().take() else { return };
        // A thread that panicked has nothing left to finish, and its panic was printed.
        self.shared.close();
        drop(writer.join());
        self.shared.close_checkpoints();
        drop(checkpointer.join());
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| Error::Unavailable(format!("no thread for the store: {error}")))
}
