//! What must hold when many write at once: no update is lost, and a follower sees each change once and in order.

use std::sync::Arc;

use bytes::Bytes;
use store::{Event, Guard, Op, Outcome, Store, Txn};

use super::laws;

const TASKS: u64 = 16;
const ROUNDS: u64 = 20;

/// Every task adds one to the same number, by compare-and-swap; the sum and the events have to come out right.
pub async fn increments(store: Arc<dyn Store>, key: &str) {
    let began_at = store.revision().await.expect("a revision");
    let mut feed = store.follow(key, began_at).await.expect("a feed");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (store, key) = (store.clone(), key.to_owned());
        tasks.spawn(async move {
            for _ in 0..ROUNDS {
                increment(&*store, &key).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("no task panics");
    }
    let (entry, revision) = store.get(key).await.expect("a read");
    assert_eq!(number(&entry.expect("it was written").value), TASKS * ROUNDS);
    let (events, _) = laws::take(&mut feed, revision).await.expect("a feed to the end");
    let seen: Vec<u64> = events.iter().map(put).collect();
    assert_eq!(seen, (1..=TASKS * ROUNDS).collect::<Vec<_>>());
    let revisions: Vec<u64> = events.iter().map(Event::revision).collect();
    assert!(revisions.is_sorted_by(|a, b| a < b), "one revision per commit: {revisions:?}");
}

async fn increment(store: &dyn Store, key: &str) {
    loop {
        let (entry, _) = store.get(key).await.expect("a read");
        let (guard, was) = match entry {
            None => (Guard::Absent(key.to_owned()), 0),
            Some(entry) => (Guard::AtRevision(key.to_owned(), entry.mod_revision), number(&entry.value)),
        };
        let value = Bytes::from((was + 1).to_string());
        let txn = Txn { guards: vec![guard], ops: vec![Op::Put { key: key.to_owned(), value, lease: 0 }] };
        match store.commit(txn).await.expect("a commit") {
            Outcome::Committed(_) => return,
            Outcome::Refused(standing) => assert!(standing[0].is_some(), "it is never deleted"),
        }
    }
}

fn put(event: &Event) -> u64 {
    match event {
        Event::Put { entry, .. } => number(&entry.value),
        other => panic!("nothing but puts happened: {other:?}"),
    }
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).expect("a number was written")
}
