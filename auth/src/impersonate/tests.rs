//! What the headers ask for, and what is answered.

use std::sync::Arc;

use api::{Value, value};
use http::HeaderValue;

use super::*;
use crate::authorize::{Index, Rbac};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

/// `me` (and the account `agent`) have these rules everywhere.
fn world(rules: Value) -> Authorizer {
    let index = Arc::new(Index::default());
    index.put(&value!({"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": rules}));
    index.put(&value!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "me"}, {"kind": "ServiceAccount", "namespace": "ns", "name": "agent"}]}));
    Authorizer::new(vec![Box::new(Rbac { index })])
}

fn plain(resources: &[&str]) -> Value {
    let resources: Value = resources.iter().map(|resource| Value::from(*resource)).collect();
    value!([{"verbs": ["impersonate"], "apiGroups": ["", "authentication.k8s.io"], "resources": resources}])
}

fn list_pods() -> Attributes {
    Attributes {
        verb: "list".to_owned(),
        is_resource: true,
        resource: "pods".to_owned(),
        namespace: "default".to_owned(),
        ..Attributes::default()
    }
}

fn ask(authorizer: &Authorizer, pairs: &[(&'static str, &str)]) -> Result<Impersonated, Status> {
    let wanted = wanted(&headers(pairs))?.expect("somebody is wanted");
    crate::at_once(authorize(authorizer, &Noon, &User::new("me", &[]), &wanted, &list_pods()))
}

#[test]
fn headers_are_read() {
    let found = wanted(&headers(&[
        ("Impersonate-User", "bob"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme.io%2fScope", "x"),
        ("Impersonate-Extra-acme.io%2fscope", "y"),
    ]));
    let found = found.expect("well-formed").expect("wanted");
    assert_eq!((found.name.as_str(), found.uid.as_str()), ("bob", "7"));
    assert_eq!(found.groups, ["a", "b"]);
    assert_eq!(found.extra["acme.io/scope"], ["x", "y"]);
    assert_eq!(wanted(&headers(&[("accept", "x")])), Ok(None));
}

#[test]
fn a_group_without_a_user_is_a_mistake() {
    let status = wanted(&headers(&[("Impersonate-Group", "a"), ("Impersonate-Extra-k", "v")])).expect_err("refused");
    assert_eq!(status.code(), 400);
    let expected = r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"a"}, Extra:map[string][]string{"k":[]string{"v"}}} without impersonating a user name"#;
    assert_eq!(status.message(), expected);
}

#[test]
fn headers_are_taken_out() {
    let mut headers = headers(&[("impersonate-user", "a"), ("impersonate-extra-x", "b"), ("accept", "c")]);
    clear(&mut headers);
    assert_eq!(headers.len(), 1);
}

#[test]
fn plain_impersonation_asks_about_every_part() {
    let all = world(plain(&["users", "groups", "uids", "userextras/acme.io/scope"]));
    let pairs = [
        ("Impersonate-User", "bob"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme.io%2fScope", "x"),
    ];
    let got = ask(&all, &pairs).expect("allowed");
    assert_eq!(got.user.groups, ["a", "system:authenticated"]);
    assert_eq!(got.constraint, "");
    for missing in ["users", "groups", "uids", "userextras/acme.io/scope"] {
        let rest: Vec<&str> =
            ["users", "groups", "uids", "userextras/acme.io/scope"].into_iter().filter(|r| *r != missing).collect();
        assert!(ask(&world(plain(&rest)), &pairs).is_err(), "{missing}");
    }
}

#[test]
fn the_first_modes_refusal_is_told() {
    let message =
        |pairs: &[(&'static str, &str)]| ask(&world(value!([])), pairs).expect_err("refused").message().to_owned();
    assert_eq!(
        message(&[("Impersonate-User", "bob")]),
        r#"pods is forbidden: User "me" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "default""#
    );
    assert_eq!(
        message(&[("Impersonate-User", "system:serviceaccount:ns:robot")]),
        r#"pods is forbidden: User "me" cannot impersonate-on:serviceaccount:list resource "pods" in API group "" in the namespace "default""#
    );
    // No constrained mode is for an account with a group.
    assert_eq!(
        message(&[("Impersonate-User", "system:serviceaccount:ns:robot"), ("Impersonate-Group", "a")]),
        r#"serviceaccounts "robot" is forbidden: User "me" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "ns""#
    );
}

#[test]
fn groups_that_follow_from_the_name() {
    let all = world(plain(&["users", "groups", "serviceaccounts"]));
    let groups = |pairs: &[(&'static str, &str)]| ask(&all, pairs).expect("allowed").user.groups;
    let robot = "system:serviceaccount:ns:robot";
    assert_eq!(
        groups(&[("Impersonate-User", robot)]),
        ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
    );
    assert_eq!(groups(&[("Impersonate-User", robot), ("Impersonate-Group", "a")]), ["a", "system:authenticated"]);
    assert_eq!(groups(&[("Impersonate-User", "system:anonymous")]), ["system:unauthenticated"]);
    let unauthenticated = [("Impersonate-User", "bob"), ("Impersonate-Group", "system:unauthenticated")];
    assert_eq!(groups(&unauthenticated), ["system:unauthenticated"]);
}

fn constrained(mode: &str, resources: &str) -> Value {
    let (user, on) = (format!("impersonate:{mode}"), format!("impersonate-on:{mode}:list"));
    value!([{"verbs": [user], "apiGroups": ["authentication.k8s.io"], "resources": [resources]},
        {"verbs": [on], "apiGroups": [""], "resources": ["pods"]}])
}

#[test]
fn constrained_impersonation_is_bound_to_a_verb() {
    let authorizer = world(constrained("user-info", "users"));
    let got = ask(&authorizer, &[("Impersonate-User", "bob")]).expect("allowed");
    assert_eq!(got.constraint, "impersonate:user-info");
    assert_eq!(got.user.groups, ["system:authenticated"]);
    let delete = Attributes { verb: "delete".to_owned(), ..list_pods() };
    let refused = crate::at_once(authorize(&authorizer, &Noon, &User::new("me", &[]), &User::new("bob", &[]), &delete));
    assert!(refused.is_err());
    assert!(ask(&authorizer, &[("Impersonate-User", "system:node:n")]).is_err());
}

#[test]
fn masters_cannot_be_joined_by_constraint() {
    let rules = constrained("user-info", "*");
    let pairs = [("Impersonate-User", "bob"), ("Impersonate-Group", "system:masters")];
    let refused = ask(&world(rules), &pairs).expect_err("refused").message().to_owned();
    assert!(refused.ends_with("impersonating the system:masters group is not allowed"), "{refused}");
    let got = ask(&world(plain(&["users", "groups"])), &pairs).expect("plain impersonation still may");
    assert!(got.user.is_in("system:masters"));
}

#[test]
fn nodes() {
    let arbitrary = world(constrained("arbitrary-node", "nodes"));
    let got = ask(&arbitrary, &[("Impersonate-User", "system:node:n1")]).expect("allowed");
    assert_eq!(got.user.groups, ["system:nodes", "system:authenticated"]);

    let associated = world(constrained("associated-node", "nodes"));
    let mut agent = User::new("system:serviceaccount:ns:agent", &[]);
    let ask = |agent: &User, node: &str| {
        let wanted = User::new(format!("system:node:{node}"), &[]);
        crate::at_once(authorize(&associated, &Noon, agent, &wanted, &list_pods()))
            .map(|got| (got.user.name, got.constraint))
    };
    assert!(ask(&agent, "n1").is_err());
    agent.extra.insert(NODE_NAME.to_owned(), vec!["n1".to_owned()]);
    assert_eq!(ask(&agent, "n1"), Ok(("system:node:n1".to_owned(), "impersonate:associated-node".to_owned())));
    assert!(ask(&agent, "n2").is_err());
    let mut person = User::new("me", &[]);
    person.extra = agent.extra.clone();
    assert!(ask(&person, "n1").is_err(), "only a service account has a node of its own");
}

#[test]
fn odd_extras_are_refused_by_constraint() {
    let refused = |key: &str, value: &str| {
        let extra = BTreeMap::from([(key.to_owned(), vec![value.to_owned()])]);
        check_extra(&extra).expect_err("refused")
    };
    assert_eq!(
        refused("plain", "v"),
        "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: \"plain\": must be a domain-prefixed path (such as \"acme.io/foo\")"
    );
    assert_eq!(
        refused("acme.io/Foo", "v"),
        "impersonating a non-lowercase key in extra is not allowed: \"acme.io/Foo\""
    );
    assert_eq!(refused("acme.io/foo", ""), "impersonating the empty string value in extra is not allowed");
    assert!(refused("Acme_/foo", "v").contains("a lowercase RFC 1123 subdomain must consist of"));
    assert!(refused("acme.io/fo o", "v").contains("Invalid path (regex used for validation is"));
}
