//! What there is on this machine. Nothing is changed.

use std::{
    fs,
    net::TcpListener,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use crate::flags;

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub is_root: bool,
    /// As `uname -r` has it.
    pub kernel: String,
    pub cgroups: Cgroups,
    /// A socket at which somebody answers.
    pub runtime: Option<PathBuf>,
    pub cni_plugins: Vec<String>,
    /// Its version.
    pub nft: Option<String>,
    pub has_swap: bool,
    pub ports: Vec<Port>,
    /// Bytes.
    pub disk_free: u64,
}

/// Layouts of cgroups with the controllers that work there. One where only version 1 counts is of version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroups {
    None,
    One(Vec<String>),
    Two(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub number: u16,
    /// The control plane's; the others are a node's.
    pub is_api: bool,
    pub is_free: bool,
}

/// Where container runtimes listen, the first first.
const SOCKETS: [&str; 2] = ["/run/containerd/containerd.sock", "/run/crio/crio.sock"];
/// The kubelet's, kube-proxy's health and metrics.
const NODE_PORTS: [u16; 3] = [10250, 10256, 10249];

pub fn at(flags: &flags::Check) -> Seen {
    let api = Port { number: flags.secure_port, is_api: true, is_free: is_free(flags.secure_port) };
    let node = NODE_PORTS.map(|number| Port { number, is_api: false, is_free: is_free(number) });
    Seen {
        is_root: rustix::process::geteuid().is_root(),
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        cgroups: cgroups(Path::new("/sys/fs/cgroup")),
        runtime: runtime(flags),
        cni_plugins: ["/opt/cni/bin", "/usr/lib/cni"].iter().flat_map(|path| names(Path::new(path))).collect(),
        nft: nft(),
        // The first line is the head.
        has_swap: text("/proc/swaps").lines().count() > 1,
        ports: std::iter::once(api).chain(node).collect(),
        disk_free: disk_free(&flags.data_dir),
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

pub(super) fn cgroups(mount: &Path) -> Cgroups {
    if let Ok(controllers) = fs::read_to_string(mount.join("cgroup.controllers")) {
        return Cgroups::Two(controllers.split_whitespace().map(str::to_owned).collect());
    }
    let mut found = names(mount);
    found.retain(|name| mount.join(name).join("cgroup.procs").is_file());
    found.sort_unstable();
    if found.is_empty() { Cgroups::None } else { Cgroups::One(found) }
}

/// The one that was named, else one where it usually is, else the one that `make up` has started.
fn runtime(flags: &flags::Check) -> Option<PathBuf> {
    let named = flags.container_runtime_endpoint.as_deref();
    let candidates: Vec<PathBuf> = match named {
        Some(endpoint) => vec![endpoint.strip_prefix("unix://").unwrap_or(endpoint).into()],
        None => {
            let own = flags.data_dir.join("containerd/containerd.sock");
            std::iter::once(own).chain(SOCKETS.iter().map(PathBuf::from)).collect()
        }
    };
    candidates.into_iter().find(|socket| UnixStream::connect(socket).is_ok())
}

fn nft() -> Option<String> {
    let output = Command::new("nft").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

/// Where the directory is, or will be.
fn disk_free(directory: &Path) -> u64 {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    rustix::fs::statvfs(there).map_or(0, |found| found.f_bavail * found.f_frsize)
}
