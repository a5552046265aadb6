//! Roles and bindings, as upstream judges them.

use api::{Value, value};

use super::*;
use crate::testing::{context, texts};

#[test]
fn rules_are_of_resources_or_of_urls() {
    let role = value!({"rules": [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": [], "nonResourceURLs": ["/x"], "apiGroups": [""]},
        {"verbs": ["get"]}
    ]});
    assert_eq!(
        texts(&validate_role(&role, &context())),
        [
            "rules[1].verbs: Required value: verbs must contain at least one value",
            "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
            "rules[2].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[2].resources: Required value: resource rules must supply at least one resource",
        ]
    );
}

#[test]
fn an_aggregation_needs_selectors_that_can_be_read() {
    let role = value!({"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]}});
    assert_eq!(
        texts(&validate_cluster_role(&role, &context())),
        [
            "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: \"Near\": not a valid selector operator",
            "aggregationRule.clusterRoleSelectors[0]: Invalid value: null: invalid label selector.",
        ]
    );
    let none = value!({"aggregationRule": {}});
    assert_eq!(validate_cluster_role(&none, &context()).len(), 1);
}

fn a_binding(role: &str) -> Value {
    let mut binding = value!({
        "roleRef": {"kind": "Role", "name": role},
        "subjects": [{"kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "name": "sa", "namespace": "ns"}]
    });
    default_role_ref(&mut binding);
    for subject in binding.entry("subjects").make_array() {
        default_subject(subject);
    }
    binding
}

#[test]
fn a_binding_keeps_its_role() {
    let (old, new) = (a_binding("a"), a_binding("b"));
    assert!(binding(&old, true).is_empty());
    assert_eq!(
        texts(&binding_update(&new, &old, true)),
        [
            "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\",\"Name\":\"b\"}: field is immutable"
        ]
    );
    assert_eq!(
        texts(&binding(&old, false)),
        ["roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\""]
    );
}

#[test]
fn wide_columns_list_subjects_by_kind() {
    let binding = a_binding("a");
    assert_eq!(subjects_of(&binding, "User"), "ann".into());
    assert_eq!(subjects_of(&binding, "ServiceAccount"), "ns/sa".into());
    assert_eq!(subjects_of(&binding, "Group"), "".into());
}
