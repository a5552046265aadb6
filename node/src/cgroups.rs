//! Control groups of the node's pods: a root, a group for each class, a group for each pod.
//!
//! Both layouts of the kernel's files: one unified hierarchy (v2), or one for each controller (v1; where both are mounted,
//! the old ones hold the controllers and count). The runtime makes the containers' groups inside the pod's.
//! Upstream: pkg/kubelet/cm.

mod layout;
mod names;
#[cfg(test)]
mod tests;

pub use layout::Layout;
pub use names::{Driver, Name};

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use api::Value;
use rustix::process::{Pid, Signal, kill_process};

use crate::qos::{self, Class, PodResources};

/// As much as the kernel counts: no limit.
const UNBOUND: i64 = 1 << 62;
const POD: &str = "pod";

/// The node's groups.
pub struct Cgroups {
    layout: Layout,
    driver: Driver,
    root: Name,
    /// Sizes of huge pages that the kernel has, as `2MB`.
    hugepage_sizes: Vec<String>,
}

/// What a group may use; what is `None` is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub cpu_shares: Option<i64>,
    /// Quota and period; a quota of -1 is none.
    pub cpu_quota_us: Option<(i64, i64)>,
    pub memory_bytes: Option<i64>,
    pub pids: Option<i64>,
    /// By size of the page as `2MB`.
    pub hugepages: BTreeMap<String, i64>,
}

impl Cgroups {
    /// `parent` is the group in which the pods' root is made, as `/` or `/nodes/one`.
    pub fn new(layout: Layout, driver: Driver, parent: &str, hugepage_sizes: Vec<String>) -> Cgroups {
        Cgroups { layout, driver, root: Name::parse(parent).below("kubepods"), hugepage_sizes }
    }

    /// Makes the groups that all pods share. Upstream: `qosContainerManagerImpl.Start`.
    pub fn prepare(&self) -> io::Result<()> {
        self.make(&self.root, &Limits::default())?;
        let hugepages: BTreeMap<_, _> = self.hugepage_sizes.iter().map(|size| (size.clone(), UNBOUND)).collect();
        let unbound = Limits { hugepages, ..Limits::default() };
        self.make(&self.of_class(Class::Burstable), &unbound)?;
        self.make(&self.of_class(Class::BestEffort), &Limits { cpu_shares: Some(qos::SHARES_MIN), ..unbound })
    }

    /// Bounds all pods together to what the node has for them. Upstream: `enforceNodeAllocatableCgroups`.
    pub fn bound_all(&self, milli_cpu: i64, memory_bytes: i64, pids: Option<i64>) -> io::Result<()> {
        let memory_bytes = (memory_bytes > 0).then_some(memory_bytes);
        let cpu_shares = Some(qos::shares(milli_cpu));
        self.set(&self.root, &Limits { cpu_shares, memory_bytes, pids, ..Limits::default() })
    }

    /// Weighs burstable pods by what they ask for together.
    pub fn weigh_burstable(&self, milli_cpu: i64) -> io::Result<()> {
        let cpu_shares = Some(qos::shares(milli_cpu));
        self.set(&self.of_class(Class::Burstable), &Limits { cpu_shares, ..Limits::default() })
    }

    /// The group that all pods are in.
    pub fn root_name(&self) -> String {
        self.root.path(self.driver)
    }

    /// The group of a pod, as the runtime is told it.
    pub fn parent_of(&self, pod: &Value) -> String {
        self.of_pod(pod).path(self.driver)
    }

    /// Makes a pod's group where it is not there yet.
    pub fn ensure_pod(&self, pod: &Value, machine: &qos::Machine, pids: Option<i64>) -> io::Result<()> {
        let name = self.of_pod(pod);
        if self.directories(&name).iter().all(|directory| directory.is_dir()) {
            return Ok(());
        }
        let resources = qos::pod_resources_over(pod, machine.quota_period_us);
        self.make(&name, &Limits { pids, ..self.limits_of(&resources, machine.enforces_quota) })
    }

    /// Sets what a pod's group may use, as when its containers are resized.
    pub fn resize_pod(&self, pod: &Value, limits: &Limits) -> io::Result<()> {
        self.set(&self.of_pod(pod), limits)
    }

    /// Ends what is left in a pod's group, whatever class it has, and removes it.
    pub fn remove_pod(&self, uid: &str) -> io::Result<()> {
        for name in self.classes().map(|class| self.of_class(class).below(&format!("{POD}{uid}"))) {
            for directory in self.directories(&name).into_iter().filter(|directory| directory.is_dir()) {
                end_all(&directory)?;
                remove(&directory)?;
            }
        }
        Ok(())
    }

    /// Uids of the pods that have a group in any hierarchy.
    pub fn pods(&self) -> io::Result<BTreeSet<String>> {
        let mut uids = BTreeSet::new();
        for class in self.classes() {
            for directory in self.directories(&self.of_class(class)) {
                for entry in children(&directory)? {
                    let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    uids.extend(self.driver.last(&name).strip_prefix(POD).map(str::to_owned));
                }
            }
        }
        Ok(uids)
    }

    /// Bytes of memory that all of a pod uses; `None` when it has no group.
    pub fn memory_of(&self, pod: &Value) -> Option<u64> {
        let path = self.of_pod(pod).path(self.driver);
        let file = match &self.layout {
            Layout::Unified(root) => beneath(root, &path).join("memory.current"),
            Layout::Separate(_) => beneath(self.layout.of("memory")?, &path).join("memory.usage_in_bytes"),
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// Bytes of memory that all pods together use and that cannot be had back by reading less of files.
    pub fn memory_of_all(&self) -> Option<u64> {
        let path = self.root.path(self.driver);
        let (directory, used, idle) = match &self.layout {
            Layout::Unified(root) => (beneath(root, &path), "memory.current", "inactive_file"),
            Layout::Separate(_) => {
                (beneath(self.layout.of("memory")?, &path), "memory.usage_in_bytes", "total_inactive_file")
            }
        };
        let used: u64 = fs::read_to_string(directory.join(used)).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(directory.join("memory.stat")).ok()?;
        let idle = stat.lines().find_map(|line| line.strip_prefix(idle)?.trim().parse::<u64>().ok());
        Some(used.saturating_sub(idle.unwrap_or(0)))
    }

    /// What a pod's group has now; `None` when it has none.
    pub fn now_of(&self, pod: &Value) -> Option<PodResources> {
        let path = self.of_pod(pod).path(self.driver);
        let read = |controller: &str, file: &str| {
            let place = beneath(self.layout.of(controller)?, &path).join(file);
            fs::read_to_string(place).ok().map(|text| text.trim().to_owned())
        };
        self.layout.read(&read)
    }

    /// A pod's figures as limits of its group.
    pub fn limits_of(&self, resources: &PodResources, enforces_quota: bool) -> Limits {
        let no_quota = resources.cpu_quota_us.map(|(_, period)| (-1, period));
        let mut hugepages: BTreeMap<String, i64> = self.hugepage_sizes.iter().map(|size| (size.clone(), 0)).collect();
        hugepages.extend(resources.hugepages.iter().map(|(size, bytes)| (qos::page_size_name(*size), *bytes)));
        Limits {
            cpu_shares: Some(resources.cpu_shares),
            cpu_quota_us: if enforces_quota { resources.cpu_quota_us } else { no_quota },
            memory_bytes: (resources.memory_limit_bytes > 0).then_some(resources.memory_limit_bytes),
            pids: None,
            hugepages,
        }
    }

    fn classes(&self) -> impl Iterator<Item = Class> {
        [Class::Guaranteed, Class::Burstable, Class::BestEffort].into_iter()
    }

    fn of_class(&self, class: Class) -> Name {
        match class {
            Class::Guaranteed => self.root.clone(),
            Class::Burstable | Class::BestEffort => self.root.below(&class.as_str().to_lowercase()),
        }
    }

    fn of_pod(&self, pod: &Value) -> Name {
        self.of_class(qos::class(pod)).below(&format!("{POD}{}", pod.at("metadata").str("uid")))
    }

    /// A group's directory in every hierarchy.
    fn directories(&self, name: &Name) -> Vec<PathBuf> {
        let path = name.path(self.driver);
        self.layout.roots().map(|root| beneath(root, &path)).collect()
    }

    fn make(&self, name: &Name, limits: &Limits) -> io::Result<()> {
        let path = name.path(self.driver);
        for root in self.layout.roots() {
            make_below(root, &path, self.layout.is_unified())?;
        }
        self.set(name, limits)
    }

    fn set(&self, name: &Name, limits: &Limits) -> io::Result<()> {
        let path = name.path(self.driver);
        for (controller, file, value) in self.layout.writes(limits) {
            let Some(root) = self.layout.of(controller) else { continue };
            let place = beneath(root, &path).join(file);
            fs::write(&place, value).map_err(|error| {
                io::Error::new(error.kind(), format!("failed to write {}: {error}", place.display()))
            })?;
        }
        Ok(())
    }
}

fn beneath(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Makes every group on the way. A new one can hold nothing before it has CPUs (v1) or controllers (v2).
fn make_below(root: &Path, path: &str, is_unified: bool) -> io::Result<()> {
    let mut directory = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if is_unified {
            enable_controllers(&directory)?;
        }
        let parent = directory.clone();
        directory.push(part);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        for file in ["cpuset.cpus", "cpuset.mems"] {
            inherit(&parent.join(file), &directory.join(file), is_unified)?;
        }
    }
    Ok(())
}

/// On the old hierarchy, a new group has no CPUs until somebody gives it some.
fn inherit(parent: &Path, own: &Path, is_unified: bool) -> io::Result<()> {
    if is_unified || !parent.is_file() {
        return Ok(());
    }
    match fs::read_to_string(own) {
        Ok(text) if !text.trim().is_empty() => Ok(()),
        _ => fs::write(own, fs::read_to_string(parent)?.trim()),
    }
}

fn enable_controllers(directory: &Path) -> io::Result<()> {
    let available = fs::read_to_string(directory.join("cgroup.controllers"))?;
    let control = directory.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control).unwrap_or_default();
    let is_on = |name: &&str| enabled.split_whitespace().any(|on| on == *name);
    let missing = available.split_whitespace().filter(|name| layout::CONTROLLERS.contains(name) && !is_on(name));
    let words: Vec<String> = missing.map(|name| format!("+{name}")).collect();
    if words.is_empty() { Ok(()) } else { fs::write(control, words.join(" ")) }
}

fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Kills every process in a group and the groups in it.
fn end_all(directory: &Path) -> io::Result<()> {
    for child in children(directory)? {
        end_all(&child)?;
    }
    let listed = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    for pid in listed.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)) {
        match kill_process(pid, Signal::KILL) {
            // It has ended by itself.
            Err(rustix::io::Errno::SRCH) => {}
            killed => killed?,
        }
    }
    Ok(())
}

/// Removes a group with those in it. What was just killed may hold it for a moment: the caller comes again.
fn remove(directory: &Path) -> io::Result<()> {
    for child in children(directory)? {
        remove(&child)?;
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
