//! The spec of a pod.
//!
//! Upstream: `ValidatePodSpec` and the small rules it calls.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path, quote},
    names,
};

use super::{
    MIRROR, Options, affinity, container, containers, internal, level, name, require, resources, security, spread,
    toleration, volume, windows,
};
use crate::checks::{self, messages, one_of};

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
const HOSTNAME_OVERRIDE_LEN_MAX: usize = 64;

/// Upstream: `ValidatePodSpec`. `metadata` is that of a real pod, and nothing for a template.
pub fn spec(spec: &Value, metadata: Option<&Value>, at: &Path, options: &Options, errs: &mut Errors) {
    if !spec.has("terminationGracePeriodSeconds") {
        errs.required(&at.child("terminationGracePeriodSeconds"), "");
    }
    let volumes = volume::volumes(spec.list("volumes"), metadata, &at.child("volumes"), options, errs);
    let claims: BTreeSet<&str> =
        spec.list("resourceClaims").iter().map(|c| c.str("name")).filter(|n| !n.is_empty()).collect();
    resource_claims(spec.list("resourceClaims"), metadata, &at.child("resourceClaims"), errs);
    let pod = container::Pod { spec, volumes, claims, options };
    container::containers(&pod, &at.child("containers"), errs);
    container::init_containers(&pod, &at.child("initContainers"), errs);
    container::ephemeral_containers(&pod, &at.child("ephemeralContainers"), errs);
    level::validate(spec, &pod.claims, at, options, errs);
    host_network_ports(spec, at, options, errs);
    policies(spec, at, errs);
    checks::labels(spec.at("nodeSelector"), &at.child("nodeSelector"), errs);
    security::of_pod(spec, &at.child("securityContext"), options, errs);
    if spec.bool("shareProcessNamespace") && spec.bool("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errs.invalid(&at.child("shareProcessNamespace"), true, detail);
    }
    affinity::affinity(spec.at("affinity"), &at.child("affinity"), options, errs);
    dns(spec, &at.child("dnsConfig"), errs);
    gates(spec, at, errs);
    spread::constraints(spec.list("topologySpreadConstraints"), &at.child("topologySpreadConstraints"), options, errs);
    windows::host_process(spec, at, errs);
    user_namespace(spec, at, options, errs);
    hostname_override(spec, at, errs);
    names_of_others(spec, at, errs);
    toleration::tolerations(spec.list("tolerations"), &at.child("tolerations"), options, errs);
    host_aliases(spec.list("hostAliases"), &at.child("hostAliases"), errs);
    classes(spec, at, options, errs);
    operating_system(spec, at, errs);
    scheduling_group(spec, at, errs);
    file_keys(spec, at, errs);
}

/// Upstream: `validatePodResourceClaims`.
fn resource_claims(claims: &[Value], metadata: Option<&Value>, at: &Path, errs: &mut Errors) {
    let is_static = metadata.is_some_and(|m| m.at("annotations").get(MIRROR).is_some());
    for (i, claim) in claims.iter().enumerate() {
        if is_static {
            super::forbid_all(errs, "static pods do not support resource claims");
            continue;
        }
        let (at, text) = (at.index(i), claim.str("name"));
        if require(errs, &at.child("name"), text) {
            if claims[..i].iter().any(|c| c.str("name") == text) {
                errs.duplicate(&at.child("name"), text);
            } else {
                name(errs, &at.child("name"), text, names::dns1123_label);
            }
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        let detail = match sources.iter().filter(|m| claim.has(m)).count() {
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            2 => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            _ => "",
        };
        if !detail.is_empty() {
            errs.invalid_raw(&at, internal::json("PodResourceClaim", claim), detail);
        }
        for member in sources.into_iter().filter(|m| claim.has(m)) {
            name(errs, &at.child(member), claim.str(member), names::dns1123_subdomain);
        }
    }
}

/// Upstream: `validatePodHostNetworkDeps`.
fn host_network_ports(spec: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    if !spec.bool("hostNetwork") {
        return;
    }
    for (i, container) in spec.list("containers").iter().enumerate() {
        let at = at.child("containers").index(i).child("ports");
        for (j, port) in container.list("ports").iter().enumerate() {
            let (host, own) = (port.int("hostPort"), port.int("containerPort"));
            // A template's pods get the host's port when they are made.
            if (options.is_pod || host != 0) && host != own {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errs.invalid(&at.index(j).child("hostPort"), host, detail);
            }
        }
    }
}

fn policies(spec: &Value, at: &Path, errs: &mut Errors) {
    choice(spec.str("restartPolicy"), &["Always", "OnFailure", "Never"], &at.child("restartPolicy"), errs);
    let dns = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    choice(spec.str("dnsPolicy"), &dns, &at.child("dnsPolicy"), errs);
}

fn choice(text: &str, valid: &[&str], at: &Path, errs: &mut Errors) {
    if require(errs, at, text) {
        one_of(errs, at, text, valid);
    }
}

/// Upstream: `validatePodDNSConfig`.
fn dns(spec: &Value, at: &Path, errs: &mut Errors) {
    let config = spec.at("dnsConfig");
    let servers = config.list("nameservers");
    if spec.str("dnsPolicy") == "None" {
        if config.is_null() {
            return errs.required(at, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return errs.required(&at.child("nameservers"), detail);
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errs.invalid(&at.child("nameservers"), config.at("nameservers"), detail);
    }
    for (i, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        errs.extend(names::valid_ip_legacy(&at.child("nameservers").index(i), server, &[]));
    }
    searches(config.at("searches"), &at.child("searches"), errs);
    for (i, option) in config.list("options").iter().enumerate() {
        if option.str("name").is_empty() {
            errs.required(&at.child("options").index(i), "must not be empty");
        }
    }
}

fn searches(list: &Value, at: &Path, errs: &mut Errors) {
    let searches: Vec<&str> = list.items().iter().filter_map(Value::as_str).collect();
    if searches.len() > SEARCHES_MAX {
        errs.invalid(at, list, format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    if searches.join(" ").len() > SEARCH_CHARS_MAX {
        let detail =
            format!("must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list");
        errs.invalid(at, list, detail);
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, search)| **search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        name(errs, &at.index(i), search, names::dns1123_subdomain_with_underscore);
    }
}

/// Upstream: `validateReadinessGates`, `validateSchedulingGates`.
fn gates(spec: &Value, at: &Path, errs: &mut Errors) {
    for (i, gate) in spec.list("readinessGates").iter().enumerate() {
        let at = at.child("readinessGates").index(i).child("conditionType");
        name(errs, &at, gate.str("conditionType"), names::qualified_name);
    }
    let gates = spec.list("schedulingGates");
    for (i, gate) in gates.iter().enumerate() {
        let (at, text) = (at.child("schedulingGates").index(i), gate.str("name"));
        name(errs, &at, text, names::qualified_name);
        if gates[..i].iter().any(|g| g.str("name") == text) {
            errs.duplicate(&at, text);
        }
    }
}

/// Upstream: `validateHostUsers`.
fn user_namespace(spec: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    if spec.opt_bool("hostUsers") != Some(false) {
        return;
    }
    let detail = "when `hostUsers` is false";
    if spec.bool("hostNetwork") && !options.user_namespace_host_network {
        errs.forbidden(&at.child("hostNetwork"), detail);
    }
    for (member, shown) in [("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.bool(member) {
            errs.forbidden(&at.child(shown), detail);
        }
    }
    if options.user_namespace_devices {
        return;
    }
    for (container, at) in containers(spec, at) {
        if !container.list("volumeDevices").is_empty() {
            errs.forbidden(&at.child("volumeDevices"), detail);
        }
    }
}

/// Upstream: `validatePodHostName`.
fn hostname_override(spec: &Value, at: &Path, errs: &mut Errors) {
    let Some(text) = spec.opt_str("hostnameOverride") else { return };
    let at = at.child("hostnameOverride");
    for member in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.bool(member) {
            errs.forbidden(&at, format!("may not be specified when {member} is true"));
        }
    }
    if text.len() > HOSTNAME_OVERRIDE_LEN_MAX {
        errs.too_long(&at, HOSTNAME_OVERRIDE_LEN_MAX as i64);
    }
    name(errs, &at, text, names::dns1123_subdomain);
}

/// The account, the node, the deadline, the pod's own name.
fn names_of_others(spec: &Value, at: &Path, errs: &mut Errors) {
    let account = spec.str("serviceAccountName");
    optional_name(spec, "serviceAccountName", names::dns1123_subdomain, at, errs);
    if spec.str("serviceAccount") != account {
        let detail = format!("must be the same as serviceAccountName: {}", quote(account));
        errs.invalid(&at.child("deprecatedServiceAccount"), spec.str("serviceAccount"), detail);
    }
    optional_name(spec, "nodeName", names::dns1123_subdomain, at, errs);
    if let Some(seconds) = spec.opt_int("activeDeadlineSeconds") {
        for text in names::in_range(seconds, 1, i32::MAX.into()) {
            errs.invalid(&at.child("activeDeadlineSeconds"), seconds, text);
        }
    }
    optional_name(spec, "hostname", names::dns1123_label, at, errs);
    optional_name(spec, "subdomain", names::dns1123_label, at, errs);
}

fn optional_name(spec: &Value, member: &str, rule: fn(&str) -> Vec<String>, at: &Path, errs: &mut Errors) {
    let text = spec.str(member);
    if !text.is_empty() {
        messages(errs, &at.child(member), text, rule(text));
    }
}

/// Upstream: `ValidateHostAliases`.
fn host_aliases(aliases: &[Value], at: &Path, errs: &mut Errors) {
    for (i, alias) in aliases.iter().enumerate() {
        errs.extend(names::valid_ip_legacy(&at.index(i).child("ip"), alias.str("ip"), &[]));
        for (j, hostname) in alias.list("hostnames").iter().filter_map(Value::as_str).enumerate() {
            name(errs, &at.index(i).child("hostnames").index(j), hostname, names::dns1123_subdomain);
        }
    }
}

fn classes(spec: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    optional_name(spec, "priorityClassName", names::dns1123_subdomain, at, errs);
    if let Some(class) = spec.opt_str("runtimeClassName") {
        name(errs, &at.child("runtimeClassName"), class, names::dns1123_subdomain);
    }
    if let Some(policy) = spec.opt_str("preemptionPolicy") {
        choice(policy, &["PreemptLowerPriority", "Never"], &at.child("preemptionPolicy"), errs);
    }
    if spec.has("overhead") {
        overhead(spec.at("overhead"), &at.child("overhead"), options, errs);
    }
}

/// Judged as limits. Upstream: `validateOverhead`.
pub fn overhead(overhead: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    let requirements = api::value!({"limits": overhead});
    resources::requirements(&requirements, resources::container_name, &BTreeSet::new(), at, options, errs);
}

fn operating_system(spec: &Value, at: &Path, errs: &mut Errors) {
    if !spec.has("os") {
        return;
    }
    let (text, name_at) = (spec.at("os").str("name"), at.child("os"));
    match text {
        "" => errs.required(&name_at.child("name"), ""),
        "linux" | "windows" => windows::os(spec, at, errs),
        _ => errs.not_supported(&name_at, text, &["linux", "windows"]),
    }
}

/// Upstream: `validateSchedulingGroup`.
fn scheduling_group(spec: &Value, at: &Path, errs: &mut Errors) {
    if !spec.has("schedulingGroup") {
        return;
    }
    let at_name = at.child("schedulingGroup").child("podGroupName");
    match spec.at("schedulingGroup").opt_str("podGroupName") {
        None => errs.invalid(&at_name, Value::Null, "must specify one of: `podGroupName`"),
        Some(text) => name(errs, &at_name, text, names::dns1123_subdomain),
    }
    if !spec.list("evictionResponders").is_empty() {
        errs.forbidden(&at.child("schedulingGroup"), "may not be set when evictionResponders is set");
    }
}

/// Upstream: `validateFileKeyRefVolumes`.
fn file_keys(spec: &Value, at: &Path, errs: &mut Errors) {
    for (container, at) in containers(spec, at) {
        for (i, variable) in container.list("env").iter().enumerate() {
            let source = variable.at_path(&["valueFrom", "fileKeyRef"]);
            if source.is_null() {
                continue;
            }
            let text = source.str("volumeName");
            let at = at.child("env").index(i).children(&["valueFrom", "fileKeyRef", "volumeName"]);
            match spec.list("volumes").iter().rfind(|v| v.str("name") == text) {
                None => errs.not_found(&at, text),
                Some(volume) if !volume.has("emptyDir") => {
                    errs.invalid(&at, text, "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    }
}
