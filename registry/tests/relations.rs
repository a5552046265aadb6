//! What nodes may read follows what is written, at once.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use std::sync::Arc;

use api::{Value, value};
use auth::authorize::node::{
    Relations,
    graph::{Kind, Name},
};
use registry::{options::DeleteOptions, patch::Form, special::relations};
use world::World;

fn pod(name: &str, node: &str, secret: &str) -> Value {
    value!({"metadata": {"name": name, "namespace": "ns"}, "spec": {
        "nodeName": node, "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "secret": {"secretName": secret}}]}})
}

fn may(relations: &Relations, node: &str, secret: &str) -> bool {
    relations.lead(Name { kind: Kind::Secret, namespace: "ns", name: secret }, node)
}

#[tokio::test]
async fn what_is_written_counts_at_once() {
    let world = World::new().await;
    world.create("pods", pod("before", "n1", "old"), false).await.expect("it is right");
    let relations = Arc::new(Relations::default());
    relations::follow(&world.registry, &relations);
    assert!(may(&relations, "n1", "old") && !may(&relations, "n2", "old"));

    world.create("pods", pod("bound", "n1", "s"), false).await.expect("it is right");
    assert!(may(&relations, "n1", "s"));
    // A status says nothing of what is named, a container that comes late does.
    let status = r#"{"status":{"phase":"Running"}}"#;
    world.patch("pods/status", "bound", Form::Merge, status, false).await.expect("it is right");
    let late =
        r#"{"spec":{"ephemeralContainers":[{"name":"e","image":"i","envFrom":[{"secretRef":{"name":"late"}}]}]}}"#;
    assert!(!may(&relations, "n1", "late"));
    world.patch("pods/ephemeralcontainers", "bound", Form::Merge, late, false).await.expect("it is right");
    assert!(may(&relations, "n1", "late") && may(&relations, "n1", "s") && !may(&relations, "n2", "late"));

    let options = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    world.registry.remove(&world.ask("delete", "pods", "bound"), &options).await.expect("it is there");
    assert!(!may(&relations, "n1", "s") && may(&relations, "n1", "old"));
}

#[tokio::test]
async fn a_pod_that_waits_gives_nothing_until_it_is_bound() {
    let world = World::new().await;
    let relations = Arc::new(Relations::default());
    relations::follow(&world.registry, &relations);
    world.create("pods", pod("waits", "", "s"), false).await.expect("it is right");
    assert!(!may(&relations, "n1", "s"));
    let binding = value!({"metadata": {"name": "waits"}, "target": {"kind": "Node", "name": "n1"}});
    world.below("pods/binding", "waits", binding).await.expect("it waits");
    assert!(may(&relations, "n1", "s"));
}

#[tokio::test]
async fn what_went_while_nobody_looked_gives_nothing() {
    let world = World::new().await;
    let relations = Arc::new(Relations::default());
    relations::follow(&world.registry, &relations);
    for (name, secret) in [("goes", "gone"), ("stays", "kept")] {
        world.create("pods", pod(name, "n1", secret), false).await.expect("it is right");
    }
    assert!(may(&relations, "n1", "gone") && may(&relations, "n1", "kept"));
    // Everything is read anew, and one pod is not there any more: every cursor has fallen.
    let ask = world.ask("get", "pods", "stays");
    let cache = &ask.definition.cache;
    let stays = cache.get("ns/stays").expect("it is there");
    cache.load(vec![stays], world.registry.filler.applied() + 1);
    assert!(!may(&relations, "n1", "gone") && may(&relations, "n1", "kept"));
}
