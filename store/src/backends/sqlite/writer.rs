//! The one that writes: takes a group, decides it, makes it durable, publishes it, and only then answers.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::checkpoint;
use super::disk::{self, Facts, LeaseRow};
use super::queue::{Answer, Request};
use super::shared::Shared;
use super::stage::{Leases, Stage};
use super::state::{RowId, row_id, row_revision};
use crate::backends::Clock;
use crate::{Error, LeaseId, Outcome};

/// How often the writer looks at the leases when nothing else wakes it.
const LEASE_PATIENCE: Duration = Duration::from_secs(1);
/// How many rows are looked at for a compaction between two groups.
const CLEAN_ROWS_MAX: usize = 512;

pub struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    facts: Facts,
    leases: Leases,
    now: Clock,
    /// Behind the log's end lies what an earlier process or a commit on a full disk left: it goes before the next one.
    log_is_stale: bool,
    /// For tests of the tests: answers before the commit.
    #[cfg(test)]
    pub answers_early: bool,
}

/// What the writer is given of what was loaded.
pub struct Beginning {
    pub connection: Connection,
    pub facts: Facts,
    pub leases: Vec<LeaseRow>,
    pub log_is_stale: bool,
}

/// An answer that waits for its group to be durable.
enum Pending {
    Outcome(Answer<Outcome>, Result<Outcome, Error>),
    Done(Answer<()>, Result<(), Error>),
    Lease(Answer<LeaseId>, Result<LeaseId, Error>),
}

/// How a group failed on disk.
struct Failure {
    error: rusqlite::Error,
    /// The commit itself failed, so what the disk holds is not known.
    at_commit: bool,
}

/// Ends the store's life for everyone when the writer's thread ends, by whatever way.
struct LastWords(Arc<Shared>);

// === impl Writer ===

impl Writer {
    pub fn new(shared: Arc<Shared>, begin: Beginning, now: Clock) -> Writer {
        let Beginning { connection, facts, leases, log_is_stale } = begin;
        let leases = Leases::new(leases, &shared.state.read().live);
        Writer {
            shared,
            connection,
            facts,
            leases,
            now,
            log_is_stale,
            #[cfg(test)]
            answers_early: false,
        }
    }

    /// For tests of the tests: what is committed is no longer synced.
    #[cfg(test)]
    pub fn stop_syncing(&self) {
        self.connection.pragma_update(None, "synchronous", "OFF").expect("a setting of the connection alone");
    }

    /// Works until the queue is closed and empty.
    pub fn run(mut self, group_len_max: usize) {
        let _last_words = LastWords(self.shared.clone());
        let shared = self.shared.clone();
        while let Some(requests) = shared.queue.take(group_len_max, self.patience()) {
            self.group(requests);
            if self.is_dirty() {
                self.clean();
            }
            if std::mem::take(&mut shared.checkpoint.lock().finish) {
                self.checkpoint();
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        match (self.is_dirty(), self.leases.is_empty()) {
            (true, _) => Some(Duration::ZERO),
            (false, false) => Some(LEASE_PATIENCE),
            (false, true) => None,
        }
    }

    /// Carries out requests together: one transaction, one sync.
    pub fn group(&mut self, requests: Vec<Request>) {
        if let Err(error) = self.shared.check_writable().and_then(|()| self.make_room()) {
            let pending = requests.into_iter().map(|request| Pending::refuse(request, &error));
            return pending.for_each(Pending::answer);
        }
        let now = (self.now)();
        let shared = self.shared.clone();
        let state = shared.state.read();
        let mut stage = Stage::new(&state.live, &self.leases, self.facts);
        stage.end_leases(now);
        let pending: Vec<Pending> = requests.into_iter().map(|request| decide(&mut stage, request, now)).collect();
        #[cfg(test)]
        let pending = if self.answers_early { answer_all(pending) } else { pending };
        if stage.is_idle(&self.facts) {
            return pending.into_iter().for_each(Pending::answer);
        }
        let written = write(&self.connection, &stage);
        match written {
            Ok(()) => {
                let Stage { facts, changed, events, leases_begun, leases_ended, .. } = stage;
                drop(state);
                self.note_pages(&events);
                self.publish(facts, changed, events);
                self.leases.begin(leases_begun);
                self.leases.end(&leases_ended);
                pending.into_iter().for_each(Pending::answer);
            }
            Err(failure) => {
                drop(state);
                let error = self.fail(failure);
                pending.into_iter().for_each(|pending| pending.failed(&error).answer());
            }
        }
    }

    /// Memory first, then the followers; who is answered after this reads what was written.
    fn publish(&mut self, facts: Facts, changed: Changed, events: Vec<crate::Event>) {
        self.facts = facts;
        let mut state = self.shared.state.write();
        // Each key stands once, so the order is nobody's business.
        #[allow(clippy::iter_over_hash_type)]
        for (key, live) in changed {
            let lease = live.as_ref().map_or(0, |live| live.lease);
            let was = match live {
                Some(live) => state.live.insert(key.clone(), live),
                None => state.live.remove(&key),
            };
            self.leases.moved(&key, was.map_or(0, |was| was.lease), lease);
        }
        state.revision = facts.revision;
        state.compacted = facts.compacted;
        let group = state.ring.push(events);
        drop(state);
        if let Some(group) = group {
            self.shared.followers.wake(&group.events);
        }
    }

    /// Undoes the transaction and says what those who waited for it are told.
    fn fail(&mut self, failure: Failure) -> Error {
        let Failure { error, at_commit } = failure;
        if !self.connection.is_autocommit() {
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        let told = self.shared.files.failed(&error);
        if is_full(&error) && self.connection.is_autocommit() {
            // The system refused a write, so the commit is not whole, and SQLite has taken it back.
            self.log_is_stale = true;
            return Error::Unavailable(told.to_string());
        }
        self.shared.break_down(told.to_string());
        if at_commit { Error::Unknown(told.to_string()) } else { told }
    }

    /// Empties a stale log, because what lies behind its end would look like commits that were lost ([`super::tail`]).
    /// Fails as long as the disk is full.
    fn make_room(&mut self) -> Result<(), Error> {
        if !self.log_is_stale {
            return Ok(());
        }
        checkpoint::emptying(&self.connection).map_err(|error| self.shared.files.failed(&error))?;
        self.log_is_stale = false;
        Ok(())
    }

    // === after a compaction ===

    /// Whether rows are left that a compaction has made superfluous.
    pub fn is_dirty(&self) -> bool {
        !self.log_is_stale
            && self.facts.cleaned < row_id(self.facts.compacted + 1, 0)
            && self.shared.check_writable().is_ok()
    }

    /// Deletes a few of the rows that a compaction made superfluous: those that were replaced up to it, and what says
    /// that a key was deleted before it. The file does not shrink; its pages are used again.
    pub fn clean(&mut self) {
        let end = row_id(self.facts.compacted + 1, 0);
        let cleaned = clean_rows(&self.connection, self.facts, end);
        match cleaned {
            Ok(facts) => {
                self.facts = facts;
                self.shared.note_pages(CLEAN_ROWS_MAX / 4);
            }
            Err(failure) => drop(self.fail(failure)),
        }
    }

    // === checkpoints ===

    /// Folds what is left of the log into the database, so that the next write begins the log anew.
    pub fn checkpoint(&self) -> bool {
        checkpoint::passive(&self.connection).is_ok()
    }

    fn note_pages(&self, events: &[crate::Event]) {
        let bytes: usize = events.iter().map(value_len).sum();
        self.shared.note_pages(2 + bytes.div_ceil(4096));
    }
}

type Changed = std::collections::HashMap<Arc<str>, Option<super::state::Live>>;

fn decide(stage: &mut Stage, request: Request, now: i64) -> Pending {
    match request {
        Request::Commit { txn, answer } => Pending::Outcome(answer, stage.commit(txn)),
        Request::Compact { revision, answer } => Pending::Done(answer, stage.compact(revision)),
        Request::Lease { ttl_seconds, answer } => Pending::Lease(answer, Ok(stage.lease(ttl_seconds, now))),
        Request::Expire { answer } => Pending::Done(answer, Ok(())),
    }
}

fn write(connection: &Connection, stage: &Stage) -> Result<(), Failure> {
    let rows = || {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        stage.rows.iter().try_for_each(|row| disk::insert(connection, row))?;
        stage.leases_begun.iter().try_for_each(|lease| disk::insert_lease(connection, lease))?;
        stage.leases_ended.iter().try_for_each(|id| disk::delete_lease(connection, *id))?;
        disk::write_facts(connection, &stage.facts)
    };
    rows().map_err(|error| Failure { error, at_commit: false })?;
    commit(connection)
}

fn commit(connection: &Connection) -> Result<(), Failure> {
    let committed = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    committed.map(drop).map_err(|error| Failure { error, at_commit: true })
}

/// Looks at the next rows below `end`; the counters as they are afterwards.
fn clean_rows(connection: &Connection, mut facts: Facts, end: RowId) -> Result<Facts, Failure> {
    let mut clean = || -> rusqlite::Result<()> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let sql = "SELECT id, previous, value IS NULL FROM log WHERE id >= ? AND id < ? ORDER BY id LIMIT ?";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(params![facts.cleaned, end, CLEAN_ROWS_MAX as i64])?;
        let (mut superfluous, mut last) = (Vec::new(), None);
        let mut len = 0;
        while let Some(row) = rows.next()? {
            let (id, previous, deleted): (RowId, RowId, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            superfluous.extend((previous != 0).then_some(previous));
            superfluous.extend((deleted && row_revision(id) < facts.compacted).then_some(id));
            (last, len) = (Some(id), len + 1);
        }
        let mut delete = connection.prepare_cached("DELETE FROM log WHERE id = ?")?;
        for id in superfluous {
            delete.execute([id])?;
        }
        facts.cleaned = match last {
            Some(last) if len == CLEAN_ROWS_MAX => last + 1,
            _ => end,
        };
        disk::write_facts(connection, &facts)
    };
    clean().map_err(|error| Failure { error, at_commit: false })?;
    commit(connection)?;
    Ok(facts)
}

fn is_full(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(failure, _) if failure.code == rusqlite::ErrorCode::DiskFull)
}

fn value_len(event: &crate::Event) -> usize {
    match event {
        crate::Event::Put { entry, .. } => entry.key.len() + entry.value.len() + 64,
        crate::Event::Delete { key, .. } => key.len() + 64,
        crate::Event::Progress(_) => 0,
    }
}

#[cfg(test)]
fn answer_all(pending: Vec<Pending>) -> Vec<Pending> {
    pending.into_iter().for_each(Pending::answer);
    Vec::new()
}

// === impl Pending ===

impl Pending {
    fn refuse(request: Request, error: &Error) -> Pending {
        match request {
            Request::Commit { answer, .. } => Pending::Outcome(answer, Err(error.clone())),
            Request::Compact { answer, .. } | Request::Expire { answer } => Pending::Done(answer, Err(error.clone())),
            Request::Lease { answer, .. } => Pending::Lease(answer, Err(error.clone())),
        }
    }

    /// Its group failed: even a refusal may rest on what was not written.
    fn failed(self, error: &Error) -> Pending {
        match self {
            Pending::Outcome(answer, _) => Pending::Outcome(answer, Err(error.clone())),
            Pending::Done(answer, _) => Pending::Done(answer, Err(error.clone())),
            Pending::Lease(answer, _) => Pending::Lease(answer, Err(error.clone())),
        }
    }

    /// Whoever asked may have gone away meanwhile; then nobody is told.
    fn answer(self) {
        match self {
            Pending::Outcome(answer, told) => drop(answer.send(told)),
            Pending::Done(answer, told) => drop(answer.send(told)),
            Pending::Lease(answer, told) => drop(answer.send(told)),
        }
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.break_down("the writer panicked".to_owned());
        }
        self.0.queue.abandon();
        self.0.followers.close();
    }
}
