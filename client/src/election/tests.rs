//! Leases: who takes them when.

use super::*;

fn config(identity: &str) -> Config {
    Config::new("kube-system", "c", identity)
}

fn held(holder: &str) -> Value {
    value!({"metadata": {"name": "c", "namespace": "kube-system", "resourceVersion": "3"},
        "spec": {"holderIdentity": holder, "leaseTransitions": 4, "acquireTime": "before", "renewTime": "before",
            "leaseDurationSeconds": 15}})
}

fn spec(known: Option<&Value>, seconds: u64) -> Option<Value> {
    match claim(&config("me"), known, Duration::from_secs(seconds), "now") {
        Claim::Write(lease) => Some(lease.at("spec").clone()),
        Claim::Wait { .. } => None,
    }
}

#[test]
fn a_lease_is_taken_renewed_or_waited_for() {
    let taken = |transitions: i64| {
        value!({"holderIdentity": "me", "leaseDurationSeconds": 15, "acquireTime": "now", "renewTime": "now",
            "leaseTransitions": transitions})
    };
    assert_eq!(spec(None, 0), Some(taken(0)), "nobody has it yet");
    assert_eq!(spec(Some(&held("other")), 14), None, "another has it");
    assert_eq!(spec(Some(&held("other")), 15), Some(taken(5)), "it has run out");
    let mut longer = held("other");
    longer.set_path(&["spec", "leaseDurationSeconds"], 60);
    assert_eq!((spec(Some(&longer), 59), spec(Some(&longer), 60)), (None, Some(taken(5))), "its holder says how long");
    assert_eq!(spec(Some(&held("")), 0), Some(taken(5)), "it was given up");
    let renewed = spec(Some(&held("me")), 0).expect("it is mine");
    assert_eq!((renewed.str("acquireTime"), renewed.str("renewTime")), ("before", "now"));
    assert_eq!(renewed.int("leaseTransitions"), 4);
}

struct Still;

impl Clock for Still {
    fn now(&self) -> jiff::Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("it is a time")
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_stopped_writes_nothing_until_he_leads_again() {
    let fake = crate::fake::Fake::new();
    let mut election = Election::new(fake.client(), Arc::new(Still), config("first"));
    let leader = election.tenure().guard(&fake.client());
    let maps = Resource::new("", "v1", "configmaps");
    let write = async |name: &str| {
        let object = value!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}});
        leader.create(maps.within("n"), &object).await
    };
    assert!(matches!(write("before").await, Err(Error::NotLeading)), "he does not lead yet");
    election.acquire().await;
    write("a").await.expect("he leads");
    time::advance(Duration::from_secs(10)).await;
    assert!(matches!(write("b").await, Err(Error::NotLeading)), "his time is over, and he has not looked");
    leader.get(maps.named("n", "a")).await.expect("everybody may read");
    assert!(election.attempt().await.expect("the server answers"), "nobody came meanwhile");
    write("b").await.expect("he leads again");
    election.release().await;
    assert!(matches!(write("c").await, Err(Error::NotLeading)), "he gave it up");
    let alone = Tenure::unlimited().guard(&fake.client());
    alone.get(maps.named("n", "c")).await.expect_err("nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn only_one_leads_and_the_next_follows_at_once() {
    let fake = crate::fake::Fake::new();
    let mut first = Election::new(fake.client(), Arc::new(Still), config("first"));
    let mut second = Election::new(fake.client(), Arc::new(Still), config("second"));
    first.acquire().await;
    assert!(time::timeout(Duration::from_secs(10), second.acquire()).await.is_err(), "the first one leads");
    first.release().await;
    let before = Instant::now();
    second.acquire().await;
    assert!(before.elapsed() <= Duration::from_secs(2));
    assert!(!first.attempt().await.expect("the server answers"));
}
