//! Sums over containers, and where secrets hide.

use api::value;

use super::*;

fn container(name: &str, requests: Value) -> Value {
    value!({"name": name, "resources": {"requests": (requests)}})
}

#[test]
fn init_containers_count_where_they_need_more() {
    let mut sidecar = container("s", value!({"cpu": "1"}));
    sidecar.set("restartPolicy", "Always");
    let pod = value!({"spec": {
        "initContainers": [(sidecar), (container("i", value!({"cpu": "5", "memory": "1Gi"})))],
        "containers": [(container("a", value!({"cpu": "1"}))), (container("b", value!({"cpu": "2"})))],
        "overhead": {"cpu": "100m"},
    }});
    assert_eq!(requests(&pod, Basis::Spec).shown(), "cpu=6100m,memory=1Gi");
    let (plain, _) = plain_sums(&pod);
    assert_eq!(plain.shown(), "cpu=6,memory=1Gi");
}

#[test]
fn the_pods_own_amounts_win() {
    let pod = value!({"spec": {
        "containers": [(container("a", value!({"cpu": "1", "example.com/gpu": "2"})))],
        "resources": {"requests": {"cpu": "3", "hugepages-2Mi": "4Mi"}},
    }});
    assert_eq!(requests(&pod, Basis::Spec).shown(), "cpu=3,example.com/gpu=2,hugepages-2Mi=4Mi");
    assert_eq!(plain_sums(&pod).0.shown(), "cpu=3,example.com/gpu=2");
    assert!(sets_pod_level(&pod));
}

#[test]
fn a_resize_on_its_way_counts_the_greater() {
    let mut pod = value!({"spec": {"containers": [(container("a", value!({"cpu": "1"})))]},
        "status": {"containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "3"}, "resources": {"requests": {"cpu": "2"}}}]}});
    assert_eq!(requests(&pod, Basis::Status).shown(), "cpu=3");
    assert_eq!(requests(&pod, Basis::Spec).shown(), "cpu=1");
    pod.set_path(&["spec", "containers"], value!([(container("a", value!({"cpu": "9"})))]));
    assert_eq!(requests(&pod, Basis::Status).shown(), "cpu=9");
    pod.set_path(&["status", "conditions"], value!([{"type": "PodResizePending", "reason": "Infeasible"}]));
    assert_eq!(requests(&pod, Basis::Status).shown(), "cpu=3");
}

#[test]
fn secrets_are_found_wherever_they_stand() {
    let from = value!([{"secretRef": {"name": "s"}}]);
    let with = [
        value!({"spec": {"imagePullSecrets": [{"name": "s"}]}}),
        value!({"spec": {"containers": [{"envFrom": (from.clone())}]}}),
        value!({"spec": {"initContainers": [{"envFrom": (from.clone())}]}}),
        value!({"spec": {"ephemeralContainers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}]}}),
        value!({"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}}),
        value!({"spec": {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]}}),
        value!({"spec": {"volumes": [{"name": "v", "csi": {"nodePublishSecretRef": {"name": "s"}}}]}}),
    ];
    for pod in with {
        assert!(references_secrets(&pod), "{pod:?}");
    }
    let without =
        value!({"spec": {"containers": [{"env": [{"name": "A", "value": "s"}]}], "volumes": [{"emptyDir": {}}]}});
    assert!(!references_secrets(&without));
}

#[test]
fn best_effort_means_no_amount_anywhere() {
    assert!(is_best_effort(&value!({"spec": {"containers": [{"name": "a"}]}})));
    assert!(is_best_effort(
        &value!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"ephemeral-storage": "1"}}}]}})
    ));
    assert!(!is_best_effort(&value!({"spec": {"initContainers": [(container("a", value!({"cpu": "1"})))]}})));
    assert!(!is_best_effort(
        &value!({"spec": {"containers": [{"name": "a"}], "resources": {"limits": {"memory": "1"}}}})
    ));
    assert!(!is_best_effort(&value!({"status": {"qosClass": "Burstable"}, "spec": {"containers": [{"name": "a"}]}})));
}
