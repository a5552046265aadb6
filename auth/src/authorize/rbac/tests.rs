//! Which bindings apply, which rules match, and what is said about it.

use api::{Value, value};

use super::*;
use crate::authorize::Verdict;

fn rules(rules: &[(&str, &str, &str)]) -> Value {
    let split = |text: &str| text.split(',').filter(|t| *t != "-").map(Value::str_of).collect::<Value>();
    rules
        .iter()
        .map(|(verbs, groups, resources)| {
            let mut rule = Value::object();
            rule.set("verbs", split(verbs));
            rule.set("apiGroups", split(groups));
            rule.set("resources", split(resources));
            rule
        })
        .collect()
}

fn role(kind: &str, namespace: &str, name: &str, list: Value) -> Value {
    value!({"kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": list})
}

fn binding(namespace: &str, name: &str, role: (&str, &str), subject: (&str, &str, &str)) -> Value {
    let kind = if namespace.is_empty() { "ClusterRoleBinding" } else { "RoleBinding" };
    value!({"kind": kind, "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"kind": (role.0), "name": (role.1)},
        "subjects": [{"kind": "User", "name": "nobody"},
            {"kind": (subject.0), "namespace": (subject.1), "name": (subject.2)}]})
}

fn index(objects: &[Value]) -> Rbac {
    let index = Index::default();
    index.replace(objects);
    Rbac { index: Arc::new(index) }
}

fn ask(verb: &str, resource: &str, namespace: &str) -> Attributes {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes {
        verb: verb.to_owned(),
        is_resource: true,
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        ..Attributes::default()
    }
}

fn allowed(rbac: &Rbac, user: &User, asked: &Attributes) -> bool {
    rbac.decide(user, asked).verdict == Verdict::Allow
}

#[test]
fn reasons_name_the_binding() {
    let rbac = index(&[
        role("ClusterRole", "", "view", rules(&[("get", "", "pods")])),
        role("Role", "ns", "edit", rules(&[("update", "", "pods")])),
        binding("", "everyone", ("ClusterRole", "view"), ("Group", "", "devs")),
        binding("ns", "local", ("Role", "edit"), ("ServiceAccount", "", "robot")),
    ]);
    let dev = User::new("dev", &["devs"]);
    assert_eq!(
        rbac.decide(&dev, &ask("get", "pods", "any")).reason,
        r#"RBAC: allowed by ClusterRoleBinding "everyone" of ClusterRole "view" to Group "devs""#
    );
    let robot = User::new("system:serviceaccount:ns:robot", &[]);
    assert_eq!(
        rbac.decide(&robot, &ask("update", "pods", "ns")).reason,
        r#"RBAC: allowed by RoleBinding "local/ns" of Role "edit" to ServiceAccount "robot/ns""#
    );
    assert!(!allowed(&rbac, &robot, &ask("update", "pods", "other")));
    assert!(!allowed(&rbac, &robot, &ask("update", "pods", "")));
    assert_eq!(rbac.decide(&dev, &ask("delete", "pods", "any")), Decision::no_opinion(""));
}

#[test]
fn subjects() {
    let view = || role("ClusterRole", "", "view", rules(&[("get", "", "pods")]));
    let to = |namespace: &str, subject| index(&[view(), binding(namespace, "b", ("ClusterRole", "view"), subject)]);
    let asked = ask("get", "pods", "ns");
    let robot = User::new("system:serviceaccount:ns:robot", &["system:serviceaccounts"]);
    assert!(allowed(&to("", ("User", "", "system:serviceaccount:ns:robot")), &robot, &asked));
    assert!(allowed(&to("", ("ServiceAccount", "ns", "robot")), &robot, &asked));
    assert!(!allowed(&to("", ("ServiceAccount", "", "robot")), &robot, &asked));
    assert!(!allowed(&to("ns", ("ServiceAccount", "other", "robot")), &robot, &asked));
    assert!(!allowed(&to("", ("Group", "", "system:serviceaccount:ns:robot")), &robot, &asked));
    assert!(!allowed(&to("", ("User", "", "system:serviceaccounts")), &robot, &asked));
    assert!(!allowed(&to("", ("Robot", "", "system:serviceaccount:ns:robot")), &robot, &asked));
}

#[test]
fn missing_roles_are_told_and_do_not_hide_others() {
    let rbac = index(&[
        role("ClusterRole", "", "view", rules(&[("get", "", "pods")])),
        binding("", "a", ("ClusterRole", "gone"), ("User", "", "x")),
        binding("", "b", ("ClusterRole", "view"), ("User", "", "x")),
        binding("ns", "c", ("Role", "gone"), ("User", "", "x")),
        binding("ns", "d", ("Rule", "odd"), ("User", "", "x")),
    ]);
    let x = User::new("x", &[]);
    assert!(allowed(&rbac, &x, &ask("get", "pods", "ns")));
    assert_eq!(
        rbac.decide(&x, &ask("list", "pods", "")).reason,
        r#"RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found"#
    );
    assert_eq!(
        rbac.decide(&x, &ask("list", "pods", "ns")).reason,
        r#"RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, role.rbac.authorization.k8s.io "gone" not found, unsupported role reference kind: "Rule"]"#
    );
}

#[test]
fn a_cluster_binding_to_a_role_gives_nothing() {
    let rbac = index(&[
        role("Role", "ns", "edit", rules(&[("*", "*", "*")])),
        binding("", "b", ("Role", "edit"), ("User", "", "x")),
    ]);
    assert!(!allowed(&rbac, &User::new("x", &[]), &ask("get", "pods", "ns")));
}

#[test]
fn changes_are_taken_in_one_by_one() {
    let rbac = index(&[role("ClusterRole", "", "view", rules(&[("get", "", "pods")]))]);
    let (x, y) = (User::new("x", &[]), User::new("y", &[]));
    let asked = ask("get", "pods", "ns");
    let before = rbac.index.policy();
    rbac.index.put(&binding("ns", "b", ("ClusterRole", "view"), ("User", "", "x")));
    assert!(allowed(&rbac, &x, &asked));
    rbac.index.put(&binding("ns", "b", ("ClusterRole", "view"), ("User", "", "y")));
    assert!(!allowed(&rbac, &x, &asked));
    assert!(allowed(&rbac, &y, &asked));
    rbac.index.put(&role("ClusterRole", "", "view", rules(&[("list", "", "pods")])));
    assert!(!allowed(&rbac, &y, &asked));
    assert!(allowed(&rbac, &y, &ask("list", "pods", "ns")));
    rbac.index.remove(&role("ClusterRole", "", "view", Value::Null));
    assert!(rbac.decide(&y, &asked).reason.contains("not found"));
    rbac.index.remove(&binding("ns", "b", ("", ""), ("", "", "")));
    assert_eq!(rbac.decide(&y, &asked), Decision::no_opinion(""));
    // A snapshot that was taken earlier has not changed.
    assert!(before.role(&index::RoleRef { kind: "ClusterRole".into(), name: "view".into() }, "").is_some());
}

#[test]
fn rules_match_as_upstreams() {
    let may = |rule: (&str, &str, &str), verb: &str, resource: &str| {
        let rbac = index(&[
            role("ClusterRole", "", "r", rules(&[rule])),
            binding("", "b", ("ClusterRole", "r"), ("User", "", "x")),
        ]);
        allowed(&rbac, &User::new("x", &[]), &ask(verb, resource, ""))
    };
    assert!(may(("*", "*", "*"), "get", "pods/log"));
    assert!(may(("get,list", "apps,", "nodes,pods"), "list", "pods"));
    assert!(!may(("get", "apps", "pods"), "get", "pods"));
    assert!(!may(("get", "", "pods"), "get", "pods/log"));
    assert!(may(("get", "", "pods/log"), "get", "pods/log"));
    assert!(!may(("get", "", "pods/log"), "get", "pods"));
    assert!(may(("get", "", "*/log"), "get", "pods/log"));
    assert!(!may(("get", "", "*/log"), "get", "pods"));
    assert!(!may(("get", "", "pods/*"), "get", "pods/log"));
    assert!(!may(("get", "-", "pods"), "get", "pods"));
}

#[test]
fn names_and_paths() {
    let named = value!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
        {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]}]);
    let rbac = index(&[role("ClusterRole", "", "r", named), binding("", "b", ("ClusterRole", "r"), ("User", "", "x"))]);
    let x = User::new("x", &[]);
    assert!(allowed(&rbac, &x, &Attributes { name: "a".to_owned(), ..ask("get", "pods", "n") }));
    assert!(!allowed(&rbac, &x, &Attributes { name: "b".to_owned(), ..ask("get", "pods", "n") }));
    assert!(!allowed(&rbac, &x, &ask("get", "pods", "n")));
    let path = |path: &str| Attributes { verb: "get".to_owned(), path: path.to_owned(), ..Attributes::default() };
    for (asked, expected) in
        [("/metrics", true), ("/metrics/x", false), ("/logs/", true), ("/logs/a/b", true), ("/logs", false)]
    {
        assert_eq!(allowed(&rbac, &x, &path(asked)), expected, "{asked}");
    }
    let status = rbac.rules(&x, "n").to_status();
    assert_eq!(
        status,
        value!({"resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]}], "incomplete": false})
    );
}

const POLICY: &str = include_str!("../../../../schema/facts/bootstrap_roles.json");

/// Who edits a namespace, or administers it, says nothing about where its services lead.
#[test]
fn cve_2021_25740_who_edits_a_namespace_writes_no_endpoints() {
    let policy: Value = serde_json::from_str(POLICY).expect("it is JSON");
    // What a controller sums up into view, edit and admin: each role by the roles that say so in a label.
    let aggregates =
        |role: &Value| role.at("metadata").at("labels").members().any(|(key, _)| key.contains("aggregate-to-"));
    let mut objects: Vec<Value> = Vec::new();
    for fact in policy.list("clusterRoles").iter().filter(|role| aggregates(role)) {
        let name = fact.at("metadata").str("name").to_owned();
        let mut role = fact.clone();
        role.set("kind", "ClusterRole");
        objects.extend([role, binding("ns", &name, ("ClusterRole", &name), ("User", "", "editor"))]);
    }
    assert!(objects.len() > 5, "{objects:?}");
    let (rbac, editor) = (index(&objects), User::new("editor", &[]));
    assert!(allowed(&rbac, &editor, &ask("create", "services", "ns")), "the roles are those that were meant");
    assert!(allowed(&rbac, &editor, &ask("list", "endpoints", "ns")));
    for verb in ["create", "update", "patch", "delete", "deletecollection"] {
        assert!(!allowed(&rbac, &editor, &ask(verb, "endpoints", "ns")), "{verb}");
        let slices = Attributes { group: "discovery.k8s.io".to_owned(), ..ask(verb, "endpointslices", "ns") };
        assert!(!allowed(&rbac, &editor, &slices), "{verb}");
        // Nor where an address from outside leads.
        assert!(!allowed(&rbac, &editor, &ask(verb, "services/status", "ns")), "{verb}");
    }
}
