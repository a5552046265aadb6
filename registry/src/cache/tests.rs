//! Cases for the cache's log and snapshots.

use std::sync::{Arc, OnceLock};

use api::Value;
use bytes::Bytes;

use super::{Cache, Change, Cursor, Entry, Fallen, Head, Interest};
use crate::unread::Corrupt;

fn entry(key: &str, revision: u64) -> Arc<Entry> {
    let json = Bytes::from_static(b"{\"kind\":\"K\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"}}");
    let head = Arc::new(Head { labels: Value::Null, ..Head::default() });
    Arc::new(Entry { key: key.into(), revision, head, json, splice: 52, body: 30, message: OnceLock::new() })
}

/// An object of a namespace with one selectable field.
fn placed(key: &str, node: &str, revision: u64) -> Change {
    let namespace = key.split('/').next().unwrap_or_default().into();
    let head = Arc::new(Head { namespace, fields: [node.into()].into(), ..Head::default() });
    let json = Bytes::from_static(b"{}");
    Change::Put(Arc::new(Entry { key: key.into(), revision, head, json, splice: 1, body: 1, message: OnceLock::new() }))
}

fn ready(cursor: &mut Cursor) -> Result<Vec<u64>, Fallen> {
    let mut events = vec![];
    cursor.take_ready(1000, &mut events)?;
    Ok(events.iter().map(|e| e.revision()).collect())
}

fn on(cache: &Arc<Cache>, interest: Interest) -> Cursor {
    cache.cursor_on(interest, 1).expect("the log begins there")
}

#[test]
fn a_cursor_on_an_interest_sees_what_concerns_it() {
    let cache = Cache::new();
    cache.load(vec![], 1);
    let field = |node: &str| Interest::Field(0, node.into());
    let mut early = on(&cache, field("n1"));
    let moves = vec![placed("a/x", "", 2), placed("b/y", "n1", 3), placed("a/x", "n1", 4), placed("a/x", "n2", 5)];
    cache.apply(moves, 0);
    // 5 takes a/x away from n1.
    assert_eq!(ready(&mut early), Ok(vec![3, 4, 5]));
    assert_eq!(ready(&mut early), Ok(vec![]));
    // A ring that is made later holds what the log holds.
    assert_eq!(ready(&mut on(&cache, field("n1"))), Ok(vec![3, 4, 5]));
    assert_eq!(ready(&mut on(&cache, field("n2"))), Ok(vec![5]));
    assert_eq!(ready(&mut on(&cache, Interest::Namespace("b".into()))), Ok(vec![3]));
    assert_eq!(ready(&mut on(&cache, Interest::Object("a/x".into()))), Ok(vec![2, 4, 5]));
    let (snapshot, mut after) = cache.snapshot_and_cursor_on(field("n2"), 0);
    assert_eq!((snapshot.revision, ready(&mut after)), (5, Ok(vec![])));
    cache.apply(vec![Change::Delete { key: "a/x".into(), revision: 6 }], 0);
    assert_eq!(ready(&mut after), Ok(vec![6]));
}

#[test]
fn only_those_whom_an_event_concerns_are_woken() {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Wake, Waker},
    };
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let cache = Cache::new();
    cache.load(vec![], 1);
    let interests = [Interest::Everything, Interest::Field(0, "n1".into()), Interest::Field(0, "n2".into())];
    let mut cursors = interests.map(|interest| (on(&cache, interest), Arc::new(Count::default())));
    for (cursor, count) in &mut cursors {
        let waker = Waker::from(count.clone());
        assert!(cursor.poll_next(&mut Context::from_waker(&waker), 10, &mut vec![]).is_pending());
    }
    cache.apply(vec![placed("a/x", "n1", 2), placed("a/y", "n1", 3)], 0);
    assert_eq!(cursors.each_ref().map(|(_, count)| count.0.load(Ordering::Relaxed)), [1, 1, 0]);
    assert_eq!(cursors.each_ref().map(|(cursor, _)| cursor.has_more()), [Ok(true), Ok(true), Ok(false)]);
}

#[test]
fn a_quiet_cursor_outlives_the_window_and_one_that_missed_something_falls() {
    let cache = Cache::new();
    cache.load(vec![], 1);
    let field = |node: &str| Interest::Field(0, node.into());
    let (mut quiet, mut slow) = (on(&cache, field("quiet")), on(&cache, field("slow")));
    cache.apply(vec![placed("a/s", "slow", 2)], 0);
    (3..=2003).for_each(|revision| cache.apply(vec![placed("a/x", "busy", revision)], 1000));
    assert_eq!(ready(&mut quiet), Ok(vec![]));
    assert_eq!(ready(&mut slow), Err(Fallen));
    cache.apply(vec![placed("a/q", "quiet", 2004), placed("a/s", "slow", 2005)], 1000);
    assert_eq!(ready(&mut quiet), Ok(vec![2004]));
    assert_eq!(ready(&mut slow), Err(Fallen));
}

#[test]
fn a_ring_goes_with_its_last_cursor() {
    let cache = Cache::new();
    let interest = Interest::Namespace("a".into());
    let (first, second) = (cache.cursor_on(interest.clone(), 0), cache.cursor_on(interest, 0));
    drop(first);
    assert_eq!(cache.state.read().rings.len(), 1);
    drop(second);
    assert_eq!(cache.state.read().rings.len(), 0);
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
    let (_, mut narrow) = cache.snapshot_and_cursor_on(Interest::Namespace("a".into()), 5);
    cache.load(Vec::new(), 9);
    assert!(cursor.next(1, &mut Vec::new()).await.is_err(), "a hole was not noticed");
    assert!(narrow.next(1, &mut Vec::new()).await.is_err(), "a hole was not noticed by who sees little");
    assert!(cache.cursor(8).is_err(), "what happened up to 9 is not here");
    assert_eq!(cache.floor(), 9);
    assert!(cache.cursor(9).is_ok());
}

#[test]
fn an_objects_tree_is_read_once_as_long_as_it_is_as_it_is() {
    let cache = Cache::new();
    cache.load(vec![entry("a", 1)], 1);
    let first = cache.tree("a").expect("it is there");
    assert!(Arc::ptr_eq(&first, &cache.tree("a").expect("it is there")));
    cache.apply(vec![Change::Put(entry("a", 2))], 0);
    let second = cache.tree("a").expect("it is there");
    assert_eq!(second.at("metadata").str("resourceVersion"), "2");
    // Others push it out, and it is read again.
    cache.apply((0..20).map(|i| Change::Put(entry(&format!("b{i}"), 3 + i))).collect(), 0);
    (0..20).for_each(|i| drop(cache.tree(&format!("b{i}"))));
    let third = cache.tree("a").expect("it is there");
    assert_eq!((&third, Arc::ptr_eq(&second, &third)), (&second, false));
    assert!(cache.tree("c").is_none());
}

#[test]
fn what_cannot_be_read_is_no_object_and_is_not_forgotten() {
    let cache = Cache::new();
    cache.load(vec![entry("a/x", 1), entry("b/y", 1)], 1);
    let (mut wide, mut narrow) = (on(&cache, Interest::Everything), on(&cache, Interest::Namespace("b".into())));
    let why = Corrupt::untransformable(2, "no matching prefix found");
    cache.apply(vec![Change::Unread { key: "a/x".into(), why: why.clone() }], 0);
    assert!(cache.get("a/x").is_none() && cache.get("b/y").is_some());
    assert_eq!((cache.unread("a/x"), cache.unread("b/y")), (Some(why.clone()), None));
    let of = |namespace: &str| cache.unread_in(&Interest::Namespace(namespace.into())).len();
    assert_eq!((of("a"), of("b"), of(""), cache.is_whole()), (1, 0, 0, false));
    // Who watches begins anew, and is told then.
    assert_eq!((ready(&mut wide), ready(&mut narrow)), (Err(Fallen), Err(Fallen)));
    // It is written anew, or goes.
    cache.apply(vec![Change::Put(entry("a/x", 3))], 0);
    assert!(cache.is_whole() && cache.get("a/x").is_some());
    assert_eq!(cache.undecodable(), 0, "it could not be opened: nobody knows what it is");
    cache.apply(vec![Change::Unread { key: "a/x".into(), why: Corrupt::undecodable(4, "no JSON") }], 0);
    assert_eq!(cache.undecodable(), 1);
    cache.apply(vec![Change::Put(entry("a/x", 4))], 0);
    cache.apply(vec![Change::Unread { key: "b/y".into(), why }, Change::Delete { key: "b/y".into(), revision: 5 }], 0);
    assert!(cache.is_whole() && cache.get("b/y").is_none());
}
