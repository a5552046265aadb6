//! P5b measures watch fan-out in process: deliveries/s of one resource's events to 10,000 watchers, bytes in hand.
//!
//! `cargo run --release -p registry --example fan_out [WATCHERS] [EVENTS] [AT_ONCE]`. Each watcher is a task with a cursor
//! on the cache's log that takes an event's frame, as a connection would; all of them have seen a batch before the next
//! one is applied. Nothing is encoded more than once and nothing is written to a socket.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and reads its arguments"
)]

use std::{
    error::Error,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use api::Value;
use bytes::Bytes;
use registry::cache::{Cache, Change, Cursor, Entry, Head};
use tokio::sync::Notify;

/// As long as a pod that a node reports.
const OBJECT_LEN: usize = 5_000;
/// As a watch takes them.
const BATCH_LEN_MAX: usize = 256;

/// What all watchers together have taken.
#[derive(Default)]
struct Taken {
    deliveries: AtomicU64,
    bytes: AtomicU64,
    /// The count of deliveries that somebody waits for.
    awaited: AtomicU64,
    reached: Notify,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|number| number.parse()).collect::<Result<_, _>>()?;
    let number = |place: usize, default| numbers.get(place).copied().unwrap_or(default).max(1);
    let (watchers, events, at_once) = (number(0, 10_000), number(1, 4_000), number(2, 64));
    let (cache, taken) = (Cache::new(), Arc::new(Taken::default()));
    cache.load(Vec::new(), 1);
    for _ in 0..watchers {
        let cursor = cache.cursor(1).map_err(|_| "the log begins there")?;
        tokio::spawn(watch(cursor, taken.clone()));
    }
    let (begun, mut revision) = (Instant::now(), 1);
    for batch in 1..=events.div_ceil(at_once) {
        let changes = (0..at_once).map(|_| {
            revision += 1;
            Change::Put(entry(revision))
        });
        taken.awaited.store(batch * at_once * watchers, Ordering::SeqCst);
        cache.apply(changes.collect(), 0);
        taken.reached.notified().await;
    }
    let (seconds, deliveries) = (begun.elapsed().as_secs_f64(), taken.deliveries.load(Ordering::SeqCst));
    println!(
        "P5b: {watchers} watchers, {at_once} events at once: {:.2} M deliveries/s ({deliveries} in {seconds:.2} s, {} kB each)",
        deliveries as f64 / seconds / 1e6,
        taken.bytes.load(Ordering::SeqCst) / deliveries / 1000,
    );
    Ok(())
}

async fn watch(mut cursor: Cursor, taken: Arc<Taken>) {
    let mut events = Vec::with_capacity(BATCH_LEN_MAX);
    while cursor.next(BATCH_LEN_MAX, &mut events).await.is_ok() {
        let count = events.len() as u64;
        let bytes: usize = events.drain(..).map(|event| event.frame(0, || event.entry.json.clone()).len()).sum();
        taken.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let before = taken.deliveries.fetch_add(count, Ordering::SeqCst);
        if before + count == taken.awaited.load(Ordering::SeqCst) {
            taken.reached.notify_one();
        }
    }
}

fn entry(revision: u64) -> Arc<Entry> {
    let head = Arc::new(Head { name: "pod".into(), labels: Value::Null, ..Head::default() });
    let json = Bytes::from(vec![b' '; OBJECT_LEN]);
    Arc::new(Entry { key: "bench/pod".into(), revision, head, json, splice: 0, body: 0, message: OnceLock::new() })
}
