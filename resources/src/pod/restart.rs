//! When a single container is started again, apart from its pod's policy; and how it takes a resize.
//!
//! Upstream: `validateContainerRestartPolicy`, `validateResizePolicy`, pkg/api/v1/pod/util.go `ContainerShouldRestart`.

use api::{
    Value,
    field::{Errors, Path},
};

use crate::checks::one_of;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;

/// Upstream: `validateContainerRestartPolicy`, and `validateInitContainerRestartPolicy`, which comes to the same.
pub fn policy(container: &Value, at: &Path, errs: &mut Errors) {
    let (policy, rules) = (container.opt_str("restartPolicy"), container.list("restartPolicyRules"));
    let at_policy = at.child("restartPolicy");
    match policy {
        None if rules.is_empty() => return,
        None => errs.required(&at_policy, "must specify restartPolicy when restart rules are used"),
        Some(policy) => one_of(errs, &at_policy, policy, &["Always", "Never", "OnFailure"]),
    }
    let at = at.child("restartPolicyRules");
    if rules.len() > RULES_MAX {
        errs.too_many(&at, rules.len(), RULES_MAX);
    }
    for (i, rule) in rules.iter().enumerate() {
        self::rule(rule, &at.index(i), errs);
    }
}

/// As [`policy`] for an init container, for which rules without a policy are all that is wrong then.
pub fn init_policy(container: &Value, at: &Path, errs: &mut Errors) {
    if container.has("restartPolicy") {
        policy(container, at, errs);
    } else if !container.list("restartPolicyRules").is_empty() {
        errs.required(&at.child("restartPolicy"), "must specify restartPolicy when restart rules are used");
    }
}

fn rule(rule: &Value, at: &Path, errs: &mut Errors) {
    one_of(errs, &at.child("action"), rule.str("action"), &["Restart", "RestartAllContainers"]);
    let (codes, at) = (rule.at("exitCodes"), at.child("exitCodes"));
    if codes.is_null() {
        return errs.required(&at, "must be specified");
    }
    one_of(errs, &at.child("operator"), codes.str("operator"), &["In", "NotIn"]);
    let count = codes.list("values").len();
    if count > EXIT_CODES_MAX {
        errs.too_many(&at.child("values"), count, EXIT_CODES_MAX);
    }
}

/// Upstream: `validateResizePolicy`.
pub fn resize_policy(policies: &[Value], pod_policy: &str, at: &Path, errs: &mut Errors) {
    for (i, policy) in policies.iter().enumerate() {
        let (resource, restart) = (policy.str("resourceName"), policy.str("restartPolicy"));
        if policies[..i].iter().any(|p| p.str("resourceName") == resource) {
            errs.duplicate(&at.index(i), resource);
        }
        match resource {
            "" => errs.required(at, ""),
            _ => one_of(errs, at, resource, &["cpu", "memory"]),
        }
        match restart {
            "" => errs.required(at, ""),
            _ => one_of(errs, at, restart, &["NotRequired", "RestartContainer"]),
        }
        if pod_policy == "Never" && restart != "NotRequired" {
            errs.invalid(at, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

/// Whether an exit with this code is followed by another start. Upstream: `ContainerShouldRestart`.
pub fn restarts(container: &Value, spec: &Value, exit_code: i64) -> bool {
    let own = container.opt_str("restartPolicy");
    if own.is_some()
        && container.list("restartPolicyRules").iter().find(|r| matches(r, exit_code)).is_some_and(is_restart)
    {
        return true;
    }
    let policy = own.filter(|p| matches!(*p, "Always" | "OnFailure" | "Never"));
    match policy.unwrap_or_else(|| spec.str("restartPolicy")) {
        "OnFailure" => exit_code != 0,
        "Never" => false,
        _ => true,
    }
}

/// Whether some exit makes all containers start again. Upstream: `AllContainersCouldRestart`.
pub fn all_could_restart(spec: &Value) -> bool {
    let containers = spec.list("initContainers").iter().chain(spec.list("containers"));
    containers.flat_map(|c| c.list("restartPolicyRules")).any(|r| r.str("action") == "RestartAllContainers")
}

fn matches(rule: &Value, exit_code: i64) -> bool {
    let codes = rule.at("exitCodes");
    let listed = codes.list("values").iter().any(|c| c.as_int() == Some(exit_code));
    match codes.str("operator") {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

fn is_restart(rule: &Value) -> bool {
    matches!(rule.str("action"), "Restart" | "RestartAllContainers")
}
