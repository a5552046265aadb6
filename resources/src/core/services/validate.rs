//! What is wrong with a service.
//!
//! Upstream: pkg/apis/core/validation/validation.go `validateService`, `ValidateServiceUpdate`,
//! `ValidateServiceStatusUpdate`.

use api::{
    Value,
    field::{Errors, Path},
    names as words, value,
};

use super::{
    NO_CLUSTER_IP, TOPOLOGY_HINTS, TOPOLOGY_MODE, families, is_externally_accessible, is_headless, kind,
    needs_health_check,
};
use crate::{addresses, checks};

const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const ONLY_BALANCED: &str = "may only be used when `type` is 'LoadBalancer'";
const AFFINITY_SECONDS_MAX: i64 = 86400;

/// A service, and for an update the one it replaces.
pub fn service(service: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (service.at("spec"), Path::new("spec"));
    topology(service, &mut errs);
    if spec.list("ports").is_empty() && !is_headless(service) && kind(service) != "ExternalName" {
        errs.required(&at.child("ports"), "");
    }
    by_type(service, &at, &mut errs);
    ports(service, &at.child("ports"), &mut errs);
    checks::labels(spec.at("selector"), &at.child("selector"), &mut errs);
    affinity(spec, &at, &mut errs);
    errs.extend(families::cluster_ip_fields(service, old));
    external_ips(spec, old, &at.child("externalIPs"), &mut errs);
    match kind(service) {
        "" => errs.required(&at.child("type"), ""),
        kind => checks::one_of(
            &mut errs,
            &at.child("type"),
            kind,
            &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        ),
    }
    port_numbers(service, &at.child("ports"), &mut errs);
    source_ranges(service, old, &mut errs);
    balancer_ports(service, &mut errs);
    balancer_class(service, None, &mut errs);
    external_traffic(service, &at, &mut errs);
    internal_traffic(service, &at.child("internalTrafficPolicy"), &mut errs);
    if let Some(distribution) = spec.opt_str("trafficDistribution") {
        let valid = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        checks::one_of(&mut errs, &at.child("trafficDistribution"), distribution, &valid);
    }
    errs
}

pub fn update(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    families::cluster_ips_update(new, old, &mut errs);
    families::ip_families_update(new, old, &mut errs);
    balancer_class(new, Some(old), &mut errs);
    let port = |service: &Value| service.at("spec").int("healthCheckNodePort");
    if needs_health_check(old) && needs_health_check(new) && port(new) != port(old) {
        errs.forbidden(&Path::new("spec").child("healthCheckNodePort"), checks::IMMUTABLE);
    }
    errs.extend(service(new, Some(old)));
    errs
}

pub fn status(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let ingress = |service: &Value| service.at_path(&["status", "loadBalancer", "ingress"]).clone();
    let at = Path::new("status").child("loadBalancer").child("ingress");
    let (now, was) = (ingress(new), ingress(old));
    if kind(new) != "LoadBalancer" && !now.items().is_empty() {
        errs.forbidden(&at, "may only be used when `spec.type` is 'LoadBalancer'");
        return errs;
    }
    let existing: Vec<&str> = was.items().iter().map(|i| i.str("ip")).filter(|ip| !ip.is_empty()).collect();
    for (i, ingress) in now.items().iter().enumerate() {
        balancer_ingress(ingress, &existing, &at.index(i), &mut errs);
    }
    errs
}

/// Upstream: `ValidateLoadBalancerStatus`, an item.
fn balancer_ingress(ingress: &Value, existing: &[&str], at: &Path, errs: &mut Errors) {
    let ip = ingress.str("ip");
    if !ip.is_empty() {
        errs.extend(words::valid_ip_legacy(&at.child("ip"), ip, existing));
    }
    let mode_at = at.child("ipMode");
    match ingress.opt_str("ipMode") {
        None if ip.is_empty() => {}
        None => errs.required(&mode_at, "must be specified when `ip` is set"),
        Some(_) if ip.is_empty() => errs.forbidden(&mode_at, "may not be specified when `ip` is not set"),
        Some(mode) => checks::one_of(errs, &mode_at, mode, &["Proxy", "VIP"]),
    }
    let host = ingress.str("hostname");
    if host.is_empty() {
        return;
    }
    checks::messages(errs, &at.child("hostname"), host, words::dns1123_subdomain(host));
    if words::parse_ip(host).is_some() {
        errs.invalid(&at.child("hostname"), host, "must be a DNS name, not an IP address");
    }
}

fn topology(service: &Value, errs: &mut Errors) {
    let meta = api::meta::of(service);
    if let (Some(hints), Some(mode)) = (meta.annotation(TOPOLOGY_HINTS), meta.annotation(TOPOLOGY_MODE))
        && hints != mode
    {
        let at = Path::new("metadata").child("annotations").key(TOPOLOGY_MODE);
        errs.invalid(&at, mode, format!("must match annotations[{TOPOLOGY_HINTS}] when both are specified"));
    }
}

fn by_type(service: &Value, at: &Path, errs: &mut Errors) {
    let spec = service.at("spec");
    match kind(service) {
        kind @ ("LoadBalancer" | "NodePort") if is_headless(service) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errs.invalid(&at.child("clusterIPs").index(0), NO_CLUSTER_IP, detail);
        }
        "ExternalName" => external_name(spec, at, errs),
        _ => {}
    }
}

fn external_name(spec: &Value, at: &Path, errs: &mut Errors) {
    for member in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !spec.list(member).is_empty() || spec.opt_str(member).is_some() {
            errs.forbidden(&at.child(member), "may not be set for ExternalName services");
        }
    }
    let name = spec.str("externalName");
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errs.required(&at.child("externalName"), ""),
        name => checks::messages(errs, &at.child("externalName"), name, words::dns1123_subdomain(name)),
    }
}

fn ports(service: &Value, at: &Path, errs: &mut Errors) {
    let ports = service.at("spec").list("ports");
    let mut names: Vec<&str> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let (at, name) = (at.index(i), port.str("name"));
        if name.is_empty() {
            if ports.len() > 1 {
                errs.required(&at.child("name"), "");
            }
        } else {
            checks::messages(errs, &at.child("name"), name, words::dns1123_label(name));
            if names.contains(&name) {
                errs.duplicate(&at.child("name"), name);
            } else {
                names.push(name);
            }
        }
        self::port(port, &at, errs);
    }
}

/// Upstream: `validateServicePort`, without the name.
fn port(port: &Value, at: &Path, errs: &mut Errors) {
    for text in words::port_num(port.int("port")) {
        errs.invalid(&at.child("port"), port.int("port"), text);
    }
    match port.str("protocol") {
        "" => errs.required(&at.child("protocol"), ""),
        protocol => checks::one_of(errs, &at.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]),
    }
    let target_at = at.child("targetPort");
    match port.at("targetPort") {
        Value::Str(name) => checks::messages(errs, &target_at, name, words::port_name(name)),
        target => {
            let number = target.as_int().unwrap_or(0);
            words::port_num(number).into_iter().for_each(|text| errs.invalid(&target_at, number, text));
        }
    }
    if let Some(protocol) = port.opt_str("appProtocol") {
        checks::label_name(protocol, &at.child("appProtocol"), errs);
    }
}

fn affinity(spec: &Value, at: &Path, errs: &mut Errors) {
    let affinity = spec.str("sessionAffinity");
    if affinity.is_empty() {
        errs.required(&at.child("sessionAffinity"), "");
    } else {
        checks::one_of(errs, &at.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    }
    let (config, at) = (spec.at("sessionAffinityConfig"), at.child("sessionAffinityConfig"));
    let when = "when session affinity type is ClientIP";
    match affinity {
        "None" if !config.is_null() => errs.forbidden(&at, "must not be set when session affinity is None"),
        "ClientIP" if config.is_null() => errs.required(&at, when),
        "ClientIP" if !config.has("clientIP") => errs.required(&at.child("clientIP"), when),
        "ClientIP" => {
            let at = at.child("clientIP").child("timeoutSeconds");
            match config.at("clientIP").opt_int("timeoutSeconds") {
                None => errs.required(&at, when),
                Some(seconds) if seconds <= 0 || seconds > AFFINITY_SECONDS_MAX => {
                    errs.invalid(&at, seconds, format!("must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"));
                }
                Some(_) => {}
            }
        }
        _ => {}
    }
}

fn external_ips(spec: &Value, old: Option<&Value>, at: &Path, errs: &mut Errors) {
    let existing: Vec<&str> =
        old.map_or(&[][..], |old| old.at("spec").list("externalIPs")).iter().filter_map(Value::as_str).collect();
    for (i, ip) in spec.list("externalIPs").iter().filter_map(Value::as_str).enumerate() {
        let wrong = words::valid_ip_legacy(&at.index(i), ip, &existing);
        if wrong.is_empty() {
            addresses::endpoint_ip(ip, &at.index(i), errs);
        }
        errs.extend(wrong);
    }
}

fn port_numbers(service: &Value, at: &Path, errs: &mut Errors) {
    let ports = service.at("spec").list("ports");
    let node_port = |port: &Value| port.int("nodePort");
    if kind(service) == "ClusterIP" {
        for (i, _) in ports.iter().enumerate().filter(|(_, port)| node_port(port) != 0) {
            errs.forbidden(&at.index(i).child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let key = |port: &Value, member: &str| (port.str("protocol").to_string(), port.int(member));
    for (i, port) in ports.iter().enumerate().filter(|(_, port)| node_port(port) != 0) {
        if ports[..i].iter().any(|p| key(p, "nodePort") == key(port, "nodePort")) {
            errs.duplicate(&at.index(i).child("nodePort"), node_port(port));
        }
    }
    for (i, port) in ports.iter().enumerate() {
        if ports[..i].iter().any(|p| key(p, "port") == key(port, "port")) {
            errs.duplicate(&at.index(i), shown_key(port));
        }
    }
}

/// As Go prints the struct that upstream compares ports by.
fn shown_key(port: &Value) -> Value {
    value!({
        "Name": "", "Protocol": (port.str("protocol")), "AppProtocol": null, "Port": (port.int("port")),
        "TargetPort": 0, "NodePort": 0
    })
}

fn source_ranges(service: &Value, old: Option<&Value>, errs: &mut Errors) {
    let balanced = kind(service) == "LoadBalancer";
    let ranges = |service: &Value| -> Vec<String> {
        let ranges = service.at("spec").list("loadBalancerSourceRanges");
        ranges.iter().filter_map(Value::as_str).map(|r| r.trim().to_string()).collect()
    };
    let now = ranges(service);
    if !now.is_empty() {
        let at = Path::new("spec").child("LoadBalancerSourceRanges");
        if !balanced {
            errs.forbidden(&at, ONLY_BALANCED);
        }
        let was = old.map(ranges).unwrap_or_default();
        let was: Vec<&str> = was.iter().map(String::as_str).collect();
        for (i, range) in now.iter().enumerate() {
            errs.extend(words::valid_cidr_legacy(&at.index(i), range, &was));
        }
        return;
    }
    let annotated = |service| api::meta::of(service).annotation(SOURCE_RANGES);
    let Some(text) = annotated(service) else { return };
    let at = Path::new("metadata").child("annotations").key(SOURCE_RANGES);
    if !balanced {
        errs.forbidden(&at, ONLY_BALANCED);
    }
    let changed = old.and_then(annotated).unwrap_or("") != text;
    if (old.is_none() || changed) && !text.trim().is_empty() {
        for range in text.trim().split(',') {
            errs.extend(words::valid_cidr_legacy(&at, range.trim(), &[]));
        }
    }
}

fn balancer_ports(service: &Value, errs: &mut Errors) {
    let set = service.at("spec").has("allocateLoadBalancerNodePorts");
    match (kind(service) == "LoadBalancer", set) {
        (false, true) => errs.forbidden(&Path::new("spec").child("allocateLoadBalancerNodePorts"), ONLY_BALANCED),
        // Upstream names no `spec` here.
        (true, false) => errs.required(&Path::new("allocateLoadBalancerNodePorts"), ""),
        _ => {}
    }
}

/// Upstream: `validateLoadBalancerClassField`.
fn balancer_class(new: &Value, old: Option<&Value>, errs: &mut Errors) {
    let at = Path::new("spec").child("loadBalancerClass");
    let class = new.at("spec").at("loadBalancerClass");
    let balanced = kind(new) == "LoadBalancer";
    if let Some(old) = old
        && balanced
        && kind(old) == "LoadBalancer"
        && old.at("spec").at("loadBalancerClass") != class
    {
        errs.invalid(&at, class, "may not change once set");
    }
    match class.as_str() {
        Some(class) if balanced => checks::label_name(class, &at, errs),
        Some(_) => errs.forbidden(&at, ONLY_BALANCED),
        None => {}
    }
}

/// Upstream: `validateServiceExternalTrafficPolicy`.
fn external_traffic(service: &Value, at: &Path, errs: &mut Errors) {
    let spec = service.at("spec");
    let (policy, policy_at) = (spec.str("externalTrafficPolicy"), at.child("externalTrafficPolicy"));
    match (is_externally_accessible(service), policy) {
        (false, "") => {}
        (false, _) => errs.invalid(&policy_at, policy, "may only be set for externally-accessible services"),
        (true, "") => errs.required(&policy_at, ""),
        (true, _) => checks::one_of(errs, &policy_at, policy, &["Cluster", "Local"]),
    }
    let (port, port_at) = (spec.int("healthCheckNodePort"), at.child("healthCheckNodePort"));
    match (needs_health_check(service), port) {
        (false, 0) => {}
        (false, _) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errs.invalid(&port_at, port, detail);
        }
        (true, 0) => errs.required(&port_at, ""),
        (true, _) => words::port_num(port).into_iter().for_each(|text| errs.invalid(&port_at, port, text)),
    }
}

fn internal_traffic(service: &Value, at: &Path, errs: &mut Errors) {
    match service.at("spec").opt_str("internalTrafficPolicy") {
        None if matches!(kind(service), "NodePort" | "LoadBalancer" | "ClusterIP") => errs.required(at, ""),
        None => {}
        Some(policy) => checks::one_of(errs, at, policy, &["Cluster", "Local"]),
    }
}
