//! Writes from a body to what is stored, as clients see them.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use admission::Look;
use api::{Gvk, Value, value};
use registry::{
    Answer, List, Media,
    look::Reader,
    options::{DeleteOptions, ListOptions, Query, Validation},
    patch::Form,
    present::{self, Content, Shape},
    watch::Notice,
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
    let ask = world.ask("create", "selfsubjectreviews.authentication.k8s.io", "");
    let owned = br#"{"metadata":{"ownerReferences":[{"uid":"u"},{"uid":"u"}]}}"#;
    let body = registry::Body { media: Media::Json, bytes: owned };
    world.registry.create(&ask, body, &Default::default()).await.expect("all may ask");
    assert_eq!(ask.take_warnings().len(), 1, "of what is only answered doubles are told too");
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
async fn a_new_object_lies_without_what_is_filled_in_as_it_is_read() {
    let world = World::new().await;
    let claim = value!({
        "metadata": {"name": "n"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    });
    let template = value!({"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}});
    let job = value!({"metadata": {"name": "n"}, "spec": {"template": (template)}});
    let shown: fn(&Value) -> bool = |object| {
        let labels = object.at_path(&["metadata", "labels"]);
        object.at("status").str("phase") == "Pending" || labels.has("batch.kubernetes.io/controller-uid")
    };
    for (resource, object) in [("persistentvolumeclaims", claim), ("jobs.batch", job)] {
        let dry = world.create(resource, object.clone(), true).await.expect("it is right");
        let made = world.create(resource, object, false).await.expect("it is right");
        assert!(shown(&dry) && shown(&made) && shown(&world.get(resource, "n")), "{made:?}");
        let again = world.update(resource, made.clone(), false).await.expect("it is the same");
        let revision = |object: &Value| api::meta::of(object).resource_version().to_owned();
        assert_ne!(revision(&again), revision(&made), "{resource}: the defaults are written now");
        let still = world.update(resource, again.clone(), false).await.expect("it is the same");
        assert_eq!(revision(&still), revision(&again), "{resource}");
    }
}

#[tokio::test]
async fn a_bookmark_of_daemonsets_has_what_a_conversion_writes() {
    let world = World::new().await;
    let ask = world.ask("watch", "daemonsets.apps", "");
    let form = present::Form { media: Media::Json, shape: Shape::Object, pretty: false };
    let notice = Notice::Bookmark { revision: 7, initial_end: true };
    let frame = world.registry.frame(&ask.definition, 0, &notice, &form, true, false).expect("it has a form");
    let told = codec::json::any(&frame).expect("it is JSON").value;
    let annotations = value!({"deprecated.daemonset.template.generation": "0", "k8s.io/initial-events-end": "true"});
    assert_eq!(told.at_path(&["object", "metadata", "annotations"]), &annotations);
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
    let mut made = held(made);
    made.set_path(&["metadata", "deletionGracePeriodSeconds"], 5);
    let refused = world.update("configmaps", made, false).await.expect_err("it is not standard");
    let causes = refused.to_value().at("details").list("causes").to_vec();
    let fields: Vec<&str> = causes.iter().map(|cause| cause.str("field")).collect();
    assert_eq!(fields, ["metadata.deletionGracePeriodSeconds", "metadata.finalizers[0]"]);
    let template = value!({"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}});
    let cron = value!({
        "metadata": {"name": "c"},
        "spec": {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": (template)}}}
    });
    let made = world.create("cronjobs.batch", cron, false).await.expect("it is right");
    world.update("cronjobs.batch", held(made.clone()), false).await.expect_err("it is not standard");
    world.update("cronjobs.batch/status", held(made), false).await.expect("nobody looks at a status of these");
}

#[tokio::test]
async fn names_are_told_before_finalizers_or_after_them_as_the_kind_has_it() {
    let world = World::new().await;
    let both = ["metadata.generateName", "metadata.finalizers[0]"];
    let after = [both[1], both[0]];
    let address = value!({
        "metadata": {"name": "10.0.0.9"},
        "spec": {"parentRef": {"resource": "services", "namespace": "ns", "name": "s"}}
    });
    let cases = [("configmaps", map("m"), after), ("ipaddresses.networking.k8s.io", address, both)];
    for (resource, object, order) in cases {
        let mut made = world.create(resource, object, false).await.expect("it is right");
        made.set_path(&["metadata", "finalizers"], value!(["abc"]));
        made.set_path(&["metadata", "generateName"], "A_");
        let refused = world.update(resource, made, false).await.expect_err("neither is right");
        let causes = refused.to_value().at("details").list("causes").to_vec();
        let fields: Vec<&str> = causes.iter().map(|cause| cause.str("field")).collect();
        assert_eq!(fields, order, "{resource}");
    }
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

#[tokio::test]
async fn bytes_of_which_there_are_none_are_no_change_to_who_compares_loosely() {
    let world = World::new().await;
    let kind = "customresourcedefinitions.apiextensions.k8s.io";
    let schema = value!({"openAPIV3Schema": {"type": "object"}});
    let webhook = value!({"clientConfig": {"url": "https://localhost"}, "conversionReviewVersions": ["v1"]});
    let definition = value!({"metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com", "names": {"plural": "things", "kind": "Thing"}, "scope": "Namespaced",
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": (schema)}],
        "conversion": {"strategy": "Webhook", "webhook": (webhook)}
    }});
    let made = world.create(kind, definition, false).await.expect("it is right");
    let generation = |object: &Value| object.at("metadata").int("generation");
    let mut new = made.clone();
    new.set_path(&["spec", "conversion", "webhook", "clientConfig", "caBundle"], "");
    let same = world.update(kind, new.clone(), true).await.expect("it is right");
    assert_eq!(generation(&same), generation(&made));
    new.set_path(&["spec", "conversion", "webhook", "clientConfig", "url"], "https://other");
    let changed = world.update(kind, new, true).await.expect("it is right");
    assert_eq!(generation(&changed), generation(&made) + 1);
}

#[tokio::test]
async fn a_list_of_any_state_is_not_cut_but_where_nothing_is_cached() {
    let world = World::new().await;
    for name in ["a", "b"] {
        world.create("configmaps", map(name), false).await.expect("it is right");
        let event = value!({"metadata": {"name": (name), "namespace": "ns"}, "involvedObject": {"namespace": "ns"}});
        world.create("events", event, false).await.expect("it is right");
    }
    let any = |version: &str| ListOptions { limit: 1, resource_version: version.into(), ..ListOptions::default() };
    for (resource, version, len) in [("configmaps", "0", 2), ("configmaps", "", 1), ("events", "0", 1)] {
        let ask = world.ask("list", resource, "");
        let list = world.registry.list(&ask, &any(version)).await.expect("it can be read");
        assert_eq!((list.entries.len(), list.continue_token.is_empty()), (len, len == 2), "{resource} {version}");
    }
}

#[tokio::test]
async fn labels_are_refused_in_each_kinds_words() {
    let world = World::new().await;
    for (resource, selector, wanted) in [
        ("jobs.batch", "bogus=1", "field label \"bogus\" not supported for Job"),
        ("pods", "bogus=1", "field label not supported: bogus"),
        (
            "podcertificaterequests.certificates.k8s.io",
            "metadata.namespace=a",
            "field label not supported: metadata.namespace",
        ),
    ] {
        let options = ListOptions { field_selector: selector.into(), ..ListOptions::default() };
        let refused = world.registry.list(&world.ask("list", resource, ""), &options).await;
        assert_eq!(refused.err().map(|e| e.message().to_owned()).as_deref(), Some(wanted));
    }
    let pods = ListOptions { field_selector: "metadata.namespace=a".into(), ..ListOptions::default() };
    assert!(world.registry.list(&world.ask("list", "pods", ""), &pods).await.is_ok());
}

#[tokio::test]
async fn what_stands_twice_is_not_noted_beside_entries_of_another_version() {
    let world = World::new().await;
    let rule = value!({"metadata": {"name": "r"}, "spec": {
        "deviceSelector": {"driver": "d.example.com"}, "taint": {"key": "a", "effect": "NoSchedule"}
    }});
    world.create("devicetaintrules.resource.k8s.io@v1", rule, false).await.expect("it is right");
    let owners = async |version: &str, finalizers: &str| {
        let resource = format!("devicetaintrules.resource.k8s.io@{version}");
        let patch = format!(r#"{{"metadata":{{"finalizers":[{finalizers}]}}}}"#);
        let patched = world.patch(&resource, "r", Form::Merge, &patch, true).await.expect("it is right");
        patched.at("metadata").list("managedFields").len()
    };
    assert_eq!(owners("v1alpha3", r#""a/b""#).await, 2);
    assert_eq!(owners("v1alpha3", r#""a/b","a/b""#).await, 1, "converted, it cannot be read");
}

#[tokio::test]
async fn a_scale_that_is_patched_says_who_owns_it() {
    let world = World::new().await;
    let deployment = value!({"metadata": {"name": "d", "namespace": "ns"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    }});
    world.create("deployments.apps", deployment, false).await.expect("it is right");
    let (ask, options) = (world.ask("patch", "deployments.apps/scale", "d"), Default::default());
    let refused = world.registry.patch_scale(&ask, Form::Merge, br#"{"spec":"x"}"#, &options).await;
    let message = refused.err().map(|e| e.message().to_owned()).expect("a spec is no text");
    let uid = world.registry.patch_scale(&ask, Form::Merge, br#"{"metadata":{"uid":"x"}}"#, &options).await;
    assert!(uid.is_err_and(|e| e.code() == 409 && e.message().contains("on deployments/scale.apps")));
    assert!(message.contains(r#"\"apiVersion\":\"autoscaling/v1\""#) && message.contains("f:replicas"), "{message}");
    ask.take_warnings();
    let owned = br#"{"metadata":{"ownerReferences":[{"uid":"u"},{"uid":"u"}]}}"#;
    world.registry.patch_scale(&ask, Form::Merge, owned, &options).await.expect("it is warned of");
    assert!(ask.take_warnings().iter().any(|text| text.ends_with("duplicate UID(s) observed: u")));
}

#[tokio::test]
async fn what_is_applied_as_null_in_another_version_is_a_change_of_what_it_holds() {
    let world = World::new().await;
    let scaler = value!({"metadata": {"name": "h", "namespace": "ns"}, "spec": {
        "maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    }});
    world.create("horizontalpodautoscalers.autoscaling@v2", scaler, false).await.expect("it is right");
    let nothing = r#"{"kind":"HorizontalPodAutoscaler","apiVersion":"autoscaling/v1","metadata":{"name":"h"},"spec":{"scaleTargetRef":null}}"#;
    let resource = "horizontalpodautoscalers.autoscaling@v1";
    let refused = world.patch(resource, "h", Form::Apply { cbor: false }, nothing, true).await;
    let refused = refused.expect_err("another has set it");
    assert!(refused.code() == 409 && refused.message().contains(".spec.scaleTargetRef.kind"), "{}", refused.message());
}

#[tokio::test]
async fn a_deletion_that_waits_is_accepted_when_dependents_are_not_to_be_orphans() {
    let world = World::new().await;
    let mut held = map("m");
    held.set_path(&["metadata", "finalizers"], value!(["a/b"]));
    world.create("configmaps", held, false).await.expect("it is right");
    for (query, accepted) in [("orphanDependents=false&dryRun=All", true), ("orphanDependents=true&dryRun=All", false)]
    {
        let options = DeleteOptions::from_query(&Query::parse(query)).expect("they are options");
        let answer = world.registry.remove(&world.ask("delete", "configmaps", "m"), &options).await.expect("it may go");
        assert_eq!(matches!(answer, Answer::Accepted(_)), accepted, "{query}");
    }
}

#[tokio::test]
async fn a_body_of_another_version_is_warned_of_by_its_own_type() {
    let world = World::new().await;
    let event =
        value!({"kind": "Event", "apiVersion": "v1", "metadata": {"name": "e", "namespace": "ns"}, "regarding": {}});
    let ask = world.ask("create", "events.events.k8s.io", "");
    let text = codec::json::to_string(&event);
    let body = registry::Body { media: Media::Json, bytes: text.as_bytes() };
    let options = registry::options::WriteOptions { validation: Validation::Warn, ..Default::default() };
    let refused = world.registry.create(&ask, body, &options).await;
    assert!(refused.is_err_and(|e| e.message().contains("does not match the expected API version")));
    assert_eq!(ask.take_warnings(), ["unknown field \"regarding\""]);
}

#[tokio::test]
async fn a_name_that_is_not_drawn_is_not_cut() {
    let world = World::new().await;
    let address = value!({"metadata": {"generateName": ("a".repeat(70))}, "spec": {
        "parentRef": {"resource": "services", "name": "s", "namespace": "ns"}
    }});
    let refused = world.create("ipaddresses.networking.k8s.io", address, true).await.expect_err("it is no address");
    assert!(refused.message().contains(&"a".repeat(70)), "{}", refused.message());
}

#[tokio::test]
async fn a_token_request_says_who_made_it_and_empty_bytes_are_bytes() {
    let world = World::new().await;
    let request = value!({"spec": {"request": "", "signerName": "example.com/s", "usages": ["client auth"]},
        "metadata": {"name": "r"}});
    let kind = "certificatesigningrequests.certificates.k8s.io";
    let refused = world.create(kind, request, true).await.expect_err("it is no request");
    assert!(refused.message().contains("spec.request: Invalid value: \"\": PEM"), "{}", refused.message());

    let status = value!({"metadata": {"name": "v"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"},
        "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "ns", "name": "c"}
    }});
    let made = world.create("persistentvolumes", status, true).await.expect("it is right");
    let claim = made.at("metadata").list("managedFields")[0].at_path(&["fieldsV1", "f:spec", "f:claimRef"]);
    assert!(claim.has("f:name"), "a reference to a claim is owned member by member: {claim:?}");
}

#[tokio::test]
async fn a_node_may_take_a_pod_away_before_who_asked_for_it() {
    let world = std::sync::Arc::new(World::new().await);
    let at_once = || DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
    let ask = world.ask("watch", "pods", "");
    let mut watch = world.registry.watch(&ask, &ListOptions::default()).await.expect("it begins");
    let theirs = world.clone();
    let node = tokio::spawn(async move {
        let (mut told, mut taken) = (Vec::new(), 0);
        while taken < 20 && watch.next(&mut told).await.is_ok() {
            for (_, entry) in told.drain(..).filter_map(|notice| notice.shown()) {
                if entry.tree().at("metadata").has("deletionTimestamp") {
                    let ask = theirs.ask("delete", "pods", &entry.head.name);
                    taken += usize::from(theirs.registry.remove(&ask, &at_once()).await.is_ok());
                }
            }
        }
        taken
    });
    for i in 0..200 {
        let name = format!("p{i}");
        world.create("pods", pod(&name), false).await.expect("it is right");
        let deleted = world.registry.remove(&world.ask("delete", "pods", &name), &at_once()).await;
        assert!(deleted.is_ok(), "{name}: {:?}", deleted.err());
        if node.is_finished() {
            break;
        }
    }
    assert_eq!(node.await.expect("it is not ended"), 20, "the node was never faster");
}
