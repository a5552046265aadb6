//! Endpoints. Upstream: `ValidateEndpoints`, pkg/registry/core/endpoint.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::{
    addresses, cells, checks,
    row::{AGE, Context, NAME, Row, Rules, TypeDefault, Version, column},
    strategy::stored,
};

const SHOWN_MAX: usize = 3;
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

pub const ENDPOINTS: Row = Row {
    kind: "Endpoints",
    finalizers_before_names: true,
    plural: "endpoints",
    short_names: &["ep"],
    versions: &[Version {
        lifecycle: (0, 33, 0),
        replacement: "discovery.k8s.io/v1 EndpointSlice",
        ..Version::stable("v1", "io.k8s.api.core.v1.Endpoints")
    }],
    stored: stored("", "v1", "services/endpoints"),
    create_on_update: true,
    columns: &[NAME, column("Endpoints", "string", |o, _| shown(o).into()), AGE],
    rules: Rules { validate, validate_update, warn: |new, _| warn(new), ..Rules::NONE },
    ..Row::NAMESPACED
};

pub const DEFAULT: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.Endpoints", run: protocols };

fn protocols(endpoints: &mut Value) {
    for subset in endpoints.get_mut("subsets").and_then(Value::as_array_mut).into_iter().flatten() {
        for port in subset.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if port.str("protocol").is_empty() {
                port.set("protocol", "TCP");
            }
        }
    }
}

/// The first addresses with their ports. Upstream: `formatEndpoints`.
fn shown(endpoints: &Value) -> String {
    let subsets = endpoints.list("subsets");
    if subsets.is_empty() {
        return cells::NONE.into();
    }
    let (mut first, mut count) = (Vec::new(), 0);
    for subset in subsets {
        let addresses = subset.list("addresses");
        let ports: Vec<Option<i64>> = match subset.list("ports") {
            [] => vec![None],
            ports => ports.iter().map(|p| Some(p.int("port"))).collect(),
        };
        for port in ports {
            count += addresses.len();
            let room = SHOWN_MAX - first.len();
            first.extend(addresses.iter().take(room).map(|a| host_port(a.str("ip"), port)));
        }
    }
    let text = first.join(",");
    if count > SHOWN_MAX { format!("{text} + {} more...", count - SHOWN_MAX) } else { text }
}

fn host_port(ip: &str, port: Option<i64>) -> String {
    match port {
        None => ip.into(),
        Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
        Some(port) => format!("{ip}:{port}"),
    }
}

fn validate(endpoints: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    for (i, subset) in endpoints.list("subsets").iter().enumerate() {
        validate_subset(subset, &Path::new("subsets").index(i), &mut errs);
    }
    errs
}

/// Subsets that stay as they were may be wrong.
fn validate_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let errs = validate(new, context);
    if checks::same(new.at("subsets"), old.at("subsets")) { Errors::new() } else { errs }
}

fn validate_subset(subset: &Value, at: &Path, errs: &mut Errors) {
    let lists = ["addresses", "notReadyAddresses"];
    if lists.iter().all(|l| subset.list(l).is_empty()) {
        errs.required(at, "must specify `addresses` or `notReadyAddresses`");
    }
    for list in lists {
        for (i, address) in subset.list(list).iter().enumerate() {
            validate_address(address, &at.child(list).index(i), errs);
        }
    }
    let ports = subset.list("ports");
    for (i, port) in ports.iter().enumerate() {
        validate_port(port, ports.len() > 1, &at.child("ports").index(i), errs);
    }
}

fn validate_address(address: &Value, at: &Path, errs: &mut Errors) {
    let ip = address.str("ip");
    errs.extend(names::valid_ip_legacy(&at.child("ip"), ip, &[]));
    let hostname = address.str("hostname");
    if !hostname.is_empty() {
        checks::messages(errs, &at.child("hostname"), hostname, names::dns1123_label(hostname));
    }
    if let Some(node) = address.opt_str("nodeName") {
        checks::messages(errs, &at.child("nodeName"), node, names::dns1123_subdomain(node));
    }
    addresses::endpoint_ip(ip, &at.child("ip"), errs);
}

fn validate_port(port: &Value, named: bool, at: &Path, errs: &mut Errors) {
    let (name, number) = (port.str("name"), port.int("port"));
    match name {
        "" if named => errs.required(&at.child("name"), ""),
        "" => {}
        _ => checks::messages(errs, &at.child("name"), name, names::dns1123_label(name)),
    }
    for wrong in names::port_num(number) {
        errs.invalid(&at.child("port"), number, wrong);
    }
    match port.str("protocol") {
        "" => errs.required(&at.child("protocol"), ""),
        protocol => checks::one_of(errs, &at.child("protocol"), protocol, &PROTOCOLS),
    }
    if let Some(protocol) = port.opt_str("appProtocol") {
        checks::label_name(protocol, &at.child("appProtocol"), errs);
    }
}

fn warn(endpoints: &Value) -> Vec<String> {
    if api::meta::of(endpoints).label("endpoints.kubernetes.io/managed-by") == Some("endpoint-controller") {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for (i, subset) in endpoints.list("subsets").iter().enumerate() {
        for list in ["addresses", "notReadyAddresses"] {
            for (j, address) in subset.list(list).iter().enumerate() {
                let at = Path::new("subsets").index(i).child(list).index(j).child("ip");
                warnings.extend(names::ip_warnings(&at, address.str("ip")));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn addresses_and_ports_are_judged() {
        let good =
            value!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80, "protocol": "TCP"}]}]});
        assert!(validate(&good, &context()).is_empty());
        let bad = value!({"subsets": [
            {},
            {"addresses": [{"ip": "127.0.0.1"}, {"ip": "no"}],
             "ports": [{"port": 0, "protocol": "TCP", "name": "a"}, {"port": 1, "protocol": "X"}]}
        ]});
        let errs = texts(&validate(&bad, &context()));
        assert_eq!(
            errs,
            [
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
                "subsets[1].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "subsets[1].addresses[1].ip: Invalid value: \"no\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "subsets[1].addresses[1].ip: Invalid value: \"no\": must be a valid IP address",
                "subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "subsets[1].ports[1].name: Required value",
                "subsets[1].ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ]
        );
        assert!(validate_update(&bad, &bad, &context()).is_empty());
    }

    #[test]
    fn a_table_shows_three() {
        let address = |n: i64| value!({"ip": (format!("10.0.0.{n}"))});
        let four = value!({"subsets": [{"addresses": [(address(1)), (address(2)), (address(3)), (address(4))], "ports": [{"port": 80}]}]});
        assert_eq!(shown(&four), "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more...");
        assert_eq!(shown(&value!({})), "<none>");
        assert_eq!(shown(&value!({"subsets": [{"addresses": [{"ip": "::1"}], "ports": [{"port": 1}]}]})), "[::1]:1");
    }

    #[test]
    fn protocols_are_tcp_and_odd_addresses_warn() {
        let mut endpoints = value!({"subsets": [{"addresses": [{"ip": "010.0.0.1"}], "ports": [{"port": 1}]}]});
        protocols(&mut endpoints);
        assert_eq!(endpoints.list("subsets")[0].list("ports")[0].str("protocol"), "TCP");
        assert_eq!(warn(&endpoints).len(), 1);
    }
}
