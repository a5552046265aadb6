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
