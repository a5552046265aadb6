//! What one port of a service adds to a table.

use std::net::IpAddr;

use crate::{
    endpoints::{Endpoint, Usable},
    names,
    ruleset::{Element, Ruleset, Set},
    services::{PortName, ServicePort},
    snapshot::{Family, Settings, Snapshot},
};

use super::frame::mark_rule;

const REJECT: &str = "goto reject-chain";

/// What all services have in common.
pub(super) struct Around {
    family: Family,
    mark: String,
    /// Matches what this node's pods send, where they can be told apart.
    from_pod: Option<String>,
    node_ips: Vec<IpAddr>,
}

/// Endpoints that are there, but not for a policy of Local on this node.
#[derive(Clone, Copy, Default)]
pub(super) struct Missing {
    pub internal: bool,
    pub external: bool,
}

/// One port on its way into the table.
struct Adding<'a> {
    around: &'a Around,
    table: &'a mut Ruleset,
    name: &'a PortName,
    port: &'a ServicePort,
    usable: &'a Usable<'a>,
    /// Behind the prefix of each of its chains.
    base: String,
    /// What becomes of packets that nobody answers.
    missing: Missing,
}

// === impl Around ===

impl Around {
    pub fn new(snapshot: &Snapshot, settings: &Settings, family: Family) -> Around {
        Around {
            family,
            mark: mark_rule(settings),
            from_pod: settings.from_pod(snapshot, family),
            node_ips: snapshot.node_ips(family),
        }
    }

    /// Adds a port's chains and elements.
    pub fn add(&self, table: &mut Ruleset, name: &PortName, port: &ServicePort, usable: &Usable<'_>) -> Missing {
        let missing = Missing {
            internal: usable.exist && port.internal_local && usable.local.is_empty(),
            external: usable.exist && port.external_local && usable.local.is_empty(),
        };
        let mut adding = Adding { around: self, table, name, port, usable, base: names::service(name), missing };
        adding.cluster_ip();
        adding.external_addresses();
        adding.node_port();
        adding.source_ranges();
        adding.external_chain();
        adding.endpoints();
        missing
    }
}

// === impl Adding ===

impl Adding<'_> {
    fn chain_of(&self, local: bool) -> String {
        format!("{}{}", if local { "local-" } else { "service-" }, self.base)
    }

    fn address_key(&self, ip: IpAddr) -> String {
        format!("{ip} . {} . {}", self.name.protocol, self.port.port)
    }

    /// What stands in the filter's maps where there is nobody to answer.
    fn refusal(&self) -> Element {
        let verdict = if self.usable.exist { "drop" } else { REJECT };
        Element::verdict(verdict).commented(&self.name.to_string())
    }

    fn cluster_ip(&mut self) {
        let ip = self.port.cluster_ip;
        self.table.element("cluster-ips", ip.to_string(), Element::default());
        let key = self.address_key(ip);
        if self.usable.exist && !self.missing.internal {
            let chain = self.chain_of(self.port.internal_local);
            self.table.element("service-ips", key, Element::verdict(format!("goto {chain}")));
        } else {
            self.table.element("no-endpoint-services", key, self.refusal());
        }
    }

    /// Addresses that come with the service from outside. With a policy of Local and nobody here, what comes from this
    /// node still goes on; the rest is dropped.
    fn external_addresses(&mut self) {
        for ip in self.port.external_addresses() {
            let key = self.address_key(ip);
            if self.usable.exist {
                let chain = format!("goto external-{}", self.base);
                self.table.element("service-ips", key.clone(), Element::verdict(chain));
            }
            if !self.usable.exist || self.missing.external {
                self.table.element("no-endpoint-services", key, self.refusal());
            }
        }
    }

    fn node_port(&mut self) {
        if self.port.node_port == 0 {
            return;
        }
        let key = format!("{} . {}", self.name.protocol, self.port.node_port);
        if self.usable.exist {
            let chain = format!("goto external-{}", self.base);
            self.table.element("service-nodeports", key.clone(), Element::verdict(chain));
        }
        if !self.usable.exist || self.missing.external {
            self.table.element("no-endpoint-nodeports", key, self.refusal());
        }
    }

    /// Who may come over a load balancer. A node that may can reach the balancer's address by itself, and then comes
    /// from that address where it is one of the node's own.
    fn source_ranges(&mut self) {
        let (ranges, ips) = (&self.port.source_ranges, &self.port.load_balancer_ips);
        if ranges.is_empty() || ips.is_empty() {
            return;
        }
        let chain = format!("firewall-{}", self.base);
        for ip in ips {
            let key = self.address_key(*ip);
            self.table.element("firewall-ips", key, Element::verdict(format!("goto {chain}")));
        }
        let mut sources: Vec<String> = ranges.iter().map(|range| range.canonical()).collect();
        if ranges.iter().any(|range| self.around.node_ips.iter().any(|ip| range.contains(*ip))) {
            let others = ips.iter().filter(|ip| !ranges.iter().any(|range| range.contains(**ip)));
            sources.extend(others.map(IpAddr::to_string));
        }
        sources.sort();
        sources.dedup();
        let rule = format!("{} saddr != {{ {} }} drop", self.around.family.nft(), sources.join(", "));
        self.table.rule(&chain, rule);
    }

    /// Where traffic to external addresses and node ports goes first. Under Cluster it may leave the node and is
    /// masqueraded; under Local it keeps its source, but what comes from this node goes where Cluster would send it, as
    /// though it went out to a balancer and came back.
    fn external_chain(&mut self) {
        if !self.usable.exist || !self.port.is_external() {
            return;
        }
        let (chain, mark) = (format!("external-{}", self.base), &self.around.mark);
        if self.port.external_local {
            let cluster = self.chain_of(false);
            if let Some(from_pod) = &self.around.from_pod {
                let rule = format!("{from_pod} goto {cluster} comment \"short-circuit pod traffic\"");
                self.table.rule(&chain, rule);
            }
            self.table.rule(&chain, format!("fib saddr type local {mark} comment \"masquerade local traffic\""));
            let rule = format!("fib saddr type local goto {cluster} comment \"short-circuit local traffic\"");
            self.table.rule(&chain, rule);
        } else {
            self.table.rule(&chain, format!("{mark} comment \"masquerade\""));
        }
        if !self.missing.external {
            let policy = self.chain_of(self.port.external_local);
            self.table.rule(&chain, format!("goto {policy}"));
        }
    }

    /// The chains that choose an endpoint.
    fn endpoints(&mut self) {
        let usable = self.usable;
        for endpoint in usable.all.iter().filter(|e| e.is_local) {
            let (ip, port) = (endpoint.ip(), endpoint.at.port());
            let key = format!("{ip} . {ip} . {} . {port}", self.name.protocol);
            self.table.element("hairpin-connections", key, Element::default());
        }
        let policies = [
            (false, &usable.cluster, self.port.uses_cluster_endpoints()),
            (true, &usable.local, self.port.uses_local_endpoints()),
        ];
        for (local, endpoints, used) in policies {
            if !used || endpoints.is_empty() {
                continue;
            }
            let chain = self.chain_of(local);
            match self.port.affinity_seconds {
                None => self.choose(&chain, endpoints),
                Some(_) => self.choose_with_affinity(&chain, endpoints),
            }
        }
        if let Some(seconds) = self.port.affinity_seconds {
            for endpoint in &usable.all {
                self.remember(endpoint, seconds);
            }
        }
    }

    /// Lots are drawn among the endpoints; a map of one costs the kernel more than a rule.
    fn choose(&mut self, chain: &str, endpoints: &[&Endpoint]) {
        let protocol = &self.name.protocol;
        let rule = match endpoints {
            [one] => format!("meta l4proto {protocol} dnat to {one}"),
            many => {
                let lots = many.iter().enumerate();
                let lots: Vec<String> = lots.map(|(lot, e)| format!("{lot} : {} . {}", e.ip(), e.at.port())).collect();
                format!(
                    "meta l4proto {protocol} dnat {} addr . port to numgen random mod {} map {{ {} }}",
                    self.around.family.nft(),
                    many.len(),
                    lots.join(", ")
                )
            }
        };
        self.table.rule(chain, rule);
    }

    /// Whoever was with an endpoint goes there again, others draw lots.
    fn choose_with_affinity(&mut self, chain: &str, endpoints: &[&Endpoint]) {
        let ip = self.around.family.nft();
        let mut lots = Vec::new();
        for (lot, endpoint) in endpoints.iter().enumerate() {
            let base = names::endpoint(self.name, endpoint);
            self.table.rule(chain, format!("{ip} saddr @affinity-{base} goto endpoint-{base}"));
            lots.push(format!("{lot} : goto endpoint-{base}"));
        }
        let rule = format!("numgen random mod {} vmap {{ {} }}", lots.len(), lots.join(", "));
        self.table.rule(chain, rule);
    }

    /// An endpoint's chain and the clients that are with it.
    fn remember(&mut self, endpoint: &Endpoint, seconds: i64) {
        let base = names::endpoint(self.name, endpoint);
        let (set, chain) = (format!("affinity-{base}"), format!("endpoint-{base}"));
        let family = self.around.family;
        let spec = format!("type {} ; flags dynamic,timeout ; timeout {seconds}s ;", family.address_type());
        self.table.sets.insert(set.clone(), Set { is_map: false, spec, ..Set::default() });
        self.table.rule(&chain, format!("update @{set} {{ {} saddr }}", family.nft()));
        self.table.rule(&chain, format!("meta l4proto {} dnat to {endpoint}", self.name.protocol));
    }
}
