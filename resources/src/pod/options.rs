//! What a validation lets pass because the old object already had it.
//!
//! Upstream: `PodValidationOptions`, `GetValidationOptionsFromPodSpecAndMeta`. Options that only follow a feature that is
//! on or off by default are no options here: the rules are written for the defaults.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{affinity, every_container, is_sidecar, resources, security, spread, volume};

/// All false for a new object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// It is a Pod, not a template.
    pub is_pod: bool,
    pub invalid_deletion_cost: bool,
    pub invalid_selector_values: bool,
    pub invalid_node_affinity_values: bool,
    pub indivisible_huge_pages: bool,
    pub invalid_spread_selectors: bool,
    /// `matchLabelKeys` of topology spread constraints were wrong by the rule in force.
    pub invalid_match_label_keys: bool,
    pub nonlocal_token_paths: bool,
    /// Namespaced sysctls together with the host's namespaces.
    pub host_sysctls: bool,
    /// `RestartContainer` for init containers that are no sidecars.
    pub init_restart_container: bool,
    /// Volume devices in a user namespace.
    pub user_namespace_devices: bool,
    /// The host's network in a user namespace: a feature that is off.
    pub user_namespace_host_network: bool,
    /// `Lt` and `Gt` in tolerations: a feature that is off.
    pub comparing_tolerations: bool,
    pub empty_image_references: bool,
    pub sys_admin_without_escalation: bool,
}

impl Options {
    /// For a pod; `old` of an update.
    pub fn of_pod(old: Option<&Value>) -> Options {
        Options { is_pod: true, ..Options::of_template(old) }
    }

    /// For a template (or pod), by what the old one had. Upstream: `GetValidationOptionsFromPodTemplate`.
    pub fn of_template(old: Option<&Value>) -> Options {
        let Some(old) = old.filter(|old| !old.is_null()) else { return Options::default() };
        let mut options = Options::of_spec(old.at("spec"));
        options.invalid_deletion_cost = !deletion_cost_is_valid(old.at_path(&["metadata", "annotations"]));
        options
    }

    fn of_spec(old: &Value) -> Options {
        let user_namespace = old.opt_bool("hostUsers") == Some(false);
        Options {
            is_pod: false,
            invalid_deletion_cost: false,
            invalid_selector_values: affinity::has_invalid_selector(old),
            invalid_node_affinity_values: affinity::has_invalid_node_values(old),
            indivisible_huge_pages: resources::has_indivisible_huge_pages(old),
            invalid_spread_selectors: spread::has_invalid_selector(old),
            invalid_match_label_keys: spread::has_invalid_keys(old),
            nonlocal_token_paths: has_nonlocal_token_path(old),
            host_sysctls: has_host_sysctls(old),
            init_restart_container: restarts_init_container(old),
            user_namespace_devices: user_namespace && every_container(old).any(|c| !c.list("volumeDevices").is_empty()),
            user_namespace_host_network: user_namespace && old.bool("hostNetwork"),
            comparing_tolerations: old.list("tolerations").iter().any(|t| matches!(t.str("operator"), "Lt" | "Gt")),
            empty_image_references: old
                .list("volumes")
                .iter()
                .any(|v| v.has("image") && v.at("image").str("reference").is_empty()),
            sys_admin_without_escalation: every_container(old).any(has_sys_admin_without_escalation),
        }
    }
}

/// Whether `controller.kubernetes.io/pod-deletion-cost` is missing or a 32-bit number as Go reads it, without `+` and
/// leading zeros. Upstream: `GetDeletionCostFromPodAnnotations`.
pub fn deletion_cost_is_valid(annotations: &Value) -> bool {
    let Some(text) = annotations.opt_str(DELETION_COST) else { return true };
    let starts_well = text == "0" || text.starts_with(|c: char| c == '-' || ('1'..='9').contains(&c));
    starts_well && text.parse::<i32>().is_ok()
}

/// The annotation that orders which pods of a set go first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

fn has_nonlocal_token_path(spec: &Value) -> bool {
    let sources = spec.list("volumes").iter().flat_map(|v| v.at("projected").list("sources"));
    sources.filter(|s| s.has("serviceAccountToken")).any(|source| {
        let mut errs = Errors::new();
        volume::local_path(source.at("serviceAccountToken").str("path"), &Path::root(), &mut errs);
        !errs.is_empty()
    })
}

fn has_host_sysctls(spec: &Value) -> bool {
    let sysctls = spec.at("securityContext").list("sysctls");
    sysctls.iter().any(|s| security::host_sysctl(s.str("name"), spec).is_some())
}

fn restarts_init_container(spec: &Value) -> bool {
    let plain = spec.list("initContainers").iter().filter(|c| !is_sidecar(c));
    plain.flat_map(|c| c.list("resizePolicy")).any(|p| p.str("restartPolicy") == "RestartContainer")
}

/// Upstream counts a container without `allowPrivilegeEscalation` in, too.
fn has_sys_admin_without_escalation(container: &Value) -> bool {
    let context = container.at("securityContext");
    let added = context.at("capabilities").list("add");
    !context.bool("allowPrivilegeEscalation") && added.iter().any(|c| c.as_str() == Some("CAP_SYS_ADMIN"))
}

/// Whether a label's value is wrong.
pub fn is_invalid_label_value(value: &Value) -> bool {
    !names::label_value(value.as_str().unwrap_or("")).is_empty()
}
