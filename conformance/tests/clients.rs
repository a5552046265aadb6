//! Small programs in the client libraries that people use (`conformance/clients`): each walks through create, apply, patch, pages,
//! watches and deletion, checks what it sees, and prints one line. On Skiff, and on upstream, so that they ask for nothing that
//! upstream does not do.
//!
//! They write deployments without trying again after a conflict, so nobody else may write those: the controllers beside them
//! are those of most tours ([`tour::CONTROLLERS`]).

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};
use conformance::tour;

/// A program's name, and how it is started.
type Program = (&'static str, fn() -> Result<Command>);

/// `cargo xtask clients` builds or installs what each needs.
const PROGRAMS: [Program; 7] = [
    ("client-go", || Ok(Command::new(installed("go/verbs")))),
    ("controller-runtime", || Ok(Command::new(installed("go/reconciler")))),
    ("kube-rs", || Ok(Command::new(installed("rust/debug/kube-walk")))),
    ("python", python),
    ("javascript", javascript),
    ("kube-rs operator", || Ok(Command::new(installed("rust/debug/kube-operator")))),
    ("kopf", kopf),
];

fn installed(path: &str) -> PathBuf {
    tour::clients().join(path)
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(path)
}

fn python() -> Result<Command> {
    let mut python = Command::new("python3");
    python.arg(source("python/verbs.py")).env("PYTHONPATH", installed("python"));
    Ok(python)
}

fn kopf() -> Result<Command> {
    let mut python = Command::new("python3");
    python.arg(source("python/kopf_operator.py")).env("PYTHONPATH", installed("python"));
    Ok(python)
}

/// Node looks for libraries beside the program, wherever it is started.
fn javascript() -> Result<Command> {
    let copy = installed("javascript/verbs.js");
    std::fs::copy(source("javascript/verbs.js"), &copy)?;
    let mut node = Command::new("node");
    node.arg(copy);
    Ok(node)
}

/// Runs one program; what it says when something is not as it should be is the error.
fn walk(name: &str, kubeconfig: &Path) -> Result<()> {
    let known = PROGRAMS.into_iter().find(|(known, _)| *known == name);
    let (_, command) = known.ok_or_else(|| anyhow::anyhow!("there is no program {name}"))?;
    let done = command()?
        .env("KUBECONFIG", kubeconfig)
        .output()
        .map_err(|error| anyhow::anyhow!("{name} does not start: {error}; `cargo xtask clients` installs it"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success(), "{name} ended with {}: {said}", done.status);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty() && !tells_of_a_wait(line)).collect();
    ensure!(lines == [format!("{name}: all is as it should be")], "{name} said: {said}");
    Ok(())
}

/// Whether a client says that it was told to come again later, and will: upstream answers so while the cache of a new kind
/// fills. Upstream: `storage is (re)initializing` in apiserver/pkg/storage/cacher.
fn tells_of_a_wait(line: &str) -> bool {
    line.contains("failed; will retry") && line.contains("APITooManyRequestsError('storage is (re)initializing'")
}

mod clients {
    use anyhow::Result;
    use conformance::{
        skiff::{self, Skiff},
        tour,
    };

    fn on_skiff(name: &str) -> Result<()> {
        let directory = tempfile::tempdir()?;
        let data = directory.path().join("data");
        let skiff = Skiff::start_with_controllers(&skiff::build()?, &data, tour::CONTROLLERS)?;
        super::walk(name, &skiff.kubeconfig)
    }

    #[test]
    fn client_go_walks() -> Result<()> {
        on_skiff("client-go")
    }

    #[test]
    fn controller_runtime_reconciles() -> Result<()> {
        on_skiff("controller-runtime")
    }

    #[test]
    fn kube_rs_walks() -> Result<()> {
        on_skiff("kube-rs")
    }

    #[test]
    fn python_walks() -> Result<()> {
        on_skiff("python")
    }

    #[test]
    fn javascript_walks() -> Result<()> {
        on_skiff("javascript")
    }

    #[test]
    fn an_operator_in_kube_rs_reconciles() -> Result<()> {
        on_skiff("kube-rs operator")
    }

    #[test]
    fn an_operator_in_kopf_reconciles() -> Result<()> {
        on_skiff("kopf")
    }
}

mod upstream {
    use conformance::upstream::{Settings, Upstream};

    #[test]
    fn all_walk_on_upstream() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let controllers = Some(conformance::tour::CONTROLLERS.into());
        let upstream = Upstream::start(&Settings { controllers, ..Settings::new(directory.path())? })?;
        super::PROGRAMS.iter().try_for_each(|(name, _)| super::walk(name, &upstream.kubeconfig))
    }
}
