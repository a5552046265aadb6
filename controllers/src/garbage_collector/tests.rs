//! The collector against a small server. It judges nothing, so what is asked of it is looked at too.

use api::{Value, time::Clock, value};
use client::fake::Fake;
use jiff::Timestamp;

use super::*;
use crate::driver::pool::Pool;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("it is a time")
    }
}

/// Lets everything happen that happens within five seconds of a clock that moves only here.
async fn settle() {
    let _ = time::timeout(Duration::from_secs(5), std::future::pending::<()>()).await;
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/a/configmaps/{name}")
}

/// A map that these own.
fn map(name: &str, owners: &[&str]) -> Value {
    let owner = |name: &&str| value!({"apiVersion": "v1", "kind": "ConfigMap", "name": *name, "uid": format!("u-{name}"), "blockOwnerDeletion": true});
    value!({"metadata": {"name": name, "namespace": "a", "uid": format!("u-{name}"),
        "ownerReferences": owners.iter().map(owner).collect::<Value>()}})
}

fn ending(name: &str, finalizer: &str) -> Value {
    let mut map = map(name, &[]);
    map.set_path(&["metadata", "deletionTimestamp"], "2026-01-02T03:04:05Z");
    map.set_path(&["metadata", "finalizers"], vec![finalizer]);
    map
}

async fn collect(objects: &[Value]) -> Arc<Fake> {
    let fake = Fake::new();
    fake.serve(&[("configmaps", "ConfigMap", true), ("nodes", "Node", false), ("events", "Event", true)]);
    for object in objects {
        fake.put(&path(api::meta::of(object).name()), object.clone());
    }
    let parts = Parts {
        client: fake.client(),
        pool: Pool::new(fake.client(), &[]),
        clock: Arc::new(Still),
        settings: Arc::default(),
    };
    tokio::spawn(run(parts));
    settle().await;
    fake
}

#[tokio::test(start_paused = true)]
async fn chains_without_a_beginning_go_and_others_stay() {
    let fake = collect(&[map("a", &["gone"]), map("b", &["a"]), map("c", &[]), map("d", &["c"])]).await;
    assert!(fake.get(&path("a")).is_none());
    assert!(fake.get(&path("b")).is_none());
    assert!(fake.get(&path("d")).is_some());
    assert_eq!(fake.writes().len(), 2, "one delete for each, no more");
}

#[tokio::test(start_paused = true)]
async fn one_owner_that_lives_is_enough() {
    let fake = collect(&[map("a", &["gone", "c"]), map("c", &[])]).await;
    let kept = fake.get(&path("a")).expect("it has an owner");
    let owners: Vec<&str> = kept.at("metadata").list("ownerReferences").iter().map(|o| o.str("name")).collect();
    assert_eq!(owners, ["c"], "the other reference has been taken out");
}

#[tokio::test(start_paused = true)]
async fn an_owner_waits_for_its_dependents() {
    let fake = collect(&[ending("o", "foregroundDeletion"), map("a", &["o"])]).await;
    assert!(fake.get(&path("a")).is_none());
    let owner = fake.get(&path("o")).expect("the small server deletes nothing by itself");
    assert_eq!(owner.at("metadata").list("finalizers").len(), 0);
    let writes = fake.writes();
    let order: Vec<&str> = writes.iter().map(|w| w.split(' ').next().unwrap_or("")).collect();
    assert_eq!(order, ["DELETE", "PATCH"], "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn orphans_are_let_go() {
    let fake = collect(&[ending("o", "orphan"), map("a", &["o"])]).await;
    let orphan = fake.get(&path("a")).expect("it lives on");
    assert_eq!(orphan.at("metadata").list("ownerReferences").len(), 0);
    assert_eq!(fake.get(&path("o")).expect("see above").at("metadata").list("finalizers").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_known_keeps_its_dependents() {
    let mut strange = map("a", &["x"]);
    strange.set_path(
        &["metadata", "ownerReferences"],
        value!([{"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "ux"}]),
    );
    let fake = collect(&[strange]).await;
    assert!(fake.get(&path("a")).is_some());
}

#[tokio::test(start_paused = true)]
async fn deletes_carry_what_they_were_decided_on() {
    let fake = collect(&[map("c", &[]), map("d", &["c"])]).await;
    fake.fail_next(
        &format!("DELETE {}", path("d")),
        &api::Status::modified(&api::GroupResource::new("", "configmaps"), "d"),
    );
    fake.remove(&path("c"));
    settle().await;
    assert!(fake.get(&path("d")).is_none(), "a change that is not about owners does not save it");
    assert_eq!(fake.writes().iter().filter(|w| w.starts_with("DELETE")).count(), 2);
}
