//! Messages and the order of modes.

use super::*;
use api::{Value, value};

fn user(name: &str, groups: &[&str]) -> Arc<User> {
    Arc::new(User::new(name, groups))
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

fn nobody_may() -> Authorizer {
    Authorizer::new(vec![Box::new(Rbac { index: Arc::default() })])
}

fn message(attributes: Attributes) -> String {
    crate::at_once(nobody_may().authorize(&user("x", &[]), attributes)).expect_err("refused").message().to_owned()
}

#[test]
fn refusals_read_as_upstreams() {
    assert_eq!(
        message(list_pods()),
        r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default""#
    );
    assert_eq!(
        message(Attributes { namespace: String::new(), name: "p".to_owned(), verb: "get".to_owned(), ..list_pods() }),
        r#"pods "p" is forbidden: User "x" cannot get resource "pods" in API group "" at the cluster scope"#
    );
    assert_eq!(
        message(Attributes {
            group: "apps".to_owned(),
            resource: "deployments".to_owned(),
            subresource: "scale".to_owned(),
            name: "d".to_owned(),
            ..list_pods()
        }),
        r#"deployments.apps "d" is forbidden: User "x" cannot list resource "deployments/scale" in API group "apps" in the namespace "default""#
    );
    let path = Attributes { verb: "get".to_owned(), path: "/metrics".to_owned(), ..Attributes::default() };
    assert_eq!(message(path), r#"forbidden: User "x" cannot get path "/metrics""#);
    let markup = Attributes { verb: "get".to_owned(), path: "/<b>&".to_owned(), ..Attributes::default() };
    assert_eq!(message(markup), r#"forbidden: User "x" cannot get path "/&lt;b&gt;&amp;""#);
}

#[test]
fn a_refusal_is_a_403_about_its_target() {
    let status = crate::at_once(nobody_may().authorize(&user("x", &[]), list_pods())).expect_err("refused");
    assert_eq!((status.code(), status.reason()), (403, api::Reason::Forbidden));
    let details = status.failure().details.as_ref().expect("it has details");
    assert_eq!((details.kind.as_str(), details.group.as_str(), details.name.as_str()), ("pods", "", ""));
}

#[test]
fn masters_pass_every_mode() {
    let authorizer = Authorizer::new(vec![Box::new(AlwaysDeny)]);
    let proof =
        crate::at_once(authorizer.authorize(&user("root", &["a", "system:masters"]), list_pods())).expect("allowed");
    assert_eq!(proof.user().name, "root");
    assert_eq!(proof.attributes().resource, "pods");
    assert_eq!(crate::at_once(proof.also(&authorizer, "create")).expect("allowed").attributes().verb, "create");
    assert!(crate::at_once(authorizer.authorize(&user("root", &["system:masters2"]), list_pods())).is_err());
}

#[test]
fn proof_of_one_verb_is_none_of_another() {
    let index = Arc::new(Index::default());
    index.put(&value!({"kind": "ClusterRole", "metadata": {"name": "update"}, "rules": [
        {"verbs": ["update"], "apiGroups": [""], "resources": ["pods"]}]}));
    index.put(&value!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "update"}, "subjects": [{"kind": "User", "name": "x"}]}));
    let authorizer = Authorizer::new(vec![Box::new(Rbac { index })]);
    let update = Attributes { verb: "update".to_owned(), ..list_pods() };
    let proof = crate::at_once(authorizer.authorize(&user("x", &[]), update)).expect("allowed");
    let refused = crate::at_once(proof.also(&authorizer, "create")).expect_err("refused").message().to_owned();
    assert!(refused.contains(r#"cannot create resource "pods""#), "{refused}");
}

/// Says what it is told to.
struct Says(&'static str, Decision);

impl Mode for Says {
    fn name(&self) -> &str {
        self.0
    }

    fn word(&self) -> &'static str {
        "Test"
    }

    fn decide(&self, _: &User, _: &Attributes) -> Decision {
        self.1.clone()
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        Rules { incomplete: true, errors: vec!["partly".to_owned()], ..Rules::default() }
    }
}

#[test]
fn the_first_that_decides_ends_the_matter() {
    let none = || Box::new(Says("a", Decision::no_opinion("not mine")));
    let deny = || Decision { verdict: Verdict::Deny, reason: "never".to_owned(), error: None };
    let allow = || Box::new(Says("c", Decision::allow("yes")));
    let decide =
        |modes: Vec<Box<dyn Mode>>| crate::at_once(Authorizer::new(modes).decide(&User::new("x", &[]), &list_pods()));
    assert_eq!(decide(vec![none(), allow()]), Decision::allow("yes"));
    assert_eq!(decide(vec![none(), Box::new(Says("b", deny())), allow()]), deny());
    assert_eq!(decide(vec![none(), Box::new(AlwaysDeny)]).reason, "a: not mine\nalwaysdeny: Everything is forbidden.");
    assert_eq!(decide(vec![]).verdict, Verdict::NoOpinion);
}

#[test]
fn an_error_while_refusing_is_the_servers() {
    let broken = || Decision { error: Some("no answer".to_owned()), ..Decision::no_opinion("") };
    let authorizer = Authorizer::new(vec![Box::new(Says("webhook", broken()))]);
    let status = crate::at_once(authorizer.authorize(&user("x", &[]), list_pods())).expect_err("refused");
    assert_eq!(status.code(), 500);
    let allowed = Authorizer::new(vec![Box::new(Says("webhook", broken())), Box::new(AlwaysAllow)]);
    assert!(crate::at_once(allowed.authorize(&user("x", &[]), list_pods())).is_ok());
}

#[test]
fn reviews_are_read_and_answered() {
    let spec = value!({"user": "x", "groups": ["g"], "uid": "1", "extra": {"k": ["v"]}, "resourceAttributes": {
        "verb": "get", "group": "apps", "resource": "deployments", "subresource": "scale", "namespace": "n", "name": "d"}});
    let user = review::user(&spec);
    assert_eq!((user.name.as_str(), user.uid.as_str(), user.groups.len()), ("x", "1", 1));
    assert_eq!(user.extra["k"], ["v"]);
    let attributes = review::attributes(&spec);
    assert_eq!((attributes.version.as_str(), attributes.subresource.as_str()), ("*", "scale"));
    let path = review::attributes(&value!({"nonResourceAttributes": {"verb": "get", "path": "/x"}}));
    assert!(!path.is_resource && path.path == "/x");
    assert_eq!(
        review::status(&Decision::allow("because"), Value::NULL),
        value!({"allowed": true, "reason": "because"})
    );
    let denied = Decision { verdict: Verdict::Deny, reason: String::new(), error: Some("e".to_owned()) };
    assert_eq!(
        review::status(&denied, Value::NULL),
        value!({"allowed": false, "denied": true, "evaluationError": "e"})
    );
}

#[test]
fn selectors_of_reviews_are_read_as_far_as_they_can_be() {
    let read = |fields: Value, labels: Value| {
        let spec = value!({"resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": fields, "labelSelector": labels}});
        let attributes = review::attributes(&spec);
        let status = review::status(&Decision::no_opinion(""), &spec);
        (attributes.field_selector, attributes.label_selector, status.str("evaluationError").to_owned())
    };
    let raw = read(value!({"rawSelector": "spec.nodeName==n"}), value!({"rawSelector": "a in (b)"}));
    assert_eq!(raw, ("spec.nodeName=n".into(), "a in (b)".into(), String::new()));
    let in_parts = read(
        value!({"requirements": [{"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "NotIn", "values": ["d=,"]}]}),
        value!({"requirements": [{"key": "e", "operator": "Exists"}]}),
    );
    assert_eq!(in_parts, ("a=b,c!=d\\=\\,".into(), "e".into(), String::new()));
    let unknown = read(
        value!({"requirements": [{"key": "a", "operator": "In", "values": ["b"]}, {"key": "c", "operator": "In", "values": ["d", "e"]}]}),
        value!({"rawSelector": "!!"}),
    );
    let errors = "spec.resourceAttributes.fieldSelector partially ignored due to parse error; spec.resourceAttributes.labelSelector ignored due to parse error";
    assert_eq!(unknown, ("a=b".into(), String::new(), errors.into()));
}

#[test]
fn lists_of_rules_are_joined() {
    let authorizer = Authorizer::new(vec![Box::new(AlwaysAllow), Box::new(Says("w", Decision::no_opinion("")))]);
    let status = authorizer.rules(&User::new("x", &[]), "n").to_status();
    assert_eq!(
        status,
        value!({"resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": true, "evaluationError": "partly"})
    );
}
