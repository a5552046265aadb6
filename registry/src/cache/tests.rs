//! Cases for the cache's log and snapshots.

use std::sync::Arc;

use api::Value;
use bytes::Bytes;

use super::{Cache, Change, Entry, Fallen, Head};

fn entry(key: &str, revision: u64) -> Arc<Entry> {
    let json = Bytes::from_static(b"{\"kind\":\"K\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}}");
    let head = Head { labels: Value::Null, ..Head::default() };
    Arc::new(Entry { key: key.into(), revision, head, json, splice: 52, body: 30 })
}

#[tokio::test]
async fn a_cursor_sees_every_change_once_and_in_order() {
    let cache = Cache::new();
    cache.load(vec![entry("a", 5)], 7);
    let mut cursor = cache.cursor(7).expect("7 is where the log begins");
    cache.apply(vec![Change::Put(entry("b", 8)), Change::Delete { key: "a".into(), revision: 9 }], 0);
    let mut events = vec![];
    cursor.next(10, &mut events).await.expect("nothing has fallen out");
    let seen: Vec<(u64, bool)> = events.iter().map(|e| (e.revision(), e.deleted)).collect();
    assert_eq!(seen, [(8, false), (9, true)]);
    assert_eq!(events[1].previous.as_ref().map(|p| p.revision), Some(5));
    assert_eq!(cache.cursor(6).err(), Some(Fallen));
}

#[test]
fn the_window_forgets_by_age_but_keeps_the_last_thousand() {
    let cache = Cache::new();
    for revision in 1..=1500 {
        cache.apply(vec![Change::Put(entry("a", revision))], revision as i64);
    }
    assert!(cache.cursor(1).is_err());
    assert!(cache.cursor(1200).is_ok());
    let mut events = vec![];
    cache.cursor(1499).and_then(|mut c| c.take_ready(10, &mut events)).expect("1500 is there");
    assert_eq!(events.len(), 1);
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let cache = Cache::new();
    cache.apply(vec![Change::Put(entry("a", 1))], 0);
    let before = cache.snapshot(0);
    cache.apply(vec![Change::Put(entry("b", 2))], 0);
    assert_eq!((before.objects.len(), before.revision), (1, 1));
    assert_eq!(cache.snapshot(9).revision, 9);
}

#[test]
fn the_revision_is_spliced_in_behind_the_name() {
    let mut out = vec![];
    entry("a", 12).write("{", &mut out);
    assert_eq!(out, b"{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"12\"}}");
}

#[tokio::test]
async fn who_watched_before_everything_was_read_anew_begins_anew_too() {
    let cache = Cache::new();
    cache.load(Vec::new(), 5);
    let (_, mut cursor) = cache.snapshot_and_cursor(5);
    cache.load(Vec::new(), 9);
    assert!(cursor.next(1, &mut Vec::new()).await.is_err(), "a hole was not noticed");
    assert!(cache.cursor(8).is_err(), "what happened up to 9 is not here");
    assert_eq!(cache.floor(), 9);
    assert!(cache.cursor(9).is_ok());
}
