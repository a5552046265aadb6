//! A node's own part of the tree of cgroups, in whichever layout this machine has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

const MOUNT: &str = "/sys/fs/cgroup";
/// How the name of a node's cgroup begins; the number of its program follows.
const PREFIX: &str = "skiff-";

/// A cgroup of one name in every hierarchy.
pub struct Cgroups {
    name: String,
    roots: Vec<PathBuf>,
}

impl Cgroups {
    /// Makes those of a node of this program's, able to hold others.
    pub fn of_node(node: &str) -> Result<Cgroups> {
        Cgroups::make(&format!("{PREFIX}{}-{node}", std::process::id()))
    }

    /// Makes them, able to hold others.
    pub fn make(name: &str) -> Result<Cgroups> {
        let roots = hierarchies(Path::new(MOUNT))?;
        let cgroups = Cgroups { name: name.to_owned(), roots: roots.iter().map(|root| root.join(name)).collect() };
        for (root, own) in roots.iter().zip(&cgroups.roots) {
            fs::create_dir_all(own).with_context(|| format!("{} cannot be made", own.display()))?;
            // Of version 1: a set of processors is empty until it is filled.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(all) = fs::read_to_string(root.join(file)) {
                    fs::write(own.join(file), all)?;
                }
            }
            // Of version 2: what is below has the controllers that are handed down.
            if let Ok(controllers) = fs::read_to_string(own.join("cgroup.controllers")) {
                for controller in controllers.split_whitespace() {
                    let _ = fs::write(own.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
        Ok(cgroups)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends every process in them.
    pub fn kill(&self) {
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    }

    /// Takes them away, the innermost first.
    pub fn remove(&self) {
        self.roots.iter().for_each(|root| remove(root));
    }

    fn processes(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        self.roots.iter().for_each(|root| collect(root, &mut all));
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Takes away the cgroups of nodes (`skiff-PID-…`) whose program is no more, with all that still runs in them.
pub fn sweep() -> Result<()> {
    sweep_in(Path::new(MOUNT), &|pid| Path::new("/proc").join(pid).exists())
}

fn sweep_in(mount: &Path, lives: &dyn Fn(&str) -> bool) -> Result<()> {
    let roots = hierarchies(mount)?;
    let mut left: Vec<String> = Vec::new();
    for directory in roots.iter().flat_map(|root| directories(root)) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).unwrap_or_default();
        if pid.parse::<u32>().is_ok() && !lives(pid) {
            left.push(name);
        }
    }
    left.sort();
    left.dedup();
    for name in left {
        let cgroups = Cgroups { roots: roots.iter().map(|root| root.join(&name)).collect(), name };
        cgroups.kill();
        cgroups.remove();
    }
    Ok(())
}

/// The hierarchies of version 1, or the only one of version 2.
fn hierarchies(mount: &Path) -> Result<Vec<PathBuf>> {
    if mount.join("cgroup.controllers").is_file() {
        return Ok(vec![mount.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(mount)? {
        let path = entry?.path();
        // Some are links to others: `cpu` to `cpu,cpuacct`.
        if path.join("cgroup.procs").is_file() && !path.is_symlink() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn directories(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn collect(root: &Path, out: &mut Vec<String>) {
    let listed = fs::read_to_string(root.join("cgroup.procs")).unwrap_or_default();
    out.extend(listed.lines().map(str::to_owned));
    directories(root).iter().for_each(|below| collect(below, out));
}

fn remove(root: &Path) {
    directories(root).iter().for_each(|below| remove(below));
    let _ = fs::remove_dir(root);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_programs_that_are_no_more_go() {
        let place = tempfile::tempdir().expect("a directory");
        for root in ["cpu", "memory"] {
            let root = place.path().join(root);
            for name in ["skiff-12-node-1/pods/one", "skiff-13-node-1", "skiff-other", "others"] {
                fs::create_dir_all(root.join(name)).expect("a directory");
            }
            fs::write(root.join("cgroup.procs"), "").expect("a file");
        }
        sweep_in(place.path(), &|pid| pid == "13").expect("they can be listed");
        let mut left: Vec<_> = directories(&place.path().join("memory"));
        left.sort();
        assert_eq!(
            left,
            ["others", "skiff-13-node-1", "skiff-other"].map(|name| place.path().join("memory").join(name))
        );
        assert!(!place.path().join("cpu/skiff-12-node-1").exists());
    }

    #[test]
    fn both_layouts_are_told_apart() {
        let place = tempfile::tempdir().expect("a directory");
        let one = place.path().join("one");
        for name in ["cpu", "memory", "unified", "not-one"] {
            fs::create_dir_all(one.join(name)).expect("a directory");
        }
        for name in ["cpu", "memory", "unified"] {
            fs::write(one.join(name).join("cgroup.procs"), "").expect("a file");
        }
        let found = hierarchies(&one).expect("it is read");
        assert_eq!(found, ["cpu", "memory", "unified"].map(|name| one.join(name)));
        let two = place.path().join("two");
        fs::create_dir_all(&two).expect("a directory");
        fs::write(two.join("cgroup.controllers"), "cpu memory").expect("a file");
        assert_eq!(hierarchies(&two).expect("it is read"), [two]);
    }
}
