//! The driver against a small server, on a clock that only the test moves.

use std::sync::atomic::{AtomicUsize, Ordering};

use api::{Status, value};
use client::fake::Fake;
use jiff::{SignedDuration, Timestamp};
use tokio::time;

use super::{
    plan::{Action, Event, Excuse},
    *,
};

const A: &str = "/api/v1/namespaces/x/configmaps/a";
const MAPS: &str = "v1/configmaps";
const SECRETS: &str = "v1/secrets";

/// Tokio's paused clock as a wall clock.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.0.elapsed()).expect("tests are short");
        "2026-01-02T03:04:05Z".parse::<Timestamp>().expect("it is a time") + passed
    }
}

fn parts(fake: &Arc<Fake>) -> Parts {
    Parts {
        client: fake.client(),
        pool: Pool::new(fake.client(), &[]),
        clock: Arc::new(Virtual(Instant::now())),
        settings: Arc::default(),
    }
}

fn start(spec: &'static Spec, fake: &Arc<Fake>) {
    tokio::spawn(run(spec, parts(fake)));
}

/// Lets everything happen that happens within so long.
async fn pass(duration: Duration) {
    // The clock stands still but for this wait, and everything that is ready runs before it moves.
    let _ = time::timeout(duration, std::future::pending::<()>()).await;
}

const MOMENT: Duration = Duration::from_millis(1);

fn map(name: &str) -> Value {
    value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "x"}})
}

/// Makes of each ConfigMap as many Secrets as it says, counting those it sees.
fn copies(world: &World<'_>) -> Plan {
    let Some(map) = world.itself(MAPS) else { return Plan::nothing("it is gone") };
    let wanted: usize = map.at("data").str("copies").parse().unwrap_or(1);
    let there = world.mirror(SECRETS).in_namespace("x").len();
    let create = |i: usize| {
        let secret = value!({"metadata": {"name": format!("s{i}"), "namespace": "x"}});
        Action::create(SECRETS, secret)
    };
    Plan::of((there..wanted).map(create).collect(), format!("{there} of {wanted}"))
}

static COPIES: Spec = Spec {
    name: "copies",
    alias: "c",
    acts_for: "copies",
    tells_as: "copies",
    wakes_on: &[Wake::Itself(MAPS), Wake::Read(SECRETS)],
    workers: 2,
    work: Work::Plan(copies),
};

#[tokio::test(start_paused = true)]
async fn a_key_waits_for_what_it_wrote() {
    let fake = Fake::new();
    start(&COPIES, &fake);
    pass(MOMENT).await;
    fake.break_watches_of("/api/v1/secrets");
    fake.put(A, map("a"));
    pass(MOMENT).await;
    assert_eq!(fake.writes(), ["POST /api/v1/namespaces/x/secrets"]);
    // The mirror of Secrets is behind: a second look would make a second one.
    let mut more = map("a");
    more.set_path(&["data", "copies"], "2");
    fake.put(A, more);
    pass(Duration::from_millis(500)).await;
    assert_eq!(fake.writes(), Vec::<String>::new(), "it is held back");
    pass(Duration::from_secs(2)).await;
    assert_eq!(fake.writes(), ["POST /api/v1/namespaces/x/secrets"], "the mirror has caught up: one more is missing");
    assert!(fake.get("/api/v1/namespaces/x/secrets/s1").is_some());
}

#[tokio::test(start_paused = true)]
async fn creates_begin_slowly() {
    let fake = Fake::new();
    let mut many = map("a");
    many.set_path(&["data", "copies"], "500");
    fake.put(A, many);
    for _ in 0..3 {
        fake.fail_next("POST", &Status::forbidden(&api::GroupResource::new("", "secrets"), "", "exceeded quota"));
    }
    start(&COPIES, &fake);
    pass(MOMENT).await;
    assert_eq!(fake.writes().len(), 1, "a server that refuses one is not asked for the others");
    pass(Duration::from_secs(60)).await;
    assert_eq!(fake.writes().len(), 2 + 500, "two more were refused one by one");
}

static TRIES: AtomicUsize = AtomicUsize::new(0);

fn panics_twice(world: &World<'_>) -> Plan {
    match (world.key.name.as_str(), TRIES.fetch_add(1, Ordering::SeqCst)) {
        ("a", 0 | 1) => panic!("as it should"),
        _ => {
            let secret = value!({"metadata": {"name": world.key.name.clone(), "namespace": "x"}});
            Plan::of(vec![Action::create(SECRETS, secret).excuse(&[Excuse::AlreadyExists])], "it worked")
        }
    }
}

static PANICS: Spec = Spec {
    name: "panics",
    alias: "p",
    acts_for: "panics",
    tells_as: "panics",
    wakes_on: &[Wake::Itself(MAPS)],
    workers: 1,
    work: Work::Plan(panics_twice),
};

#[tokio::test(start_paused = true)]
async fn a_panic_holds_nobody_else_up() {
    let fake = Fake::new();
    fake.put(A, map("a"));
    start(&PANICS, &fake);
    pass(MOMENT).await;
    assert_eq!(fake.writes(), Vec::<String>::new());
    pass(Duration::from_secs(1)).await;
    assert_eq!(TRIES.load(Ordering::SeqCst), 3, "twice in vain, and not again");
    assert!(fake.get("/api/v1/namespaces/x/secrets/a").is_some());
}

fn again(world: &World<'_>) -> Plan {
    let seen = world.itself(MAPS).expect("nobody takes it away");
    let mut plan = Plan::nothing("later");
    plan.again_at = Some(world.now + SignedDuration::from_secs(10));
    plan.events.push(Event { regarding: seen, warning: false, reason: "Seen".into(), message: "again".into() });
    plan
}

static AGAIN: Spec = Spec {
    name: "again",
    alias: "ag",
    acts_for: "again",
    tells_as: "again",
    wakes_on: &[Wake::Itself(MAPS)],
    workers: 1,
    work: Work::Plan(again),
};

#[tokio::test(start_paused = true)]
async fn a_plan_may_come_again_and_its_events_are_counted() {
    let fake = Fake::new();
    fake.put(A, map("a"));
    start(&AGAIN, &fake);
    pass(Duration::from_secs(25)).await;
    let writes = fake.writes();
    assert_eq!(writes.len(), 3, "at once, after ten seconds and after twenty: {writes:?}");
    assert_eq!(writes[0], "POST /api/v1/namespaces/x/events");
    let event = writes[2].strip_prefix("PATCH ").expect("one that repeats is counted up");
    assert_eq!(fake.get(event).expect("it is there").int("count"), 3);
}
