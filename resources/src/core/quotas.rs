//! ResourceQuotas. Upstream: `ValidateResourceQuota*`, pkg/registry/core/resourcequota.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
    quantity::Quantity,
};

use crate::{
    checks,
    pod::resources::{amount, is_huge_pages, quantity, resource_name, round_up},
    row::{AGE, Context, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column},
    strategy::{drop_status, keep_spec, keep_status, stored},
};

/// What the quota system knows by itself.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const COMPUTE: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

pub const QUOTA: Row = Row {
    kind: "ResourceQuota",
    name_on_update: false,
    plural: "resourcequotas",
    short_names: &["quota"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.ResourceQuota")],
    stored: stored("", "v1", "resourcequotas"),
    subresources: &[Subresource::Status(StatusRules {
        prepare: keep_spec,
        validate: validate_status,
        ..StatusRules::STATUS
    })],
    reset: &["status"],
    columns: &[
        NAME,
        column("Request", "string", |o, _| used(o, false).into()),
        column("Limit", "string", |o, _| used(o, true).into()),
        AGE,
    ],
    rules: Rules {
        prepare_create: drop_status,
        prepare_update: keep_status,
        validate,
        validate_update,
        warn: |new, old| if old.is_none() { warn(new) } else { Vec::new() },
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

pub const DEFAULT_SPEC: TypeDefault =
    TypeDefault { schema: "io.k8s.api.core.v1.ResourceQuotaSpec", run: |spec| round(spec, &["hard"]) };
pub const DEFAULT_STATUS: TypeDefault =
    TypeDefault { schema: "io.k8s.api.core.v1.ResourceQuotaStatus", run: |status| round(status, &["hard", "used"]) };

/// Rounds the amounts of these members up to thousandths. Upstream: `SetDefaults_ResourceList`.
pub fn round(object: &mut Value, members: &[&str]) {
    for member in members {
        if let Some(list) = object.get_mut(member) {
            round_up(list);
        }
    }
}

/// `cpu: 1/2, pods: 3/10`: what is used of what may be, of limits or of the rest.
fn used(quota: &Value, limits: bool) -> String {
    let (hard, used) = (quota.at_path(&["status", "hard"]), quota.at_path(&["status", "used"]));
    let names: BTreeSet<&str> = hard.members().map(|(name, _)| name).collect();
    let wanted = names.into_iter().filter(|name| name.starts_with("limits.") == limits);
    let texts: Vec<String> =
        wanted.map(|name| format!("{name}: {}/{}", Quantity::of(used.at(name)), Quantity::of(hard.at(name)))).collect();
    texts.join(", ")
}

fn validate(quota: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    validate_spec(quota.at("spec"), &mut errs);
    let status = Path::new("status");
    amounts(quota.at_path(&["status", "hard"]), &status.child("hard"), &mut errs);
    amounts(quota.at_path(&["status", "used"]), &status.child("used"), &mut errs);
    errs
}

fn validate_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    validate_spec(new.at("spec"), &mut errs);
    let set = |quota: &Value| -> BTreeSet<String> {
        quota.at("spec").list("scopes").iter().filter_map(Value::as_str).map(String::from).collect()
    };
    if set(new) != set(old) {
        let at = Path::new("spec").child("scopes");
        errs.invalid(&at, new.at_path(&["spec", "scopes"]), checks::IMMUTABLE);
    }
    errs
}

fn validate_status(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    if api::meta::of(new).resource_version().is_empty() {
        errs.required(&Path::new("resourceVersion"), "");
    }
    for list in ["hard", "used"] {
        amounts(new.at("status").at(list), &Path::new("status").child(list), &mut errs);
    }
    errs
}

fn validate_spec(spec: &Value, errs: &mut Errors) {
    let at = Path::new("spec");
    amounts(spec.at("hard"), &at.child("hard"), errs);
    validate_scopes(spec, &at.child("scopes"), errs);
    if spec.has("scopeSelector") {
        validate_selector(spec, &at.child("scopeSelector").child("matchExpressions"), errs);
    }
}

fn amounts(list: &Value, at: &Path, errs: &mut Errors) {
    for (name, value) in list.members() {
        let at = at.key(name);
        resource_name(name, &at, errs);
        if !name.contains('/') && !is_standard(name) {
            errs.invalid(&at, name, "must be a standard resource for quota");
        }
        quantity(name, &amount(value), &at, errs);
    }
}

/// Upstream: `IsStandardQuotaResourceName`.
fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_huge_pages(name) || name.starts_with("requests.hugepages-")
}

fn is_scope(scope: &str) -> bool {
    matches!(
        scope,
        "Terminating"
            | "NotTerminating"
            | "BestEffort"
            | "NotBestEffort"
            | "PriorityClass"
            | "VolumeAttributesClass"
            | "CrossNamespacePodAffinity"
    )
}

/// Upstream: `IsResourceQuotaScopeValidForResource`.
fn scope_fits(scope: &str, resource: &str) -> bool {
    match scope {
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            resource == "pods" || COMPUTE.contains(&resource)
        }
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

/// The standard resources of the spec that a scope does not fit.
fn misfits(spec: &Value, scope: &str) -> usize {
    spec.at("hard").members().filter(|(name, _)| is_standard(name) && !scope_fits(scope, name)).count()
}

fn conflicts(scopes: &[&str]) -> usize {
    let pairs = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];
    pairs.iter().filter(|(a, b)| scopes.contains(a) && scopes.contains(b)).count()
}

fn validate_scopes(spec: &Value, at: &Path, errs: &mut Errors) {
    let shown = spec.at("scopes");
    let scopes: Vec<&str> = spec.list("scopes").iter().filter_map(Value::as_str).collect();
    for scope in &scopes {
        if !is_scope(scope) {
            errs.invalid(at, shown, "unsupported scope");
        }
        for _ in 0..misfits(spec, scope) {
            errs.invalid(at, shown, "unsupported scope applied to resource");
        }
    }
    for _ in 0..conflicts(&scopes) {
        errs.invalid(at, shown, "conflicting scopes");
    }
}

fn validate_selector(spec: &Value, at: &Path, errs: &mut Errors) {
    let requirements = spec.at("scopeSelector").list("matchExpressions");
    for requirement in requirements {
        let scope = requirement.str("scopeName");
        if !is_scope(scope) {
            errs.invalid(&at.child("scopeName"), scope, "unsupported scope");
        }
        for _ in 0..misfits(spec, scope) {
            errs.invalid(at, internal_selector(spec.at("scopeSelector")), "unsupported scope applied to resource");
        }
        validate_requirement(requirement, at, errs);
    }
    let scopes: Vec<&str> = requirements.iter().map(|r| r.str("scopeName")).collect();
    for _ in 0..conflicts(&scopes) {
        errs.invalid(at, spec.at("scopes"), "conflicting scopes");
    }
}

fn validate_requirement(requirement: &Value, at: &Path, errs: &mut Errors) {
    let (scope, operator) = (requirement.str("scopeName"), requirement.str("operator"));
    let values = requirement.list("values");
    if !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && is_scope(scope) && operator != "Exists" {
        let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        errs.invalid(&at.child("operator"), operator, detail);
    }
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errs.required(&at.child("values"), detail);
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errs.invalid(&at.child("values"), requirement.at("values"), detail);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => errs.invalid(&at.child("operator"), operator, "not a valid selector operator"),
    }
}

/// As Go prints its internal type.
fn internal_selector(selector: &Value) -> Value {
    let requirement = |r: &Value| api::value!({"ScopeName": (r.str("scopeName")), "Operator": (r.str("operator")), "Values": (r.at("values"))});
    let all: Value = selector.list("matchExpressions").iter().map(requirement).collect();
    api::value!({"MatchExpressions": all})
}

/// Requests above limits. Upstream: `WarningsOnCreate`.
fn warn(quota: &Value) -> Vec<String> {
    let hard = quota.at_path(&["spec", "hard"]);
    let mut warnings = Vec::new();
    for resource in ["cpu", "memory", "storage", "ephemeral-storage"] {
        let (mut name, limit) = (format!("requests.{resource}"), format!("limits.{resource}"));
        if !hard.has(&name) && matches!(resource, "cpu" | "memory") {
            name = resource.into();
        }
        if let (Some(asked), Some(allowed)) = (hard.get(&name).map(amount), hard.get(&limit).map(amount))
            && asked > allowed
        {
            warnings.push(format!("ResourceQuota {name} ({asked}) should be less than {limit} ({allowed})"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    fn of(spec: Value) -> Vec<String> {
        texts(&validate(&value!({"spec": spec}), &context()))
    }

    #[test]
    fn names_and_amounts() {
        assert!(of(value!({"hard": {"cpu": "1", "requests.nvidia.com/gpu": "1", "count/pods": "3"}})).is_empty());
        assert_eq!(
            of(value!({"hard": {"pods": "1500m", "storage": "-1"}})),
            [
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
                "spec.hard[storage]: Invalid value: \"storage\": must be a standard resource for quota",
                "spec.hard[storage]: Invalid value: \"-1\": must be greater than or equal to 0",
            ]
        );
    }

    #[test]
    fn scopes_fit_their_resources() {
        assert!(of(value!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]})).is_empty());
        assert_eq!(
            of(value!({"hard": {"cpu": "1"}, "scopes": ["BestEffort", "NotBestEffort", "X"]})),
            [
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"X\"]: unsupported scope applied to resource",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"X\"]: unsupported scope",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"X\"]: conflicting scopes",
            ]
        );
    }

    #[test]
    fn selectors_have_operators() {
        let spec = value!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "BestEffort", "operator": "In", "values": ["a"]},
            {"scopeName": "PriorityClass", "operator": "In"}
        ]}});
        let errs = of(spec);
        assert_eq!(errs.len(), 2);
        assert!(
            errs[0]
                .starts_with("spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists'")
        );
        assert!(errs[1].starts_with("spec.scopeSelector.matchExpressions.values: Required value"));
    }

    #[test]
    fn a_table_tells_limits_apart() {
        let quota = value!({"status": {"hard": {"pods": "10", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "3"}}});
        assert_eq!(used(&quota, false), "cpu: 0/1, pods: 3/10");
        assert_eq!(used(&quota, true), "limits.cpu: 0/2");
    }

    #[test]
    fn requests_above_limits_warn() {
        let quota = value!({"spec": {"hard": {"cpu": "2", "limits.cpu": "1"}}});
        assert_eq!(warn(&quota), ["ResourceQuota cpu (2) should be less than limits.cpu (1)"]);
    }
}
