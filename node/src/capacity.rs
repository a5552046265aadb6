//! What the machine has: cores, memory, disk, and who it is.
//!
//! Upstream: cadvisor's machine info, kubelet/cadvisor/util.go, kubelet/cm Capacity.

use std::{fs, path::Path};

use api::{Value, quantity::Quantity, value};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Upstream: evictionHard `memory.available`, `nodefs.available`.
    pub memory_bytes: u64,
    pub disk_percent: u64,
    pub pods_max: u64,
}

impl Default for Reserved {
    /// Upstream: eviction/defaults_linux.go, `--max-pods`.
    fn default() -> Reserved {
        Reserved { memory_bytes: 100 << 20, disk_percent: 10, pods_max: 110 }
    }
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
    value!({
        "cpu": machine.cores.to_string(),
        "ephemeral-storage": kilobytes(machine.disk_bytes),
        "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        "memory": kilobytes(machine.memory_bytes),
        "pods": reserved.pods_max.to_string()
    })
}

/// `status.allocatable`.
pub fn allocatable(machine: &Machine, reserved: &Reserved) -> Value {
    let mut list = capacity(machine, reserved);
    let disk = machine.disk_bytes - machine.disk_bytes / 100 * reserved.disk_percent;
    list.set("ephemeral-storage", disk.to_string());
    list.set("memory", kilobytes(machine.memory_bytes.saturating_sub(reserved.memory_bytes)));
    list
}

/// Whole kibibytes as upstream prints them, else bytes.
fn kilobytes(bytes: u64) -> String {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    Quantity::new(bytes, api::quantity::Format::BinarySi).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_may_have_is_less_than_there_is() {
        let machine = Machine { cores: 2, memory_bytes: 4 << 30, disk_bytes: 1000 << 20, ..Machine::default() };
        let reserved = Reserved::default();
        assert_eq!(capacity(&machine, &reserved).str("memory"), "4Gi");
        let left = allocatable(&machine, &reserved);
        assert_eq!((left.str("cpu"), left.str("memory"), left.str("pods")), ("2", "3996Mi", "110"));
        assert_eq!(left.str("ephemeral-storage"), "943718400");
    }
}
