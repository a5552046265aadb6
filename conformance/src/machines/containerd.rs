//! A node's containerd, which shares nothing with another on the same machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{Process, inside, output};
use crate::upstream;

/// Plugins that want what a small machine does not have.
const LEFT_OUT: [&str; 7] = [
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.tracing",
    "io.containerd.nri.v1.nri",
];
/// Images of the CRI are in this namespace.
const NAMESPACE: &str = "k8s.io";
/// Where it is told who stands in for which registry.
pub const REGISTRIES: &str = "registries";

pub fn socket(directory: &Path) -> PathBuf {
    directory.join("run/containerd.sock")
}

/// In the namespaces of the node.
pub(super) fn start(holder: &Process, directory: &Path) -> Result<Process> {
    let words = command(directory)?;
    let mut command = inside(holder, &words[0]);
    command.args(&words[1..]);
    Process::start("containerd", command, directory)
}

/// The program and its arguments; its settings are written.
pub fn command(directory: &Path) -> Result<Vec<String>> {
    let (file, programs) = (directory.join("containerd.toml"), upstream::programs());
    fs::write(&file, settings(directory, &programs))?;
    // It looks for its shim in PATH.
    let path = format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
    let program = programs.join("containerd").display().to_string();
    let words = ["env", &path, &program, "--log-level", "warn", "--config", &file.display().to_string()];
    Ok(words.map(str::to_owned).to_vec())
}

pub fn answers(directory: &Path) -> bool {
    ctr(directory, &["version"]).is_ok()
}

/// Takes an archive's images, under all their names.
pub fn import(directory: &Path, archive: &Path) -> Result<()> {
    ctr(directory, &["images", "import", "--local", &archive.display().to_string()]).map(drop)
}

/// Shims outlive their containerd on purpose; of a node that has gone nobody wants them.
pub fn end_shims(directory: &Path) {
    let socket = socket(directory).display().to_string();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        let is_shim = words.first().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"));
        if is_shim && words.contains(&socket.as_bytes()) {
            let _ = Command::new("kill").arg("-KILL").arg(entry.file_name()).status();
        }
    }
}

/// Asks the runtime, about what CRI has made: what it prints.
pub fn ctr(directory: &Path, words: &[&str]) -> Result<String> {
    let mut command = Command::new(upstream::programs().join("ctr"));
    command.arg("--address").arg(socket(directory)).args(["--namespace", NAMESPACE]).args(words);
    output(&mut command)
}

/// Without CAP_SYS_RESOURCE no process may become less likely to be killed, so nobody tries. The handler `test-handler` is
/// the suite's.
fn settings(directory: &Path, programs: &Path) -> String {
    let at = |below: &str| directory.join(below).display().to_string();
    let left_out: Vec<String> = LEFT_OUT.iter().map(|name| format!("'{name}'")).collect();
    let mut text = format!(
        "version = 3\nroot = '{}'\nstate = '{}'\ndisabled_plugins = [{}]\noom_score = 0\n\n[grpc]\naddress = '{}'\n\n\
         [ttrpc]\naddress = '{}'\n\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\n\
         sandbox = 'registry.k8s.io/pause:3.10.2'\n\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '{}'\n\n\
         [plugins.'io.containerd.cri.v1.runtime']\nrestrict_oom_score_adj = true\nnetns_mounts_under_state_dir = true\n\n\
         [plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['/usr/lib/cni']\nconf_dir = '{}'\n",
        at("containerd"),
        at("run/containerd"),
        left_out.join(", "),
        socket(directory).display(),
        at("run/containerd.sock.ttrpc"),
        at(REGISTRIES),
        at("cni/net.d"),
    );
    for handler in ["runc", "test-handler"] {
        text += &format!(
            "\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{handler}]\n\
             runtime_type = 'io.containerd.runc.v2'\n\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.{handler}.options]\n\
             BinaryName = '{}'\nRoot = '{}'\nSystemdCgroup = false\n",
            programs.join("runc").display(),
            at("run/runc"),
        );
    }
    text
}
