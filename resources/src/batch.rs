//! batch: jobs, and jobs by the clock.
//!
//! Upstream: pkg/apis/batch, pkg/registry/batch.

mod cronjobs;
mod jobs;
#[cfg(test)]
mod tests;

use api::Value;

use crate::row::{Row, TypeDefault};

pub const ROWS: &[Row] = &[cronjobs::ROW, jobs::ROW];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.batch.v1.Job", run: jobs::default },
    TypeDefault { schema: "io.k8s.api.batch.v1.CronJob", run: cronjobs::default },
    TypeDefault { schema: "io.k8s.api.batch.v1.PodFailurePolicyOnPodConditionsPattern", run: default_pattern },
];

const GROUP: &str = "batch";

/// Upstream: `SetDefaults_PodFailurePolicyOnPodConditionsPattern`.
fn default_pattern(pattern: &mut Value) {
    if pattern.str("status").is_empty() {
        pattern.set("status", "True");
    }
}
