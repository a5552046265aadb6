//! The file: its tables, how a row is written and checked, how the whole is opened.
//!
//! `log` is the history, one row per change, in the order it happened: rows are appended and, after a compaction,
//! deleted; none is ever updated, and there is no index besides the row's number. A row names the one that it replaces,
//! so that a read at an old revision can walk backwards from what is live now. `facts` is one row with the counters.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, config::DbConfig, params};

use super::state::{Live, RowId};
use super::tail;
use crate::{Error, LeaseId, Revision};

/// Says in the file's head whose it is: "Skif".
const APPLICATION_ID: i32 = 0x536b_6966;
/// Raised by one with each change of the tables.
const SCHEMA_VERSION: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE log (
        id INTEGER PRIMARY KEY,      -- revision << 20 | place in the transaction
        previous INTEGER NOT NULL,   -- the row this one replaces; 0 when the key was not there
        created INTEGER NOT NULL,    -- the revision at which the key came to be
        lease INTEGER NOT NULL,
        crc INTEGER NOT NULL,        -- CRC-32 of all other columns
        key TEXT NOT NULL,
        value BLOB                   -- NULL: the key was deleted
    );
    CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_seconds INTEGER NOT NULL, ends_at INTEGER NOT NULL);
    CREATE TABLE facts (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        revision INTEGER NOT NULL,   -- of the last commit
        compacted INTEGER NOT NULL,  -- what is older is forgotten
        cleaned INTEGER NOT NULL,    -- rows of `log` up to this one have been cleaned up after the compaction
        live INTEGER NOT NULL,       -- how many keys there are
        lease INTEGER NOT NULL,      -- the last lease given out
        crc INTEGER NOT NULL,
        mark BLOB NOT NULL           -- the revision once more, so that a lost tail of the log is seen
    );
";

/// Where the files are, and how SQLite reaches them.
#[derive(Clone)]
pub struct Files {
    pub database: PathBuf,
    /// The name of a registered SQLite VFS; `None` is the system's own. Tests lose power with one of theirs.
    pub vfs: Option<String>,
    /// Whether commits are synced.
    pub durable: bool,
}

/// The row of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub revision: Revision,
    pub compacted: Revision,
    pub cleaned: RowId,
    pub live: u64,
    pub lease: LeaseId,
}

/// One row of the log.
#[derive(Clone, Debug)]
pub struct LogRow {
    pub id: RowId,
    pub previous: RowId,
    pub created: Revision,
    pub lease: LeaseId,
    pub key: String,
    pub value: Option<Bytes>,
}

/// A lease as it is stored; `ends_at` in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    pub id: LeaseId,
    pub ttl_seconds: i64,
    pub ends_at: i64,
}

// === impl Files ===

impl Files {
    pub fn in_directory(directory: &Path) -> Files {
        Files { database: directory.join("skiff.db"), vfs: None, durable: true }
    }

    /// A connection that writes; each commit is synced before it returns (unless nothing is), and checkpoints happen only when called for.
    pub fn connect(&self) -> Result<Connection, Error> {
        let connection = self.connect_keeping_log()?;
        self.let_log_go(&connection)?;
        Ok(connection)
    }

    /// The same, while nobody knows yet whether what it finds is what was written. The last connection to go takes the log
    /// with it, folded or not; of a log that cannot be believed nothing would be left to look at, and the next start would
    /// take what is without it for all there is.
    pub fn connect_keeping_log(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = self.open(flags)?;
        self.keep_log(&connection, true)?;
        let set = || -> rusqlite::Result<String> {
            connection.pragma_update(None, "locking_mode", "NORMAL")?;
            let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            connection.pragma_update(None, "synchronous", if self.durable { "FULL" } else { "OFF" })?;
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.pragma_update(None, "cache_size", -8192)?;
            Ok(mode)
        };
        let mode = set().map_err(|error| self.failed(&error))?;
        if mode != "wal" {
            let message = format!("{}: no write-ahead log on this file system ({mode})", self.database.display());
            return Err(Error::Unavailable(message));
        }
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }

    /// What was read is believed.
    pub fn let_log_go(&self, connection: &Connection) -> Result<(), Error> {
        self.keep_log(connection, false)
    }

    fn keep_log(&self, connection: &Connection, keep: bool) -> Result<(), Error> {
        let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
        set.map(drop).map_err(|error| self.failed(&error))
    }

    /// A connection that only reads.
    pub fn connect_reader(&self) -> Result<Connection, Error> {
        self.open(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
    }

    pub fn size_bytes(&self) -> u64 {
        let len = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        len(&self.database) + len(&self.wal())
    }

    pub fn wal(&self) -> PathBuf {
        let mut name = self.database.clone().into_os_string();
        name.push("-wal");
        name.into()
    }

    /// The log as the last process left it, before SQLite takes from it what it trusts.
    pub fn read_wal(&self) -> Result<Vec<u8>, Error> {
        #[cfg(test)]
        if self.vfs.is_some() {
            return Ok(super::power_loss::read(&self.wal()));
        }
        match std::fs::read(self.wal()) {
            Ok(log) => Ok(log),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::Unavailable(format!("cannot read {}: {error}", self.wal().display()))),
        }
    }

    /// What a failure of SQLite means here, with the file's name in it.
    pub fn failed(&self, error: &rusqlite::Error) -> Error {
        let message = format!("{}: {error}", self.database.display());
        if is_damage(error) { Error::Damaged(message) } else { Error::Unavailable(message) }
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection, Error> {
        let opened = match &self.vfs {
            None => Connection::open_with_flags(&self.database, flags),
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.database, flags, vfs.as_str()),
        };
        opened.map_err(|error| self.failed(&error))
    }
}

/// Whether the file is at fault, and not what surrounds it.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(failure.code, DatabaseCorrupt | NotADatabase),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

/// Makes the tables in a new file, and refuses a file that is not ours or newer than this program.
pub fn prepare(connection: &mut Connection, files: &Files) -> Result<(), Error> {
    let failed = |error: rusqlite::Error| files.failed(&error);
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
    let (application, version) = (pragma("application_id").map_err(failed)?, pragma("user_version").map_err(failed)?);
    let path = files.database.display();
    match (application, version) {
        (APPLICATION_ID, SCHEMA_VERSION) => Ok(()),
        (APPLICATION_ID, newer) if newer > SCHEMA_VERSION => Err(Error::Unavailable(format!(
            "{path} was written by a newer version (format {newer}, this one knows {SCHEMA_VERSION}): use that version"
        ))),
        (0, 0) => {
            let tables: i64 =
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
            if tables > 0 {
                return Err(Error::Unavailable(format!(
                    "{path} is another program's database; choose another directory"
                )));
            }
            create(connection).map_err(failed)
        }
        (APPLICATION_ID, _) => Err(Error::Damaged(format!("{path}: there was never a format {version}"))),
        _ => Err(Error::Unavailable(format!("{path} is another program's database; choose another directory"))),
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    write_facts(&transaction, &Facts { revision: 1, compacted: 0, cleaned: 0, live: 0, lease: 0 })?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

// === the counters ===

pub fn read_facts(connection: &Connection, files: &Files) -> Result<Facts, Error> {
    let read = |row: &Row| {
        let facts = Facts {
            revision: row.get(0)?,
            compacted: row.get(1)?,
            cleaned: row.get(2)?,
            live: row.get(3)?,
            lease: row.get(4)?,
        };
        Ok((facts, row.get::<_, i64>(5)?))
    };
    let sql = "SELECT revision, compacted, cleaned, live, lease, crc FROM facts";
    let found = connection.query_row(sql, [], read).optional().map_err(|error| files.failed(&error))?;
    match found {
        Some((facts, crc)) if crc == facts.crc() => Ok(facts),
        _ => Err(Error::Damaged(format!("{}: the counters are not what was written", files.database.display()))),
    }
}

/// The page of the file on which the counters stand.
pub fn facts_page(connection: &Connection, files: &Files) -> Result<u32, Error> {
    let page = connection.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'facts'", [], |row| row.get(0));
    page.map_err(|error| files.failed(&error))
}

pub fn write_facts(connection: &Connection, facts: &Facts) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO facts (one, revision, compacted, cleaned, live, lease, crc, mark) VALUES (1, ?, ?, ?, ?, ?, ?, ?)";
    let Facts { revision, compacted, cleaned, live, lease } = *facts;
    let values = params![revision, compacted, cleaned, live, lease, facts.crc(), tail::mark(revision, compacted)];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

impl Facts {
    fn crc(&self) -> i64 {
        let Facts { revision, compacted, cleaned, live, lease } = *self;
        let mut hasher = crc32fast::Hasher::new();
        for word in [revision, compacted, cleaned as u64, live, lease as u64] {
            hasher.update(&word.to_le_bytes());
        }
        i64::from(hasher.finalize())
    }
}

// === the log ===

pub fn insert(connection: &Connection, row: &LogRow) -> rusqlite::Result<()> {
    let sql = "INSERT INTO log (id, previous, created, lease, crc, key, value) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let LogRow { id, previous, created, lease, key, value } = row;
    let crc = row_crc(*id, *previous, *created, *lease, key, value.as_deref());
    connection.prepare_cached(sql)?.execute(params![id, previous, created, lease, crc, key, value.as_deref()]).map(drop)
}

/// The columns that [`log_row`] reads.
pub const LOG_COLUMNS: &str = "id, previous, created, lease, crc, key, value";

/// Reads a row and checks that it is what was written.
pub fn log_row(row: &Row, files: &Files) -> Result<LogRow, Error> {
    let read = || -> rusqlite::Result<(LogRow, i64)> {
        let value = row.get_ref(6)?.as_blob_or_null().map_err(|_| damaged_column(6))?;
        let read = LogRow {
            id: row.get(0)?,
            previous: row.get(1)?,
            created: row.get(2)?,
            lease: row.get(3)?,
            key: row.get(5)?,
            value: value.map(Bytes::copy_from_slice),
        };
        Ok((read, row.get(4)?))
    };
    let (read, crc) = read().map_err(|error| files.failed(&error))?;
    let LogRow { id, previous, created, lease, key, value } = &read;
    if crc != row_crc(*id, *previous, *created, *lease, key, value.as_deref()) {
        let path = files.database.display();
        return Err(Error::Damaged(format!("{path}: row {id} of the log is not what was written")));
    }
    Ok(read)
}

impl LogRow {
    pub fn live(&self) -> Option<Live> {
        let value = self.value.clone()?;
        Some(Live { value, create_revision: self.created, lease: self.lease, row: self.id })
    }
}

fn damaged_column(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "value".to_owned(), rusqlite::types::Type::Text)
}

fn row_crc(id: RowId, previous: RowId, created: Revision, lease: LeaseId, key: &str, value: Option<&[u8]>) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for word in [id as u64, previous as u64, created, lease as u64, key.len() as u64, u64::from(value.is_some())] {
        hasher.update(&word.to_le_bytes());
    }
    hasher.update(key.as_bytes());
    hasher.update(value.unwrap_or_default());
    i64::from(hasher.finalize())
}

// === leases ===

pub fn insert_lease(connection: &Connection, lease: &LeaseRow) -> rusqlite::Result<()> {
    let sql = "INSERT INTO lease (id, ttl_seconds, ends_at) VALUES (?, ?, ?)";
    connection.prepare_cached(sql)?.execute(params![lease.id, lease.ttl_seconds, lease.ends_at]).map(drop)
}

pub fn delete_lease(connection: &Connection, id: LeaseId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM lease WHERE id = ?")?.execute([id]).map(drop)
}

pub fn read_leases(connection: &Connection, files: &Files) -> Result<Vec<LeaseRow>, Error> {
    let read = || {
        let mut statement = connection.prepare("SELECT id, ttl_seconds, ends_at FROM lease ORDER BY id")?;
        let lease = |row: &Row| Ok(LeaseRow { id: row.get(0)?, ttl_seconds: row.get(1)?, ends_at: row.get(2)? });
        statement.query_map([], lease)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(|error| files.failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_synced_unless_nothing_has_to_last() -> Result<(), Error> {
        let directory = tempfile::tempdir().expect("a directory");
        for (durable, wanted) in [(true, 2), (false, 0)] {
            let files = Files { durable, ..Files::in_directory(directory.path()) };
            let found: i64 = files.connect()?.query_row("PRAGMA synchronous", [], |row| row.get(0)).expect("a setting");
            assert_eq!(found, wanted);
        }
        Ok(())
    }
}
