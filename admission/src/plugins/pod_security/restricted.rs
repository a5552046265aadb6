//! What the restricted standard wants beyond the baseline: today's best practice.
//!
//! Upstream: k8s.io/pod-security-admission/policy/check_*.go.

use std::collections::BTreeSet;

use api::Value;

use super::{
    baseline,
    checks::{Pod, Refusal, containers, of_count, quoted, refuse, setters},
};

/// Types of seccomp profiles that confine.
pub const SECCOMP: [&str; 2] = ["Localhost", "RuntimeDefault"];

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// In the order in which upstream looks, were there two in one volume.
const RESTRICTED_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub fn privilege_escalation(pod: &Pod<'_>) -> Option<Refusal> {
    let names = pod.named(|c| c.at("securityContext").opt_bool("allowPrivilegeEscalation") != Some(false));
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    refuse("allowPrivilegeEscalation != false", detail)
}

pub fn capabilities(pod: &Pod<'_>) -> Option<Refusal> {
    let list = |c: &'_ Value, list: &str| -> Vec<String> {
        let found = c.at("securityContext").at("capabilities").list(list).iter();
        found.filter_map(Value::as_str).map(String::from).collect()
    };
    let keeping = pod.named(|c| !list(c, "drop").iter().any(|name| name == "ALL"));
    let mut forbidden = BTreeSet::new();
    let adding = pod.named(|c| {
        let wrong: Vec<String> = list(c, "add").into_iter().filter(|name| name != "NET_BIND_SERVICE").collect();
        let adds = !wrong.is_empty();
        forbidden.extend(wrong);
        adds
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    if !adding.is_empty() {
        let (names, forbidden) = (containers(&adding), quoted(forbidden));
        details.push(format!("{names} must not include {forbidden} in securityContext.capabilities.add"));
    }
    if details.is_empty() { None } else { refuse("unrestricted capabilities", details.join("; ")) }
}

pub fn volumes(pod: &Pod<'_>) -> Option<Refusal> {
    let is_bad = |volume: &&Value| !VOLUMES.iter().any(|kind| volume.has(kind));
    let bad: Vec<&Value> = pod.spec.list("volumes").iter().filter(is_bad).collect();
    if bad.is_empty() {
        return None;
    }
    let kind = |volume: &&Value| RESTRICTED_VOLUMES.into_iter().find(|kind| volume.has(kind)).unwrap_or("unknown");
    let kinds: BTreeSet<&str> = bad.iter().map(kind).collect();
    let volumes = of_count(bad.len(), "volume", "volumes");
    let uses = of_count(bad.len(), "uses", "use");
    let word = of_count(kinds.len(), "restricted volume type", "restricted volume types");
    let names = quoted(bad.iter().map(|volume| volume.str("name")));
    refuse("restricted volume types", format!("{volumes} {names} {uses} {word} {}", quoted(kinds)))
}

pub fn run_as_non_root(pod: &Pod<'_>) -> Option<Refusal> {
    const REASON: &str = "runAsNonRoot != true";
    let said = |security: &Value| security.opt_bool("runAsNonRoot");
    let by_pod = said(pod.security());
    let wrong = pod.named(|c| said(c.at("securityContext")) == Some(false));
    let setters = setters(by_pod == Some(false), &wrong);
    if !setters.is_empty() {
        return refuse(REASON, format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and ")));
    }
    let silent = pod.named(|c| said(c.at("securityContext")).is_none());
    if by_pod == Some(true) || silent.is_empty() {
        return None;
    }
    refuse(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)))
}

pub fn run_as_user(pod: &Pod<'_>) -> Option<Refusal> {
    let is_root = |security: &Value| security.opt_int("runAsUser") == Some(0);
    let names = pod.named(|c| is_root(c.at("securityContext")));
    let setters = setters(is_root(pod.security()), &names);
    if setters.is_empty() {
        return None;
    }
    refuse("runAsUser=0", format!("{} must not set runAsUser=0", setters.join(" and ")))
}

pub fn seccomp(pod: &Pod<'_>) -> Option<Refusal> {
    if let Some(refusal) = baseline::seccomp(pod) {
        return Some(refusal);
    }
    let silent = pod.named(|c| !c.at("securityContext").has("seccompProfile"));
    if pod.security().has("seccompProfile") || silent.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        containers(&silent)
    );
    refuse("seccompProfile", detail)
}
