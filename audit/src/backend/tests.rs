//! Cases for modes, events and the log's rotation.

use std::sync::atomic::AtomicBool;

use api::{Attributes, User, time::Clock};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::{
    log::{Log, Settings},
    *,
};
use crate::{Asked, Audit, Policy, Stage};

/// Takes what it is let take, and fails when it has to.
struct Slow {
    room: Semaphore,
    fails: AtomicBool,
    taken: parking_lot::Mutex<Vec<Vec<String>>>,
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        "2026-11-22T03:44:49.123456Z".parse().expect("a time")
    }
}

/// Moves on by a second whenever it is asked.
#[derive(Default)]
struct Moving(AtomicU64);

impl Clock for Moving {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.0.fetch_add(1, Ordering::Relaxed) as i64).expect("a time")
    }
}

#[async_trait]
impl Sink for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn write(&self, lines: &[Arc<str>]) -> Result<(), String> {
        self.room.acquire().await.map_err(|e| e.to_string())?.forget();
        if self.fails.load(Ordering::Relaxed) {
            return Err("it is gone".into());
        }
        self.taken.lock().push(lines.iter().map(ToString::to_string).collect());
        Ok(())
    }
}

fn slow(room: usize) -> (Arc<Slow>, Arc<Lost>) {
    let slow = Slow { room: Semaphore::new(room), fails: AtomicBool::new(false), taken: Default::default() };
    (Arc::new(slow), Arc::default())
}

fn lost(of: &Lost) -> u64 {
    of.0.load(Ordering::Relaxed)
}

fn batches(buffer_len: usize, batch_len_max: usize) -> Batches {
    Batches { buffer_len, batch_len_max, wait_max: Duration::from_secs(30), throttle: None, on_their_way_max: 1 }
}

#[tokio::test]
async fn a_blocking_backend_is_waited_for() {
    let (sink, losses) = slow(0);
    let backend = Blocking::new(sink.clone(), losses.clone(), false);
    let mut waits = Box::pin(backend.take("a".into()));
    assert!(futures_are_pending(&mut waits).await, "nobody has taken it");
    sink.room.add_permits(1);
    assert!(waits.await);
    assert_eq!((sink.taken.lock().clone(), lost(&losses)), (vec![vec!["a".to_string()]], 0));
}

async fn futures_are_pending<F: Future<Output = bool> + Unpin>(future: &mut F) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = tokio::task::yield_now() => true,
    }
}

#[tokio::test]
async fn what_a_blocking_backend_loses_is_counted_and_a_strict_one_refuses() {
    for strict in [false, true] {
        let (sink, losses) = slow(1);
        sink.fails.store(true, Ordering::Relaxed);
        let backend = Blocking::new(sink, losses.clone(), strict);
        assert_eq!((backend.take("a".into()).await, lost(&losses)), (!strict, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batching_backend_waits_for_nobody_and_counts_what_it_loses() {
    let (sink, losses) = slow(0);
    let backend = Batching::start(sink.clone(), losses.clone(), batches(2, 1));
    assert!(backend.take("0".into()).await);
    // The first is with the sink, which does not take it.
    tokio::task::yield_now().await;
    for name in ["1", "2", "3", "4"] {
        assert!(backend.take(name.into()).await, "the request goes on");
    }
    assert_eq!(lost(&losses), 2);
    sink.room.add_permits(10);
    backend.finish().await;
    let taken: Vec<String> = sink.taken.lock().concat();
    assert_eq!(taken, ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn batches_go_when_they_are_full_or_have_waited() {
    let (sink, losses) = slow(10);
    let backend = Batching::start(sink.clone(), losses, batches(10, 2));
    for name in ["a", "b", "c"] {
        backend.take(name.into()).await;
    }
    tokio::task::yield_now().await;
    tokio::time::advance(Duration::from_secs(29)).await;
    tokio::task::yield_now().await;
    assert_eq!(sink.taken.lock().clone(), [["a", "b"]]);
    tokio::time::advance(Duration::from_secs(2)).await;
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(sink.taken.lock().clone(), [vec!["a", "b"], vec!["c"]]);
}

async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_from_the_one_before_and_no_time_at_all_is_no_busy_wait() {
    let (sink, losses) = slow(10);
    let backend = Batching::start(sink.clone(), losses.clone(), batches(10, 5));
    settle().await;
    tokio::time::advance(Duration::from_secs(29)).await;
    backend.take("a".into()).await;
    settle().await;
    assert!(sink.taken.lock().is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    settle().await;
    assert_eq!(sink.taken.lock().clone(), [["a"]]);

    let (sink, losses) = slow(10);
    let backend = Batching::start(sink.clone(), losses, Batches { wait_max: Duration::ZERO, ..batches(10, 5) });
    settle().await;
    for name in ["a", "b"] {
        backend.take(name.into()).await;
    }
    settle().await;
    assert_eq!(sink.taken.lock().clone(), [["a", "b"]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_slow_stops_others_only_when_too_many_are_on_their_way() {
    let (sink, losses) = slow(0);
    let of = Batches { on_their_way_max: 2, ..batches(1, 1) };
    let backend = Batching::start(sink.clone(), losses.clone(), of);
    for name in ["a", "b"] {
        backend.take(name.into()).await;
        settle().await;
    }
    // Two are on their way, the third waits in the buffer, and the fourth finds no room.
    for name in ["c", "d"] {
        backend.take(name.into()).await;
        settle().await;
    }
    assert_eq!(lost(&losses), 1);
    sink.room.add_permits(10);
    backend.finish().await;
    let mut taken: Vec<String> = sink.taken.lock().concat();
    taken.sort();
    assert_eq!(taken, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_held_back_to_so_many_a_second() {
    let (sink, losses) = slow(100);
    let of = Batches { throttle: Some((10.0, 3)), on_their_way_max: 100, ..batches(100, 1) };
    let backend = Batching::start(sink.clone(), losses, of);
    for i in 0..8 {
        backend.take(format!("{i}").into()).await;
    }
    settle().await;
    assert_eq!(sink.taken.lock().len(), 3, "a burst");
    for _ in 0..2 {
        tokio::time::advance(Duration::from_millis(101)).await;
        settle().await;
    }
    assert_eq!(sink.taken.lock().len(), 5);
    backend.finish().await;
    assert_eq!(sink.taken.lock().len(), 8);
}

#[tokio::test]
async fn what_a_blocking_backend_has_begun_it_ends_when_the_request_is_gone() {
    let (sink, losses) = slow(0);
    let backend = Blocking::new(sink.clone(), losses.clone(), false);
    let mut waits = Box::pin(backend.take("a".into()));
    assert!(futures_are_pending(&mut waits).await);
    drop(waits);
    sink.room.add_permits(1);
    backend.finish().await;
    assert_eq!((sink.taken.lock().clone(), lost(&losses)), (vec![vec!["a".to_string()]], 0));
}

#[tokio::test]
async fn an_event_that_is_too_long_loses_its_objects_or_is_lost_itself() {
    let event = |level: &str, objects: &str, annotations: &str| -> Arc<str> {
        format!("{{\"kind\":\"Event\",\"level\":\"{level}\",\"auditID\":\"a\"{objects}{annotations}}}").into()
    };
    let long = format!(",\"requestObject\":{{\"a\":\"{0}\"}},\"responseObject\":{{\"a\":\"{0}\"}}", "x".repeat(100));
    let noted = ",\"annotations\":{\"a\":\"b\",\"z\":\"y\"}";
    let short =
        event("RequestResponse", "", ",\"annotations\":{\"a\":\"b\",\"audit.k8s.io/truncated\":\"true\",\"z\":\"y\"}");
    let whole = event("RequestResponse", &long, noted);
    for (max, line, taken, count) in [
        (whole.len() + 1, &whole, Some(&whole), 0),
        (whole.len(), &whole, Some(&short), 0),
        (short.len() + 1, &whole, Some(&short), 0),
        (short.len(), &whole, None, 1),
        (20, &event("Metadata", "", ""), None, 1),
    ] {
        let (sink, losses) = slow(10);
        let strict = Blocking::new(sink.clone(), losses.clone(), true);
        let backend = Truncating::new(Arc::new(strict), losses.clone(), max);
        assert!(backend.take(line.clone()).await, "the request goes on");
        let found: Vec<String> = sink.taken.lock().concat();
        assert_eq!(found, taken.into_iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(lost(&losses), count);
    }
}

#[test]
fn a_list_of_events_says_what_it_is_once() {
    let event: Arc<str> = "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\"}".into();
    assert_eq!(
        crate::list(&[event.clone(), event]),
        "{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\",\"metadata\":{},\"items\":[{\"level\":\"Metadata\"},{\"level\":\"Metadata\"}]}"
    );
}

fn audit(backend: Arc<dyn Backend>) -> Arc<Audit> {
    let text = b"{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: RequestResponse}]}";
    Arc::new(Audit::new(Policy::read(text, "f").expect("right"), vec![backend], Arc::new(Still)))
}

#[tokio::test]
async fn an_event_has_upstreams_members_in_upstreams_order() {
    let (sink, losses) = slow(10);
    let audit = audit(Arc::new(Blocking::new(sink.clone(), losses, true)));
    let attributes = Attributes {
        verb: "create".into(),
        is_resource: true,
        version: "v1".into(),
        resource: "configmaps".into(),
        namespace: "d".into(),
        ..Attributes::default()
    };
    let user = User { name: "jane".into(), groups: vec!["devs".into()], ..User::default() };
    let record = audit.begin(Asked {
        id: "r1".into(),
        attributes: &attributes,
        user: Some(&user),
        uri: "/api/v1/namespaces/d/configmaps?a=b&c=d".into(),
        source_ips: vec!["10.0.0.9".into()],
        user_agent: "curl/7",
        received: "2026-11-22T03:44:48Z".parse().expect("a time"),
    });
    let record = record.expect("it is told");
    assert!(record.stage(Stage::RequestReceived).await);
    record.annotate("authorization.k8s.io/decision", "allow");
    record.annotate("authorization.k8s.io/decision", "forbid");
    record.impersonates(&User { name: "bob".into(), ..User::default() }, "impersonate:user-info");
    record.request(api::value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}));
    record.response(
        &api::value!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 409}),
    );
    record.answered(409);
    assert!(record.stage(Stage::ResponseComplete).await);
    let lines: Vec<String> = sink.taken.lock().concat();
    let common =
        "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"RequestResponse\",\"auditID\":\"r1\",";
    let of = "\"requestURI\":\"/api/v1/namespaces/d/configmaps?a=b\\u0026c=d\",\"verb\":\"create\",\"user\":{\"username\":\"jane\",\"groups\":[\"devs\"]},";
    let from = "\"sourceIPs\":[\"10.0.0.9\"],\"userAgent\":\"curl/7\",";
    assert_eq!(
        lines[0],
        format!(
            "{common}\"stage\":\"RequestReceived\",{of}{from}\"objectRef\":{{\"resource\":\"configmaps\",\"namespace\":\"d\",\"apiVersion\":\"v1\"}},\"requestReceivedTimestamp\":\"2026-11-22T03:44:48.000000Z\",\"stageTimestamp\":\"2026-11-22T03:44:48.000000Z\"}}"
        )
    );
    assert_eq!(
        lines[1],
        format!(
            "{common}\"stage\":\"ResponseComplete\",{of}\"impersonatedUser\":{{\"username\":\"bob\"}},\"authenticationMetadata\":{{\"impersonationConstraint\":\"impersonate:user-info\"}},{from}\"objectRef\":{{\"resource\":\"configmaps\",\"namespace\":\"d\",\"name\":\"a\",\"apiVersion\":\"v1\"}},\"responseStatus\":{{\"metadata\":{{}},\"status\":\"Failure\",\"code\":409}},\"requestObject\":{{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{{\"name\":\"a\"}}}},\"responseObject\":{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\"code\":409}},\"requestReceivedTimestamp\":\"2026-11-22T03:44:48.000000Z\",\"stageTimestamp\":\"2026-11-22T03:44:49.123456Z\",\"annotations\":{{\"authorization.k8s.io/decision\":\"allow\"}}}}"
        )
    );
}

#[tokio::test]
async fn a_full_log_is_put_aside_and_old_ones_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.log");
    for (compress, ending) in [(false, ".log"), (true, ".log.gz")] {
        let settings = Settings { path: path.clone(), len_max: 20, backups_max: 2, days_max: 0, compress };
        let log = Log::open(settings, Arc::new(Moving::default())).expect("it can be written");
        for i in 0..10 {
            log.write(&[format!("line {i} {compress}").into()]).await.expect("written");
        }
        drop(log);
        let last = std::fs::read_to_string(&path).expect("there");
        assert_eq!(last, format!("line 9 {compress}\n"));
        let names: Vec<String> = std::fs::read_dir(directory.path())
            .expect("a directory")
            .map(|entry| entry.expect("there").file_name().to_string_lossy().into_owned())
            .filter(|name| name != "audit.log")
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("audit-2027-01-15T") && name.ends_with(ending)), "{names:?}");
        for name in names {
            std::fs::remove_file(directory.path().join(name)).expect("removed");
        }
        std::fs::remove_file(&path).expect("removed");
    }
}
