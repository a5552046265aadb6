//! Services: what clients say about a set of endpoints, and what is filled in.
//!
//! Which addresses and ports a service gets is decided where it is written ([`families`] and [`allocated`] are the parts
//! of that which need no allocator). Upstream: pkg/registry/core/service, pkg/apis/core/validation/validation.go.

pub mod allocated;
pub mod families;
#[cfg(test)]
mod tests;
mod validate;

use api::{
    Value,
    field::Path,
    names::{cidr_warnings, ip_warnings},
    value,
};

use crate::{
    addresses, cells, names,
    row::{AGE, Column, NAME, Row, Rules, Selectable, StatusRules, Subresource, TypeDefault, Version, column, wide},
    strategy::{drop_status, stored, text},
};

/// Upstream: `ClusterIPNone`.
pub const NO_CLUSTER_IP: &str = "None";

const TOPOLOGY_HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const AFFINITY_SECONDS: i64 = 10800;

pub const SERVICE: Row = Row {
    group: "",
    kind: "Service",
    name_on_update: false,
    plural: "services",
    short_names: &["svc"],
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.Service")],
    stored: stored("", "v1", "services/specs"),
    subresources: &[
        Subresource::Connect {
            name: "proxy",
            options: "ServiceProxyOptions",
            verbs: &["create", "delete", "get", "patch", "update"],
            with_path: true,
        },
        Subresource::Status(STATUS),
    ],
    create_on_update: true,
    name_rule: names::dns_label,
    reset: &["status"],
    columns: COLUMNS,
    selectable: &[
        Selectable { label: "spec.clusterIP", value: |o| o.at("spec").str("clusterIP").into() },
        Selectable { label: "spec.type", value: |o| o.at("spec").str("type").into() },
    ],
    rules: Rules {
        prepare_create: drop_status,
        prepare_update: allocated::prepare_update,
        validate: |new, _| validate::service(new, None),
        validate_update: |new, old, _| validate::update(new, old),
        warn: |new, _| warnings(new),
        canonicalize: drop_internal_traffic,
        on_read: Some(mend),
    },
    ..Row::NAMESPACED
};

/// Upstream: `SetDefaults_Service`.
pub const DEFAULT: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.Service", run: default };

const STATUS: StatusRules = StatusRules {
    validate: |new, old, _| validate::status(new, old),
    warn: |new, _| status_warnings(new),
    ..StatusRules::STATUS_AND_METADATA
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Type", "string", |o, _| text(o, &["spec", "type"])),
    column("Cluster-IP", "string", |o, _| {
        cells::or_none(o.at("spec").list("clusterIPs").first().and_then(Value::as_str).unwrap_or(""))
    }),
    column("External-IP", "string", |o, _| external_ip(o).into()),
    column("Port(s)", "string", |o, _| cells::or_none(&ports(o.at("spec").list("ports")))),
    AGE,
    wide("Selector", "string", |o, _| cells::labels(o.at("spec").at("selector")).into()),
];

// --- what a service is

pub fn kind(service: &Value) -> &str {
    service.at("spec").str("type")
}

/// A service without an address. Upstream: `isHeadlessService`.
pub fn is_headless(service: &Value) -> bool {
    matches!(service.at("spec").list("clusterIPs"), [only] if only.as_str() == Some(NO_CLUSTER_IP))
}

/// Upstream: `ExternallyAccessible`.
pub fn is_externally_accessible(service: &Value) -> bool {
    match kind(service) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !service.at("spec").list("externalIPs").is_empty(),
        _ => false,
    }
}

/// Whether a load balancer has to ask nodes whether they have an endpoint. Upstream: `NeedsHealthCheck`.
pub fn needs_health_check(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && service.at("spec").str("externalTrafficPolicy") == "Local"
}

// --- defaults

fn default(service: &mut Value) {
    let accessible = service.at("spec").str("type");
    let accessible = if accessible.is_empty() { "ClusterIP".to_string() } else { accessible.to_string() };
    let spec = service.entry("spec");
    spec.set("type", accessible.as_str());
    default_affinity(spec);
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default_port(port);
    }
    if is_externally_accessible(service) && service.at("spec").str("externalTrafficPolicy").is_empty() {
        service.set_path(&["spec", "externalTrafficPolicy"], "Cluster");
    }
    let spec = service.entry("spec");
    if matches!(accessible.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        spec.default("internalTrafficPolicy", "Cluster");
    }
    if accessible == "LoadBalancer" {
        spec.default("allocateLoadBalancerNodePorts", true);
        default_ip_modes(service);
    }
}

fn default_affinity(spec: &mut Value) {
    if spec.str("sessionAffinity").is_empty() {
        spec.set("sessionAffinity", "None");
    }
    match spec.str("sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" if !spec.at_path(&["sessionAffinityConfig", "clientIP"]).has("timeoutSeconds") => {
            spec.set("sessionAffinityConfig", value!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}));
        }
        _ => {}
    }
}

fn default_port(port: &mut Value) {
    if port.str("protocol").is_empty() {
        port.set("protocol", "TCP");
    }
    if port.at("targetPort").is_empty() {
        port.set("targetPort", port.int("port"));
    }
}

fn default_ip_modes(service: &mut Value) {
    let ingress = service.path_mut(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array_mut);
    for ingress in ingress.into_iter().flatten().filter(|i| !i.str("ip").is_empty()) {
        ingress.default("ipMode", "VIP");
    }
}

/// Old forms from the store. Upstream: `defaultOnReadService`, for a cluster whose first family is IPv4.
fn mend(service: &mut Value) {
    allocated::normalize_cluster_ips(service, None);
    families::mend(service, families::IPV4);
    drop_internal_traffic(service);
}

/// What has no endpoints of its own has no traffic to keep inside. Upstream: `defaultOnReadInternalTrafficPolicy`.
fn drop_internal_traffic(service: &mut Value) {
    if kind(service) == "ExternalName" {
        service.remove_path(&["spec", "internalTrafficPolicy"]);
    }
}

// --- warnings

/// Upstream: `GetWarningsForService`.
fn warnings(service: &Value) -> Vec<String> {
    let (spec, at) = (service.at("spec"), Path::new("spec"));
    let mut warnings = Vec::new();
    if api::meta::of(service).annotation(TOPOLOGY_HINTS).is_some() {
        warnings.push(format!("annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
    }
    let headless = kind(service) == "ClusterIP" && spec.str("clusterIP") == NO_CLUSTER_IP;
    if !spec.str("clusterIP").is_empty() && spec.str("clusterIP") != NO_CLUSTER_IP {
        each(spec, "clusterIPs", &at, ip_warnings, &mut warnings);
    }
    if headless {
        ignored_when_headless(spec, &mut warnings);
    }
    each(spec, "externalIPs", &at, ip_warnings, &mut warnings);
    let external = kind(service) == "ExternalName";
    if !spec.list("externalIPs").is_empty() && !headless && !external {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into());
    }
    if !spec.str("loadBalancerIP").is_empty() {
        warnings.extend(ip_warnings(&at.child("loadBalancerIP"), spec.str("loadBalancerIP")));
    }
    each(spec, "loadBalancerSourceRanges", &at, cidr_warnings, &mut warnings);
    if external && !spec.list("externalIPs").is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if !external && !spec.str("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    if spec.str("trafficDistribution") == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".into());
    }
    warnings
}

fn ignored_when_headless(spec: &Value, warnings: &mut Vec<String>) {
    let cases = [
        (!spec.str("loadBalancerIP").is_empty(), "spec.loadBalancerIP"),
        (!spec.list("externalIPs").is_empty(), "spec.externalIPs"),
        (spec.str("sessionAffinity") != "None", "spec.SessionAffinity"),
    ];
    let ignored = cases.iter().filter(|(ignored, _)| *ignored);
    warnings.extend(ignored.map(|(_, member)| format!("{member} is ignored for headless services")));
}

fn each(spec: &Value, list: &str, at: &Path, of: fn(&Path, &str) -> Vec<String>, warnings: &mut Vec<String>) {
    for (i, text) in spec.list(list).iter().filter_map(Value::as_str).enumerate() {
        warnings.extend(of(&at.child(list).index(i), text));
    }
}

fn status_warnings(service: &Value) -> Vec<String> {
    let at = Path::new("status").child("loadBalancer").child("ingress");
    let ingress = service.at_path(&["status", "loadBalancer", "ingress"]).items().iter().enumerate();
    let with_ip = ingress.filter(|(_, ingress)| !ingress.str("ip").is_empty());
    with_ip.flat_map(|(i, ingress)| ip_warnings(&at.index(i), ingress.str("ip"))).collect()
}

// --- cells

/// Upstream: `getServiceExternalIP`.
fn external_ip(service: &Value) -> String {
    let spec = service.at("spec");
    let external = cells::join(spec.list("externalIPs"), ",");
    match kind(service) {
        "ClusterIP" | "NodePort" if external.is_empty() => cells::NONE.into(),
        "ClusterIP" | "NodePort" => external,
        "LoadBalancer" => {
            let balanced = addresses::load_balancer(service.at_path(&["status", "loadBalancer", "ingress"]).items());
            match [balanced, external].iter().filter(|s| !s.is_empty()).cloned().collect::<Vec<_>>() {
                parts if parts.is_empty() => "<pending>".into(),
                parts => parts.join(","),
            }
        }
        "ExternalName" => spec.str("externalName").into(),
        _ => cells::UNKNOWN.into(),
    }
}

/// Upstream: `makePortString`.
fn ports(ports: &[Value]) -> String {
    let piece = |port: &Value| match port.int("nodePort") {
        node_port if node_port > 0 => format!("{}:{node_port}/{}", port.int("port"), port.str("protocol")),
        _ => format!("{}/{}", port.int("port"), port.str("protocol")),
    };
    ports.iter().map(piece).collect::<Vec<_>>().join(",")
}
