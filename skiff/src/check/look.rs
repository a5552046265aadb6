//! What there is on this machine. Nothing is changed.

use std::{
    fs,
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use node::runtime::{
    Runtime as _,
    cri::{Cri, Limits},
};

use crate::{address, flags};

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub is_root: bool,
    /// As `uname -r` has it.
    pub kernel: String,
    pub cgroups: Cgroups,
    /// A socket at which a container runtime answers.
    pub runtime: Option<PathBuf>,
    pub cni_plugins: Vec<String>,
    /// Its version.
    pub nft: Option<String>,
    /// Of this machine, where pods can reach it.
    pub address: Option<IpAddr>,
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
/// A runtime says its version at once, or it is none.
const RUNTIME_LIMIT: Duration = Duration::from_secs(2);
/// The kubelet's, kube-proxy's health and metrics, cluster DNS and its health.
const NODE_PORTS: [u16; 5] = [10250, 10256, 10249, crate::dns::PORT, 8181];

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
        address: address::outside(IpAddr::from([0, 0, 0, 0])),
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
        None => std::iter::once(own_runtime(&flags.data_dir)).chain(SOCKETS.iter().map(PathBuf::from)).collect(),
    };
    candidates.into_iter().find(|socket| is_runtime(socket))
}

/// Where `make up` has a runtime listen that is of this cluster alone.
pub fn own_runtime(data: &Path) -> PathBuf {
    data.join("containerd/containerd.sock")
}

/// Whether somebody answers there who runs containers for nodes: the containerd of other programs often does not.
fn is_runtime(socket: &Path) -> bool {
    let Ok(waiting) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
    let limits = Limits { call: RUNTIME_LIMIT, ..Limits::default() };
    let version = async {
        let runtime = Cri::new(&format!("unix://{}", socket.display()), limits).ok()?;
        tokio::time::timeout(RUNTIME_LIMIT, runtime.version()).await.ok()?.ok()
    };
    socket.exists() && waiting.block_on(version).is_some()
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
