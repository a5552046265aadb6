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
    assert!(policy::validate_validating(&a_policy(), false).is_empty());
    assert_eq!(
        texts(&policy::validate_validating(
            &value!({"spec": {"paramKind": {"apiVersion": "a/b/c"}, "variables": [{"name": "in"}]}}),
            false
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
        texts(&policy::validate_mutating(&policy, false)),
        [
            "spec.matchConstraints.resourceRules.operations: Unsupported value: \"DELETE\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"UPDATE\"",
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when patchType is JSONPatch",
        ]
    );
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
