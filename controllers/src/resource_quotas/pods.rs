//! What pods use of quotas. Upstream: pkg/quota/v1/evaluator/core/pods.go, component-helpers/resource.

use api::{
    Value,
    pod_resources::{self, Basis},
    quantity::{Format, Quantity},
};
use jiff::{SignedDuration, Timestamp};

use super::count::Usage;

/// While a pod is resized, what it holds counts too. Upstream: podUsageHelper.
const BASIS: Basis<'_> =
    Basis { with_status: true, unless_stated: None, without_overhead: false, without_pod_level: false };

/// Names without a prefix that are amounts of pods.
const NAMES: [&str; 11] = [
    "pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "count/pods",
];

pub(super) fn counts(name: &str) -> bool {
    let rest = name.strip_prefix("requests.").unwrap_or(name);
    NAMES.contains(&name) || rest.starts_with("hugepages-") || (rest != name && is_extended(rest))
}

fn is_extended(resource: &str) -> bool {
    resource.contains('/') && !resource.contains("kubernetes.io/")
}

/// Whether a pod has come to its end.
pub(super) fn is_over(pod: &Value) -> bool {
    matches!(pod.at("status").str("phase"), "Failed" | "Succeeded")
}

/// What a pod uses while it is not over, nor should have been for longer than its grace. Upstream: QuotaV1Pod.
pub(super) fn usage(pod: &Value, now: Timestamp) -> Usage {
    let meta = api::meta::of(pod);
    let grace = SignedDuration::from_secs(meta.0.int("deletionGracePeriodSeconds"));
    let late = api::time::parse(meta.deletion_timestamp())
        .filter(|_| meta.0.has("deletionGracePeriodSeconds"))
        .is_some_and(|at| now > at + grace);
    let mut usage = Usage::new();
    if is_over(pod) || late {
        return usage;
    }
    usage.insert("pods".into(), Quantity::new(1, Format::DecimalSi));
    for (name, amount) in pod_resources::requests(pod, BASIS) {
        match name.as_str() {
            "cpu" | "memory" | "ephemeral-storage" => {
                usage.insert(format!("requests.{name}"), amount.clone());
                usage.insert(name.to_string(), amount);
            }
            _ if name.starts_with("hugepages-") => {
                usage.insert(format!("requests.{name}"), amount.clone());
                usage.insert(name.to_string(), amount);
            }
            _ if is_extended(&name) => drop(usage.insert(format!("requests.{name}"), amount)),
            _ => {}
        }
    }
    for (name, amount) in pod_resources::limits(pod, BASIS) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            usage.insert(format!("limits.{name}"), amount);
        }
    }
    usage
}

/// Whether a pod is in a scope. Upstream: podMatchesScopeFunc.
pub(super) fn matches(pod: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let spec = pod.at("spec");
    let terminating = spec.opt_int("activeDeadlineSeconds").is_some_and(|s| s >= 0);
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => names(spec.str("priorityClassName"), operator, values),
        "CrossNamespacePodAffinity" => crosses_namespaces(spec.at("affinity")),
        _ => false,
    }
}

/// Whether a name, which may be missing, is selected.
pub(super) fn names(name: &str, operator: &str, values: &[Value]) -> bool {
    let named = values.iter().any(|v| v.as_str() == Some(name));
    match operator {
        "In" => !name.is_empty() && named,
        "NotIn" => name.is_empty() || !named,
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        _ => false,
    }
}

fn is_best_effort(pod: &Value) -> bool {
    let told = pod.at("status").str("qosClass");
    if !told.is_empty() {
        return told == "BestEffort";
    }
    let spec = pod.at("spec");
    let containers = spec.list("containers").iter().chain(spec.list("initContainers")).map(|c| c.at("resources"));
    let mut all = containers.chain([spec.at("resources")]).flat_map(|r| [r.at("requests"), r.at("limits")]);
    !all.any(|r| ["cpu", "memory"].iter().any(|name| r.has(name) && !Quantity::of(r.at(name)).is_zero()))
}

fn crosses_namespaces(affinity: &Value) -> bool {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let crosses = |term: &Value| !term.list("namespaces").is_empty() || term.has("namespaceSelector");
    ["podAffinity", "podAntiAffinity"].iter().map(|kind| affinity.at(kind)).any(|affinity| {
        affinity.list(REQUIRED).iter().any(crosses)
            || affinity.list(PREFERRED).iter().any(|term| crosses(term.at("podAffinityTerm")))
    })
}
