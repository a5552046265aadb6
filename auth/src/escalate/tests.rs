//! What may be handed out, by whom, and how a refusal reads.

use std::sync::Arc;

use api::{Reason, value};

use super::*;
use crate::authorize::{Index, Rbac};

/// `x` may read pods in `ns` and everywhere bind the role `free`.
fn world() -> (Authorizer, Arc<Index>) {
    let index = Arc::new(Index::default());
    let objects = [
        value!({"kind": "ClusterRole", "metadata": {"name": "free"}, "rules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]}),
        value!({"kind": "ClusterRole", "metadata": {"name": "reads"}, "rules": [
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/status"]},
            {"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}]}),
        value!({"kind": "ClusterRole", "metadata": {"name": "binds"}, "rules": [
            {"verbs": ["bind"], "apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["free"]},
            {"verbs": ["escalate"], "apiGroups": [RBAC], "resources": ["roles"]}]}),
        value!({"kind": "RoleBinding", "metadata": {"name": "a", "namespace": "ns"},
            "roleRef": {"kind": "ClusterRole", "name": "reads"}, "subjects": [{"kind": "User", "name": "x"}]}),
        value!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "binds"}, "subjects": [{"kind": "User", "name": "binder"}]}),
    ];
    index.replace(&objects);
    (Authorizer::new(vec![Box::new(Rbac { index: index.clone() })]), index)
}

fn request(resource: &str, namespace: &str) -> Attributes {
    Attributes {
        verb: "create".to_owned(),
        is_resource: true,
        group: RBAC.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        ..Attributes::default()
    }
}

fn write_role(user: &str, namespace: &str, rules: Value) -> Result<(), Status> {
    let (authorizer, index) = world();
    let guard = Guard { authorizer: &authorizer, index: &index };
    let role = value!({"metadata": {"name": "new"}, "rules": rules});
    crate::at_once(guard.role(&User::new(user, &["g"]), &request("roles", namespace), Value::NULL, &role))
}

#[test]
fn held_rights_may_be_given() {
    let held = [
        value!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]),
        value!([{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]),
        value!([{"verbs": ["get"], "apiGroups": [""], "resources": ["services/status"]}]),
        value!([{"verbs": ["get"], "nonResourceURLs": ["/logs/x", "/logs/*"]}]),
        value!([]),
    ];
    for rules in held {
        assert_eq!(write_role("x", "ns", rules.clone()), Ok(()), "{rules:?}");
    }
}

#[test]
fn others_may_not_and_are_listed() {
    let rules = value!([
        {"verbs": ["get", "delete", "watch"], "apiGroups": [""], "resources": ["pods", "secrets"]},
        {"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["a", "b"]},
        {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]);
    let status = write_role("x", "ns", rules).expect_err("refused");
    assert_eq!((status.code(), status.reason()), (403, Reason::Forbidden));
    let expected = r#"roles.rbac.authorization.k8s.io "new" is forbidden: user "x" (groups=["g"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}
{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete" "watch"]}
{APIGroups:["apps"], Resources:["deployments"], ResourceNames:["a"], Verbs:["get"]}
{APIGroups:["apps"], Resources:["deployments"], ResourceNames:["b"], Verbs:["get"]}
{NonResourceURLs:["/metrics"], Verbs:["get"]}"#;
    assert_eq!(status.message(), expected);
}

#[test]
fn rights_of_one_namespace_are_none_of_another() {
    let rules = || value!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    assert!(write_role("x", "other", rules()).is_err());
    assert!(write_role("x", "", rules()).is_err());
    assert_eq!(write_role("binder", "other", rules()), Ok(()), "who may escalate may write any role");
}

#[test]
fn a_name_does_not_cover_all_names() {
    let own = [Rule { resource_names: vec!["a".into()], ..Rule::all_resources() }];
    let all = [Rule::all_resources()];
    assert_eq!(uncovered(&own, &all).len(), 1);
    assert!(uncovered(&all, &own).is_empty());
    assert_eq!(
        uncovered(&own, &[Rule { resource_names: vec!["a".into(), "b".into()], ..Rule::all_resources() }]).len(),
        1
    );
}

#[test]
fn masters_are_free_and_collection_goes_on() {
    let (authorizer, index) = world();
    let guard = Guard { authorizer: &authorizer, index: &index };
    let all = value!({"metadata": {"name": "r"}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]});
    let at = request("clusterroles", "");
    assert_eq!(crate::at_once(guard.role(&User::new("root", &["system:masters"]), &at, Value::NULL, &all)), Ok(()));
    let collector = User::new("collector", &[]);
    assert!(crate::at_once(guard.role(&collector, &at, Value::NULL, &all)).is_err());
    let mut released = all.clone();
    released.set_path(&["metadata", "finalizers"], Value::array(vec![]));
    assert_eq!(crate::at_once(guard.role(&collector, &at, &released, &all)), Ok(()));
    released.set_path(&["metadata", "labels", "a"], "b");
    assert!(crate::at_once(guard.role(&collector, &at, &released, &all)).is_err());
}

#[test]
fn aggregation_needs_everything() {
    let (authorizer, index) = world();
    let guard = Guard { authorizer: &authorizer, index: &index };
    let plain = value!({"metadata": {"name": "r"}, "rules": []});
    let aggregated = value!({"metadata": {"name": "r"}, "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    let (x, at) = (User::new("x", &[]), request("clusterroles", ""));
    let expected = r#"clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the aggregationRule"#;
    assert_eq!(crate::at_once(guard.role(&x, &at, Value::NULL, &plain)), Ok(()));
    for (old, new) in [(Value::NULL, &aggregated), (&aggregated, &plain)] {
        assert_eq!(crate::at_once(guard.role(&x, &at, old, new)).expect_err("refused").message(), expected);
    }
}

#[test]
fn bindings_need_the_rights_of_their_role() {
    let (authorizer, index) = world();
    let guard = Guard { authorizer: &authorizer, index: &index };
    let binding = |role: &str, kind: &str| value!({"metadata": {"name": "new"}, "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}});
    let write = |user: &str, namespace: &str, new: Value| {
        let resource = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
        crate::at_once(guard.binding(&User::new(user, &[]), &request(resource, namespace), Value::NULL, &new))
    };
    assert_eq!(write("x", "ns", binding("reads", "ClusterRole")), Ok(()));
    assert!(write("x", "", binding("reads", "ClusterRole")).is_err());
    let refused = write("x", "ns", binding("free", "ClusterRole")).expect_err("refused").message().to_owned();
    assert_eq!(
        refused,
        "rolebindings.rbac.authorization.k8s.io \"new\" is forbidden: user \"x\" (groups=[]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"
    );
    assert_eq!(write("binder", "", binding("free", "ClusterRole")), Ok(()));
    let gone = write("x", "ns", binding("gone", "Role")).expect_err("refused");
    assert_eq!((gone.code(), gone.message()), (404, "rolebindings.rbac.authorization.k8s.io \"gone\" not found"));
}
