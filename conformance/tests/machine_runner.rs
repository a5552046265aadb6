//! The suite in a pod of the cluster it judges, as those run it who certify clusters: with Hydrophone, and as Sonobuoy does.
//!
//! As root; the nodes live in namespaces of their own.

use std::{
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use conformance::{
    images::{self, RUNNER},
    machine::until,
    machines, skiff,
    suite::cluster::{Cluster, Kind},
    upstream,
};

/// One test that is quick and needs nothing.
const FOCUS: &str = "ConfigMap should be consumable via environment variable";
const IMAGE: &str = "registry.k8s.io/conformance:v1.37.1";
const SHELL: &str = "registry.k8s.io/e2e-test-images/busybox:1.37.0-2";

#[test]
fn the_suite_runs_in_a_pod() -> Result<()> {
    if let Some(code) = machines::enter()? {
        ensure!(code == 0, "it failed in the network of its own; see above");
        return Ok(());
    }
    let (program, directory) = (skiff::build()?, tempfile::tempdir()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let kind = Kind::Real { images: images::place(), pulled: &[RUNNER] };
    let cluster = runtime.block_on(Cluster::skiff(&program, directory.path(), &kind))?;
    with_hydrophone(&cluster.kubeconfig, directory.path())?;
    as_sonobuoy(&cluster.kubeconfig, directory.path())
}

/// Hydrophone itself: it starts the pod, follows its log and fetches what it leaves.
fn with_hydrophone(kubeconfig: &Path, directory: &Path) -> Result<()> {
    let results = directory.join("hydrophone");
    std::fs::create_dir_all(&results)?;
    let done = Command::new(upstream::programs().join("hydrophone"))
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--focus", FOCUS, "--conformance-image", IMAGE, "--busybox-image", SHELL, "--output-dir"])
        .arg(&results)
        .output()
        .context("hydrophone cannot be started")?;
    ensure!(done.status.success(), "hydrophone: {}", said(&done));
    let report = std::fs::read_to_string(results.join("junit_01.xml")).context("there is no report")?;
    ensure!(report.contains("failures=\"0\"") && report.contains("status=\"passed\""), "the test did not pass");
    let log = std::fs::read_to_string(results.join("e2e.log")).context("there is no log")?;
    ensure!(log.contains("1 Passed | 0 Failed"), "the log ends with {:?}", log.lines().last());
    Ok(())
}

/// What Sonobuoy's plugin does: variables, progress to a worker beside it, a file that says where the results are.
fn as_sonobuoy(kubeconfig: &Path, directory: &Path) -> Result<()> {
    let kubectl = |words: &[&str]| -> Result<String> {
        let done = Command::new(upstream::programs().join("kubectl"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(words)
            .output()
            .context("kubectl cannot be started")?;
        ensure!(done.status.success(), "kubectl {}: {}", words.join(" "), said(&done));
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    };
    kubectl(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/sonobuoy.yaml")])?;
    let worker = ["-n", "sonobuoy", "exec", "e2e", "-c", "worker", "--"];
    let in_worker = |words: &[&str]| kubectl(&[&worker, words].concat());
    let phase = [
        "-n",
        "sonobuoy",
        "get",
        "pod",
        "e2e",
        "-o",
        "jsonpath={.status.containerStatuses[?(@.name==\"e2e\")].state.terminated.exitCode}",
    ];
    until("the suite's end", || kubectl(&phase), |code| !code.is_empty())?;
    let place = in_worker(&["cat", "/tmp/sonobuoy/results/done"])?;
    ensure!(place == "/tmp/sonobuoy/results/e2e.tar.gz", "the results are said to be at {place:?}");
    let listed = in_worker(&["tar", "-tzf", &place])?;
    ensure!(listed.contains("e2e.log") && listed.contains("junit_01.xml"), "in the results there is only {listed}");
    let progress = in_worker(&["cat", "/tmp/sonobuoy/progress"])?;
    // Upstream's reporter counts before it is told of a test's end, so there is no "completed" of one.
    let ended = r#"{"msg":"Test Suite completed","total":1,"#;
    ensure!(progress.contains(ended) && progress.contains(r#""failed":0"#), "progress said {progress:?}");
    let copy = directory.join("e2e.tar.gz").display().to_string();
    kubectl(&["-n", "sonobuoy", "cp", "-c", "worker", "e2e:/tmp/sonobuoy/results/e2e.tar.gz", &copy])?;
    ensure!(std::fs::metadata(&copy)?.len() > 0, "the results cannot be fetched");
    Ok(())
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}
