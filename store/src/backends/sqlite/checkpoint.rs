//! Folding the write-ahead log into the database beside the writer, so that no commit pays for it.
//!
//! A passive checkpoint copies what it can without waiting for anyone. Under load the writer appends meanwhile, and the
//! log can begin anew only when all of it is in the database: when it has become long, the writer itself copies the
//! little that is left.

use std::sync::Arc;

use rusqlite::Connection;

use super::shared::Shared;
use crate::Error;

/// A checkpoint begins after this many pages.
const PAGES_DUE: usize = 2000;
/// The writer finishes one when the log is this long: 64 MiB.
const PAGES_LONG: i64 = 16_384;

pub struct Checkpointer {
    shared: Arc<Shared>,
    connection: Connection,
}

// === impl Checkpointer ===

impl Checkpointer {
    pub fn open(shared: Arc<Shared>) -> Result<Checkpointer, Error> {
        let connection = shared.files.connect()?;
        Ok(Checkpointer { shared, connection })
    }

    pub fn run(self) {
        while self.wait() {
            self.step();
        }
    }

    /// A failure costs disk space, not data: the log just grows until the next one succeeds.
    pub fn step(&self) {
        match passive(&self.connection) {
            Ok(pages) => self.shared.checkpoint.lock().finish |= pages > PAGES_LONG,
            Err(error) => tracing::warn!(%error, "a checkpoint failed"),
        }
    }

    /// Until one is due; false when the store is closed.
    fn wait(&self) -> bool {
        let mut checkpoint = self.shared.checkpoint.lock();
        while checkpoint.pages < PAGES_DUE && !checkpoint.closed {
            self.shared.checkpoint_due.wait(&mut checkpoint);
        }
        checkpoint.pages = 0;
        !checkpoint.closed
    }
}

/// Copies what can be copied without waiting; the length of the log in pages, copied ones included.
pub fn passive(connection: &Connection) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    statement.query_row([], |row| row.get(1))
}

/// Copies everything and empties the log; an error when a reader or the disk stands in the way.
pub fn emptying(connection: &Connection) -> rusqlite::Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    let reason = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    if busy { Err(rusqlite::Error::SqliteFailure(reason, None)) } else { Ok(()) }
}

impl Shared {
    /// Counts what was written to the log, and rings when a checkpoint is due.
    pub fn note_pages(&self, pages: usize) {
        let mut checkpoint = self.checkpoint.lock();
        checkpoint.pages += pages;
        let due = checkpoint.pages >= PAGES_DUE;
        drop(checkpoint);
        if due {
            self.checkpoint_due.notify_one();
        }
    }
}
