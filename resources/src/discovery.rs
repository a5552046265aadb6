//! discovery.k8s.io: where the endpoints of services are.
//!
//! Upstream: pkg/apis/discovery/validation/validation.go, pkg/registry/discovery/endpointslice/strategy.go.

#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path},
    names::{self, ip_warnings},
};

use crate::{
    addresses, cells, checks,
    row::{AGE, Column, Context, Generation, NAME, Row, Rules, TypeDefault, Version, column},
    strategy::{stored, text},
};

const GROUP: &str = "discovery.k8s.io";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLERS: [&str; 2] = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20000;
const TOPOLOGY_MAX: usize = 16;
const HINTS_MAX: usize = 8;
const SHOWN_MAX: usize = 3;

pub const ROWS: &[Row] = &[SLICE];

pub const DEFAULTS: &[TypeDefault] =
    &[TypeDefault { schema: "io.k8s.api.discovery.v1.EndpointPort", run: default_port }];

const SLICE: Row = Row {
    group: GROUP,
    kind: "EndpointSlice",
    plural: "endpointslices",
    versions: &[Version::stable("v1", "io.k8s.api.discovery.v1.EndpointSlice")],
    stored: stored(GROUP, "v1", "endpointslices"),
    generation: Generation::Rule(generation),
    columns: COLUMNS,
    rules: Rules {
        prepare_create: |new, _| drop_topology(new, None),
        prepare_update,
        validate: |new, _| validate(new, None),
        validate_update: |new, old, _| validate_update(new, old),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const COLUMNS: &[Column] = &[
    NAME,
    column("AddressType", "string", |o, _| text(o, &["addressType"])),
    column("Ports", "string", |o, _| cells::first_of(&ports(o.list("ports")), SHOWN_MAX).into()),
    column("Endpoints", "string", |o, _| cells::first_of(&endpoints(o.list("endpoints")), SHOWN_MAX).into()),
    AGE,
];

/// Upstream: `SetDefaults_EndpointPort`.
fn default_port(port: &mut Value) {
    port.default("name", "");
    port.default("protocol", "TCP");
}

/// A change's generation is that of `prepare_update`.
fn generation(new: &mut Value, old: Option<&Value>) {
    if old.is_none() {
        new.set_path(&["metadata", "generation"], 1);
    }
}

/// Anything but metadata makes a generation, and labels do; so does what is dropped afterwards.
fn prepare_update(new: &mut Value, old: &Value, _context: &Context<'_>) {
    let labels = !checks::same(api::meta::of(new).labels(), api::meta::of(old).labels());
    if labels || ["addressType", "endpoints", "ports"].iter().any(|m| !checks::same(new.at(m), old.at(m))) {
        new.set_path(&["metadata", "generation"], api::meta::of(old).generation() + 1);
    }
    drop_topology(new, Some(old));
}

/// v1 has no topology; a node that was only known by it is kept. Upstream: `dropTopologyOnV1`.
fn drop_topology(new: &mut Value, old: Option<&Value>) {
    if old.is_some_and(|old| checks::same(old.at("endpoints"), new.at("endpoints"))) {
        return;
    }
    let before = old.map_or(&[][..], |old| old.list("endpoints"));
    let known: Vec<&str> = before.iter().map(|e| e.at("deprecatedTopology").str(HOSTNAME)).collect();
    for endpoint in new.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        let host = endpoint.at("deprecatedTopology").str(HOSTNAME).to_string();
        let usable = !host.is_empty() && known.contains(&host.as_str()) && names::dns1123_subdomain(&host).is_empty();
        if usable {
            endpoint.default("nodeName", host);
        }
        endpoint.remove("deprecatedTopology");
    }
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.is_none() && new.str("addressType") == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".to_string());
    }
    if api::meta::of(new).label(MANAGED_BY).is_some_and(|by| CONTROLLERS.contains(&by)) {
        return warnings;
    }
    for (i, endpoint) in new.list("endpoints").iter().enumerate() {
        for (j, address) in endpoint.list("addresses").iter().filter_map(Value::as_str).enumerate() {
            let at = Path::new("endpoints").index(i).child("addresses").index(j);
            warnings.extend(ip_warnings(&at, address));
        }
    }
    warnings
}

// --- validation

/// Upstream: `ValidateEndpointSlice`.
fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let kind = new.str("addressType");
    match kind {
        "" => errs.required(&Path::new("addressType"), ""),
        _ => checks::one_of(&mut errs, &Path::new("addressType"), kind, &["FQDN", "IPv4", "IPv6"]),
    }
    validate_ports(new.list("ports"), &Path::new("ports"), &mut errs);
    if !old.is_some_and(|old| checks::same(old.at("endpoints"), new.at("endpoints"))) {
        validate_endpoints(new.list("endpoints"), kind, &Path::new("endpoints"), &mut errs);
    }
    errs
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errs = validate(new, Some(old));
    let kind = |slice: &Value| text(slice, &["addressType"]);
    checks::immutable(&kind(new), &kind(old), &Path::new("addressType"), &mut errs);
    errs
}

fn validate_ports(ports: &[Value], at: &Path, errs: &mut Errors) {
    if ports.len() > PORTS_MAX {
        errs.too_many(at, ports.len(), PORTS_MAX);
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let (at, name) = (at.index(i), port.str("name"));
        if !name.is_empty() {
            checks::messages(errs, &at.child("name"), name, names::dns1123_label(name));
        }
        if !seen.insert(name) {
            errs.duplicate(&at.child("name"), name);
        }
        match port.opt_str("protocol") {
            None => errs.required(&at.child("protocol"), ""),
            Some(protocol) => checks::one_of(errs, &at.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]),
        }
        if let Some(protocol) = port.opt_str("appProtocol") {
            checks::label_name(protocol, &at.child("appProtocol"), errs);
        }
    }
}

fn validate_endpoints(endpoints: &[Value], kind: &str, at: &Path, errs: &mut Errors) {
    if endpoints.len() > ENDPOINTS_MAX {
        errs.too_many(at, endpoints.len(), ENDPOINTS_MAX);
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let at = at.index(i);
        validate_addresses(endpoint.list("addresses"), kind, &at.child("addresses"), errs);
        if let Some(node) = endpoint.opt_str("nodeName") {
            checks::messages(errs, &at.child("nodeName"), node, names::dns1123_subdomain(node));
        }
        topology(endpoint.at("deprecatedTopology"), &at.child("deprecatedTopology"), errs);
        if let Some(host) = endpoint.opt_str("hostname") {
            checks::messages(errs, &at.child("hostname"), host, names::dns1123_label(host));
        }
        hints(endpoint.at("hints"), &at.child("hints"), errs);
    }
}

fn validate_addresses(addresses: &[Value], kind: &str, at: &Path, errs: &mut Errors) {
    if addresses.is_empty() {
        errs.required(at, "must contain at least 1 address");
    } else if addresses.len() > ADDRESSES_MAX {
        errs.too_many(at, addresses.len(), ADDRESSES_MAX);
    }
    for (i, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        let item = at.index(i);
        let wrong = match kind {
            "IPv4" => names::valid_ip_legacy(&item, address, &[]),
            "IPv6" => names::valid_ip(&item, address),
            "FQDN" => names::fully_qualified_domain_name(&item, address),
            _ => continue,
        };
        if wrong.is_empty() && kind != "FQDN" {
            if addresses::family(address) != kind {
                errs.invalid(at, address, format!("must be an {kind} address"));
            }
            addresses::endpoint_ip(address, &item, errs);
        }
        errs.extend(wrong);
    }
}

fn topology(topology: &Value, at: &Path, errs: &mut Errors) {
    let len = topology.members().count();
    if len > TOPOLOGY_MAX {
        errs.too_many(at, len, TOPOLOGY_MAX);
    }
    checks::labels(topology, at, errs);
    if topology.has(ZONE) {
        errs.internal(&at.key(ZONE), "reserved key was not removed in conversion");
    }
}

/// Upstream: `validateHints`.
fn hints(hints: &Value, at: &Path, errs: &mut Errors) {
    for list in ["forZones", "forNodes"] {
        let rule = if list == "forZones" { names::label_value } else { names::dns1123_subdomain };
        let (items, at) = (hints.list(list), at.child(list));
        if items.len() > HINTS_MAX {
            errs.too_many(&at, items.len(), HINTS_MAX);
            return;
        }
        for (i, name) in items.iter().map(|item| item.str("name")).enumerate() {
            let at = at.index(i).child("name");
            if items[..i].iter().any(|item| item.str("name") == name) {
                errs.duplicate(&at, name);
            }
            checks::messages(errs, &at, name, rule(name));
        }
    }
}

// --- cells

fn ports(ports: &[Value]) -> Vec<String> {
    let of = |port: &Value| match (port.opt_int("port"), port.opt_str("name")) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.into(),
        (None, None) => "*".into(),
    };
    ports.iter().map(of).collect()
}

fn endpoints(endpoints: &[Value]) -> Vec<String> {
    endpoints.iter().flat_map(|e| e.list("addresses")).filter_map(Value::as_str).map(Into::into).collect()
}
