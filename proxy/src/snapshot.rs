//! What rules are made from: the objects as they are now, and the settings.

use std::{fmt, net::IpAddr, sync::Arc};

use api::{
    EcoString, Value,
    names::ip::{Cidr, parse_cidr, parse_ip},
};

/// One of the two; each has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

/// Everything that the rules of a node follow from.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub services: Vec<Arc<Value>>,
    pub slices: Vec<Arc<Value>>,
    /// The proxy's own node; nothing as long as it is not registered.
    pub node: Option<Arc<Value>>,
    pub service_cidrs: Vec<Arc<Value>>,
}

/// What does not change while the proxy runs.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node_name: EcoString,
    /// Everything that goes to a service's address leaves with the node's own address. Upstream: `--masquerade-all`.
    pub masquerade_all: bool,
    /// Which bit of a packet's mark says that it is to be masqueraded. Upstream: `--iptables-masquerade-bit`.
    pub masquerade_bit: u8,
    pub local: LocalTraffic,
    pub node_ports: NodePorts,
}

/// How traffic of this node's pods is told apart. Upstream: `--detect-local-mode`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalTraffic {
    /// It is not.
    #[default]
    Unknown,
    ClusterCidrs(Vec<Cidr>),
    /// By the node's own podCIDRs.
    NodeCidrs,
    Bridge(EcoString),
    InterfacePrefix(EcoString),
}

/// On which of the node's addresses node ports are served. Upstream: `--nodeport-addresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePorts {
    /// On those that its Node object names.
    #[default]
    Primary,
    /// On those in these networks; a family that has none listed has all.
    Within(Vec<Cidr>),
}

// === impl Family ===

impl Family {
    pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// The family of a table, and the word before `saddr` and `daddr`.
    pub fn nft(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }

    /// The type of elements that are addresses.
    pub fn address_type(self) -> &'static str {
        match self {
            Family::V4 => "ipv4_addr",
            Family::V6 => "ipv6_addr",
        }
    }

    /// What a packet to the loopback address goes to.
    pub fn loopback(self) -> &'static str {
        match self {
            Family::V4 => "127.0.0.0/8",
            Family::V6 => "::1",
        }
    }

    pub fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Family::V4)
    }

    /// The first address of this family.
    pub fn first<'a>(self, texts: impl Iterator<Item = &'a str>) -> Option<IpAddr> {
        self.all(texts).next()
    }

    pub fn all<'a>(self, texts: impl Iterator<Item = &'a str>) -> impl Iterator<Item = IpAddr> {
        texts.filter_map(parse_ip).filter(move |ip| self.has(*ip))
    }
}

/// As the API and metrics say it.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

// === impl Snapshot ===

impl Snapshot {
    fn node(&self) -> &Value {
        self.node.as_deref().unwrap_or(Value::NULL)
    }

    /// The node's addresses of a family, the internal ones first. Upstream: nodeutil.GetNodeHostIPs.
    pub fn node_ips(&self, family: Family) -> Vec<IpAddr> {
        let addresses = self.node().at("status").list("addresses");
        let of = |kind: &'static str| addresses.iter().filter(move |a| a.str("type") == kind).map(|a| a.str("address"));
        let mut ips: Vec<IpAddr> = family.all(of("InternalIP").chain(of("ExternalIP"))).collect();
        ips.truncate(1);
        ips
    }

    /// The node's networks of pods.
    pub fn pod_cidrs(&self, family: Family) -> Vec<Cidr> {
        let listed = self.node().at("spec").list("podCIDRs");
        listed.iter().filter_map(Value::as_str).filter_map(parse_cidr).filter(|c| family.has(c.ip())).collect()
    }

    /// Networks that services' addresses come from, as nft reads them.
    pub fn service_cidrs(&self, family: Family) -> Vec<String> {
        let cidrs = self.service_cidrs.iter().flat_map(|object| object.at("spec").list("cidrs"));
        let cidrs = cidrs.filter_map(Value::as_str).filter_map(parse_cidr).filter(|c| family.has(c.ip()));
        let mut cidrs: Vec<String> = cidrs.map(Cidr::canonical).collect();
        cidrs.sort();
        cidrs.dedup();
        cidrs
    }

    pub fn zone(&self) -> &str {
        api::meta::of(self.node()).label("topology.kubernetes.io/zone").unwrap_or_default()
    }
}

// === impl Settings ===

impl Settings {
    /// Upstream's defaults.
    pub fn new(node_name: &str) -> Settings {
        Settings {
            node_name: node_name.into(),
            masquerade_all: false,
            masquerade_bit: 14,
            local: LocalTraffic::Unknown,
            node_ports: NodePorts::Primary,
        }
    }

    pub fn masquerade_mark(&self) -> String {
        format!("{:#010x}", 1u32 << self.masquerade_bit)
    }

    /// Matches packets that a pod of this node sends; nothing when they cannot be told apart.
    pub fn from_pod(&self, snapshot: &Snapshot, family: Family) -> Option<String> {
        self.pod_match(snapshot, family, "")
    }

    /// Matches all other packets.
    pub fn not_from_pod(&self, snapshot: &Snapshot, family: Family) -> Option<String> {
        self.pod_match(snapshot, family, "!= ")
    }

    fn pod_match(&self, snapshot: &Snapshot, family: Family, not: &str) -> Option<String> {
        let networks = |cidrs: Vec<Cidr>| {
            let mut cidrs: Vec<String> = cidrs.into_iter().map(Cidr::canonical).collect();
            cidrs.sort();
            let list = match cidrs.as_slice() {
                [] => return None,
                [one] => one.clone(),
                many => format!("{{ {} }}", many.join(", ")),
            };
            Some(format!("{} saddr {not}{list}", family.nft()))
        };
        match &self.local {
            LocalTraffic::Unknown => None,
            LocalTraffic::ClusterCidrs(cidrs) => {
                networks(cidrs.iter().copied().filter(|c| family.has(c.ip())).collect())
            }
            LocalTraffic::NodeCidrs => networks(snapshot.pod_cidrs(family)),
            LocalTraffic::Bridge(name) => Some(format!("iifname {not}\"{name}\"")),
            LocalTraffic::InterfacePrefix(prefix) => Some(format!("iifname {not}\"{prefix}*\"")),
        }
    }

    /// The networks whose local addresses serve node ports; nothing stands for all of them.
    pub fn node_port_networks(&self, snapshot: &Snapshot, family: Family) -> Option<Vec<String>> {
        let cidrs: Vec<Cidr> = match &self.node_ports {
            NodePorts::Primary => {
                return Some(snapshot.node_ips(family).iter().map(IpAddr::to_string).collect());
            }
            NodePorts::Within(cidrs) => cidrs.iter().copied().filter(|c| family.has(c.ip())).collect(),
        };
        if cidrs.is_empty() || cidrs.iter().any(|c| c.prefix_length() == 0) {
            return None;
        }
        // One within another says nothing, and overlapping intervals are refused.
        let within = |a: &Cidr, b: &Cidr| b.prefix_length() < a.prefix_length() && b.contains(a.network());
        let kept = cidrs.iter().filter(|a| !cidrs.iter().any(|b| within(a, b)));
        let mut kept: Vec<String> = kept.map(|c| c.canonical()).collect();
        kept.sort();
        kept.dedup();
        Some(kept)
    }
}
