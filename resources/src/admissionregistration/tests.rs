//! Webhooks and policies, as upstream judges them.

use api::value;

use super::*;
use crate::testing::{context, texts};

fn a_hook() -> Value {
    let mut hook = value!({
        "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://a"},
        "rules": [{"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}]
    });
    hook::default_mutating(&mut hook);
    hook
}

fn hooks(list: Vec<Value>) -> Value {
    value!({"metadata": {"name": "a"}, "webhooks": list})
}

#[test]
fn a_hook_is_whole() {
    let rules = &WEBHOOKS.rules;
    assert!((rules.validate)(&hooks(vec![a_hook()]), &context()).is_empty());
    let mut wrong = a_hook();
    wrong.set("sideEffects", "Some");
    wrong.set("timeoutSeconds", 31);
    wrong.set("admissionReviewVersions", value!(["v2", "v2"]));
    wrong.set("clientConfig", Value::object());
    wrong.entry("rules").make_array()[0].set("resources", value!(["a/*", "a/b", "*", "c"]));
    assert_eq!(
        texts(&(rules.validate)(&hooks(vec![a_hook(), wrong]), &context())),
        [
            "webhooks[1].rules[0].resources[1]: Invalid value: \"a/b\": if 'a/*' is present, must not specify a/b",
            "webhooks[1].rules[0].resources: Invalid value: [\"a/*\",\"a/b\",\"*\",\"c\"]: if '*' is present, must not specify other resources without subresources",
            "webhooks[1].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
            "webhooks[1].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            "webhooks[1].clientConfig: Required value: exactly one of url or service is required",
            "webhooks[1].admissionReviewVersions[1]: Invalid value: \"v2\": duplicate version",
            "webhooks[1].admissionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, v1beta1",
            "webhooks[1].name: Duplicate value: \"a.example.com\"",
        ]
    );
}

#[test]
fn what_was_wrong_may_stay_wrong() {
    let mut loud = a_hook();
    loud.set("sideEffects", "Unknown");
    let old = hooks(vec![loud.clone(), loud.clone()]);
    assert!((WEBHOOKS.rules.validate_update)(&old, &old, &context()).is_empty());
    assert_eq!((WEBHOOKS.rules.validate_update)(&old, &hooks(vec![a_hook()]), &context()).len(), 3);
}

#[test]
fn reviews_and_static_names_are_out_of_reach() {
    let mut hook = a_hook();
    let rule = value!({"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews", "tokenreviews"]});
    hook.set("rules", vec![rule]);
    let mut configuration = hooks(vec![hook]);
    assert_eq!(
        (WEBHOOKS.rules.warn)(&configuration, None),
        [
            "webhooks[0].rules[0]: tokenreviews.authentication.k8s.io is excluded from admission webhooks; this rule will have no effect"
        ]
    );
    configuration.set_path(&["metadata", "name"], "a.static.k8s.io");
    let found = texts(&(WEBHOOKS.rules.validate)(&configuration, &context()));
    assert!(found.last().is_some_and(|t| t.starts_with(
        "metadata.name: Invalid value: \"a.static.k8s.io\": names ending with \".static.k8s.io\" are reserved"
    )));
}

fn a_policy() -> Value {
    let mut policy = value!({"metadata": {"name": "a"}, "spec": {
        "matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}]},
        "validations": [{"expression": "true"}]
    }});
    default_failure(policy.entry("spec"));
    rule::default_match(policy.entry_path(&["spec", "matchConstraints"]));
    policy
}

#[test]
fn a_policy_says_something_about_something() {
    assert!(policy::validate_validating(&a_policy(), &policy::Stored::default()).is_empty());
    assert_eq!(
        texts(&policy::validate_validating(
            &value!({"spec": {"paramKind": {"apiVersion": "a/b/c"}, "variables": [{"name": "in"}]}}),
            &policy::Stored::default()
        )),
        [
            "spec.failurePolicy: Required value",
            "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "spec.paramKind.kind: Required value",
            "spec.matchConstraints: Required value",
            "spec.variables[0].name: Invalid value: \"in\": must be a valid CEL identifier",
            "spec.variables[0].expression: Required value: expression is not specified",
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ]
    );
}

#[test]
fn a_mutation_has_one_form_and_deletes_nothing() {
    let mut policy = a_policy();
    let spec = policy.entry("spec");
    spec.set("mutations", value!([{"patchType": "JSONPatch", "applyConfiguration": {"expression": "x"}}]));
    spec.set("reinvocationPolicy", "Never");
    spec.entry("matchConstraints").entry("resourceRules").make_array()[0].set("operations", value!(["DELETE"]));
    assert_eq!(
        texts(&policy::validate_mutating(&policy, &policy::Stored::default())),
        [
            "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when patchType is JSONPatch",
        ]
    );
}

/// What is wrong with a policy's expressions: fields, and the first lines of the texts.
fn wrong(policy: &Value, old: Option<&Value>) -> Vec<String> {
    let stored = old.map_or_else(policy::Stored::default, |old| policy::Stored::of(policy, old));
    let mutating = policy.at("spec").has("mutations");
    let errors = if mutating {
        policy::validate_mutating(policy, &stored)
    } else {
        policy::validate_validating(policy, &stored)
    };
    texts(&errors)
        .iter()
        .map(|text| text.split("\\n |").next().unwrap_or_default().lines().next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn expressions_are_compiled_where_they_stand() {
    let mut policy = a_policy();
    let spec = policy.entry("spec");
    spec.set(
        "matchConditions",
        value!([{"name": "a", "expression": "variables.x"}, {"name": "b", "expression": "'b'"}]),
    );
    spec.set("variables", value!([{"name": "x", "expression": "params.x"}, {"name": "y", "expression": "object.y"}]));
    spec.set(
        "validations",
        value!([
            {"expression": "variables.z", "messageExpression": "authorizer.path('/').check('get').reason()"},
            {"expression": "variables.y == 'a'", "messageExpression": "1"}
        ]),
    );
    spec.set(
        "auditAnnotations",
        value!([{"key": "a", "valueExpression": " 1"}, {"key": "b", "valueExpression": "null"}]),
    );
    assert_eq!(
        wrong(&policy, None),
        [
            "spec.matchConditions[0].expression: Invalid value: \"variables.x\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables' (in container '')",
            "spec.matchConditions[1].expression: Invalid value: \"'b'\": must evaluate to bool but got string",
            "spec.variables[0].expression: Invalid value: \"params.x\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')",
            "spec.validations[0].expression: Invalid value: \"variables.z\": compilation failed: ERROR: <input>:1:10: undefined field 'z'",
            "spec.validations[0].messageExpression: Invalid value: \"authorizer.path('/').check('get').reason()\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'authorizer' (in container '')",
            "spec.validations[1].messageExpression: Invalid value: \"1\": must evaluate to string but got int",
            "spec.auditAnnotations[0].valueExpression: Invalid value: \" 1\": must evaluate to one of [string null_type] but got int",
        ]
    );
    policy.entry("spec").set("paramKind", value!({"apiVersion": "v1", "kind": "ConfigMap"}));
    policy.entry("spec").remove("matchConditions");
    assert_eq!(wrong(&policy, None).len(), 4, "parameters are known now, and the others are as wrong as before");
}

#[test]
fn mutations_make_what_they_say() {
    let mut policy = a_policy();
    let spec = policy.entry("spec");
    spec.remove("validations");
    spec.set("reinvocationPolicy", "Never");
    spec.set(
        "mutations",
        value!([
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 1}}"}},
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " {'spec': 1}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/a'}]"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 1}]"}}
        ]),
    );
    assert_eq!(
        wrong(&policy, None),
        [
            "spec.mutations[1].applyConfiguration.expression: Invalid value: \"{'spec': 1}\": must evaluate to Object but got map(string, int)",
            "spec.mutations[3].jsonPatch.expression: Invalid value: \"[JSONPatch{op: 1}]\": compilation failed: ERROR: <input>:1:14: expected type of field 'op' is 'string' but provided type is 'int'",
        ]
    );
}

#[test]
fn conditions_that_did_not_change_are_not_judged_again() {
    let mut old = a_policy();
    old.entry("spec").set("matchConditions", value!([{"name": "a", "expression": "variables.x"}]));
    assert_eq!((wrong(&old, None).len(), wrong(&old, Some(&old)).len()), (1, 0));
    let mut new = old.clone();
    new.entry("spec").set("paramKind", value!({"apiVersion": "v1", "kind": "ConfigMap"}));
    assert_eq!(wrong(&new, Some(&old)).len(), 1, "they may name something else now");
}

#[test]
fn a_binding_acts_and_points_at_one_thing() {
    let binding = value!({"spec": {
        "policyName": "a", "paramRef": {"name": "b", "selector": {}}, "validationActions": ["Deny", "Warn"]
    }});
    let found = texts(&policy::validate_validating_binding(&binding));
    assert_eq!(
        found[..3],
        [
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
            "spec.paramRef.parameterNotFoundAction: Required value",
        ]
    );
    assert!(found[3].starts_with("spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both"));
    assert_eq!(param_ref(binding.at("spec").at("paramRef")), "*/b".into());
    assert_eq!(param_ref(Value::NULL), cells::UNSET.into());
}

#[test]
fn too_many_annotations_are_shown_by_their_names_in_go() {
    let mut policy = a_policy();
    let annotations = Value::array(vec![value!({"key": "a", "valueExpression": "'b'"}); 21]);
    policy.entry("spec").set("auditAnnotations", annotations);
    let first = wrong(&policy, None).into_iter().next().unwrap_or_default();
    assert!(
        first.starts_with(r#"spec.auditAnnotations: Invalid value: [{"Key":"a","ValueExpression":"'b'"},"#),
        "{first}"
    );
    assert!(first.ends_with(": must not have more than 20 auditAnnotations"), "{first}");
}
