//! The addresses that services take, and the ranges that they are taken from.
//!
//! Upstream: pkg/apis/networking/validation/validation.go `ValidateIPAddress`, `ValidateServiceCIDR`,
//! pkg/registry/networking/{ipaddress,servicecidr}/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
    names, value,
};

use super::{GROUP, segment};
use crate::{
    cells,
    checks::{self, IMMUTABLE},
    row::{AGE, Column, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{drop_status, keep_status, stored},
};

pub const IP_ADDRESS: Row = Row {
    draws_names: false,
    group: GROUP,
    kind: "IPAddress",
    plural: "ipaddresses",
    short_names: &["ip"],
    versions: &[Version::stable("v1", "io.k8s.api.networking.v1.IPAddress")],
    stored: stored(GROUP, "v1", "ipaddresses"),
    name_rule: |name, _| names::valid_ip(&Path::root(), name).0.into_iter().map(|e| e.detail).collect(),
    columns: &[
        NAME,
        column("ParentRef", "string", |o, _| parent(o.at_path(&["spec", "parentRef"])).into()),
        // Upstream prints an age and has no column for it.
        Column { name: "", ..AGE },
    ],
    rules: Rules {
        validate: |new, _| validate_address(new),
        validate_update: |new, old, _| validate_address_update(new, old),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

pub const SERVICE_CIDR: Row = Row {
    group: GROUP,
    kind: "ServiceCIDR",
    name_on_update: false,
    plural: "servicecidrs",
    versions: &[Version::stable("v1", "io.k8s.api.networking.v1.ServiceCIDR")],
    stored: stored(GROUP, "v1", "servicecidrs"),
    subresources: &[Subresource::Status(StatusRules::STATUS_ONLY)],
    reset: &["status"],
    columns: &[NAME, column("CIDRs", "string", |o, _| cells::join(o.at("spec").list("cidrs"), ",").into()), AGE],
    rules: Rules {
        prepare_create: drop_status,
        prepare_update: keep_status,
        validate: |new, _| {
            let mut errs = Errors::new();
            cidrs(new.at("spec"), &mut errs);
            errs
        },
        validate_update: |new, old, _| validate_cidr_update(new, old),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

/// Upstream: `validateIPAddressParentReference`.
fn validate_address(address: &Value) -> Errors {
    let mut errs = Errors::new();
    let (parent, at) = (address.at_path(&["spec", "parentRef"]), Path::new("spec").child("parentRef"));
    if parent.is_null() {
        errs.required(&at, "");
        return errs;
    }
    let (group, namespace) = (parent.str("group"), parent.str("namespace"));
    if !group.is_empty() {
        checks::messages(&mut errs, &at.child("group"), group, names::dns1123_subdomain(group));
    }
    segment(parent, "resource", &at, &mut errs);
    segment(parent, "name", &at, &mut errs);
    if !namespace.is_empty() {
        let wrong = names::is_valid_path_segment_name(namespace);
        checks::messages(&mut errs, &at.child("namespace"), namespace, wrong);
    }
    errs
}

fn validate_address_update(new: &Value, old: &Value) -> Errors {
    let mut errs = validate_address(new);
    let parent = |address: &Value| shown_parent(address.at_path(&["spec", "parentRef"]));
    checks::immutable(&parent(new), &parent(old), &Path::new("spec").child("parentRef"), &mut errs);
    errs
}

/// As Go prints the internal struct.
fn shown_parent(parent: &Value) -> Value {
    if parent.is_null() {
        return Value::Null;
    }
    value!({
        "Group": (parent.str("group")), "Resource": (parent.str("resource")),
        "Namespace": (parent.str("namespace")), "Name": (parent.str("name"))
    })
}

/// `services/default/kubernetes`.
fn parent(parent: &Value) -> String {
    if parent.is_null() {
        return cells::NONE.into();
    }
    let resource = parent.str("resource").to_lowercase();
    let group = parent.str("group").to_lowercase();
    let mut text = if group.is_empty() { resource } else { format!("{resource}.{group}") };
    for part in [parent.str("namespace"), parent.str("name")] {
        if !part.is_empty() {
            text += "/";
            text += part;
        }
    }
    text
}

/// Upstream: `validateServiceCIDRSpec`.
fn cidrs(spec: &Value, errs: &mut Errors) {
    let (cidrs, at) = (spec.list("cidrs"), Path::new("spec").child("cidrs"));
    if cidrs.is_empty() {
        errs.required(&at, "at least one CIDR required");
        return;
    }
    if cidrs.len() > 2 {
        errs.invalid(&at, value!({"CIDRs": (spec.at("cidrs"))}), "may only hold up to 2 values");
        return;
    }
    let cidrs: Vec<&str> = cidrs.iter().filter_map(Value::as_str).collect();
    for (i, cidr) in cidrs.iter().enumerate() {
        errs.extend(names::valid_cidr(&at.index(i), cidr));
    }
    let families: Vec<bool> = cidrs.iter().filter_map(|c| names::parse_cidr(c)).map(|c| c.ip().is_ipv6()).collect();
    if matches!(families.as_slice(), [first, second] if first == second) {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errs.invalid(&at, spec.at("cidrs"), detail);
    }
}

/// A second family may come; everything else stays. Upstream: `ValidateServiceCIDRUpdate`.
fn validate_cidr_update(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("spec").child("cidrs");
    let (now, was) = (new.at("spec").list("cidrs"), old.at("spec").list("cidrs"));
    if !(now.len() == was.len() || was.len() == 1 && now.len() == 2) {
        errs.invalid(&at, new.at("spec").at("cidrs"), IMMUTABLE);
        return errs;
    }
    for (i, (now, _)) in now.iter().zip(was).enumerate().filter(|(_, (now, was))| now != was) {
        errs.invalid(&at.index(i), now, IMMUTABLE);
    }
    if now.len() > was.len() {
        cidrs(new.at("spec"), &mut errs);
    }
    errs
}
