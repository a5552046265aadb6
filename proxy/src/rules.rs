//! The table that makes services work on a node, from a snapshot of what there is.
//!
//! A packet to a service's address is looked up in `service-ips` (or its port in `service-nodeports`) and sent to the
//! service's chain, which gives it an endpoint. What has none is rejected in the filter chains, before which nothing of
//! it is translated. Shape and names are upstream's (pkg/proxy/nftables/proxier.go), so that either proxy's table can be
//! read with the same eyes.

mod frame;
mod service;

use crate::{
    endpoints::{self, Endpoints},
    ruleset::Ruleset,
    services::{self, ServicePorts},
    snapshot::{Family, Settings, Snapshot},
};

/// A family's table, and what was noticed on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub ruleset: Ruleset,
    pub ports: ServicePorts,
    pub endpoints: Endpoints,
    /// Ports whose policy is Local and that have endpoints, but none here.
    pub no_local_internal: usize,
    pub no_local_external: usize,
}

/// What a family's table has to be.
pub fn rules(snapshot: &Snapshot, settings: &Settings, family: Family) -> Rules {
    let ports = services::ports(&snapshot.services, family);
    let endpoints = endpoints::endpoints(&snapshot.slices, family, &settings.node_name);
    let mut rules = Rules {
        ruleset: frame::frame(snapshot, settings, family),
        ports,
        endpoints,
        no_local_internal: 0,
        no_local_external: 0,
    };
    let around = service::Around::new(snapshot, settings, family);
    for (name, port) in &rules.ports {
        let all = rules.endpoints.get(name).map_or(&[][..], Vec::as_slice);
        let usable = endpoints::usable(all, port, &settings.node_name, snapshot.zone());
        let missing = around.add(&mut rules.ruleset, name, port, &usable);
        rules.no_local_internal += usize::from(missing.internal);
        rules.no_local_external += usize::from(missing.external);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{LocalTraffic, NodePorts};

    fn settings() -> Settings {
        Settings {
            node_name: "here".into(),
            masquerade_all: false,
            masquerade_bit: 14,
            local: LocalTraffic::default(),
            node_ports: NodePorts::default(),
        }
    }

    /// With real packets: `packets_go_where_services_say` of `conformance/tests/machine_services.rs`.
    #[test]
    fn cve_2020_8558_what_comes_to_loopback_from_outside_is_dropped_before_anything_else() {
        let table = rules(&Snapshot::default(), &settings(), Family::V4).ruleset;
        let input = &table.chains["filter-input"];
        assert_eq!(input.hook, "type filter hook input priority 0 ;");
        let first = input.rules.first().map(String::as_str).unwrap_or_default();
        assert!(first.starts_with("iifname != \"lo\" ip daddr 127.0.0.0/8 ct status ! dnat drop"), "{first}");
        // Other words that let something pass must not stand in the kernel's way in at all.
        assert!(input.rules.iter().all(|rule| !rule.contains("accept")), "{:?}", input.rules);
    }
}
