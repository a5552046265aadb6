//! Runs the suite: `ginkgo` with `e2e.test`, whose output goes into a file.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::{
    junit::{self, Case},
    list::Test,
};
use crate::bound::bound;

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Upstream's programs.
    pub programs: PathBuf,
    pub kubeconfig: PathBuf,
    /// Where `e2e.log` and `junit_01.xml` go.
    pub output: PathBuf,
    pub processes: usize,
    /// How long the suite may take, as Go writes it: `3h`. What runs then has failed.
    pub timeout: String,
}

const REPORT: &str = "junit_01.xml";

// === impl Run ===

impl Run {
    /// Runs these tests. Failures of tests are no error; a suite that comes to no report is one.
    pub async fn run(&self, tests: &[&Test]) -> Result<Vec<Case>> {
        std::fs::create_dir_all(&self.output)?;
        let report = self.output.join(REPORT);
        // One of an earlier run would be taken for this one's.
        if report.exists() {
            std::fs::remove_file(&report)?;
        }
        let log = self.output.join("e2e.log");
        let file = std::fs::File::create(&log)?;
        let mut suite = self.command(tests)?;
        suite.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let status = suite.spawn().context("cannot start ginkgo")?.wait().await?;
        let xml = std::fs::read_to_string(&report)
            .with_context(|| format!("the suite ended with {status} and without a report; see {}", log.display()))?;
        junit::parse(&xml)
    }

    fn command(&self, tests: &[&Test]) -> Result<Command> {
        let program = |name: &str| -> Result<PathBuf> {
            let path = self.programs.join(name);
            ensure!(path.is_file(), "there is no {}: `cargo xtask reference suite` builds it", path.display());
            Ok(path)
        };
        let mut command = Command::from(bound(program("ginkgo")?));
        command
            .current_dir(&self.output)
            .env("KUBECONFIG", &self.kubeconfig)
            .arg(format!("--focus={}", focus(tests)))
            .arg(format!("--procs={}", self.processes))
            .arg(format!("--timeout={}", self.timeout))
            .arg("--no-color")
            .arg(program("e2e.test")?)
            .args(["--", "--provider=skeleton", "--dns-domain=cluster.local", "--disable-log-dump"])
            .arg(flag("kubeconfig", &self.kubeconfig))
            .arg(flag("kubectl-path", &program("kubectl")?))
            .arg(flag("report-dir", &self.output));
        Ok(command)
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// A pattern that exactly these tests fit.
fn focus(tests: &[&Test]) -> String {
    tests.iter().map(|test| regex::escape(&test.name)).collect::<Vec<_>>().join("|")
}
