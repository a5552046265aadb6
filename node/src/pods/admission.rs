//! Whether the node takes a pod that was bound to it: the scheduler may have known less than the node does.
//!
//! Upstream: kubelet/lifecycle/predicate.go, scheduler's noderesources Fits.

use std::sync::Arc;

use api::{
    Value, host_ports,
    node_selector::Required,
    pod_resources::{self, Amounts, Basis},
    quantity::Quantity,
    taint, value,
};

use super::{ground::NodeView, status::Failure};
use crate::{
    eviction::{self, rank::is_critical},
    qos::{self, Class},
    statics, sysctls,
};

/// Why the node refuses `pod` beside `others`; None: it takes it. `sysctls` are patterns of those that are allowed though they are not safe.
pub fn refusal(pod: &Value, others: &[Arc<Value>], node: &NodeView, sysctls: &[String]) -> Option<Failure> {
    if pod.at("spec").at("os").opt_str("name").is_some_and(|name| name != "linux") {
        let message = "Failed to admit pod as the OS field doesn't match node OS";
        return Some(refused("PodOSNotSupported", message));
    }
    if let Some(message) = sysctls::forbidden(pod, sysctls) {
        return Some(refused("SysctlForbidden", &message));
    }
    under_pressure(pod, node)
        .or_else(|| too_much(pod, others, &node.allocatable))
        .or_else(|| misplaced(pod, others, node))
}

/// What a scheduler would have seen, had there been one. Upstream: scheduler.AdmissionCheck, generalFilter.
fn misplaced(pod: &Value, others: &[Arc<Value>], node: &NodeView) -> Option<Failure> {
    let failed = |name: &str, why: &str| Some(refused(name, &format!("Predicate {name} failed: {why}")));
    let name = pod.at("spec").str("nodeName");
    if !node.labels.is_null() && !Required::of(pod.at("spec")).matches(name, &node.labels) {
        return failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
    }
    let wanted = host_ports::of(pod.at("spec"));
    let active = others.iter().filter(|pod| !is_over(pod));
    if active.into_iter().any(|other| host_ports::conflict(&wanted, &host_ports::of(other.at("spec")))) {
        return failed("NodePorts", "node(s) didn't have free ports for the requested pod ports");
    }
    let is_static = api::meta::of(pod).annotation(statics::SOURCE).is_some();
    if !is_static && taint::untolerated(&node.taints, pod.at("spec").list("tolerations"), &["NoExecute"]).is_some() {
        return failed("TaintToleration", "node(s) had taints that the pod didn't tolerate");
    }
    None
}

/// Upstream: eviction_manager.go Admit.
fn under_pressure(pod: &Value, node: &NodeView) -> Option<Failure> {
    let pressure = node.pressure;
    let all = [(pressure.memory, "MemoryPressure"), (pressure.disk, "DiskPressure"), (pressure.pid, "PIDPressure")];
    let names: Vec<&str> = all.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
    if names.is_empty() || is_critical(pod) {
        return None;
    }
    if names == ["MemoryPressure"] {
        let taint = value!({"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"});
        let is_tolerated = taint::is_tolerated(&taint, pod.at("spec").list("tolerations"));
        if qos::class(pod) != Class::BestEffort || is_tolerated {
            return None;
        }
    }
    Some(refused(eviction::REASON, &format!("The node had condition: [{}]. ", names.join(" "))))
}

fn too_much(pod: &Value, others: &[Arc<Value>], allocatable: &Value) -> Option<Failure> {
    let known = pod_resources::amounts(allocatable);
    if known.is_empty() {
        return None;
    }
    let active = || others.iter().filter(|pod| !is_over(pod));
    let pods = i64::try_from(active().count()).unwrap_or(i64::MAX);
    if let Some(capacity) = known.get("pods").map(Quantity::value).filter(|capacity| pods + 1 > *capacity) {
        return Some(short("pods", 1, pods, capacity));
    }
    let mut used = Amounts::new();
    for other in active() {
        pod_resources::add(&mut used, &pod_resources::requests(other, Basis::default()));
    }
    let wanted = pod_resources::requests(pod, Basis::default());
    // What only somebody else could have put there, and is not there yet, is his affair who bound the pod.
    let is_missing = |name: &str| pod_resources::is_extended(name) && !known.contains_key(name);
    wanted.iter().filter(|(name, _)| !is_missing(name)).find_map(|(name, wanted)| {
        let figure =
            |amount: Option<&Quantity>| amount.map_or(0, |a| if name == "cpu" { a.milli_value() } else { a.value() });
        let (wanted, used, capacity) = (figure(Some(wanted)), figure(used.get(name)), figure(known.get(name)));
        (wanted > 0 && wanted > capacity - used).then(|| short(name, wanted, used, capacity))
    })
}

fn short(name: &str, wanted: i64, used: i64, capacity: i64) -> Failure {
    let message =
        format!("Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}");
    refused(&format!("OutOf{name}"), &message)
}

fn refused(reason: &str, message: &str) -> Failure {
    Failure { reason: reason.into(), message: format!("Pod was rejected: {message}") }
}

fn is_over(pod: &Value) -> bool {
    matches!(pod.at("status").str("phase"), "Succeeded" | "Failed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::Pressure;

    fn node(allocatable: Value) -> NodeView {
        NodeView { allocatable, ..NodeView::default() }
    }

    fn pod(cpu: &str, phase: &str) -> Value {
        value!({
            "spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}, "status": {"phase": phase}
        })
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let node = node(value!({"cpu": "1", "pods": "3"}));
        let others = [Arc::new(pod("600m", "Running")), Arc::new(pod("900m", "Succeeded"))];
        assert_eq!(refusal(&pod("400m", "Pending"), &others, &node, &[]), None);
        let refused = refusal(&pod("500m", "Pending"), &others, &node, &[]).expect("it does not fit");
        assert_eq!(refused.reason, "OutOfcpu");
        assert_eq!(
            refused.message,
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000"
        );
        let full = [pod("0", "Running"), pod("0", "Running"), pod("0", "Pending")].map(Arc::new);
        assert_eq!(refusal(&pod("0", "Pending"), &full, &node, &[]).expect("it is full").reason, "OutOfpods");
        assert_eq!(
            refusal(&pod("9", "Pending"), &[], &NodeView::default(), &[]),
            None,
            "nothing is known of the node yet"
        );
        let foreign = value!({"spec": {"containers": [{"resources": {"requests": {"example.com/foo": "1"}}}]}});
        assert_eq!(refusal(&foreign, &[], &node, &[]), None, "it may have been added a moment ago");
        let windows = value!({"spec": {"os": {"name": "windows"}}});
        assert_eq!(refusal(&windows, &[], &node, &[]).expect("it is another's").reason, "PodOSNotSupported");
    }

    #[test]
    fn what_was_bound_past_the_scheduler_is_refused() {
        let spec = |spec: Value| value!({"spec": spec});
        let node = NodeView {
            labels: value!({"disk": "ssd"}),
            taints: vec![
                value!({"key": "away", "effect": "NoExecute"}),
                value!({"key": "new", "effect": "NoSchedule"}),
            ],
            ..NodeView::default()
        };
        let message = |pod: &Value, others: &[Arc<Value>]| refusal(pod, others, &node, &[]).map(|f| f.message);
        let tolerant = value!([{"operator": "Exists"}]);
        let port = spec(value!({"containers": [{"ports": [{"hostPort": 80}]}], "tolerations": tolerant.clone()}));
        let why =
            "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        assert_eq!(message(&port, &[Arc::new(port.clone())]).as_deref(), Some(why));
        assert_eq!(message(&port, &[]), None);
        let elsewhere = spec(value!({"nodeSelector": {"disk": "hdd"}, "tolerations": tolerant}));
        let why = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        assert_eq!(message(&elsewhere, &[]).as_deref(), Some(why));
        let why = "Pod was rejected: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
        assert_eq!(message(&spec(Value::object()), &[]).as_deref(), Some(why));
    }

    #[test]
    fn a_node_that_is_short_takes_less() {
        let under = |memory, disk| NodeView { pressure: Pressure { memory, disk, pid: false }, ..NodeView::default() };
        let message = |pod: &Value, node| refusal(pod, &[], &node, &[]).map(|failure| failure.message);
        let best_effort = value!({"spec": {"containers": [{}]}});
        let told = "Pod was rejected: The node had condition: [MemoryPressure]. ";
        assert_eq!(message(&best_effort, under(true, false)).as_deref(), Some(told));
        assert_eq!(message(&pod("1", "Pending"), under(true, false)), None, "it asks for something");
        let told = "Pod was rejected: The node had condition: [MemoryPressure DiskPressure]. ";
        assert_eq!(message(&pod("1", "Pending"), under(true, true)).as_deref(), Some(told));
        let critical = value!({"spec": {"containers": [{}], "priority": 2_000_000_000}});
        assert_eq!(message(&critical, under(true, true)), None);
    }
}
