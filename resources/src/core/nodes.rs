//! Nodes. Upstream: `ValidateNode*`, pkg/registry/core/node.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Bad, Errors, Kind, Path},
    names, value,
};

use super::{node_config, quotas};
use crate::{
    cells, checks,
    pod::resources::{amount, quantity},
    row::{
        AGE, Column, Context, NAME, Row, Rules, Selectable, StatusRules, Subresource, TypeDefault, Version, column,
        wide,
    },
    strategy::{keep, stored, text},
};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const ONE_PER_FAMILY: &str = "may specify no more than one CIDR for each IP family";
const CIDRS_STAY: &str = "node updates may not change podCIDR except from \"\" to valid";

pub const NODE: Row = Row {
    kind: "Node",
    plural: "nodes",
    short_names: &["no"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.Node")],
    stored: stored("", "v1", "minions"),
    subresources: &[
        Subresource::Connect {
            name: "proxy",
            options: "NodeProxyOptions",
            verbs: &["create", "delete", "get", "patch", "update"],
            with_path: true,
        },
        Subresource::Status(StatusRules {
            prepare: prepare_status,
            validate: |new, old, _| validate_change(new, old),
            ..StatusRules::STATUS
        }),
    ],
    // A node may come with its status; an update keeps the old one.
    reset: &["status"],
    made_with_status: true,
    columns: COLUMNS,
    selectable: &[Selectable {
        label: "spec.unschedulable",
        value: |o| o.at("spec").bool("unschedulable").to_string(),
    }],
    rules: Rules {
        prepare_create,
        prepare_update,
        validate: |new, _| validate(new),
        validate_update: |new, old, _| {
            let mut errs = validate(new);
            errs.extend(validate_change(new, old));
            errs
        },
        warn: |new, _| warn(new),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

pub const DEFAULT_SPEC: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.NodeSpec", run: pod_cidrs };
pub const DEFAULT_STATUS: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.NodeStatus", run: allocatable };

/// The old single range and the list agree; where they differ the single one wins. Upstream:
/// `Convert_v1_NodeSpec_To_core_NodeSpec` and back.
fn pod_cidrs(spec: &mut Value) {
    let single = spec.str("podCIDR").to_string();
    let first = spec.list("podCIDRs").first().and_then(Value::as_str).unwrap_or("").to_string();
    if !single.is_empty() && single != first {
        spec.set("podCIDRs", value!([single]));
    } else if single.is_empty() && !first.is_empty() {
        spec.set("podCIDR", first);
    }
}

fn allocatable(status: &mut Value) {
    if status.has("capacity") {
        let capacity = status.at("capacity").clone();
        status.default("allocatable", capacity);
    }
    quotas::round(status, &["capacity", "allocatable"]);
}

// --- tables

const COLUMNS: &[Column] = &[
    NAME,
    column("Status", "string", |o, _| status(o).into()),
    column("Roles", "string", |o, _| cells::or_none(&roles(o))),
    AGE,
    column("Version", "string", |o, _| text(o, &["status", "nodeInfo", "kubeletVersion"])),
    wide("Internal-IP", "string", |o, _| address(o, "InternalIP")),
    wide("External-IP", "string", |o, _| address(o, "ExternalIP")),
    wide("OS-Image", "string", |o, _| info(o, "osImage").into()),
    wide("Kernel-Version", "string", |o, _| kernel(o).into()),
    wide("Container-Runtime", "string", |o, _| info(o, "containerRuntimeVersion").into()),
];

fn status(node: &Value) -> String {
    // The last of several, as a map keeps it.
    let ready = node.at("status").list("conditions").iter().rfind(|c| c.str("type") == "Ready");
    let ready = match ready.map(|c| c.str("status")) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    };
    let cordoned = if node.at("spec").bool("unschedulable") { ",SchedulingDisabled" } else { "" };
    format!("{ready}{cordoned}")
}

fn roles(node: &Value) -> String {
    let role = |(key, value): (&'_ str, &'_ str)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role.to_string()),
        None if key == ROLE => Some(value.to_string()),
        None => None,
    };
    let roles: BTreeSet<String> =
        node.at("metadata").strings("labels").filter_map(role).filter(|r| !r.is_empty()).collect();
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn address(node: &Value, kind: &str) -> Value {
    let found = node.at("status").list("addresses").iter().find(|a| a.str("type") == kind);
    found.map_or(cells::NONE, |a| a.str("address")).into()
}

fn info<'a>(node: &'a Value, member: &str) -> &'a str {
    match node.at_path(&["status", "nodeInfo"]).str(member) {
        "" => cells::UNKNOWN,
        text => text,
    }
}

fn kernel(node: &Value) -> String {
    match node.at_path(&["status", "nodeInfo"]).str("architecture") {
        "" => info(node, "kernelVersion").into(),
        architecture => format!("{} ({architecture})", info(node, "kernelVersion")),
    }
}

// --- preparation

/// Kubelet configuration by the API is gone; the feature of the preemption policy is off. Upstream: `dropDisabledFields`.
fn prepare_create(new: &mut Value, _context: &Context<'_>) {
    new.remove_path(&["spec", "configSource"]);
    new.remove_path(&["status", "config"]);
    new.remove_path(&["spec", "podPreemptionPolicy"]);
}

fn prepare_update(new: &mut Value, old: &Value, _context: &Context<'_>) {
    keep(new, old, "status");
    for member in ["configSource", "podPreemptionPolicy"] {
        if !old.at("spec").has(member) {
            new.remove_path(&["spec", member]);
        }
    }
}

fn prepare_status(new: &mut Value, old: &Value, _context: &Context<'_>) {
    keep(new, old, "spec");
    if !old.at("status").has("config") {
        new.remove_path(&["status", "config"]);
    }
}

fn warn(node: &Value) -> Vec<String> {
    let spec = node.at("spec");
    let mut warnings = Vec::new();
    if spec.has("configSource") {
        warnings.push("spec.configSource: the feature is removed".into());
    }
    if !spec.str("externalID").is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
    }
    for (i, cidr) in spec.list("podCIDRs").iter().filter_map(Value::as_str).enumerate() {
        warnings.extend(names::cidr_warnings(&Path::new("spec").child("podCIDRs").index(i), cidr));
    }
    warnings
}

// --- validation

/// Upstream: `ValidateNode`, whose paths of taints and swap begin with metadata.
fn validate(node: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (node.at("spec"), Path::new("metadata"));
    node_config::annotations(node, &at.child("annotations"), &mut errs);
    taints(spec.list("taints"), &at.child("taints"), &mut errs);
    amounts(node, &mut errs);
    let swap = node.at_path(&["status", "nodeInfo", "swap", "capacity"]);
    if let Some(capacity) = swap.as_int().filter(|c| *c <= 0) {
        errs.invalid(&at.child("nodeSwapStatus").child("capacity"), capacity, "must be greater than zero");
    }
    declared_features(node, &mut errs);
    validate_cidrs(spec, &mut errs);
    errs
}

fn validate_cidrs(spec: &Value, errs: &mut Errors) {
    let at = Path::new("spec").child("podCIDRs");
    let cidrs: Vec<&str> = spec.list("podCIDRs").iter().filter_map(Value::as_str).collect();
    for (i, cidr) in cidrs.iter().enumerate() {
        errs.extend(names::valid_cidr_legacy(&at.index(i), cidr, &[]));
    }
    if cidrs.len() < 2 {
        return;
    }
    let wrong = cidrs.iter().position(|c| names::parse_cidr(c).is_none());
    if let Some(i) = wrong {
        let why = format!("invalid CIDR[{i}]: <nil> (invalid CIDR address: {})", cidrs[i]);
        errs.internal(&at, format!("invalid PodCIDRs. failed to check with dual stack with error:{why}"));
    }
    let has = |v4: bool| cidrs.iter().filter_map(|c| names::parse_cidr(c)).any(|c| c.ip().is_ipv4() == v4);
    let dual = wrong.is_none() && has(true) && has(false);
    if !dual || cidrs.len() > 2 {
        errs.invalid(&at, spec.at("podCIDRs"), ONE_PER_FAMILY);
    }
}

fn amounts(node: &Value, errs: &mut Errors) {
    for list in ["capacity", "allocatable"] {
        for (name, value) in node.at("status").at(list).members() {
            quantity(name, &amount(value), &Path::new("status").child(list).child(name), errs);
        }
    }
}

/// Upstream: `validateNodeTaints`.
pub(super) fn taints(taints: &[Value], at: &Path, errs: &mut Errors) {
    let pair = |taint: &Value| (taint.str("key").to_string(), taint.str("effect").to_string());
    for (i, taint) in taints.iter().enumerate() {
        let at = at.index(i);
        let (key, text, effect) = (taint.str("key"), taint.str("value"), taint.str("effect"));
        checks::label_name(key, &at.child("key"), errs);
        let wrong = names::label_value(text);
        if !wrong.is_empty() {
            errs.invalid(&at.child("value"), text, wrong.join(";"));
        }
        match effect {
            "" => errs.required(&at.child("effect"), ""),
            _ => checks::one_of(errs, &at.child("effect"), effect, &EFFECTS),
        }
        if taints[..i].iter().any(|other| pair(other) == pair(taint)) {
            let shown = value!({"Key": key, "Value": text, "Effect": effect, "TimeAdded": (taint.at("timeAdded"))});
            errs.push(Kind::Duplicate, &at, Bad::Value(shown), "taints must be unique by key and effect pair");
        }
    }
}

/// Upstream: `validateNodeDeclaredFeatures`.
fn declared_features(node: &Value, errs: &mut Errors) {
    let at = Path::new("status").child("declaredFeatures");
    let features: Vec<&str> = node.at("status").list("declaredFeatures").iter().filter_map(Value::as_str).collect();
    for (i, feature) in features.iter().enumerate() {
        if let Some(wrong) = feature_name(feature) {
            errs.invalid(&at.index(i), *feature, wrong);
        }
        match features.get(i + 1) {
            Some(next) if next == feature => errs.duplicate(&at.index(i + 1), *next),
            Some(next) if next < feature => errs.invalid(&at.index(i + 1), *next, "list must be sorted alphabetically"),
            _ => {}
        }
    }
}

fn feature_name(name: &str) -> Option<String> {
    let shown = api::field::quote(name);
    if name.len() > names::DNS1123_SUBDOMAIN_LEN_MAX {
        return Some(format!("invalid feature name {shown}: must be no more than 253 characters"));
    }
    let segment =
        |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric()) && s.starts_with(|c: char| c.is_ascii_alphabetic());
    let good = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.split('/').all(segment);
    (!good).then(|| format!("invalid feature name {shown}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"))
}

/// Upstream: `ValidateNodeUpdate`.
fn validate_change(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    node_config::annotations(new, &Path::new("metadata").child("annotations"), &mut errs);
    amounts(new, &mut errs);
    declared_features(new, &mut errs);
    let (status, at) = (new.at("status"), Path::new("status"));
    let addresses = status.list("addresses");
    let pair = |a: &Value| (a.str("type").to_string(), a.str("address").to_string());
    for (i, address) in addresses.iter().enumerate() {
        if addresses[..i].iter().any(|other| pair(other) == pair(address)) {
            let shown = value!({"Type": (address.str("type")), "Address": (address.str("address"))});
            errs.duplicate(&at.child("addresses").index(i), shown);
        }
    }
    spec_stays(new.at("spec"), old.at("spec"), &mut errs);
    node_config::source(
        new.at_path(&["spec", "configSource"]),
        false,
        &Path::new("spec").child("configSource"),
        &mut errs,
    );
    for member in ["assigned", "active", "lastKnownGood"] {
        let at = at.child("config").child(member);
        node_config::source(new.at_path(&["status", "config", member]), true, &at, &mut errs);
    }
    taints(new.at("spec").list("taints"), &Path::new("metadata").child("taints"), &mut errs);
    if new.at("spec").str("externalID") != old.at("spec").str("externalID") {
        errs.forbidden(&Path::new("spec").child("externalID"), "may not be updated");
    }
    errs
}

fn spec_stays(new: &Value, old: &Value, errs: &mut Errors) {
    let at = Path::new("spec");
    let (cidrs, was) = (new.list("podCIDRs"), old.list("podCIDRs"));
    let changes = match was.len() {
        0 => 0,
        len if len != cidrs.len() => 1,
        _ => was.iter().zip(cidrs).filter(|(a, b)| a != b).count(),
    };
    for _ in 0..changes {
        errs.forbidden(&at.child("podCIDRs"), CIDRS_STAY);
    }
    let (id, was) = (new.str("providerID"), old.str("providerID"));
    if !was.is_empty() && id != was {
        let done = if id.is_empty() { "cleared" } else { "modified" };
        errs.invalid(&at.child("providerID"), Value::Null, format!("field cannot be {done} once set"));
    }
}

#[cfg(test)]
mod tests;
