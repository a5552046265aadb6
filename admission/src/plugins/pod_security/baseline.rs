//! What the baseline standard forbids: known ways to more privileges.
//!
//! Upstream: k8s.io/pod-security-admission/policy/check_*.go.

use std::collections::BTreeSet;

use api::{Value, field::quote};

use super::checks::{Pod, Refusal, containers, of_count, quoted, refuse, setters};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Sysctls that are safe, and since which minor version that is known.
const SYSCTLS: [(u32, &str); 14] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_slow_start_after_idle"),
    (37, "net.ipv4.tcp_notsent_lowat"),
];

/// Notes a bad value of a profile's type. Returns whether it was one.
fn is_bad<'a>(profile: &'a Value, good: &[&str], bad: &mut BTreeSet<&'a str>) -> bool {
    let is_bad = !profile.is_null() && !good.contains(&profile.str("type"));
    if is_bad {
        bad.insert(profile.str("type"));
    }
    is_bad
}

pub fn app_armor_profile(pod: &Pod<'_>) -> Option<Refusal> {
    const GOOD: [&str; 2] = ["RuntimeDefault", "Localhost"];
    let mut bad = BTreeSet::new();
    let by_pod = is_bad(pod.security().at("appArmorProfile"), &GOOD, &mut bad);
    let names = pod.named(|c| is_bad(c.at("securityContext").at("appArmorProfile"), &GOOD, &mut bad));
    let mut setters = setters(by_pod, &names);
    let annotated = |(key, value): &(&str, &str)| {
        let good = value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/");
        key.starts_with(APP_ARMOR) && !good
    };
    let members = pod.annotations.members().filter_map(|(k, v)| Some((k, v.as_str()?)));
    let mut annotations: Vec<String> = members.filter(annotated).map(|(k, v)| format!("{k}={}", quote(v))).collect();
    annotations.sort();
    if !annotations.is_empty() {
        setters.push(of_count(annotations.len(), "annotation", "annotations").into());
    }
    if setters.is_empty() {
        return None;
    }
    let values: Vec<String> = bad.into_iter().map(String::from).chain(annotations).collect();
    let reason = of_count(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles");
    refuse(reason, format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(values)))
}

pub fn capabilities(pod: &Pod<'_>) -> Option<Refusal> {
    let mut bad: BTreeSet<&str> = BTreeSet::new();
    let names = pod.named(|c| {
        let added = c.at("securityContext").at("capabilities").list("add").iter().filter_map(Value::as_str);
        let wrong: Vec<&str> = added.filter(|name| !CAPABILITIES.contains(name)).collect();
        bad.extend(&wrong);
        !wrong.is_empty()
    });
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must not include {} in securityContext.capabilities.add", containers(&names), quoted(bad));
    refuse("non-default capabilities", detail)
}

pub fn host_namespaces(pod: &Pod<'_>) -> Option<Refusal> {
    let set = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|name| pod.spec.bool(name));
    let set: Vec<String> = set.map(|name| format!("{name}=true")).collect();
    if set.is_empty() { None } else { refuse("host namespaces", set.join(", ")) }
}

pub fn host_path_volumes(pod: &Pod<'_>) -> Option<Refusal> {
    let found = pod.spec.list("volumes").iter().filter(|volume| volume.has("hostPath"));
    let names: Vec<&str> = found.map(|volume| volume.str("name")).collect();
    if names.is_empty() {
        return None;
    }
    refuse("hostPath volumes", format!("{} {}", of_count(names.len(), "volume", "volumes"), quoted(names)))
}

pub fn host_ports(pod: &Pod<'_>) -> Option<Refusal> {
    let mut ports = BTreeSet::new();
    let names = pod.named(|c| {
        let set = c.list("ports").iter().map(|port| port.int("hostPort")).filter(|port| *port != 0);
        let set: Vec<String> = set.map(|port| port.to_string()).collect();
        let uses = !set.is_empty();
        ports.extend(set);
        uses
    });
    if names.is_empty() {
        return None;
    }
    let uses = of_count(names.len(), "uses", "use");
    let word = of_count(ports.len(), "hostPort", "hostPorts");
    let ports = ports.into_iter().collect::<Vec<_>>().join(", ");
    refuse("hostPort", format!("{} {uses} {word} {ports}", containers(&names)))
}

pub fn probe_hosts(pod: &Pod<'_>) -> Option<Refusal> {
    const HANDLERS: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let mut hosts: BTreeSet<&str> = BTreeSet::new();
    let mut names = pod.named(|c| {
        let handlers = HANDLERS.iter().map(|path| c.at_path(path));
        let found =
            handlers.flat_map(|handler| [handler.at("httpGet").str("host"), handler.at("tcpSocket").str("host")]);
        let found: Vec<&str> = found.filter(|host| !host.is_empty()).collect();
        hosts.extend(&found);
        !found.is_empty()
    });
    if names.is_empty() {
        return None;
    }
    names.sort_unstable();
    names.dedup();
    let uses = of_count(names.len(), "uses", "use");
    let word = of_count(hosts.len(), "probe or lifecycle host", "probe or lifecycle hosts");
    refuse("probe or lifecycle host", format!("{} {uses} {word} {}", containers(&names), quoted(hosts)))
}

pub fn privileged(pod: &Pod<'_>) -> Option<Refusal> {
    let names = pod.named(|c| c.at("securityContext").bool("privileged"));
    if names.is_empty() {
        return None;
    }
    refuse("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
}

pub fn proc_mount(pod: &Pod<'_>) -> Option<Refusal> {
    let mut bad = BTreeSet::new();
    let names = pod.named(|c| {
        let mount = c.at("securityContext").opt_str("procMount").filter(|mount| *mount != "Default");
        bad.extend(mount);
        mount.is_some()
    });
    if names.is_empty() {
        return None;
    }
    refuse("procMount", format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(bad)))
}

/// `engine`: the type of a container engine is allowed, too.
pub fn se_linux(pod: &Pod<'_>, engine: bool) -> Option<Refusal> {
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut check = |options: &Value| {
        let kind = options.str("type");
        let good = matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t");
        let good = good || engine && kind == "container_engine_t";
        if !good {
            types.insert(kind.to_string());
        }
        let (sets_user, sets_role) = (!options.str("user").is_empty(), !options.str("role").is_empty());
        user |= sets_user;
        role |= sets_role;
        !good || sets_user || sets_role
    };
    let by_pod = check(pod.security().at("seLinuxOptions"));
    let names = pod.named(|c| check(c.at("securityContext").at("seLinuxOptions")));
    let setters = setters(by_pod, &names);
    if setters.is_empty() {
        return None;
    }
    let mut bad = Vec::new();
    if !types.is_empty() {
        bad.push(format!("{} {}", of_count(types.len(), "type", "types"), quoted(types)));
    }
    bad.extend(user.then(|| "user may not be set".to_string()));
    bad.extend(role.then(|| "role may not be set".to_string()));
    let (setters, bad) = (setters.join(" and "), bad.join("; "));
    refuse("seLinuxOptions", format!("{setters} set forbidden securityContext.seLinuxOptions: {bad}"))
}

/// Before seccomp had fields.
pub fn seccomp_annotations(pod: &Pod<'_>) -> Option<Refusal> {
    let keys = pod.containers().map(|c| format!("{SECCOMP_CONTAINER}{}", c.str("name")));
    let mut forbidden = BTreeSet::new();
    for key in std::iter::once(SECCOMP_POD.to_string()).chain(keys) {
        let Some(value) = pod.annotations.opt_str(&key) else { continue };
        if value != "runtime/default" && value != "docker/default" && !value.starts_with("localhost/") {
            forbidden.insert(format!("{key}={}", quote(value)));
        }
    }
    if forbidden.is_empty() {
        return None;
    }
    let word = of_count(forbidden.len(), "annotation", "annotations");
    let list = forbidden.into_iter().collect::<Vec<_>>().join(", ");
    refuse("seccompProfile", format!("forbidden {word} {list}"))
}

pub fn seccomp(pod: &Pod<'_>) -> Option<Refusal> {
    let mut bad = BTreeSet::new();
    let by_pod = is_bad(pod.security().at("seccompProfile"), &super::restricted::SECCOMP, &mut bad);
    let names =
        pod.named(|c| is_bad(c.at("securityContext").at("seccompProfile"), &super::restricted::SECCOMP, &mut bad));
    let setters = setters(by_pod, &names);
    if setters.is_empty() {
        return None;
    }
    let (setters, bad) = (setters.join(" and "), quoted(bad));
    refuse("seccompProfile", format!("{setters} must not set securityContext.seccompProfile.type to {bad}"))
}

/// `minor`: the sysctls that were known to be safe in that version.
pub fn sysctls(pod: &Pod<'_>, minor: u32) -> Option<Refusal> {
    let is_safe = |name: &str| SYSCTLS.iter().any(|(since, safe)| *since <= minor && *safe == name);
    let names = pod.security().list("sysctls").iter().map(|sysctl| sysctl.str("name"));
    let forbidden: Vec<&str> = names.filter(|name| !is_safe(name)).collect();
    if forbidden.is_empty() { None } else { refuse("forbidden sysctls", forbidden.join(", ")) }
}

pub fn windows_host_process(pod: &Pod<'_>) -> Option<Refusal> {
    let sets = |security: &Value| security.at("windowsOptions").bool("hostProcess");
    let names = pod.named(|c| sets(c.at("securityContext")));
    let setters = setters(sets(pod.security()), &names);
    if setters.is_empty() {
        return None;
    }
    let setters = setters.join(" and ");
    refuse("hostProcess", format!("{setters} must not set securityContext.windowsOptions.hostProcess=true"))
}
