//! Ports of services, as one family sees them. Upstream: pkg/proxy/serviceport.go, servicechangetracker.go.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use api::{
    EcoString, Value, meta,
    names::ip::{Cidr, parse_cidr, parse_ip},
};

use crate::snapshot::Family;

/// What a port of a service is called; its endpoints are found by the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortName {
    pub namespace: EcoString,
    pub service: EcoString,
    /// Empty when the service has one port without a name.
    pub port: EcoString,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: EcoString,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub cluster_ip: IpAddr,
    pub port: u16,
    /// 0 when there is none.
    pub node_port: u16,
    pub external_ips: Vec<IpAddr>,
    /// Those that load balancers leave as they are on packets.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Who may come over a load balancer; empty stands for everybody.
    pub source_ranges: Vec<Cidr>,
    pub external_local: bool,
    pub internal_local: bool,
    /// How long a client stays with an endpoint.
    pub affinity_seconds: Option<i64>,
}

/// All ports of all services.
pub type ServicePorts = BTreeMap<PortName, ServicePort>;

// === impl PortName ===

/// As upstream's logs and comments have it: `namespace/name:port`.
impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl PortName {
    /// `protocol` is the API's, in capitals; missing means TCP.
    pub fn new(namespace: &str, service: &str, port: &str, protocol: &str) -> PortName {
        let protocol = if protocol.is_empty() { "TCP" } else { protocol };
        PortName {
            namespace: namespace.into(),
            service: service.into(),
            port: port.into(),
            protocol: protocol.to_lowercase().into(),
        }
    }
}

// === impl ServicePort ===

impl ServicePort {
    /// Whether it can be reached by anything but its cluster IP.
    pub fn is_external(&self) -> bool {
        self.node_port != 0 || !self.load_balancer_ips.is_empty() || !self.external_ips.is_empty()
    }

    /// Whether endpoints of all nodes are ever used. Even with a policy of Local they are, for what comes from this
    /// node to an external address.
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_local || self.is_external()
    }

    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_local || (self.external_local && self.is_external())
    }

    /// The addresses that stand for it from outside, without node ports.
    pub fn external_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.external_ips.iter().chain(&self.load_balancer_ips).copied()
    }
}

/// All ports of services that are proxied here.
pub fn ports(services: &[Arc<Value>], family: Family) -> ServicePorts {
    services.iter().filter(|service| is_proxied(service)).flat_map(|service| ports_of(service, family)).collect()
}

/// Upstream: `ShouldSkipService`, and the label selector of cmd/kube-proxy/app/server.go.
pub fn is_proxied(service: &Value) -> bool {
    let (meta, spec) = (meta::of(service), service.at("spec"));
    let other = meta.label("service.kubernetes.io/service-proxy-name").is_some()
        || meta.label("service.kubernetes.io/headless").is_some();
    !other && !matches!(spec.str("clusterIP"), "" | "None") && spec.str("type") != "ExternalName"
}

/// The port on which the node says whether it has endpoints of a service; upstream: `NeedsHealthCheck`.
pub fn health_check_node_port(service: &Value) -> Option<u16> {
    let spec = service.at("spec");
    let needed = is_proxied(service) && spec.str("type") == "LoadBalancer" && is_external_local(spec);
    needed.then(|| port(spec.int("healthCheckNodePort"))).filter(|port| *port != 0)
}

fn ports_of(service: &Value, family: Family) -> Vec<(PortName, ServicePort)> {
    let (meta, spec) = (meta::of(service), service.at("spec"));
    let listed = spec.list("clusterIPs").iter().filter_map(Value::as_str);
    let Some(cluster_ip) = family.first(listed.chain([spec.str("clusterIP")])) else { return Vec::new() };
    let texts = |list: &'static str| spec.list(list).iter().filter_map(Value::as_str);
    let template = ServicePort {
        cluster_ip,
        port: 0,
        node_port: 0,
        external_ips: family.all(texts("externalIPs")).collect(),
        load_balancer_ips: load_balancer_ips(service, family),
        source_ranges: source_ranges(texts("loadBalancerSourceRanges"), family),
        external_local: is_external_local(spec),
        internal_local: spec.str("internalTrafficPolicy") == "Local",
        affinity_seconds: (spec.str("sessionAffinity") == "ClientIP").then(|| {
            let config = spec.at_path(&["sessionAffinityConfig", "clientIP"]);
            config.opt_int("timeoutSeconds").unwrap_or(10800)
        }),
    };
    let ports = spec.list("ports").iter().map(|listed| {
        let name = PortName::new(meta.namespace(), meta.name(), listed.str("name"), listed.str("protocol"));
        (
            name,
            ServicePort { port: port(listed.int("port")), node_port: port(listed.int("nodePort")), ..template.clone() },
        )
    });
    ports.collect()
}

/// Upstream: apiservice.ExternalPolicyLocal.
fn is_external_local(spec: &Value) -> bool {
    let accessible = matches!(spec.str("type"), "LoadBalancer" | "NodePort") || !spec.list("externalIPs").is_empty();
    accessible && spec.str("externalTrafficPolicy") == "Local"
}

fn load_balancer_ips(service: &Value, family: Family) -> Vec<IpAddr> {
    let ingress = service.at_path(&["status", "loadBalancer", "ingress"]).items();
    let virtual_ones = ingress.iter().filter(|i| matches!(i.str("ipMode"), "" | "VIP"));
    virtual_ones.filter_map(|i| parse_ip(i.str("ip"))).filter(|ip| family.has(*ip)).collect()
}

/// A network of everything lets everybody in, which an empty list says as well.
fn source_ranges<'a>(texts: impl Iterator<Item = &'a str>, family: Family) -> Vec<Cidr> {
    let cidrs = texts.filter_map(|text| parse_cidr(text.trim())).filter(|cidr| family.has(cidr.ip()));
    let cidrs: Vec<Cidr> = cidrs.collect();
    if cidrs.iter().any(|cidr| cidr.prefix_length() == 0) { Vec::new() } else { cidrs }
}

/// A port's number; what is none is 0.
pub(crate) fn port(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(0)
}
