//! How long it takes to give out an address of a range. The text names a kind, which the server itself knows none of.
//!
//! Upstream: pkg/registry/core/service/ipallocator/metrics.go.

use std::sync::Arc;

use server::metrics::{Kind, Page, Resources, Row};

const SECONDS: Row = Row {
    name: "kube_apiserver_clusterip_allocator_allocation_duration_seconds",
    kind: Kind::Histogram,
    stability: "ALPHA",
    labels: &["cidr"],
    help: "Duration in seconds to allocate a Cluster IP by ServiceCIDR",
};

/// All families that are counted here.
#[cfg(test)]
pub const ROWS: &[&Row] = &[&SECONDS];

pub fn seconds(counted: Arc<Resources>) -> impl Fn(&mut Page) + Send + Sync {
    move |page| counted.address_seconds.write(page, &SECONDS)
}
