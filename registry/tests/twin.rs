//! What the twin found once and must not find again: answers that are upstream's to the word.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use std::sync::Arc;

use api::{Value, value};
use registry::{
    options::{DeleteOptions, ListOptions, Validation, WriteOptions},
    patch::Form,
};
use world::{Outcome, World};

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

fn map(name: &str) -> Value {
    value!({"metadata": {"name": (name), "namespace": "ns"}, "data": {"a": "1"}})
}

fn refused(outcome: Outcome) -> String {
    outcome.expect_err("it is refused").message().to_owned()
}

async fn remove(world: &World, resource: &str, name: &str, options: Value) -> (Outcome, Vec<String>) {
    let ask = world.ask("delete", resource, name);
    let options = DeleteOptions::read(options).expect("they are right");
    let outcome = world::shown(world.registry.remove(&ask, &options).await);
    (outcome, ask.take_warnings())
}

#[tokio::test]
async fn a_revision_asked_for_holds_for_both_writes_of_a_deletion() {
    let world = World::new().await;
    let pod = value!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = world.create("pods", pod, false).await.expect("it is right");
    let of = |version: &str| value!({"preconditions": {"resourceVersion": (version.to_owned())}});
    let (refused, _) = remove(&world, "pods", "p", of("1")).await;
    assert_eq!(refused.expect_err("it is another").code(), 409);
    let (gone, _) = remove(&world, "pods", "p", of(api::meta::of(&made).resource_version())).await;
    gone.expect("its own deletion is nobody else's change");
}

#[tokio::test]
async fn what_can_be_read_is_not_deleted_unsafely() {
    let world = World::new().await;
    world.create("configmaps", map("m"), false).await.expect("it is right");
    let unsafely = value!({"ignoreStoreReadErrorWithClusterBreakingPotential": true});
    let (outcome, _) = remove(&world, "configmaps", "m", unsafely.clone()).await;
    let wanted = "Operation cannot be fulfilled on configmaps \"m\": StorageError: invalid object, Code: 4, Key: /registry/configmaps/ns/m, ResourceVersion: 0, AdditionalErrorMsg: unsafe deletion is not allowed because the object is decodable from storage";
    assert_eq!(refused(outcome), wanted);
    let (outcome, _) = remove(&world, "configmaps", "missing", unsafely).await;
    assert_eq!(refused(outcome), "configmaps \"missing\" not found");
}

#[tokio::test]
async fn what_stands_before_the_store_deletes_nothing_unsafely() {
    let world = World::new().await;
    let unsafely = value!({"ignoreStoreReadErrorWithClusterBreakingPotential": true});
    let (outcome, _) = remove(&world, "namespaces", "missing", unsafely).await;
    let wanted = "Internal error occurred: no unsafe deleter provided, can not honor ignoreStoreReadErrorWithClusterBreakingPotential";
    assert_eq!(refused(outcome), wanted);
}

#[tokio::test]
async fn metadata_is_looked_at_where_the_kind_looks_at_it() {
    let world = World::new().await;
    let causes = |outcome: Outcome| -> Vec<String> {
        let status = outcome.expect_err("it is refused").to_value();
        status.at("details").list("causes").iter().map(|cause| cause.str("field").to_owned()).collect()
    };
    let nothing = value!({"metadata": {"namespace": "ns"}, "involvedObject": {"namespace": "other"}});
    let found = causes(world.create("events", nothing, true).await);
    assert_eq!(found, ["involvedObject.namespace"], "the name is looked at when nothing else is wrong");
    let names = value!({"kind": "Thing", "listKind": "ThingList", "plural": "things", "singular": "thing"});
    let schema = value!({"openAPIV3Schema": {"type": "object"}});
    let definition = value!({
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Cluster", "names": (names),
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": (schema)}]}
    });
    let definitions = "customresourcedefinitions.apiextensions.k8s.io";
    world.create(definitions, definition, false).await.expect("it is right");
    let patch = r#"{"metadata":{"deletionGracePeriodSeconds":1}}"#;
    let found = causes(world.patch(definitions, "things.example.com", Form::Merge, patch, true).await);
    assert_eq!(found, ["metadata.deletionGracePeriodSeconds", "metadata.deletionGracePeriodSeconds"]);
}

#[tokio::test]
async fn who_applies_a_node_does_not_own_its_status() {
    let world = World::new().await;
    world
        .create("nodes", value!({"metadata": {"name": "n"}, "status": {"nodeInfo": {"machineID": "m"}}}), false)
        .await
        .expect("it is right");
    let config = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n","labels":{"a":"b"}},"status":{}}"#;
    let applied = world.patch("nodes", "n", Form::Apply { cbor: false }, config, false).await.expect("it is right");
    assert_eq!(applied.at_path(&["status", "nodeInfo"]).str("machineID"), "m", "a node is made with its status");
    let entries = applied.at("metadata").list("managedFields");
    let own = entries.iter().find(|entry| entry.str("operation") == "Apply").expect("it owns a label");
    assert!(!own.at("fieldsV1").has("f:status"), "{own:?}");
}

#[tokio::test]
async fn a_put_of_what_is_not_there_fails_on_its_uid_as_on_a_stored_one() {
    let world = World::new().await;
    let role = value!({"metadata": {"name": "r", "namespace": "ns", "uid": "u"}, "rules": []});
    let said = |key: &str| {
        format!(
            "Operation cannot be fulfilled on roles.rbac.authorization.k8s.io \"r\": StorageError: invalid object, Code: 4, Key: {key}/roles/ns/r, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: u, UID in object meta: "
        )
    };
    let roles = "roles.rbac.authorization.k8s.io";
    assert_eq!(refused(world.update(roles, role.clone(), true).await), said(""));
    assert_eq!(refused(world.update(roles, role, false).await), said("/registry"));
}

#[tokio::test]
async fn namespaces_name_their_preconditions_in_words_of_their_own() {
    let world = World::new().await;
    let (outcome, _) = remove(&world, "namespaces", "ns", value!({"preconditions": {"resourceVersion": "0"}})).await;
    let wanted = "Operation cannot be fulfilled on namespaces \"ns\": Precondition failed: ResourceVersion in precondition: 0, ResourceVersion in object meta: ";
    assert!(refused(outcome).starts_with(wanted));
}

#[tokio::test]
async fn a_pod_that_gets_no_grace_goes_with_its_deletion_noted() {
    let world = World::new().await;
    let pod =
        value!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.create("pods", pod, false).await.expect("it is right");
    let (gone, _) = remove(&world, "pods", "p", value!({"gracePeriodSeconds": 0})).await;
    let gone = gone.expect("it goes");
    let meta = gone.at("metadata");
    assert_eq!((meta.int("generation"), meta.has("deletionTimestamp")), (2, true));
    assert!(refused(remove(&world, "pods", "p", value!({})).await.0).contains("not found"));
}

#[tokio::test]
async fn who_deletes_a_job_without_a_policy_hears_what_becomes_of_its_pods() {
    let world = World::new().await;
    let template = value!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let job = value!({"metadata": {"name": "j", "namespace": "ns"}, "spec": {"template": (template)}});
    world.create("jobs.batch", job, false).await.expect("it is right");
    let dry = value!({"dryRun": ["All"]});
    let (_, warnings) = remove(&world, "jobs.batch", "j", dry.clone()).await;
    assert!(warnings[0].starts_with("child pods are preserved by default when jobs are deleted"), "{warnings:?}");
    let mut with_policy = dry;
    with_policy.set("propagationPolicy", "Orphan");
    assert_eq!(remove(&world, "jobs.batch", "j", with_policy).await.1, Vec::<String>::new());
    let ask = world.ask("deletecollection", "jobs.batch", "");
    let list = ListOptions { continue_token: "x".into(), ..ListOptions::default() };
    let refused = world.registry.remove_collection(&ask, &DeleteOptions::default(), &list).await;
    assert!(refused.is_err() && ask.take_warnings().len() == 1, "it is warned before the continuation is read");
}

#[tokio::test]
async fn the_date_of_a_taint_belongs_to_who_wrote_the_rule() {
    let world = World::new().await;
    let rule = value!({"metadata": {"name": "r"}, "spec": {"taint": {"key": "k", "effect": "NoSchedule"}}});
    let made = world.create("devicetaintrules.resource.k8s.io", rule, false).await.expect("it is right");
    let owned = made.at("metadata").list("managedFields")[0].at_path(&["fieldsV1", "f:spec", "f:taint"]);
    assert!(owned.has("f:timeAdded"), "{owned:?}");
}

#[tokio::test]
async fn a_strategic_patch_converts_as_go_does_and_shows_itself() {
    let world = World::new().await;
    let map = map("m");
    world.create("configmaps", map, false).await.expect("it is right");
    let said = refused(world.patch("configmaps", "m", Form::Strategic, r#"{"data":{"a":1}}"#, true).await);
    let wanted = " \"\" is invalid: patch: Invalid value: \"map[data:map[a:1]]\": cannot convert int64 to string";
    assert_eq!(said, wanted);
    let pods =
        value!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.create("pods", pods, false).await.expect("it is right");
    let large = r#"{"spec":{"activeDeadlineSeconds":4294967297}}"#;
    assert!(world.patch("pods", "p", Form::Strategic, large, true).await.is_err_and(|e| e.code() == 422));
}

#[tokio::test]
async fn a_doubled_key_in_an_apply_is_told_or_refused() {
    let world = World::new().await;
    let text = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"data":{"a":"1","a":"2"}}"#;
    let options = |validation| WriteOptions { validation, field_manager: "test".into(), ..WriteOptions::default() };
    let form = Form::Apply { cbor: false };
    let ask = world.ask("patch", "configmaps", "m");
    let strict = world.registry.patch(&ask, form, text, &options(Validation::Strict)).await;
    let wanted = "error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n  line 1: key \"a\" already set in map";
    assert_eq!(refused(world::shown(strict)), wanted);
    let made = world::shown(world.registry.patch(&ask, form, text, &options(Validation::Warn)).await);
    assert_eq!(made.expect("it is only told").at("data").str("a"), "2");
    assert_eq!(ask.take_warnings(), ["line 1: key \"a\" already set in map"]);
}

#[tokio::test]
async fn a_body_of_another_kind_is_read_as_that_kind() {
    let world = World::new().await;
    let status = value!({"kind": "Status", "apiVersion": "v1", "status": "Failure"});
    let said = refused(world.create("horizontalpodautoscalers.autoscaling@v1", status, true).await);
    let wanted = "Status in version \"v1\" cannot be handled as a HorizontalPodAutoscaler: converting (v1.Status) to (autoscaling.HorizontalPodAutoscaler): unknown conversion";
    assert_eq!(said, wanted);
    let pod = value!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}});
    let said = refused(world.create("customresourcedefinitions.apiextensions.k8s.io", pod, true).await);
    assert!(said.contains("no kind \"Pod\" is registered for version \"v1\""), "{said}");
}

#[tokio::test]
async fn what_a_namespace_holds_is_not_found_without_its_name() {
    let world = World::new().await;
    let mut ask = world.ask("get", "configmaps", "m");
    Arc::make_mut(&mut ask.attributes).namespace.clear();
    let said = world.registry.get(&ask, "").await.map(|_| ()).expect_err("there is no such key");
    assert_eq!(said.message(), "Namespace parameter required.");
}

#[tokio::test]
async fn a_name_of_an_address_is_not_drawn() {
    let world = World::new().await;
    let parent = value!({"group": "", "resource": "services", "namespace": "ns", "name": "s"});
    let address = value!({"metadata": {"generateName": "abc-"}, "spec": {"parentRef": (parent)}});
    let said = refused(world.create("ipaddresses.networking.k8s.io", address, true).await);
    assert!(said.contains("metadata.name: Invalid value: \"abc-\""), "{said}");
}

#[tokio::test]
async fn a_namespace_by_its_path_is_no_namespace_to_be_in() {
    let world = World::new().await;
    let mut ask = world.ask("watch", "namespaces", "ns");
    Arc::make_mut(&mut ask.attributes).namespace = "ns".into();
    let options = ListOptions { field_selector: "metadata.name=ns".into(), ..ListOptions::default() };
    assert_eq!(world.registry.list(&ask, &options).await.expect("it is right").entries.len(), 1);
}

#[tokio::test]
async fn what_is_made_below_an_object_stays_in_its_namespace() {
    let world = World::new().await;
    let elsewhere = |more: Value| {
        let mut object = value!({"metadata": {"name": "default", "namespace": "elsewhere"}});
        more.members().for_each(|(key, member)| object.set(key, member.clone()));
        object
    };
    let wanted = "the namespace of the provided object does not match the namespace sent on the request";
    for resource in ["pods/eviction", "serviceaccounts/token", "pods/binding"] {
        let refused = refused(world.below(resource, "default", elsewhere(value!({}))).await);
        assert_eq!(refused, wanted, "{resource}");
    }
}

#[tokio::test]
async fn dependents_of_a_namespace_that_are_not_orphans_go_first() {
    let world = World::new().await;
    let (outcome, _) = remove(&world, "namespaces", "ns", value!({"orphanDependents": false, "dryRun": ["All"]})).await;
    let finalizers = outcome.expect("it is right").at("metadata").list("finalizers").to_vec();
    assert_eq!(finalizers, [Value::from("foregroundDeletion")]);
}

#[tokio::test]
async fn a_collection_that_cannot_be_listed_warns_of_nothing() {
    let world = World::new().await;
    let options = DeleteOptions::read(value!({})).expect("they are right");
    for (selector, warnings) in [("=", 0), ("a=b", 1)] {
        let ask = world.ask("deletecollection", "jobs.batch", "");
        let list = ListOptions { label_selector: selector.into(), ..ListOptions::default() };
        let outcome = world.registry.remove_collection(&ask, &options, &list).await;
        assert_eq!((outcome.is_ok(), ask.take_warnings().len()), (warnings == 1, warnings), "{selector}");
    }
}

#[tokio::test]
async fn a_definition_in_a_collection_has_the_words_of_all() {
    let world = World::new().await;
    let schema = value!({"openAPIV3Schema": {"type": "object"}});
    let versions = value!([{"name": "v1", "served": true, "storage": true, "schema": (schema)}]);
    let names = value!({"plural": "things", "kind": "Thing"});
    let spec = value!({
        "group": "example.com", "names": (names), "scope": "Namespaced", "versions": (versions),
        "conversion": {"strategy": "None", "webhook": {}}
    });
    let made = world.create(DEFINITIONS, value!({"metadata": {"name": "things.example.com"}, "spec": (spec)}), false);
    assert!(!made.await.expect("it is right").at_path(&["spec", "conversion"]).has("webhook"), "it says nothing");
    let options = DeleteOptions::read(value!({"preconditions": {"uid": "x"}})).expect("they are right");
    let ask = world.ask("deletecollection", DEFINITIONS, "");
    let refused = world.registry.remove_collection(&ask, &options, &ListOptions::default()).await;
    let said = refused.err().expect("the uid is another").message().to_owned();
    assert!(said.contains("the UID in the precondition (x) does not match the UID in record"), "{said}");
}

fn things(schema: Value) -> Value {
    let versions = value!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]);
    let names = value!({"plural": "things", "kind": "Thing"});
    let spec = value!({"group": "example.com", "names": (names), "scope": "Namespaced", "versions": (versions)});
    value!({"metadata": {"name": "things.example.com"}, "spec": (spec)})
}

#[tokio::test]
async fn a_default_at_the_root_is_an_object_of_the_kind() {
    let world = World::new().await;
    let said = refused(world.create(DEFINITIONS, things(value!({"type": "object", "default": {}})), true).await);
    let at = "spec.validation.openAPIV3Schema.default";
    assert!(said.ends_with(&format!("[{at}.apiVersion: Required value, {at}.kind: Required value]")), "{said}");
}

#[tokio::test]
async fn a_definition_lies_in_json_and_is_judged_twice_where_it_changes() {
    let world = World::new().await;
    let made = world.create(DEFINITIONS, things(value!({"type": "object"})), false).await.expect("it is right");
    let mut new = made.clone();
    new.set_path(&["metadata", "generateName"], "Not Valid_!");
    assert!(world.update(DEFINITIONS, new, true).await.is_ok(), "an update does not look at the name again");
    let mut new = made.clone();
    new.set_path(&["metadata", "labels"], value!({"Bad Key": "x"}));
    let refused = world.update(DEFINITIONS, new, true).await.expect_err("it is no label").to_value();
    assert_eq!(refused.at("details").list("causes").len(), 3);
    let patch = r#"{"status":{"conditions":[]}}"#;
    let shown = world.patch(&format!("{DEFINITIONS}/status"), "things.example.com", Form::Merge, patch, true).await;
    assert_eq!(shown.expect("it is right").at("status").get("conditions"), Some(&value!([])), "JSON has empty lists");
}
