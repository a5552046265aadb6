//! What an object uses, and which quotas care.
//!
//! Upstream: pkg/quota/v1/evaluator/core, apiserver/pkg/quota/v1/generic.

mod devices;

use std::{collections::BTreeMap, fmt};

use api::{
    EcoString, GroupResource, Value,
    field::quote,
    meta, pod_resources,
    quantity::{Format, Quantity},
    selector::{Operator, Requirement},
    time,
};

use super::super::default_storage_class::class_of;
use crate::{
    Cluster, Operation,
    amounts::Amounts,
    pod::{self, Basis, List},
};

/// How objects of a resource are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    Pods,
    Services,
    Claims,
    ResourceClaims,
    /// Objects count under these names.
    Count(Vec<String>),
}

/// A condition on the objects that a quota counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub name: String,
    operator: String,
    values: Vec<EcoString>,
}

const POD_NAMES: [&str; 11] = [
    "count/pods",
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
];
/// What every container has to state where a quota counts it. An old mistake that stays.
const STATED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
const SERVICE_NAMES: [&str; 4] = ["count/services", "services", "services.nodeports", "services.loadbalancers"];
const CLAIM_NAMES: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
const CLAIM_COUNT: &str = "count/persistentvolumeclaims";
const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";
const DEVICE_CLASS_PREFIX: &str = "deviceclass.resource.kubernetes.io/";

// === impl Measure ===

impl Measure {
    pub fn of(resource: &GroupResource) -> Measure {
        match (resource.group.as_str(), resource.resource.as_str()) {
            ("", "pods") => Measure::Pods,
            ("", "services") => Measure::Services,
            ("", "persistentvolumeclaims") => Measure::Claims,
            ("resource.k8s.io", "resourceclaims") => Measure::ResourceClaims,
            ("", alias @ ("configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets")) => {
                Measure::Count(vec![format!("count/{alias}"), alias.into()])
            }
            _ => Measure::Count(vec![format!("count/{resource}")]),
        }
    }

    /// Whether the request can change what is used.
    pub fn handles(&self, operation: Operation, subresource: &str, new: &Value, old: &Value) -> bool {
        let (create, update) = (operation == Operation::Create, operation == Operation::Update);
        match (self, subresource) {
            (Measure::Pods, "") => create || update && is_terminating(new) != is_terminating(old),
            (Measure::Pods, "resize") => update,
            (Measure::Services | Measure::ResourceClaims, "") => create || update,
            (Measure::Claims, "" | "status") => create || update,
            (Measure::Count(_), "") => create,
            _ => false,
        }
    }

    /// Those of a quota's names that count such objects, sorted.
    pub fn matching<'a>(&self, quota: impl Iterator<Item = &'a str>, cluster: &Cluster) -> Vec<String> {
        let mine = |name: &str| match self {
            Measure::Pods => counts_for_pods(name),
            Measure::Services => SERVICE_NAMES.contains(&name),
            Measure::Claims => {
                let by_class = |own: &&str| name.ends_with(&format!("{CLASS_SUFFIX}{own}"));
                name == CLAIM_COUNT || CLAIM_NAMES.contains(&name) || CLAIM_NAMES.iter().any(by_class)
            }
            Measure::ResourceClaims => devices::counts(name, cluster),
            Measure::Count(names) => names.iter().any(|n| n == name),
        };
        quota.filter(|name| mine(name)).map(Into::into).collect()
    }

    /// Whether the object has what a quota over these names wants stated. Upstream: `Constraints`.
    pub fn constraints(&self, restricted: &[String], object: &Value) -> Result<(), String> {
        if *self != Measure::Pods || pod::sets_pod_level(object) {
            return Ok(());
        }
        let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (_, _, container) in pod::containers(object, &[List::Main, List::Init]) {
            let resources = container.at("resources");
            let stated = pod_names(&Amounts::of(resources.at("requests")), &Amounts::of(resources.at("limits")));
            for name in restricted.iter().filter(|n| STATED.contains(&n.as_str()) && !stated.has(n)) {
                missing.entry(name).or_default().push(container.str("name"));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let each = |(name, mut containers): (&str, Vec<&str>)| {
            containers.sort_unstable();
            containers.dedup();
            format!("{name} for: {}", containers.join(","))
        };
        let texts: Vec<String> = missing.into_iter().map(each).collect();
        Err(format!("must specify {}", texts.join("; ")))
    }

    pub fn matches_scope(&self, scope: &Scope, object: &Value) -> Result<bool, String> {
        match self {
            Measure::Pods => pod_matches(scope, object),
            Measure::Claims if scope.name == "VolumeAttributesClass" => {
                let classes = attributes_classes(object);
                match scope.operator.as_str() {
                    "Exists" => Ok(!classes.is_empty()),
                    _ => scope.matches(&classes),
                }
            }
            _ => Ok(false),
        }
    }

    pub fn usage(&self, object: &Value, cluster: &Cluster) -> Amounts {
        match self {
            Measure::Pods => pod_usage(object, cluster),
            Measure::Services => service_usage(object),
            Measure::Claims => claim_usage(object),
            Measure::ResourceClaims => devices::usage(object, cluster),
            Measure::Count(names) => {
                let mut usage = Amounts::default();
                names.iter().for_each(|name| usage.set(name.as_str(), count(1)));
                usage
            }
        }
    }
}

// === impl Scope ===

impl Scope {
    pub fn read(selector: &Value) -> Scope {
        Scope {
            name: selector.str("scopeName").into(),
            operator: selector.str("operator").into(),
            values: selector.list("values").iter().filter_map(|v| v.as_str().map(Into::into)).collect(),
        }
    }

    pub fn exists(name: &str) -> Scope {
        Scope { name: name.into(), operator: "Exists".into(), values: Vec::new() }
    }

    /// Whether one of the labels (none: that there is none) is wanted.
    fn matches(&self, labels: &[&str]) -> Result<bool, String> {
        let operator = match self.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                let other = quote(other);
                return Err(format!(
                    "failed to parse and convert selector: {other} is not a valid scope selector operator"
                ));
            }
        };
        let requirement = Requirement::new(&self.name, operator, self.values.clone());
        let requirement = requirement.map_err(|e| format!("failed to parse and convert selector: {e}"))?;
        Ok(match labels {
            [] => requirement.matches(None),
            several => several.iter().any(|label| requirement.matches(Some(label))),
        })
    }
}

/// As Go prints the struct.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<&str> = self.values.iter().map(EcoString::as_str).collect();
        write!(f, "{{{} {} [{}]}}", self.name, self.operator, values.join(" "))
    }
}

fn count(n: usize) -> Quantity {
    Quantity::new(n as i64, Format::DecimalSi)
}

// --- pods

fn counts_for_pods(name: &str) -> bool {
    let huge = name.starts_with("hugepages-") || name.starts_with("requests.hugepages-");
    POD_NAMES.contains(&name) || huge || is_extended_for_quota(name)
}

/// Upstream: `isExtendedResourceNameForQuota`.
fn is_extended_for_quota(name: &str) -> bool {
    match name.strip_prefix("requests.") {
        Some(own) => !pod_resources::is_native(name) || own.starts_with(DEVICE_CLASS_PREFIX),
        None => false,
    }
}

/// Upstream: `IsExtendedResourceName`, and names that stand for a device class.
fn is_extended(name: &str) -> bool {
    pod_resources::is_extended(name) || name.starts_with(DEVICE_CLASS_PREFIX)
}

fn is_terminating(object: &Value) -> bool {
    object.at("spec").opt_int("activeDeadlineSeconds").is_some_and(|s| s >= 0)
}

/// Requests and limits under the names of quotas. Upstream: `podComputeUsageHelper`.
fn pod_names(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::default();
    usage.set("pods", count(1));
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            usage.set(name, request.clone());
            usage.set(format!("requests.{name}"), request.clone());
        }
        if let Some(limit) = limits.get(name) {
            usage.set(format!("limits.{name}"), limit.clone());
        }
    }
    for (name, request) in requests.iter() {
        if name.starts_with("hugepages-") {
            usage.set(name, request.clone());
        }
        if name.starts_with("hugepages-") || is_extended(name) {
            usage.set(format!("requests.{name}"), request.clone());
        }
    }
    usage
}

/// What has ended uses nothing but its place. Upstream: `PodUsageFunc`.
pub(super) fn pod_usage(object: &Value, cluster: &Cluster) -> Amounts {
    let mut usage = Amounts::default();
    if !has_ended(object, cluster) {
        usage = pod_names(&pod::requests(object, Basis::Status), &pod::limits(object, Basis::Status));
    }
    usage.set("count/pods", count(1));
    usage
}

/// Upstream: `QuotaV1Pod`, negated.
fn has_ended(object: &Value, cluster: &Cluster) -> bool {
    if matches!(object.at("status").str("phase"), "Failed" | "Succeeded") {
        return true;
    }
    let meta = object.at("metadata");
    match (meta.opt_str("deletionTimestamp").and_then(time::parse), meta.opt_int("deletionGracePeriodSeconds")) {
        (Some(at), Some(grace)) => cluster.clock.now().as_second() > at.as_second().saturating_add(grace),
        _ => false,
    }
}

fn pod_matches(scope: &Scope, object: &Value) -> Result<bool, String> {
    Ok(match scope.name.as_str() {
        "Terminating" => is_terminating(object),
        "NotTerminating" => !is_terminating(object),
        "BestEffort" => pod::is_best_effort(object),
        "NotBestEffort" => !pod::is_best_effort(object),
        "PriorityClass" => {
            let class = object.at("spec").str("priorityClassName");
            match scope.operator.as_str() {
                "Exists" => !class.is_empty(),
                _ => scope.matches(if class.is_empty() { &[] } else { std::slice::from_ref(&class) })?,
            }
        }
        "CrossNamespacePodAffinity" => reaches_other_namespaces(object),
        _ => false,
    })
}

/// Upstream: `usesCrossNamespacePodAffinity`.
fn reaches_other_namespaces(object: &Value) -> bool {
    let affinity = object.at("spec").at("affinity");
    let reaches = |term: &Value| !term.list("namespaces").is_empty() || term.has("namespaceSelector");
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let terms = affinity.at(kind);
        terms.list("requiredDuringSchedulingIgnoredDuringExecution").iter().any(reaches)
            || terms
                .list("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|weighted| reaches(weighted.at("podAffinityTerm")))
    })
}

// --- services

/// Node ports count by intent: none is allocated yet.
fn service_usage(object: &Value) -> Amounts {
    let spec = object.at("spec");
    let ports = spec.list("ports");
    let (node_ports, balancers) = match spec.str("type") {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if spec.opt_bool("allocateLoadBalancerNodePorts") == Some(false) => {
            (ports.iter().filter(|p| p.int("nodePort") != 0).count(), 1)
        }
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    };
    let mut usage = Amounts::default();
    usage.set("count/services", count(1));
    usage.set("services", count(1));
    usage.set("services.nodeports", count(node_ports));
    usage.set("services.loadbalancers", count(balancers));
    usage
}

// --- claims

fn claim_usage(object: &Value) -> Amounts {
    let mut usage = Amounts::default();
    let class = class_of(object);
    usage.set(CLAIM_COUNT, count(1));
    let mut charge = |name: &str, amount: Quantity| {
        if !class.is_empty() {
            usage.set(format!("{class}{CLASS_SUFFIX}{name}"), amount.clone());
        }
        usage.set(name, amount);
    };
    charge("persistentvolumeclaims", count(1));
    if let Some(storage) = claimed_storage(object) {
        charge("requests.storage", storage);
    }
    usage
}

/// The greater of what is asked for and what was granted, in whole bytes. Upstream: `getStorageUsage`.
fn claimed_storage(object: &Value) -> Option<Quantity> {
    let whole = |amount: Quantity| match amount.is_whole() {
        true => amount,
        false => Quantity::new(amount.value(), amount.format()),
    };
    let asked = object.at_path(&["spec", "resources", "requests"]).get("storage").map(Quantity::of)?;
    let granted = Quantity::of(object.at_path(&["status", "allocatedResources", "storage"]));
    Some(whole(if granted > asked { granted } else { asked }))
}

fn attributes_classes(object: &Value) -> Vec<&str> {
    let status = object.at("status");
    let names = [
        object.at("spec").str("volumeAttributesClassName"),
        status.str("currentVolumeAttributesClassName"),
        status.at("modifyVolumeStatus").str("targetVolumeAttributesClassName"),
    ];
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

/// The pod that owns an object, if it is a pod.
fn owning_pod(object: &Value) -> Option<meta::Owner<'_>> {
    meta::of(object).controller().filter(|o| o.kind() == "Pod" && o.api_version() == "v1")
}
