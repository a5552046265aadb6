//! What counts, and what is written.

use api::value;
use client::Resource;

use super::*;

fn used(resource: &str, objects: &[Value], spec: &Value) -> Vec<String> {
    let resource = Resource::parse(resource).expect("it is a resource");
    let objects: Vec<Arc<Value>> = objects.iter().cloned().map(Arc::new).collect();
    let mut used = Usage::new();
    count::add(&mut used, &resource, &objects, spec, "2026-01-02T03:04:05Z".parse().expect("it is a time"));
    used.into_iter().map(|(name, amount)| format!("{name}={amount}")).collect()
}

fn pod(requests: Value) -> Value {
    value!({"spec": {"containers": [{"resources": {"requests": requests}}]}})
}

#[test]
fn pods_use_what_they_ask_for_until_they_are_over() {
    let spec = value!({"hard": {"pods": "9", "cpu": "9", "requests.memory": "9Gi", "limits.cpu": "9", "count/pods": "9",
        "requests.example.com/gpu": "2", "secrets": "1"}});
    let mut over = pod(value!({"cpu": "5"}));
    over.set_path(&["status", "phase"], "Succeeded");
    let mut late = pod(value!({"cpu": "7"}));
    late.set("metadata", value!({"deletionTimestamp": "2026-01-02T03:00:00Z", "deletionGracePeriodSeconds": 30}));
    let mut with_init = pod(value!({"cpu": "100m"}));
    let init = value!([
        {"restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
        {"resources": {"requests": {"cpu": "1"}}}
    ]);
    with_init.set_path(&["spec", "initContainers"], init);
    with_init.set_path(&["spec", "overhead"], value!({"cpu": "10m"}));
    let pods = [pod(value!({"cpu": "250m", "memory": "1Gi", "example.com/gpu": "1"})), over, late, with_init];
    assert_eq!(
        used("v1/pods", &pods, &spec),
        ["count/pods=4", "cpu=1310m", "limits.cpu=0", "pods=2", "requests.example.com/gpu=1", "requests.memory=1Gi"]
    );
}

#[test]
fn scopes_choose_pods() {
    let spec = value!({"hard": {"pods": "9"}, "scopes": ["NotBestEffort"],
        "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}});
    let mut high = pod(value!({"cpu": "1"}));
    high.set_path(&["spec", "priorityClassName"], "high");
    let mut idle = pod(value!({}));
    idle.set_path(&["spec", "priorityClassName"], "high");
    assert_eq!(used("v1/pods", &[high, idle, pod(value!({"cpu": "1"}))], &spec), ["pods=1"]);
    let spec = value!({"hard": {"services": "9"}, "scopes": ["NotBestEffort"]});
    assert_eq!(used("v1/services", &[value!({})], &spec), ["services=0"], "nothing else is in any scope");
}

#[test]
fn services_claims_and_all_others() {
    let spec = value!({"hard": {"services": "9", "services.nodeports": "9", "services.loadbalancers": "9",
        "requests.storage": "9Gi", "fast.storageclass.storage.k8s.io/requests.storage": "9Gi", "count/deployments.apps": "3"}});
    let balancer = value!({"spec": {"type": "LoadBalancer", "ports": [{}, {}]}});
    let plain = value!({"spec": {"type": "ClusterIP", "ports": [{}]}});
    assert_eq!(
        used("v1/services", &[balancer, plain], &spec),
        ["services=2", "services.loadbalancers=1", "services.nodeports=2"]
    );
    let claim =
        |class: &str| value!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(
        used("v1/persistentvolumeclaims", &[claim("fast"), claim("slow")], &spec),
        ["fast.storageclass.storage.k8s.io/requests.storage=1Gi", "requests.storage=2Gi"]
    );
    assert_eq!(used("apps/v1/deployments", &[value!({}), value!({})], &spec), ["count/deployments.apps=2"]);
}

#[test]
fn a_status_is_written_when_it_says_something_else() {
    let quota = value!({"spec": {"hard": {"pods": "3", "other/thing": "1"}},
        "status": {"hard": {"pods": "3", "other/thing": "1"}, "used": {"pods": "1", "other/thing": "1"}}});
    let counted = |n: i64| Usage::from([("pods".to_string(), Quantity::new(n, api::quantity::Format::DecimalSi))]);
    assert_eq!(settled(&quota, &counted(1)), None);
    let status = settled(&quota, &counted(2)).expect("there is one more");
    assert_eq!(status.at("used"), &value!({"pods": "2", "other/thing": "1"}), "what nobody counted stays");
    let mut smaller = quota.clone();
    smaller.set_path(&["spec", "hard"], value!({"pods": "2"}));
    let status = settled(&smaller, &counted(1)).expect("the limits have changed");
    assert_eq!(status, value!({"hard": {"pods": "2"}, "used": {"pods": "1"}}));
}
