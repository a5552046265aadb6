//! Whom a bootstrap token makes, and what makes nobody of its bearer.

use api::value;

use super::super::service_account::Head;
use super::*;

/// 2026-01-02T03:04:05Z
const NOW: UnixSeconds = 1_767_323_045;
const TOKEN: &str = "abcdef.0123456789abcdef";

struct One(Value);

impl Lookup for One {
    fn head(&self, _: &str, _: &str, _: &str) -> Option<Head> {
        None
    }

    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let meta = api::meta::of(&self.0);
        let is_it = (resource, namespace, name) == ("secrets", meta.namespace(), meta.name());
        is_it.then(|| Arc::new(self.0.clone()))
    }
}

/// A secret that makes somebody, with other data.
fn held(other: &[(&str, &str)]) -> Value {
    let mut data = Value::object();
    let usual = [
        ("token-id", "abcdef"),
        ("token-secret", "0123456789abcdef"),
        ("usage-bootstrap-authentication", "true"),
        ("expiration", "2026-01-02T03:04:06Z"),
    ];
    for (key, text) in usual.iter().chain(other) {
        data.set(key, STANDARD.encode(text));
    }
    value!({"metadata": {"namespace": "kube-system", "name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token", "data": data})
}

fn ask(held: Value, text: &str, audiences: &[&str]) -> Option<Identity> {
    let tokens = BootstrapTokens { api_audiences: vec!["api".to_owned()], lookup: Arc::new(One(held)) };
    let audiences: Vec<String> = audiences.iter().map(ToString::to_string).collect();
    tokens.authenticate(&Token { text, audiences: &audiences, now: NOW }).expect("nobody is refused here")
}

fn groups_of(held: Value) -> Option<Vec<String>> {
    ask(held, TOKEN, &["api"]).map(|identity| identity.user.groups)
}

#[test]
fn a_token_makes_a_bootstrapper() {
    let found = ask(held(&[]), TOKEN, &["api", "other"]).expect("it is one");
    assert_eq!(found.user, User::new("system:bootstrap:abcdef", &["system:bootstrappers"]));
    assert_eq!(found.audiences, ["api"]);
    assert_eq!(ask(held(&[]), TOKEN, &["other"]), None);
    let more = [("auth-extra-groups", "system:bootstrappers:b,system:bootstrappers:a:x-1,system:bootstrappers:b")];
    let expected = ["system:bootstrappers", "system:bootstrappers:a:x-1", "system:bootstrappers:b"];
    assert_eq!(groups_of(held(&more)).expect("it is one"), expected);
    assert!(groups_of(held(&[("expiration", "")])).is_some(), "it never ends");
}

#[test]
fn what_is_not_right_makes_nobody() {
    let cases = [
        ("token-id", "abcdee"),
        ("token-secret", "0123456789abcdee"),
        ("token-secret", ""),
        ("expiration", "2026-01-02T03:04:05Z"),
        ("expiration", "tomorrow"),
        ("usage-bootstrap-authentication", "yes"),
        ("auth-extra-groups", "system:masters"),
        ("auth-extra-groups", "system:bootstrappers:a,"),
        ("auth-extra-groups", "system:bootstrappers:A"),
        ("auth-extra-groups", "system:bootstrappers:a-"),
    ];
    for case in cases {
        assert_eq!(groups_of(held(&[case])), None, "{case:?}");
    }
    let changed = |path: &[&str], text: &str| {
        let mut held = held(&[]);
        held.set_path(path, text);
        groups_of(held)
    };
    assert_eq!(changed(&["type"], "Opaque"), None);
    assert_eq!(changed(&["metadata", "deletionTimestamp"], "2026-01-02T03:04:05Z"), None);
    assert_eq!(changed(&["metadata", "namespace"], "default"), None);
    for text in ["abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdeF", "abcde.0123456789abcdef", "a.b.c", ""] {
        assert_eq!(ask(held(&[]), text, &["api"]), None, "{text}");
    }
}
