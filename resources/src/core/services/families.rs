//! Single stack or dual stack: addresses, families and policy have to agree.
//!
//! Upstream: pkg/apis/core/validation/validation.go `ValidateServiceClusterIPsRelatedFields`,
//! pkg/registry/core/service/storage/alloc.go `initIPFamilyFields`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{NO_CLUSTER_IP, allocated::needs_cluster_ip, is_headless, kind};
use crate::{
    addresses::{family, is_ipv6},
    checks,
    strategy::keep,
};

pub const IPV4: &str = "IPv4";
pub const IPV6: &str = "IPv6";
const SINGLE: &str = "SingleStack";
const PREFER_DUAL: &str = "PreferDualStack";
const REQUIRE_DUAL: &str = "RequireDualStack";
const ONCE: &str = "may not change once set";

fn other(family: &str) -> &'static str {
    if family == IPV4 { IPV6 } else { IPV4 }
}

fn policy_path() -> Path {
    Path::new("spec").child("ipFamilyPolicy")
}

// --- reading

/// Families of a service that was stored before there were any. Upstream: `defaultOnReadIPFamilies`.
pub fn mend(service: &mut Value, primary: &str) {
    if !needs_cluster_ip(service) || !service.at("spec").list("ipFamilies").is_empty() {
        return;
    }
    let spec = service.entry("spec");
    let (policy, families): (Option<&str>, Vec<&str>) = if spec.str("clusterIP") == NO_CLUSTER_IP {
        if spec.at("selector").members().next().is_none() {
            (Some(REQUIRE_DUAL), vec![primary, other(primary)])
        } else {
            (Some(SINGLE), vec![primary])
        }
    } else {
        let of = |ip: &Value| if is_ipv6(ip.as_str().unwrap_or("")) { IPV6 } else { IPV4 };
        let families: Vec<&str> = spec.list("clusterIPs").iter().map(of).collect();
        (
            match families.len() {
                1 => Some(SINGLE),
                2 => Some(REQUIRE_DUAL),
                _ => None,
            },
            families,
        )
    };
    if let Some(policy) = policy {
        spec.set("ipFamilyPolicy", policy);
    }
    if !families.is_empty() {
        spec.set("ipFamilies", families);
    }
}

// --- before the allocation

/// Fills in policy and families, for a cluster with these families, its default first. Upstream: `initIPFamilyFields`.
///
/// # Errors
/// What is wrong with the service, as a 422.
pub fn init(new: &mut Value, old: Option<&Value>, configured: &[&str]) -> Result<(), Errors> {
    if kind(new) == "ExternalName" || old.is_some_and(|old| keeps_prefer_dual(new, old)) {
        return Ok(());
    }
    infer_policy(new, old);
    refuse(cluster_ip_fields(new, old))?;
    let mut errs = Errors::new();
    if let Some(old) = old {
        reduce(new, old, &mut errs);
    }
    agrees_with_policy(new.at("spec"), &mut errs);
    infer_families(new, configured, &mut errs);
    refuse(errs)?;
    let spec = new.entry("spec");
    if spec.str("clusterIP") == NO_CLUSTER_IP && spec.at("selector").members().next().is_none() {
        complete(spec, configured, true);
        return Ok(());
    }
    refuse(supported(spec, configured))?;
    complete(spec, configured, configured.len() == 2);
    Ok(())
}

fn refuse(errs: Errors) -> Result<(), Errors> {
    if errs.is_empty() { Ok(()) } else { Err(errs) }
}

/// An update that leaves a PreferDualStack service as it is does not follow the cluster's configuration.
pub fn keeps_prefer_dual(new: &Value, old: &Value) -> bool {
    let (spec, was) = (new.at("spec"), old.at("spec"));
    kind(new) == kind(old)
        && matches!(kind(new), "ClusterIP" | "NodePort" | "LoadBalancer")
        && spec.str("ipFamilyPolicy") == PREFER_DUAL
        && was.opt_str("ipFamilyPolicy").is_none_or(|policy| policy == PREFER_DUAL)
        && ["clusterIPs", "ipFamilies"].iter().all(|list| spec.list(list) == was.list(list))
}

fn infer_policy(new: &mut Value, old: Option<&Value>) {
    let spec = new.entry("spec");
    if spec.has("ipFamilyPolicy") {
        return;
    }
    match old.map(|old| old.at("spec")).filter(|was| was.has("ipFamilyPolicy")) {
        Some(was) => keep(spec, was, "ipFamilyPolicy"),
        None => {
            let dual = spec.str("clusterIP") == NO_CLUSTER_IP && spec.at("selector").members().next().is_none();
            spec.set("ipFamilyPolicy", if dual { REQUIRE_DUAL } else { SINGLE });
        }
    }
}

/// Going back to single stack releases the second address and family; nothing else may.
fn reduce(new: &mut Value, old: &Value, errs: &mut Errors) {
    let single = new.at("spec").str("ipFamilyPolicy") == SINGLE;
    for (list, thing) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (now, was) = (new.at("spec").list(list), old.at("spec").list(list));
        if single && now.len() > 1 && now == was {
            let first = now[0].clone();
            new.set_path(&["spec", list], Value::array(vec![first]));
        } else if !single && !now.is_empty() && now.len() < was.len() {
            let detail = format!("must be 'SingleStack' to release the secondary {thing}");
            errs.invalid(&policy_path(), new.at("spec").at("ipFamilyPolicy"), detail);
        }
    }
}

fn agrees_with_policy(spec: &Value, errs: &mut Errors) {
    if spec.str("ipFamilyPolicy") != SINGLE {
        return;
    }
    for (list, things) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
        if spec.list(list).len() == 2 {
            let detail =
                format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {things} are specified");
            errs.invalid(&policy_path(), spec.at("ipFamilyPolicy"), detail);
        }
    }
}

/// Families follow from addresses that the client chose.
fn infer_families(new: &mut Value, configured: &[&str], errs: &mut Errors) {
    let spec = new.entry("spec");
    let ips: Vec<String> = spec.list("clusterIPs").iter().filter_map(Value::as_str).map(Into::into).collect();
    for (i, ip) in ips.iter().enumerate() {
        if ip == NO_CLUSTER_IP {
            break;
        }
        if i < spec.list("ipFamilies").len() {
            continue;
        }
        let family = family(ip);
        if configured.contains(&family) {
            spec.entry("ipFamilies").make_array().push(family.into());
        } else {
            let at = Path::new("spec").child("clusterIPs").index(i);
            errs.invalid(&at, spec.at("clusterIPs"), format!("{family} is not configured on this cluster"));
        }
    }
}

fn supported(spec: &Value, configured: &[&str]) -> Errors {
    let mut errs = Errors::new();
    if spec.str("ipFamilyPolicy") == REQUIRE_DUAL && configured.len() < 2 {
        let detail = "this cluster is not configured for dual-stack services";
        errs.invalid(&policy_path(), spec.at("ipFamilyPolicy"), detail);
    }
    for (i, family) in spec.list("ipFamilies").iter().enumerate() {
        if !configured.contains(&family.as_str().unwrap_or("")) {
            let at = Path::new("spec").child("ipFamilies").index(i);
            errs.invalid(&at, family, "not configured on this cluster");
        }
    }
    errs
}

/// Adds the cluster's family, and the second one where the policy asks for it and it can be had.
fn complete(spec: &mut Value, configured: &[&str], second: bool) {
    let single = spec.str("ipFamilyPolicy") == SINGLE;
    let families = spec.entry("ipFamilies").make_array();
    if families.is_empty() {
        families.extend(configured.first().map(|family| Value::from(*family)));
    }
    if let ([only], true, false) = (families.as_slice(), second, single) {
        let second = other(only.as_str().unwrap_or(""));
        families.push(second.into());
    }
}

// --- validation

/// Upstream: `ValidateServiceClusterIPsRelatedFields`.
pub fn cluster_ip_fields(service: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    if kind(service) == "ExternalName" {
        return errs;
    }
    let (spec, at) = (service.at("spec"), Path::new("spec"));
    let (ips, ips_at) = (spec.list("clusterIPs"), at.child("clusterIPs"));
    let ip = spec.str("clusterIP");
    match ips.first() {
        None if !ip.is_empty() => errs.required(&ips_at, ""),
        Some(first) if !ip.is_empty() && first.as_str() != Some(ip) => {
            errs.invalid(&ips_at, spec.at("clusterIPs"), "first value must match `clusterIP`");
        }
        Some(_) if ip.is_empty() => {
            errs.invalid(&ips_at, spec.at("clusterIPs"), "must be empty when `clusterIP` is not specified");
        }
        _ => {}
    }
    family_names(spec, &at, &mut errs);
    let right = addresses(spec, old, &ips_at, &mut errs);
    if ips.len() > 2 {
        errs.invalid(&ips_at, spec.at("clusterIPs"), "may only hold up to 2 values");
    }
    if right {
        families_match(service, &ips_at, &mut errs);
    }
    errs
}

fn family_names(spec: &Value, at: &Path, errs: &mut Errors) {
    let families = spec.list("ipFamilies");
    for (i, family) in families.iter().enumerate() {
        let at = at.child("ipFamilies").index(i);
        checks::one_of(errs, &at, family.as_str().unwrap_or(""), &[IPV4, IPV6]);
        if families[..i].contains(family) {
            errs.duplicate(&at, family);
        }
    }
    if let Some(policy) = spec.opt_str("ipFamilyPolicy") {
        checks::one_of(errs, &at.child("ipFamilyPolicy"), policy, &[PREFER_DUAL, REQUIRE_DUAL, SINGLE]);
    }
}

/// Whether all addresses are such.
fn addresses(spec: &Value, old: Option<&Value>, at: &Path, errs: &mut Errors) -> bool {
    let existing: Vec<&str> =
        old.map_or(&[][..], |old| old.at("spec").list("clusterIPs")).iter().filter_map(Value::as_str).collect();
    let ips = spec.list("clusterIPs");
    let mut right = true;
    for (i, ip) in ips.iter().filter_map(Value::as_str).enumerate() {
        if i == 0 && ip == NO_CLUSTER_IP {
            if ips.len() > 1 {
                right = false;
                errs.invalid(at, spec.at("clusterIPs"), "'None' must be the first and only value");
            }
            continue;
        }
        let wrong = names::valid_ip_legacy(&at.index(i), ip, &existing);
        right &= wrong.is_empty();
        errs.extend(wrong);
    }
    right
}

fn families_match(service: &Value, at: &Path, errs: &mut Errors) {
    let spec = service.at("spec");
    let ips: Vec<&str> = spec.list("clusterIPs").iter().filter_map(Value::as_str).collect();
    let families: Vec<&str> = spec.list("ipFamilies").iter().filter_map(Value::as_str).collect();
    if ips.len() > 1 && !(ips.iter().any(|ip| is_ipv6(ip)) && ips.iter().any(|ip| !is_ipv6(ip))) {
        errs.invalid(at, spec.at("clusterIPs"), "may specify no more than one IP for each IP family");
    }
    if is_headless(service) {
        return;
    }
    for (i, (ip, family)) in ips.iter().zip(families).enumerate() {
        if matches!((family, is_ipv6(ip)), (IPV4, true) | (IPV6, false)) {
            errs.invalid(&at.index(i), *ip, format!("expected an {family} value as indicated by `ipFamilies[{i}]`"));
        }
    }
}

/// Which addresses an update may change. Upstream: `validateUpgradeDowngradeClusterIPs`.
pub fn cluster_ips_update(new: &Value, old: &Value, errs: &mut Errors) {
    if [new, old].iter().any(|s| kind(s) == "ExternalName") || (is_headless(new) && is_headless(old)) {
        return;
    }
    let (spec, was) = (new.at("spec").list("clusterIPs"), old.at("spec").list("clusterIPs"));
    let (shown, at) = (new.at("spec").at("clusterIPs"), Path::new("spec").child("clusterIPs"));
    if was.len() == spec.len() {
        for i in (0..was.len()).filter(|i| was[*i] != spec[*i]) {
            errs.invalid(&at.index(i), shown, ONCE);
        }
        return;
    }
    if spec.is_empty() {
        errs.invalid(&at.index(0), shown, "primary clusterIP can not be unset");
    } else if !was.is_empty() && spec[0] != was[0] {
        errs.invalid(&at.index(0), shown, ONCE);
    }
    if was.len() > spec.len() && spec.len() == 1 {
        single_stack_to_release(new, "clusterIP", errs);
    }
}

/// Which families an update may change. Upstream: `validateUpgradeDowngradeIPFamilies`, its choice of values included.
pub fn ip_families_update(new: &Value, old: &Value, errs: &mut Errors) {
    if [new, old].iter().any(|s| kind(s) == "ExternalName") || is_headless(new) || is_headless(old) {
        return;
    }
    let (spec, was) = (new.at("spec").list("ipFamilies"), old.at("spec").list("ipFamilies"));
    let at = Path::new("spec").child("ipFamilies").index(0);
    if was.len() == spec.len() {
        for _ in (0..was.len()).filter(|i| was[*i] != spec[*i]) {
            errs.invalid(&at, new.at("spec").at("ipFamilies"), ONCE);
        }
        return;
    }
    if was.len() > spec.len() && new.at("spec").list("clusterIPs").is_empty() {
        errs.invalid(&at, new.at("spec").at("ipFamilies"), "primary ipFamily can not be unset");
    }
    if !was.is_empty() && !spec.is_empty() && spec[0] != was[0] {
        errs.invalid(&at, new.at("spec").at("clusterIPs"), ONCE);
    }
    if was.len() > spec.len() && spec.len() == 1 {
        single_stack_to_release(new, "ipFamily", errs);
    }
}

fn single_stack_to_release(new: &Value, thing: &str, errs: &mut Errors) {
    let policy = new.at("spec").at("ipFamilyPolicy");
    if policy.as_str() != Some(SINGLE) {
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {thing}");
        errs.invalid(&policy_path(), policy, detail);
    }
}
