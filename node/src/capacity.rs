//! What the machine has: cores, memory, disk, and who it is.
//!
//! Upstream: cadvisor's machine info, kubelet/cadvisor/util.go, kubelet/cm Capacity.

use std::{fs, path::Path};

use api::{Value, pod_resources::Amounts, quantity::Quantity, value};

use crate::eviction::{Policy, Signal};

/// What is read of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub cores: u64,
    pub memory_bytes: u64,
    /// Of the filesystem that the agent's directory is on.
    pub disk_bytes: u64,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel: String,
    pub os_image: String,
    pub swap_bytes: u64,
}

/// How much is kept back from pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    pub pods_max: u64,
    /// At most so many for each core; 0: that does not count.
    pub pods_per_core: u64,
    /// `systemReserved` and `kubeReserved`.
    pub system: Amounts,
    pub kube: Amounts,
    /// What hard thresholds of it keep free.
    pub eviction: Policy,
}

impl Machine {
    /// Reads `/proc`, `/sys` and `/etc`; `root` is the agent's directory.
    pub fn read(root: &Path) -> Machine {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_string();
        let meminfo = text("/proc/meminfo");
        let kilobytes = |name: &str| -> u64 {
            let line = meminfo.lines().find(|l| l.starts_with(name));
            line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        Machine {
            cores: std::thread::available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap_or(1)),
            memory_bytes: kilobytes("MemTotal:") * 1024,
            disk_bytes: disk_bytes(root),
            machine_id: text("/etc/machine-id"),
            system_uuid: text("/sys/class/dmi/id/product_uuid"),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
            kernel: text("/proc/sys/kernel/osrelease"),
            os_image: pretty_name(&text("/etc/os-release")),
            swap_bytes: kilobytes("SwapTotal:") * 1024,
        }
    }
}

fn disk_bytes(root: &Path) -> u64 {
    rustix::fs::statvfs(root).map_or(0, |fs| fs.f_blocks * fs.f_frsize)
}

fn pretty_name(release: &str) -> String {
    let line = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "Linux".into(), |name| name.trim_matches('"').into())
}

/// `status.capacity`.
pub fn capacity(machine: &Machine, reserved: &Reserved) -> Value {
    let by_cores = reserved.pods_per_core * machine.cores;
    let pods = if by_cores > 0 { by_cores.min(reserved.pods_max) } else { reserved.pods_max };
    value!({
        "cpu": machine.cores.to_string(),
        "ephemeral-storage": kilobytes(machine.disk_bytes),
        "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        "memory": kilobytes(machine.memory_bytes),
        "pods": pods.to_string()
    })
}

/// `status.allocatable`. Upstream: nodestatus/setters.go MachineInfo, cm GetNodeAllocatableReservation.
pub fn allocatable(machine: &Machine, reserved: &Reserved) -> Value {
    let signals = [("memory", Signal::Memory), ("ephemeral-storage", Signal::NodeFs)];
    less(capacity(machine, reserved), |name, there| {
        let kept = signals.iter().find(|(resource, _)| *resource == name);
        let kept = kept.map_or(Quantity::ZERO, |(_, signal)| reserved.eviction.kept(*signal, there.value()));
        reserved.for_others(name).add(&kept)
    })
}

/// What all pods together may use. Upstream: getNodeAllocatableAbsolute.
pub fn bounds(machine: &Machine, reserved: &Reserved) -> Value {
    less(capacity(machine, reserved), |name, _| reserved.for_others(name))
}

fn less(mut list: Value, what: impl Fn(&str, &Quantity) -> Quantity) -> Value {
    let names: Vec<String> = list.members().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let there = Quantity::of(list.at(&name));
        let kept = what(&name, &there);
        if !kept.is_zero() {
            let left = there.sub(&kept);
            list.set(&name, if left.sign() < 0 { "0".into() } else { left.to_string() });
        }
    }
    list
}

impl Reserved {
    fn for_others(&self, name: &str) -> Quantity {
        let of = |amounts: &Amounts| amounts.get(name).cloned().unwrap_or(Quantity::ZERO);
        of(&self.system).add(&of(&self.kube))
    }
}

/// Whole kibibytes as upstream prints them, else bytes.
fn kilobytes(bytes: u64) -> String {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    Quantity::new(bytes, api::quantity::Format::BinarySi).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;

    #[test]
    fn what_pods_may_have_is_less_than_there_is() {
        let machine = Machine { cores: 2, memory_bytes: 4 << 30, disk_bytes: 1000 << 20, ..Machine::default() };
        let reserved = Configuration::default().reserved;
        assert_eq!(capacity(&machine, &reserved).str("memory"), "4Gi");
        let left = allocatable(&machine, &reserved);
        assert_eq!((left.str("cpu"), left.str("memory"), left.str("pods")), ("2", "3996Mi", "110"));
        // A tenth in single precision is a little more than one.
        assert_eq!(left.str("ephemeral-storage"), "943718399");
        let file = value!({
            "systemReserved": {"cpu": "100m", "memory": "1Gi"}, "kubeReserved": {"cpu": "150m"}, "podsPerCore": 20,
            "evictionHard": {"memory.available": "1Gi", "nodefs.available": "50%"}
        });
        let reserved = Configuration::read(&file).expect("it is right").reserved;
        let left = allocatable(&machine, &reserved);
        assert_eq!((left.str("cpu"), left.str("memory"), left.str("pods")), ("1750m", "2Gi", "40"));
        assert_eq!(left.str("ephemeral-storage"), "500Mi");
        assert_eq!(
            bounds(&machine, &reserved).str("memory"),
            "3Gi",
            "what is kept free is not taken from pods at once"
        );
    }
}
