//! A cluster, and questions about it, drawn from a seed.

use crate::twin::dice::Dice;
use api::{Value, value};

const NODES: [&str; 4] = ["n0", "n1", "n2", "n3"];
const SPACES: [&str; 2] = ["a", "b"];
const PODS: usize = 12;
const VOLUMES: usize = 8;

/// Verbs that requests have, and one that they have not.
const VERBS: [&str; 9] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind"];

/// Group, resource, whether it is in a namespace, the letter and the number of its names, and subresources that nodes ask for.
type About = (&'static str, &'static str, bool, &'static str, usize, &'static [&'static str]);

const RESOURCES: &[About] = &[
    ("", "secrets", true, "s", 8, &["x"]),
    ("", "configmaps", true, "m", 6, &["x"]),
    ("", "serviceaccounts", true, "w", 4, &["token"]),
    ("", "persistentvolumeclaims", true, "c", 6, &["status"]),
    ("", "persistentvolumes", false, "v", VOLUMES, &["status"]),
    ("", "pods", true, "p", PODS, &["status", "eviction", "log"]),
    ("", "nodes", false, "n", 4, &["status", "proxy"]),
    ("", "services", true, "x", 2, &["status"]),
    ("", "events", true, "x", 2, &[]),
    ("", "endpoints", true, "x", 2, &[]),
    ("resource.k8s.io", "resourceclaims", true, "d", 6, &["status"]),
    ("resource.k8s.io", "resourceslices", false, "slice", 6, &["status"]),
    ("storage.k8s.io", "volumeattachments", false, "at", 6, &["status"]),
    ("storage.k8s.io", "csinodes", false, "n", 4, &["status", "x"]),
    ("storage.k8s.io", "csidrivers", false, "x", 2, &[]),
    ("coordination.k8s.io", "leases", true, "n", 4, &[]),
    ("certificates.k8s.io", "podcertificaterequests", true, "r", 2, &["status"]),
    ("certificates.k8s.io", "certificatesigningrequests", false, "x", 2, &["approval"]),
    ("certificates.k8s.io", "clustertrustbundles", false, "x", 2, &[]),
    ("node.k8s.io", "runtimeclasses", false, "x", 2, &[]),
    ("authorization.k8s.io", "subjectaccessreviews", false, "x", 1, &[]),
    ("rbac.authorization.k8s.io", "clusterroles", false, "x", 2, &[]),
];

fn name(dice: &mut Dice, letter: &str, count: usize) -> String {
    format!("{letter}{}", dice.below(count))
}

fn pick(dice: &mut Dice, from: &[&'static str]) -> &'static str {
    dice.pick(from).copied().unwrap_or_default()
}

fn line(method: &str, path: String, body: Value) -> Value {
    value!({"method": method, "path": path, "body": body})
}

/// The writes that make it: everything, then some pods gone, some elsewhere, some with more than they had.
pub fn cluster(dice: &mut Dice) -> Vec<Value> {
    let mut lines = Vec::new();
    for space in SPACES {
        let namespace = value!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}});
        lines.push(line("POST", "/api/v1/namespaces".into(), namespace));
    }
    for space in SPACES {
        for number in 0..PODS {
            lines.extend(pod(dice, space, number));
        }
    }
    for number in 0..VOLUMES {
        lines.push(line("POST", "/api/v1/persistentvolumes".into(), volume(dice, number)));
    }
    for number in 0..5 {
        let attachment = value!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": (format!("at{number}"))},
            "spec": {"attacher": "driver", "nodeName": (pick(dice, &NODES)),
                "source": {"persistentVolumeName": (name(dice, "v", VOLUMES))}}
        });
        lines.push(line("POST", "/apis/storage.k8s.io/v1/volumeattachments".into(), attachment));
        lines.push(line("POST", "/apis/resource.k8s.io/v1/resourceslices".into(), slice(dice, number)));
    }
    for space in SPACES {
        for number in [1, 4, 7] {
            let path = format!("/api/v1/namespaces/{space}/pods/p{number}?gracePeriodSeconds=0");
            lines.push(line("DELETE", path, Value::Null));
        }
        lines.extend(pod(dice, space, 4));
        lines.push(line(
            "DELETE",
            format!("/api/v1/persistentvolumes/v{}", if space == "a" { 2 } else { 5 }),
            Value::Null,
        ));
        lines.push(late(space));
    }
    lines
}

/// A container that comes into a running pod, and what it names.
fn late(space: &str) -> Value {
    let container = value!({"name": "late", "image": "i", "envFrom": [{"secretRef": {"name": "s7"}}]});
    let body = value!({"spec": {"ephemeralContainers": [container]}});
    line("PATCH", format!("/api/v1/namespaces/{space}/pods/p3/ephemeralcontainers"), body)
}

/// A pod and, where claims of devices were made for it, its status.
fn pod(dice: &mut Dice, space: &str, number: usize) -> Vec<Value> {
    let own = format!("p{number}");
    let mut spec = value!({"serviceAccountName": (name(dice, "w", 4)), "terminationGracePeriodSeconds": 0});
    // Some wait for a node.
    if number != 9 {
        spec.set("nodeName", pick(dice, &NODES));
    }
    let mut container = value!({"name": "c", "image": "i"});
    match dice.below(4) {
        0 => container.set("envFrom", value!([{"secretRef": {"name": (name(dice, "s", 7))}}])),
        1 => container.set("envFrom", value!([{"configMapRef": {"name": (name(dice, "m", 6))}}])),
        2 => {
            let key = value!({"name": (name(dice, "s", 7)), "key": "k"});
            container.set("env", value!([{"name": "E", "valueFrom": {"secretKeyRef": key}}]));
        }
        _ => spec.set("imagePullSecrets", value!([{"name": (name(dice, "s", 7))}])),
    }
    spec.set("containers", Value::array(vec![container]));
    let volumes: Vec<Value> = (0..2 + dice.below(3)).map(|at| of_pod(dice, at)).collect();
    spec.set("volumes", Value::array(volumes));
    let mut metadata = value!({"name": own.as_str()});
    if number == 10 {
        // A copy of a pod that a node has from elsewhere names nothing.
        metadata.set("annotations", value!({"kubernetes.io/config.mirror": "x"}));
    }
    let mut lines = Vec::new();
    if dice.one_in(3) && number != 10 {
        spec.set(
            "resourceClaims",
            value!([{"name": "given", "resourceClaimName": (name(dice, "d", 3))},
            {"name": "made", "resourceClaimTemplateName": "t"}, {"name": "not-yet", "resourceClaimTemplateName": "t"}]),
        );
        let said = value!({"status": {"resourceClaimStatuses": [{"name": "made", "resourceClaimName": (format!("d{}", 3 + dice.below(3)))}]}});
        lines.push(line("PATCH", format!("/api/v1/namespaces/{space}/pods/{own}/status"), said));
    }
    let pod = value!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
    lines.insert(0, line("POST", format!("/api/v1/namespaces/{space}/pods"), pod));
    lines
}

fn of_pod(dice: &mut Dice, at: usize) -> Value {
    let mut volume = match dice.below(5) {
        0 => value!({"secret": {"secretName": (name(dice, "s", 7))}}),
        1 => value!({"configMap": {"name": (name(dice, "m", 6))}}),
        2 => value!({"projected": {"sources": [
            {"secret": {"name": (name(dice, "s", 7))}}, {"configMap": {"name": (name(dice, "m", 6))}}]}}),
        3 => {
            let spec = value!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
            value!({"ephemeral": {"volumeClaimTemplate": {"spec": spec}}})
        }
        _ => value!({"persistentVolumeClaim": {"claimName": (name(dice, "c", 6))}}),
    };
    volume.set("name", format!("vol{at}"));
    volume
}

fn volume(dice: &mut Dice, number: usize) -> Value {
    let space = pick(dice, &SPACES);
    let mut secret = |namespace: &str| value!({"name": (name(dice, "s", 8)), "namespace": namespace});
    let mut spec = match number % 4 {
        0 => value!({"csi": {"driver": "driver", "volumeHandle": (format!("h{number}")),
            "nodeStageSecretRef": (secret("a")), "controllerPublishSecretRef": (secret("b"))}}),
        1 => {
            value!({"iscsi": {"targetPortal": "1.2.3.4", "iqn": "iqn.2001-04.com.example:a", "lun": 0, "secretRef": (secret("b"))}})
        }
        2 => value!({"flexVolume": {"driver": "d/x", "secretRef": (secret("a"))}}),
        _ => value!({"azureFile": {"shareName": "x", "secretName": (secret("").str("name"))}}),
    };
    spec.set("capacity", value!({"storage": "1Gi"}));
    spec.set("accessModes", value!(["ReadWriteOnce"]));
    if number != 7 {
        spec.set("claimRef", value!({"namespace": space, "name": (name(dice, "c", 6))}));
    }
    value!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": (format!("v{number}"))}, "spec": spec})
}

fn slice(dice: &mut Dice, number: usize) -> Value {
    let mut spec = value!({"driver": "driver", "pool": {"name": (format!("pool{number}")), "generation": 1, "resourceSliceCount": 1}});
    match number {
        4 => spec.set("allNodes", true),
        _ => spec.set("nodeName", pick(dice, &NODES)),
    }
    let metadata = value!({"name": (format!("slice{number}"))});
    value!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": metadata, "spec": spec})
}

/// What is asked: specs of SubjectAccessReviews.
pub fn questions(dice: &mut Dice, count: usize) -> Vec<Value> {
    let reads: Vec<&About> = RESOURCES.iter().filter(|about| about.4 > 4).collect();
    (0..count)
        .map(|number| {
            // Half are plain reads of what pods name; the other half is anything.
            let about =
                if number % 2 == 0 { reads[dice.below(reads.len())] } else { &RESOURCES[dice.below(RESOURCES.len())] };
            question(dice, about, number % 2 == 0)
        })
        .collect()
}

fn question(dice: &mut Dice, about: &About, plain: bool) -> Value {
    let (group, resource, has_namespace, letter, count, subresources) = *about;
    let node = if dice.one_in(20) { "gone" } else { pick(dice, &NODES) };
    let mut asked = value!({"group": group, "resource": resource, "verb": "get"});
    asked.set("name", name(dice, letter, count));
    // What has a node's name is mostly asked by that node.
    if letter == "n" && !dice.one_in(3) {
        asked.set("name", node);
    }
    if has_namespace {
        let space = if resource == "leases" { pick(dice, &["kube-node-lease", "a"]) } else { pick(dice, &SPACES) };
        asked.set("namespace", space);
    }
    if !plain {
        asked.set("verb", pick(dice, &VERBS));
        if dice.one_in(3) {
            asked.set("subresource", pick(dice, subresources));
        }
        if dice.one_in(3) {
            asked.remove("name");
        }
        if dice.one_in(6) {
            asked.remove("namespace");
        }
        if matches!(asked.str("verb"), "list" | "watch" | "deletecollection") && dice.one_in(2) {
            asked.set("fieldSelector", selector(dice, node));
        }
    }
    let (user, groups) = match dice.below(30) {
        0 => (format!("system:node:{node}"), value!(["system:authenticated"])),
        1 => (node.to_owned(), value!(["system:nodes"])),
        2 => ("system:node:".to_owned(), value!(["system:nodes"])),
        3 => ("system:kube-proxy".to_owned(), value!(["system:authenticated"])),
        _ => (format!("system:node:{node}"), value!(["system:nodes", "system:authenticated"])),
    };
    value!({"user": user, "groups": groups, "resourceAttributes": asked})
}

/// A selector that mostly has to do with the node that asks.
fn selector(dice: &mut Dice, asking: &'static str) -> Value {
    let node = if dice.one_in(3) { pick(dice, &NODES) } else { asking };
    match dice.below(6) {
        0 => value!({"rawSelector": (format!("spec.nodeName!={node}"))}),
        1 => value!({"rawSelector": "spec.nodeName in (n0)"}),
        2 => value!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": [node]}]}),
        3 => value!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": [node]},
            {"key": "spec.x", "operator": "Exists"}]}),
        4 => value!({"rawSelector": (format!("spec.restartPolicy=Always,spec.nodeName=={node}"))}),
        _ => value!({"rawSelector": (format!("spec.nodeName={node}"))}),
    }
}
