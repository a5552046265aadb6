//! The core group: what everything else is made of.
//!
//! Upstream: pkg/apis/core/validation, pkg/registry/core, pkg/printers/internalversion.

pub mod config;
pub mod endpoints;
pub mod events;
pub mod limit_ranges;
pub mod namespaces;
mod node_config;
pub mod nodes;
pub mod pod_templates;
pub mod pods;
pub mod quotas;
pub mod replication_controllers;
pub mod secrets;
pub mod service_accounts;
pub mod services;
pub mod special;
pub mod volume_claims;
pub mod volumes;

use crate::row::{Row, TypeDefault};

pub const ROWS: &[Row] = &[
    special::BINDING,
    special::COMPONENT_STATUS,
    config::CONFIG_MAP,
    endpoints::ENDPOINTS,
    events::EVENT,
    limit_ranges::LIMIT_RANGE,
    namespaces::NAMESPACE,
    nodes::NODE,
    volume_claims::CLAIM,
    volumes::VOLUME,
    pods::POD,
    pod_templates::POD_TEMPLATE,
    replication_controllers::CONTROLLER,
    quotas::QUOTA,
    secrets::SECRET,
    service_accounts::SERVICE_ACCOUNT,
    services::SERVICE,
];

/// What missing members become; those of pods and their parts stand in `pod`.
pub const DEFAULTS: &[TypeDefault] = &[
    endpoints::DEFAULT,
    limit_ranges::DEFAULT,
    namespaces::DEFAULT,
    namespaces::DEFAULT_STATUS,
    nodes::DEFAULT_SPEC,
    nodes::DEFAULT_STATUS,
    volume_claims::DEFAULT,
    volume_claims::DEFAULT_STATUS,
    volumes::DEFAULT,
    replication_controllers::DEFAULT,
    quotas::DEFAULT_SPEC,
    quotas::DEFAULT_STATUS,
    secrets::DEFAULT,
    services::DEFAULT,
];
