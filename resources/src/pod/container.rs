//! Containers: the regular ones, those that run first, and those that come later to look around.
//!
//! Upstream: `validateContainers`, `validateInitContainers`, `validateEphemeralContainers`, `validateContainerCommon`.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{
    Options, env, internal, is_sidecar, mounts, name, probe, require, resources, restart, security, volume::Volumes,
};
use crate::checks::{messages, one_of};

/// What the checks of one container know about its pod.
pub struct Pod<'a> {
    pub spec: &'a Value,
    pub volumes: Volumes<'a>,
    pub claims: BTreeSet<&'a str>,
    pub options: &'a Options,
}

impl Pod<'_> {
    fn grace(&self) -> Option<i64> {
        self.spec.opt_int("terminationGracePeriodSeconds")
    }

    fn os(&self) -> &Value {
        self.spec.at("os")
    }
}

/// Upstream: `validateContainers`.
pub fn containers(pod: &Pod<'_>, at: &Path, errs: &mut Errors) {
    let containers = pod.spec.list("containers");
    if containers.is_empty() {
        return errs.required(at, "");
    }
    for (i, container) in containers.iter().enumerate() {
        let at = at.index(i);
        common(container, pod, &at, errs);
        let text = container.str("name");
        if containers[..i].iter().any(|c| c.str("name") == text) {
            errs.duplicate(&at.child("name"), text);
        }
        hooks_and_probes(container, pod, &at, errs);
        restart::policy(container, &at, errs);
    }
    host_ports(containers, at, errs);
}

fn hooks_and_probes(container: &Value, pod: &Pod<'_>, at: &Path, errs: &mut Errors) {
    if container.has("lifecycle") {
        probe::lifecycle(container.at("lifecycle"), pod.os(), pod.grace(), &at.child("lifecycle"), errs);
    }
    probe::probes(container, pod.grace(), at, errs);
}

/// Upstream: `validateInitContainers`.
pub fn init_containers(pod: &Pod<'_>, at: &Path, errs: &mut Errors) {
    let mut taken: BTreeSet<&str> = pod.spec.list("containers").iter().map(|c| c.str("name")).collect();
    for (i, container) in pod.spec.list("initContainers").iter().enumerate() {
        let own = at.index(i);
        common(container, pod, &own, errs);
        restart::init_policy(container, &own, errs);
        let text = container.str("name");
        if taken.contains(text) {
            errs.duplicate(&own.child("name"), text);
        } else if !text.is_empty() {
            taken.insert(text);
        }
        // They run one after the other, so that each has the host's ports for itself.
        host_ports(std::slice::from_ref(container), at, errs);
        if is_sidecar(container) {
            hooks_and_probes(container, pod, &own, errs);
        } else {
            no_hooks_and_probes(container, &own, errs);
            no_resize_restart(container, pod.options, &own, errs);
        }
    }
}

fn no_hooks_and_probes(container: &Value, at: &Path, errs: &mut Errors) {
    for member in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if container.has(member) {
            errs.forbidden(&at.child(member), "may not be set for init containers without restartPolicy=Always");
        }
    }
}

fn no_resize_restart(container: &Value, options: &Options, at: &Path, errs: &mut Errors) {
    if options.init_restart_container {
        return;
    }
    for (i, policy) in container.list("resizePolicy").iter().enumerate() {
        let restart = policy.str("restartPolicy");
        if restart == "RestartContainer" {
            let at = at.child("resizePolicy").index(i).child("restartPolicy");
            errs.invalid(&at, restart, "must not be set to 'RestartContainer' for non-sidecar initContainers");
        }
    }
}

/// Members that a container for looking around may not have, in Go's order.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];
const NOT_EPHEMERAL_TEXT: &str = "cannot be set for an Ephemeral Container";

/// Upstream: `validateEphemeralContainers`.
pub fn ephemeral_containers(pod: &Pod<'_>, at: &Path, errs: &mut Errors) {
    let others = pod.spec.list("containers").iter().chain(pod.spec.list("initContainers"));
    let others: BTreeSet<&str> = others.map(|c| c.str("name")).collect();
    let mut taken = others.clone();
    for (i, container) in pod.spec.list("ephemeralContainers").iter().enumerate() {
        let at = at.index(i);
        common(container, pod, &at, errs);
        image_is_trimmed(container, &at, errs);
        let (text, target) = (container.str("name"), container.str("targetContainerName"));
        if !taken.insert(text) {
            errs.duplicate(&at.child("name"), text);
        }
        if !target.is_empty() && !others.contains(target) {
            errs.not_found(&at.child("targetContainerName"), target);
        }
        for member in NOT_EPHEMERAL.into_iter().filter(|member| container.has(member)) {
            // The one that is no pointer: set when anything in it is.
            if member != "resources" || container.at(member).members().any(|(_, list)| !list.is_null()) {
                errs.forbidden(&at.child(member), NOT_EPHEMERAL_TEXT);
            }
        }
        for (i, mount) in container.list("volumeMounts").iter().enumerate() {
            for member in ["subPath", "subPathExpr"].into_iter().filter(|m| !mount.str(m).is_empty()) {
                errs.forbidden(&at.child("volumeMounts").index(i).child(member), NOT_EPHEMERAL_TEXT);
            }
        }
    }
}

/// Of pods, not of templates. Upstream: `validateContainerOnlyForPod`.
pub fn image_is_trimmed(container: &Value, at: &Path, errs: &mut Errors) {
    let image = container.str("image");
    if image.trim() != image {
        errs.invalid(&at.child("image"), image, "must not have leading or trailing whitespace");
    }
}

/// What all kinds of containers have in common. Upstream: `validateContainerCommon`.
fn common(container: &Value, pod: &Pod<'_>, at: &Path, errs: &mut Errors) {
    let text = container.str("name");
    if require(errs, &at.child("name"), text) {
        name(errs, &at.child("name"), text, names::dns1123_label);
    }
    require(errs, &at.child("image"), container.str("image"));
    let policy = container.str("terminationMessagePolicy");
    if require(errs, &at.child("terminationMessagePolicy"), policy) {
        one_of(errs, &at.child("terminationMessagePolicy"), policy, &["File", "FallbackToLogsOnError"]);
    }
    ports(container.list("ports"), &at.child("ports"), errs);
    env::variables(container.list("env"), &at.child("env"), errs);
    env::sources(container.list("envFrom"), &at.child("envFrom"), errs);
    mounts::mounts(container, &pod.volumes, &at.child("volumeMounts"), errs);
    mounts::devices(container, &pod.volumes, &at.child("volumeDevices"), errs);
    pull_policy(container.str("imagePullPolicy"), &at.child("imagePullPolicy"), errs);
    let requirements = container.at("resources");
    let rule = resources::container_name;
    resources::requirements(requirements, rule, &pod.claims, &at.child("resources"), pod.options, errs);
    let policies = container.list("resizePolicy");
    restart::resize_policy(policies, pod.spec.str("restartPolicy"), &at.child("resizePolicy"), errs);
    security::of_container(container.at("securityContext"), pod, &at.child("securityContext"), errs);
}

/// Upstream: `validateContainerPorts`.
fn ports(ports: &[Value], at: &Path, errs: &mut Errors) {
    for (i, port) in ports.iter().enumerate() {
        let at = at.index(i);
        let text = port.str("name");
        if !text.is_empty() {
            let texts = names::port_name(text);
            let taken = ports[..i].iter().any(|p| p.str("name") == text);
            if texts.is_empty() && taken {
                errs.duplicate(&at.child("name"), text);
            }
            messages(errs, &at.child("name"), text, texts);
        }
        match port.int("containerPort") {
            0 => errs.required(&at.child("containerPort"), ""),
            number => port_number(number, &at.child("containerPort"), errs),
        }
        if port.int("hostPort") != 0 {
            port_number(port.int("hostPort"), &at.child("hostPort"), errs);
        }
        let protocol = port.str("protocol");
        if require(errs, &at.child("protocol"), protocol) {
            one_of(errs, &at.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
        }
    }
}

fn port_number(number: i64, at: &Path, errs: &mut Errors) {
    for text in names::port_num(number) {
        errs.invalid(at, number, text);
    }
}

/// Upstream: `checkHostPortConflicts`.
fn host_ports(containers: &[Value], at: &Path, errs: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in container.list("ports").iter().enumerate().filter(|(_, p)| p.int("hostPort") != 0) {
            let key = format!("{}/{}/{}", port.str("protocol"), port.str("hostIP"), port.int("hostPort"));
            if !taken.insert(key.clone()) {
                errs.duplicate(&at.index(i).child("ports").index(j).child("hostPort"), key);
            }
        }
    }
}

/// Upstream: `validatePullPolicy`.
pub fn pull_policy(policy: &str, at: &Path, errs: &mut Errors) {
    if require(errs, at, policy) {
        one_of(errs, at, policy, &["Always", "IfNotPresent", "Never"]);
    }
}

/// A security context as upstream shows it.
pub fn shown_context(context: &Value) -> String {
    internal::json("SecurityContext", context)
}
