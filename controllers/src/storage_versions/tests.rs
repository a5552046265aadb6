//! Migrations against a small server: what they write, in which order, and how they end.

use api::Status;
use client::fake::Fake;

use super::*;

const AT: &str = "/apis/storagemigration.k8s.io/v1/storageversionmigrations";

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("it is a time")
}

fn migration(name: &str, made: &str, status: Value) -> Value {
    value!({
        "kind": "StorageVersionMigration", "apiVersion": "storagemigration.k8s.io/v1",
        "metadata": {"name": name, "creationTimestamp": made, "generation": 1},
        "spec": {"resource": {"group": "", "resource": "configmaps"}}, "status": status
    })
}

fn says(kind: &str) -> Value {
    value!({"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

fn running_since(revision: &str) -> Value {
    value!({"conditions": [(says(RUNNING))], "resourceVersion": revision})
}

fn stored(fake: &Arc<Fake>, status: Value) -> Value {
    fake.serve(&[("configmaps", "ConfigMap", true), ("bindings", "Binding", true)]);
    fake.put(&format!("{AT}/m"), migration("m", "2026-01-01T00:00:00Z", status))
}

fn told(fake: &Arc<Fake>, kind: &str) -> String {
    let found = fake.get(&format!("{AT}/m")).expect("it is there");
    let conditions = found.at("status").list("conditions").iter();
    let told =
        conditions.filter(|c| c.str("type") == kind).map(|c| format!("{} {}", c.str("status"), c.str("message")));
    told.collect()
}

#[test]
fn one_runs_at_a_time_and_the_oldest_comes_first() {
    let young = migration("a", "2026-01-03T00:00:00Z", Value::object());
    let old = migration("c", "2026-01-01T00:00:00Z", Value::object());
    let twin = migration("b", "2026-01-01T00:00:00Z", Value::object());
    assert_eq!(next(&[&young, &old, &twin]), Next::Begin(&twin));
    let running = migration("d", "2026-01-02T00:00:00Z", running_since(""));
    assert_eq!(next(&[&old, &running]), Next::Date(&running));
    let dated = migration("d", "2026-01-02T00:00:00Z", running_since("7"));
    assert_eq!(next(&[&old, &dated]), Next::Migrate(&dated));
    let over = migration("e", "2026-01-02T00:00:00Z", value!({"conditions": [(says(RUNNING)), (says(FAILED))]}));
    assert_eq!(next(&[&old, &over]), Next::Finish(&over));
    let done = migration("f", "2026-01-01T00:00:00Z", value!({"conditions": [(says(SUCCEEDED))]}));
    assert_eq!((next(&[&done, &old]), next(&[&done])), (Next::Begin(&old), Next::Nothing));
}

#[tokio::test]
async fn what_is_older_than_the_migration_is_patched_with_nothing() {
    let fake = Fake::new();
    let map = |name: &str| value!({"metadata": {"name": name, "namespace": "ns"}});
    let old = fake.put("/api/v1/namespaces/ns/configmaps/a", map("a"));
    let migration = stored(&fake, running_since(meta::of(&old).resource_version()));
    fake.put("/api/v1/namespaces/ns/configmaps/b", map("b"));
    migrate(&fake.client(), &migration, now()).await.expect("it goes well");
    let writes = fake.writes();
    assert_eq!(writes, ["PATCH /api/v1/namespaces/ns/configmaps/a".to_owned(), format!("PUT {AT}/m/status")]);
    assert_eq!(told(&fake, RUNNING), "True The migration is running, 2 objects verified migrated");
    assert_eq!(told(&fake, SUCCEEDED), "True Migration completed");
}

#[tokio::test]
async fn what_passes_is_tried_again_and_the_rest_is_the_end() {
    let fake = Fake::new();
    fake.put("/api/v1/namespaces/ns/configmaps/a", value!({"metadata": {"name": "a", "namespace": "ns"}}));
    let migration = stored(&fake, running_since("1000"));
    let path = "PATCH /api/v1/namespaces/ns/configmaps/a";
    fake.fail_next(path, &Status::service_unavailable("later"));
    assert_eq!(migrate(&fake.client(), &migration, now()).await, Err(Failed("later".into())));
    let text = "True The migration is running, 1/1 objects not yet migrated; transient error: later";
    assert_eq!((told(&fake, RUNNING).as_str(), told(&fake, FAILED).as_str()), (text, ""));
    let migration = fake.get(&format!("{AT}/m")).expect("it is there");
    fake.fail_next(path, &Status::bad_request("no"));
    migrate(&fake.client(), &migration, now()).await.expect("that is written down");
    assert_eq!(told(&fake, FAILED), "True 1/1 not yet migrated. migration encountered unhandled error: no");
}

#[tokio::test]
async fn what_is_not_there_is_waited_for_a_while() {
    let fake = Fake::new();
    stored(&fake, running_since(""));
    fake.serve(&[]);
    let fresh = migration("m", "2026-01-02T03:04:00Z", running_since(""));
    assert!(date(&fake.client(), &fresh, now()).await.is_err());
    let migration = fake.get(&format!("{AT}/m")).expect("it is there");
    date(&fake.client(), &migration, now()).await.expect("that is written down");
    assert_eq!(told(&fake, FAILED), "True resource does not exist in discovery");
}

#[tokio::test]
async fn a_definition_says_that_its_objects_migrate() {
    let fake = Fake::new();
    let at = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tabs.example.com";
    let mut migration = stored(&fake, Value::object());
    migration.set_path(&["spec", "resource"], value!({"group": "example.com", "resource": "tabs"}));
    let migration = fake.put(&format!("{AT}/m"), migration);
    begin(&fake.client(), &migration, now()).await.expect("there is no definition");
    assert_eq!(told(&fake, RUNNING), "True The migration is running");
    let condition = value!({"type": "StorageMigrating", "status": "True", "observedGeneration": 3});
    let versions = value!([{"name": "v1"}, {"name": "v2", "storage": true}]);
    let definition = value!({
        "metadata": {"name": "tabs.example.com", "generation": 3}, "spec": {"versions": versions},
        "status": {"conditions": [condition], "storedVersions": ["v1", "v2"]}
    });
    fake.put(at, definition.clone());
    fake.writes();
    let mut over = fake.get(&format!("{AT}/m")).expect("it is there");
    tell(&mut over, SUCCEEDED, true, now(), "R", "m");
    finish(&fake.client(), &over, now()).await.expect("it goes well");
    let writes = fake.writes();
    let apply = format!("PATCH {at}/status?fieldManager=migration-runner-controller&force=true");
    assert_eq!(writes, [apply, format!("PUT {AT}/m/status")]);
    assert_eq!(told(&fake, RUNNING), "False Migration completed");
}
