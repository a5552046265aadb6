//! Giving running containers more or less, in place. What has to be done is decided here; nothing is done.
//!
//! A pod's group holds its containers' groups, and none of them may ever exceed it: what grows, grows from the outside in,
//! and what shrinks, shrinks from the inside out. Upstream: kuberuntime_manager.go computePodResizeAction,
//! doPodResizeAction; kubelet_pods.go convertToAPIContainerStatuses.

#[cfg(test)]
mod tests;

use api::{
    Value,
    quantity::{Format, Quantity},
};

use crate::{
    cgroups::Limits,
    qos::{self, Machine, PodResources},
    runtime::Resources,
};

/// At or below these, the kernel's figures do not tell one amount from another.
const MILLI_CPU_LIMIT_MIN: i64 = 10;

/// A container that runs, and what it has.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub has: &'a Resources,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sets what the pod's group may use.
    Group(Limits),
    /// Sets what a container may use; what is 0 is left.
    Container { id: String, name: String, resources: Resources },
    /// The container said that it wants to be started anew for this.
    Restart { id: String, name: String, message: String },
}

/// What a group or container has of one resource, and is to have.
struct Change<'a> {
    running: Running<'a>,
    by: i64,
    resources: Resources,
}

/// What makes the running containers of a pod have what its spec says, in order. `group` is what the pod's group has.
pub fn acts(pod: &Value, running: &[Running<'_>], group: &PodResources, machine: &Machine) -> Vec<Act> {
    let (mut memory, mut cpu, mut restarts) = (Vec::new(), Vec::new(), Vec::new());
    for own in running {
        let Some(container) = find(pod, own.name) else { continue };
        let wanted = qos::container_resources(pod, container, machine);
        let by_memory = changed(wanted.memory_limit_bytes, own.has.memory_limit_bytes);
        let by_cpu =
            [changed(wanted.cpu_quota_us, own.has.cpu_quota_us.max(0)), changed(wanted.cpu_shares, own.has.cpu_shares)];
        let by_cpu = by_cpu.into_iter().find(|by| *by != 0).unwrap_or(0);
        if by_memory != 0 && wants_restart(container, "memory") || by_cpu != 0 && wants_restart(container, "cpu") {
            let message = format!("Container {} resize requires restart", own.name);
            restarts.push(Act::Restart { id: own.id.to_owned(), name: own.name.to_owned(), message });
            continue;
        }
        if by_memory != 0 {
            memory.push(Change { running: *own, by: by_memory, resources: memory_of(&wanted) });
        }
        if by_cpu != 0 {
            cpu.push(Change { running: *own, by: by_cpu, resources: cpu_of(&wanted) });
        }
    }
    if memory.is_empty() && cpu.is_empty() && restarts.is_empty() {
        return Vec::new();
    }
    let wanted = qos::pod_resources_over(pod, machine.quota_period_us);
    let mut acts = memory_acts(&wanted, group, memory);
    acts.extend(cpu_acts(&wanted, group, cpu));
    acts.extend(restarts);
    acts
}

/// What a container that runs has, in the words of its spec: `status.resources`.
///
/// The runtime knows only what the kernel is told; amounts too small to be told apart there stay as they were asked for.
pub fn reported(container: &Value, has: Option<&Resources>) -> Value {
    let mut resources = match container.at("resources") {
        Value::Null => Value::object(),
        said => said.clone(),
    };
    // Claims and what else is said there are not the runtime's.
    let Some(has) = has else { return resources };
    let said = |list: &str| match container.at_path(&["resources", list, "cpu"]) {
        said if said.is_null() => 0,
        said => Quantity::of(said).milli_value(),
    };
    let milli = |amount: i64| Value::from(Quantity::from_milli(amount, Format::DecimalSi).to_string());
    if container.at("resources").has("limits") {
        let limit = qos::milli_cpu_of_quota(has.cpu_quota_us, has.cpu_period_us);
        let differs = limit != said("limits") && limit > 0;
        if differs && (limit > MILLI_CPU_LIMIT_MIN || said("limits") > MILLI_CPU_LIMIT_MIN) {
            resources.set_path(&["limits", "cpu"], milli(limit));
        }
        let bytes = has.memory_limit_bytes;
        let asked = container.at_path(&["resources", "limits", "memory"]);
        if bytes > 0 && (asked.is_null() || Quantity::of(asked).value() != bytes) {
            resources.set_path(&["limits", "memory"], Quantity::new(bytes, Format::BinarySi).to_string());
        }
    }
    if container.at("resources").has("requests") {
        let asked = said("requests");
        // The way to shares and back loses a little: what would give the same shares is the same.
        let request = qos::milli_cpu_of_shares(has.cpu_shares);
        let differs = has.cpu_shares > 0 && qos::shares(asked) != has.cpu_shares;
        if differs && (request > qos::SHARES_MIN || asked > qos::SHARES_MIN) {
            resources.set_path(&["requests", "cpu"], milli(request));
        }
    }
    resources
}

fn find<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let spec = pod.at("spec");
    let sidecars = spec.list("initContainers").iter().filter(|c| c.str("restartPolicy") == "Always");
    spec.list("containers").iter().chain(sidecars).find(|container| container.str("name") == name)
}

fn wants_restart(container: &Value, resource: &str) -> bool {
    let policies = container.list("resizePolicy");
    policies.iter().any(|p| p.str("resourceName") == resource && p.str("restartPolicy") == "RestartContainer")
}

/// By how much it grows. A container that reports nothing has what it was made with.
fn changed(wanted: i64, has: i64) -> i64 {
    wanted - has
}

fn memory_of(wanted: &Resources) -> Resources {
    Resources {
        memory_limit_bytes: wanted.memory_limit_bytes,
        memory_swap_limit_bytes: wanted.memory_swap_limit_bytes,
        ..Resources::default()
    }
}

fn cpu_of(wanted: &Resources) -> Resources {
    Resources {
        cpu_shares: wanted.cpu_shares,
        // A limit that is no more is not 0, which would leave it.
        cpu_quota_us: if wanted.cpu_quota_us == 0 { -1 } else { wanted.cpu_quota_us },
        cpu_period_us: wanted.cpu_period_us,
        ..Resources::default()
    }
}

fn memory_acts(wanted: &PodResources, group: &PodResources, changes: Vec<Change<'_>>) -> Vec<Act> {
    // A pod that has no limit as a whole keeps what its group has.
    let (new, old) = (wanted.memory_limit_bytes, group.memory_limit_bytes);
    let set = || Act::Group(Limits { memory_bytes: Some(new), ..Limits::default() });
    let is_bound = new > 0;
    let mut acts = Vec::new();
    acts.extend((is_bound && new > old && old > 0).then(set));
    acts.extend(containers(changes));
    acts.extend((is_bound && (new < old || old == 0)).then(set));
    acts
}

fn cpu_acts(wanted: &PodResources, group: &PodResources, changes: Vec<Change<'_>>) -> Vec<Act> {
    let quota = |resources: &PodResources| resources.cpu_quota_us.map_or(0, |(quota, _)| quota.max(0));
    let (new, old) = (quota(wanted), quota(group));
    let set_quota = || Act::Group(Limits { cpu_quota_us: wanted.cpu_quota_us, ..Limits::default() });
    let set_shares = || Act::Group(Limits { cpu_shares: Some(wanted.cpu_shares), ..Limits::default() });
    let is_bound = new > 0;
    let mut acts = Vec::new();
    acts.extend((is_bound && new > old && old > 0).then(set_quota));
    acts.extend((wanted.cpu_shares > group.cpu_shares).then(set_shares));
    acts.extend(containers(changes));
    acts.extend((wanted.cpu_shares < group.cpu_shares).then(set_shares));
    acts.extend((is_bound && (new < old || old == 0)).then(set_quota));
    acts
}

/// What shrinks first makes room for what grows.
fn containers(mut changes: Vec<Change<'_>>) -> impl Iterator<Item = Act> {
    changes.sort_by_key(|change| change.by > 0);
    changes.into_iter().map(|change| Act::Container {
        id: change.running.id.to_owned(),
        name: change.running.name.to_owned(),
        resources: change.resources,
    })
}
