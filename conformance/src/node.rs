//! A machine with a container runtime, for tests: namespaces of its own, containerd with runc, the bridge plugin.
//!
//! All that runs in it (the runtime, Skiff, clients) stands in its network, mount and UTS namespaces, so that several can
//! stand side by side and nothing of the host is touched but a control group that goes with it. containerd has its own
//! root, state and socket. Images come as archives, so that no registry is needed.

mod images;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{machine::until, upstream};

/// The controllers of the older layout in which every machine has a group.
const CONTROLLERS: [&str; 9] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"];
const CGROUPS: &str = "/sys/fs/cgroup";
/// Where Debian's package has the plugins.
const PLUGINS: &str = "/usr/lib/cni";
/// Of the machine itself, in a network that nobody routes.
pub const ADDRESS: &str = "198.51.100.1";
/// Of its pods.
const PODS: &str = "10.244.7.0/24";
/// An image with a shell, whose name no registry has.
pub const SHELL: &str = "skiff.test/shell:1";

/// The machine. Dropping it ends everything in it.
pub struct Node {
    name: String,
    directory: PathBuf,
    holder: Child,
    running: Vec<Child>,
}

// === impl Node ===

impl Node {
    /// Says why there can be none here.
    pub fn is_missing() -> Option<String> {
        let programs = upstream::programs();
        for program in ["containerd", "containerd-shim-runc-v2", "runc", "ctr"] {
            if !programs.join(program).is_file() {
                return Some(format!("there is no {} in {}", program, programs.display()));
            }
        }
        if !Path::new(PLUGINS).join("bridge").is_file() {
            return Some(format!("there is no bridge plugin in {PLUGINS}"));
        }
        let made = Command::new("unshare").args(["-m", "-u", "-n", "true"]).stderr(Stdio::null()).status();
        (!made.is_ok_and(|status| status.success())).then(|| "namespaces need root".into())
    }

    /// Makes a machine of this name, with its files in `directory`, and waits until its runtime answers.
    pub fn start(name: &str, directory: &Path) -> Result<Node> {
        let name = format!("{name}-{}", std::process::id());
        for part in ["kubelet", "logs", "containers", "cni-state", "cni", "containerd", "state"] {
            fs::create_dir_all(directory.join(part))?;
        }
        for host in ["/var/lib/kubelet", "/var/log/pods", "/var/log/containers", "/var/lib/cni"] {
            fs::create_dir_all(host)?;
        }
        let holder = hold(&name, directory)?;
        let mut node = Node { name, directory: directory.to_owned(), holder, running: Vec::new() };
        until("the namespaces", || Ok(directory.join("ready").exists()), |ready| *ready)?;
        node.cgroups()?;
        fs::write(directory.join("cni/10-bridge.conflist"), network())?;
        fs::write(directory.join("containerd.toml"), node.configuration())?;
        let programs = upstream::programs();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
        let containerd = programs.join("containerd").display().to_string();
        let settings = directory.join("containerd.toml").display().to_string();
        node.spawn("containerd", &["env", &format!("PATH={path}"), &containerd, "-l", "warn", "-c", &settings])?;
        until("containerd", || Ok(node.ctr(&["version"])?.status.success()), |answers| *answers)?;
        for archive in images::write(directory)? {
            let said = node.ctr(&["-n", "k8s.io", "images", "import", &archive.display().to_string()])?;
            ensure!(said.status.success(), "an image cannot be loaded: {}", String::from_utf8_lossy(&said.stderr));
        }
        Ok(node)
    }

    /// The runtime's socket, as a node agent is told it.
    pub fn socket(&self) -> String {
        format!("unix://{}", self.directory.join("state/containerd.sock").display())
    }

    /// The control group that the machine's pods are under.
    pub fn cgroup(&self) -> String {
        format!("/{}", self.name)
    }

    /// A program in the machine.
    pub fn command(&self, command: &[&str]) -> Command {
        let mut whole = Command::new("nsenter");
        whole.args(["-t", &self.holder.id().to_string(), "-m", "-u", "-n"]).args(command).stdin(Stdio::null());
        whole
    }

    /// Starts a program that runs until it is killed; answers which, for [`Node::kill`].
    pub fn spawn(&mut self, log: &str, command: &[&str]) -> Result<usize> {
        let log = fs::File::create(self.directory.join(log).with_extension("log"))?;
        let child = self.command(command).stdout(log.try_clone()?).stderr(log).spawn();
        self.running.push(child.with_context(|| format!("{} cannot be started", command.join(" ")))?);
        Ok(self.running.len() - 1)
    }

    /// Ends a program at once, as `kill -9` does.
    pub fn kill(&mut self, program: usize) -> Result<()> {
        self.running[program].kill()?;
        self.running[program].wait()?;
        Ok(())
    }

    /// Asks the runtime.
    pub fn ctr(&self, arguments: &[&str]) -> Result<Output> {
        let ctr = upstream::programs().join("ctr").display().to_string();
        let socket = self.directory.join("state/containerd.sock").display().to_string();
        let whole: Vec<&str> = [ctr.as_str(), "-a", &socket].into_iter().chain(arguments.iter().copied()).collect();
        Ok(self.command(&whole).output()?)
    }

    /// Ids of the processes that run as containers, those of sandboxes among them.
    pub fn tasks(&self) -> Result<Vec<String>> {
        let output = self.ctr(&["-n", "k8s.io", "tasks", "ls", "-q"])?;
        Ok(String::from_utf8(output.stdout)?.lines().map(str::to_string).collect())
    }

    /// Under the older layout a group of cpuset is of no use before its files are filled.
    fn cgroups(&self) -> Result<()> {
        for controller in CONTROLLERS {
            let root = Path::new(CGROUPS).join(controller);
            if root.is_dir() {
                fs::create_dir_all(root.join(&self.name))?;
            }
        }
        let cpuset = Path::new(CGROUPS).join("cpuset");
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(text) = fs::read_to_string(cpuset.join(file)) {
                fs::write(cpuset.join(&self.name).join(file), text.trim())?;
            }
        }
        Ok(())
    }

    fn configuration(&self) -> String {
        let at = |part: &str| self.directory.join(part).display().to_string();
        let runc = upstream::programs().join("runc").display().to_string();
        format!(
            "version = 3\nroot = '{root}'\nstate = '{state}'\noom_score = 0\n\
             disabled_plugins = ['io.containerd.nri.v1.nri', 'io.containerd.internal.v1.tracing']\n\
             [grpc]\naddress = '{state}/containerd.sock'\n[ttrpc]\naddress = '{state}/containerd.sock.ttrpc'\n\
             [plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = '{sandbox}'\n\
             [plugins.'io.containerd.cri.v1.runtime']\n\
             restrict_oom_score_adj = true\nnetns_mounts_under_state_dir = true\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n\
             [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n\
             BinaryName = '{runc}'\nRoot = '{state}/runc'\nSystemdCgroup = false\n\
             [plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['{PLUGINS}']\nconf_dir = '{cni}'\n",
            root = at("containerd"),
            state = at("state"),
            cni = at("cni"),
            sandbox = images::SANDBOX,
        )
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let tasks = self.tasks().unwrap_or_default();
        for task in &tasks {
            let _ = self.ctr(&["-n", "k8s.io", "tasks", "kill", "-s", "KILL", task]);
        }
        for child in self.running.iter_mut().rev().chain([&mut self.holder]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // The newer layout has one group for all; beside the older one it stands in `unified`.
        for controller in CONTROLLERS.iter().chain(&["unified", ""]) {
            remove_groups(&Path::new(CGROUPS).join(controller).join(&self.name));
        }
    }
}

/// A process in new namespaces, which it keeps. Mounts made there are seen by what runs there, and by nobody else.
fn hold(name: &str, directory: &Path) -> Result<Child> {
    let at = |part: &str| directory.join(part).display().to_string();
    let script = format!(
        "set -e; hostname {name}; mount --bind {} /var/lib/kubelet; mount --bind {} /var/log/pods; \
         mount --bind {} /var/log/containers; mount --bind {} /var/lib/cni; mount --make-rshared /; \
         ip link set lo up; ip link add eth0 type bridge; ip address add {ADDRESS}/24 dev eth0; ip link set eth0 up; \
         echo 1 > /proc/sys/net/ipv4/ip_forward; touch {}; exec sleep infinity",
        at("kubelet"),
        at("logs"),
        at("containers"),
        at("cni-state"),
        at("ready"),
    );
    let log = fs::File::create(directory.join("namespaces.log"))?;
    let mut command = Command::new("unshare");
    command.args(["-m", "-u", "-n", "--propagation", "private", "sh", "-c", &script]);
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
}

fn network() -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true,
   "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{PODS}"}}]]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}, "snat": true}}]}}
"#
    )
}

/// Takes a group and those below it away; one that still has processes stays.
fn remove_groups(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten().filter(|e| e.path().is_dir()) {
        remove_groups(&entry.path());
    }
    let _ = fs::remove_dir(group);
}
