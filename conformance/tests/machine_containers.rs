//! Pods as real containers: a machine with containerd, Skiff and its node agent on it. As root; nothing outside of the
//! machine's namespaces is touched.

use std::{path::Path, process::Output};

use anyhow::{Context, Result, ensure};
use conformance::{
    machine::until,
    node::{ADDRESS, Node, SHELL},
    skiff,
};

/// A machine of tests is full at times, which is no reason here to send pods away or to throw images out.
const SETTINGS: &str = r#"{
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
    "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"}
}"#;

/// A cluster of one machine.
struct Cluster {
    node: Node,
    agent: usize,
    program: String,
    kubeconfig: String,
    agent_kubeconfig: String,
    agent_settings: String,
    _directory: tempfile::TempDir,
}

impl Cluster {
    fn start(name: &str) -> Result<Cluster> {
        let directory = tempfile::tempdir()?;
        let mut node = Node::start(name, directory.path())?;
        let program = skiff::build()?.display().to_string();
        let data = directory.path().join("data").display().to_string();
        let parts = "apiserver,controllers,scheduler";
        // The node shares the server's address, for which nobody approves a certificate, and has one of its own making.
        let up = ["up", "--data-dir", &data, "--bind-address", ADDRESS, "--secure-port", "6443", "--parts", parts];
        let up = [&up[..], &["--kubelet-insecure-tls"]].concat();
        let whole: Vec<&str> = std::iter::once(program.as_str()).chain(up).collect();
        node.spawn("skiff", &whole)?;
        let kubeconfig = format!("{data}/admin.kubeconfig");
        until("skiff", || Ok(Path::new(&kubeconfig).exists()), |there| *there)?;
        let agent_kubeconfig = directory.path().join("node.kubeconfig").display().to_string();
        let agent_settings = directory.path().join("kubelet.json").display().to_string();
        std::fs::write(&agent_settings, SETTINGS)?;
        let mut cluster =
            Cluster { node, agent: 0, program, kubeconfig, agent_kubeconfig, agent_settings, _directory: directory };
        let made = cluster.inside(&[
            &cluster.program,
            "kubeconfig",
            "--data-dir",
            &data,
            "--user",
            "system:node:one",
            "--group",
            "system:nodes",
        ])?;
        std::fs::write(&cluster.agent_kubeconfig, made.stdout)?;
        until("the API", || Ok(cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok()), |ready| *ready)?;
        cluster.start_agent()?;
        Ok(cluster)
    }

    fn start_agent(&mut self) -> Result<()> {
        let (socket, group) = (self.node.socket(), self.node.cgroup());
        let (program, kubeconfig) = (self.program.clone(), self.agent_kubeconfig.clone());
        let settings = self.agent_settings.clone();
        let agent = [
            &program,
            "node",
            "--config",
            &settings,
            "--kubeconfig",
            &kubeconfig,
            "--hostname-override",
            "one",
            "--node-ip",
            ADDRESS,
            "--container-runtime-endpoint",
            &socket,
            "--cgroup-root",
            &group,
        ];
        self.agent = self.node.spawn("agent", &agent)?;
        Ok(())
    }

    fn inside(&self, command: &[&str]) -> Result<Output> {
        let output = self.node.command(command).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", command.join(" "));
        Ok(output)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let kubectl = conformance::upstream::programs().join("kubectl").display().to_string();
        let first = [kubectl.as_str(), "--kubeconfig", &self.kubeconfig];
        let whole: Vec<&str> = first.into_iter().chain(arguments.iter().copied()).collect();
        Ok(String::from_utf8(self.inside(&whole)?.stdout)?)
    }

    /// Makes a pod whose one container runs a line of shell.
    fn run(&self, name: &str, restart: &str, line: &str) -> Result<()> {
        let (image, restart) = (format!("--image={SHELL}"), format!("--restart={restart}"));
        let more = ["--image-pull-policy=IfNotPresent", "--command", "--", "/bin/sh", "-c", line];
        let whole: Vec<&str> = ["run", name, &image, &restart].into_iter().chain(more).collect();
        self.kubectl(&whole).map(|_| ())
    }

    fn field(&self, pod: &str, path: &str) -> Result<String> {
        self.kubectl(&["get", "pod", pod, "-o", &format!("jsonpath={{{path}}}")])
    }

    fn wait_for(&self, pod: &str, path: &str, wanted: &str) -> Result<()> {
        until(&format!("{path} of {pod}"), || self.field(pod, path), |got| got == wanted).map(|_| ())
    }
}

const PHASE: &str = ".status.phase";

#[test]
fn pods_run_end_and_survive_their_agent() -> Result<()> {
    if let Some(why) = Node::is_missing() {
        anyhow::bail!("pods cannot be tried as real containers: {why}");
    }
    let mut cluster = Cluster::start("containers")?;
    cluster.run("server", "Always", "echo up; while true; do sleep 1; done")?;
    cluster.run("job", "Never", "echo done > /dev/termination-log; exit 3")?;
    cluster.wait_for("server", PHASE, "Running")?;
    ensure!(cluster.field("server", ".status.podIP")?.starts_with("10.244.7."), "its address is of the pods' network");
    cluster.wait_for("job", PHASE, "Failed")?;
    let ended = ".status.containerStatuses[0].state.terminated";
    ensure!(cluster.field("job", &format!("{ended}.exitCode"))? == "3");
    ensure!(cluster.field("job", &format!("{ended}.message"))?.trim() == "done");

    // The agent is killed at odd moments; what runs is neither lost nor doubled.
    let container = cluster.field("server", ".status.containerStatuses[0].containerID")?;
    let tasks = cluster.node.tasks()?;
    for round in 0..5 {
        let agent = cluster.agent;
        cluster.node.kill(agent)?;
        cluster.start_agent()?;
        let name = format!("extra{round}");
        cluster.run(&name, "Always", "while true; do sleep 1; done")?;
        cluster.wait_for(&name, PHASE, "Running")?;
        cluster.kubectl(&["delete", "pod", &name, "--grace-period=1", "--timeout=60s"])?;
    }
    ensure!(cluster.field("server", ".status.containerStatuses[0].containerID")? == container, "it is the same");
    ensure!(cluster.field("server", ".status.containerStatuses[0].restartCount")? == "0");
    until("only what ran before runs", || cluster.node.tasks(), |now| *now == tasks)?;

    cluster.kubectl(&["delete", "pod", "server", "job", "--grace-period=1", "--timeout=60s"])?;
    let left = until("nothing runs", || cluster.node.tasks(), Vec::is_empty).context("what ran is ended")?;
    ensure!(left.is_empty());
    Ok(())
}
