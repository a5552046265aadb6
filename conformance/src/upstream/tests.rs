//! Upstream's control plane starts, answers, keeps its data, and stops.

use std::path::Path;
use std::process::Command;

use super::{Settings, Upstream};

fn kubectl(upstream: &Upstream, settings: &Settings, arguments: &[&str]) -> String {
    let mut kubectl = Command::new(settings.programs.join("kubectl"));
    let output =
        kubectl.arg("--kubeconfig").arg(&upstream.kubeconfig).args(arguments).output().expect("kubectl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn starts_answers_and_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::new(directory.path()).expect("free ports");
    settings.durable = true;
    let first = Upstream::start(&settings).expect("it starts");
    let version = kubectl(&first, &settings, &["version", "--output=json"]);
    assert!(version.contains("\"gitVersion\": \"v1.37.1\""), "{version}");
    kubectl(&first, &settings, &["create", "configmap", "kept", "--from-literal=a=b"]);
    let pids = ["etcd", "kube-apiserver"].map(|program| first.pid(program).expect("it was started"));
    drop(first);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} was left behind");
    }
    let second = Upstream::start(&settings).expect("it starts again");
    assert_eq!(kubectl(&second, &settings, &["get", "configmap", "kept", "--output=jsonpath={.data.a}"]), "b");
}

#[test]
fn says_what_is_missing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::new(directory.path()).expect("free ports");
    settings.programs = directory.path().join("nowhere");
    let error = Upstream::start(&settings).expect_err("there are no programs").to_string();
    assert!(error.contains("nowhere/etcd") && error.contains("cargo xtask reference"), "{error}");
}
