//! Cases for declared constraints.

use api::{Value, value};

use super::*;

fn said(kind: &str, new: &Value, old: Option<&Value>) -> Vec<String> {
    let schemas = crate::builtin();
    let id = schemas.id(kind).expect("the type is built in");
    builtin().validate(new, old, id, schemas).iter().map(|d| d.error.to_string()).collect()
}

const CLASS: &str = "io.k8s.api.storage.v1.StorageClass";
const HPA: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";
const CLAIM: &str = "io.k8s.api.resource.v1.ResourceClaim";
const LEVEL: &str = "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration";

#[test]
fn every_marker_is_known() {
    assert_eq!(builtin().unknown, Vec::<String>::new());
}

#[test]
fn what_nobody_wrote_is_missing_and_stops_what_follows() {
    let class = value!({"volumeBindingMode": "Immediate"});
    assert_eq!(said(CLASS, &class, None), ["provisioner: Required value"]);
    let scaler = value!({"spec": {"maxReplicas": 0, "minReplicas": (-1)}});
    assert_eq!(
        said(HPA, &scaler, None),
        ["spec.minReplicas: Invalid value: -1: must be greater than or equal to 0", "spec.maxReplicas: Required value",]
    );
}

#[test]
fn what_is_unchanged_is_not_looked_at_again() {
    let old = value!({"provisioner": "a", "parameters": {"k": "v"}, "volumeBindingMode": "Immediate"});
    assert!(said(CLASS, &old, Some(&old)).is_empty());
    let mut new = old.clone();
    new.set_path(&["parameters", "k"], "w");
    assert_eq!(said(CLASS, &new, Some(&old)), ["parameters: Invalid value: null: field is immutable"]);
}

#[test]
fn a_mode_says_which_members_there_are() {
    let spec = value!({"spec": {"type": "Limited", "exempt": {}}});
    assert_eq!(said(LEVEL, &spec, None), ["spec.exempt: Forbidden", "spec.limited: Required value"]);
}

#[test]
fn elements_are_unique_and_their_names_have_a_form() {
    let one = value!({"name": "a", "deviceClassName": "C", "allocationMode": "Some"});
    let claim = value!({"spec": {"devices": {"requests": [{"name": "r", "firstAvailable": [one.clone(), one]}]}}});
    let errors = said(CLAIM, &claim, None);
    let at = "spec.devices.requests[0].firstAvailable";
    assert!(errors[0].starts_with(&format!("{at}[1]: Duplicate value: {{\"name\":\"a\",")), "{errors:?}");
    assert!(
        errors[1].starts_with(&format!("{at}[0].deviceClassName: Invalid value: \"C\": a lowercase RFC 1123")),
        "{errors:?}"
    );
    let modes = "Unsupported value: \"Some\": supported values: \"All\", \"ExactCount\"";
    assert_eq!(errors[2], format!("{at}[0].allocationMode: {modes}"));
    assert_eq!(errors.len(), 5, "{errors:?}");
}

#[test]
fn a_responder_of_somebody_elses_has_neither_kubernetes_name_nor_its_priority() {
    let responder = |name: &str, priority: i64| value!({"name": (name), "priority": (priority)});
    let kind = "io.k8s.api.core.v1.EvictionResponder";
    assert!(said(kind, &responder("mine.example.com/drain", 1000), None).is_empty());
    let reserved = "domain names *.k8s.io, *.kubernetes.io are reserved";
    for name in ["a.K8S.io./x", "kubernetes.io/x"] {
        let first = said(kind, &responder(name, 1000), None).into_iter().next();
        assert_eq!(first, Some(format!("name: Invalid value: \"{name}\": {reserved}")));
    }
    assert_eq!(
        said(kind, &responder("mine.example.com/drain", 999), None),
        ["priority: Invalid value: 999: priorities 0-999 are reserved for responders with *.k8s.io suffix"]
    );
    let requester = value!({"requester": "a.k8s.io/x"});
    let found = said("io.k8s.api.lifecycle.v1alpha1.EvictionRequestSpec", &requester, None);
    assert!(found.contains(&format!("requester: Invalid value: \"a.k8s.io/x\": {reserved}")), "{found:?}");
    let old = responder("mine.k8s.io/drain", 5);
    assert!(said(kind, &old, Some(&old)).is_empty(), "what is there stays");
}

#[test]
fn types_without_rules_cost_nothing() {
    let schemas = crate::builtin();
    let reaches = |name: &str| builtin().reaches(schemas.id(name).expect("the type is built in"));
    assert!(reaches(CLASS));
    assert!(!reaches("io.k8s.api.core.v1.ConfigMap"));
    assert!(!reaches("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));
}
