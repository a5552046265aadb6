//! policy: how many pods may be gone. Evictions stand with the pods.
//!
//! Upstream: pkg/apis/policy/validation/validation.go, pkg/registry/policy/poddisruptionbudget/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
    intstr, value,
};

use crate::{
    checks::{self, SelectorOptions},
    names,
    row::{AGE, Context, Generation, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column},
    strategy::{keep_status, stored},
    workload,
};

const GROUP: &str = "policy";
/// What policy/v1beta1 wrote into a selector to say what an empty one meant there.
const OLD_LABEL: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

pub const ROWS: &[Row] = &[BUDGET];
pub const DEFAULTS: &[TypeDefault] = &[];

const BUDGET: Row = Row {
    group: GROUP,
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    short_names: &["pdb"],
    versions: &[Version::stable("v1", "io.k8s.api.policy.v1.PodDisruptionBudget")],
    stored: stored(GROUP, "v1", "poddisruptionbudgets"),
    subresources: &[Subresource::Status(STATUS)],
    generation: Generation::WhenChanged(&["spec"]),
    unconditional_update: false,
    // Upstream's validation leaves the name to the generic check.
    name_rule: names::path_segment,
    reset: &["status"],
    columns: &[
        NAME,
        column("Min Available", "string", |o, _| count(o.at("spec").at("minAvailable")).into()),
        column("Max Unavailable", "string", |o, _| count(o.at("spec").at("maxUnavailable")).into()),
        column("Allowed Disruptions", "integer", |o, _| o.at("status").int("disruptionsAllowed").into()),
        AGE,
    ],
    rules: Rules {
        prepare_create,
        prepare_update,
        validate: |new, _| validate(new, None),
        validate_update: |new, old, _| validate(new, Some(old)),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const STATUS: StatusRules =
    StatusRules { validate: |new, _, _| validate_status(new.at("status")), ..StatusRules::STATUS_AND_METADATA };

fn count(value: &Value) -> String {
    if value.is_null() { "N/A".into() } else { intstr::text(value) }
}

fn prepare_create(new: &mut Value, _context: &Context<'_>) {
    new.remove("status");
    drop_old_label(new, None);
}

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_status(new, old, context);
    drop_old_label(new, Some(old));
}

/// Upstream: `dropDisabledFields`, `StripPDBV1beta1Label`.
fn drop_old_label(new: &mut Value, old: Option<&Value>) {
    let selector = new.at_path(&["spec", "selector"]);
    if old.is_some_and(|old| checks::same(selector, old.at_path(&["spec", "selector"]))) {
        return;
    }
    let matches_none = value!({"matchExpressions": [{"key": OLD_LABEL, "operator": "Exists"}]});
    if checks::same(selector, &matches_none) {
        return;
    }
    let expressions = new.path_mut(&["spec", "selector", "matchExpressions"]).and_then(Value::as_array_mut);
    if let Some(expressions) = expressions {
        expressions.retain(|expression| expression.str("key") != OLD_LABEL);
    }
}

/// Upstream: `ValidatePodDisruptionBudgetSpec`.
fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    let members = ["minAvailable", "maxUnavailable"];
    if members.iter().all(|member| spec.has(member)) {
        errs.invalid(&at, shown(spec), "minAvailable and maxUnavailable cannot be both set");
    }
    for member in members.iter().filter(|member| spec.has(member)) {
        workload::positive_int_or_percent(spec.at(member), &at.child(member), &mut errs);
        workload::not_more_than_100_percent(spec.at(member), &at.child(member), &mut errs);
    }
    let invalid_values = old.is_some_and(|old| checks::selector_is_invalid(old.at_path(&["spec", "selector"])));
    let allowed = SelectorOptions { invalid_values, ..Default::default() };
    checks::label_selector(spec.at("selector"), allowed, &at.child("selector"), &mut errs);
    if let Some(policy) = spec.opt_str("unhealthyPodEvictionPolicy") {
        let valid = ["AlwaysAllow", "IfHealthyBudget"];
        checks::one_of(&mut errs, &at.child("unhealthyPodEvictionPolicy"), policy, &valid);
    }
    errs
}

/// As Go prints the internal struct.
fn shown(spec: &Value) -> Value {
    value!({
        "MinAvailable": (spec.at("minAvailable")),
        "Selector": (workload::shown(spec.at("selector"))),
        "MaxUnavailable": (spec.at("maxUnavailable")),
        "UnhealthyPodEvictionPolicy": (spec.at("unhealthyPodEvictionPolicy"))
    })
}

/// Upstream: `ValidatePodDisruptionBudgetStatusUpdate`.
fn validate_status(status: &Value) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status");
    checks::conditions(status.list("conditions"), &at.child("conditions"), &mut errs);
    let counts = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    workload::not_negative(status, &counts, &at, &mut errs);
    errs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts;

    #[test]
    fn a_budget_says_one_thing() {
        let cases: [(Value, &[&str]); 3] = [
            (value!({"minAvailable": "50%", "selector": {}}), &[]),
            (
                value!({"minAvailable": 1, "maxUnavailable": "101%", "selector": {}}),
                &[
                    "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{},\"MaxUnavailable\":\"101%\",\
                     \"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set",
                    "spec.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
                ],
            ),
            (
                value!({"minAvailable": "x", "unhealthyPodEvictionPolicy": "No"}),
                &[
                    "spec.minAvailable: Invalid value: \"x\": a valid percent string must be a numeric string followed by \
                     an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
                    "spec.unhealthyPodEvictionPolicy: Unsupported value: \"No\": supported values: \"AlwaysAllow\", \
                     \"IfHealthyBudget\"",
                ],
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(texts(&validate(&value!({"spec": spec}), None)), expected);
        }
    }

    #[test]
    fn the_label_of_old_versions_goes_unless_it_was_there() {
        let budget = |operator: &str| {
            let expressions = value!([{"key": OLD_LABEL, "operator": operator}, {"key": "a", "operator": "Exists"}]);
            value!({"spec": {"selector": {"matchExpressions": expressions}}})
        };
        let mut new = budget("Exists");
        drop_old_label(&mut new, Some(&budget("Exists")));
        assert_eq!(new, budget("Exists"));
        drop_old_label(&mut new, None);
        assert_eq!(new.at_path(&["spec", "selector", "matchExpressions"]).items().len(), 1);
    }
}
