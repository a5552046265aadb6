//! FlowSchemas, as upstream judges them.

use super::*;
use crate::testing::{context, texts};

fn a_schema(name: &str, rule: Value) -> Value {
    value!({
        "metadata": {"name": name},
        "spec": {"matchingPrecedence": 500, "priorityLevelConfiguration": {"name": "a"}, "rules": [rule]}
    })
}

#[test]
fn a_subject_is_what_its_kind_says() {
    let rule = value!({
        "subjects": [
            {"kind": "User", "group": {"name": "g"}},
            {"kind": "ServiceAccount", "serviceAccount": {"name": "*"}},
            {"kind": "Team"}
        ],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/a/*", "a", "/*b", "/a//b"]}]
    });
    assert_eq!(
        texts(&validate(&a_schema("a", rule), &context())),
        [
            "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            "spec.rules[0].subjects[1].serviceAccount.namespace: Required value: must specify namespace for service account",
            "spec.rules[0].subjects[2].kind: Unsupported value: \"Team\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"a\": must start with slash",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: \"/*b\": wildcard can only do suffix matching",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[3]: Invalid value: \"/a//b\": must not contain double slash",
        ]
    );
}

#[test]
fn rules_of_resources_name_all_or_some() {
    let rule = value!({
        "subjects": [{"kind": "Group", "group": {"name": "g"}}],
        "resourceRules": [
            {"verbs": ["get", "*"], "apiGroups": ["*", "a"], "resources": [], "namespaces": ["A"]},
            {"verbs": ["fetch"], "apiGroups": ["*"], "resources": ["*"]}
        ]
    });
    assert_eq!(
        texts(&validate(&a_schema("a", rule), &context()))
            .iter()
            .map(|t| t.split(": ").next().unwrap_or(""))
            .collect::<Vec<_>>(),
        [
            "spec.rules[0].resourceRules[0].verbs",
            "spec.rules[0].resourceRules[0].apiGroups",
            "spec.rules[0].resourceRules[0].resources",
            "spec.rules[0].resourceRules[0].namespaces[0]",
            "spec.rules[0].resourceRules[1].verbs",
            "spec.rules[0].resourceRules[1].namespaces",
        ]
    );
}

#[test]
fn the_mandatory_schemas_are_fixed() {
    for name in ["exempt", "catch-all"] {
        let spec = mandatory(name).expect("it is mandatory");
        assert!(
            validate(&value!({"metadata": {"name": name}, "spec": (spec.clone())}), &context()).is_empty(),
            "{name}"
        );
        let mut other = spec;
        other.set("matchingPrecedence", 7);
        let texts = texts(&validate(&value!({"metadata": {"name": name}, "spec": other}), &context()));
        assert!(texts[0].ends_with(&format!("spec of '{name}' must equal the fixed value")), "{texts:?}");
    }
}

#[test]
fn the_last_column_says_whether_the_level_is_there() {
    assert_eq!(missing_level(&value!({})), "?".into());
    let schema = value!({"status": {"conditions": [{"type": "Dangling", "status": "False"}]}});
    assert_eq!(missing_level(&schema), "False".into());
}
