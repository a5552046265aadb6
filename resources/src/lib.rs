//! What exists: a module per API group with its rows and the rules that are not facts.
//!
//! [`row::Row`] is the page to read first. Adding a resource is one row in its group's module; a group that is new is
//! one line in `mod` and one in [`GROUPS`].

pub mod addresses;
pub mod cells;
pub mod checks;
pub mod meta;
pub mod names;
pub mod node_labels;
pub mod pod;
pub mod retired;
pub mod row;
pub mod strategy;
#[cfg(test)]
mod testing;
pub mod webhook;
pub mod workload;

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apiserverinternal;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod coordination;
pub mod core;
pub mod discovery;
pub mod events;
pub mod flowcontrol;
pub mod lifecycle;
pub mod networking;
pub mod node;
pub mod policy;
pub mod rbac;
pub mod resource_k8s;
pub mod scheduling;
pub mod storage;
pub mod storagemigration;

pub use row::{Row, TypeDefault};

/// Rows and type defaults, a line per API group.
const GROUPS: &[(&[Row], &[TypeDefault])] = &[
    (admissionregistration::ROWS, admissionregistration::DEFAULTS),
    (apiextensions::ROWS, apiextensions::DEFAULTS),
    (apiregistration::ROWS, apiregistration::DEFAULTS),
    (apiserverinternal::ROWS, apiserverinternal::DEFAULTS),
    (apps::ROWS, apps::DEFAULTS),
    (authentication::ROWS, authentication::DEFAULTS),
    (authorization::ROWS, authorization::DEFAULTS),
    (autoscaling::ROWS, autoscaling::DEFAULTS),
    (batch::ROWS, batch::DEFAULTS),
    (certificates::ROWS, certificates::DEFAULTS),
    (coordination::ROWS, coordination::DEFAULTS),
    (core::ROWS, core::DEFAULTS),
    (events::ROWS, events::DEFAULTS),
    (discovery::ROWS, discovery::DEFAULTS),
    (flowcontrol::ROWS, flowcontrol::DEFAULTS),
    (lifecycle::ROWS, lifecycle::DEFAULTS),
    (networking::ROWS, networking::DEFAULTS),
    (node::ROWS, node::DEFAULTS),
    (&[], pod::DEFAULTS),
    (policy::ROWS, policy::DEFAULTS),
    (rbac::ROWS, rbac::DEFAULTS),
    (resource_k8s::ROWS, resource_k8s::DEFAULTS),
    (scheduling::ROWS, scheduling::DEFAULTS),
    (storage::ROWS, storage::DEFAULTS),
    (storagemigration::ROWS, storagemigration::DEFAULTS),
];

/// Every built-in resource.
pub fn all() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|(rows, _)| rows.iter())
}

/// What missing members become, for every type that has a say.
pub fn defaults() -> impl Iterator<Item = &'static TypeDefault> {
    GROUPS.iter().flat_map(|(_, defaults)| defaults.iter())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Row, all, row::Subresource};

    /// As upstream's OpenAPI of v1.37 has them: a proxy stands there once by itself and once with a path behind it.
    #[test]
    fn nothing_that_is_served_gets_lost() {
        let versions = || all().flat_map(|row| row.versions.iter().map(move |version| (row, version)));
        let groups: BTreeSet<_> = versions().map(|(row, version)| (row.group, version.name)).collect();
        let resources: BTreeSet<_> = all().map(|row| (row.group, row.plural)).collect();
        let below = |row: &Row| {
            let paths = row.subresources.iter().map(|one| match one {
                Subresource::Connect { with_path: true, .. } => 2,
                _ => 1,
            });
            paths.sum::<usize>()
        };
        let subresources: usize = versions().map(|(row, _)| below(row)).sum();
        assert_eq!((groups.len(), resources.len(), versions().count(), subresources), (36, 79, 100, 65));
        assert_eq!(all().count(), resources.len(), "each stands once");
    }
}
