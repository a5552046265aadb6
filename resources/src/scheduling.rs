//! scheduling.k8s.io: how important pods are, and which belong together.

mod group;
mod priority_class;

use crate::row::{Row, TypeDefault};

pub const ROWS: &[Row] = &[priority_class::ROW, group::POD_GROUP, group::WORKLOAD, group::COMPOSITE_POD_GROUP];

pub const DEFAULTS: &[TypeDefault] =
    &[TypeDefault { schema: "io.k8s.api.scheduling.v1.PriorityClass", run: priority_class::default }];
