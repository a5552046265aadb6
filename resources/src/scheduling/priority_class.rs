//! PriorityClasses. Upstream: pkg/apis/scheduling/validation, pkg/registry/scheduling/priorityclass.

use api::{
    Value,
    field::{Errors, Path},
};

use crate::{
    checks,
    row::{AGE, Column, Context, NAME, Row, Rules, Version, column},
    strategy::{ONCE, stored, text},
};

const HIGHEST_OF_USERS: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";
/// Names and values of the classes that every cluster has.
pub const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2 * HIGHEST_OF_USERS + 1000), ("system-cluster-critical", 2 * HIGHEST_OF_USERS)];

pub const ROW: Row = Row {
    group: "scheduling.k8s.io",
    kind: "PriorityClass",
    name_on_update: false,
    plural: "priorityclasses",
    short_names: &["pc"],
    versions: &[Version::stable("v1", "io.k8s.api.scheduling.v1.PriorityClass")],
    stored: stored("scheduling.k8s.io", "v1", "priorityclasses"),
    generation: ONCE,
    columns: COLUMNS,
    rules: Rules { validate, validate_update, ..Rules::NONE },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Value", "integer", |c, _| c.int("value").into()),
    column("Global-Default", "boolean", |c, _| c.bool("globalDefault").into()),
    AGE,
    column("PreemptionPolicy", "string", |c, _| text(c, &["preemptionPolicy"])),
];

/// Upstream: `SetDefaults_PriorityClass`.
pub fn default(class: &mut Value) {
    class.default("preemptionPolicy", "PreemptLowerPriority");
}

fn validate(class: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let name = api::meta::of(class).name();
    if name.starts_with(SYSTEM_PREFIX) {
        if let Err(why) = known_system_class(class, name) {
            let text = format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
            );
            errs.forbidden(&Path::new("metadata").child("name"), text);
        }
    } else if class.int("value") > HIGHEST_OF_USERS {
        let text = format!("maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}");
        errs.forbidden(&Path::new("value"), text);
    }
    if let Some(policy) = class.opt_str("preemptionPolicy") {
        preemption_policy(policy, &Path::new("preemptionPolicy"), &mut errs);
    }
    errs
}

fn known_system_class(class: &Value, name: &str) -> Result<(), String> {
    let Some((_, value)) = SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) else {
        return Err(format!("{name} is not a known system priority class"));
    };
    if class.int("value") != *value {
        return Err(format!("value of {name} PriorityClass must be {value}"));
    }
    if class.bool("globalDefault") {
        return Err(format!("globalDefault of {name} PriorityClass must be false"));
    }
    Ok(())
}

/// Upstream: core validation's `ValidatePreemptionPolicy`.
fn preemption_policy(policy: &str, at: &Path, errs: &mut Errors) {
    match policy {
        "" => errs.required(at, ""),
        _ => checks::one_of(errs, at, policy, &["PreemptLowerPriority", "Never"]),
    }
}

fn validate_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    if new.int("value") != old.int("value") {
        errs.forbidden(&Path::new("value"), "may not be changed in an update.");
    }
    let (new, old) = (new.at("preemptionPolicy"), old.at("preemptionPolicy"));
    checks::immutable(new, old, &Path::new("preemptionPolicy"), &mut errs);
    errs
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn system_names_and_high_values_are_the_systems() {
        let cases = [
            (value!({"metadata": {"name": "high"}, "value": 1000000000}), None),
            (
                value!({"metadata": {"name": "high"}, "value": 1000000001}),
                Some("value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
            ),
            (value!({"metadata": {"name": "system-node-critical"}, "value": 2000001000}), None),
            (
                value!({"metadata": {"name": "system-mine"}, "value": 1}),
                Some(
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. \
                     error: system-mine is not a known system priority class",
                ),
            ),
        ];
        for (class, wrong) in cases {
            assert_eq!(texts(&validate(&class, &context())), wrong.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn value_and_policy_stay() {
        let old = value!({"value": 1, "preemptionPolicy": "Never"});
        let new = value!({"value": 2});
        assert_eq!(
            texts(&validate_update(&new, &old, &context())),
            [
                "value: Forbidden: may not be changed in an update.",
                "preemptionPolicy: Invalid value: null: field is immutable",
            ]
        );
    }
}
