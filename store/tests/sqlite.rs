//! What the sqlite backend promises beyond the suite: leases that outlive a restart, limits, feeds that fall behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use store::backends::sqlite::{Config, Sqlite};
use store::{Error, Event, Op, Range, Store, Txn};

fn config(directory: &Path, time: &Arc<AtomicI64>) -> Config {
    let time = time.clone();
    Config::new(directory, Arc::new(move || time.load(Ordering::SeqCst)))
}

fn put(key: &str, value: impl Into<Bytes>, lease: i64) -> Txn {
    Txn { guards: vec![], ops: vec![Op::Put { key: key.to_owned(), value: value.into(), lease }] }
}

#[tokio::test]
async fn a_lease_ends_by_the_clock_that_is_handed_in_and_outlives_a_restart() {
    let (directory, time) = (tempfile::tempdir().expect("a directory"), Arc::new(AtomicI64::new(100)));
    let store = Sqlite::open(config(directory.path(), &time)).expect("a store");
    let lease = store.lease(60).await.expect("a lease");
    for key in ["/a", "/b"] {
        store.commit(put(key, "v", lease)).await.expect("a commit");
    }
    drop(store);
    time.store(159, Ordering::SeqCst);
    let store = Sqlite::open(config(directory.path(), &time)).expect("a store");
    store.expire().await.expect("nothing is due");
    assert_eq!(store.range(Range::default()).await.expect("a read").count, 2);
    let before = store.revision().await.expect("a revision");
    let mut feed = store.follow("/", before).await.expect("a feed");
    time.store(160, Ordering::SeqCst);
    store.expire().await.expect("they end");
    assert_eq!(store.range(Range::default()).await.expect("a read").count, 0);
    let events = feed.next().await.expect("events");
    assert!(events.iter().all(|event| matches!(event, Event::Delete { .. })), "{events:?}");
    assert_eq!(events.iter().map(Event::revision).collect::<Vec<_>>(), [before + 1; 2], "one revision for all");
    let late = store.commit(put("/c", "v", lease)).await;
    assert!(matches!(late, Err(Error::Invalid(_))), "{late:?}");
}

#[tokio::test]
async fn a_request_is_too_large_above_the_limit_and_not_at_it() {
    let (directory, time) = (tempfile::tempdir().expect("a directory"), Arc::default());
    let config = Config { request_bytes_max: 1000, ..config(directory.path(), &time) };
    let store = Sqlite::open(config).expect("a store");
    for len in [997, 998] {
        store.commit(put("/k", vec![0; len], 0)).await.expect("it fits");
    }
    let above = store.commit(put("/k", vec![0; 999], 0)).await;
    assert!(matches!(above, Err(Error::TooLarge)), "{above:?}");
}

#[tokio::test]
async fn a_quiet_feed_says_how_far_it_is_once_a_revision_was_confirmed() {
    let (directory, time) = (tempfile::tempdir().expect("a directory"), Arc::default());
    let store = Sqlite::open(config(directory.path(), &time)).expect("a store");
    let mut feed = store.follow("/quiet/", 1).await.expect("a feed");
    store.commit(put("/busy/a", "v", 0)).await.expect("a commit");
    let confirmed = store.revision().await.expect("a revision");
    assert_eq!(feed.next().await.expect("a progress"), [Event::Progress(confirmed)]);
}

#[tokio::test]
async fn a_feed_that_slept_through_a_compaction_is_told_so() {
    let (directory, time) = (tempfile::tempdir().expect("a directory"), Arc::default());
    let store = Sqlite::open(config(directory.path(), &time)).expect("a store");
    let mut feed = store.follow("/", 1).await.expect("a feed");
    for _ in 0..10 {
        store.commit(put("/k", "v", 0)).await.expect("a commit");
    }
    store.compact(8).await.expect("a compaction");
    let told = feed.next().await;
    assert!(matches!(told, Err(Error::Compacted { oldest: 8 })), "{told:?}");
    let mut feed = store.follow("/", 7).await.expect("a feed");
    assert_eq!(feed.next().await.expect("events").first().map(Event::revision), Some(8));
}

#[tokio::test]
async fn closing_the_store_ends_its_feeds() {
    let (directory, time) = (tempfile::tempdir().expect("a directory"), Arc::default());
    let store = Sqlite::open(config(directory.path(), &time)).expect("a store");
    let mut feed = store.follow("/", 1).await.expect("a feed");
    drop(store);
    let told = feed.next().await;
    assert!(matches!(told, Err(Error::Unavailable(_))), "{told:?}");
}

/// Compacted history is cleaned up while the store goes on, and what is live stays whole.
#[tokio::test]
async fn compacting_makes_room() {
    let (directory, time) = (tempfile::tempdir().expect("a directory"), Arc::default());
    let store = Sqlite::open(config(directory.path(), &time)).expect("a store");
    for round in 0..10 {
        for index in 0..200 {
            store.commit(put(&format!("/k{}", index % 20), vec![round; 2000], 0)).await.expect("a commit");
        }
        store.compact(store.revision().await.expect("a revision")).await.expect("a compaction");
    }
    let ought = store.range(Range::default()).await.expect("a read").entries;
    drop(store);
    let store = Sqlite::open(config(directory.path(), &time)).expect("a store");
    assert_eq!(store.range(Range::default()).await.expect("a read").entries, ought);
    drop(store);
    let len = std::fs::metadata(directory.path().join("skiff.db")).expect("a file").len();
    assert!(len < 2_000_000, "4 MB were written, 40 kB are live, {len} bytes are taken");
}
