//! What lies in a store from earlier times, put there by hand: it is there, and it is what it would be today.

#[path = "writes/world.rs"]
#[allow(dead_code, reason = "each test file needs a part of it")]
mod world;

use api::{GroupResource, Value, value};
use bytes::Bytes;
use registry::Media;
use store::{Op, Outcome, Txn};
use world::World;

/// Puts an object into the store in a form, under the key of its resource, and reads it in the hub's version.
async fn read(world: &World, resource: &str, media: Media, object: &Value) -> Value {
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    let definition = world.registry.catalog.get(&GroupResource::new(group, plural)).expect("there is such a row");
    let gvk = api::meta::gvk(object);
    let bytes = match media {
        Media::Protobuf => codec::proto::write(object, &gvk, definition.schemas()).expect("it has a form"),
        _ => Bytes::from(codec::json::to_string(object)),
    };
    let namespace = if definition.row.namespaced { "ns" } else { "" };
    let name = api::meta::of(object).name();
    let key = format!("/registry/{}/{}", definition.row.stored.prefix, definition.local_key(namespace, name));
    let put = Op::Put { key, value: bytes, lease: 0 };
    let done = world.registry.store.commit(Txn { guards: vec![], ops: vec![put] }).await;
    let Ok(Outcome::Committed(revision)) = done else { panic!("{gvk}: it is not stored") };
    world.registry.filler.subscribe().wait_for(|applied| *applied >= revision).await.expect("the feed goes on");
    world.get(resource, name)
}

/// In both forms; `wanted` are members of what is read, by their paths.
async fn check(resource: &str, object: Value, wanted: &[(&[&str], Value)]) {
    for media in [Media::Json, Media::Protobuf] {
        let world = World::new().await;
        let read = read(&world, resource, media, &object).await;
        let stored = api::meta::gvk(&object);
        assert_ne!(read.str("apiVersion"), stored.api_version(), "{resource} is read in the version of today");
        for (path, value) in wanted {
            let found = read.at_path(path);
            assert_eq!(found, value, "{stored} in {media:?}, {}: {}", path.join("."), codec::json::to_string(&read));
        }
    }
}

fn meta(name: &str) -> Value {
    value!({"name": name, "namespace": "ns", "uid": "00000000-0000-4000-8000-0000000000aa", "creationTimestamp": "2020-01-01T00:00:00Z"})
}

fn cluster_meta(name: &str) -> Value {
    value!({"name": name, "uid": "00000000-0000-4000-8000-0000000000aa", "creationTimestamp": "2020-01-01T00:00:00Z"})
}

fn template() -> Value {
    value!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test]
async fn autoscalers_of_the_first_version() {
    let old = value!({
        "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1", "metadata": (meta("old")),
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
            "minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 70
        },
        "status": {"currentReplicas": 3, "desiredReplicas": 4, "currentCPUUtilizationPercentage": 60}
    });
    let metrics = value!([
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    ]);
    let wanted: [(&[&str], Value); 4] = [
        (&["apiVersion"], value!("autoscaling/v2")),
        (&["spec", "metrics"], metrics),
        (&["spec", "minReplicas"], value!(2)),
        (&["status", "desiredReplicas"], value!(4)),
    ];
    check("horizontalpodautoscalers.autoscaling", old, &wanted).await;
}

#[tokio::test]
async fn claims_of_devices_of_both_betas() {
    for (version, request) in [
        ("v1beta1", value!({"name": "gpu", "deviceClassName": "gpus", "allocationMode": "ExactCount", "count": 2})),
        (
            "v1beta2",
            value!({"name": "gpu", "exactly": {"deviceClassName": "gpus", "allocationMode": "ExactCount", "count": 2}}),
        ),
    ] {
        let old = value!({
            "kind": "ResourceClaim", "apiVersion": (format!("resource.k8s.io/{version}")), "metadata": (meta("old")),
            "spec": {"devices": {"requests": [(request)]}}
        });
        let requests = value!([
            {"name": "gpu", "exactly": {"deviceClassName": "gpus", "allocationMode": "ExactCount", "count": 2}}
        ]);
        let wanted: [(&[&str], Value); 1] = [(&["spec", "devices", "requests"], requests)];
        check("resourceclaims.resource.k8s.io", old, &wanted).await;
    }
    let slice = value!({
        "kind": "ResourceSlice", "apiVersion": "resource.k8s.io/v1beta1", "metadata": (cluster_meta("old")),
        "spec": {
            "driver": "d.example.com", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "one", "basic": {"attributes": {"fast": {"bool": true}}}}]
        }
    });
    let devices = value!([{"name": "one", "attributes": {"fast": {"bool": true}}}]);
    let wanted: [(&[&str], Value); 1] = [(&["spec", "devices"], devices)];
    check("resourceslices.resource.k8s.io", slice, &wanted).await;
}

#[tokio::test]
async fn workloads_of_their_betas() {
    let cron = value!({
        "kind": "CronJob", "apiVersion": "batch/v1beta1", "metadata": (meta("old")),
        "spec": {
            "schedule": "0 * * * *", "concurrencyPolicy": "Allow",
            "jobTemplate": {"spec": {"template": (template())}}
        },
        "status": {"lastScheduleTime": "2020-01-01T00:00:00Z"}
    });
    let wanted: [(&[&str], Value); 2] = [
        (&["spec", "schedule"], value!("0 * * * *")),
        (&["status", "lastScheduleTime"], value!("2020-01-01T00:00:00Z")),
    ];
    check("cronjobs.batch", cron, &wanted).await;
    for version in ["extensions/v1beta1", "apps/v1beta1"] {
        let deployment = value!({
            "kind": "Deployment", "apiVersion": version, "metadata": (meta("old")),
            "spec": {
                "replicas": 3, "selector": {"matchLabels": {"app": "a"}}, "template": (template()),
                "rollbackTo": {"revision": 2}
            }
        });
        let wanted: [(&[&str], Value); 3] = [
            (&["apiVersion"], value!("apps/v1")),
            (&["spec", "replicas"], value!(3)),
            (&["metadata", "annotations"], value!({"deprecated.deployment.rollback.to": "2"})),
        ];
        check("deployments.apps", deployment, &wanted).await;
    }
    let set = value!({
        "kind": "DaemonSet", "apiVersion": "extensions/v1beta1", "metadata": (meta("old")),
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": (template()), "templateGeneration": 4}
    });
    let wanted: [(&[&str], Value); 1] =
        [(&["metadata", "annotations"], value!({"deprecated.daemonset.template.generation": "4"}))];
    check("daemonsets.apps", set, &wanted).await;
}

#[tokio::test]
async fn what_leads_to_services() {
    for version in ["extensions/v1beta1", "networking.k8s.io/v1beta1"] {
        let ingress = value!({
            "kind": "Ingress", "apiVersion": version, "metadata": (meta("old")),
            "spec": {
                "backend": {"serviceName": "fallback", "servicePort": 80},
                "rules": [{"host": "a.example.com", "http": {"paths": [
                    {"path": "/", "backend": {"serviceName": "web", "servicePort": "http"}}
                ]}}]
            }
        });
        let paths = value!([{
            "path": "/", "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": "web", "port": {"name": "http"}}}
        }]);
        let rules = value!([{"host": "a.example.com", "http": {"paths": (paths)}}]);
        let wanted: [(&[&str], Value); 2] = [
            (&["spec", "defaultBackend"], value!({"service": {"name": "fallback", "port": {"number": 80}}})),
            (&["spec", "rules"], rules),
        ];
        check("ingresses.networking.k8s.io", ingress, &wanted).await;
    }
    let slice = value!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1beta1", "metadata": (meta("old")),
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": ["10.0.0.1"], "nodeName": "n",
            "topology": {"topology.kubernetes.io/zone": "z", "kubernetes.io/hostname": "n", "rack": "7"}
        }]
    });
    let wanted: [(&[&str], Value); 1] = [(
        &["endpoints"],
        value!([{
            "addresses": ["10.0.0.1"], "conditions": {}, "deprecatedTopology": {"rack": "7"}, "nodeName": "n", "zone": "z"
        }]),
    )];
    check("endpointslices.discovery.k8s.io", slice, &wanted).await;
}

#[tokio::test]
async fn rules_and_rights() {
    let none = value!({"matchExpressions": [
        {"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "Exists"}
    ]});
    for (selector, today) in [
        (value!({}), none),
        (value!({"matchLabels": {"app": "a"}}), value!({"matchLabels": {"app": "a"}})),
        (
            value!({"matchExpressions": [
                {"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "DoesNotExist"}
            ]}),
            value!({}),
        ),
    ] {
        let budget = value!({
            "kind": "PodDisruptionBudget", "apiVersion": "policy/v1beta1", "metadata": (meta("old")),
            "spec": {"minAvailable": 1, "selector": selector}
        });
        let wanted: [(&[&str], Value); 2] = [(&["spec", "selector"], today), (&["spec", "minAvailable"], value!(1))];
        check("poddisruptionbudgets.policy", budget, &wanted).await;
    }
    let binding = value!({
        "kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1alpha1",
        "metadata": (cluster_meta("old")),
        "subjects": [{"kind": "User", "name": "*"}, {"kind": "ServiceAccount", "namespace": "ns", "name": "a"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    });
    let subjects = value!([
        {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"},
        {"kind": "ServiceAccount", "name": "a", "namespace": "ns"}
    ]);
    let wanted: [(&[&str], Value); 1] = [(&["subjects"], subjects)];
    check("clusterrolebindings.rbac.authorization.k8s.io", binding, &wanted).await;
    let level = value!({
        "kind": "PriorityLevelConfiguration", "apiVersion": "flowcontrol.apiserver.k8s.io/v1beta1",
        "metadata": (cluster_meta("old")),
        "spec": {"type": "Limited", "limited": {"assuredConcurrencyShares": 7, "limitResponse": {"type": "Reject"}}}
    });
    let wanted: [(&[&str], Value); 1] = [(&["spec", "limited", "nominalConcurrencyShares"], value!(7))];
    check("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", level, &wanted).await;
    let class = value!({
        "kind": "RuntimeClass", "apiVersion": "node.k8s.io/v1alpha1", "metadata": (cluster_meta("old")),
        "spec": {"runtimeHandler": "runsc"}
    });
    let wanted: [(&[&str], Value); 1] = [(&["handler"], value!("runsc"))];
    check("runtimeclasses.node.k8s.io", class, &wanted).await;
}

#[tokio::test]
async fn requests_for_certificates_that_name_no_signer() {
    let file = include_str!("../../controllers/cases/csr_requests.yaml");
    let request = |name: &str| {
        let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.expect("it is there").to_owned()
    };
    let client = value!(["digital signature", "client auth"]);
    let server = value!(["digital signature", "server auth"]);
    for (name, usages, signer) in [
        ("node", client.clone(), "kubernetes.io/kube-apiserver-client-kubelet"),
        ("node_serving", server.clone(), "kubernetes.io/kubelet-serving"),
        ("node", server, "kubernetes.io/legacy-unknown"),
        ("user", client, "kubernetes.io/legacy-unknown"),
    ] {
        let csr = value!({
            "kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1beta1",
            "metadata": (cluster_meta("old")), "spec": {"request": (request(name)), "usages": usages},
            "status": {"conditions": [{"type": "Approved"}]}
        });
        let wanted: [(&[&str], Value); 2] = [
            (&["spec", "signerName"], value!(signer)),
            (
                &["status", "conditions"],
                value!([{
                    "type": "Approved", "status": "True", "lastUpdateTime": (Value::Null), "lastTransitionTime": (Value::Null)
                }]),
            ),
        ];
        check("certificatesigningrequests.certificates.k8s.io", csr, &wanted).await;
    }
    let bare = value!({
        "kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1beta1",
        "metadata": (cluster_meta("old")), "spec": {"request": (request("user"))}
    });
    let wanted: [(&[&str], Value); 1] = [(&["spec", "usages"], value!(["digital signature", "key encipherment"]))];
    check("certificatesigningrequests.certificates.k8s.io", bare, &wanted).await;
}

#[tokio::test]
async fn events_of_their_own_group() {
    for version in ["v1beta1", "v1"] {
        let event = value!({
            "kind": "Event", "apiVersion": (format!("events.k8s.io/{version}")), "metadata": (meta("old")),
            "eventTime": "2020-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
            "reason": "Because", "regarding": {"kind": "Pod", "name": "p"}, "note": "so it is", "type": "Normal",
            "deprecatedCount": 3
        });
        let wanted: [(&[&str], Value); 4] = [
            (&["involvedObject"], value!({"kind": "Pod", "name": "p"})),
            (&["message"], value!("so it is")),
            (&["reportingComponent"], value!("c")),
            (&["count"], value!(3)),
        ];
        check("events", event, &wanted).await;
    }
}

/// Every version of every kind that upstream still has a type of, and that is stored somewhere, can be read.
#[tokio::test]
async fn no_version_of_a_stored_kind_is_unknown() {
    let world = World::new().await;
    let catalog = world.registry.catalog.current();
    let stored: Vec<_> = catalog.iter().filter(|definition| definition.row.stores()).collect();
    let mut unknown = Vec::new();
    let mut old = 0;
    for gvk in schema::builtin().iter().flat_map(|(_, of)| of.gvks.iter()) {
        let of_kind = |definition: &&&std::sync::Arc<registry::Definition>| {
            let hub = &definition.hub;
            hub.kind == gvk.kind && (hub.group == gvk.group || gvk.group == "extensions")
        };
        let Some(definition) = stored.iter().find(of_kind) else { continue };
        let is_served = definition.versions.iter().any(|version| version.gvk == *gvk);
        match resources::retired::to_hub(gvk) {
            _ if is_served => {}
            Some(_) => old += 1,
            None => unknown.push(gvk.to_string()),
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(old > 40, "only {old} versions are of earlier times");
}
