//! Configurations that are right, and what is said of others.

use api::value;

use super::*;

fn webhook() -> Value {
    value!({"timeout": "3s", "subjectAccessReviewVersion": "v1", "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/there"}})
}

fn look(path: &str) -> Result<bool, String> {
    match path {
        "/there" => Ok(true),
        "/folder" => Ok(false),
        _ => Err(format!("stat {path}: no such file or directory")),
    }
}

fn wrong(authorizers: Value) -> String {
    let read = read(&value!({"authorizers": (authorizers)}), &look);
    read.err().map(|errors| errors.message()).unwrap_or_default()
}

fn with(path: &[&str], found: Value) -> String {
    let mut webhook = webhook();
    webhook.set_path(path, found);
    wrong(value!([{"type": "Webhook", "name": "w", "webhook": (webhook)}]))
}

#[test]
fn a_chain_is_read_with_its_defaults() {
    let mut second = webhook();
    second.set("cacheAuthorizedRequests", false);
    second.set("unauthorizedTTL", "1s");
    let tree = value!({"authorizers": [{"type": "Webhook", "name": "a", "webhook": (webhook())},
        {"type": "RBAC", "name": "rbac"}, {"type": "Webhook", "name": "b", "webhook": (second)}]});
    let found = read(&tree, &look).map_err(|errors| errors.message()).expect("it is right");
    let kept: Vec<(i64, i64)> = found
        .iter()
        .filter_map(|one| one.webhook.as_ref())
        .map(|webhook| (webhook.settings.allowed_nanos / SECOND, webhook.settings.refused_nanos / SECOND))
        .collect();
    assert_eq!(kept, [(300, 30), (0, 1)]);
    assert_eq!(check_modes(&found, &["RBAC".to_owned()]), Ok(()));
    let missing = check_modes(&found, &["RBAC".to_owned(), "Node".to_owned()]);
    assert_eq!(missing, Err("missing required types: [Node]".to_owned()));
}

#[test]
fn what_is_wrong_is_said_in_upstreams_words() {
    let modes = r#""ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook""#;
    let cases = [
        (wrong(value!([])), "authorizers: Required value: at least one authorization mode must be defined".to_owned()),
        (wrong(value!([{"name": "x"}])), "authorizers[0].type: Required value".to_owned()),
        (
            wrong(value!([{"type": "X", "name": "x"}])),
            format!("authorizers[0].type: Unsupported value: \"X\": supported values: {modes}"),
        ),
        (
            wrong(value!([{"type": "RBAC", "name": "a"}, {"type": "RBAC", "name": "b"}])),
            "authorizers[1].type: Duplicate value: \"RBAC\"".to_owned(),
        ),
        (
            wrong(value!([{"type": "RBAC", "name": "a", "webhook": {}}])),
            "authorizers[0].webhook: Invalid value: \"non-null\": may only be specified when type=Webhook".to_owned(),
        ),
        (with(&["timeout"], value!("31s")), "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s".to_owned()),
        (with(&["timeout"], value!("0s")), "authorizers[0].timeout: Required value".to_owned()),
        (with(&["authorizedTTL"], value!("-1s")), "authorizers[0].authorizedTTL: Invalid value: \"-1s\": must be > 0s".to_owned()),
        (
            with(&["subjectAccessReviewVersion"], value!("v2")),
            "authorizers[0].subjectAccessReviewVersion: Unsupported value: \"v2\": supported values: \"v1\", \"v1beta1\"".to_owned(),
        ),
        (with(&["failurePolicy"], value!("")), "authorizers[0].failurePolicy: Required value".to_owned()),
        (
            with(&["connectionInfo", "kubeConfigFile"], value!("here")),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"here\": must be an absolute path".to_owned(),
        ),
        (
            with(&["connectionInfo", "kubeConfigFile"], value!("/gone")),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/gone\": error loading file: stat /gone: no such file or directory".to_owned(),
        ),
        (
            with(&["connectionInfo", "kubeConfigFile"], value!("/folder")),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/folder\": must be a regular file".to_owned(),
        ),
        (
            with(&["matchConditions"], value!([{"expression": "true"}])),
            "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified".to_owned(),
        ),
    ];
    for (found, words) in cases {
        assert_eq!(found, words);
    }
    let named = read(&value!({"authorizers": [{"type": "RBAC", "name": "x"}]}), &look);
    let named = named.map_err(|errors| errors.message()).expect("names are another matter");
    assert_eq!(check_modes(&named, &[]), Err("expected name rbac for authorizer RBAC instead of x".to_owned()));
}
