//! Where the kernel's files are, and how they are called in each layout.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::Limits;
use crate::qos::PodResources;

/// Controllers that the node sets something in.
pub const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "memory", "hugetlb", "pids"];

/// How control groups are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// v2: one hierarchy.
    Unified(PathBuf),
    /// v1: where each controller's hierarchy is; several may be in one.
    Separate(BTreeMap<String, PathBuf>),
}

impl Layout {
    /// Reads it from the text of `/proc/self/mountinfo`; `None` when nothing is mounted.
    pub fn detect(mountinfo: &str) -> Option<Layout> {
        let (mut separate, mut unified) = (BTreeMap::new(), None);
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let (Some(place), mut right) = (left.split(' ').nth(4), right.split(' ')) else { continue };
            match (right.next(), right.nth(1)) {
                (Some("cgroup2"), _) => unified = unified.or(Some(PathBuf::from(place))),
                (Some("cgroup"), Some(options)) => {
                    let names = options.split(',').filter(|word| !matches!(*word, "rw" | "ro" | "xattr"));
                    let names = names.map(|word| word.strip_prefix("name=").unwrap_or(word).to_owned());
                    separate.extend(names.map(|name| (name, PathBuf::from(place))));
                }
                _ => {}
            }
        }
        if separate.contains_key("memory") || separate.contains_key("cpu") {
            return Some(Layout::Separate(separate));
        }
        unified.map(Layout::Unified)
    }

    pub fn is_unified(&self) -> bool {
        matches!(self, Layout::Unified(_))
    }

    /// Where a controller's files are.
    pub fn of(&self, controller: &str) -> Option<&Path> {
        match self {
            Layout::Unified(root) => Some(root),
            Layout::Separate(all) => all.get(controller).map(PathBuf::as_path),
        }
    }

    /// Every hierarchy once.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        let mut roots: Vec<&Path> = match self {
            Layout::Unified(root) => vec![root],
            Layout::Separate(all) => all.values().map(PathBuf::as_path).collect(),
        };
        roots.sort_unstable();
        roots.dedup();
        roots.into_iter()
    }

    /// What is written for the limits: controller, file, value.
    pub fn writes(&self, limits: &Limits) -> Vec<(&'static str, String, String)> {
        let mut writes = Vec::new();
        let mut write = |controller, file: &str, value: String| writes.push((controller, file.to_owned(), value));
        let is_unified = self.is_unified();
        match limits.cpu_shares {
            Some(shares) if is_unified => write("cpu", "cpu.weight", weight(shares).to_string()),
            Some(shares) => write("cpu", "cpu.shares", shares.to_string()),
            None => {}
        }
        match limits.cpu_quota_us {
            Some((quota, period)) if is_unified => {
                let quota = if quota > 0 { quota.to_string() } else { "max".into() };
                write("cpu", "cpu.max", format!("{quota} {period}"));
            }
            Some((quota, period)) => {
                write("cpu", "cpu.cfs_period_us", period.to_string());
                write("cpu", "cpu.cfs_quota_us", if quota == 0 { -1 } else { quota }.to_string());
            }
            None => {}
        }
        if let Some(bytes) = limits.memory_bytes {
            write("memory", if is_unified { "memory.max" } else { "memory.limit_in_bytes" }, bytes.to_string());
        }
        if let Some(pids) = limits.pids.filter(|pids| *pids > 0) {
            write("pids", "pids.max", pids.to_string());
        }
        for (size, bytes) in &limits.hugepages {
            let end = if is_unified { "max" } else { "limit_in_bytes" };
            write("hugetlb", &format!("hugetlb.{size}.{end}"), bytes.to_string());
        }
        if is_unified {
            // Where a kernel has no huge pages for groups, it has no files for them.
            writes.retain(|(controller, _, _)| *controller != "hugetlb" || self.has_hugetlb());
        }
        writes
    }

    /// The figures that stand in a group's files; no limit is 0 or none.
    pub fn read(&self, file: &dyn Fn(&str, &str) -> Option<String>) -> Option<PodResources> {
        let number = |text: String| text.parse::<i64>().ok();
        // Without a limit, the old hierarchy has the largest number of whole pages.
        let bound = |bytes: i64| if bytes >= super::UNBOUND { 0 } else { bytes };
        let (cpu_shares, quota, period, memory) = if self.is_unified() {
            let max = file("cpu", "cpu.max")?;
            let (quota, period) = max.split_once(' ')?;
            let memory = file("memory", "memory.max")?;
            (shares(number(file("cpu", "cpu.weight")?)?), quota.parse().unwrap_or(-1), period.parse().ok()?, memory)
        } else {
            let quota = number(file("cpu", "cpu.cfs_quota_us")?)?;
            let period = number(file("cpu", "cpu.cfs_period_us")?)?;
            (number(file("cpu", "cpu.shares")?)?, quota, period, file("memory", "memory.limit_in_bytes")?)
        };
        Some(PodResources {
            cpu_shares,
            cpu_quota_us: (quota > 0).then_some((quota, period)),
            memory_limit_bytes: memory.parse().map_or(0, bound),
            ..PodResources::default()
        })
    }

    fn has_hugetlb(&self) -> bool {
        let Layout::Unified(root) = self else { return false };
        let controllers = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        controllers.split_whitespace().any(|name| name == "hugetlb")
    }
}

/// v1's shares, 2 to 262144, as v2's weight, 1 to 10000. Upstream: `getCPUWeight`.
fn weight(shares: i64) -> i64 {
    if shares >= 262_144 { 10_000 } else { 1 + (shares.max(2) - 2) * 9999 / 262_142 }
}

/// The way back. Upstream: `cpuWeightToCPUShares`.
fn shares(weight: i64) -> i64 {
    (weight - 1) * 262_142 / 9999 + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn where_both_are_mounted_the_old_ones_count() {
        let layout = Layout::detect(HYBRID).expect("is one");
        assert_eq!(layout.of("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(layout.of("pids"), None);
        assert_eq!(layout.roots().count(), 3);
        let pure = Layout::detect("30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate");
        assert_eq!(pure, Some(Layout::Unified("/sys/fs/cgroup".into())));
        assert_eq!(Layout::detect("22 1 0:20 / / rw - ext4 x rw"), None);
    }

    #[test]
    fn each_layout_has_its_own_files() {
        let limits = Limits {
            cpu_shares: Some(1024),
            cpu_quota_us: Some((50_000, 100_000)),
            memory_bytes: Some(4096),
            pids: Some(10),
            ..Limits::default()
        };
        let words = |layout: &Layout, limits: &Limits| {
            let writes = layout.writes(limits).into_iter().map(|(_, file, value)| format!("{file}={value}"));
            writes.collect::<Vec<_>>().join(" ")
        };
        let (old, new) = (Layout::Separate(BTreeMap::new()), Layout::Unified("/none".into()));
        let expected =
            "cpu.shares=1024 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000 memory.limit_in_bytes=4096 pids.max=10";
        assert_eq!(words(&old, &limits), expected);
        assert_eq!(words(&new, &limits), "cpu.weight=39 cpu.max=50000 100000 memory.max=4096 pids.max=10");
        let none = Limits { cpu_quota_us: Some((-1, 100_000)), ..Limits::default() };
        assert_eq!(words(&old, &none), "cpu.cfs_period_us=100000 cpu.cfs_quota_us=-1");
        assert_eq!(words(&new, &none), "cpu.max=max 100000");
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
    }

    #[test]
    fn what_was_written_is_read() {
        let files = |all: &'static [(&str, &str)]| {
            move |_: &str, file: &str| all.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned())
        };
        let old = Layout::Separate(BTreeMap::new());
        let read = old.read(&files(&[
            ("cpu.shares", "512"),
            ("cpu.cfs_quota_us", "-1"),
            ("cpu.cfs_period_us", "100000"),
            ("memory.limit_in_bytes", "9223372036854771712"),
        ]));
        assert_eq!(read, Some(PodResources { cpu_shares: 512, ..PodResources::default() }));
        let new = Layout::Unified("/none".into());
        let read = new.read(&files(&[("cpu.weight", "39"), ("cpu.max", "50000 100000"), ("memory.max", "4096")]));
        let expected = PodResources {
            cpu_shares: 998,
            cpu_quota_us: Some((50_000, 100_000)),
            memory_limit_bytes: 4096,
            ..PodResources::default()
        };
        assert_eq!(read, Some(expected));
        assert_eq!(new.read(&files(&[("cpu.weight", "39")])), None);
    }
}
