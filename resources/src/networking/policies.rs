//! Network policies.
//!
//! Upstream: pkg/apis/networking/validation/validation.go `ValidateNetworkPolicy`,
//! pkg/registry/networking/networkpolicy/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
    names::{self, cidr_warnings},
    value,
};

use super::GROUP;
use crate::{
    checks::{self, SelectorOptions},
    row::{AGE, Generation, NAME, Row, Rules, Version, column},
    strategy::stored,
    workload,
};

/// Directions, and what the peers are called in each.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

pub const ROW: Row = Row {
    group: GROUP,
    kind: "NetworkPolicy",
    name_on_update: false,
    plural: "networkpolicies",
    short_names: &["netpol"],
    versions: &[Version::stable("v1", "io.k8s.api.networking.v1.NetworkPolicy")],
    stored: stored(GROUP, "v1", "networkpolicies"),
    generation: Generation::WhenWritten(&["spec"]),
    columns: &[NAME, column("Pod-Selector", "string", |o, _| workload::selector_cell(&pod_selector(o))), AGE],
    rules: Rules {
        validate: |new, _| validate(new, None),
        validate_update: |new, old, _| validate(new, Some(old)),
        warn: |new, _| warnings(new),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

/// Upstream: `SetDefaults_NetworkPolicy`.
pub fn default(policy: &mut Value) {
    let spec = policy.entry("spec");
    if !spec.list("policyTypes").is_empty() {
        return;
    }
    let types = if spec.list("egress").is_empty() { value!(["Ingress"]) } else { value!(["Ingress", "Egress"]) };
    spec.set("policyTypes", types);
}

/// Upstream: `SetDefaults_NetworkPolicyPort`.
pub fn default_port(port: &mut Value) {
    port.default("protocol", "TCP");
}

/// It is no pointer: a missing one selects everything.
fn pod_selector(policy: &Value) -> Value {
    match policy.at_path(&["spec", "podSelector"]) {
        Value::Null => Value::object(),
        selector => selector.clone(),
    }
}

/// Every block of addresses with its place.
fn blocks(policy: &Value) -> Vec<(Path, &Value)> {
    let mut found = Vec::new();
    for (direction, peers) in DIRECTIONS {
        for (i, rule) in policy.at("spec").list(direction).iter().enumerate() {
            for (j, peer) in rule.list(peers).iter().enumerate().filter(|(_, peer)| peer.has("ipBlock")) {
                let at = Path::new("spec").child(direction).index(i).child(peers).index(j);
                found.push((at.child("ipBlock"), peer.at("ipBlock")));
            }
        }
    }
    found
}

fn warnings(policy: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (at, block) in blocks(policy) {
        warnings.extend(cidr_warnings(&at.child("cidr"), block.str("cidr")));
        for (i, except) in block.list("except").iter().filter_map(Value::as_str).enumerate() {
            warnings.extend(cidr_warnings(&at.child("except").index(i), except));
        }
    }
    warnings
}

// --- validation

/// What an update lets pass because it was there.
struct Options<'a> {
    selector: SelectorOptions,
    cidrs: Vec<&'a str>,
}

/// Upstream: `ValidateNetworkPolicySpec`.
fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    let invalid_values = old.is_some_and(|old| checks::selector_is_invalid(old.at_path(&["spec", "podSelector"])));
    let of_block = |(_, block): (Path, &'_ Value)| -> Vec<String> {
        let except = block.list("except").iter().filter_map(Value::as_str);
        std::iter::once(block.str("cidr")).chain(except).map(Into::into).collect()
    };
    let cidrs: Vec<String> = old.map(blocks).unwrap_or_default().into_iter().flat_map(of_block).collect();
    let options = Options {
        selector: SelectorOptions { invalid_values, ..Default::default() },
        cidrs: cidrs.iter().map(String::as_str).collect(),
    };
    checks::label_selector(spec.at("podSelector"), options.selector, &at.child("podSelector"), &mut errs);
    for (direction, peers) in DIRECTIONS {
        for (i, rule) in spec.list(direction).iter().enumerate() {
            let at = at.child(direction).index(i);
            for (i, port) in rule.list("ports").iter().enumerate() {
                self::port(port, &at.child("ports").index(i), &mut errs);
            }
            for (i, peer) in rule.list(peers).iter().enumerate() {
                self::peer(peer, &options, &at.child(peers).index(i), &mut errs);
            }
        }
    }
    policy_types(spec, &at.child("policyTypes"), &mut errs);
    errs
}

fn policy_types(spec: &Value, at: &Path, errs: &mut Errors) {
    let types = spec.list("policyTypes");
    if types.len() > 2 {
        errs.invalid(at, spec.at("policyTypes"), "may not specify more than two policyTypes");
        return;
    }
    for (i, kind) in types.iter().filter_map(Value::as_str).enumerate() {
        checks::one_of(errs, &at.index(i), kind, &["Ingress", "Egress"]);
    }
}

/// Upstream: `ValidateNetworkPolicyPort`.
fn port(port: &Value, at: &Path, errs: &mut Errors) {
    if let Some(protocol) = port.opt_str("protocol") {
        checks::one_of(errs, &at.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let (port_at, end_at) = (at.child("port"), at.child("endPort"));
    match (port.at("port"), port.opt_int("endPort")) {
        (Value::Null, None) => {}
        (Value::Null, Some(end)) => errs.invalid(&end_at, end, "may not be specified when `port` is not specified"),
        (Value::Str(name), end) => {
            if let Some(end) = end {
                errs.invalid(&end_at, end, "may not be specified when `port` is non-numeric");
            }
            checks::messages(errs, &port_at, name, names::port_name(name));
        }
        (number, end) => {
            let number = number.as_int().unwrap_or(0);
            names::port_num(number).into_iter().for_each(|text| errs.invalid(&port_at, number, text));
            let Some(end) = end else { return };
            if end < number {
                errs.invalid(&end_at, end, "must be greater than or equal to `port`");
            }
            names::port_num(end).into_iter().for_each(|text| errs.invalid(&end_at, end, text));
        }
    }
}

/// Upstream: `ValidateNetworkPolicyPeer`.
fn peer(peer: &Value, options: &Options<'_>, at: &Path, errs: &mut Errors) {
    let selectors = ["podSelector", "namespaceSelector"];
    for member in selectors {
        checks::label_selector(peer.at(member), options.selector, &at.child(member), errs);
    }
    let selects = selectors.iter().any(|member| peer.has(member));
    if peer.has("ipBlock") {
        ip_block(peer.at("ipBlock"), options, &at.child("ipBlock"), errs);
    }
    match (selects, peer.has("ipBlock")) {
        (false, false) => errs.required(at, "must specify a peer"),
        (true, true) => errs.forbidden(at, "may not specify both ipBlock and another peer"),
        _ => {}
    }
}

/// Upstream: `ValidateIPBlock`.
fn ip_block(block: &Value, options: &Options<'_>, at: &Path, errs: &mut Errors) {
    let text = block.str("cidr");
    if text.is_empty() {
        errs.required(&at.child("cidr"), "");
        return;
    }
    errs.extend(names::valid_cidr_legacy(&at.child("cidr"), text, &options.cidrs));
    let Some(cidr) = names::parse_cidr(text) else { return };
    for (i, text) in block.list("except").iter().filter_map(Value::as_str).enumerate() {
        let at = at.child("except").index(i);
        errs.extend(names::valid_cidr_legacy(&at, text, &options.cidrs));
        let Some(except) = names::parse_cidr(text) else { continue };
        if !cidr.contains(except.network()) || cidr.prefix_length() >= except.prefix_length() {
            errs.invalid(&at, text, "must be a strict subset of `cidr`");
        }
    }
}
