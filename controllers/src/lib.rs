//! Controllers: what keeps the cluster as its objects say it should be.
//!
//! Each is a file with a [`driver::Spec`]: what wakes it, and what it would do. [`driver`] does the rest. They meet in the
//! API alone; none knows another.

mod claims;
mod cluster_role_aggregation;
mod conditions;
mod cronjobs;
mod daemonsets;
mod deployments;
mod disruption;
pub mod driver;
mod endpoints;
mod endpointslices;
mod endpointslices_mirrored;
mod ephemeral_volumes;
mod garbage_collector;
mod hash;
mod jobs;
mod namespaces;
mod node_ipam;
mod node_lifecycle;
mod pod_gc;
mod pods;
mod replicas;
mod replicasets;
mod replicationcontrollers;
mod resource_quotas;
mod revisions;
mod root_ca;
mod service_accounts;
mod service_cidrs;
mod services;
mod statefulsets;
mod taint_eviction;
mod ttl_after_finished;
mod volume_claim_protection;
mod volume_protection;

pub use driver::{Parts, Settings, Spec, election, pool::Pool};
pub use node_ipam::ranges::{NodeBits, Range, ranges as pod_ranges};

/// All controllers.
///
/// The garbage collector comes last: it is content with the mirrors of whole objects that the others have begun.
pub const ALL: &[&Spec] = &[
    &namespaces::SPEC,
    &service_accounts::SPEC,
    &root_ca::SPEC,
    &endpoints::SPEC,
    &endpointslices::SPEC,
    &endpointslices_mirrored::SPEC,
    &resource_quotas::SPEC,
    &replicasets::SPEC,
    &replicationcontrollers::SPEC,
    &deployments::SPEC,
    &jobs::SPEC,
    &cronjobs::SPEC,
    &daemonsets::SPEC,
    &statefulsets::SPEC,
    &ttl_after_finished::SPEC,
    &volume_claim_protection::SPEC,
    &volume_protection::SPEC,
    &ephemeral_volumes::SPEC,
    &disruption::SPEC,
    &pod_gc::SPEC,
    &node_ipam::SPEC,
    &node_lifecycle::SPEC,
    &taint_eviction::SPEC,
    &service_cidrs::SPEC,
    &cluster_role_aggregation::SPEC,
    &garbage_collector::SPEC,
];

/// Labels by which controllers look objects up.
pub const LABELS: &[(&str, &str)] = &[("discovery.k8s.io/v1/endpointslices", "kubernetes.io/service-name")];

/// The identity as which all controllers read.
pub const READER: &str = "system:kube-controller-manager";

/// Which controllers run, given `--controllers`: names, `-name` for all but these, and `*`.
/// The error names what is no controller. Upstream: IsControllerEnabled, and its validation.
pub fn chosen(flags: &[String]) -> Result<Vec<&'static Spec>, String> {
    let means = |flag: &str, spec: &Spec| flag == spec.name || flag == spec.alias;
    for flag in flags {
        let name = flag.strip_prefix('-').unwrap_or(flag);
        if name != "*" && !ALL.iter().any(|spec| means(name, spec)) {
            return Err(format!("{name:?} is not in the list of known controllers"));
        }
    }
    let wanted = |spec: &Spec| {
        for flag in flags {
            match flag.strip_prefix('-') {
                Some(name) if means(name, spec) => return false,
                None if means(flag, spec) => return true,
                _ => {}
            }
        }
        flags.iter().any(|flag| flag == "*")
    };
    Ok(ALL.iter().copied().filter(|spec| wanted(spec)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(flags: &[&str]) -> Result<usize, String> {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        chosen(&flags).map(|specs| specs.len())
    }

    #[test]
    fn controllers_are_chosen_as_upstreams() {
        assert_eq!(names(&["*"]), Ok(ALL.len()));
        assert_eq!(names(&["*", "-namespace-controller"]), Ok(ALL.len() - 1));
        assert_eq!(names(&["*", "-namespace"]), Ok(ALL.len() - 1), "names of old are taken");
        assert_eq!(names(&["garbage-collector-controller"]), Ok(1));
        assert_eq!(names(&["-garbage-collector-controller"]), Ok(0));
        assert_eq!(names(&["-*"]), Ok(0));
        assert_eq!(names(&["nothing"]), Err("\"nothing\" is not in the list of known controllers".into()));
    }

    #[test]
    fn no_two_controllers_share_a_name() {
        let mut names: Vec<&str> = ALL.iter().flat_map(|spec| [spec.name, spec.alias]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len() * 2);
    }
}
