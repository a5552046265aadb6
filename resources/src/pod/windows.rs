//! What pods for one operating system may not say, and the options that only Windows has.
//!
//! Upstream: `validateWindows`, `validateLinux`, `validateWindowsSecurityContextOptions`, `validateWindowsHostProcessPod`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{ALLOW_PRIVILEGED, containers};
use crate::checks::messages;

const CREDENTIAL_SPEC_KIB_MAX: usize = 64;
const DOMAIN_LEN_MAX: usize = 256;
const USER_LEN_MAX: usize = 104;
const NOT_FOR_WINDOWS: &str = "cannot be set for a windows pod";
const POD_CONTEXT: [&str; 11] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const CONTAINER_CONTEXT: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// What does not go with the operating system that the pod names. Upstream: `validateLinux`, `validateWindows`.
pub fn os(spec: &Value, at: &Path, errs: &mut Errors) {
    match spec.at("os").str("name") {
        "linux" => linux(spec, at, errs),
        "windows" => windows(spec, at, errs),
        _ => {}
    }
}

fn linux(spec: &Value, at: &Path, errs: &mut Errors) {
    let own = (spec, at.clone());
    for (holder, at) in std::iter::once(own).chain(containers(spec, at)) {
        if holder.at("securityContext").has("windowsOptions") {
            let at = at.child("securityContext").child("windowsOptions");
            errs.forbidden(&at, "windows options cannot be set for a linux pod");
        }
    }
}

fn windows(spec: &Value, at: &Path, errs: &mut Errors) {
    let mut refuse = |holder: &Value, members: &[&str], at: &Path| {
        for member in members.iter().filter(|m| holder.has(m)) {
            errs.forbidden(&at.child(member), NOT_FOR_WINDOWS);
        }
    };
    refuse(spec.at("securityContext"), &POD_CONTEXT, &at.child("securityContext"));
    refuse(spec, &["hostUsers"], at);
    for member in ["hostPID", "hostIPC"].into_iter().filter(|m| spec.bool(m)) {
        refuse(spec, &[member], at);
    }
    refuse(spec, &["shareProcessNamespace"], at);
    for (container, at) in containers(spec, at) {
        refuse(container.at("securityContext"), &CONTAINER_CONTEXT, &at.child("securityContext"));
    }
}

/// Upstream: `validateWindowsSecurityContextOptions`.
pub fn options(options: &Value, at: &Path, errs: &mut Errors) {
    if let Some(name) = options.opt_str("gmsaCredentialSpecName") {
        messages(errs, &at.child("gmsaCredentialSpecName"), name, names::dns1123_subdomain(name));
    }
    if let Some(text) = options.opt_str("gmsaCredentialSpec") {
        let at = at.child("gmsaCredentialSpec");
        if text.is_empty() {
            errs.invalid(&at, text, "gmsaCredentialSpec cannot be an empty string");
        } else if text.len() > CREDENTIAL_SPEC_KIB_MAX * 1024 {
            errs.invalid(&at, text, format!("gmsaCredentialSpec size must be under {CREDENTIAL_SPEC_KIB_MAX} KiB"));
        }
    }
    if let Some(name) = options.opt_str("runAsUserName") {
        messages(errs, &at.child("runAsUserName"), name, user_name(name));
    }
}

/// `DOMAIN\user` or `user`.
fn user_name(name: &str) -> Vec<String> {
    let text = |end: &str| vec![format!("runAsUserName{end}")];
    if name.is_empty() {
        return text(" cannot be an empty string");
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return text(" cannot contain control characters");
    }
    let (domain, user) = match name.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return text(" cannot contain more than one backslash"),
    };
    let mut texts = Vec::new();
    if domain.is_some_and(|d| d.len() >= DOMAIN_LEN_MAX) {
        texts.push(format!("runAsUserName's Domain length must be under {DOMAIN_LEN_MAX} characters"));
    }
    if domain.is_some_and(|d| !is_netbios(d) && !is_dns(d)) {
        texts.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".into());
    }
    if user.is_empty() {
        texts.push("runAsUserName's User cannot be empty".into());
    } else if user.len() > USER_LEN_MAX {
        texts.push(format!("runAsUserName's User length must not be longer than {USER_LEN_MAX} characters"));
    }
    if !user.is_empty() && user.bytes().all(|b| matches!(b, b'.' | b' ')) {
        texts.push("runAsUserName's User cannot contain only periods or spaces".into());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        let chars = "\"/\\:;|=,+*?<>@[]";
        texts.push(format!("runAsUserName's User cannot contain the following characters: {chars}"));
    }
    texts
}

/// Up to 15 characters but a few; the first is no dot (and by the pattern's letter no `.` or `|` either).
fn is_netbios(domain: &str) -> bool {
    let bad = |c: char| matches!(c, '\\' | '/' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    let len = domain.chars().count();
    (1..=15).contains(&len) && !domain.starts_with('.') && !domain.contains(bad)
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes[bytes.len() - 1].is_ascii_alphanumeric()
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    })
}

/// Upstream: `validateWindowsHostProcessPod`.
pub fn host_process(spec: &Value, at: &Path, errs: &mut Errors) {
    let setting = |holder: &Value| holder.at_path(&["securityContext", "windowsOptions"]).opt_bool("hostProcess");
    let of_pod = setting(spec);
    let all = containers(spec, at);
    let mut count = 0;
    for (container, at) in &all {
        let own = setting(container);
        if let (Some(pod), Some(own)) = (of_pod, own)
            && pod != own
        {
            let at = at.children(&["securityContext", "windowsOptions", "hostProcess"]);
            errs.invalid(&at, own, format!("pod hostProcess value must be identical if both are specified, was {pod}"));
        }
        count += usize::from(own.or(of_pod) == Some(true));
    }
    if count == 0 {
        return;
    }
    if count != all.len() {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errs.invalid(at, "", detail);
    }
    if !spec.bool("hostNetwork") {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        errs.invalid(&at.child("hostNetwork"), false, detail);
    }
    if !ALLOW_PRIVILEGED {
        errs.forbidden(at, "hostProcess containers are disallowed by cluster policy");
    }
}
