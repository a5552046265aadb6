//! Which of the kernel's settings a pod may set: those that concern nobody else, and what the node's owner allows.
//!
//! Upstream: pkg/kubelet/sysctl/{allowlist,safe_sysctls}.go, component-helpers/node/util/sysctl.

use api::{Value, field::quote, names::dotted_sysctl};

/// All that a kernel of this decade keeps apart for each pod, and that is of no weight to others.
const SAFE: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

const OF_IPC: [&str; 10] = [
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.shm",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg",
];

/// The namespace that keeps a setting apart.
fn namespace(name: &str) -> Option<&'static str> {
    match name {
        "kernel.domainname" => Some("UTS"),
        name if OF_IPC.contains(&name) || name.starts_with("fs.mqueue.") => Some("IPC"),
        name if name.starts_with("net.") => Some("Net"),
        name if name.starts_with("user.") => Some("User"),
        _ => None,
    }
}

/// Whether a pattern that the node's owner allows can be one: a name, or the beginning of names and `*`.
pub fn check(pattern: &str) -> Result<(), String> {
    let name = dotted_sysctl(pattern.trim_end_matches('*'));
    match namespace(&name) {
        Some(_) => Ok(()),
        None => Err(format!("the sysctls {} are not known to be namespaced", quote(&name))),
    }
}

/// Why a pod may not set what it sets; none: it may.
pub fn forbidden(pod: &Value, allowed: &[String]) -> Option<String> {
    let spec = pod.at("spec");
    let shares = |namespace: &str| match namespace {
        "IPC" => spec.bool("hostIPC"),
        "Net" => spec.bool("hostNetwork"),
        "User" => spec.opt_bool("hostUsers").unwrap_or(true),
        _ => false,
    };
    let mut set = spec.at("securityContext").list("sysctls").iter().map(|sysctl| dotted_sysctl(sysctl.str("name")));
    let why = set.find_map(|name| {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(&dotted_sysctl(beginning)),
            None => name == dotted_sysctl(pattern),
        };
        let is_allowed = SAFE.contains(&name.as_str()) || allowed.iter().any(|pattern| matches(pattern));
        match namespace(&name).filter(|_| is_allowed) {
            None => Some(format!("{} not allowlisted", quote(&name))),
            Some(of) if shares(of) => Some(format!("{} not allowed with host {of} enabled", quote(&name))),
            Some(_) => None,
        }
    })?;
    Some(format!("forbidden sysctl: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn what_is_not_safe_has_to_be_allowed() {
        let pod = |name: &str, more: Value| {
            let mut pod = value!({"spec": {"securityContext": {"sysctls": [{"name": name, "value": "1"}]}}});
            more.members().for_each(|(key, value)| pod.set_path(&["spec", key], value.clone()));
            pod
        };
        let none = Value::object;
        let allowed = ["kernel.msg*".to_owned(), "net.core.somaxconn".to_owned()];
        assert_eq!(forbidden(&pod("net/ipv4/tcp_syncookies", none()), &[]), None);
        assert_eq!(
            forbidden(&pod("kernel.msgmax", none()), &[]),
            Some("forbidden sysctl: \"kernel.msgmax\" not allowlisted".into())
        );
        assert_eq!(forbidden(&pod("kernel.msgmax", none()), &allowed), None);
        assert_eq!(forbidden(&pod("net.core.somaxconn", none()), &allowed), None);
        assert_eq!(
            forbidden(&pod("net.core.somaxconn", value!({"hostNetwork": true})), &allowed),
            Some("forbidden sysctl: \"net.core.somaxconn\" not allowed with host Net enabled".into())
        );
        assert_eq!(check("kernel.shm*"), Ok(()));
        assert!(check("vm.swappiness").is_err());
    }
}
