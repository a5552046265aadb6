//! Who may do what as a node, with the words of what is refused.

use std::sync::Arc;

use api::{User, Value, value};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::fake::{Ask, World, assert_forbidden};

fn as_node(mut ask: Ask) -> Ask {
    ask.user = User::new("system:node:n1", &["system:nodes"]);
    ask
}

fn world() -> Arc<World> {
    World::new()
        .with("nodes", value!({"metadata": {"name": "n1", "uid": "u1"}}))
        .with(
            "pods",
            value!({
                "metadata": {"name": "mine", "namespace": "ns", "uid": "p1"},
                "spec": {
                    "nodeName": "n1",
                    "serviceAccountName": "sa",
                    "volumes": [
                        {"name": "t", "projected": {"sources": [
                            {"serviceAccountToken": {"audience": "vault"}},
                            {"podCertificate": {"signerName": "example.com/own"}}
                        ]}},
                        {"name": "d", "csi": {"driver": "d.example.com"}}
                    ]
                }
            }),
        )
        .with(
            "pods",
            value!({"metadata": {"name": "other", "namespace": "ns", "uid": "p2"}, "spec": {"nodeName": "n2"}}),
        )
        .with("serviceaccounts", value!({"metadata": {"name": "sa", "namespace": "ns", "uid": "s1"}}))
        .with(
            "csidrivers.storage.k8s.io",
            value!({"metadata": {"name": "d.example.com"}, "spec": {"tokenRequests": [{"audience": "disk"}]}}),
        )
}

fn says(ask: Ask, why: &str) {
    let outcome = as_node(ask).mutate(&NodeRestriction, &world());
    if why.is_empty() {
        assert!(outcome.is_ok(), "{outcome:?}");
    } else {
        assert_forbidden(outcome, why);
    }
}

fn mirror(change: impl FnOnce(&mut Value)) -> Ask {
    let mut pod = value!({
        "metadata": {
            "name": "static-n1",
            "namespace": "ns",
            "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": true}]
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
    });
    change(&mut pod);
    Ask::create("pods", "Pod", pod)
}

#[test]
fn who_is_no_node_may_do_as_he_likes() {
    let mut ask = Ask::create("nodes", "Node", value!({"metadata": {"name": "other"}}));
    assert!(ask.mutate(&NodeRestriction, &world()).is_ok());
    ask.user = User::new("system:node:n1", &[]);
    assert!(ask.mutate(&NodeRestriction, &world()).is_ok());
    ask.user = User::new("system:node:", &["system:nodes"]);
    let outcome = ask.mutate(&NodeRestriction, &world());
    assert_forbidden(outcome, "could not determine node from user \"system:node:\"");
}

#[test]
fn a_node_makes_mirrors_of_its_own_pods_only() {
    says(mirror(|_| {}), "");
    says(
        mirror(|pod| drop(pod.remove_path(&["metadata", "annotations"]))),
        "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
    );
    says(
        mirror(|pod| pod.set_path(&["spec", "nodeName"], "n2")),
        "node \"n1\" can only create pods with spec.nodeName set to itself",
    );
    says(
        mirror(|pod| drop(pod.remove_path(&["metadata", "ownerReferences"]))),
        "node \"n1\" can only create pods with an owner reference set to itself",
    );
    says(
        mirror(|pod| {
            pod.path_mut(&["metadata", "ownerReferences"]).and_then(Value::as_array_mut).expect("it is a list")[0]
                .set("uid", "u2")
        }),
        "node n1 UID mismatch: expected u2 got u1",
    );
    let volume = |volume: Value| mirror(move |pod| pod.set_path(&["spec", "volumes"], value!([(volume)])));
    says(volume(value!({"name": "v", "emptyDir": {}})), "");
    says(
        volume(value!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}})),
        "node \"n1\" can not create pods that reference serviceaccounts (via projected volumes)",
    );
    says(
        volume(value!({"name": "v", "configMap": {"name": "m"}})),
        "node \"n1\" can not create pods that reference configmaps",
    );
    says(
        mirror(|pod| pod.set_path(&["spec", "serviceAccountName"], "sa")),
        "node \"n1\" can not create pods that reference serviceaccounts",
    );
}

/// Whatever of the API a mirror pod names, it is refused; so is a member that nobody here has heard of.
#[test]
fn cve_2025_4563_a_mirror_pod_names_no_claims_to_devices() {
    says(
        mirror(|pod| pod.set_path(&["spec", "resourceClaims"], value!([{"name": "r", "resourceClaimName": "c"}]))),
        "node \"n1\" can not create pods that reference resourceclaims",
    );
    says(
        mirror(|pod| {
            pod.set_path(&["spec", "resourceClaims"], value!([{"name": "r", "resourceClaimTemplateName": "t"}]));
        }),
        "node \"n1\" can not create pods that reference resourceclaims",
    );
    let volume = |volume: Value| mirror(move |pod| pod.set_path(&["spec", "volumes"], value!([(volume)])));
    says(
        volume(value!({"name": "v", "ofTomorrow": {}})),
        "error checking mirror pod for API references: unknown volume type for volume  \"v\"",
    );
    says(
        volume(value!({"name": "v", "projected": {"sources": [{"ofTomorrow": {}}]}})),
        "error checking mirror pod for API references: unknown source for projected volume \"v\"",
    );
    // Nor does a node say in a pod's status which claims are the pod's.
    let pod = value!({"metadata": {"name": "mine", "namespace": "ns"}, "spec": {"nodeName": "n1"}});
    let claimed = |member: &str| {
        let mut claimed = pod.clone();
        claimed.set_path(&["status", member], value!([{"name": "r", "resourceClaimName": "c"}]));
        Ask::update("pods", "Pod", claimed, pod.clone()).at("status")
    };
    says(claimed("resourceClaimStatuses"), "node \"n1\" cannot update resource claim statues");
    says(claimed("extendedResourceClaimStatus"), "node \"n1\" cannot update extended resource claim status");
}

#[test]
fn a_node_ends_and_describes_its_own_pods_only() {
    let pod = |name: &str, node: &str| value!({"metadata": {"name": (name), "namespace": "ns"}, "spec": {"nodeName": (node)}});
    says(Ask::delete("pods", "Pod", pod("mine", "n1")), "");
    says(
        Ask::delete("pods", "Pod", pod("other", "n2")),
        "node \"n1\" can only delete pods with spec.nodeName set to itself",
    );
    let mut status = pod("mine", "n1");
    status.set_path(&["status", "phase"], "Running");
    says(Ask::update("pods", "Pod", status.clone(), pod("mine", "n1")).at("status"), "");
    says(
        Ask::update("pods", "Pod", status.clone(), pod("mine", "n1")),
        "unexpected operation \"UPDATE\", node \"n1\" can only create and delete mirror pods",
    );
    status.set_path(&["metadata", "labels", "a"], "b");
    says(
        Ask::update("pods", "Pod", status, pod("mine", "n1")).at("status"),
        "node \"n1\" cannot update labels through pod status",
    );
    says(
        Ask::create("pods", "Eviction", pod("other", "")).at("eviction"),
        "node n1 can only evict pods with spec.nodeName set to itself",
    );
    says(
        Ask::create("pods", "Binding", pod("mine", "")).at("binding"),
        "unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed",
    );
}

#[test]
fn a_node_labels_itself_within_limits() {
    let node = |labels: Value| value!({"metadata": {"name": "n1", "labels": (labels)}, "spec": {}});
    let good = value!({"kubernetes.io/hostname": "n1", "x.node.kubernetes.io/a": "", "example.com/b": ""});
    says(Ask::create("nodes", "Node", node(good.clone())), "");
    // A create says the name in the object alone.
    let mut nameless = Ask::create("nodes", "Node", node(good));
    nameless.name = String::new();
    says(nameless, "");
    says(
        Ask::create(
            "nodes",
            "Node",
            node(value!({"node-restriction.kubernetes.io/a": "", "node-role.kubernetes.io/b": ""})),
        ),
        "node \"n1\" is not allowed to set the following labels: node-restriction.kubernetes.io/a, node-role.kubernetes.io/b",
    );
    says(
        Ask::update("nodes", "Node", node(value!({})), node(value!({"a.k8s.io/a": ""}))),
        "is not allowed to modify labels: a.k8s.io/a",
    );
    let mut tainted = node(value!({}));
    tainted.set_path(&["spec", "taints"], value!([{"key": "k", "effect": "NoSchedule"}]));
    says(Ask::update("nodes", "Node", node(value!({})), tainted), "node \"n1\" is not allowed to modify taints");
    let other = value!({"metadata": {"name": "n2"}});
    says(Ask::create("nodes", "Node", other), "node \"n1\" is not allowed to modify node \"n2\"");
}

/// An owner that is nowhere would have the collector of garbage delete the node.
#[test]
fn cve_2025_5187_a_node_gives_itself_no_owner() {
    let owned = |owners: Value| value!({"metadata": {"name": "n1", "ownerReferences": (owners)}, "spec": {}});
    let gone = || owned(value!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "x"}]));
    let why = "node \"n1\" is not allowed to modify ownerReferences";
    says(Ask::update("nodes", "Node", gone(), owned(value!([]))), why);
    says(Ask::update("nodes", "Node", gone(), owned(value!([]))).at("status"), why);
    says(Ask::update("nodes", "Node", owned(value!([])), gone()), why);
    says(Ask::update("nodes", "Node", gone(), gone()), "");
}

#[test]
fn a_node_gets_tokens_for_its_own_pods_only() {
    let token = |pod: &str, uid: &str, audiences: Value| {
        let object = value!({"spec": {
            "audiences": (audiences),
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": (pod), "uid": (uid)}
        }});
        let mut ask = Ask::create("serviceaccounts", "TokenRequest", object).at("token");
        (ask.namespace, ask.name) = ("ns".into(), "sa".into());
        ask
    };
    says(token("mine", "p1", value!(["vault"])), "");
    says(token("mine", "p1", value!(["disk"])), "");
    says(
        token("mine", "p1", value!(["bank"])),
        "system:node:n1 is not authorized to request tokens for audience \"bank\"",
    );
    says(token("mine", "p1", value!(["a", "b"])), "node may only request 0 or 1 audiences");
    says(token("other", "p2", value!([])), "node requested token bound to a pod scheduled on a different node");
    says(token("mine", "", value!([])), "node requested token with a pod binding without a uid");
    let mut free = token("mine", "p1", value!([]));
    free.object = value!({"spec": {}});
    says(free, "node requested token not bound to a pod");
    let allowing = world().allowing("system:node:n1 request-serviceaccounts-token-audience /bank sa");
    assert!(as_node(token("mine", "p1", value!(["bank"]))).mutate(&NodeRestriction, &allowing).is_ok());
}

#[test]
fn a_node_gets_certificates_for_its_own_pods_only() {
    let ask = |change: &[(&str, &str)]| {
        let mut object = value!({"metadata": {"name": "r", "namespace": "ns"}, "spec": {
            "nodeName": "n1", "nodeUID": "u1", "podName": "mine", "podUID": "p1",
            "serviceAccountName": "sa", "serviceAccountUID": "s1", "signerName": "example.com/own"
        }});
        change.iter().for_each(|(key, text)| object.set_path(&["spec", key], *text));
        Ask::create("podcertificaterequests.certificates.k8s.io", "PodCertificateRequest", object)
    };
    says(ask(&[]), "");
    says(
        ask(&[("signerName", "example.com/else")]),
        "pod \"ns/mine\" does not mount a podCertificate projected volume for signer \"example.com/else\"",
    );
    says(
        ask(&[("nodeName", "n2")]),
        "PodCertificateRequest.Spec.NodeName=\"n2\", which is not the requesting node \"n1\"",
    );
    let behind = as_node(ask(&[("podUID", "p0")])).mutate(&NodeRestriction, &world()).expect_err("the pod is another");
    assert_eq!(behind.code(), 500);
    assert_eq!(
        behind.message(),
        "PodCertificateRequest for pod \"ns/mine\" contains pod UID (\"p0\") which differs from running pod \"p1\""
    );
}

#[test]
fn what_carries_a_nodes_name_is_that_nodes() {
    let lease = |namespace: &str, name: &str| {
        let object = value!({"metadata": {"name": (name), "namespace": (namespace)}});
        Ask::create("leases.coordination.k8s.io", "Lease", object)
    };
    says(lease("kube-node-lease", "n1"), "");
    says(lease("ns", "n1"), "can only access leases in the \"kube-node-lease\" system namespace");
    says(lease("kube-node-lease", "n2"), "can only access node lease with the same name as the requesting node");
    let slice = |node: &str| value!({"metadata": {"name": "s"}, "spec": {"nodeName": (node)}});
    let resource = "resourceslices.resource.k8s.io";
    says(Ask::create(resource, "ResourceSlice", slice("n1")), "");
    says(
        Ask::delete(resource, "ResourceSlice", slice("n2")),
        "can only delete ResourceSlice with the same NodeName as the requesting node",
    );
    let csi = value!({"metadata": {"name": "n2"}});
    says(
        Ask::create("csinodes.storage.k8s.io", "CSINode", csi),
        "can only access CSINode with the same name as the requesting node",
    );
}

#[test]
fn a_claims_status_changes_by_a_node_in_some_members_only() {
    let claim = |status: Value| value!({"metadata": {"name": "c", "namespace": "ns"}, "status": (status)});
    let ask = |new: Value| {
        Ask::update("persistentvolumeclaims", "PersistentVolumeClaim", claim(new), claim(value!({}))).at("status")
    };
    says(ask(value!({"capacity": {"storage": "1Gi"}, "conditions": [{"type": "Resizing"}]})), "");
    says(
        ask(value!({"phase": "Bound"})),
        "node \"n1\" is not allowed to update fields other than status.quantity and status.conditions",
    );
}

#[test]
fn a_request_that_cannot_be_read_is_refused() {
    let spec = value!({"signerName": "kubernetes.io/kubelet-serving", "request": (STANDARD.encode("nonsense"))});
    let object = value!({"metadata": {"name": "r"}, "spec": (spec)});
    says(
        Ask::create("certificatesigningrequests.certificates.k8s.io", "CertificateSigningRequest", object),
        "unable to parse csr: PEM block type must be CERTIFICATE REQUEST",
    );
}
