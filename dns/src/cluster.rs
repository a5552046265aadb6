//! What names are made from: services, their endpoints and namespaces, kept by the names and addresses that are asked for.
//!
//! Kept rather than made anew: one pod that becomes ready changes one list, and a question is two look-ups.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use api::{EcoString, Value, meta, names::ip::parse_ip};

/// Namespace and name of a service, in lower case as names in DNS are compared.
pub type Key = (EcoString, EcoString);

/// Everything that can be asked about.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    namespaces: BTreeSet<EcoString>,
    services: BTreeMap<Key, Service>,
    /// Slices by their service and their own name.
    slices: BTreeMap<Key, BTreeMap<EcoString, Slice>>,
    /// Whose cluster IP it is.
    service_ips: BTreeMap<IpAddr, BTreeSet<Key>>,
    /// Whose endpoint it is.
    endpoint_ips: BTreeMap<IpAddr, BTreeSet<Key>>,
    /// When something was last changed, in seconds since the epoch.
    pub serial: u32,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub kind: Kind,
    pub ports: Vec<Port>,
}

/// How a service's name is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    ClusterIps(Vec<IpAddr>),
    /// By its endpoints.
    Headless,
    /// By another name.
    External(EcoString),
}

/// A port; one without a number stands where none is declared, so that there are addresses but nothing to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: EcoString,
    /// `tcp`, `udp`, `sctp`, or nothing.
    pub protocol: EcoString,
    pub number: Option<u16>,
}

/// A slice's ready endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    pub ports: Vec<Port>,
    pub endpoints: Vec<Endpoint>,
}

/// An address and what it is called below its service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub ip: IpAddr,
    pub host: EcoString,
}

// === impl Cluster ===

impl Cluster {
    /// Takes in what became of an object of a resource: its newest form, or that it is gone.
    pub fn change(&mut self, plural: &str, object: &Value, is_gone: bool, now: i64) {
        self.serial = u32::try_from(now).unwrap_or(u32::MAX);
        match plural {
            "namespaces" => {
                let name = EcoString::from(meta::of(object).name());
                if is_gone {
                    self.namespaces.remove(&name)
                } else {
                    self.namespaces.insert(name)
                };
            }
            "services" => self.service_changed(object, is_gone),
            _ => self.slice_changed(object, is_gone),
        }
    }

    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub fn service(&self, key: &Key) -> Option<&Service> {
        self.services.get(key)
    }

    pub fn slices(&self, key: &Key) -> impl Iterator<Item = &Slice> {
        self.slices.get(key).into_iter().flat_map(BTreeMap::values)
    }

    /// The service whose cluster IP it is.
    pub fn service_at(&self, ip: IpAddr) -> Option<&Key> {
        self.service_ips.get(&ip)?.first()
    }

    /// The names of an endpoint, each with its service.
    pub fn endpoints_at(&self, ip: IpAddr) -> impl Iterator<Item = (&Key, &Endpoint)> {
        let keys = self.endpoint_ips.get(&ip).into_iter().flatten();
        keys.flat_map(move |key| {
            let all = self.slices(key).flat_map(|slice| &slice.endpoints);
            all.filter(move |endpoint| endpoint.ip == ip).map(move |endpoint| (key, endpoint))
        })
    }

    fn service_changed(&mut self, object: &Value, is_gone: bool) {
        let key = (meta::of(object).namespace().into(), meta::of(object).name().into());
        if let Some(Service { kind: Kind::ClusterIps(ips), .. }) = self.services.remove(&key) {
            ips.iter().for_each(|ip| forget(&mut self.service_ips, *ip, &key));
        }
        if is_gone {
            return;
        }
        let service = service(object);
        if let Kind::ClusterIps(ips) = &service.kind {
            for ip in ips {
                self.service_ips.entry(*ip).or_default().insert(key.clone());
            }
        }
        self.services.insert(key, service);
    }

    fn slice_changed(&mut self, object: &Value, is_gone: bool) {
        let meta = meta::of(object);
        let service = meta.label("kubernetes.io/service-name").unwrap_or_default();
        let key: Key = (meta.namespace().into(), service.into());
        let slices = self.slices.entry(key.clone()).or_default();
        let old = slices.remove(meta.name()).unwrap_or_default();
        if !is_gone {
            slices.insert(meta.name().into(), slice(object));
        }
        let left: BTreeSet<IpAddr> = slices.values().flat_map(|s| &s.endpoints).map(|e| e.ip).collect();
        if slices.is_empty() {
            self.slices.remove(&key);
        }
        for endpoint in old.endpoints.iter().filter(|endpoint| !left.contains(&endpoint.ip)) {
            forget(&mut self.endpoint_ips, endpoint.ip, &key);
        }
        for ip in left {
            self.endpoint_ips.entry(ip).or_default().insert(key.clone());
        }
    }
}

fn forget(index: &mut BTreeMap<IpAddr, BTreeSet<Key>>, ip: IpAddr, key: &Key) {
    if let Some(keys) = index.get_mut(&ip) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(&ip);
        }
    }
}

fn service(object: &Value) -> Service {
    let spec = object.at("spec");
    let listed: Vec<&str> = spec.list("clusterIPs").iter().filter_map(Value::as_str).collect();
    let ips = if listed.is_empty() { vec![spec.str("clusterIP")] } else { listed };
    let kind = if spec.str("type") == "ExternalName" {
        Kind::External(spec.str("externalName").into())
    } else if ips[0] == "None" {
        Kind::Headless
    } else {
        Kind::ClusterIps(ips.into_iter().filter_map(parse_ip).collect())
    };
    Service { kind, ports: ports(spec.list("ports"), "TCP") }
}

/// Upstream: coredns plugin/kubernetes/object/endpoint.go EndpointSliceToEndpoints.
fn slice(object: &Value) -> Slice {
    let ready = object.list("endpoints").iter().filter(|e| e.at("conditions").opt_bool("ready").unwrap_or(true));
    let endpoints = ready.flat_map(|endpoint| {
        let ips = endpoint.list("addresses").iter().filter_map(|ip| parse_ip(ip.as_str()?));
        ips.map(|ip| Endpoint { ip, host: host(endpoint.str("hostname"), ip) })
    });
    Slice { ports: ports(object.list("ports"), ""), endpoints: endpoints.collect() }
}

fn ports(listed: &[Value], protocol: &str) -> Vec<Port> {
    let read = |port: &Value| Port {
        name: port.str("name").to_lowercase().into(),
        protocol: port.opt_str("protocol").unwrap_or(protocol).to_lowercase().into(),
        number: port.opt_int("port").and_then(|number| u16::try_from(number).ok()),
    };
    if listed.is_empty() {
        return vec![Port { name: EcoString::new(), protocol: EcoString::new(), number: None }];
    }
    listed.iter().map(read).collect()
}

/// What an endpoint is called: its hostname, or its address with dashes. A label may not end in one.
fn host(hostname: &str, ip: IpAddr) -> EcoString {
    if !hostname.is_empty() {
        return hostname.into();
    }
    let mut host = ip.to_string().replace(['.', ':'], "-");
    if host.ends_with('-') {
        host.push('0');
    }
    host.into()
}
