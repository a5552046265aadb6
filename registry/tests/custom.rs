//! Definitions and their instances through the verbs, as clients see them.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use api::{GroupResource, Value, value};
use registry::{
    options::{DeleteOptions, ListOptions},
    patch::Form,
    special::custom::work,
};
use world::World;

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";
const TABS: &str = "tabs.example.com";

fn definition(plural: &str, kind: &str) -> Value {
    let spec = value!({"type": "object", "properties": {
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "replicas": {"type": "integer"},
        "short": {"type": "string", "maxLength": 3}
    }});
    let status = value!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
    let schema = value!({"type": "object", "properties": {"spec": spec, "status": status}});
    value!({
        "metadata": {"name": (format!("{plural}.example.com"))},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [
                {
                    "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "subresources": {
                        "status": {},
                        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
                    }
                },
                {
                    "name": "v2", "served": true, "storage": false,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
                }
            ]
        }
    })
}

/// Waits until a definition is as it has to be; whoever has seen its event finds its kind in the catalog.
async fn until(world: &World, name: &str, is_so: impl Fn(Option<&Value>) -> bool) -> Option<Value> {
    let registry = &world.registry;
    let definitions = registry.catalog.get(&GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions"));
    let cache = definitions.expect("it is built in").cache.clone();
    let (_, mut cursor) = cache.snapshot_and_cursor(0);
    let mut events = Vec::new();
    loop {
        let found = cache.get(name).map(|entry| entry.tree());
        if is_so(found.as_ref()) {
            registry.filler.wait(registry.store.revision().await.expect("memory has one")).await;
            return found;
        }
        cursor.next(16, &mut events).await.expect("the log is long enough");
        events.clear();
    }
}

fn says(stored: Option<&Value>, condition: &str, status: &str) -> bool {
    let conditions = stored.map_or(&[][..], |stored| stored.at("status").list("conditions"));
    conditions.iter().any(|c| c.str("type") == condition && c.str("status") == status)
}

async fn define(world: &World, plural: &str, kind: &str) {
    world.create(DEFINITIONS, definition(plural, kind), false).await.expect("it is right");
    until(world, &format!("{plural}.example.com"), |stored| says(stored, "Established", "True")).await;
}

fn tab(name: &str, spec: Value) -> Value {
    value!({
        "apiVersion": "example.com/v1", "kind": "Tab", "metadata": {"name": name, "namespace": "ns"}, "spec": spec
    })
}

async fn with_tabs() -> World {
    let world = World::new().await;
    work::run(&world.registry);
    define(&world, "tabs", "Tab").await;
    world
}

#[tokio::test]
async fn instances_are_fitted_defaulted_and_judged() {
    let world = with_tabs().await;
    let made = world.create(TABS, tab("a", value!({"bogus": 1})), false).await.expect("it is right");
    assert_eq!(made.at("spec"), &value!({"color": "red"}));
    assert_eq!(made.at("metadata").int("generation"), 1);

    let refused = world.create(TABS, tab("b", value!({"color": "green", "replicas": "x"})), false).await;
    let refused = refused.expect_err("it fits no schema");
    let said = refused.message();
    assert!(said.contains("spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\""), "{said}");
    assert!(said.contains("spec.replicas in body must be of type integer: \"string\""), "{said}");

    let (below, patch) = (format!("{TABS}/status"), r#"{"status":{"replicas":2},"spec":{"replicas":9}}"#);
    let status = world.patch(&below, "a", Form::Merge, patch, false).await.expect("it is right");
    assert_eq!((status.at("status").int("replicas"), status.at("spec").int("replicas")), (2, 0));
    assert_eq!(status.at("metadata").int("generation"), 1, "a status is no change of the object");
    let patched = world.patch(TABS, "a", Form::Merge, r#"{"spec":{"replicas":3},"status":null}"#, false).await;
    let patched = patched.expect("it is right");
    assert_eq!((patched.at("status").int("replicas"), patched.at("metadata").int("generation")), (2, 2));
}

#[tokio::test]
async fn every_version_shows_the_same_object() {
    let world = with_tabs().await;
    world.create(TABS, tab("a", value!({"replicas": 1})), false).await.expect("it is right");
    let ask = world.ask("get", &format!("{TABS}@v2"), "a");
    let mut shown = world.get(TABS, "a");
    ask.definition.from_hub(&mut shown, ask.served());
    assert_eq!(shown.str("apiVersion"), "example.com/v2");
    assert_eq!(shown.at("spec"), &value!({"color": "red", "replicas": 1}));
}

#[tokio::test]
async fn lists_are_filtered_by_selectable_fields() {
    let world = with_tabs().await;
    for (name, color) in [("a", "red"), ("b", "blue")] {
        world.create(TABS, tab(name, value!({"color": color})), false).await.expect("it is right");
    }
    let options = ListOptions { field_selector: "spec.color=blue".into(), ..ListOptions::default() };
    let found = world.registry.list(&world.ask("list", TABS, ""), &options).await.expect("v1 knows the field");
    assert_eq!(found.entries.iter().map(|e| e.head.name.as_str()).collect::<Vec<_>>(), ["b"]);
    let refused = world.registry.list(&world.ask("list", &format!("{TABS}@v2"), ""), &options).await;
    assert_eq!(refused.map(|_| ()).map_err(|e| e.code()), Err(400), "v2 does not");
}

#[tokio::test]
async fn a_narrower_schema_judges_what_changes() {
    let world = with_tabs().await;
    world.create(TABS, tab("a", value!({"short": "abc"})), false).await.expect("it is right");
    let patch = r#"[
        {"op":"replace","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/short/maxLength","value":2},
        {"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/late",
         "value":{"type":"string","default":"now"}}
    ]"#;
    world.patch(DEFINITIONS, TABS, Form::Json, patch, false).await.expect("it is right");
    assert_eq!(world.get(TABS, "a").at("spec").str("late"), "now", "defaults that came later are filled in");
    let kept = world.patch(TABS, "a", Form::Merge, r#"{"spec":{"replicas":1}}"#, false).await;
    assert_eq!(kept.expect("what was wrong before may stay").at("spec").str("short"), "abc");
    let refused = world.patch(TABS, "a", Form::Merge, r#"{"spec":{"short":"abd"}}"#, false).await;
    let refused = refused.expect_err("what is new may not be wrong");
    assert!(refused.message().contains("spec.short: Too long: may not be more than 2 bytes"), "{}", refused.message());
}

#[tokio::test]
async fn a_definition_takes_its_instances_along() {
    let world = with_tabs().await;
    world.create(TABS, tab("a", value!({})), false).await.expect("it is right");
    let cache = world.ask("get", TABS, "a").definition.cache.clone();
    let ask = world.ask("delete", DEFINITIONS, TABS);
    let options = DeleteOptions::read(value!({})).expect("they are options");
    world.registry.remove(&ask, &options).await.expect("it is there");
    until(&world, TABS, |stored| stored.is_none()).await;
    assert!(cache.is_empty());
    assert!(world.registry.catalog.get(&GroupResource::new("example.com", "tabs")).is_none());
}

/// Nobody writes the definition meanwhile, so that nothing but its own clock has it looked at again.
#[tokio::test(start_paused = true)]
async fn a_definition_whose_instances_are_held_ends_when_they_are_not() {
    const GUARDS: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";
    let world = with_tabs().await;
    world.create(TABS, tab("a", value!({})), false).await.expect("it is right");
    // This server calls no webhooks, so one that has to be asked refuses everything.
    let guard = value!({"metadata": {"name": "guard"}, "webhooks": [{
        "name": "guard.example.com", "clientConfig": {"url": "https://127.0.0.1/no"}, "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
        "rules": [{"operations": ["DELETE"], "apiGroups": ["example.com"], "apiVersions": ["*"], "resources": ["tabs"]}]
    }]});
    world.create(GUARDS, guard, false).await.expect("it is right");
    let options = DeleteOptions::read(value!({})).expect("they are options");
    world.registry.remove(&world.ask("delete", DEFINITIONS, TABS), &options).await.expect("it is there");
    let in_progress = |stored: Option<&Value>| {
        let conditions = stored.map_or(&[][..], |stored| stored.at("status").list("conditions"));
        conditions.iter().any(|c| c.str("reason") == "InstanceDeletionInProgress")
    };
    until(&world, TABS, in_progress).await;
    // Everything runs on this thread: what can be done without the clock has been done, in vain.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!world.ask("get", TABS, "a").definition.cache.is_empty(), "the guard holds it");
    world.registry.remove(&world.ask("delete", GUARDS, "guard"), &options).await.expect("it is there");
    until(&world, TABS, |stored| stored.is_none()).await;
}

#[tokio::test]
async fn a_kind_belongs_to_who_came_first() {
    let world = with_tabs().await;
    world.create(DEFINITIONS, definition("others", "Tab"), false).await.expect("it is right");
    let second = until(&world, "others.example.com", |stored| says(stored, "NamesAccepted", "False")).await;
    let second = second.expect("it is there");
    let said = second.at("status").list("conditions").iter().find(|c| c.str("type") == "NamesAccepted");
    let said = said.expect("it was waited for");
    assert_eq!((said.str("reason"), said.str("message")), ("ListKindConflict", "\"TabList\" is already in use"));
    assert!(world.registry.catalog.get(&GroupResource::new("example.com", "others")).is_none());

    let options = DeleteOptions::read(value!({})).expect("they are options");
    world.registry.remove(&world.ask("delete", DEFINITIONS, TABS), &options).await.expect("it is there");
    until(&world, "others.example.com", |stored| says(stored, "Established", "True")).await;
    assert!(world.registry.catalog.get(&GroupResource::new("example.com", "others")).is_some());
}

/// A kind whose counters may not fall, neither what is wanted nor what is told.
fn counter() -> Value {
    let counter = value!({
        "type": "object", "properties": {"n": {"type": "integer"}, "note": {"type": "string"}},
        "x-kubernetes-validations": [
            {"rule": "!has(self.n) || self.n < 10", "messageExpression": "self.n == 12 ? 'a dozen is too many' : 'too many'", "fieldPath": ".n"},
            {"rule": "!has(oldSelf.n) || self.n >= oldSelf.n", "message": "n may not fall", "reason": "FieldValueForbidden"}
        ]
    });
    let schema = value!({
        "type": "object", "properties": {"spec": (counter.clone()), "status": counter},
        "x-kubernetes-validations": [{"rule": "self.metadata.name.size() < 5"}]
    });
    value!({
        "metadata": {"name": "counters.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "counters", "kind": "Counter"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}}
            }]
        }
    })
}

#[tokio::test]
async fn rules_hold_whichever_way_an_object_is_written() {
    const COUNTERS: &str = "counters.example.com";
    let world = with_tabs().await;
    world.create(DEFINITIONS, counter(), false).await.expect("its rules compile");
    until(&world, COUNTERS, |stored| says(stored, "Established", "True")).await;
    let new = |name: &str, n: i64| {
        value!({
            "apiVersion": "example.com/v1", "kind": "Counter", "metadata": {"name": name, "namespace": "ns"}, "spec": {"n": n}
        })
    };
    let refused = world.create(COUNTERS, new("toolong", 12), false).await.expect_err("two rules are broken");
    let said = "[<nil>: Invalid value: failed rule: self.metadata.name.size() < 5, spec.n: Invalid value: a dozen is too many]";
    assert!(refused.message().ends_with(said), "{}", refused.message());
    world.create(COUNTERS, new("a", 5), false).await.expect("it is right");
    let status = format!("{COUNTERS}/status");
    for (resource, patch) in [(COUNTERS, r#"{"spec":{"n":4}}"#), (status.as_str(), r#"{"status":{"n":12}}"#)] {
        let refused = world.patch(resource, "a", Form::Merge, patch, false).await.expect_err(patch);
        let said = refused.message();
        assert!(
            said.contains("spec: Forbidden: n may not fall")
                || said.contains("status.n: Invalid value: a dozen is too many"),
            "{said}"
        );
    }
    world.patch(&status, "a", Form::Merge, r#"{"status":{"n":3}}"#, false).await.expect("a status may begin");
    let refused =
        world.patch(&status, "a", Form::Merge, r#"{"status":{"n":2}}"#, false).await.expect_err("and not fall");
    assert!(refused.message().contains("status: Forbidden: n may not fall"), "{}", refused.message());
    let apply = r#"{"apiVersion":"example.com/v1","kind":"Counter","spec":{"n":11}}"#;
    let refused =
        world.patch(COUNTERS, "a", Form::Apply { cbor: false }, apply, false).await.expect_err("it is too many");
    assert!(
        refused.message().contains("spec.n: Invalid value: too many") || refused.message().contains("conflict"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn a_rule_that_comes_later_judges_what_changes() {
    let world = with_tabs().await;
    world.create(TABS, tab("a", value!({"short": "abc"})), false).await.expect("it is right");
    let patch = r#"[{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/short/x-kubernetes-validations",
        "value":[{"rule":"self == 'x'"}]}]"#;
    world.patch(DEFINITIONS, TABS, Form::Json, patch, false).await.expect("it compiles");
    let kept = world.patch(TABS, "a", Form::Merge, r#"{"spec":{"replicas":1}}"#, false).await;
    assert_eq!(kept.expect("what was wrong before may stay").at("spec").str("short"), "abc");
    let refused = world.patch(TABS, "a", Form::Merge, r#"{"spec":{"short":"abd"}}"#, false).await;
    let refused = refused.expect_err("what is new may not be wrong");
    assert!(
        refused.message().ends_with(r#"spec.short: Invalid value: "abd": failed rule: self == 'x'"#),
        "{}",
        refused.message()
    );
}
