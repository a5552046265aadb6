//! The graph: who is suspected when. Names are `kind/namespace/name` and double as uids.

use super::*;

/// An object of a graph under test.
struct Object {
    identity: Identity,
    value: Value,
}

fn identity(path: &str) -> Identity {
    let parts: Vec<&str> = path.split('/').collect();
    let [kind, namespace, name] = parts[..] else { panic!("{path} is kind/namespace/name") };
    Identity {
        kind: kind.into(),
        api_version: "v1".into(),
        namespace: namespace.into(),
        name: name.into(),
        uid: path.into(),
    }
}

fn reference(path: &str, blocks: bool) -> Value {
    let Identity { kind, api_version, name, uid, .. } = identity(path);
    value!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "blockOwnerDeletion": blocks})
}

fn object(path: &str, owners: &[&str]) -> Object {
    let identity = identity(path);
    let owners: Value = owners.iter().map(|o| reference(o, true)).collect();
    let value = value!({"metadata": {"name": identity.name.clone(), "namespace": identity.namespace.clone(),
        "uid": identity.uid.clone(), "ownerReferences": owners}});
    Object { identity, value }
}

impl Object {
    fn ending(&self, finalizer: &str) -> Object {
        let mut value = self.value.clone();
        value.set_path(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
        value.set_path(&["metadata", "finalizers"], vec![finalizer]);
        Object { identity: self.identity.clone(), value }
    }

    fn claiming(mut self, owners: Vec<Value>) -> Object {
        self.value.set_path(&["metadata", "ownerReferences"], owners);
        self
    }
}

impl Graph {
    fn add(&mut self, object: &Object) -> Vec<String> {
        lines(self.observe(object.identity.clone(), None, &object.value))
    }

    fn change(&mut self, old: &Object, new: &Object) -> Vec<String> {
        lines(self.observe(new.identity.clone(), Some(&old.value), &new.value))
    }
}

fn lines(todo: Vec<Todo>) -> Vec<String> {
    let line = |todo: Todo| match todo {
        Todo::Suspect(uid) => uid.to_string(),
        Todo::SuspectLater(uid) => format!("later {uid}"),
        Todo::Orphan(uid) => format!("orphan {uid}"),
        Todo::Tell(event) => format!("tell {}: {}", event.reason, event.message),
    };
    todo.into_iter().map(line).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn dependents_of_what_is_gone_are_suspected() {
    let mut graph = Graph::default();
    let (set, pod) = (object("Set/a/s", &[]), object("Pod/a/p", &["Set/a/s"]));
    assert_eq!(graph.add(&set), NONE);
    assert_eq!(graph.add(&pod), NONE);
    assert_eq!(lines(graph.remove(&set.identity)), ["Pod/a/p"]);
    assert!(graph.is_known_absent(&set.identity));
    assert_eq!(lines(graph.remove(&pod.identity)), NONE);
    assert!(!graph.is_known_absent(&pod.identity), "nobody will ask for it");
}

#[test]
fn an_owner_that_nobody_saw_is_asked_for() {
    let mut graph = Graph::default();
    let pod = object("Pod/a/p", &["Set/a/s"]);
    assert_eq!(graph.add(&pod), ["Set/a/s"]);
    assert!(graph.get("Set/a/s").expect("it was heard of").is_virtual);
    assert_eq!(lines(graph.remove_virtual(&identity("Set/a/s"))), ["Pod/a/p"]);
    assert!(graph.get("Set/a/s").is_none());
    assert_eq!(graph.add(&object("Pod/a/q", &["Set/a/s"])), ["Set/a/s"]);
    assert_eq!(graph.add(&object("Set/a/s", &[])), NONE, "now it was seen, as it was said to be");
    assert!(!graph.get("Set/a/s").expect("it is there").is_virtual);
    assert!(graph.has_dependents("Set/a/s"), "those that came first are its dependents too");
}

#[test]
fn foreground_waits_for_those_that_block() {
    let mut graph = Graph::default();
    let (set, pod) = (object("Set/a/s", &[]), object("Pod/a/p", &["Set/a/s"]));
    let free = object("Pod/a/free", &[]).claiming(vec![reference("Set/a/s", false)]);
    graph.add(&set);
    graph.add(&pod);
    graph.add(&free);
    let ending = set.ending(FOREGROUND);
    assert_eq!(graph.change(&set, &ending), ["Pod/a/free", "Pod/a/p", "Set/a/s"]);
    assert_eq!(graph.change(&ending, &ending), NONE, "it has begun already");
    assert_eq!(graph.blocking_dependents("Set/a/s").len(), 1);
    assert_eq!(lines(graph.remove(&pod.identity)), ["Set/a/s"], "one less to wait for");
    assert_eq!(graph.blocking_dependents("Set/a/s").len(), 0);
}

#[test]
fn an_owner_is_looked_at_when_a_dependent_stops_blocking() {
    let mut graph = Graph::default();
    let (set, pod) = (object("Set/a/s", &[]), object("Pod/a/p", &["Set/a/s"]));
    graph.add(&set);
    graph.add(&pod);
    let unblocked = object("Pod/a/p", &[]).claiming(vec![reference("Set/a/s", false)]);
    assert_eq!(graph.change(&pod, &unblocked), ["Set/a/s"]);
    assert_eq!(graph.change(&unblocked, &object("Pod/a/p", &[])), NONE);
    assert!(!graph.has_dependents("Set/a/s"));
    assert_eq!(graph.change(&object("Pod/a/p", &[]), &pod), NONE);
    assert_eq!(graph.change(&pod, &object("Pod/a/p", &[])), ["Set/a/s"], "it let go altogether");
}

#[test]
fn orphans_are_let_go_first() {
    let mut graph = Graph::default();
    let set = object("Set/a/s", &[]);
    graph.add(&set);
    graph.add(&object("Pod/a/p", &["Set/a/s"]));
    assert_eq!(graph.change(&set, &set.ending(ORPHAN)), ["orphan Set/a/s"]);
    assert_eq!(graph.add(&object("Set/a/t", &[]).ending(ORPHAN)), ["orphan Set/a/t"], "made and deleted in one event");
}

#[test]
fn an_owner_of_another_namespace_is_none() {
    let mut graph = Graph::default();
    graph.add(&object("Set/a/s", &[]));
    let told = graph.add(&object("Pod/b/p", &["Set/a/s"]));
    let text = "ownerRef [v1/Set, namespace: b, name: s, uid: Set/a/s] does not exist in namespace \"b\"";
    assert_eq!(told, [format!("tell OwnerRefInvalidNamespace: {text}"), "Pod/b/p".into()]);
    let mut graph = Graph::default();
    graph.add(&object("Pod/b/p", &["Set/a/s"]));
    assert_eq!(graph.add(&object("Set/a/s", &[])).len(), 2, "it is noticed when the owner comes later, too");
}

#[test]
fn cluster_scoped_owners_may_be_named_from_anywhere() {
    let mut graph = Graph::default();
    graph.add(&object("Node//n", &[]));
    assert_eq!(graph.add(&object("Pod/a/p", &["Node//n"])), NONE);
    assert_eq!(graph.add(&object("Pod/b/p", &["Node//n"])), NONE);
    assert_eq!(lines(graph.remove(&identity("Node//n"))), ["Pod/a/p", "Pod/b/p"]);
}

#[test]
fn a_virtual_owner_named_from_two_places_is_doubtful() {
    let mut graph = Graph::default();
    assert_eq!(graph.add(&object("Pod//clustered", &["Set/a/s"])), ["Set/a/s"]);
    assert_eq!(graph.add(&object("Pod/a/p", &["Set/a/s"])), ["Pod/a/p"], "the owner may live in no such place");
    // The server says that there is no such object without a namespace: only the liar is suspected.
    let clustered = Identity { namespace: EcoString::new(), ..identity("Set/a/s") };
    let todo = lines(graph.remove_virtual(&clustered));
    assert!(todo.contains(&"Pod//clustered".to_string()), "{todo:?}");
}

#[test]
fn references_that_lie_about_a_uid_do_not_hurt_the_truthful() {
    let mut graph = Graph::default();
    let mut lie = reference("Set/a/s", true);
    lie.set("kind", "Liar");
    let liar = object("Pod/a/liar", &[]).claiming(vec![lie]);
    assert_eq!(graph.add(&liar), ["Set/a/s"]);
    let truthful = object("Pod/a/truthful", &["Set/a/s"]);
    assert_eq!(graph.add(&truthful), ["Pod/a/truthful"], "they disagree");
    let said = Identity { kind: "Liar".into(), ..identity("Set/a/s") };
    let todo = lines(graph.remove_virtual(&said));
    assert_eq!(todo, ["Pod/a/liar", "later Set/a/s"], "the other's word is tried next");
    assert!(graph.is_known_absent(&said));
    assert_eq!(graph.get("Set/a/s").expect("it stays").identity, identity("Set/a/s"));
    assert_eq!(graph.add(&object("Set/a/s", &[])), NONE, "it exists as the truthful one said");
    let todo = lines(graph.remove_virtual(&said));
    assert_eq!(todo, ["Pod/a/liar"], "what was seen is not removed because a liar's word was denied");
    assert!(graph.get("Set/a/s").is_some());
}

#[test]
fn the_absent_are_forgotten_in_order() {
    let mut graph = Graph::default();
    for i in 0..=ABSENT_MAX {
        graph.remember_absent(identity(&format!("Set/a/{i}")));
    }
    assert!(!graph.is_known_absent(&identity("Set/a/0")));
    assert!(graph.is_known_absent(&identity("Set/a/1")));
    assert_eq!(graph.absent.known.len(), ABSENT_MAX);
}
