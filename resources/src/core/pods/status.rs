//! What a node agent reports, and which reports are refused.
//!
//! Upstream: pkg/registry/core/pod/strategy.go `podStatusStrategy`, `ValidatePodStatusUpdate`.

mod claims;
mod containers;

use std::net::IpAddr;

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::{
    checks::{self, messages},
    pod::{Options, annotations, features, restart},
    row::Context,
    strategy::keep,
};

const CLAIMS: [&str; 3] =
    ["resourceClaimStatuses", "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses"];

/// The spec and the owners stay; what an old client does not know of the status stays, too.
pub fn prepare(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep(new, old, "spec");
    for member in ["deletionTimestamp", "ownerReferences"] {
        keep(new.entry("metadata"), old.at("metadata"), member);
    }
    let (status, was) = (new.entry("status"), old.at("status"));
    if status.str("qosClass").is_empty() {
        keep(status, was, "qosClass");
    }
    for member in CLAIMS {
        if !status.has(member) && was.has(member) {
            keep(status, was, member);
        }
    }
    keep_observed_generations(status, was);
    features::drop_disabled_in_pod(new, Some(old), context);
}

/// Upstream: `preserveOldObservedGeneration`; several conditions of a type are matched in their order.
fn keep_observed_generations(status: &mut Value, was: &Value) {
    if status.int("observedGeneration") == 0 {
        keep(status, was, "observedGeneration");
    }
    let mut old: Vec<(&str, i64)> =
        was.list("conditions").iter().map(|c| (c.str("type"), c.int("observedGeneration"))).collect();
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(i) = old.iter().position(|(kind, _)| *kind == condition.str("type")) else { continue };
        let (_, generation) = old.remove(i);
        if condition.int("observedGeneration") == 0 && generation != 0 {
            condition.set("observedGeneration", generation);
        }
    }
}

/// Upstream: `ValidatePodStatusUpdate`.
pub fn validate(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let notes = |pod: &Value| pod.at_path(&["metadata", "annotations"]).clone();
    let notes_at = Path::new("metadata").child("annotations");
    annotations::update(&notes(new), &notes(old), new.at("spec"), &notes_at, &Options::of_pod(Some(old)), &mut errs);
    let (status, was, at) = (new.at("status"), old.at("status"), Path::new("status"));
    conditions(status.list("conditions"), &at.child("conditions"), &mut errs);
    nodes(new, old, &at, &mut errs);
    if status.int("observedGeneration") < 0 {
        let detail = "must be a non-negative integer";
        errs.invalid(&at.child("observedGeneration"), status.int("observedGeneration"), detail);
    }
    if status.str("qosClass") != was.str("qosClass") {
        errs.invalid(&at.child("qosClass"), status.str("qosClass"), checks::IMMUTABLE);
    }
    restarts(status, was, old.at("spec"), &at, &mut errs);
    claims::validate(status, new.at("spec"), &at, &mut errs);
    volume_health(status.list("volumeHealth"), new.at("spec"), &at.child("volumeHealth"), &mut errs);
    pod_ips(status, was, &at.child("podIPs"), &mut errs);
    host_ips(status, was, &at.child("hostIPs"), &mut errs);
    containers::validate(new, &at, &mut errs);
    errs
}

/// Upstream: `WarningsOnUpdate` of the status strategy.
pub fn warnings(new: &Value) -> Vec<String> {
    let at = Path::new("status");
    let of = |list: &'static str| {
        let ips = new.at("status").list(list).iter().enumerate();
        let at = at.child(list);
        ips.flat_map(move |(i, ip)| names::ip_warnings(&at.index(i).child("ip"), ip.str("ip")))
    };
    of("podIPs").chain(of("hostIPs")).collect()
}

/// Upstream: `validatePodConditions`.
fn conditions(conditions: &[Value], at: &Path, errs: &mut Errors) {
    for (i, condition) in conditions.iter().enumerate() {
        let (kind, generation) = (condition.str("type"), condition.int("observedGeneration"));
        if generation < 0 {
            errs.invalid(&at.index(i).child("observedGeneration"), generation, "must be a non-negative integer");
        }
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            messages(errs, &at.index(i).child("Type"), kind, names::qualified_name(kind));
        }
    }
}

fn nodes(new: &Value, old: &Value, at: &Path, errs: &mut Errors) {
    let node = |pod: &Value| pod.at("spec").str("nodeName").to_string();
    if node(new) != node(old) {
        errs.forbidden(&at.child("nodeName"), "may not be changed directly");
    }
    let (nominated, was) = (new.at("status").str("nominatedNodeName"), old.at("status").str("nominatedNodeName"));
    let at = at.child("nominatedNodeName");
    if nominated == was || nominated.is_empty() {
        return;
    }
    messages(errs, &at, nominated, names::dns1123_subdomain(nominated));
    if !node(old).is_empty() {
        errs.forbidden(&at, "may not be set on pods that are already bound to a node");
    }
}

/// A container that ended for good does not come back. Upstream: `ValidateContainerStateTransition` and its like.
fn restarts(new: &Value, old: &Value, spec: &Value, at: &Path, errs: &mut Errors) {
    let lists = [
        ("containerStatuses", "containers"),
        ("initContainerStatuses", "initContainers"),
        ("ephemeralContainerStatuses", ""),
    ];
    let anything_goes = restart::all_could_restart(spec);
    for (list, containers) in lists {
        if anything_goes && !containers.is_empty() {
            continue;
        }
        for (i, was) in old.list(list).iter().enumerate() {
            let (name, ended) = (was.str("name"), was.at_path(&["state", "terminated"]));
            let back = new.list(list).iter().find(|s| s.str("name") == name && !s.at("state").has("terminated"));
            if ended.is_null() || back.is_none() {
                continue;
            }
            let container = spec.list(containers).iter().find(|c| c.str("name") == name);
            if !container.is_some_and(|c| restart::restarts(c, spec, ended.int("exitCode"))) {
                errs.forbidden(
                    &at.child(list).index(i).child("state"),
                    "may not be transitioned to non-terminated state",
                );
            }
        }
    }
}

/// Upstream: `validatePodVolumeHealth`.
fn volume_health(reports: &[Value], spec: &Value, at: &Path, errs: &mut Errors) {
    for (i, report) in reports.iter().enumerate() {
        let (at, name) = (at.index(i), report.str("name"));
        if !name.is_empty() && !spec.list("volumes").iter().any(|v| v.str("name") == name) {
            errs.not_found(&at.child("name"), name);
        }
        for (j, condition) in report.list("healthConditions").iter().enumerate() {
            let reason = condition.str("reason");
            if !reason.is_empty() {
                let at = at.child("healthConditions").index(j).child("reason");
                messages(errs, &at, reason, checks::condition_reason(reason));
            }
        }
    }
}

// --- addresses

/// Upstream: `validatePodIPs`.
fn pod_ips(new: &Value, old: &Value, at: &Path, errs: &mut Errors) {
    let ips = new.list("podIPs");
    valid_ips(ips, old.list("podIPs"), at, errs);
    one_per_family(new.at("podIPs"), at, errs);
    let ip = new.str("podIP");
    match ips.first() {
        first if first.is_some() == ip.is_empty() => {
            errs.invalid(at, shown(new.at("podIPs")), "podIP and podIPs must either both be set or both be unset");
        }
        Some(first) if first.str("ip") != ip => {
            errs.invalid(&at.index(0).child("ip"), first.str("ip"), "must be equal to `podIP`");
        }
        _ => {}
    }
}

/// Upstream: `validateHostIPs`.
fn host_ips(new: &Value, old: &Value, at: &Path, errs: &mut Errors) {
    let ips = new.list("hostIPs");
    let Some(first) = ips.first() else { return };
    if first.str("ip") != new.str("hostIP") {
        errs.invalid(&at.index(0).child("ip"), first.str("ip"), "must be equal to `hostIP`");
    }
    valid_ips(ips, old.list("hostIPs"), at, errs);
    one_per_family(new.at("hostIPs"), at, errs);
}

fn valid_ips(ips: &[Value], old: &[Value], at: &Path, errs: &mut Errors) {
    let old: Vec<&str> = old.iter().map(|ip| ip.str("ip")).collect();
    for (i, ip) in ips.iter().enumerate() {
        errs.extend(names::valid_ip_legacy(&at.index(i), ip.str("ip"), &old));
    }
}

fn one_per_family(list: &Value, at: &Path, errs: &mut Errors) {
    let ips = list.items();
    if ips.len() < 2 {
        return;
    }
    let families: Option<Vec<bool>> =
        ips.iter().map(|ip| names::parse_ip(ip.str("ip")).map(|ip| matches!(ip, IpAddr::V4(_)))).collect();
    if families.is_none() {
        let wrong = ips.iter().map(|ip| ip.str("ip")).enumerate().find(|(_, ip)| names::parse_ip(ip).is_none());
        let (i, ip) = wrong.unwrap_or_default();
        errs.internal(at, format!("failed to check for dual stack with error:invalid IP[{i}]: {ip}"));
    }
    let both = families.is_some_and(|f| f.contains(&true) && f.contains(&false));
    if !both || ips.len() > 2 {
        errs.invalid(at, shown(list), "may specify no more than one IP for each IP family");
    }
}

/// Addresses as upstream's internal type shows them.
fn shown(ips: &Value) -> Value {
    match ips {
        Value::Null => Value::Null,
        _ => ips.items().iter().map(|ip| api::value!({"IP": (ip.str("ip"))})).collect(),
    }
}
