//! The whole scheduler against a small server.

use api::{Value, value};
use client::fake::Fake;

use super::*;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("it is a time")
    }
}

fn parts(fake: &Arc<Fake>) -> Parts {
    Parts { client: fake.client(), clock: Arc::new(Still), config: Config::default(), seed: 7, host: "here".into() }
}

fn node(name: &str) -> Value {
    value!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name},
        "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "9"}}})
}

fn pod(name: &str, cpu: &str) -> Value {
    value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"schedulerName": "default-scheduler",
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

async fn create(fake: &Arc<Fake>, resource: &str, object: Value) {
    let resource = Resource::parse(resource).expect("it is one");
    let target = resource.within(api::meta::of(&object).namespace());
    fake.client().create(target, &object).await.expect("the small server takes everything");
}

/// Runs the scheduler until it has asked for so many things.
async fn writes(fake: &Arc<Fake>, count: usize) -> Vec<String> {
    fake.writes();
    let running = tokio::spawn(run(parts(fake)));
    let mut all = Vec::new();
    while all.len() < count {
        tokio::task::yield_now().await;
        all.extend(fake.writes());
    }
    running.abort();
    all.sort();
    all
}

#[tokio::test]
async fn a_pod_is_bound_and_people_are_told() {
    let fake = Fake::new();
    create(&fake, "v1/nodes", node("a")).await;
    create(&fake, "v1/pods", pod("p", "500m")).await;
    let all = writes(&fake, 2).await;
    assert_eq!(all, ["POST /api/v1/namespaces/n/pods/p/binding", "POST /apis/events.k8s.io/v1/namespaces/n/events"],);
}

#[tokio::test]
async fn what_was_given_a_node_takes_its_room_before_the_server_has_said_so() {
    let fake = Fake::new();
    create(&fake, "v1/nodes", node("a")).await;
    for name in ["p", "q"] {
        create(&fake, "v1/pods", pod(name, "600m")).await;
    }
    let all = writes(&fake, 4).await;
    let bindings = all.iter().filter(|w| w.ends_with("/binding")).count();
    let refused = all.iter().filter(|w| w.starts_with("PATCH") && w.ends_with("/status")).count();
    assert_eq!((bindings, refused), (1, 1), "{all:?}");
}

#[tokio::test]
async fn a_refused_binding_gives_the_room_back() {
    let fake = Fake::new();
    create(&fake, "v1/nodes", node("a")).await;
    create(&fake, "v1/pods", pod("p", "600m")).await;
    create(&fake, "v1/pods", pod("q", "600m")).await;
    let conflict = value!({"kind": "Status", "reason": "Conflict", "code": 409, "message": "no"});
    fake.answer_next("POST /api/v1/namespaces/n/pods/p/binding", 409, conflict);
    let all = writes(&fake, 5).await;
    assert!(all.iter().any(|w| w.ends_with("/pods/q/binding")), "the other has the room then: {all:?}");
}
