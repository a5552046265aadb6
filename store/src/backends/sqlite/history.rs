//! Reading what memory no longer holds, from SQLite, on threads that may block.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};

use super::disk::{self, Files, LogRow};
use super::shared::Shared;
use super::state::{RowId, row_id, row_revision};
use crate::{Entry, Error, Event, Page, Range, Revision};

/// One answer reads about this much at most.
const READ_ROWS_MAX: usize = 4096;
const READ_BYTES_MAX: usize = 8 << 20;
/// Idle connections that are kept for the next reader.
const IDLE_MAX: usize = 4;

/// Connections that only read.
pub struct Readers {
    files: Files,
    idle: Mutex<Vec<Connection>>,
}

// === impl Readers ===

impl Readers {
    pub fn new(files: Files) -> Readers {
        Readers { files, idle: Mutex::default() }
    }

    pub fn close(&self) {
        self.idle.lock().clear();
    }

    /// Runs in one read transaction: what it sees is one moment of the file.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.files.connect_reader()?,
        };
        let transaction = connection.unchecked_transaction().map_err(|error| self.files.failed(&error))?;
        let found = read(&transaction)?;
        drop(transaction);
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(found)
    }
}

/// Runs `read` where it may wait for the disk.
pub async fn blocking<T: Send + 'static>(read: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(read).await;
    done.unwrap_or_else(|error| Err(Error::Unavailable(format!("the read did not finish: {error}"))))
}

/// The next events after `after` under `prefix`, in whole transactions, and the revision up to which was read.
pub fn events(shared: &Shared, prefix: &str, after: Revision) -> Result<(Vec<Event>, Revision), Error> {
    let current = shared.state.read().revision;
    let read = shared.readers.read(|connection| read_events(connection, &shared.files, prefix, after, current))?;
    // Cleaning up after a compaction begins once the state says so: what was complete before is complete.
    shared.state.read().check_followable(after)?;
    Ok(read)
}

fn read_events(
    connection: &Connection,
    files: &Files,
    prefix: &str,
    after: Revision,
    current: Revision,
) -> Result<(Vec<Event>, Revision), Error> {
    let failed = |error: rusqlite::Error| files.failed(&error);
    let sql = format!("SELECT {} FROM log WHERE id >= ? AND id < ? ORDER BY id", disk::LOG_COLUMNS);
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query([row_id(after + 1, 0), row_id(current + 1, 0)]).map_err(failed)?;
    let (mut events, mut passed, mut len, mut bytes) = (Vec::new(), after, 0, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        let revision = row_revision(row.get(0).map_err(failed)?);
        if revision > passed && (len >= READ_ROWS_MAX || bytes >= READ_BYTES_MAX) {
            return Ok((events, passed));
        }
        (passed, len) = (revision, len + 1);
        if row.get_ref(5).and_then(|key| Ok(key.as_str()?.starts_with(prefix))).map_err(failed)? {
            let row = disk::log_row(row, files)?;
            let previous = find(connection, files, row.previous)?;
            bytes += row.value.as_ref().map_or(0, |value| value.len());
            bytes += previous.as_ref().map_or(0, |previous| previous.value.len());
            events.push(event(row, previous));
        }
    }
    Ok((events, current))
}

fn event(row: LogRow, previous: Option<Entry>) -> Event {
    let revision = row_revision(row.id);
    match row.live() {
        Some(live) => Event::Put { entry: live.entry(&row.key), previous },
        None => Event::Delete { key: row.key, revision, previous },
    }
}

/// The entry that a row wrote; none for row 0 and for one that a compaction took.
fn find(connection: &Connection, files: &Files, id: RowId) -> Result<Option<Entry>, Error> {
    if id == 0 {
        return Ok(None);
    }
    let sql = format!("SELECT {} FROM log WHERE id = ?", disk::LOG_COLUMNS);
    let failed = |error: rusqlite::Error| files.failed(&error);
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let row = statement.query_row([id], |row| Ok(disk::log_row(row, files))).optional().map_err(failed)?;
    let row = row.transpose()?;
    Ok(row.and_then(|row| Some(row.live()?.entry(&row.key))))
}

/// A range at an old revision: what is live now, and for each key that changed since, the row that its first change
/// replaced. Costs what changed since then, whatever the size of the store.
pub fn page(shared: &Shared, range: &Range) -> Result<Page, Error> {
    let snapshot = shared.snapshot();
    let were = shared.readers.read(|connection| read_were(connection, &shared.files, range, snapshot.revision))?;
    shared.state.read().check_readable(range.at)?;
    Ok(snapshot.page_before(range, were))
}

fn read_were(
    connection: &Connection,
    files: &Files,
    range: &Range,
    current: Revision,
) -> Result<BTreeMap<String, Option<Entry>>, Error> {
    let failed = |error: rusqlite::Error| files.failed(&error);
    let sql = "SELECT previous, key FROM log WHERE id >= ? AND id < ? ORDER BY id";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query([row_id(range.at + 1, 0), row_id(current + 1, 0)]).map_err(failed)?;
    let mut were = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let key = row.get_ref(1).and_then(|key| Ok(key.as_str()?)).map_err(failed)?;
        if key.starts_with(&range.prefix) && !were.contains_key(key) {
            let previous = find(connection, files, row.get(0).map_err(failed)?)?;
            were.insert(key.to_owned(), previous);
        }
    }
    Ok(were)
}
