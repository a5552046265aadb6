//! What becomes of resources with a part of their own in the registry: addresses and ports of services, logs, certificates;
//! and what lies in the store that nobody can read.
//!
//! What is given out is counted when the page is asked for: nothing of that is on a service's way.
//! Upstream: pkg/registry/core/service/{ipallocator,portallocator}/metrics.go,
//! pkg/registry/certificates/certificates/storage/metrics.go, apiserver/pkg/storage/etcd3/metrics.

use std::time::Duration;

use pages::Kind;
use registry::{
    Registry,
    special::services::{addresses, ports},
    tally::{Tally, Wish},
};

use super::{Counter, Histogram, Labeled, Page, Row, rows, rows::row};

#[derive(Default)]
pub struct Resources {
    /// By range and scope.
    addresses: Labeled<2, Counter>,
    address_errors: Labeled<2, Counter>,
    pub address_seconds: Labeled<1, Histogram>,
    /// By scope.
    ports: Labeled<1, Counter>,
    port_errors: Labeled<1, Counter>,
    /// By what was said of the node's certificate.
    pub logs: Labeled<1, Counter>,
    /// Nodes that are not who they should be, when a log was to be read.
    pub untrusted: Counter,
    /// By signer.
    requested: Labeled<1, Counter>,
    honored: Labeled<1, Counter>,
}

const ADDRESSES_USED: Row = row(
    "kube_apiserver_clusterip_allocator_allocated_ips",
    Kind::Gauge,
    "ALPHA",
    &["cidr"],
    "Gauge measuring the number of allocated IPs for Services",
);
const ADDRESSES_FREE: Row = row(
    "kube_apiserver_clusterip_allocator_available_ips",
    Kind::Gauge,
    "ALPHA",
    &["cidr"],
    "Gauge measuring the number of available IPs for Services",
);
const ADDRESSES: Row = row(
    "kube_apiserver_clusterip_allocator_allocation_total",
    Kind::Counter,
    "ALPHA",
    &["cidr", "scope"],
    "Number of Cluster IPs allocations",
);
const ADDRESS_ERRORS: Row = row(
    "kube_apiserver_clusterip_allocator_allocation_errors_total",
    Kind::Counter,
    "ALPHA",
    &["cidr", "scope"],
    "Number of errors trying to allocate Cluster IPs",
);
const PORTS_USED: Row = row(
    "kube_apiserver_nodeport_allocator_allocated_ports",
    Kind::Gauge,
    "ALPHA",
    &[],
    "Gauge measuring the number of allocated NodePorts for Services",
);
const PORTS_FREE: Row = row(
    "kube_apiserver_nodeport_allocator_available_ports",
    Kind::Gauge,
    "ALPHA",
    &[],
    "Gauge measuring the number of available NodePorts for Services",
);
const PORTS: Row = row(
    "kube_apiserver_nodeport_allocator_allocation_total",
    Kind::Counter,
    "ALPHA",
    &["scope"],
    "Number of NodePort allocations",
);
const PORT_ERRORS: Row = row(
    "kube_apiserver_nodeport_allocator_allocation_errors_total",
    Kind::Counter,
    "ALPHA",
    &["scope"],
    "Number of errors trying to allocate NodePort",
);
const REQUESTED: Row = row(
    "apiserver_certificates_registry_csr_requested_duration_total",
    Kind::Counter,
    "ALPHA",
    &["signerName"],
    "Total number of issued CSRs with a requested duration, sliced by signer (only kubernetes.io signer names are specifically identified)",
);
const HONORED: Row = row(
    "apiserver_certificates_registry_csr_honored_duration_total",
    Kind::Counter,
    "ALPHA",
    &["signerName"],
    "Total number of issued CSRs with a requested duration that was honored, sliced by signer (only kubernetes.io signer names are specifically identified)",
);
const UNDECODABLE: Row = row(
    "apiserver_storage_decode_errors_total",
    Kind::Counter,
    "ALPHA",
    &["group", "resource"],
    "Number of stored object decode errors split by object type",
);

/// All families that only stand here.
pub const ROWS: &[&Row] = &[
    &ADDRESSES_USED,
    &ADDRESSES_FREE,
    &ADDRESSES,
    &ADDRESS_ERRORS,
    &PORTS_USED,
    &PORTS_FREE,
    &PORTS,
    &PORT_ERRORS,
    &REQUESTED,
    &HONORED,
    &UNDECODABLE,
];

// === impl Resources ===

impl Resources {
    pub fn write(&self, registry: &Registry, page: &mut Page) {
        self.addresses.write(page, &ADDRESSES);
        self.address_errors.write(page, &ADDRESS_ERRORS);
        self.ports.write(page, &PORTS);
        self.port_errors.write(page, &PORT_ERRORS);
        self.requested.write(page, &REQUESTED);
        self.honored.write(page, &HONORED);
        given_out(registry, page);
        page.add(&UNDECODABLE, |family| {
            for definition in registry.catalog.current().iter().filter(|d| d.row.stores()) {
                let count = definition.cache.undecodable();
                if count > 0 {
                    family.number(&[&*definition.row.group, &*definition.row.plural], count as f64);
                }
            }
        });
    }
}

fn given_out(registry: &Registry, page: &mut Page) {
    let ranges = addresses::usage(registry);
    page.add(&ADDRESSES_USED, |family| {
        ranges.iter().for_each(|range| family.number(&[&range.cidr], range.used as f64));
    });
    page.add(&ADDRESSES_FREE, |family| {
        ranges.iter().for_each(|range| family.number(&[&range.cidr], range.free as f64));
    });
    let (used, free) = ports::usage(registry);
    page.add(&PORTS_USED, |family| family.number(&[], used as f64));
    page.add(&PORTS_FREE, |family| family.number(&[], free as f64));
}

impl Tally for Resources {
    fn address(&self, range: &str, wish: Wish, is_taken: bool) {
        let cells = if is_taken { &self.addresses } else { &self.address_errors };
        cells.get([range, wish.word()], Counter::default).add(1);
    }

    fn address_took(&self, range: &str, took: Duration) {
        self.address_seconds.get([range], || Histogram::new(&rows::SPAN_SECONDS)).observe(took.as_secs_f64());
    }

    fn node_port(&self, wish: Wish, is_taken: bool) {
        let cells = if is_taken { &self.ports } else { &self.port_errors };
        cells.get([wish.word()], Counter::default).add(1);
    }

    fn log(&self, unverified: bool) {
        let usage = if unverified { "skip_tls_allowed" } else { "enforce_tls" };
        self.logs.get([usage], Counter::default).add(1);
    }

    fn certificate(&self, signer: &str, is_as_long: bool) {
        self.requested.get([signer], Counter::default).add(1);
        if is_as_long {
            self.honored.get([signer], Counter::default).add(1);
        }
    }
}
