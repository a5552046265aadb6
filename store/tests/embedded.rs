//! The property suite on the backends that need nothing but this process.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use proptest::prelude::*;
use store::backends::memory::Memory;
use store::backends::sqlite::{Config, Sqlite};
use suite::laws::{self, Subject};
use suite::{races, steps};

mod suite {
    pub mod laws;
    pub mod races;
    pub mod steps;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The ring is so short that most feeds and reads at a revision come from SQLite.
    #[test]
    fn sqlite_answers_as_the_model_does(steps in steps::history(), ring_len_max in 1..12usize) {
        runtime().block_on(async {
            let directory = tempfile::tempdir().expect("a directory");
            laws::run(sqlite(directory.path(), ring_len_max), &steps).await;
        });
    }

    /// Whatever the suite asks, the model gives the same answer twice: the suite itself is sound.
    #[test]
    fn the_model_answers_as_the_model_does(steps in steps::history()) {
        runtime().block_on(async {
            let time = Arc::new(AtomicI64::new(1000));
            let store = Arc::new(Memory::with_clock(laws::clock(&time)));
            let subject = Subject { store: Some(store), reopen: None, clock: Some(time), under: "/".to_owned(), began_at: 1 };
            laws::run(subject, &steps).await;
        });
    }
}

#[test]
fn no_increment_is_lost_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Sqlite::open(Config::new(directory.path(), Arc::new(|| 0))).expect("a store");
    runtime().block_on(races::increments(store, "/n"));
}

#[test]
fn no_increment_is_lost_in_memory() {
    runtime().block_on(races::increments(Arc::new(Memory::new()), "/n"));
}

fn sqlite(directory: &std::path::Path, ring_len_max: usize) -> Subject {
    let time = Arc::new(AtomicI64::new(1000));
    let config = Config { ring_len_max, group_len_max: 3, ..Config::new(directory, laws::clock(&time)) };
    let open = move || -> Arc<dyn store::Store> { Sqlite::open(config.clone()).expect("a store") };
    let store = Some(open());
    Subject { store, reopen: Some(Box::new(open)), clock: Some(time), under: "/".to_owned(), began_at: 1 }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
