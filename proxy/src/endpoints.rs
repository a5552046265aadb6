//! Endpoints out of slices, and which of them a port of a service uses here.
//! Upstream: pkg/proxy/endpointslicecache.go, topology.go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use api::{EcoString, Value, meta, names::ip::parse_ip};

use crate::{
    services::{PortName, ServicePort, port},
    snapshot::Family,
};

const SERVICE: &str = "kubernetes.io/service-name";

/// Who answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub at: SocketAddr,
    pub is_local: bool,
    /// Ready and not terminating, or the service takes those that are not.
    pub is_ready: bool,
    /// Ready, terminating or not.
    pub is_serving: bool,
    pub is_terminating: bool,
    pub zones: BTreeSet<EcoString>,
    pub nodes: BTreeSet<EcoString>,
}

/// Endpoints of all ports, each list in the order of upstream's texts.
pub type Endpoints = BTreeMap<PortName, Vec<Endpoint>>;

/// Which endpoints are used from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usable<'a> {
    /// Under a policy of Cluster.
    pub cluster: Vec<&'a Endpoint>,
    /// Under a policy of Local.
    pub local: Vec<&'a Endpoint>,
    /// Under either.
    pub all: Vec<&'a Endpoint>,
    /// Whether there is any, be it on another node.
    pub exist: bool,
}

/// What hints make of a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefer {
    Any,
    SameZone,
    SameNode,
}

// === impl Endpoint ===

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)
    }
}

impl Endpoint {
    pub fn ip(&self) -> IpAddr {
        self.at.ip()
    }

    fn is_last_resort(&self) -> bool {
        self.is_serving && self.is_terminating
    }

    fn suits(&self, prefer: Prefer, node: &str, zone: &str) -> bool {
        match prefer {
            Prefer::Any => true,
            Prefer::SameZone => self.zones.contains(zone),
            Prefer::SameNode => self.nodes.contains(node),
        }
    }
}

/// The endpoints of a family; slices of other kinds of addresses and without a service say nothing.
pub fn endpoints(slices: &[Arc<Value>], family: Family, node: &str) -> Endpoints {
    let mut by_text: BTreeMap<PortName, BTreeMap<String, Endpoint>> = BTreeMap::new();
    let kind = family.to_string();
    for slice in slices.iter().filter(|slice| slice.str("addressType") == kind) {
        let meta = meta::of(slice);
        let Some(service) = meta.label(SERVICE).filter(|service| !service.is_empty()) else { continue };
        for listed in slice.list("ports") {
            let number = port(listed.int("port"));
            if number == 0 {
                continue;
            }
            let name = PortName::new(meta.namespace(), service, listed.str("name"), listed.str("protocol"));
            let known = by_text.entry(name).or_default();
            for endpoint in slice.list("endpoints").iter().filter_map(|e| read(e, number, node)) {
                // An address may be a new pod's while the one that had it is still going.
                let text = endpoint.to_string();
                if !endpoint.is_terminating || !known.contains_key(&text) {
                    known.insert(text, endpoint);
                }
            }
        }
    }
    by_text.into_iter().map(|(name, endpoints)| (name, endpoints.into_values().collect())).collect()
}

fn read(endpoint: &Value, port: u16, node: &str) -> Option<Endpoint> {
    let ip = parse_ip(endpoint.list("addresses").first()?.as_str()?)?;
    let conditions = endpoint.at("conditions");
    let hinted = |list: &str| {
        let hints = endpoint.at("hints").list(list).iter();
        hints.map(|hint| EcoString::from(hint.str("name"))).collect()
    };
    Some(Endpoint {
        at: SocketAddr::new(ip, port),
        is_local: !node.is_empty() && endpoint.str("nodeName") == node,
        is_ready: conditions.opt_bool("ready").unwrap_or(true),
        is_serving: conditions.opt_bool("serving").unwrap_or(true),
        is_terminating: conditions.bool("terminating"),
        zones: hinted("forZones"),
        nodes: hinted("forNodes"),
    })
}

/// How many ready endpoints of each service this node has, counted by address.
pub fn local_ready(endpoints: &Endpoints) -> BTreeMap<(EcoString, EcoString), usize> {
    let mut ips: BTreeMap<(EcoString, EcoString), BTreeSet<IpAddr>> = BTreeMap::new();
    for (name, endpoints) in endpoints {
        let here = endpoints.iter().filter(|e| e.is_local && e.is_ready).map(Endpoint::ip);
        ips.entry((name.namespace.clone(), name.service.clone())).or_default().extend(here);
    }
    ips.into_iter().map(|(service, ips)| (service, ips.len())).filter(|(_, count)| *count > 0).collect()
}

/// Which endpoints are used. Ready ones; where there is none, those that terminate and still serve, for each policy by
/// itself. Upstream: `CategorizeEndpoints`.
pub fn usable<'a>(all: &'a [Endpoint], service: &ServicePort, node: &str, zone: &str) -> Usable<'a> {
    let mut usable = Usable::default();
    let mut prefer = Prefer::Any;
    if service.uses_cluster_endpoints() {
        prefer = preference(all, node, zone);
        usable.cluster = all.iter().filter(|e| e.is_ready && e.suits(prefer, node, zone)).collect();
        if usable.cluster.is_empty() {
            usable.cluster = all.iter().filter(|e| e.is_last_resort()).collect();
        }
        usable.exist = !usable.cluster.is_empty();
    }
    if !service.uses_local_endpoints() {
        usable.all = usable.cluster.clone();
        return usable;
    }
    usable.exist |= all.iter().any(|e| e.is_ready || e.is_last_resort());
    usable.local = all.iter().filter(|e| e.is_local && e.is_ready).collect();
    let ready_here = !usable.local.is_empty();
    if !ready_here {
        usable.local = all.iter().filter(|e| e.is_local && e.is_last_resort()).collect();
    }
    let all_ready_listed = prefer == Prefer::Any && (ready_here || usable.local.is_empty());
    usable.all = if !service.uses_cluster_endpoints() {
        usable.local.clone()
    } else if all_ready_listed {
        usable.cluster.clone()
    } else {
        let merged = usable.cluster.iter().chain(&usable.local).map(|e| (e.to_string(), *e));
        merged.collect::<BTreeMap<_, _>>().into_values().collect()
    };
    usable
}

/// Hints count only when every ready endpoint has them and one is for us. Upstream: `topologyModeFromHints`.
fn preference(all: &[Endpoint], node: &str, zone: &str) -> Prefer {
    let ready = || all.iter().filter(|e| e.is_ready);
    if ready().next().is_none() {
        return Prefer::Any;
    }
    if ready().all(|e| !e.nodes.is_empty()) && ready().any(|e| e.nodes.contains(node)) {
        return Prefer::SameNode;
    }
    if ready().all(|e| !e.zones.is_empty()) && ready().any(|e| e.zones.contains(zone)) {
        return Prefer::SameZone;
    }
    Prefer::Any
}
