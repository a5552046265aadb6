//! The container runtime of `make up`: the one that answers already, else containerd, made here and kept beside the data.
//!
//! Programs are built from their Go modules where there is a Go toolchain, else they are Debian's. Its containers are
//! Skiff's alone: it shares neither socket nor directory with another.

use std::{
    fs,
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{bootstrap, reference, run};

const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// `ctr` loads the images that lie in `DIR/images`.
const PROGRAMS: [&str; 4] = ["containerd", "containerd-shim-runc-v2", "ctr", "runc"];
/// Of `man 7 capabilities`, its number.
const CAP_SYS_RESOURCE: u32 = 24;

/// Sees to it that a runtime answers; the error says why none does, and a cluster without nodes can be had all the same.
/// Whether one does already is what `skiff check` says: a containerd may be there that runs nothing for nodes.
pub fn start(skiff: &Path, data: &Path) -> Result<()> {
    let seen = Command::new(skiff).args(["check", "--data-dir"]).arg(data).output()?;
    if String::from_utf8_lossy(&seen.stdout).lines().any(|line| line.starts_with("ok container runtime")) {
        return Ok(());
    }
    let user = run::capture(Command::new("id").arg("-u"))?;
    ensure!(user.trim() == "0", "containers need root");
    bootstrap::debian(bootstrap::Set::Runtime)?;
    let programs = programs()?;
    let place = place(data);
    fs::create_dir_all(&place)?;
    let settings = place.join("config.toml");
    fs::write(&settings, config(&place, &programs, is_capable(CAP_SYS_RESOURCE)))?;
    let log = fs::File::create(place.join("containerd.log"))?;
    let mut containerd = Command::new(programs.join("containerd"));
    // It looks for its shim in PATH.
    containerd.args(["--log-level", "warn", "--config"]).arg(settings).env("PATH", path(&programs));
    containerd.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let mut child = containerd.spawn().context("containerd cannot be started")?;
    fs::write(pid_file(data), child.id().to_string())?;
    let begun = Instant::now();
    while !answers(&socket(data)) {
        if let Some(status) = child.try_wait()? {
            let log = fs::read_to_string(place.join("containerd.log")).unwrap_or_default();
            bail!("containerd ended with {status}: {}", log.lines().next_back().unwrap_or("it said nothing"));
        }
        ensure!(begun.elapsed() < START_LIMIT, "containerd does not answer; see {}", place.display());
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Ends what [`start`] has started, with all containers.
pub fn stop(data: &Path) -> Result<()> {
    let Some(pid) = running(data) else { return Ok(()) };
    let shims = shims(data);
    run::run(run::command("kill").arg(pid.to_string()))?;
    let begun = Instant::now();
    while running(data).is_some() {
        ensure!(begun.elapsed() < START_LIMIT, "containerd (process {pid}) still runs");
        std::thread::sleep(POLL);
    }
    // Shims outlive their containerd on purpose, and a shim that ends takes its containers along.
    for pid in shims {
        let _ = run::command("kill").args(["-KILL", &pid.to_string()]).status();
    }
    Ok(fs::remove_file(pid_file(data))?)
}

pub fn socket(data: &Path) -> PathBuf {
    place(data).join("containerd.sock")
}

fn place(data: &Path) -> PathBuf {
    data.join("containerd")
}

fn pid_file(data: &Path) -> PathBuf {
    place(data).join("containerd.pid")
}

fn answers(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Where programs are looked for, the runtime's own first.
pub fn path(programs: &Path) -> String {
    format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default())
}

/// The directory of its programs.
fn programs() -> Result<PathBuf> {
    if run::is_installed("go") {
        reference::build(&PROGRAMS)?;
        return Ok(reference::directory());
    }
    bootstrap::debian(bootstrap::Set::DebianRuntime)?;
    Ok("/usr/bin".into())
}

/// The process of the pid file, if it is one and is containerd: numbers are used again.
fn running(data: &Path) -> Option<u32> {
    let pid = fs::read_to_string(pid_file(data)).ok()?.trim().parse().ok()?;
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    program.file_name()?.to_string_lossy().starts_with("containerd").then_some(pid)
}

/// Processes that watch containers of this runtime.
fn shims(data: &Path) -> Vec<u32> {
    let socket = socket(data).display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        let is_shim = words.next().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"));
        if is_shim && words.any(|word| word == socket.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

fn is_capable(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).is_some_and(|bits| bits >> capability & 1 == 1)
}

/// In a form that containerd 1.6 and 2 read. Who cannot make a process less likely to be killed does not try.
fn config(place: &Path, programs: &Path, may_lower: bool) -> String {
    let at = |below: &str| place.join(below).display().to_string();
    let plugins = ["/opt/cni/bin", "/usr/lib/cni"].into_iter().find(|path| Path::new(path).is_dir());
    let cri = "plugins.'io.containerd.grpc.v1.cri'";
    format!(
        "version = 2\nroot = '{}'\nstate = '{}'\n\n[grpc]\naddress = '{}'\n\n[ttrpc]\naddress = '{}'\n\n\
         [{cri}]\nrestrict_oom_score_adj = {}\nnetns_mounts_under_state_dir = true\n\n\
         [{cri}.cni]\nbin_dir = '{}'\nconf_dir = '{}'\n\n\
         [{cri}.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n\n\
         [{cri}.containerd.runtimes.runc.options]\nBinaryName = '{}'\nRoot = '{}'\n",
        at("root"),
        at("state"),
        at("containerd.sock"),
        at("containerd.sock.ttrpc"),
        !may_lower,
        plugins.unwrap_or("/opt/cni/bin"),
        at("net.d"),
        programs.join("runc").display(),
        at("state/runc"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtime_keeps_to_its_own_directory() {
        let text = config(Path::new("/data/containerd"), Path::new("/programs"), false);
        for wanted in [
            "root = '/data/containerd/root'",
            "address = '/data/containerd/containerd.sock'",
            "restrict_oom_score_adj = true",
            "BinaryName = '/programs/runc'",
            "conf_dir = '/data/containerd/net.d'",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
    }
}
