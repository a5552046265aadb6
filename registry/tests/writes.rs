//! Writes from a body to what is stored, as clients see them.

#[path = "writes/world.rs"]
mod world;

use admission::Look;
use api::{Gvk, Value, value};
use registry::{
    List, Media,
    look::Reader,
    options::{DeleteOptions, ListOptions, Query},
    patch::Form,
    present::{self, Content, Shape},
};
use world::World;

fn pod(name: &str) -> Value {
    value!({"metadata": {"name": (name), "namespace": "ns"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn map(name: &str) -> Value {
    value!({"metadata": {"name": (name), "namespace": "ns"}, "data": {"b": "1", "a": "2"}})
}

#[tokio::test]
async fn an_empty_list_is_seen_by_rules_and_not_stored() {
    let world = World::new().await;
    let policy = value!({"metadata": {"name": "n", "namespace": "ns"}, "spec": {"podSelector": {}, "ingress": []}});
    world.create("networkpolicies.networking.k8s.io", policy, false).await.expect("it is right");
    let stored = world.get("networkpolicies.networking.k8s.io", "n");
    assert_eq!(stored.at("spec").at("ingress"), &Value::Null);

    let node = value!({"metadata": {"name": "n"}, "spec": {"drivers": []}});
    let dry = world.create("csinodes.storage.k8s.io", node.clone(), true).await.expect("it is right");
    assert_eq!(dry.at("spec").get("drivers"), Some(&Value::Null), "it has gone through the store's form");
    let stored = world.create("csinodes.storage.k8s.io", node.clone(), false).await.expect("it is right");
    assert_eq!(stored.at("spec").get("drivers"), Some(&Value::Null));
    let mut changed = node;
    changed.set_path(&["metadata", "resourceVersion"], stored.at("metadata").str("resourceVersion"));
    let dry = world.update("csinodes.storage.k8s.io", changed, true).await.expect("it is right");
    assert_eq!(
        dry.at("spec").get("drivers"),
        Some(&Value::Null),
        "an update's dry run has gone through the store's form"
    );

    let ingress = value!({"metadata": {"name": "i", "namespace": "ns"}, "spec": {"rules": []}});
    let refused = world.create("ingresses.networking.k8s.io", ingress, false).await.expect_err("it leads nowhere");
    assert_eq!(
        refused.message(),
        "Ingress.networking.k8s.io \"i\" is invalid: spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"
    );
}

#[tokio::test]
async fn an_empty_list_changes_nothing() {
    let world = World::new().await;
    let deployment = |volumes: Value| {
        value!({"metadata": {"name": "d", "namespace": "ns"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": (volumes)}
            }
        }})
    };
    let first = world.create("deployments.apps", deployment(Value::Null), false).await.expect("it is right");
    let second = world.update("deployments.apps", deployment(value!([])), false).await.expect("it is right");
    assert_eq!((second.at("metadata").int("generation"), &first), (1, &second));
}

#[tokio::test]
async fn a_struct_that_is_there_is_not_one_that_is_not() {
    let world = World::new().await;
    let claim = |selector: Value| {
        value!({"metadata": {"name": "c", "namespace": "ns"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "selector": (selector)
        }})
    };
    world.create("persistentvolumeclaims", claim(Value::Null), false).await.expect("it is right");
    let refused = world.update("persistentvolumeclaims", claim(value!({})), true).await.expect_err("it is immutable");
    assert!(refused.message().contains("- \"Selector\": null,\n+ \"Selector\": {},\n"), "{refused}");
}

#[tokio::test]
async fn a_uid_in_a_patch_is_a_change_and_in_a_put_a_condition() {
    let world = World::new().await;
    world.create("configmaps", map("m"), false).await.expect("it is right");
    let patch = r#"{"metadata":{"uid":"other"}}"#;
    let refused = world.patch("configmaps", "m", Form::Merge, patch, true).await.expect_err("a uid stays");
    assert_eq!(
        (refused.code(), refused.message()),
        (422, "ConfigMap \"m\" is invalid: metadata.uid: Invalid value: \"other\": field is immutable")
    );
    let mut put = map("m");
    put.set_path(&["metadata", "uid"], "other");
    assert_eq!(world.update("configmaps", put, true).await.expect_err("it is another").code(), 409);
}

#[tokio::test]
async fn a_patch_is_refused_with_the_members_that_it_touched_sorted() {
    let world = World::new().await;
    world.create("configmaps", map("m"), false).await.expect("it is right");
    for (form, patch) in
        [(Form::Merge, r#"{"kind":"Bogus"}"#), (Form::Json, r#"[{"op":"replace","path":"/kind","value":"Bogus"}]"#)]
    {
        let refused = world.patch("configmaps", "m", form, patch, true).await.expect_err("there is no such kind");
        let text = refused.message();
        assert!(
            text.starts_with(" \"\" is invalid: patch: Invalid value: \"{\\\"apiVersion\\\":\\\"v1\\\",\\\"data\\\""),
            "{text}"
        );
        assert!(
            text.contains("\\\"metadata\\\":{\\\"name\\\":\\\"m\\\",\\\"namespace\\\""),
            "what it did not touch stays: {text}"
        );
        assert!(
            text.ends_with(
                "no kind \"Bogus\" is registered for version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
            ),
            "{text}"
        );
    }
    let patched = world.patch("configmaps", "m", Form::Strategic, r#"{"kind":"Bogus"}"#, true).await;
    assert!(patched.is_ok(), "a strategic patch converts by type: {patched:?}");
    let patch = r#"[{"op":"add","path":1,"value":1}]"#;
    let refused = world.patch("configmaps", "m", Form::Json, patch, true).await.expect_err("a path is text");
    assert_eq!(
        (refused.code(), refused.message()),
        (
            400,
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string"
        )
    );
}

#[tokio::test]
async fn a_version_in_what_an_apply_makes_is_read_and_then_forgotten() {
    let world = World::new().await;
    let apply = |version: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"new","resourceVersion":"{version}"}}}}"#)
    };
    let form = Form::Apply { cbor: false };
    let dry = world.patch("configmaps", "new", form, &apply("7"), true).await.expect("it is right");
    assert_eq!(api::meta::of(&dry).resource_version(), "7");
    let refused = world.patch("configmaps", "new", form, &apply("x"), true).await.expect_err("that is no version");
    assert_eq!((refused.code(), refused.message()), (500, "strconv.ParseUint: parsing \"x\": invalid syntax"));
    let made = world.patch("configmaps", "new", form, &apply("7"), false).await.expect("it is right");
    assert_ne!(api::meta::of(&made).resource_version(), "7");
}

#[tokio::test]
async fn bound_pods_carry_the_zone_of_their_node() {
    let world = World::new().await;
    let node = value!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}}});
    world.create("nodes", node, false).await.expect("it is right");
    world.create("pods", pod("p"), false).await.expect("it is right");
    let binding = value!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    world.below("pods/binding", "p", binding).await.expect("it is free");
    let bound = world.get("pods", "p");
    assert_eq!(bound.at("spec").str("nodeName"), "n");
    assert_eq!(api::meta::of(&bound).label("topology.kubernetes.io/zone"), Some("z"));
}

#[tokio::test]
async fn a_namespace_that_enforces_refuses_pods_and_warns_of_controllers() {
    let world = World::new().await;
    let labels = r#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}"#;
    world.patch("namespaces", "ns", Form::Merge, labels, false).await.expect("it is a level");
    let mut shared = pod("p");
    shared.set_path(&["spec", "hostPID"], true);
    let refused = world.create("pods", shared.clone(), false).await.expect_err("it is not baseline");
    assert_eq!(
        (refused.code(), refused.message()),
        (403, "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)")
    );
    let ask = world.ask("create", "podtemplates", "");
    let template = value!({"metadata": {"name": "t", "namespace": "ns"}, "template": {
        "metadata": {}, "spec": (shared.at("spec").clone())
    }});
    let text = codec::json::to_string(&template);
    let body = registry::Body { media: registry::Media::Json, bytes: text.as_bytes() };
    assert!(world.registry.create(&ask, body, &registry::options::WriteOptions::default()).await.is_ok());
    let warning = "would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)";
    assert_eq!(ask.take_warnings(), [warning]);
}

#[tokio::test]
async fn a_rule_of_taints_is_updated_without_a_version_through_old_versions_only() {
    let world = World::new().await;
    let rule = value!({"metadata": {"name": "r"}, "spec": {
        "deviceSelector": {"driver": "d.example.com"}, "taint": {"key": "example.com/k", "effect": "NoSchedule"}
    }});
    world.create("devicetaintrules.resource.k8s.io", rule.clone(), false).await.expect("it is right");
    assert!(world.update("devicetaintrules.resource.k8s.io@v1beta2", rule.clone(), true).await.is_ok());
    let refused = world.update("devicetaintrules.resource.k8s.io@v1", rule, true).await.expect_err("v1 is strict");
    assert!(refused.message().contains("must be specified for an update"), "{refused}");
}

#[tokio::test]
async fn who_one_is_comes_with_a_time() {
    let world = World::new().await;
    // Without the parts around it, a token cannot be read, but who asks is known.
    let review = world.create("selfsubjectreviews.authentication.k8s.io", value!({}), true).await.expect("all may ask");
    assert_eq!(api::meta::of(&review).creation_timestamp(), "2023-11-14T22:13:20Z");
    assert_eq!(review.at_path(&["status", "userInfo"]).str("username"), "alice");
}

#[tokio::test]
async fn kinds_are_mapped_to_what_serves_them() {
    let world = World::new().await;
    let registry = &world.registry;
    let reader = Reader {
        catalog: registry.catalog.clone(),
        filler: registry.filler.clone(),
        store: registry.store.clone(),
        prefix: "/registry".into(),
    };
    let found = reader.resources_of(&Gvk::new("apps", "v1", "Deployment"));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].resource.to_string(), found[0].namespaced), ("deployments.apps".into(), true));
    assert!(reader.resources_of(&Gvk::new("apps", "v1", "Nothing")).is_empty());
}

/// The text of an answer, or what it was refused with.
fn text(presented: Result<present::Presented, api::Status>) -> String {
    match presented.map(|p| p.body) {
        Ok(Content::Whole(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        Ok(Content::Pieces(pieces)) => pieces.map(|p| String::from_utf8_lossy(&p).into_owned()).collect(),
        Err(status) => format!("{} {}", status.code(), status.message()),
    }
}

#[tokio::test]
async fn partial_objects_are_of_one_or_of_many_as_was_asked() {
    let world = World::new().await;
    world.create("configmaps", map("m"), false).await.expect("it is right");
    let registry = &world.registry;
    let (get, list) = (world.ask("get", "configmaps", "m"), world.ask("list", "configmaps", ""));
    let form = |media, version, many| present::Form { media, shape: Shape::Partial { version, many }, pretty: false };
    let one = async |form| match registry.get(&get, "").await {
        Ok(answer) => text(registry.present(&get, answer, &form)),
        Err(status) => status.message().to_string(),
    };
    let found: List = registry.list(&list, &ListOptions::default()).await.expect("it is there");
    let all = text(registry.present(&list, registry::Answer::List(found), &form(Media::Json, "v1", false)));
    assert_eq!(
        all,
        "406 you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    );
    assert_eq!(
        one(form(Media::Json, "v1", true)).await,
        "406 you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
    );
    let whole = one(form(Media::Json, "v1", false)).await;
    let places: Vec<_> = ["\"uid\"", "\"resourceVersion\"", "\"creationTimestamp\""].map(|m| whole.find(m)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{whole}");
    assert!(one(form(Media::Protobuf, "v1beta1", false)).await.contains("meta.k8s.io/v1beta1"));
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused_in_upstreams_order() {
    let world = World::new().await;
    let cases = [
        (
            value!({"apiVersion": "v1"}),
            "Deployment in version \"v1\" cannot be handled as a Deployment: no kind \"Deployment\" is registered for version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        ),
        (
            value!({"apiVersion": "v1", "kind": "Pod"}),
            "Pod in version \"v1\" cannot be handled as a Deployment: converting (v1.Pod) to (apps.Deployment): unknown conversion",
        ),
        (
            value!({"apiVersion": "apps/v1beta1", "kind": "Deployment"}),
            "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)",
        ),
    ];
    for (body, expected) in cases {
        let refused = world.create("deployments.apps", body, true).await.expect_err("it is of another kind");
        assert_eq!(refused.message(), expected);
    }
}

#[test]
fn what_cannot_be_read_is_deleted_by_itself_only() {
    let ignore = "ignoreStoreReadErrorWithClusterBreakingPotential=true";
    let read = |query: &str| DeleteOptions::from_query(&Query::parse(query));
    let options = read(ignore).expect("alone it is allowed");
    assert!(options.check_collection().is_err_and(|e| e.message().contains("is not allowed with DELETECOLLECTION")));
    let refused = read(&format!("{ignore}&gracePeriodSeconds=1")).expect_err("there is a time to wait for");
    assert!(refused.message().ends_with("Invalid value: true: cannot be set together with .gracePeriodSeconds"));
    assert!(read("gracePeriodSeconds=1").and_then(|o| o.check_collection()).is_ok());
}

#[tokio::test]
async fn a_status_makes_its_object_where_a_put_of_the_object_does() {
    let world = World::new().await;
    let service = value!({"metadata": {"name": "s", "namespace": "ns"}, "spec": {
        "type": "ExternalName", "externalName": "example.com"
    }, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let made = world.update("services/status", service, false).await.expect("it is made");
    assert_eq!(made.at("status").at("loadBalancer").members().count(), 0, "it is made as by a create");
    let node = value!({"metadata": {"name": "n"}});
    let refused = world.update("nodes/status", node, false).await.expect_err("no PUT makes a node");
    assert_eq!(refused.message(), "nodes \"n\" not found");
}

#[tokio::test]
async fn what_cannot_be_converted_is_refused_in_the_words_of_each_way_in() {
    let world = World::new().await;
    let annotations = |generation: &str| value!({"deprecated.daemonset.template.generation": generation});
    let set = |generation: &str| {
        value!({"kind": "DaemonSet", "apiVersion": "apps/v1",
            "metadata": {"name": "d", "namespace": "ns", "annotations": (annotations(generation))}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        }})
    };
    let why = "strconv.ParseInt: parsing \"x\": invalid syntax";
    let refused = world.create("daemonsets.apps", set("x"), false).await.expect_err("it is no number");
    assert_eq!(refused.message(), format!("DaemonSet in version \"v1\" cannot be handled as a DaemonSet: {why}"));
    let mut right = set("");
    right.remove_path(&["metadata", "annotations"]);
    world.create("daemonsets.apps", right, false).await.expect("it is right");
    let patch = codec::json::to_string(&value!({"metadata": {"annotations": (annotations("x"))}}));
    let refused = world.patch("daemonsets.apps", "d", Form::Merge, &patch, true).await.expect_err("it is no number");
    assert!(refused.code() == 422 && refused.message().ends_with(why), "{}", refused.message());
    let refused = world.patch("daemonsets.apps", "d", Form::Strategic, &patch, true).await.expect_err("it is none");
    assert_eq!((refused.code(), refused.message()), (500, why));
    let mut other = set("x");
    other.set_path(&["metadata", "name"], "e");
    let (form, document) = (Form::Apply { cbor: false }, codec::json::to_string(&other));
    let refused = world.patch("daemonsets.apps", "e", form, &document, true).await.expect_err("it is no number");
    let shown = format!("failed to convert to unversioned (ns/e; apps/v1, Kind=DaemonSet): {why}");
    assert_eq!((refused.code(), refused.message()), (500, shown.as_str()));
}

#[tokio::test]
async fn finalizers_are_standard_ones_where_the_kind_looks_at_them_again() {
    let world = World::new().await;
    let held = |mut object: Value| {
        object.set_path(&["metadata", "finalizers"], value!(["abc"]));
        object
    };
    let version = value!({"metadata": {"name": "apps.deployments"}, "spec": {}});
    let versions = "storageversions.internal.apiserver.k8s.io";
    let refused = world.create(versions, held(version.clone()), false).await.expect_err("it is not standard");
    assert!(refused.message().contains("metadata.finalizers[0]"), "{}", refused.message());
    let mut made = world.create(versions, version, false).await.expect("it is right");
    made.remove("status");
    world.update(versions, held(made), false).await.expect("nobody looks again");
    let made = world.create("configmaps", map("m"), false).await.expect("it is right");
    let refused = world.update("configmaps", held(made), false).await.expect_err("it is not standard");
    assert!(refused.message().contains("metadata.finalizers[0]"), "{}", refused.message());
}

#[tokio::test]
async fn a_map_without_keys_is_seen_by_rules_and_not_stored() {
    let world = World::new().await;
    let volume = |capacity: Value| {
        value!({"metadata": {"name": "v"}, "spec": {
            "capacity": (capacity), "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}
        }})
    };
    let refused = world.create("persistentvolumes", volume(value!({})), false).await.expect_err("it has no size");
    let wanted = "spec.capacity: Unsupported value: {}: supported values: \"storage\"";
    assert!(refused.message().contains(wanted), "{}", refused.message());
    let mut right = volume(value!({"storage": "1Gi"}));
    right.set_path(&["metadata", "labels"], value!({}));
    let made = world.create("persistentvolumes", right, false).await.expect("it is right");
    assert!(!made.at("metadata").has("labels"));
}

#[tokio::test]
async fn a_generation_goes_up_for_what_is_empty_where_upstream_compares_so() {
    let world = World::new().await;
    let hook = value!({"metadata": {"name": "h"}, "webhooks": [{
        "name": "a.example.com", "clientConfig": {"url": "https://localhost"}, "sideEffects": "None",
        "admissionReviewVersions": ["v1"]
    }]});
    let kind = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
    let made = world.create(kind, hook, false).await.expect("it is right");
    let generation = |object: &Value| object.at("metadata").int("generation");
    let same = world.update(kind, made.clone(), true).await.expect("it is right");
    assert_eq!(generation(&same), 1, "{made:?} {same:?}");
    let hooks = |name: &str, empty: Value| {
        let mut new = made.clone();
        let hook = &mut new.get_mut("webhooks").and_then(Value::as_array_mut).expect("it has one")[0];
        hook.entry(name).set(if name == "clientConfig" { "caBundle" } else { "matchLabels" }, empty);
        new
    };
    for new in [hooks("clientConfig", value!("")), hooks("objectSelector", value!({}))] {
        let changed = world.update(kind, new, true).await.expect("it is right");
        assert_eq!(generation(&changed), 2, "{changed:?}");
        let client = changed.list("webhooks")[0].at("clientConfig");
        assert!(!client.has("caBundle"), "and it is not shown");
    }

    let kind = "networkpolicies.networking.k8s.io";
    let policy = value!({"metadata": {"name": "n", "namespace": "ns"}, "spec": {"podSelector": {}}});
    let mut made = world.create(kind, policy, false).await.expect("it is right");
    made.set_path(&["spec", "ingress"], value!([]));
    assert_eq!(generation(&world.update(kind, made, true).await.expect("it is right")), 2);
}
