//! How well a pod is to be treated, and the figures for it: shares and quota of CPU, memory, scores for the OOM killer.
//!
//! Upstream: pkg/apis/core/v1/helper/qos, pkg/kubelet/qos/policy.go, pkg/kubelet/cm/helpers_linux.go,
//! pkg/kubelet/kuberuntime/kuberuntime_container_linux.go.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api::{
    Value,
    pod_resources::{self, Amounts, Basis},
    quantity::Quantity,
};

use crate::runtime::{Resources, Words};

pub const SHARES_MIN: i64 = 2;
pub const SHARES_MAX: i64 = 262_144;
const SHARES_PER_CPU: i64 = 1024;
const QUOTA_US_MIN: i64 = 1000;
/// The time over which a quota counts, unless the node's configuration says another.
pub const PERIOD_US: i64 = 100_000;

const OOM_GUARANTEED: i64 = -997;
const OOM_BEST_EFFORT: i64 = 1000;
const PRIORITY_CRITICAL: i64 = 2_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Guaranteed,
    Burstable,
    BestEffort,
}

/// What the figures depend on beside the pod.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub memory_bytes: i64,
    /// Sizes of huge pages that the kernel has, as `2MB`.
    pub hugepage_sizes: Vec<String>,
    /// One unified hierarchy, and not the old ones.
    pub cgroup_v2: bool,
    /// Whether swap can be limited.
    pub limits_swap: bool,
    /// Whether limits of CPU are enforced.
    pub enforces_quota: bool,
    pub quota_period_us: i64,
    /// Whether the OOM killer takes one process of a container and leaves the others; on the old hierarchies it does.
    pub kills_single_processes: bool,
    /// Scores below this cannot be set, because the node agent may not.
    pub oom_score_min: Option<i64>,
}

/// What a whole pod may use; none: it is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodResources {
    pub cpu_shares: i64,
    /// Quota and period.
    pub cpu_quota_us: Option<(i64, i64)>,
    /// 0: no limit.
    pub memory_limit_bytes: i64,
    /// By size of the page in bytes.
    pub hugepages: BTreeMap<i64, i64>,
}

// === impl Class ===

impl Class {
    /// As `status.qosClass` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Guaranteed => "Guaranteed",
            Class::Burstable => "Burstable",
            Class::BestEffort => "BestEffort",
        }
    }
}

/// What was said of the pod when it was admitted, or what its resources make it.
pub fn class(pod: &Value) -> Class {
    match pod.at("status").str("qosClass") {
        "Guaranteed" => Class::Guaranteed,
        "Burstable" => Class::Burstable,
        "BestEffort" => Class::BestEffort,
        _ => computed_class(pod),
    }
}

/// Upstream: `ComputePodQOS`.
pub fn computed_class(pod: &Value) -> Class {
    let spec = pod.at("spec");
    if pod_resources::sets_pod_level(pod) {
        return class_of(spec.at("resources"));
    }
    let containers = spec.list("initContainers").iter().chain(spec.list("containers"));
    one_of(containers.map(|container| class_of(container.at("resources")))).unwrap_or(Class::BestEffort)
}

fn class_of(resources: &Value) -> Class {
    let of = |name: &str| {
        let amount = |list: &str| match resources.at(list).at(name) {
            said if said.is_null() => Quantity::ZERO,
            said => Quantity::of(said),
        };
        match (amount("requests"), amount("limits")) {
            (request, limit) if request != limit => Class::Burstable,
            (request, _) if request.is_zero() => Class::BestEffort,
            _ => Class::Guaranteed,
        }
    };
    one_of(["cpu", "memory"].into_iter().map(of)).unwrap_or(Class::BestEffort)
}

/// What all are, or else `Burstable`.
fn one_of(mut classes: impl Iterator<Item = Class>) -> Option<Class> {
    let first = classes.next()?;
    Some(if classes.all(|class| class == first) { first } else { Class::Burstable })
}

/// Thousandths of a CPU as weight among neighbours.
pub fn shares(milli_cpu: i64) -> i64 {
    (milli_cpu * SHARES_PER_CPU / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

/// Thousandths of a CPU as microseconds in a period; 0 is no quota.
pub fn quota_us(milli_cpu: i64, period_us: i64) -> i64 {
    match milli_cpu {
        0 => 0,
        _ => (milli_cpu * period_us / 1000).max(QUOTA_US_MIN),
    }
}

/// The way back, for what the runtime reports. Upstream: `SharesToMilliCPU`.
pub fn milli_cpu_of_shares(shares: i64) -> i64 {
    if shares < SHARES_MIN { 0 } else { (shares * 1000 + SHARES_PER_CPU - 1) / SHARES_PER_CPU }
}

/// Upstream: `QuotaToMilliCPU`.
pub fn milli_cpu_of_quota(quota_us: i64, period_us: i64) -> i64 {
    if quota_us <= 0 || period_us <= 0 { 0 } else { quota_us * 1000 / period_us }
}

/// Upstream: `ResourceConfigForPod`.
pub fn pod_resources(pod: &Value) -> PodResources {
    pod_resources_over(pod, PERIOD_US)
}

/// The same over another period.
pub fn pod_resources_over(pod: &Value, period_us: i64) -> PodResources {
    let requests = pod_resources::requests(pod, Basis::default());
    let limits = pod_resources::limits(pod, Basis::default());
    let class = class(pod);
    let cpu_shares = match class {
        Class::BestEffort => SHARES_MIN,
        _ => shares(requests.get("cpu").map_or(0, Quantity::milli_value)),
    };
    // A pod with one container that has no limit has none as a whole.
    let declared = |name: &str| class == Class::Guaranteed || class == Class::Burstable && declares_limit(pod, name);
    let quota = || (quota_us(limits.get("cpu").map_or(0, Quantity::milli_value), period_us), period_us);
    PodResources {
        cpu_shares,
        cpu_quota_us: declared("cpu").then(quota),
        memory_limit_bytes: if declared("memory") { limits.get("memory").map_or(0, Quantity::value) } else { 0 },
        hugepages: hugepages(&requests),
    }
}

fn declares_limit(pod: &Value, name: &str) -> bool {
    let spec = pod.at("spec");
    let declares = |of: &Value| {
        let limit = of.at_path(&["resources", "limits", name]);
        !limit.is_null() && !Quantity::of(limit).is_zero()
    };
    let mut containers = spec.list("initContainers").iter().chain(spec.list("containers"));
    pod_resources::is_pod_level(name) && declares(spec) || containers.all(declares)
}

/// Bytes by size of the page in bytes.
fn hugepages(amounts: &Amounts) -> BTreeMap<i64, i64> {
    let sizes = amounts.iter().filter_map(|(name, amount)| {
        let size = Quantity::parse(name.strip_prefix("hugepages-")?).ok()?;
        Some((size.value(), amount.value()))
    });
    sizes.collect()
}

/// A page's size as the kernel's files call it: `2MB`. Upstream: `HugePageUnitSizeFromByteSize`.
pub fn page_size_name(bytes: i64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB", "PB"];
    let (mut rest, mut unit) = (bytes, 0);
    while rest >= 1024 && rest % 1024 == 0 && unit + 1 < units.len() {
        (rest, unit) = (rest / 1024, unit + 1);
    }
    format!("{rest}{}", units[unit])
}

/// What a container may use. Upstream: `generateLinuxContainerResources`.
pub fn container_resources(pod: &Value, container: &Value, machine: &Machine) -> Resources {
    let own = container.at("resources");
    let limit = |name: &str| limit_of(pod, own, name);
    let cpu_limit = limit("cpu").milli_value();
    let cpu_request = match own.at("requests").at("cpu") {
        said if said.is_null() => cpu_limit,
        said => Quantity::of(said).milli_value(),
    };
    let memory_limit_bytes = limit("memory").value();
    let mut resources = Resources {
        cpu_shares: shares(cpu_request),
        memory_limit_bytes,
        oom_score_adj: oom_score_adj(pod, container, machine),
        hugepages: hugepage_limits(pod, own, machine),
        unified: unified(machine),
        ..Resources::default()
    };
    if machine.enforces_quota {
        resources.cpu_period_us = machine.quota_period_us;
        resources.cpu_quota_us = quota_us(cpu_limit, machine.quota_period_us);
    }
    if machine.limits_swap && !machine.cgroup_v2 {
        // Memory and swap together: nothing beyond memory.
        resources.memory_swap_limit_bytes = memory_limit_bytes;
    }
    resources
}

/// What the sandbox is told of the pod as a whole. Upstream: `calculateSandboxResources`.
pub fn sandbox_resources(pod: &Value, machine: &Machine) -> Resources {
    let basis = Basis { without_overhead: true, ..Basis::default() };
    whole(&pod_resources::requests(pod, basis), &pod_resources::limits(pod, basis), machine)
}

/// What the sandbox is told of the pod's overhead. Upstream: `convertOverheadToLinuxResources`.
pub fn overhead_resources(pod: &Value, machine: &Machine) -> Resources {
    let overhead = pod_resources::amounts(pod.at("spec").at("overhead"));
    if overhead.is_empty() { Resources::default() } else { whole(&overhead, &overhead, machine) }
}

fn whole(requests: &Amounts, limits: &Amounts, machine: &Machine) -> Resources {
    let cpu_limit = limits.get("cpu").map_or(0, Quantity::milli_value);
    let mut resources = Resources {
        cpu_shares: shares(requests.get("cpu").map_or(cpu_limit, Quantity::milli_value)),
        memory_limit_bytes: limits.get("memory").map_or(0, Quantity::value),
        ..Resources::default()
    };
    if machine.enforces_quota {
        resources.cpu_period_us = machine.quota_period_us;
        resources.cpu_quota_us = quota_us(cpu_limit, machine.quota_period_us);
    }
    resources
}

/// A container's own limit, or else its pod's.
fn limit_of(pod: &Value, own: &Value, name: &str) -> Quantity {
    let said = |list: &Value| match list.at(name) {
        said if said.is_null() => Quantity::ZERO,
        said => Quantity::of(said),
    };
    match said(own.at("limits")) {
        none if none.is_zero() => said(pod.at_path(&["spec", "resources", "limits"])),
        own => own,
    }
}

/// A limit for every size of page that the kernel has; what nobody said is 0.
fn hugepage_limits(pod: &Value, own: &Value, machine: &Machine) -> Vec<(String, u64)> {
    let mut wanted = BTreeMap::new();
    for list in [pod.at_path(&["spec", "resources", "limits"]), own.at("limits")] {
        for (size, bytes) in hugepages(&pod_resources::amounts(list)) {
            wanted.insert(page_size_name(size), u64::try_from(bytes).unwrap_or_default());
        }
    }
    let limit = |size: &String| (size.clone(), wanted.get(size).copied().unwrap_or_default());
    machine.hugepage_sizes.iter().map(limit).collect()
}

fn unified(machine: &Machine) -> Words {
    let mut unified = Words::new();
    if !machine.cgroup_v2 {
        return unified;
    }
    if !machine.kills_single_processes {
        unified.insert("memory.oom.group".into(), "1".into());
    }
    if machine.limits_swap {
        unified.insert("memory.swap.max".into(), "0".into());
    }
    for file in ["memory.min", "memory.low"] {
        unified.insert(file.into(), "0".into());
    }
    unified
}

/// From -1000, the last to be killed, to 1000. Upstream: `GetContainerOOMScoreAdjust`.
pub fn oom_score_adj(pod: &Value, container: &Value, machine: &Machine) -> i64 {
    let score = match class(pod) {
        _ if is_node_critical(pod) => OOM_GUARANTEED,
        Class::Guaranteed => OOM_GUARANTEED,
        Class::BestEffort => OOM_BEST_EFFORT,
        Class::Burstable => burstable_score(pod, container, machine.memory_bytes.max(1)),
    };
    machine.oom_score_min.map_or(score, |least| score.max(least))
}

/// The more of the node's memory it asks for, the later it is killed: what uses more than it asked for goes first.
fn burstable_score(pod: &Value, container: &Value, capacity: i64) -> i64 {
    let memory = |container: &Value| match container.at_path(&["resources", "requests", "memory"]) {
        said if said.is_null() => 0,
        said => Quantity::of(said).value(),
    };
    let spec = pod.at("spec");
    let unclaimed = unclaimed_memory(pod);
    // Wide, because a thousandfold of a big machine's bytes is near the end of what 64 bits hold.
    let score_of = |bytes: i64| 1000 - (1000 * i128::from(bytes + unclaimed) / i128::from(capacity)) as i64;
    let mut score = score_of(memory(container));
    let is_sidecar = container.str("restartPolicy") == "Always"
        && spec.list("initContainers").iter().any(|c| c.str("name") == container.str("name"));
    if is_sidecar {
        let least = spec.list("containers").iter().map(memory).min().unwrap_or_default();
        score = score.min(score_of(least));
    }
    score.clamp(1000 + OOM_GUARANTEED, OOM_BEST_EFFORT - 1)
}

/// What of the pod's own request no container asks for, divided among all of them.
fn unclaimed_memory(pod: &Value) -> i64 {
    let spec = pod.at("spec");
    let own = spec.at_path(&["resources", "requests", "memory"]);
    let containers = (spec.list("containers").len() + spec.list("initContainers").len()) as i64;
    if own.is_null() || containers == 0 {
        return 0;
    }
    let basis = Basis { without_pod_level: true, without_overhead: true, ..Basis::default() };
    let claimed = pod_resources::requests(pod, basis).get("memory").map_or(0, Quantity::value);
    (Quantity::of(own).value() - claimed).max(0) / containers
}

/// Upstream: `IsNodeCriticalPod`.
fn is_node_critical(pod: &Value) -> bool {
    let annotations = pod.at_path(&["metadata", "annotations"]);
    let source = annotations.str("kubernetes.io/config.source");
    let is_static = !matches!(source, "" | "api");
    let is_mirror = annotations.has("kubernetes.io/config.mirror");
    let is_critical = is_static || is_mirror || pod.at("spec").int("priority") >= PRIORITY_CRITICAL;
    is_critical && pod.at("spec").str("priorityClassName") == "system-node-critical"
}
