//! Durable commits a second on the sqlite backend: 2 KiB values, each answered after its fsync, by 1 writer and by 64.
//!
//! `cargo run --release -p store --example commit_rate [DIRECTORY]`; the directory decides which disk is measured. Every
//! writer puts to keys of its own, guarded as an update is, and one follower reads everything that happens.
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // A program: its arguments and its output are its interface.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::backends::sqlite::{Config, Sqlite};
use store::{Error, Guard, Op, Outcome, Store, Txn};

const MEASURED: Duration = Duration::from_secs(4);
const VALUE_BYTES: usize = 2048;
const KEYS_PER_WRITER: usize = 500;

fn main() -> Result<(), Error> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Error::Unavailable(error.to_string()))?;
    println!("durable commits/s, values of {VALUE_BYTES} bytes, one fsync per group; sqlite in {parent}");
    println!("{:>8} {:>12} {:>10} {:>10} {:>10}", "writers", "commits/s", "p50 us", "p99 us", "max us");
    for writers in [1, 8, 64, 256] {
        let directory = tempfile::tempdir_in(&parent).map_err(|error| Error::Unavailable(error.to_string()))?;
        let store = Sqlite::open(Config::new(directory.path(), Arc::new(|| 0)))?;
        let (mut micros, seconds) = runtime.block_on(measure(store, writers))?;
        micros.sort_unstable();
        let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize];
        let rate = micros.len() as f64 / seconds;
        println!("{writers:>8} {rate:>12.0} {:>10} {:>10} {:>10}", at(0.5), at(0.99), at(1.0));
    }
    Ok(())
}

/// The microseconds of each commit, and how long all took.
async fn measure(store: Arc<Sqlite>, writers: usize) -> Result<(Vec<u64>, f64), Error> {
    let mut feed = store.follow("/", store.revision().await?).await?;
    let follower = tokio::spawn(async move { while feed.next().await.is_ok() {} });
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        tasks.spawn(write(store.clone(), writer, began + MEASURED));
    }
    let mut micros = Vec::new();
    while let Some(done) = tasks.join_next().await {
        micros.extend(done.map_err(|error| Error::Unavailable(error.to_string()))??);
    }
    let seconds = began.elapsed().as_secs_f64();
    follower.abort();
    Ok((micros, seconds))
}

async fn write(store: Arc<Sqlite>, writer: usize, until: Instant) -> Result<Vec<u64>, Error> {
    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
    let keys: Vec<String> = (0..KEYS_PER_WRITER).map(|key| format!("/writers/{writer:04}/keys/{key:06}")).collect();
    let mut revisions = vec![0; keys.len()];
    let mut micros = Vec::new();
    while Instant::now() < until {
        let index = micros.len() % keys.len();
        let key = keys[index].clone();
        let guard = Guard::AtRevision(key.clone(), revisions[index]);
        let txn = Txn { guards: vec![guard], ops: vec![Op::Put { key, value: value.clone(), lease: 0 }] };
        let began = Instant::now();
        match store.commit(txn).await? {
            Outcome::Committed(revision) => revisions[index] = revision,
            Outcome::Refused(_) => return Err(Error::Invalid("nobody else writes these keys".to_owned())),
        }
        micros.push(began.elapsed().as_micros() as u64);
    }
    Ok(micros)
}
