//! Templates that are right, and templates that are not; most rules are tried through the door of pods
//! (`core/pods/cases.jsonl`).

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use super::*;
use crate::testing::{context, texts};

fn with(spec: Value) -> Value {
    value!({"metadata": {"labels": {"app": "a"}}, "spec": spec})
}

fn defaulted() -> Value {
    value!({
        "containers": [{
            "name": "c", "image": "a:1", "imagePullPolicy": "IfNotPresent", "terminationMessagePolicy": "File"
        }],
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30
    })
}

fn judged(template: &Value, options: &Options) -> Vec<String> {
    let mut errs = Errors::new();
    super::template(template, &Path::new("spec").child("template"), options, &mut errs);
    texts(&errs)
}

#[test]
fn a_plain_template_is_right() {
    assert_eq!(judged(&with(defaulted()), &Options::default()), [""; 0]);
}

#[test]
fn errors_name_the_place_in_the_template() {
    let mut spec = defaulted();
    spec.set(
        "ephemeralContainers",
        value!([{"name": "e", "image": "x", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]),
    );
    spec.set("serviceAccountName", "A_b");
    spec.set("serviceAccount", "A_b");
    let found = judged(&with(spec), &Options::default());
    assert_eq!(found.len(), 2);
    assert!(
        found[0].starts_with("spec.template.spec.serviceAccountName: Invalid value: \"A_b\": a lowercase RFC 1123")
    );
    let text = "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template";
    assert_eq!(found[1], text);
}

#[test]
fn what_was_wrong_before_may_stay() {
    let wrong = |key: &str, value: Value| {
        let mut spec = defaulted();
        spec.set(key, value);
        with(spec)
    };
    let affinity = value!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}}
    ]}});
    let cases = [
        wrong("affinity", affinity),
        wrong("tolerations", value!([{"key": "a", "operator": "Lt", "value": "5"}])),
        wrong("volumes", value!([{"name": "v", "image": {"pullPolicy": "Always"}}])),
    ];
    for template in cases {
        assert_eq!(judged(&template, &Options::default()).len(), 1, "{template:?}");
        assert_eq!(judged(&template, &Options::of_template(Some(&template))), [""; 0], "{template:?}");
    }
}

#[test]
fn features_that_are_off_are_dropped_unless_used() {
    let container = |extra: Value| value!({"containers": [{"name": "c", "lifecycle": extra}]});
    let using = with(container(value!({"stopSignal": "SIGTERM"})));
    let mut new = using.clone();
    features::drop_disabled(&mut new, Some(&using), &context());
    assert_eq!(new, using);
    features::drop_disabled(&mut new, None, &context());
    assert_eq!(new, with(value!({"containers": [{"name": "c"}]})));
    let mut old_style =
        value!({"metadata": {"annotations": {"pod.beta.kubernetes.io/init-containers": "[]"}}, "spec": {}});
    features::drop_disabled(&mut old_style, None, &context());
    assert_eq!(old_style, value!({"metadata": {}, "spec": {}}));
}

#[test]
fn the_sum_of_a_pods_resources_knows_that_init_containers_run_first() {
    let of = |name: &str, cpu: &str, policy: Value| value!({"name": name, "restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
    let spec = value!({
        "initContainers": [(of("side", "1", "Always".into())), (of("first", "5", Value::Null))],
        "containers": [(of("a", "2", Value::Null)), (of("b", "1", Value::Null))]
    });
    let sums = level::aggregate(&spec, "requests");
    assert_eq!(sums["cpu"].to_string(), "6");
}

#[test]
fn warnings_say_what_is_hardly_meant() {
    let mut spec = defaulted();
    spec.set("nodeSelector", value!({"beta.kubernetes.io/os": "linux"}));
    spec.set("terminationGracePeriodSeconds", -1);
    let found = warnings::template(&with(spec), None, &Path::new("spec").child("template"));
    let expected = [
        "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
    ];
    assert_eq!(found, expected);
}
