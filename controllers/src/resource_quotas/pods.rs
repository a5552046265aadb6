//! What pods use of quotas. Upstream: pkg/quota/v1/evaluator/core/pods.go, component-helpers/resource.

use std::collections::BTreeMap;

use api::{
    Value,
    quantity::{Format, Quantity},
};
use jiff::{SignedDuration, Timestamp};

use super::count::Usage;

/// Amounts by resource name: `cpu`, `memory`, `example.com/gpu`.
type Amounts = BTreeMap<String, Quantity>;

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
    for (name, amount) in total(pod, "requests") {
        match name.as_str() {
            "cpu" | "memory" | "ephemeral-storage" => {
                usage.insert(format!("requests.{name}"), amount.clone());
                usage.insert(name, amount);
            }
            _ if name.starts_with("hugepages-") => {
                usage.insert(format!("requests.{name}"), amount.clone());
                usage.insert(name, amount);
            }
            _ if is_extended(&name) => drop(usage.insert(format!("requests.{name}"), amount)),
            _ => {}
        }
    }
    for (name, amount) in total(pod, "limits") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            usage.insert(format!("limits.{name}"), amount);
        }
    }
    usage
}

/// The requests or limits of a pod as a whole. Init containers run one after the other, beside the sidecars before them.
fn total(pod: &Value, which: &str) -> Amounts {
    let spec = pod.at("spec");
    let mut sum = Amounts::new();
    for container in spec.list("containers") {
        add(&mut sum, &amounts(container.at("resources").at(which)));
    }
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in spec.list("initContainers") {
        let own = amounts(container.at("resources").at(which));
        if container.str("restartPolicy") == "Always" {
            add(&mut sidecars, &own);
            add(&mut sum, &own);
            raise(&mut most, &sidecars);
        } else {
            let mut beside = own;
            add(&mut beside, &sidecars);
            raise(&mut most, &beside);
        }
    }
    raise(&mut sum, &most);
    // What is said of the pod as a whole goes before what its containers add up to.
    sum.extend(amounts(spec.at("resources").at(which)));
    for (name, amount) in amounts(spec.at("overhead")) {
        if which == "requests" || sum.contains_key(&name) {
            add(&mut sum, &Amounts::from([(name, amount)]));
        }
    }
    sum
}

fn amounts(of: &Value) -> Amounts {
    of.members().map(|(name, amount)| (name.into(), Quantity::of(amount))).collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let known = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *known = known.add(amount);
    }
}

fn raise(sum: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        let known = sum.entry(name.clone()).or_insert_with(|| amount.clone());
        if *known < *amount {
            *known = amount.clone();
        }
    }
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
