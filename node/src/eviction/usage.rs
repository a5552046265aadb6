//! What pods use: of memory and processes as the runtime says, of disk as their directories hold.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use api::Value;

use crate::runtime::SandboxStats;

/// Of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the working set.
    pub memory: i64,
    pub processes: i64,
    pub containers: Vec<ContainerUsage>,
    /// By the volume's name: what is on the node's disk.
    pub volumes: Vec<(String, Space)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    pub name: String,
    pub memory: Option<i64>,
    /// Bytes of the writable layer.
    pub rootfs: Option<i64>,
    pub rootfs_inodes: i64,
    /// Bytes of the logs.
    pub logs: Option<i64>,
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    pub bytes: i64,
    pub inodes: i64,
}

/// Where a pod's things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// `/var/lib/kubelet/pods/<uid>/volumes`
    pub volumes: PathBuf,
    /// `/var/log/pods/<namespace>_<name>_<uid>`
    pub logs: PathBuf,
}

impl Usage {
    /// Measures; it may take long, so no task that others wait for does it.
    pub fn measure(pod: &Value, stats: Option<&SandboxStats>, places: &Places) -> Usage {
        let containers = stats.into_iter().flat_map(|stats| &stats.containers).map(|container| ContainerUsage {
            name: container.name.clone(),
            memory: container.memory_working_set_bytes.map(count),
            rootfs: container.writable_layer.as_ref().map(|layer| count(layer.used_bytes)),
            rootfs_inodes: container.writable_layer.as_ref().map_or(0, |layer| count(layer.inodes_used)),
            logs: space(&places.logs.join(&container.name)).ok().map(|space| space.bytes),
        });
        Usage {
            memory: stats.and_then(|stats| stats.memory_working_set_bytes).map_or(0, count),
            processes: stats.and_then(|stats| stats.processes).map_or(0, count),
            containers: containers.collect(),
            volumes: local_volumes(pod)
                .filter_map(|(name, driver)| {
                    let found = space(&places.volumes.join(driver).join(name)).ok()?;
                    Some((name.to_owned(), found))
                })
                .collect(),
        }
    }

    /// Bytes of disk. Upstream: podDiskUsage.
    pub fn disk(&self) -> i64 {
        let containers = self.containers.iter().map(|c| c.rootfs.unwrap_or(0) + c.logs.unwrap_or(0));
        containers.sum::<i64>() + self.volumes.iter().map(|(_, space)| space.bytes).sum::<i64>()
    }

    pub fn inodes(&self) -> i64 {
        let volumes = self.volumes.iter().map(|(_, space)| space.inodes).sum::<i64>();
        self.containers.iter().map(|c| c.rootfs_inodes).sum::<i64>() + volumes
    }
}

/// Volumes that are on the node's own disk, and the directory that their sort is in. Upstream: IsLocalEphemeralVolume.
fn local_volumes(pod: &Value) -> impl Iterator<Item = (&str, &'static str)> {
    pod.at("spec").list("volumes").iter().filter_map(|volume| {
        let empty = volume.at("emptyDir");
        let driver = match () {
            () if !empty.is_null() && empty.str("medium").is_empty() => "kubernetes.io~empty-dir",
            () if volume.has("configMap") => "kubernetes.io~configmap",
            () => return None,
        };
        Some((volume.str("name"), driver))
    })
}

/// What lies below a directory, on its own filesystem; a file with many names counts once for each.
pub fn space(directory: &Path) -> io::Result<Space> {
    let own = fs::symlink_metadata(directory)?;
    let mut total = Space { bytes: bytes(&own), inodes: 1 };
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            // What goes away meanwhile does not count.
            let Ok(found) = entry.metadata() else { continue };
            if found.dev() != own.dev() {
                continue;
            }
            total.bytes += bytes(&found);
            total.inodes += 1;
            if found.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok(total)
}

fn bytes(of: &fs::Metadata) -> i64 {
    count(of.blocks().saturating_mul(512))
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
