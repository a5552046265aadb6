//! Cases for workloads.

use api::{Value, value};

use super::*;
use crate::testing::{context, texts};

fn template() -> Value {
    value!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "web", "image": "web:1", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"
            }]
        }
    })
}

fn object(row: &Row, default: fn(&mut Value), change: impl FnOnce(&mut Value)) -> Value {
    let mut object = value!({
        "kind": (row.kind), "metadata": {"name": "web", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": (template())}
    });
    change(object.entry("spec"));
    default(&mut object);
    object
}

fn found(row: &Row, new: &Value) -> Vec<String> {
    texts(&(row.rules.validate)(new, &context()))
}

#[test]
fn defaulted_workloads_are_right() {
    type Case<'a> = (&'a Row, fn(&mut Value));
    let cases: [Case<'_>; 4] = [
        (&deployment::ROW, deployment::default),
        (&replicaset::ROW, replicaset::default),
        (&daemonset::ROW, daemonset::default),
        (&statefulset::ROW, statefulset::default),
    ];
    for (row, default) in cases {
        assert_eq!(found(row, &object(row, default, |_| {})), Vec::<String>::new(), "{}", row.kind);
    }
}

#[test]
fn a_selector_has_to_take_its_template() {
    let new = object(&deployment::ROW, deployment::default, |spec| {
        spec.set("selector", value!({"matchLabels": {"app": "other"}}));
    });
    let unmatched = "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: \
                     `selector` does not match template `labels`";
    assert_eq!(found(&deployment::ROW, &new), [unmatched]);
    let new = object(&deployment::ROW, deployment::default, |spec| {
        spec.remove("selector");
    });
    assert_eq!(found(&deployment::ROW, &new), ["spec.selector: Required value", unmatched]);
    let new = object(&replicaset::ROW, replicaset::default, |spec| spec.set("selector", value!({})));
    let empty = "spec.selector: Invalid value: {}: empty selector is invalid for deployment";
    assert_eq!(found(&replicaset::ROW, &new), [empty]);
}

#[test]
fn a_rollout_has_to_move() {
    let cases: [(Value, &str); 4] = [
        (
            value!({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}),
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        (
            value!({"rollingUpdate": {"maxUnavailable": "101%"}}),
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
        ),
        (
            value!({"type": "Recreate", "rollingUpdate": {}}),
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            value!({"type": "Other"}),
            "spec.strategy: Unsupported value: {\"Type\":\"Other\",\"RollingUpdate\":null}: \
             supported values: \"Recreate\", \"RollingUpdate\"",
        ),
    ];
    for (strategy, expected) in cases {
        let new = object(&deployment::ROW, deployment::default, |spec| spec.set("strategy", strategy));
        assert_eq!(found(&deployment::ROW, &new), [expected]);
    }
}

#[test]
fn selectors_do_not_change() {
    let old = object(&deployment::ROW, deployment::default, |_| {});
    let new = object(&deployment::ROW, deployment::default, |spec| {
        spec.set("selector", value!({"matchLabels": {"app": "web", "a": "b"}}));
        spec.set_path(&["template", "metadata", "labels", "a"], "b");
    });
    let errs = (deployment::ROW.rules.validate_update)(&new, &old, &context());
    let expected = "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"app\":\"web\"}}: field is immutable";
    assert_eq!(texts(&errs), [expected]);
}

#[test]
fn a_daemon_set_counts_its_templates_in_an_annotation() {
    let key = "deprecated.daemonset.template.generation";
    let mut old = object(&daemonset::ROW, daemonset::default, |_| {});
    (daemonset::ROW.rules.prepare_create)(&mut old, &context());
    assert_eq!(api::meta::of(&old).annotation(key), Some("1"));
    let mut new = old.clone();
    new.set_path(&["metadata", "annotations", key], "7");
    (daemonset::ROW.rules.prepare_update)(&mut new, &old, &context());
    assert_eq!(api::meta::of(&new).annotation(key), Some("1"));
    new.set_path(&["spec", "template", "metadata", "labels", "a"], "b");
    (daemonset::ROW.rules.prepare_update)(&mut new, &old, &context());
    assert_eq!(api::meta::of(&new).annotation(key), Some("2"));
}

#[test]
fn a_stateful_set_mounts_its_claims_and_keeps_them() {
    let claims = value!([{"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem"
    }}]);
    let old = object(&statefulset::ROW, statefulset::default, |spec| {
        spec.set("volumeClaimTemplates", claims);
        let container = spec.path_mut(&["template", "spec", "containers"]).and_then(Value::as_array_mut);
        container.expect("there are containers")[0].set("volumeMounts", value!([{"name": "data", "mountPath": "/d"}]));
    });
    assert_eq!(found(&statefulset::ROW, &old), Vec::<String>::new());
    let mut new = old.clone();
    new.set_path(&["spec", "serviceName"], "web");
    let errs = (statefulset::ROW.rules.validate_update)(&new, &old, &context());
    assert_eq!(texts(&errs), ["spec.serviceName: Invalid value: \"web\": field is immutable"]);

    let mut new = old.clone();
    let claim = new.path_mut(&["spec", "volumeClaimTemplates"]).and_then(Value::as_array_mut).expect("it has claims");
    claim[0]
        .set("status", value!({"phase": "Pending", "healthStatus": {"healthConditions": [{"status": "DataLoss"}]}}));
    let errs = (statefulset::ROW.rules.validate_update)(&new, &old, &context());
    assert_eq!(
        texts(&errs),
        [
            "spec.volumeClaimTemplates: Invalid value: [{\"name\":\"data\",\"Spec\":{\"AccessModes\":[\"ReadWriteOnce\"],\
         \"Selector\":null,\"Resources\":{\"Limits\":null,\"Requests\":{\"storage\":\"1Gi\"}},\"VolumeName\":\"\",\
         \"StorageClassName\":null,\"VolumeMode\":\"Filesystem\",\"DataSource\":null,\"DataSourceRef\":null,\
         \"VolumeAttributesClassName\":null},\"Status\":{\"Phase\":\"Pending\",\"AccessModes\":null,\"Capacity\":null,\
         \"Conditions\":null,\"AllocatedResources\":null,\"AllocatedResourceStatuses\":null,\
         \"CurrentVolumeAttributesClassName\":null,\"ModifyVolumeStatus\":null,\"HealthStatus\":{\"HealthConditions\":\
         [{\"Status\":\"DataLoss\",\"Reason\":\"\",\"Message\":\"\"}],\"LastTransitionTime\":null}}}]: field is immutable"
        ]
    );
}

#[test]
fn a_status_keeps_the_generation_of_the_template() {
    let old = object(&daemonset::ROW, daemonset::default, |_| {});
    let mut new = old.clone();
    new.entry("metadata").remove("annotations");
    let status = daemonset::ROW.subresources[0].rules().expect("it is a status");
    (status.prepare)(&mut new, &old, &context());
    assert_eq!(api::meta::of(&new).annotation("deprecated.daemonset.template.generation"), Some("0"));
}

#[test]
fn revisions_hold_an_object() {
    let cases = [
        (value!({"data": {"a": 1}, "revision": 1}), ""),
        (value!({"data": null}), "data: Required value: data is mandatory"),
        (value!({"data": [1]}), "data: Required value: data must be a valid JSON object"),
        (value!({"data": {}, "revision": (-1)}), "revision: Invalid value: -1: must be greater than or equal to 0"),
    ];
    for (new, expected) in cases {
        let expected: Vec<&str> = Some(expected).into_iter().filter(|e| !e.is_empty()).collect();
        assert_eq!(found(&controllerrevision::ROW, &new), expected);
    }
}
