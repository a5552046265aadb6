//! Opening: reads the whole log once, and believes nothing it does not find to be what was written.
//!
//! Every row is checksummed, revisions above the compaction have no gap, each row replaces the one that was live before
//! it, the last row is the one that the counter names, and as many keys live as were counted. So a lost page, a lost
//! tail and a flipped bit are seen here, before anything is served from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::checkpoint;
use super::disk::{self, Facts, Files, LogRow};
use super::state::{Live, LiveMap, row_id, row_place, row_revision};
use super::tail;
use super::writer::Beginning;
use crate::Error;

/// What a store begins with.
pub struct Loaded {
    pub live: LiveMap,
    pub begin: Beginning,
}

struct Replay<'a> {
    files: &'a Files,
    facts: Facts,
    live: BTreeMap<Arc<str>, Live>,
    last: i64,
}

/// Opens or makes the database and reads it.
pub fn open(files: &Files) -> Result<Loaded, Error> {
    make_private(files)?;
    let log = files.read_wal()?;
    // SQLite would throw the log away.
    if files.vfs.is_none() && !log.is_empty() && std::fs::metadata(&files.database).is_ok_and(|file| file.len() == 0) {
        return Err(Error::Damaged(format!("{}: it is empty, and its log is not", files.database.display())));
    }
    let mut connection = files.connect_keeping_log()?;
    disk::prepare(&mut connection, files)?;
    let facts = disk::read_facts(&connection, files)?;
    if let Some(lost) = tail::lost(&log, disk::facts_page(&connection, files)?, facts.revision) {
        let path = files.wal();
        let message =
            format!("{}: the log breaks off at revision {}, but {lost} was written", path.display(), facts.revision);
        return Err(Error::Damaged(message));
    }
    let live = replay(&connection, files, facts)?;
    let leases = disk::read_leases(&connection, files)?;
    files.let_log_go(&connection)?;
    // From here on what lies in the log was written by this process: see `tail`. A full disk does not hinder reading.
    let log_is_stale = checkpoint::emptying(&connection).is_err();
    Ok(Loaded { live, begin: Beginning { connection, facts, leases, log_is_stale } })
}

/// SQLite gives its other files the rights of the database, so that one is made first, for its owner alone.
fn make_private(files: &Files) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    if files.vfs.is_some() {
        return Ok(());
    }
    let mut options = std::fs::OpenOptions::new();
    let made = options.create(true).append(true).mode(0o600).open(&files.database);
    made.map(drop).map_err(|error| Error::Unavailable(format!("cannot use {}: {error}", files.database.display())))
}

fn replay(connection: &Connection, files: &Files, facts: Facts) -> Result<LiveMap, Error> {
    let failed = |error: rusqlite::Error| files.failed(&error);
    let sql = format!("SELECT {} FROM log ORDER BY id", disk::LOG_COLUMNS);
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut replay = Replay { files, facts, live: BTreeMap::new(), last: row_id(1, 0) };
    while let Some(row) = rows.next().map_err(failed)? {
        replay.take(disk::log_row(row, files)?)?;
    }
    replay.finish()
}

// === impl Replay ===

impl Replay<'_> {
    fn take(&mut self, row: LogRow) -> Result<(), Error> {
        self.check_order(&row)?;
        self.check_previous(&row)?;
        self.last = row.id;
        match row.live() {
            Some(live) => drop(self.live.insert(row.key.into(), live)),
            None => drop(self.live.remove(row.key.as_str())),
        }
        Ok(())
    }

    /// At and above the compaction every revision is there, and every place of each.
    fn check_order(&self, row: &LogRow) -> Result<(), Error> {
        let (revision, last) = (row_revision(row.id), row_revision(self.last));
        let next_place = row.id == self.last + 1 && revision == last;
        let next_revision = row_place(row.id) == 0 && revision == last + 1;
        let may_have_gaps = revision <= self.facts.compacted;
        if next_place || next_revision || may_have_gaps {
            return Ok(());
        }
        Err(self.damaged(format!("the log goes from revision {last} to {revision}")))
    }

    /// What a row replaces is what was live; it may be gone only when a compaction took it.
    fn check_previous(&self, row: &LogRow) -> Result<(), Error> {
        let standing = self.live.get(row.key.as_str()).map(|live| live.row);
        let right = match standing {
            Some(standing) => row.previous == standing,
            None => row.previous == 0 || row_revision(row.previous) < self.facts.compacted,
        };
        if right { Ok(()) } else { Err(self.damaged(format!("row {} does not follow {}", row.id, row.previous))) }
    }

    fn finish(self) -> Result<LiveMap, Error> {
        let Facts { revision, live, .. } = self.facts;
        if row_revision(self.last) != revision {
            let last = row_revision(self.last);
            return Err(self.damaged(format!("the log ends at revision {last}, the counter says {revision}")));
        }
        if self.live.len() as u64 != live {
            let found = self.live.len();
            return Err(self.damaged(format!("{found} keys are there, {live} were written")));
        }
        Ok(self.live.into_iter().collect())
    }

    fn damaged(&self, what: String) -> Error {
        Error::Damaged(format!("{}: {what}", self.files.database.display()))
    }
}
