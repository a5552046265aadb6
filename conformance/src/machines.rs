//! Machines on this machine: nodes with network, mount and UTS namespaces, a container runtime and a cgroup of their own.
//!
//! The program that uses them lives in a network namespace of its own too ([`enter`]), the *hub*, where the control plane
//! listens and a bridge joins the nodes. None of the namespaces has a name or outlives its processes, nothing leaves them,
//! and the machine's own network is not touched. All of it needs root.
//!
//! ```text
//!   hub 10.201.0.1 ── bridge ─┬─ node-1 10.201.0.11 ── pods 10.244.0.0/24
//!                             └─ node-2 10.201.0.12 ── pods 10.244.1.0/24
//! ```
//!
//! Traps: whoever enters a node's mount namespace goes to `/`, so paths are absolute; a cpuset of cgroup v1 is empty
//! until it is filled; a kubelet sets sysctls of the whole machine, which are put back when a node ends.

mod agent;
pub mod cgroups;
pub(crate) mod containerd;
pub mod registry;
mod sysctls;

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use certs::Authority;

pub use agent::Agents;
use cgroups::Cgroups;
use sysctls::Sysctls;

use crate::bound::around;

/// The address at which the hub's programs listen.
pub const HUB: &str = "10.201.0.1";
const NETWORK: &str = "10.201.0";
const BRIDGE: &str = "nodes";
/// Set in a program that has entered a namespace of its own.
const ENTERED: &str = "SKIFF_HUB";
/// What upstream's and our own programs start within on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// The API server that nodes join.
pub struct Control {
    /// `https://10.201.0.1:6443`
    pub server: String,
    /// What signs the certificates of nodes.
    pub authority: Authority,
    pub kubeconfig: PathBuf,
}

/// A node that runs; dropping it ends it with everything on it.
pub struct Machine {
    pub name: String,
    pub address: String,
    /// Everything of its own on disk.
    directory: PathBuf,
    // In the order in which they end.
    agents: Vec<Process>,
    cgroups: Cgroups,
    runtime: Process,
    holder: Process,
    _sysctls: Sysctls,
}

/// A process that ends when this is dropped.
struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Goes on in a network namespace of its own: the program is run again there, and this answers its exit code; `None` in
/// the one that has entered.
#[expect(clippy::disallowed_methods, reason = "the program is started again as it was started")]
pub fn enter() -> Result<Option<u8>> {
    if std::env::var_os(ENTERED).is_some() {
        // Whoever is told to end is the one that was called first.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
        ip("link set lo up")?;
        ip(&format!("link add {BRIDGE} type bridge"))?;
        ip(&format!("addr add {HUB}/24 dev {BRIDGE}"))?;
        ip(&format!("link set {BRIDGE} up"))?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        return Ok(None);
    }
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(ENTERED, "1")
        .status()
        .context("unshare cannot be started")?;
    Ok(Some(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Routes from the hub and between nodes to the pods of each.
pub fn connect(machines: &mut [Machine], kubectl: &dyn Fn(&[&str]) -> Result<String>) -> Result<()> {
    let ranges = machines
        .iter_mut()
        .map(|machine| {
            let Machine { name, agents, .. } = machine;
            wait(&format!("{name} has no range of pod addresses"), || {
                agents.iter_mut().try_for_each(Process::check)?;
                let range = kubectl(&["get", "node", name, "-o", "jsonpath={.spec.podCIDR}"]).unwrap_or_default();
                Ok((!range.is_empty()).then_some(range))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    for (machine, range) in machines.iter().zip(ranges) {
        machine.write_network(&range)?;
        ip(&format!("route replace {range} via {}", machine.address))?;
        for other in machines.iter().filter(|other| other.name != machine.name) {
            other.run(&["ip", "route", "replace", &range, "via", &machine.address])?;
        }
    }
    Ok(())
}

// === impl Machine ===

impl Machine {
    /// Starts node `node-NUMBER` with a container runtime that has `images`; it joins with `agents`.
    pub fn start(
        number: u8,
        directory: &Path,
        control: &Control,
        images: &[PathBuf],
        agents: &Agents,
    ) -> Result<Machine> {
        let name = format!("node-{number}");
        let address = format!("{NETWORK}.{}", 10 + number);
        let directory = directory.join(&name);
        for below in ["kubelet", "logs/pods", "logs/containers", "cni/state", "cni/net.d", "containerd", "run"] {
            fs::create_dir_all(directory.join(below))?;
        }
        let sysctls = Sysctls::remember();
        let cgroups = Cgroups::of_node(&name)?;
        let holder = hold(&name, &directory)?;
        join(&holder, number, &address)?;
        registry::write_hosts(&directory.join(containerd::REGISTRIES))?;
        let runtime = containerd::start(&holder, &directory)?;
        let mut machine =
            Machine { name, address, directory, agents: Vec::new(), cgroups, runtime, holder, _sysctls: sysctls };
        machine.wait_for_runtime()?;
        images.iter().try_for_each(|image| containerd::import(&machine.directory, image))?;
        machine.agents = agent::start(&machine, control, agents)?;
        Ok(machine)
    }

    /// Where the container runtime listens.
    pub fn socket(&self) -> PathBuf {
        containerd::socket(&self.directory)
    }

    /// Runs a program in the node's namespaces, with the node's file system: what it prints.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        output(inside(&self.holder, words[0]).args(&words[1..]))
    }

    /// The process of its node agent, when it has one.
    pub fn agent(&self) -> Option<u32> {
        self.agents.first().map(|agent| agent.child.id())
    }

    /// Where logs of its pods are, as the hub sees it.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs/pods")
    }

    /// The cgroup below which its pods are, as paths of cgroup controllers begin.
    pub fn cgroup(&self) -> &str {
        self.cgroups.name()
    }

    fn wait_for_runtime(&mut self) -> Result<()> {
        let directory = self.directory.clone();
        let runtime = &mut self.runtime;
        wait("containerd does not answer", || {
            runtime.check()?;
            Ok(containerd::answers(&directory).then_some(()))
        })
    }

    /// What the runtime's network plugins make of a range: a bridge on this node, whose ports reach everywhere.
    pub fn write_network(&self, range: &str) -> Result<()> {
        let list = serde_json::json!({
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge", "bridge": "pods", "isGateway": true, "isDefaultGateway": true,
                    "hairpinMode": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": range}]]}
                },
                {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}
            ]
        });
        Ok(fs::write(self.directory.join("cni/net.d/10-pods.conflist"), list.to_string())?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.agents.clear();
        // Containers first, while their shims still run; then what watches them.
        self.cgroups.kill();
        self.runtime.stop();
        containerd::end_shims(&self.directory);
        self.cgroups.kill();
        self.holder.stop();
        self.cgroups.remove();
    }
}

/// The process whose namespaces are the node's. It has the node's directories where programs look for them.
fn hold(name: &str, directory: &Path) -> Result<Process> {
    let places = [
        ("kubelet", "/var/lib/kubelet"),
        ("logs/pods", "/var/log/pods"),
        ("logs/containers", "/var/log/containers"),
        ("cni/state", "/var/lib/cni"),
    ];
    let mut script = format!("hostname {name} && ip link set lo up");
    for (own, place) in places {
        fs::create_dir_all(place)?;
        script += &format!(" && mount --bind '{}' {place}", directory.join(own).display());
    }
    script += &format!(" && mount --make-rshared / && touch '{}' && exec sleep infinity", ready(directory).display());
    let _ = fs::remove_file(ready(directory));
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--uts", "--propagation", "private", "--", "/bin/sh", "-c", &script]);
    let mut holder = Process::start("holder", command, directory)?;
    wait("a node's namespaces were not made", || {
        holder.check()?;
        Ok(ready(directory).is_file().then_some(()))
    })?;
    Ok(holder)
}

fn ready(directory: &Path) -> PathBuf {
    directory.join("run/holds")
}

/// A cable from the hub's bridge into a node.
fn join(holder: &Process, number: u8, address: &str) -> Result<()> {
    let (port, pid) = (format!("node{number}"), holder.child.id());
    ip(&format!("link add {port} type veth peer name eth0 netns {pid}"))?;
    ip(&format!("link set {port} master {BRIDGE} up"))?;
    let script = format!(
        "ip addr add {address}/24 dev eth0 && ip link set eth0 up && ip route add default via {HUB} && \
         echo 1 > /proc/sys/net/ipv4/ip_forward"
    );
    output(inside(holder, "/bin/sh").args(["-c", &script])).map(drop)
}

/// A command in the namespaces of a node.
fn inside(holder: &Process, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--net", "--mount", "--uts", "--target", &holder.child.id().to_string(), "--"]).arg(program.as_ref());
    command
}

fn ip(words: &str) -> Result<()> {
    output(Command::new("ip").args(words.split(' '))).map(drop)
}

fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Asks until there is an answer.
#[expect(clippy::disallowed_methods, reason = "another program's start can only be asked for again and again")]
fn wait<T>(otherwise: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        ensure!(begun.elapsed() < PATIENCE, "{otherwise}");
        std::thread::sleep(POLL);
    }
}

// === impl Process ===

impl Process {
    fn start(name: &str, command: Command, directory: &Path) -> Result<Process> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log)?;
        let mut command = around(&command);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Process { name: name.to_owned(), child, log })
    }

    fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        bail!("{} ended with {status}: {}", self.name, log.lines().last().unwrap_or("it said nothing"))
    }

    fn stop(&mut self) {
        // Both fail only when the process is gone already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
