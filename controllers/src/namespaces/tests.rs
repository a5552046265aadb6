//! A namespace's end, against a small server; and the conditions that say what it waits for.

use std::collections::BTreeMap;

use api::value;
use client::fake::Fake;

use super::*;

const NOW: &str = "2026-01-02T03:04:05Z";

fn now() -> Timestamp {
    NOW.parse().expect("it is a time")
}

fn ending(fake: &Arc<Fake>) {
    fake.serve(&[("pods", "Pod", true), ("configmaps", "ConfigMap", true), ("nodes", "Node", false)]);
    fake.put(
        "/api/v1/namespaces/a",
        value!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-02T03:00:00Z"},
            "spec": {"finalizers": ["kubernetes", "other"]}, "status": {"phase": "Active"}}),
    );
    fake.put("/api/v1/namespaces/a/configmaps/m", value!({"metadata": {"name": "m", "namespace": "a"}}));
    fake.put("/api/v1/nodes/n", value!({"metadata": {"name": "n"}}));
}

#[tokio::test]
async fn a_namespace_is_emptied_and_let_go() {
    let fake = Fake::new();
    ending(&fake);
    assert_eq!(empty(&fake.client(), "a", now()).await, Ok(0));
    assert!(fake.get("/api/v1/namespaces/a/configmaps/m").is_none());
    assert!(fake.get("/api/v1/nodes/n").is_some(), "what lives in no namespace stays");
    let namespace = fake.get("/api/v1/namespaces/a").expect("another finalizer holds it");
    assert_eq!(namespace.at("spec").at("finalizers"), &value!(["other"]));
    assert_eq!(namespace.at("status").str("phase"), "Terminating");
    assert_eq!(namespace.at("status").list("conditions").len(), 5);
}

#[tokio::test]
async fn pods_go_before_everything_else() {
    let fake = Fake::new();
    ending(&fake);
    let mut pod = value!({"metadata": {"name": "p", "namespace": "a", "finalizers": ["x"]}});
    fake.put("/api/v1/namespaces/a/pods/p", pod.clone());
    // A server that does not delete: finalizers hold the pod.
    let kept = value!({"kind": "Status", "status": "Success"});
    fake.answer_next("DELETE /api/v1/namespaces/a/pods/p", 200, kept);
    assert_eq!(empty(&fake.client(), "a", now()).await, Ok(15));
    assert!(fake.get("/api/v1/namespaces/a/configmaps/m").is_some(), "it waits for the pods");
    pod.remove_path(&["metadata", "finalizers"]);
    fake.put("/api/v1/namespaces/a/pods/p", pod);
    assert_eq!(empty(&fake.client(), "a", now()).await, Ok(0));
    assert!(fake.get("/api/v1/namespaces/a/configmaps/m").is_none());
}

#[test]
fn conditions_say_what_is_left() {
    let maps = Resource::new("", "v1", "configmaps");
    let sets = Resource::new("apps", "v1", "replicasets");
    let mut namespace = value!({"metadata": {"name": "a"}});
    let mut findings = Findings::default();
    let finalizers = BTreeMap::from([("x/f".to_string(), 2)]);
    findings.add(&maps, Ok(Left { seconds: 15, objects: 2, finalizers }));
    findings.add(&sets, Err("no".into()));
    assert!(findings.write(&mut namespace, now()));
    let message = |namespace: &Value, kind: &str| {
        let all = namespace.at("status").list("conditions").iter();
        let found = all.filter(|c| c.str("type") == kind).map(|c| format!("{} {}", c.str("status"), c.str("message")));
        found.collect::<String>()
    };
    let remaining = "True Some resources are remaining: configmaps. has 2 resource instances";
    assert_eq!(message(&namespace, "NamespaceContentRemaining"), remaining);
    let held = "True Some content in the namespace has finalizers remaining: x/f in 2 resource instances";
    assert_eq!(message(&namespace, "NamespaceFinalizersRemaining"), held);
    let failed = "True Failed to delete all resource types, 1 remaining: no";
    assert_eq!(message(&namespace, "NamespaceDeletionContentFailure"), failed);
    assert_eq!(findings.outcome(), Err("no".into()));
    assert!(!findings.write(&mut namespace, now()), "nothing new is nothing written");
    assert!(Findings::default().write(&mut namespace, now()));
    assert_eq!(message(&namespace, "NamespaceContentRemaining"), "False All content successfully removed");
}
