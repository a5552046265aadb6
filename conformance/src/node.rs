//! A machine with a container runtime, for tests: namespaces of its own, containerd with runc, the bridge plugin.
//!
//! All that runs in it (the runtime, Skiff, clients) stands in its network, mount and UTS namespaces, so that several can
//! stand side by side and nothing of the host is touched but a control group that goes with it. containerd has its own
//! root, state and socket. Images come as archives, so that no registry is needed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{
    images,
    machine::until,
    machines::{cgroups::Cgroups, containerd},
    upstream,
};

/// Where Debian's package has the plugins.
const PLUGINS: &str = "/usr/lib/cni";
/// Of the machine itself, in a network that nobody routes.
pub const ADDRESS: &str = "198.51.100.1";
/// Of its pods.
const PODS: &str = "10.244.7.0/24";
/// An image with a shell.
pub const SHELL: &str = "registry.k8s.io/e2e-test-images/busybox:1.37.0-2";
/// Archives of it, and of what sandboxes run.
const IMAGES: [&str; 2] = ["busybox", "pause"];

/// The machine. Dropping it ends everything in it.
pub struct Node {
    directory: PathBuf,
    holder: Child,
    running: Vec<Child>,
    cgroups: Cgroups,
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
        for part in ["kubelet", "logs", "containers", "cni/state", "cni/net.d", "containerd", "run"] {
            fs::create_dir_all(directory.join(part))?;
        }
        for host in ["/var/lib/kubelet", "/var/log/pods", "/var/log/containers", "/var/lib/cni"] {
            fs::create_dir_all(host)?;
        }
        let cgroups = Cgroups::make(&name)?;
        let holder = hold(&name, directory)?;
        let mut node = Node { directory: directory.to_owned(), holder, running: Vec::new(), cgroups };
        until("the namespaces", || Ok(directory.join("ready").exists()), |ready| *ready)?;
        fs::write(directory.join("cni/net.d/10-bridge.conflist"), network())?;
        let words = containerd::command(directory)?;
        node.spawn("containerd", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        until("containerd", || Ok(containerd::answers(directory)), |answers| *answers)?;
        for archive in images::build(&images::place(), &upstream::programs(), &IMAGES)? {
            containerd::import(directory, &archive)?;
        }
        Ok(node)
    }

    /// The runtime's socket, as a node agent is told it.
    pub fn socket(&self) -> String {
        format!("unix://{}", containerd::socket(&self.directory).display())
    }

    /// The control group that the machine's pods are under.
    pub fn cgroup(&self) -> String {
        format!("/{}", self.cgroups.name())
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

    /// Ids of the processes that run as containers, those of sandboxes among them.
    pub fn tasks(&self) -> Result<Vec<String>> {
        Ok(containerd::ctr(&self.directory, &["tasks", "ls", "-q"])?.lines().map(str::to_owned).collect())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Containers first, while their shims still run; then what watches them.
        self.cgroups.kill();
        for child in self.running.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        containerd::end_shims(&self.directory);
        self.cgroups.kill();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        self.cgroups.remove();
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
        at("cni/state"),
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
