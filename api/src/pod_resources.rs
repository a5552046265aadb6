//! What a pod as a whole asks for and may use: the sum over its containers.
//!
//! One sum, wherever it is needed: quotas, the scheduler, the node agent.
//! Upstream: component-helpers/resource/helpers.go.

use std::collections::BTreeMap;

use ecow::EcoString;

use crate::{Value, quantity::Quantity};

/// Amounts by resource name: `cpu`, `memory`, `example.com/gpu`.
pub type Amounts = BTreeMap<EcoString, Quantity>;

/// Which of a pod's words count. Upstream: `PodResourcesOptions`.
#[derive(Clone, Copy, Default)]
pub struct Basis<'a> {
    /// Also what the node has allocated and set, which differs from the spec while a pod is resized.
    pub with_status: bool,
    /// What a container that asks for none of it is taken to ask for.
    pub unless_stated: Option<&'a Amounts>,
    pub without_overhead: bool,
    pub without_pod_level: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Requests,
    Limits,
}

/// Whose word about a container counts.
#[derive(Clone, Copy)]
enum Word {
    Spec,
    Allocated,
    Actuated,
}

/// In the default namespace: without a domain, or with kubernetes.io's. Upstream: `IsNativeResource`.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Upstream: `IsExtendedResourceName`.
pub fn is_extended(name: &str) -> bool {
    let could_be_counted = || crate::names::qualified_name(&format!("requests.{name}")).is_empty();
    !is_native(name) && !name.starts_with("requests.") && could_be_counted()
}

/// The amounts of a resource list; nothing reads as none.
pub fn amounts(list: &Value) -> Amounts {
    list.members().map(|(name, amount)| (name.into(), Quantity::of(amount))).collect()
}

/// What a pod asks for. Upstream: `PodRequests`.
pub fn requests(pod: &Value, basis: Basis<'_>) -> Amounts {
    let mut sum = containers(pod, Which::Requests, basis);
    if !basis.without_pod_level {
        cover(&mut sum, &pod_level(pod, Which::Requests, basis));
    }
    if !basis.without_overhead {
        add(&mut sum, &amounts(pod.at("spec").at("overhead")));
    }
    sum
}

/// What a pod may use. Overhead only raises limits that there are. Upstream: `PodLimits`.
pub fn limits(pod: &Value, basis: Basis<'_>) -> Amounts {
    let mut sum = containers(pod, Which::Limits, Basis { unless_stated: None, ..basis });
    if !basis.without_pod_level {
        cover(&mut sum, &pod_level(pod, Which::Limits, basis));
    }
    if !basis.without_overhead {
        for (name, amount) in amounts(pod.at("spec").at("overhead")) {
            if let Some(known) = sum.get_mut(&name).filter(|known| !known.is_zero()) {
                *known = known.add(&amount);
            }
        }
    }
    sum
}

/// Whether the pod's own amounts, beside its containers', say anything. Upstream: `IsPodLevelResourcesSet`.
pub fn sets_pod_level(pod: &Value) -> bool {
    let resources = pod.at("spec").at("resources");
    let lists = [resources.at("requests"), resources.at("limits")];
    lists.iter().flat_map(|list| list.members()).any(|(name, _)| is_pod_level(name))
}

/// Upstream: `IsSupportedPodLevelResource`.
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Upstream: `IsPodResizeInfeasible`.
fn is_resize_infeasible(pod: &Value) -> bool {
    let pending = pod.at("status").list("conditions").iter().find(|c| c.str("type") == "PodResizePending");
    pending.is_some_and(|c| c.str("reason") == "Infeasible")
}

/// Upstream: `AggregateContainerRequests`, `AggregateContainerLimits`.
fn containers(pod: &Value, which: Which, basis: Basis<'_>) -> Amounts {
    if !basis.with_status {
        return sum(pod, which, Word::Spec, basis);
    }
    let status = pod.at("status");
    let set = status.at("resources").at(which.name());
    // The pod's own status tells what its containers' would add up to.
    let is_whole = !set.is_null() && (which == Which::Limits || !status.at("allocatedResources").is_null());
    let mut most = match which {
        Which::Requests if is_whole => amounts(status.at("allocatedResources")),
        Which::Requests => sum(pod, which, Word::Allocated, basis),
        Which::Limits => Amounts::new(),
    };
    raise(&mut most, &if is_whole { amounts(set) } else { sum(pod, which, Word::Actuated, basis) });
    if !is_resize_infeasible(pod) {
        raise(&mut most, &sum(pod, which, Word::Spec, basis));
    }
    most
}

/// Init containers run one after the other, beside the sidecars before them. Upstream: `aggregateContainerResourcesByFn`.
fn sum(pod: &Value, which: Which, word: Word, basis: Basis<'_>) -> Amounts {
    let spec = pod.at("spec");
    let infeasible = basis.with_status && is_resize_infeasible(pod);
    let own = |container: &Value| {
        let mut own = amounts(of_container(pod, container, which, word, infeasible));
        for (name, amount) in basis.unless_stated.into_iter().flatten() {
            own.entry(name.clone()).or_insert_with(|| amount.clone());
        }
        own
    };
    let mut sum = Amounts::new();
    for container in spec.list("containers") {
        add(&mut sum, &own(container));
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in spec.list("initContainers") {
        let mut this = own(container);
        if container.str("restartPolicy") == "Always" {
            add(&mut sum, &this);
            add(&mut sidecars, &this);
            raise(&mut most, &sidecars);
        } else {
            add(&mut this, &sidecars);
            raise(&mut most, &this);
        }
    }
    raise(&mut sum, &most);
    sum
}

fn of_container<'a>(pod: &'a Value, container: &'a Value, which: Which, word: Word, infeasible: bool) -> &'a Value {
    let spec = container.at("resources").at(which.name());
    let status = pod.at("status");
    let known = |list| status.list(list).iter().find(|s| s.str("name") == container.str("name"));
    let status = match word {
        Word::Spec => return spec,
        _ => known("containerStatuses").or_else(|| known("initContainerStatuses")).unwrap_or(Value::NULL),
    };
    let set = status.at("resources").at(which.name());
    let allocated = status.at("allocatedResources");
    match (word, which) {
        (Word::Actuated, _) if !set.is_null() => set,
        (_, Which::Requests) if !allocated.is_null() => allocated,
        _ if infeasible => Value::NULL,
        _ => spec,
    }
}

/// What is said of the pod as a whole goes before what its containers add up to.
fn pod_level(pod: &Value, which: Which, basis: Basis<'_>) -> Amounts {
    let said = amounts(pod.at("spec").at("resources").at(which.name()));
    let status = pod.at("status");
    if !basis.with_status || status.at("resources").is_null() || said.is_empty() {
        return said;
    }
    let mut most = if is_resize_infeasible(pod) { Amounts::new() } else { said };
    raise(&mut most, &amounts(status.at("resources").at(which.name())));
    if which == Which::Requests {
        raise(&mut most, &amounts(status.at("allocatedResources")));
    }
    most
}

fn cover(sum: &mut Amounts, with: &Amounts) {
    sum.extend(with.iter().filter(|(name, _)| is_pod_level(name)).map(|(name, amount)| (name.clone(), amount.clone())));
}

/// Adds amount by amount.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let known = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *known = known.add(amount);
    }
}

/// Takes the larger of both, name by name; what only one has is that, be it below zero.
pub fn raise(sum: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        if sum.get(name).is_none_or(|known| amount > known) {
            sum.insert(name.clone(), amount.clone());
        }
    }
}

// === impl Which ===

impl Which {
    fn name(self) -> &'static str {
        match self {
            Which::Requests => "requests",
            Which::Limits => "limits",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    fn container(cpu: &str) -> Value {
        value!({"name": "c", "resources": {"requests": {"cpu": cpu}}})
    }

    fn cpu(of: &Amounts) -> String {
        of.get("cpu").map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn init_containers_run_beside_the_sidecars_before_them() {
        let mut sidecar = container("1");
        sidecar.set("restartPolicy", "Always");
        let spec = |init: Vec<Value>| value!({"spec": {"containers": [container("1"), container("500m")], "initContainers": init}});
        assert_eq!(cpu(&requests(&spec(vec![container("1")]), Basis::default())), "1500m");
        assert_eq!(cpu(&requests(&spec(vec![container("3")]), Basis::default())), "3");
        assert_eq!(cpu(&requests(&spec(vec![sidecar.clone(), container("3")]), Basis::default())), "4");
        assert_eq!(cpu(&requests(&spec(vec![container("1"), sidecar]), Basis::default())), "2500m");
    }

    #[test]
    fn overhead_and_what_is_said_of_the_pod_as_a_whole() {
        let mut pod = value!({"spec": {"containers": [container("1")], "overhead": {"cpu": "100m", "memory": "1Mi"}}});
        assert_eq!(cpu(&requests(&pod, Basis::default())), "1100m");
        assert!(limits(&pod, Basis::default()).is_empty(), "no limit is raised that is not there");
        pod.set_path(&["spec", "resources"], value!({"requests": {"cpu": "2"}, "limits": {"cpu": "4"}}));
        assert_eq!(cpu(&requests(&pod, Basis::default())), "2100m");
        assert_eq!(cpu(&limits(&pod, Basis::default())), "4100m");
        let basis = Basis { without_overhead: true, without_pod_level: true, ..Basis::default() };
        assert_eq!(cpu(&requests(&pod, basis)), "1");
    }

    #[test]
    fn while_a_pod_is_resized_the_most_of_all_words_counts() {
        let mut pod = value!({"spec": {"containers": [container("1")]}, "status": {"containerStatuses": [
            {"name": "c", "allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "3"}}}]}});
        let basis = Basis { with_status: true, ..Basis::default() };
        assert_eq!(cpu(&requests(&pod, basis)), "3");
        pod.set_path(&["spec", "containers"], value!([container("5")]));
        assert_eq!(cpu(&requests(&pod, basis)), "5");
        pod.set_path(&["status", "conditions"], value!([{"type": "PodResizePending", "reason": "Infeasible"}]));
        assert_eq!(cpu(&requests(&pod, basis)), "3", "what cannot be is not asked for");
    }

    #[test]
    fn a_container_that_says_nothing_is_taken_to_ask_for_something() {
        let least = Amounts::from([("cpu".into(), Quantity::parse("100m").expect("is one"))]);
        let pod = value!({"spec": {"containers": [{"name": "a"}, container("1")]}});
        let basis = Basis { unless_stated: Some(&least), ..Basis::default() };
        assert_eq!(cpu(&requests(&pod, basis)), "1100m");
        assert_eq!(cpu(&requests(&pod, Basis::default())), "1");
    }
}
