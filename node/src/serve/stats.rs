//! What pods and the machine use: as a summary in JSON, and as metrics.
//!
//! Upstream: staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go, pkg/kubelet/metrics/collectors/resource_metrics.go.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path, sync::Arc};

use api::{Value, time, value};
use jiff::Timestamp;

use crate::{
    pods::observe::PodView,
    runtime::{ContainerStats, FilesystemUsage, InterfaceStats, SandboxStats, State},
};

#[cfg(test)]
mod tests;

/// All that is known at a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub node: String,
    pub now: Timestamp,
    pub machine: Machine,
    pub sandboxes: Vec<SandboxStats>,
    /// When the pods of `sandboxes` were taken on, as the API has it; empty where it is not known.
    pub starts: Vec<String>,
    /// When containers were made, by id.
    pub created: BTreeMap<String, Timestamp>,
    pub images: Option<FilesystemUsage>,
}

/// What the whole machine uses.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub cpu_nanos: u64,
    pub memory_bytes: u64,
    pub memory_available_bytes: u64,
    pub disk_bytes: u64,
    pub disk_available_bytes: u64,
    pub inodes: u64,
    pub inodes_free: u64,
    pub interfaces: Vec<InterfaceStats>,
}

/// What a number is called, what it means, and what it is.
type Row = (&'static str, &'static str, &'static str, fn(&ContainerStats) -> Option<f64>);

/// Numbers of containers that metrics servers read.
const RESOURCES: [Row; 2] = [
    (
        "container_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        |c| seconds(c.cpu_nanos),
    ),
    ("container_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the container in bytes", |c| {
        number(c.memory_working_set_bytes)
    }),
];

/// Numbers of containers as cadvisor names them.
const CADVISOR: [Row; 5] = [
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", |c| {
        seconds(c.cpu_nanos)
    }),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", |c| number(c.memory_rss_bytes)),
    (
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |c| number(c.memory_usage_bytes),
    ),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |c| {
        number(c.memory_working_set_bytes)
    }),
    (
        "container_fs_usage_bytes",
        "gauge",
        "Number of bytes that are consumed by the container on this filesystem.",
        |c| number(c.writable_layer.as_ref().map(|layer| layer.used_bytes)),
    ),
];

#[allow(clippy::cast_precision_loss)]
fn number(count: Option<u64>) -> Option<f64> {
    count.map(|count| count as f64)
}

fn seconds(nanos: Option<u64>) -> Option<f64> {
    number(nanos).map(|nanos| nanos / 1e9)
}

// === impl Machine ===

impl Machine {
    /// Reads `/proc`, and the filesystem that `root` is on.
    pub fn read(root: &Path) -> Machine {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let meminfo = text("/proc/meminfo");
        let bytes = |name: &str| {
            let line = meminfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        let disk = rustix::fs::statvfs(root).ok();
        let of = |count: fn(&rustix::fs::StatVfs) -> u64| disk.as_ref().map_or(0, count);
        Machine {
            cpu_nanos: cpu_nanos(&text("/proc/stat")),
            memory_bytes: bytes("MemTotal:"),
            memory_available_bytes: bytes("MemAvailable:"),
            disk_bytes: of(|disk| disk.f_blocks * disk.f_frsize),
            disk_available_bytes: of(|disk| disk.f_bavail * disk.f_frsize),
            inodes: of(|disk| disk.f_files),
            inodes_free: of(|disk| disk.f_ffree),
            interfaces: interfaces(&text("/proc/net/dev")),
        }
    }
}

/// Time that the cores were at work; the kernel counts hundredths of seconds.
fn cpu_nanos(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let counts: Vec<u64> = line.split_whitespace().skip(1).filter_map(|count| count.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy = counts.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4) && *at < 8);
    busy.map(|(_, count)| count).sum::<u64>() * 10_000_000
}

fn interfaces(dev: &str) -> Vec<InterfaceStats> {
    let lines = dev.lines().skip(2).filter_map(|line| line.split_once(':'));
    let read = |(name, counts): (&str, &str)| {
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|count| count.parse().ok()).collect();
        let at = |i: usize| counts.get(i).copied().unwrap_or(0);
        let (rx_bytes, rx_errors, tx_bytes, tx_errors) = (at(0), at(2), at(8), at(10));
        InterfaceStats { name: name.trim().into(), rx_bytes, rx_errors, tx_bytes, tx_errors }
    };
    lines.map(read).filter(|interface| interface.name != "lo").collect()
}

// === impl Snapshot ===

impl Snapshot {
    /// `/stats/summary`.
    pub fn summary(&self, only_cpu_and_memory: bool) -> Value {
        let pods: Vec<Value> =
            self.sandboxes.iter().zip(&self.starts).map(|(s, start)| self.pod(s, start, only_cpu_and_memory)).collect();
        value!({"node": (self.node(only_cpu_and_memory)), "pods": pods})
    }

    fn node(&self, only_cpu_and_memory: bool) -> Value {
        let (machine, now) = (&self.machine, time::seconds(self.now));
        let used = machine.memory_bytes.saturating_sub(machine.memory_available_bytes);
        let mut node = value!({
            "nodeName": (self.node.as_str()),
            "cpu": {"time": (now.as_str()), "usageCoreNanoSeconds": (count(machine.cpu_nanos))},
            "memory": {
                "time": (now.as_str()), "availableBytes": (count(machine.memory_available_bytes)),
                "usageBytes": (count(used)), "workingSetBytes": (count(used))
            }
        });
        if only_cpu_and_memory {
            return node;
        }
        node.set("network", network(&machine.interfaces, &now));
        let disk = |used_bytes: u64, inodes_used: u64| {
            value!({
                "time": (now.as_str()), "availableBytes": (count(machine.disk_available_bytes)),
                "capacityBytes": (count(machine.disk_bytes)), "usedBytes": (count(used_bytes)),
                "inodesFree": (count(machine.inodes_free)), "inodes": (count(machine.inodes)),
                "inodesUsed": (count(inodes_used))
            })
        };
        let used = machine.disk_bytes.saturating_sub(machine.disk_available_bytes);
        node.set("fs", disk(used, machine.inodes.saturating_sub(machine.inodes_free)));
        if let Some(images) = &self.images {
            node.set("runtime", value!({"imageFs": (disk(images.used_bytes, images.inodes_used))}));
        }
        node
    }

    fn pod(&self, sandbox: &SandboxStats, start: &str, only_cpu_and_memory: bool) -> Value {
        let at = time::seconds(sandbox.at);
        let containers: Vec<Value> =
            sandbox.containers.iter().map(|c| self.container(c, only_cpu_and_memory)).collect();
        let mut pod = value!({
            "podRef": {
                "name": (sandbox.pod.name.as_str()), "namespace": (sandbox.pod.namespace.as_str()),
                "uid": (sandbox.pod.uid.as_str())
            }
        });
        pod.set("startTime", if start.is_empty() { Value::Null } else { start.into() });
        pod.set("containers", containers);
        pod.set("cpu", cpu(&at, sandbox.cpu_nano_cores, sandbox.cpu_nanos));
        pod.set(
            "memory",
            memory(
                &at,
                &[
                    ("availableBytes", sandbox.memory_available_bytes),
                    ("usageBytes", sandbox.memory_usage_bytes),
                    ("workingSetBytes", sandbox.memory_working_set_bytes),
                    ("rssBytes", sandbox.memory_rss_bytes),
                ],
            ),
        );
        if !only_cpu_and_memory {
            pod.set("network", network(&sandbox.interfaces, &at));
            if let Some(processes) = sandbox.processes {
                pod.set("process_stats", value!({"process_count": (count(processes))}));
            }
        }
        pod
    }

    fn container(&self, container: &ContainerStats, only_cpu_and_memory: bool) -> Value {
        let at = time::seconds(container.at);
        let mut value = value!({"name": (container.name.as_str())});
        let created = self.created.get(&container.id).map(|at| time::seconds(*at));
        value.set("startTime", created.map_or(Value::Null, Value::from));
        value.set("cpu", cpu(&at, container.cpu_nano_cores, container.cpu_nanos));
        value.set(
            "memory",
            memory(
                &at,
                &[
                    ("availableBytes", container.memory_available_bytes),
                    ("usageBytes", container.memory_usage_bytes),
                    ("workingSetBytes", container.memory_working_set_bytes),
                    ("rssBytes", container.memory_rss_bytes),
                    ("pageFaults", container.page_faults),
                    ("majorPageFaults", container.major_page_faults),
                ],
            ),
        );
        if let Some(layer) = container.writable_layer.as_ref().filter(|_| !only_cpu_and_memory) {
            let used = (count(layer.used_bytes), count(layer.inodes_used));
            value.set(
                "rootfs",
                value!({"time": (time::seconds(layer.at)), "usedBytes": (used.0), "inodesUsed": (used.1)}),
            );
        }
        value
    }

    /// `/metrics/resource`.
    pub fn resource_metrics(&self) -> String {
        let mut page = String::new();
        self.containers(&mut page, &RESOURCES, |_| String::new());
        head(
            &mut page,
            "container_start_time_seconds",
            "gauge",
            "[STABLE] Start time of the container since unix epoch in seconds",
        );
        for (sandbox, container) in self.each() {
            if let Some(at) = self.created.get(&container.id) {
                let labels = labels(sandbox, &container.name);
                let _ = writeln!(page, "container_start_time_seconds{{{labels}}} {}", at.as_second());
            }
        }
        let (used, at) =
            (self.machine.memory_bytes.saturating_sub(self.machine.memory_available_bytes), self.now.as_millisecond());
        head(
            &mut page,
            "node_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        );
        let _ = writeln!(
            page,
            "node_cpu_usage_seconds_total {} {at}",
            seconds(Some(self.machine.cpu_nanos)).unwrap_or_default()
        );
        head(&mut page, "node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes");
        let _ = writeln!(page, "node_memory_working_set_bytes {used} {at}");
        for (name, kind, help, of) in [
            (
                "pod_cpu_usage_seconds_total",
                "counter",
                "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
                (|s| seconds(s.cpu_nanos)) as fn(&SandboxStats) -> Option<f64>,
            ),
            ("pod_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the pod in bytes", |s| {
                number(s.memory_working_set_bytes)
            }),
        ] {
            head(&mut page, name, kind, help);
            for sandbox in &self.sandboxes {
                let Some(value) = of(sandbox) else { continue };
                let (pod, at) = (&sandbox.pod, sandbox.at.as_millisecond());
                let _ = writeln!(page, "{name}{{namespace=\"{}\",pod=\"{}\"}} {value} {at}", pod.namespace, pod.name);
            }
        }
        head(
            &mut page,
            "resource_scrape_error",
            "gauge",
            "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
        );
        page + "resource_scrape_error 0\n"
    }

    /// `/metrics/cadvisor`.
    pub fn cadvisor_metrics(&self) -> String {
        let mut page = String::new();
        self.containers(&mut page, &CADVISOR, |container| {
            format!(",id=\"/{}\",name=\"{}\"", container.id, container.id)
        });
        head(&mut page, "machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
        let _ = writeln!(page, "machine_memory_bytes {}", self.machine.memory_bytes);
        page
    }

    fn containers(&self, page: &mut String, rows: &[Row], more: fn(&ContainerStats) -> String) {
        for (name, kind, help, of) in rows {
            head(page, name, kind, help);
            for (sandbox, container) in self.each() {
                let Some(value) = of(container) else { continue };
                let (labels, at) = (labels(sandbox, &container.name), container.at.as_millisecond());
                let _ = writeln!(page, "{name}{{{labels}{}}} {value} {at}", more(container));
            }
        }
    }

    fn each(&self) -> impl Iterator<Item = (&SandboxStats, &ContainerStats)> {
        self.sandboxes.iter().flat_map(|sandbox| sandbox.containers.iter().map(move |container| (sandbox, container)))
    }
}

/// `/metrics`: what the agent counts of itself.
pub fn own(node: &str, views: &[Arc<PodView>]) -> String {
    let mut page = String::new();
    head(&mut page, "kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
    let _ = writeln!(page, "kubelet_node_name{{node=\"{node}\"}} 1");
    head(&mut page, "kubelet_running_containers", "gauge", "[ALPHA] Number of containers currently running");
    for (state, word) in [(State::Created, "created"), (State::Exited, "exited"), (State::Running, "running")] {
        let found = views.iter().flat_map(|view| &view.containers).filter(|c| c.state == state).count();
        let _ = writeln!(page, "kubelet_running_containers{{container_state=\"{word}\"}} {found}");
    }
    head(&mut page, "kubelet_running_pods", "gauge", "[ALPHA] Number of pods that have a running pod sandbox");
    let running = views.iter().filter(|view| view.sandboxes.iter().any(|s| s.ready)).count();
    let _ = writeln!(page, "kubelet_running_pods {running}");
    page
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn labels(sandbox: &SandboxStats, container: &str) -> String {
    format!("container=\"{container}\",namespace=\"{}\",pod=\"{}\"", sandbox.pod.namespace, sandbox.pod.name)
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn cpu(at: &str, nano_cores: Option<u64>, nanos: Option<u64>) -> Value {
    let mut cpu = value!({"time": at});
    for (name, number) in [("usageNanoCores", nano_cores), ("usageCoreNanoSeconds", nanos)] {
        if let Some(number) = number {
            cpu.set(name, count(number));
        }
    }
    cpu
}

fn memory(at: &str, counts: &[(&str, Option<u64>)]) -> Value {
    let mut memory = value!({"time": at});
    for (name, number) in counts {
        if let Some(number) = number {
            memory.set(name, count(*number));
        }
    }
    memory
}

fn network(interfaces: &[InterfaceStats], at: &str) -> Value {
    let one = |interface: &InterfaceStats| {
        value!({
            "name": (interface.name.as_str()), "rxBytes": (count(interface.rx_bytes)),
            "rxErrors": (count(interface.rx_errors)), "txBytes": (count(interface.tx_bytes)),
            "txErrors": (count(interface.tx_errors))
        })
    };
    let mut network = value!({"time": at});
    if let Some(first) = interfaces.first() {
        one(first).members().for_each(|(key, value)| network.set(key, value.clone()));
    }
    network.set("interfaces", interfaces.iter().map(one).collect::<Vec<Value>>());
    network
}
