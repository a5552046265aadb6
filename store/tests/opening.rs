//! What a store says when it cannot be opened, or must not be: one clear error, and nothing served from it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use store::backends::sqlite::{Config, Sqlite};
use store::{Entry, Error, Op, Range, Store, Txn};

fn open(directory: &Path) -> Result<Arc<Sqlite>, Error> {
    Sqlite::open(Config::new(directory, Arc::new(|| 0)))
}

fn refusal(directory: &Path) -> Error {
    match open(directory) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_second_process_is_told_which_directory_and_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = open(directory.path()).expect("a store");
    let error = refusal(directory.path()).to_string();
    assert!(error.contains(&directory.path().display().to_string()) && error.contains("another process"), "{error}");
    drop(first);
    open(directory.path()).expect("the first has let go");
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(open(directory.path()).expect("a store"));
    let other = rusqlite::Connection::open(directory.path().join("skiff.db")).expect("a database");
    other.pragma_update(None, "user_version", 2).expect("a setting");
    drop(other);
    let error = refusal(directory.path());
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("newer version")), "{error}");
}

#[tokio::test]
async fn another_programs_file_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let other = rusqlite::Connection::open(directory.path().join("skiff.db")).expect("a database");
    other.execute_batch("CREATE TABLE theirs (a)").expect("a table");
    drop(other);
    let error = refusal(directory.path());
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("another program")), "{error}");
    std::fs::write(directory.path().join("skiff.db"), vec![b'x'; 8192]).expect("a file");
    let error = refusal(directory.path());
    assert!(matches!(error, Error::Damaged(_)), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let error = refusal(&file.join("below"));
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("file/below")), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    put(&*store, "/k", b"secret").await;
    for file in std::fs::read_dir(directory.path()).expect("a list") {
        let file = file.expect("an entry");
        let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}

/// Flips one bit at a time all over the file: it is seen, or it changed nothing that anybody reads.
#[tokio::test]
async fn a_flipped_bit_is_seen_or_harmless() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).expect("a store");
    for index in 0..60 {
        put(&*store, &format!("/k{}", index % 20), &vec![index as u8; 300 + 40 * index]).await;
    }
    let ought = everything(&*store).await;
    drop(store);
    let path = directory.path().join("skiff.db");
    let whole = std::fs::read(&path).expect("a file");
    assert!(!directory.path().join("skiff.db-wal").exists(), "closing folds the log into the database");
    let (mut seen, mut harmless) = (0, 0);
    for flip in 0..400 {
        let at = (flip * 7919 * 13) % (whole.len() * 8);
        let mut damaged = whole.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        std::fs::write(&path, damaged).expect("a file");
        match open(directory.path()) {
            Err(_) => seen += 1,
            Ok(store) => {
                assert_eq!(everything(&*store).await, ought, "bit {at}");
                harmless += 1;
            }
        }
    }
    assert!(seen > 200, "{seen} seen, {harmless} harmless");
}

/// As above in the log of a store that was killed: at most the last group may look as if it had not been written.
#[tokio::test]
async fn a_damaged_log_is_not_a_shorter_one() {
    let (killed, ought) = killed_store().await;
    let wal = std::fs::read(killed.path().join("skiff.db-wal")).expect("a log");
    let mut seen = 0;
    for flip in 0..300 {
        let at = (flip * 7919 * 13) % (wal.len() * 8);
        let mut damaged = wal.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::copy(killed.path().join("skiff.db"), directory.path().join("skiff.db")).expect("a copy");
        std::fs::write(directory.path().join("skiff.db-wal"), damaged).expect("a file");
        match open(directory.path()) {
            Err(error) => {
                assert!(matches!(error, Error::Damaged(_)), "bit {at}: {error}");
                seen += 1;
            }
            Ok(store) => {
                let revision = store.revision().await.expect("a revision");
                assert!(revision + 1 >= ought, "bit {at}: back from {ought} to {revision} without a word");
            }
        }
    }
    assert!(seen > 200, "{seen} seen");
}

/// What a killed process leaves: the files as they are while the store is open. And its revision.
async fn killed_store() -> (tempfile::TempDir, u64) {
    let (directory, copy) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let store = open(directory.path()).expect("a store");
    for index in 0..40 {
        put(&*store, &format!("/k{}", index % 20), &[index as u8; 500]).await;
    }
    for name in ["skiff.db", "skiff.db-wal"] {
        std::fs::copy(directory.path().join(name), copy.path().join(name)).expect("a copy");
    }
    let revision = store.revision().await.expect("a revision");
    (copy, revision)
}

async fn put(store: &dyn Store, key: &str, value: &[u8]) {
    let put = Op::Put { key: key.to_owned(), value: Bytes::copy_from_slice(value), lease: 0 };
    store.commit(Txn { guards: vec![], ops: vec![put] }).await.expect("a commit");
}

async fn everything(store: &dyn Store) -> Vec<Entry> {
    store.range(Range::default()).await.expect("a read").entries
}
