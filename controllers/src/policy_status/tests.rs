//! What is told of policies, with a server's documents.

use client::fake::Fake;
use jiff::Timestamp;

use super::*;
use crate::driver::Settings;
use client::mirror::Key;

const PATH: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/p";

/// A server that has deployments and limits.
fn server() -> Arc<Fake> {
    let fake = Fake::new();
    fake.serve(&[]);
    let deployments = value!({
        "resource": "deployments", "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
        "scope": "Namespaced", "verbs": ["get"]
    });
    let apps = value!({"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [deployments]}]});
    fake.put("/apis", value!({"kind": "APIGroupDiscoveryList", "items": [apps]}));
    let kind = |group: &str, kind: &str| value!([{"group": group, "version": "v1", "kind": kind}]);
    let reference = |name: &str| value!({"allOf": [{"$ref": (format!("#/components/schemas/{name}"))}], "default": {}});
    fake.put(
        "/openapi/v3/apis/apps/v1",
        value!({"components": {"schemas": {
            "Deployment": {
                "type": "object", "x-kubernetes-group-version-kind": (kind("apps", "Deployment")),
                "properties": {"spec": (reference("Spec"))}
            },
            "Spec": {"type": "object", "properties": {
                "replicas": {"type": "integer"}, "surge": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
                "cpu": {"oneOf": [{"type": "string"}, {"type": "number"}]}, "within": (reference("Spec")),
                "labels": {"type": "object", "additionalProperties": {"type": "string"}}
            }}
        }}}),
    );
    fake.put(
        "/openapi/v3/apis/example.com/v1",
        value!({"components": {"schemas": {"Limit": {
            "type": "object", "x-kubernetes-group-version-kind": (kind("example.com", "Limit")),
            "properties": {"most": {"type": "integer"}}
        }}}}),
    );
    fake
}

/// The status that a policy gets; none when nothing is written.
async fn told(spec: Value, observed: i64) -> Option<Value> {
    let fake = server();
    let rule =
        value!({"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments", "deployments/scale"]});
    let mut policy = value!({
        "metadata": {"name": "p", "generation": 2}, "spec": spec, "status": {"observedGeneration": observed}
    });
    if !policy.at("spec").has("matchConstraints") {
        policy.entry("spec").set("matchConstraints", value!({"resourceRules": [rule]}));
    }
    fake.put(PATH, policy.clone());
    let mut there = Value::object();
    there.set(POLICIES, value!([policy]));
    let mirrors = crate::driver::cases::mirrors(&SPEC, &there);
    let (settings, key) = (Settings::default(), Key::new("", "p"));
    let world = World { key: &key, now: Timestamp::UNIX_EPOCH, mirrors: &mirrors, settings: &settings };
    TypeChecker.step(&world, &fake.client()).await.expect("nothing is in the way");
    let written = fake.writes();
    assert!(written.len() <= 1, "{written:?}");
    (!written.is_empty()).then(|| fake.get(PATH).expect("it is there").at("status").clone())
}

fn expects(expression: &str) -> Value {
    value!({"validations": [{"expression": "true"}, {"expression": expression}]})
}

async fn warning(spec: Value) -> Option<String> {
    let status = told(spec, 1).await.expect("its status is written");
    assert_eq!(status.int("observedGeneration"), 2);
    let warnings = status.at("typeChecking").list("expressionWarnings").to_vec();
    assert!(warnings.len() <= 1, "{warnings:?}");
    Some(format!("{}: {}", warnings.first()?.str("fieldRef"), warnings[0].str("warning")))
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_its_place() {
    let text = "spec.validations[1].expression: apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'wrong'\n | object.spec.wrong == 1\n | ...........^\n";
    assert_eq!(warning(expects("object.spec.wrong == 1")).await.as_deref(), Some(text));
    for fits in [
        "object.spec.replicas > 1 && oldObject.spec.surge == '1' && quantity(object.spec.cpu).isInteger()",
        "object.metadata.name == 'a' && object.kind == 'b' && object.spec.labels['a'] == 'b'",
        "object.spec.within != null || request.operation == 'CREATE' || authorizer.path('/').check('get').allowed()",
    ] {
        assert_eq!(warning(expects(fits)).await, None, "{fits}");
    }
    for wrong in
        ["object.spec.replicas == 'a'", "object.spec.within.replicas == 1", "params.x == 1", "variables.x == 1"]
    {
        assert!(warning(expects(wrong)).await.is_some(), "{wrong}");
    }
}

#[tokio::test]
async fn variables_and_parameters_have_types_too() {
    let with = |name: &str, member: Value, expression: &str| {
        let mut spec = expects(expression);
        spec.set(name, member);
        spec
    };
    let variables = || value!([{"name": "x", "expression": "object.spec.replicas"}]);
    assert_eq!(warning(with("variables", variables(), "variables.x > 1")).await, None);
    assert!(warning(with("variables", variables(), "variables.x == 'a'")).await.is_some());
    let kind = |kind: &str| value!({"apiVersion": "example.com/v1", "kind": kind});
    assert_eq!(warning(with("paramKind", kind("Limit"), "params.most > 1")).await, None);
    assert!(warning(with("paramKind", kind("Limit"), "params.least > 1")).await.is_some());
    assert_eq!(warning(with("paramKind", kind("Unknown"), "params.least > 1")).await, None);
}

#[tokio::test]
async fn what_names_no_types_and_what_was_seen_is_left_alone() {
    let all = value!({"resourceRules": [{"apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["deployments"]}]});
    let mut spec = expects("object.spec.wrong == 1");
    spec.set("matchConstraints", all);
    assert_eq!(warning(spec).await, None);
    assert_eq!(told(expects("object.spec.wrong == 1"), 2).await, None);
}
