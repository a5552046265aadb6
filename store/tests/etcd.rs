//! The property suite on etcd, which the tests start themselves: `SKIFF_ETCD` names the program, or
//! `SKIFF_REFERENCE_BIN` the directory that holds it.
//!
//! They stand in a module called `upstream`, so that they run where upstream's programs are and are not listed elsewhere.

mod suite {
    pub mod laws;
    pub mod races;
    pub mod steps;
}

mod upstream {
    use std::cell::Cell;
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use store::backends::etcd::{Config, Etcd};
    use store::{Error, Event, Op, Store, Txn};

    use super::suite::laws::{self, Subject};
    use super::suite::{races, steps};

    /// An etcd of the test's own, on loopback, gone when it is dropped.
    struct Server {
        process: Child,
        endpoint: String,
        peer: String,
        data: tempfile::TempDir,
    }

    impl Server {
        fn start() -> Server {
            let data = tempfile::tempdir().expect("a directory");
            let (endpoint, peer) = (free_url(), free_url());
            let process = spawn(&endpoint, &peer, data.path());
            Server { process, endpoint, peer, data }
        }

        /// As after a crash: killed without notice and started on the same data.
        fn kill_and_start(&mut self) {
            self.kill();
            self.process = spawn(&self.endpoint, &self.peer, self.data.path());
        }

        fn kill(&mut self) {
            self.process.kill().expect("it is ours");
            self.process.wait().expect("it ends");
        }

        /// A store that has answered once.
        async fn store(&self) -> Arc<Etcd> {
            let config =
                Config { request_timeout: Duration::from_secs(10), ..Config::new(vec![self.endpoint.clone()]) };
            let store = Etcd::connect(config).await.expect("a client");
            answered(&*store).await;
            store
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.kill();
        }
    }

    #[test]
    fn etcd_answers_as_the_model_does() {
        let (runtime, server) = (runtime(), Server::start());
        let store = runtime.block_on(server.store());
        let history = Cell::new(0);
        let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
        let result = TestRunner::new(config).run(&steps::history(), |steps| {
            history.set(history.get() + 1);
            runtime.block_on(async {
                let under = format!("/history{}/", history.get());
                let began_at = touch(&*store).await;
                let store: Arc<dyn Store> = store.clone();
                laws::run(Subject { store: Some(store), reopen: None, clock: None, under, began_at }, &steps).await;
            });
            Ok(())
        });
        result.unwrap_or_else(|failure| panic!("{failure}"));
    }

    #[test]
    fn no_increment_is_lost_on_etcd() {
        let (runtime, server) = (runtime(), Server::start());
        runtime.block_on(async { races::increments(server.store().await, "/n").await });
    }

    #[test]
    fn a_key_goes_with_its_lease() {
        let (runtime, server) = (runtime(), Server::start());
        runtime.block_on(async {
            let store = server.store().await;
            let lease = store.lease(1).await.expect("a lease");
            let mut feed = store.follow("/k", 0).await.expect("a feed");
            let put = Op::Put { key: "/k".to_owned(), value: Bytes::from_static(b"v"), lease };
            store.commit(Txn { guards: vec![], ops: vec![put] }).await.expect("a commit");
            let mut events = Vec::new();
            while events.len() < 2 {
                events.extend(feed.next().await.expect("an event"));
            }
            assert!(matches!(&events[0], Event::Put { entry, .. } if entry.lease == lease), "{events:?}");
            assert!(
                matches!(&events[1], Event::Delete { previous: Some(entry), .. } if entry.lease == lease),
                "{events:?}"
            );
        });
    }

    /// A feed outlives its server: it neither skips nor repeats what happened around the crash.
    #[test]
    fn a_feed_continues_when_etcd_comes_back() {
        let (runtime, mut server) = (runtime(), Server::start());
        runtime.block_on(async {
            let store = server.store().await;
            let began_at = store.revision().await.expect("a revision");
            let mut feed = store.follow("/touched", began_at).await.expect("a feed");
            let first = touch(&*store).await;
            let (before, _) = laws::take(&mut feed, first).await.expect("events");
            server.kill_and_start();
            answered(&*store).await;
            let second = touch(&*store).await;
            let (after, _) = laws::take(&mut feed, second).await.expect("events");
            let revisions: Vec<u64> = before.iter().chain(&after).map(Event::revision).collect();
            assert_eq!(revisions, [began_at + 1, began_at + 2]);
        });
    }

    #[test]
    fn without_etcd_reads_are_unavailable_and_writes_are_not_known() {
        let (runtime, mut server) = (runtime(), Server::start());
        runtime.block_on(async {
            let config =
                Config { request_timeout: Duration::from_millis(300), ..Config::new(vec![server.endpoint.clone()]) };
            let store = Etcd::connect(config).await.expect("a client");
            answered(&*store).await;
            server.kill();
            let read = store.get("/k").await;
            assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
            let put = Op::Put { key: "/k".to_owned(), value: Bytes::new(), lease: 0 };
            let write = store.commit(Txn { guards: vec![], ops: vec![put] }).await;
            assert!(matches!(write, Err(Error::Unknown(_) | Error::Unavailable(_))), "{write:?}");
        });
        server.kill_and_start();
    }

    /// Takes a revision of its own, so that what was compacted before is older.
    async fn touch(store: &dyn Store) -> u64 {
        let put = Op::Put { key: "/touched".to_owned(), value: Bytes::new(), lease: 0 };
        store.commit(Txn { guards: vec![], ops: vec![put] }).await.expect("a commit");
        store.revision().await.expect("a revision")
    }

    /// Asks until etcd answers; it ends because etcd starts within seconds or the test's time is up.
    async fn answered(store: &dyn Store) {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while store.revision().await.is_err() {
            pace.tick().await;
        }
    }

    fn spawn(endpoint: &str, peer: &str, data: &std::path::Path) -> Child {
        let mut command = Command::new(program());
        command.arg("--data-dir").arg(data).args(["--log-level", "error", "--name", "test"]);
        command.args(["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint]);
        command.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
        command.args(["--initial-cluster", &format!("test={peer}")]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        command.spawn().expect("etcd starts")
    }

    /// The settings of these tests; the program that runs them knows where etcd was built.
    #[allow(clippy::disallowed_methods)]
    fn program() -> PathBuf {
        let built = std::env::var_os("SKIFF_REFERENCE_BIN").map(|directory| PathBuf::from(directory).join("etcd"));
        let named = std::env::var_os("SKIFF_ETCD").map(PathBuf::from);
        named.or(built).expect("SKIFF_ETCD names an etcd, or SKIFF_REFERENCE_BIN the directory that has one")
    }

    fn free_url() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}", listener.local_addr().expect("it is bound"))
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    }
}
