//! `make up` as its user has it: it says where the kubeconfig is, kubectl works with that, and what runs ends when it is told
//! to, with nothing left.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use conformance::upstream::{Ports, programs};
use rustix::process::{Pid, Signal, kill_process};

/// What `make up` has started; dropping it ends it.
struct Up(Pid);

/// Runs `make up` with a control plane alone, as tests build it; what it prints.
fn make_up(data: &Path, port: u16) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate stands in the workspace")?;
    let flags = format!(
        "ARGS=--dev --parts=apiserver,controllers --bind-address=127.0.0.1 --secure-port={port} --data-dir={}",
        data.display()
    );
    let made = Command::new("make").current_dir(root).args(["up", &flags]).stdin(Stdio::null()).output()?;
    ensure!(made.status.success(), "make up: {}", String::from_utf8_lossy(&made.stderr));
    Ok(String::from_utf8(made.stdout)?)
}

/// Command lines in which a directory is named.
fn naming(directory: &Path) -> Vec<String> {
    let wanted = directory.display().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&wanted)).collect()
}

#[test]
fn kubectl_works_with_what_is_printed() -> Result<()> {
    let place = tempfile::tempdir()?;
    let (data, port) = (place.path().join("data"), Ports::free()?.server);
    let said = make_up(&data, port)?;
    let up = Up::of(&data)?;
    let kubeconfig = said.lines().find_map(|line| line.trim().strip_prefix("export KUBECONFIG="));
    let kubeconfig = kubeconfig.with_context(|| format!("it does not say where the kubeconfig is:\n{said}"))?;
    let kubectl = |words: &[&str]| -> Result<String> {
        let done = Command::new(programs().join("kubectl")).env("KUBECONFIG", kubeconfig).args(words).output()?;
        ensure!(done.status.success(), "kubectl {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8(done.stdout)?)
    };
    ensure!(kubectl(&["get", "namespaces", "-o", "name"])?.contains("namespace/default\n"));
    kubectl(&["create", "configmap", "one", "--from-literal=a=b"])?;
    ensure!(kubectl(&["get", "configmap", "one", "-o", "jsonpath={.data.a}"])? == "b");
    ensure!(make_up(&data, port)?.contains("Skiff is up already"), "a second one starts nothing");

    up.end()?;
    ensure!(naming(&data).is_empty(), "still there: {:?}", naming(&data));
    std::net::TcpListener::bind(("127.0.0.1", port)).context("its port is free again")?;

    make_up(&data, port)?;
    let up = Up::of(&data)?;
    ensure!(kubectl(&["get", "configmap", "one", "-o", "jsonpath={.data.a}"])? == "b", "it goes on where it stopped");
    up.end()
}

// === impl Up ===

impl Up {
    fn of(data: &Path) -> Result<Up> {
        let pid = fs::read_to_string(data.join("skiff.pid"))?.trim().parse().ok().and_then(Pid::from_raw);
        Ok(Up(pid.context("the file names a process")?))
    }

    /// Tells it to end, and waits until it has.
    fn end(self) -> Result<()> {
        kill_process(self.0, Signal::TERM)?;
        while self.runs() {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Whether the number still is that of what was started: one that has ended has no command line.
    fn runs(&self) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.0.as_raw_nonzero())).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("--data-dir=")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.runs() {
            let _ = kill_process(self.0, Signal::KILL);
        }
    }
}
