//! Cases for autoscalers.

use api::{Value, value};

use super::*;
use crate::testing::texts;

fn autoscaler(spec: Value) -> Value {
    let mut autoscaler = value!({"metadata": {"name": "web"}, "spec": spec});
    let target = value!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
    autoscaler.entry("spec").default("scaleTargetRef", target);
    autoscaler.entry("spec").default("maxReplicas", 3);
    default(&mut autoscaler);
    autoscaler
}

#[test]
fn defaults_are_upstreams() {
    let autoscaler = autoscaler(value!({"behavior": {"scaleDown": {"selectPolicy": "Min"}}}));
    let spec = autoscaler.at("spec");
    assert_eq!(spec.at("metrics").items(), [cpu(80.into())]);
    assert_eq!(spec.at_path(&["behavior", "scaleUp", "policies"]).items().len(), 2);
    assert_eq!(spec.at_path(&["behavior", "scaleDown"]).str("selectPolicy"), "Min");
    assert_eq!(texts(&validate(&autoscaler, None)), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_said() {
    let cases: [(Value, &[&str]); 5] = [
        (
            value!({"minReplicas": 5}),
            &["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
        ),
        (
            value!({"minReplicas": 0}),
            &[
                "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero \
               replicas",
            ],
        ),
        (
            value!({"scaleTargetRef": {"kind": "A/B", "apiVersion": "v1"}}),
            &[
                "spec.scaleTargetRef.kind: Invalid value: \"A/B\": may not contain '/'",
                "spec.scaleTargetRef.name: Required value",
                "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group",
            ],
        ),
        (
            value!({"metrics": [{"type": "Pods", "pods": {"metric": {"name": "a"}, "target": {"type": "AverageValue",
                "averageValue": "0"}}, "resource": {}}]}),
            &[
                "spec.metrics[0].pods.target.averageValue: Invalid value: \"0\": must be positive",
                "spec.metrics[0].resource: Forbidden: must populate the given metric source only",
            ],
        ),
        (
            value!({"behavior": {"scaleUp": {"policies": [{"type": "X", "value": 1, "periodSeconds": 1801}]}}}),
            &[
                "spec.behavior.scaleUp.policies[0].type: Unsupported value: \"X\": supported values: \"Percent\", \"Pods\"",
                "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
            ],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(texts(&validate(&autoscaler(spec), None)), expected);
    }
}

#[test]
fn v1_carries_the_rest_in_annotations_and_back() {
    let metrics = value!([
        {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
        (cpu(50.into()))
    ]);
    let hub = autoscaler(value!({"metrics": metrics, "behavior": {}}));
    let mut v1 = hub.clone();
    v1::from_hub(&mut v1);
    assert_eq!(v1.at("spec").int("targetCPUUtilizationPercentage"), 50);
    let annotations = v1.at_path(&["metadata", "annotations"]);
    let expected = r#"[{"type":"Pods","pods":{"metricName":"hits","targetAverageValue":"10"}}]"#;
    assert_eq!(annotations.str("autoscaling.alpha.kubernetes.io/metrics"), expected);
    let behavior = annotations.str("autoscaling.alpha.kubernetes.io/behavior");
    assert!(behavior.starts_with(r#"{"ScaleUp":{"StabilizationWindowSeconds":0,"SelectPolicy":"Max","Policies":["#));
    v1::to_hub(&mut v1);
    assert_eq!(v1.at("spec"), hub.at("spec"));
    assert!(v1.at_path(&["metadata", "annotations"]).is_empty());
}

#[test]
fn targets_read_as_upstreams() {
    let spec = autoscaler(value!({}));
    let metrics = spec.at("spec").list("metrics");
    assert_eq!(cells::metrics(metrics, &[]), "cpu: <unknown>/80%");
    let status = value!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}]);
    assert_eq!(cells::metrics(metrics, status.items()), "cpu: 12%/80%");
}
