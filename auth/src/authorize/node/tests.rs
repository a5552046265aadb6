//! What a node may, on a cluster of two. The cases are those of upstream's TestNodeAuthorizer, with its reasons.

use api::{Value, value};

use super::*;
use crate::authorize::{Authorizer, Index, Rbac, Verdict, review};

/// A pod with everything that a pod can name.
fn pod(number: usize) -> Value {
    let own = |what: &str| format!("{what}{number}");
    value!({"kind": "Pod", "metadata": {"namespace": "ns", "name": (own("pod"))}, "spec": {
        "nodeName": (own("n")), "serviceAccountName": (own("account")),
        "volumes": [{"secret": {"secretName": (own("secret"))}}, {"secret": {"secretName": "shared"}},
            {"configMap": {"name": (own("map"))}}, {"persistentVolumeClaim": {"claimName": (own("claim"))}}],
        "resourceClaims": [{"name": "r", "resourceClaimName": (own("device"))}]
    }})
}

fn world() -> Node {
    let relations = Relations::default();
    for number in [1, 2] {
        let own = |what: &str| format!("{what}{number}");
        let on_node = |what: &str, namespace: &str| value!({"metadata": {"namespace": namespace, "name": (own(what))}, "spec": {"nodeName": (own("n"))}});
        relations.put(Kind::Pod, &pod(number));
        relations.put(
            Kind::Volume,
            &value!({"metadata": {"name": (own("volume"))}, "spec": {
                "claimRef": {"namespace": "ns", "name": (own("claim"))},
                "csi": {"nodeStageSecretRef": {"namespace": "storage", "name": (own("stage"))},
                    "controllerPublishSecretRef": {"namespace": "storage", "name": "controllers"}}}}),
        );
        relations.put(Kind::Attachment, &on_node("attachment", ""));
        relations.put(Kind::Slice, &on_node("slice", ""));
        relations.put(Kind::CertificateRequest, &on_node("request", "ns"));
    }
    let rules = vec![Rule {
        verbs: vec!["get".into(), "list".into(), "watch".into()],
        api_groups: vec![String::new()],
        resources: vec!["services".into(), "pods".into(), "secrets".into()],
        ..Rule::default()
    }];
    Node { relations: Arc::new(relations), rules: Arc::new(rules) }
}

/// `verb resource[.group][/subresource] [namespace/]name [field selector]`, with `-` for no name.
fn asked(text: &str) -> Attributes {
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or("-");
    let (verb, what, place, selector) = (word(), word(), word(), word());
    let (what, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    let (namespace, name) = place.split_once('/').unwrap_or(("", place));
    let text = |text: &str| if text == "-" { String::new() } else { text.to_owned() };
    Attributes {
        verb: verb.into(),
        is_resource: true,
        group: group.into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: text(name),
        field_selector: text(selector),
        ..Attributes::default()
    }
}

fn node(name: &str) -> User {
    User::new(format!("system:node:{name}"), &["system:nodes", "system:authenticated"])
}

/// `yes`, or the reason why not.
fn said(world: &Node, user: &User, text: &str) -> String {
    let decision = world.decide(user, &asked(text));
    assert_ne!(decision.verdict, Verdict::Deny, "a role may allow it still");
    match decision.verdict {
        Verdict::Allow => "yes".to_owned(),
        _ => decision.reason,
    }
}

fn check(cases: &[(&str, &str)]) {
    let world = world();
    for (text, expected) in cases {
        assert_eq!(said(&world, &node("n1"), text), *expected, "{text}");
    }
}

const STRANGER: &str = "no relationship found between node 'n1' and this object";

#[test]
fn what_pods_name_is_read_by_their_node_alone() {
    check(&[
        ("get secrets ns/secret1", "yes"),
        ("list secrets ns/secret1", "yes"),
        ("watch secrets ns/secret1", "yes"),
        ("get secrets ns/shared", "yes"),
        ("get secrets ns/secret2", STRANGER),
        ("get secrets other/secret1", STRANGER),
        ("get secrets ns/nobody's", STRANGER),
        ("get secrets storage/stage1", "yes"),
        ("get secrets storage/stage2", STRANGER),
        ("get secrets storage/controllers", STRANGER),
        ("list secrets ns/-", "No Object name found"),
        ("list secrets secret1", "can only read namespaced object of this type"),
        ("update secrets ns/secret1", "can only read resources of this type"),
        ("get secrets/x ns/secret1", "cannot read subresource"),
        ("get configmaps ns/map1", "yes"),
        ("get configmaps ns/map2", STRANGER),
        ("get persistentvolumeclaims ns/claim1", "yes"),
        ("get persistentvolumeclaims ns/claim2", STRANGER),
        ("list persistentvolumeclaims ns/claim1", "can only get individual resources of this type"),
        ("patch persistentvolumeclaims/status ns/claim1", "yes"),
        ("patch persistentvolumeclaims/status ns/claim2", STRANGER),
        ("get persistentvolumeclaims/status ns/claim1", "can only get/update/patch this type"),
        ("get persistentvolumes volume1", "yes"),
        ("get persistentvolumes ns/volume1", STRANGER),
        ("get persistentvolumes volume2", STRANGER),
        ("get persistentvolumes/status volume1", "cannot get subresource"),
        ("get resourceclaims.resource.k8s.io ns/device1", "yes"),
        ("get resourceclaims.resource.k8s.io ns/device2", STRANGER),
        ("get volumeattachments.storage.k8s.io attachment1", "yes"),
        ("get volumeattachments.storage.k8s.io attachment2", STRANGER),
    ]);
}

#[test]
fn tokens_are_made_for_accounts_of_own_pods() {
    const ONE: &str = "can only create tokens for individual service accounts";
    check(&[
        ("create serviceaccounts/token ns/account1", "yes"),
        ("create serviceaccounts/token ns/account2", STRANGER),
        ("create serviceaccounts/token ns/-", ONE),
        ("create serviceaccounts ns/account1", "can only create token subresource of serviceaccount"),
        ("update serviceaccounts/token ns/account1", ONE),
        ("list serviceaccounts ns/account1", ONE),
        ("get serviceaccounts/token ns/account1", ONE),
        ("get serviceaccounts ns/account1", "yes"),
        ("get serviceaccounts ns/account2", STRANGER),
        ("get serviceaccounts account1", "can only read namespaced object of this type"),
    ]);
}

#[test]
fn pods_are_read_by_node() {
    const SELECT: &str = "can only list/watch pods with spec.nodeName field selector";
    check(&[
        ("get pods ns/pod1", "yes"),
        ("get pods ns/pod2", STRANGER),
        ("list pods - spec.nodeName=n1", "yes"),
        ("watch pods ns/- spec.nodeName==n1,metadata.name=x", "yes"),
        ("list pods - spec.nodeName=n2", SELECT),
        ("list pods - spec.nodeName!=n1", SELECT),
        ("list pods - spec.nodeName=n1=", SELECT),
        ("list pods -", SELECT),
        ("watch pods ns/pod1", "yes"),
        ("list pods ns/pod2", STRANGER),
        ("deletecollection pods - spec.nodeName=n1", ""),
        ("create pods ns/-", "yes"),
        ("delete pods ns/pod2", "yes"),
        ("update pods ns/pod1", ""),
        ("create pods/proxy ns/pod1", ""),
        ("patch pods/status ns/pod2", "yes"),
        ("get pods/status ns/pod1", ""),
        ("create pods/eviction ns/pod2", "yes"),
    ]);
}

#[test]
fn a_node_reads_its_own_node() {
    check(&[
        ("get nodes n1", "yes"),
        ("list nodes n1", "yes"),
        ("watch nodes n2", "node 'n1' cannot read 'n2', only its own Node object"),
        ("list nodes -", "node 'n1' cannot read all nodes, only its own Node object"),
        ("create nodes -", "yes"),
        ("update nodes n2", "yes"),
        ("patch nodes/status n2", "yes"),
        ("get nodes/status n1", ""),
        ("delete nodes n1", ""),
        ("get nodes/proxy n1", ""),
    ]);
    assert_eq!(said(&world(), &node("not-there-yet"), "get nodes not-there-yet"), "yes");
}

#[test]
fn what_has_the_nodes_name_is_its_own() {
    const LEASE: &str = "can only access node lease with the same name as the requesting node";
    const CSI: &str = "can only access CSINode with the same name as the requesting node";
    const GATE: &str = "CSINode status access requires CSIVolumeHealth feature";
    check(&[
        ("get leases.coordination.k8s.io kube-node-lease/n1", "yes"),
        ("create leases.coordination.k8s.io kube-node-lease/-", "yes"),
        ("delete leases.coordination.k8s.io kube-node-lease/n1", "yes"),
        ("update leases.coordination.k8s.io kube-node-lease/n2", LEASE),
        ("get leases.coordination.k8s.io ns/n1", "can only access leases in the \"kube-node-lease\" system namespace"),
        (
            "list leases.coordination.k8s.io kube-node-lease/-",
            "can only get, create, update, patch, or delete a node lease",
        ),
        ("patch csinodes.storage.k8s.io n1", "yes"),
        ("create csinodes.storage.k8s.io -", "yes"),
        ("delete csinodes.storage.k8s.io n2", CSI),
        ("watch csinodes.storage.k8s.io n1", "can only get, create, update, patch, or delete a CSINode"),
        ("get csinodes.storage.k8s.io/drivers n1", "cannot authorize CSINode subresources"),
        ("patch csinodes.storage.k8s.io/status n1", GATE),
        ("delete csinodes.storage.k8s.io/status n2", GATE),
    ]);
}

#[test]
fn slices_and_certificate_requests_are_read_by_node() {
    const SLICES: &str = "can only list/watch/deletecollection resourceslices with nodeName field selector";
    const REQUESTS: &str = "can only list/watch podcertificaterequests with nodeName field selector";
    check(&[
        ("get resourceslices.resource.k8s.io slice1", "yes"),
        ("create resourceslices.resource.k8s.io -", "yes"),
        ("patch resourceslices.resource.k8s.io slice1", "yes"),
        ("delete resourceslices.resource.k8s.io slice2", STRANGER),
        ("list resourceslices.resource.k8s.io - spec.nodeName==n1", "yes"),
        ("deletecollection resourceslices.resource.k8s.io - spec.nodeName=n1", "yes"),
        ("watch resourceslices.resource.k8s.io - spec.nodeName=n2", SLICES),
        ("list resourceslices.resource.k8s.io -", SLICES),
        ("get resourceslices.resource.k8s.io/status slice1", "cannot authorize ResourceSlice subresources"),
        (
            "proxy resourceslices.resource.k8s.io slice1",
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        ),
        ("create podcertificaterequests.certificates.k8s.io ns/-", "yes"),
        ("get podcertificaterequests.certificates.k8s.io ns/request1", "yes"),
        ("get podcertificaterequests.certificates.k8s.io ns/request2", STRANGER),
        ("list podcertificaterequests.certificates.k8s.io - spec.nodeName=n1", "yes"),
        ("watch podcertificaterequests.certificates.k8s.io ns/request1", REQUESTS),
        (
            "update podcertificaterequests.certificates.k8s.io ns/request1",
            "nodes may not update podcertificaterequests",
        ),
        (
            "get podcertificaterequests.certificates.k8s.io/status ns/request1",
            "nodes may not access the status subresource of PodCertificateRequests",
        ),
    ]);
}

#[test]
fn the_rest_is_as_the_rules_of_all_nodes_say() {
    check(&[("list services -", "yes"), ("delete services ns/a", ""), ("list events ns/-", "")]);
    let world = world();
    let path = Attributes { verb: "get".into(), path: "/metrics".into(), ..Attributes::default() };
    assert_eq!(world.decide(&node("n1"), &path), Decision::no_opinion(""));
}

#[test]
fn who_is_no_node_is_not_judged() {
    let world = world();
    let everyones = [User::new("system:node:n1", &["system:authenticated"]), User::new("n1", &["system:nodes"])];
    for user in everyones {
        assert_eq!(said(&world, &user, "get secrets ns/secret1"), "");
        assert_eq!(world.rules(&user, "ns"), Rules::default());
    }
    assert_eq!(said(&world, &node(""), "get nodes -"), "unknown node for user \"system:node:\"");
    let rules = world.rules(&node("n1"), "ns");
    assert!(rules.incomplete && rules.errors == ["node authorizer does not support user rule resolution"]);
}

/// Puts in a pod the first time that it is asked.
struct Late(parking_lot::Mutex<Option<Value>>);

impl Source for Late {
    fn catch_up(&self, into: &Relations) {
        if let Some(pod) = self.0.lock().take() {
            into.put(Kind::Pod, &pod);
        }
    }
}

#[test]
fn what_has_happened_counts_before_the_decision() {
    let world = world();
    let mut moved = pod(1);
    moved.set_path(&["spec", "nodeName"], "n2");
    world.relations.come_from(Arc::new(Late(parking_lot::Mutex::new(Some(moved)))));
    assert_eq!(said(&world, &node("n1"), "get secrets ns/secret1"), STRANGER);
    assert_eq!(said(&world, &node("n2"), "get secrets ns/secret1"), "yes");
}

/// What upstream said of a whole cluster: see `conformance/src/nodes.rs`.
const RECORDED: &str = include_str!("../../../../conformance/recorded/nodes.jsonl");
const POLICY: &str = include_str!("../../../../schema/facts/bootstrap_roles.json");

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

/// Node and RBAC over upstream's own policy.
fn authorizer(relations: &Arc<Relations>) -> Authorizer {
    let policy = read(POLICY);
    let index = Index::default();
    for (list, kind) in [("clusterRoles", "ClusterRole"), ("clusterRoleBindings", "ClusterRoleBinding")] {
        for fact in policy.list(list) {
            let mut object = fact.clone();
            object.set("kind", kind);
            index.put(&object);
        }
    }
    let rules = index.policy().rules_of_role("ClusterRole", "system:node", "").expect("nodes have a role");
    let node = Node { relations: relations.clone(), rules: Arc::new(rules) };
    Authorizer::new(vec![Box::new(node), Box::new(Rbac { index: Arc::new(index) })])
}

/// Does to the cluster what a recorded write does, as far as it matters here: an object by its path.
fn change(objects: &mut std::collections::BTreeMap<String, Value>, line: &Value) -> Option<String> {
    let (path, body) = (line.str("path"), line.at("body"));
    let path = path.split('?').next().unwrap_or_default();
    match line.str("method") {
        "POST" => {
            let path = format!("{path}/{}", body.at("metadata").str("name"));
            let mut object = body.clone();
            if let Some(namespace) = path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.split_once('/')) {
                object.set_path(&["metadata", "namespace"], namespace.0);
            }
            objects.insert(path.clone(), object);
            Some(path)
        }
        "PATCH" => {
            let (path, _) = path.rsplit_once('/')?;
            let object = objects.get_mut(path)?;
            for part in ["spec", "status"] {
                body.at(part).members().for_each(|(member, value)| object.set_path(&[part, member], value));
            }
            Some(path.to_owned())
        }
        // Volumes have finalizers, and stay.
        "DELETE" if path.contains("/pods/") => {
            objects.get_mut(path)?.remove_path(&["spec", "nodeName"]);
            Some(path.to_owned())
        }
        _ => None,
    }
}

#[test]
fn changes_are_counted_by_what_upstream_calls_them() {
    let noted = Arc::new(crate::tally::Noted::default());
    let relations = Relations::counted(noted.clone());
    let object = value!({"metadata": {"name": "a", "namespace": "ns"}, "spec": {"nodeName": "n"}});
    for kind in [Kind::Pod, Kind::Volume, Kind::Attachment, Kind::Slice, Kind::CertificateRequest] {
        relations.put(kind, &object);
        relations.remove(Name { kind, namespace: "ns", name: "a" });
        relations.forget(Name { kind, namespace: "ns", name: "b" });
    }
    let whats = ["Pod", "PV", "VolumeAttachment", "ResourceSlice", "PodCertificateRequest"];
    let expected: Vec<String> = whats.iter().flat_map(|what| [format!("Add{what}"), format!("Delete{what}")]).collect();
    assert_eq!(noted.take(), expected);
}

#[test]
fn decisions_are_those_of_upstream() {
    let relations = Arc::new(Relations::default());
    let authorizer = authorizer(&relations);
    let (mut objects, mut asked, mut allowed) = (std::collections::BTreeMap::new(), 0, 0);
    for line in RECORDED.lines().skip(1).map(read) {
        if let Some(path) = change(&mut objects, &line) {
            let object = &objects[&path];
            let kind = match object.str("kind") {
                "Pod" => Kind::Pod,
                "PersistentVolume" => Kind::Volume,
                "VolumeAttachment" => Kind::Attachment,
                "ResourceSlice" => Kind::Slice,
                _ => continue,
            };
            relations.put(kind, object);
        }
        let (spec, expected) = (line.at("ask"), line.at("said"));
        if spec.is_null() {
            continue;
        }
        let decision = crate::at_once(authorizer.decide(&review::user(spec), &review::attributes(spec)));
        assert_eq!(review::status(&decision, spec), *expected, "{spec:?}");
        asked += 1;
        allowed += usize::from(expected.bool("allowed"));
    }
    assert!(asked >= 500 && allowed * 8 > asked, "{allowed} of {asked}");
}
