//! networking.k8s.io: ingresses and their classes, network policies, the addresses of services.
//!
//! Upstream: pkg/apis/networking, pkg/registry/networking.

mod addresses;
mod ingress_class;
mod ingresses;
mod policies;
#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::{
    checks,
    row::{Row, TypeDefault},
};

const GROUP: &str = "networking.k8s.io";

pub const ROWS: &[Row] =
    &[ingress_class::ROW, ingresses::ROW, addresses::IP_ADDRESS, policies::ROW, addresses::SERVICE_CIDR];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.networking.v1.IngressClass", run: ingress_class::default },
    TypeDefault { schema: "io.k8s.api.networking.v1.NetworkPolicy", run: policies::default },
    TypeDefault { schema: "io.k8s.api.networking.v1.NetworkPolicyPort", run: policies::default_port },
];

/// Group, kind and name of an object that something refers to.
fn reference(reference: &Value, at: &Path, errs: &mut Errors) {
    if let Some(group) = reference.opt_str("apiGroup") {
        checks::messages(errs, &at.child("apiGroup"), group, names::dns1123_subdomain(group));
    }
    for member in ["kind", "name"] {
        segment(reference, member, at, errs);
    }
}

/// A member that has to be there and can stand in a path.
fn segment(of: &Value, member: &str, at: &Path, errs: &mut Errors) {
    match of.str(member) {
        "" => errs.required(&at.child(member), ""),
        text => checks::messages(errs, &at.child(member), text, names::is_valid_path_segment_name(text)),
    }
}
