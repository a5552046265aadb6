//! The list of checks, each with the versions in which it became what it is, and their evaluation.
//!
//! Upstream: k8s.io/pod-security-admission/policy/{checks,registry}.go.

use std::collections::BTreeSet;

use api::Value;

use super::{
    baseline as b,
    level::{Level, Standard},
    restricted as r,
};
use crate::pod::List;

/// A pod, or the template of one.
#[derive(Clone, Copy)]
pub struct Pod<'a> {
    pub annotations: &'a Value,
    pub spec: &'a Value,
    whole: &'a Value,
}

/// Why a check says no: in short, and in full for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: &'static str,
    pub detail: String,
}

/// What all checks of a standard say.
#[derive(Debug, Default)]
pub struct Refusals(Vec<Refusal>);

type Verdict = fn(&Pod<'_>) -> Option<Refusal>;

struct Check {
    id: &'static str,
    level: Level,
    /// From which minor version on what is checked, rising.
    versions: &'static [(u32, Verdict)],
    /// The baseline check that this one stands in for.
    instead_of: &'static str,
}

const fn baseline(id: &'static str, versions: &'static [(u32, Verdict)]) -> Check {
    Check { id, level: Level::Baseline, versions, instead_of: "" }
}

const fn restricted(id: &'static str, instead_of: &'static str, versions: &'static [(u32, Verdict)]) -> Check {
    Check { id, level: Level::Restricted, versions, instead_of }
}

/// The newest version that any check knows.
pub const MINOR_MAX: u32 = 37;

/// Baseline first, then restricted, each by name: messages are in this order.
const ALL: &[Check] = &[
    baseline("appArmorProfile", &[(0, b::app_armor_profile)]),
    baseline("capabilities_baseline", &[(0, b::capabilities)]),
    baseline("hostNamespaces", &[(0, b::host_namespaces)]),
    baseline("hostPathVolumes", &[(0, b::host_path_volumes)]),
    baseline("hostPorts", &[(0, b::host_ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, b::probe_hosts)]),
    baseline("privileged", &[(0, b::privileged)]),
    baseline("procMount", &[(0, b::proc_mount), (35, |pod| outside_user_namespace(pod, b::proc_mount))]),
    baseline("seLinuxOptions", &[(0, |pod| b::se_linux(pod, false)), (31, |pod| b::se_linux(pod, true))]),
    baseline("seccompProfile_baseline", &[(0, b::seccomp_annotations), (19, b::seccomp)]),
    baseline(
        "sysctls",
        &[
            (0, |pod| b::sysctls(pod, 0)),
            (27, |pod| b::sysctls(pod, 27)),
            (29, |pod| b::sysctls(pod, 29)),
            (32, |pod| b::sysctls(pod, 32)),
            (37, |pod| b::sysctls(pod, 37)),
        ],
    ),
    baseline("windowsHostProcess", &[(0, b::windows_host_process)]),
    restricted(
        "allowPrivilegeEscalation",
        "",
        &[(8, r::privilege_escalation), (25, |pod| not_on_windows(pod, r::privilege_escalation))],
    ),
    restricted(
        "capabilities_restricted",
        "capabilities_baseline",
        &[(22, r::capabilities), (25, |pod| not_on_windows(pod, r::capabilities))],
    ),
    restricted("procMount_restricted", "procMount", &[(35, b::proc_mount)]),
    restricted("restrictedVolumes", "hostPathVolumes", &[(0, r::volumes)]),
    restricted(
        "runAsNonRoot",
        "",
        &[(0, r::run_as_non_root), (35, |pod| outside_user_namespace(pod, r::run_as_non_root))],
    ),
    restricted("runAsUser", "", &[(23, r::run_as_user), (35, |pod| outside_user_namespace(pod, r::run_as_user))]),
    restricted(
        "seccompProfile_restricted",
        "seccompProfile_baseline",
        &[(19, r::seccomp), (25, |pod| not_on_windows(pod, r::seccomp))],
    ),
];

/// What a standard says against a pod.
pub fn evaluate(standard: Standard, pod: &Pod<'_>) -> Refusals {
    if standard.level == Level::Privileged {
        return Refusals::default();
    }
    let minor = standard.version.minor(MINOR_MAX);
    let held = |check: &&Check| check.level <= standard.level && check.verdict(minor).is_some();
    let replaced: BTreeSet<&str> = ALL.iter().filter(held).map(|check| check.instead_of).collect();
    let checks = ALL.iter().filter(|check| !replaced.contains(check.id));
    let verdicts = checks.filter(held).filter_map(|check| check.verdict(minor));
    Refusals(verdicts.filter_map(|verdict| verdict(pod)).collect())
}

/// Root in a user namespace of its own is nobody outside.
fn outside_user_namespace(pod: &Pod<'_>, verdict: Verdict) -> Option<Refusal> {
    if pod.spec.opt_bool("hostUsers") == Some(false) { None } else { verdict(pod) }
}

/// On Windows none of these can be set.
fn not_on_windows(pod: &Pod<'_>, verdict: Verdict) -> Option<Refusal> {
    if pod.spec.at("os").str("name") == "windows" { None } else { verdict(pod) }
}

// === impl Check ===

impl Check {
    fn verdict(&self, minor: u32) -> Option<Verdict> {
        self.versions.iter().rev().find(|(from, _)| *from <= minor).map(|(_, verdict)| *verdict)
    }
}

// === impl Pod ===

impl<'a> Pod<'a> {
    /// Of anything that has `metadata` and a pod's `spec`.
    pub fn of(whole: &'a Value) -> Pod<'a> {
        Pod { annotations: whole.at("metadata").at("annotations"), spec: whole.at("spec"), whole }
    }

    pub fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        const VISITED: [List; 3] = [List::Init, List::Main, List::Ephemeral];
        crate::pod::containers(self.whole, &VISITED).map(|(_, _, container)| container)
    }

    /// The names of the containers of which something holds.
    pub fn named(&self, mut holds: impl FnMut(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|c| holds(c)).map(|c| c.str("name")).collect()
    }

    /// The pod's own settings.
    pub fn security(&self) -> &'a Value {
        self.spec.at("securityContext")
    }
}

// === impl Refusals ===

impl Refusals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn reasons(&self) -> String {
        self.0.iter().map(|refusal| refusal.reason).collect::<Vec<_>>().join(", ")
    }

    pub fn details(&self) -> String {
        let told = self.0.iter().map(|Refusal { reason, detail }| match detail.is_empty() {
            true => reason.to_string(),
            false => format!("{reason} ({detail})"),
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

// --- how refusals speak

pub fn refuse(reason: &'static str, detail: String) -> Option<Refusal> {
    Some(Refusal { reason, detail })
}

/// `"a", "b"`
pub fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| format!("\"{}\"", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The word for one or for several.
pub fn of_count(count: usize, one: &'static str, several: &'static str) -> &'static str {
    if count == 1 { one } else { several }
}

/// `container "a"`, `containers "a", "b"`.
pub fn containers(names: &[&str]) -> String {
    format!("{} {}", of_count(names.len(), "container", "containers"), quoted(names))
}

/// Who set something: the pod, containers, or both; none when nobody did.
pub fn setters(pod: bool, names: &[&str]) -> Vec<String> {
    let mut setters = Vec::new();
    if pod {
        setters.push("pod".to_string());
    }
    if !names.is_empty() {
        setters.push(containers(names));
    }
    setters
}
