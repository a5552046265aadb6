//! Controllers: what keeps the cluster as its objects say it should be.
//!
//! Each is a file with a [`driver::Spec`]: what wakes it, and what it would do. [`driver`] does the rest. They meet in the
//! API alone; none knows another.

mod autoscaler;
mod bootstrap_signer;
mod bootstrap_tokens;
mod claims;
mod cluster_role_aggregation;
mod conditions;
mod cronjobs;
mod csr;
mod csr_approving;
mod csr_cleaner;
mod csr_serving_approving;
mod csr_signing;
mod daemonsets;
mod deployments;
mod device_taint_eviction;
mod disruption;
pub mod driver;
mod endpoints;
mod endpointslices;
mod endpointslices_mirrored;
mod ephemeral_volumes;
mod garbage_collector;
mod hash;
mod jobs;
mod legacy_tokens;
mod namespaces;
mod node_ipam;
mod node_lifecycle;
mod node_ttl;
mod pod_certificate_cleaner;
mod pod_gc;
mod pods;
mod policy_status;
mod replicas;
mod replicasets;
mod replicationcontrollers;
mod resource_claims;
mod resource_quotas;
mod revisions;
mod root_ca;
mod secrets;
mod service_account_tokens;
mod service_accounts;
mod service_cidrs;
mod services;
mod statefulsets;
mod storage_versions;
mod taint_eviction;
mod token_cleaner;
mod trust_bundle;
mod ttl_after_finished;
mod volume_attachments;
mod volume_attributes_protection;
mod volume_binder;
mod volume_claim_protection;
mod volume_expander;
mod volume_protection;

/// The signers of certificate requests. Upstream: `--cluster-signing-*`.
pub fn signers() -> impl Iterator<Item = &'static str> {
    csr_signing::SIGNERS.iter().map(|(name, _)| *name)
}

pub use driver::{Autoscaling, Parts, SecretTokens, Settings, Spec, election, pool::Pool};
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
    &csr_approving::SPEC,
    &csr_serving_approving::SPEC,
    &csr_signing::SPEC,
    &csr_cleaner::SPEC,
    &pod_certificate_cleaner::SPEC,
    &service_account_tokens::SPEC,
    &legacy_tokens::SPEC,
    &bootstrap_signer::SPEC,
    &token_cleaner::SPEC,
    &volume_binder::SPEC,
    &node_ttl::SPEC,
    &volume_attributes_protection::SPEC,
    &trust_bundle::SPEC,
    &volume_expander::SPEC,
    &volume_attachments::SPEC,
    &autoscaler::SPEC,
    &policy_status::SPEC,
    &resource_claims::SPEC,
    &device_taint_eviction::SPEC,
    &storage_versions::SPEC,
    &garbage_collector::SPEC,
];

/// Controllers that run only when they are named. Upstream: isDisabledByDefault.
pub const NAMED_ONLY: &[&Spec] = &[&bootstrap_signer::SPEC, &token_cleaner::SPEC, &csr_serving_approving::SPEC];

/// Who approves nodes' serving certificates, which no controller of upstream's does. The account whose rights it has is
/// called so too.
pub const SERVING_APPROVER: &str = csr_serving_approving::SPEC.name;

/// Labels by which controllers look objects up.
pub const LABELS: &[(&str, &str)] = &[("discovery.k8s.io/v1/endpointslices", "kubernetes.io/service-name")];

/// The identity as which all controllers read.
pub const READER: &str = "system:kube-controller-manager";

/// Which controllers run, given `--controllers`: names, `-name` for all but these, and `*`.
/// The error names what is no controller. Upstream: IsControllerEnabled, and its validation.
pub fn chosen(flags: &[String]) -> Result<Vec<&'static Spec>, String> {
    let means = |flag: &str, spec: &Spec| flag == spec.name || (flag == spec.alias && !flag.is_empty());
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
        flags.iter().any(|flag| flag == "*") && !NAMED_ONLY.iter().any(|named| named.name == spec.name)
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
        let all = ALL.len() - NAMED_ONLY.len();
        assert_eq!(names(&["*"]), Ok(all));
        assert_eq!(names(&["*", "-namespace-controller"]), Ok(all - 1));
        assert_eq!(names(&["*", "-namespace"]), Ok(all - 1), "names of old are taken");
        assert_eq!(names(&["*", "bootstrap-signer-controller"]), Ok(all + 1), "some run only when they are named");
        assert_eq!(names(&[""]), Err("\"\" is not in the list of known controllers".into()));
        assert_eq!(names(&["garbage-collector-controller"]), Ok(1));
        assert_eq!(names(&["-garbage-collector-controller"]), Ok(0));
        assert_eq!(names(&["-*"]), Ok(0));
        assert_eq!(names(&["nothing"]), Err("\"nothing\" is not in the list of known controllers".into()));
    }

    #[test]
    fn no_two_controllers_share_a_name() {
        let names = || ALL.iter().flat_map(|spec| [spec.name, spec.alias]).filter(|name| !name.is_empty());
        let distinct: std::collections::BTreeSet<&str> = names().collect();
        assert_eq!(distinct.len(), names().count());
    }
}
