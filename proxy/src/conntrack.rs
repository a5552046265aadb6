//! UDP flows that the kernel remembers and that lead to nobody.
//!
//! A connection of TCP ends when its endpoint does; a flow of UDP is remembered as long as packets come, and goes on to
//! an address that nobody has any more. Upstream: pkg/proxy/conntrack/cleanup.go.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use crate::{endpoints::Endpoints, services::ServicePorts};

/// From where to where a client sent, and who answers. Flows that differ in the client alone are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    pub to: SocketAddr,
    pub answered_by: SocketAddr,
}

/// Who serves each UDP port of each service: what flows are judged by. Nothing else makes flows stale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    addresses: BTreeMap<SocketAddr, BTreeSet<SocketAddr>>,
    /// Node ports are known by their number alone; those of services without endpoints are left alone, lest flows
    /// through this node to others be forgotten.
    node_ports: BTreeMap<u16, BTreeSet<SocketAddr>>,
}

// === impl Serving ===

impl Serving {
    pub fn new(ports: &ServicePorts, endpoints: &Endpoints) -> Serving {
        let mut serving = Serving::default();
        for (name, port) in ports.iter().filter(|(name, _)| name.protocol == "udp") {
            let all = endpoints.get(name).into_iter().flatten();
            let here: BTreeSet<SocketAddr> = all.filter(|e| e.is_serving).map(|e| e.at).collect();
            for ip in port.external_addresses().chain([port.cluster_ip]) {
                serving.addresses.insert(SocketAddr::new(ip, port.port), here.clone());
            }
            if port.node_port != 0 && !here.is_empty() {
                serving.node_ports.insert(port.node_port, here);
            }
        }
        serving
    }

    /// Flows to a service that nobody of the service answers.
    pub fn stale(&self, flows: &[Flow]) -> BTreeSet<Flow> {
        let is_stale = |flow: &Flow| {
            let lost = |serving: Option<&BTreeSet<SocketAddr>>| serving.is_some_and(|s| !s.contains(&flow.answered_by));
            lost(self.addresses.get(&flow.to)) || lost(self.node_ports.get(&flow.to.port()))
        };
        flows.iter().filter(|flow| is_stale(flow)).copied().collect()
    }
}

/// Reads a line of `conntrack -L -p udp`: `udp 17 29 src=… dst=… sport=… dport=… [UNREPLIED] src=… dst=… sport=… …`.
pub fn read(line: &str) -> Option<Flow> {
    let all = |name: &str| {
        let words = line.split_whitespace().filter_map(move |word| word.strip_prefix(name)?.strip_prefix('='));
        words.map(String::from).collect::<Vec<_>>()
    };
    let (to, answers) = (all("dst").into_iter().next()?, all("src").into_iter().nth(1)?);
    let (port, from) = (all("dport").into_iter().next()?, all("sport").into_iter().nth(1)?);
    let address = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, port.parse().ok()?));
    Some(Flow { to: address(&to, &port)?, answered_by: address(&answers, &from)? })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::{Value, value};

    use super::*;
    use crate::{endpoints, services, snapshot::Family};

    fn serving(ready: &[&str]) -> Serving {
        let service = value!({"metadata": {"namespace": "kube-system", "name": "dns"}, "spec": {
            "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "type": "NodePort",
            "ports": [{"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 30053}]}});
        let endpoints: Vec<Value> = ready.iter().map(|ip| value!({"addresses": [*ip]})).collect();
        let slice = value!({"metadata": {"namespace": "kube-system", "labels": {"kubernetes.io/service-name": "dns"}},
            "addressType": "IPv4", "ports": [{"name": "dns", "protocol": "UDP", "port": 5353}], "endpoints": endpoints});
        let ports = services::ports(&[Arc::new(service)], Family::V4);
        Serving::new(&ports, &endpoints::endpoints(&[Arc::new(slice)], Family::V4, "here"))
    }

    #[test]
    fn flows_to_who_is_gone_are_forgotten() {
        let line = |answered: &str| {
            format!(
                "udp      17 29 src=10.0.0.2 dst=10.96.0.10 sport=40000 dport=53 [UNREPLIED] src={answered} dst=10.0.0.2 sport=5353 dport=40000 mark=0 use=1"
            )
        };
        let flow = |answered: &str| read(&line(answered)).expect("it is a flow");
        let all = [flow("10.1.0.1"), flow("10.1.0.2")];
        assert_eq!(serving(&["10.1.0.1"]).stale(&all), BTreeSet::from([all[1]]));
        assert_eq!(serving(&[]).stale(&all), BTreeSet::from(all));
        let elsewhere = Flow { to: "192.0.2.1:53".parse().expect("an address"), answered_by: all[0].answered_by };
        assert_eq!(serving(&[]).stale(&[elsewhere]), BTreeSet::new());
        let node_port = Flow { to: "192.0.2.1:30053".parse().expect("an address"), answered_by: all[1].answered_by };
        assert_eq!(serving(&["10.1.0.1"]).stale(&[node_port]), BTreeSet::from([node_port]));
        assert_eq!(serving(&[]).stale(&[node_port]), BTreeSet::new());
    }

    #[test]
    fn other_lines_are_no_flows() {
        assert_eq!(read("conntrack v1.4.7 (conntrack-tools): 0 flow entries have been shown."), None);
    }
}
