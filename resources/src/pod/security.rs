//! Security contexts of pods and containers.
//!
//! Upstream: `validatePodSpecSecurityContext`, `ValidateSecurityContext`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{
    ALLOW_PRIVILEGED, Options,
    container::{Pod, shown_context},
    internal, require,
    volume::descending_path,
    windows,
};
use crate::checks::one_of;

const SYSCTL_LEN_MAX: usize = 253;
const SYSCTL_REGEX: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
const LOCALHOST_PROFILE_LEN_MAX: usize = 4095;

/// Upstream: `validatePodSpecSecurityContext`.
pub fn of_pod(spec: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    let context = spec.at("securityContext");
    if context.is_null() {
        return;
    }
    id(context, "fsGroup", names::group_id, at, errs);
    id(context, "runAsUser", names::user_id, at, errs);
    id(context, "runAsGroup", names::group_id, at, errs);
    for (i, group) in context.list("supplementalGroups").iter().filter_map(Value::as_int).enumerate() {
        for text in names::group_id(group) {
            errs.invalid(&at.child("supplementalGroups").index(i), group, text);
        }
    }
    sysctls(context.list("sysctls"), spec, &at.child("sysctls"), options, errs);
    choice(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], at, errs);
    seccomp(context.at("seccompProfile"), &at.child("seccompProfile"), errs);
    windows::options(context.at("windowsOptions"), &at.child("windowsOptions"), errs);
    app_armor(context.at("appArmorProfile"), &at.child("appArmorProfile"), errs);
    choice(context, "supplementalGroupsPolicy", &["Merge", "Strict"], at, errs);
    choice(context, "seLinuxChangePolicy", &["MountOption", "Recursive"], at, errs);
}

fn id(context: &Value, member: &str, rule: fn(i64) -> Vec<String>, at: &Path, errs: &mut Errors) {
    let Some(number) = context.opt_int(member) else { return };
    for text in rule(number) {
        errs.invalid(&at.child(member), number, text);
    }
}

fn choice(context: &Value, member: &str, valid: &[&str], at: &Path, errs: &mut Errors) {
    if let Some(text) = context.opt_str(member) {
        one_of(errs, &at.child(member), text, valid);
    }
}

/// Upstream: `ValidateSecurityContext`.
pub fn of_container(context: &Value, pod: &Pod<'_>, at: &Path, errs: &mut Errors) {
    if context.is_null() {
        return;
    }
    let privileged = context.bool("privileged");
    if privileged && !ALLOW_PRIVILEGED {
        errs.forbidden(&at.child("privileged"), "disallowed by cluster policy");
    }
    id(context, "runAsUser", names::user_id, at, errs);
    id(context, "runAsGroup", names::group_id, at, errs);
    if let Some(mount) = context.opt_str("procMount") {
        let at = at.child("procMount");
        one_of(errs, &at, mount, &["Default", "Unmasked"]);
        if mount == "Unmasked" && pod.spec.opt_bool("hostUsers") != Some(false) {
            errs.invalid(&at, mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(context.at("seccompProfile"), &at.child("seccompProfile"), errs);
    if context.opt_bool("allowPrivilegeEscalation") == Some(false) {
        if privileged {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errs.invalid_raw(at, shown_context(context), detail);
        }
        let added = context.at("capabilities").list("add").iter();
        let admin = added.filter(|c| c.as_str() == Some("CAP_SYS_ADMIN") && !pod.options.sys_admin_without_escalation);
        for _ in admin {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errs.invalid_raw(at, shown_context(context), detail);
        }
    }
    windows::options(context.at("windowsOptions"), &at.child("windowsOptions"), errs);
    app_armor(context.at("appArmorProfile"), &at.child("appArmorProfile"), errs);
}

/// Upstream: `validateSeccompProfileField`.
fn seccomp(profile: &Value, at: &Path, errs: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let kind = profile.str("type");
    match kind {
        "" => errs.required(&at.child("type"), "type is required when seccompProfile is set"),
        _ => one_of(errs, &at.child("type"), kind, &PROFILES),
    }
    let at = at.child("localhostProfile");
    match profile.opt_str("localhostProfile") {
        None if kind == "Localhost" => errs.required(&at, "must be set when seccomp type is Localhost"),
        Some(path) if kind == "Localhost" => descending_path(path, &at, errs),
        Some(_) => {
            let shown = internal::json("SeccompProfile", profile);
            errs.invalid_raw(&at, shown, "can only be set when seccomp type is Localhost");
        }
        None => {}
    }
}

/// Upstream: `ValidateAppArmorProfileField`.
pub fn app_armor(profile: &Value, at: &Path, errs: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let (kind, path, path_at) =
        (profile.str("type"), profile.opt_str("localhostProfile"), at.child("localhostProfile"));
    match (kind, path) {
        ("Localhost", None) => errs.required(&path_at, "must be set when AppArmor type is Localhost"),
        ("Localhost", Some(path)) => {
            if path.trim() != path {
                errs.invalid(&path_at, path, "must not be padded with whitespace");
            } else if path.is_empty() {
                errs.required(&path_at, "must be set when AppArmor type is Localhost");
            }
            if path.len() > LOCALHOST_PROFILE_LEN_MAX {
                errs.too_long(&path_at, LOCALHOST_PROFILE_LEN_MAX as i64);
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(path)) => {
            errs.invalid(&path_at, path, "can only be set when AppArmor type is Localhost");
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => errs.required(&at.child("type"), "type is required when appArmorProfile is set"),
        _ => errs.not_supported(&at.child("type"), kind, &PROFILES),
    }
}

// --- sysctls

/// Upstream: `validateSysctls`.
fn sysctls(sysctls: &[Value], spec: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    for (i, sysctl) in sysctls.iter().enumerate() {
        let (name, at) = (sysctl.str("name"), at.index(i).child("name"));
        if require(errs, &at, name) {
            if !is_sysctl(name) {
                errs.invalid(
                    &at,
                    name,
                    format!("must have at most {SYSCTL_LEN_MAX} characters and match regex {SYSCTL_REGEX}"),
                );
            } else if sysctls[..i].iter().any(|s| s.str("name") == name) {
                errs.duplicate(&at, name);
            }
        }
        if let Some(detail) = host_sysctl(name, spec).filter(|_| !options.host_sysctls) {
            errs.invalid(&at, name, detail);
        }
    }
}

/// Segments of letters and digits, with `-` and `_` inside, joined by `.` or `/`.
fn is_sysctl(name: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |s: &str| {
        let bytes = s.as_bytes();
        bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|b| edge(b) || matches!(b, b'-' | b'_'))
    };
    name.len() <= SYSCTL_LEN_MAX && name.split(['.', '/']).all(segment)
}

/// Why a sysctl of a namespace cannot be set where the namespace is the host's. Upstream: `ValidateHostSysctl`.
pub fn host_sysctl(name: &str, spec: &Value) -> Option<&'static str> {
    let name = api::names::dotted_sysctl(name);
    let name = name.split_once('*').map_or(name.as_str(), |(head, _)| head);
    let of_ipc = matches!(
        name,
        "kernel.sem"
            | "kernel.shmall"
            | "kernel.shmmax"
            | "kernel.shmmni"
            | "kernel.shm_rmid_forced"
            | "kernel.shm"
            | "kernel.msgmax"
            | "kernel.msgmnb"
            | "kernel.msgmni"
            | "kernel.msg"
    );
    if spec.bool("hostNetwork") && name.starts_with("net.") {
        Some("may not be specified when 'hostNetwork' is true")
    } else if spec.bool("hostIPC") && (of_ipc || name.starts_with("fs.mqueue.")) {
        Some("may not be specified when 'hostIPC' is true")
    } else {
        None
    }
}
