//! apps: deployments and what they are made of, daemon sets, stateful sets, revisions.
//!
//! Upstream: pkg/apis/apps, pkg/registry/apps.

mod controllerrevision;
mod daemonset;
mod deployment;
mod replicaset;
mod statefulset;
#[cfg(test)]
mod tests;

use crate::row::{Row, ScaleSelector, Subresource, TypeDefault};

pub const ROWS: &[Row] = &[controllerrevision::ROW, daemonset::ROW, deployment::ROW, replicaset::ROW, statefulset::ROW];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.apps.v1.Deployment", run: deployment::default },
    TypeDefault { schema: "io.k8s.api.apps.v1.ReplicaSet", run: replicaset::default },
    TypeDefault { schema: "io.k8s.api.apps.v1.DaemonSet", run: daemonset::default },
    TypeDefault { schema: "io.k8s.api.apps.v1.StatefulSet", run: statefulset::default },
];

const GROUP: &str = "apps";

const SCALE: Subresource = Subresource::Scale {
    replicas: &["spec", "replicas"],
    observed: &["status", "replicas"],
    selector: ScaleSelector::Label(&["spec", "selector"]),
};
