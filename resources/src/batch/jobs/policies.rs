//! When a pod's failure is the job's, and when enough has succeeded.
//!
//! Upstream: pkg/apis/batch/validation/validation.go `validatePodFailurePolicy`, `validateSuccessPolicy`.

use api::{
    Value,
    field::{Bad, Errors, Kind, Path},
    value,
};

use super::indexes;
use crate::checks;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const PATTERNS_MAX: usize = 20;
const INDEXES_LEN_MAX: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

pub fn failure(spec: &Value, at: &Path, errs: &mut Errors) {
    let (rules, at) = (spec.at("podFailurePolicy").list("rules"), at.child("rules"));
    if rules.len() > RULES_MAX {
        errs.too_many(&at, rules.len(), RULES_MAX);
    }
    for (i, rule) in rules.iter().enumerate() {
        failure_rule(spec, rule, &at.index(i), errs);
    }
}

fn failure_rule(spec: &Value, rule: &Value, at: &Path, errs: &mut Errors) {
    match rule.str("action") {
        "FailIndex" => {
            if !spec.has("backoffLimitPerIndex") {
                errs.invalid(&at.child("action"), "FailIndex", "requires the backoffLimitPerIndex to be set");
            }
        }
        action => choice(action, &ACTIONS, &at.child("action"), errs),
    }
    let (codes, patterns) = (rule.at("onExitCodes"), rule.list("onPodConditions"));
    if !codes.is_null() {
        exit_codes(spec, codes, &at.child("onExitCodes"), errs);
    }
    if !patterns.is_empty() {
        pod_conditions(patterns, &at.child("onPodConditions"), errs);
    }
    match (codes.is_null(), patterns.is_empty()) {
        (false, false) => omitted(errs, at, "specifying both OnExitCodes and OnPodConditions is not supported"),
        (true, true) => omitted(errs, at, "specifying one of OnExitCodes and OnPodConditions is required"),
        _ => {}
    }
}

/// An error about a value that is not shown.
pub fn omitted(errs: &mut Errors, at: &Path, detail: &str) {
    errs.push(Kind::Invalid, at, Bad::Omitted, detail);
}

fn choice(value: &str, valid: &[&str], at: &Path, errs: &mut Errors) {
    if value.is_empty() {
        let quoted: Vec<String> = valid.iter().map(|v| format!("\"{v}\"")).collect();
        errs.required(at, format!("valid values: [{}]", quoted.join(" ")));
    } else {
        checks::one_of(errs, at, value, valid);
    }
}

fn pod_conditions(patterns: &[Value], at: &Path, errs: &mut Errors) {
    if patterns.len() > PATTERNS_MAX {
        errs.too_many(at, patterns.len(), PATTERNS_MAX);
    }
    for (i, pattern) in patterns.iter().enumerate() {
        checks::label_name(pattern.str("type"), &at.index(i).child("type"), errs);
        choice(pattern.str("status"), &STATUSES, &at.index(i).child("status"), errs);
    }
}

fn exit_codes(spec: &Value, codes: &Value, at: &Path, errs: &mut Errors) {
    let operator = codes.str("operator");
    choice(operator, &OPERATORS, &at.child("operator"), errs);
    if let Some(name) = codes.opt_str("containerName") {
        let pod = spec.at_path(&["template", "spec"]);
        let containers = ["containers", "initContainers"].into_iter().flat_map(|list| pod.list(list));
        if !containers.into_iter().any(|c| c.str("name") == name) {
            let detail = "must be one of the container or initContainer names in the pod template";
            errs.invalid(&at.child("containerName"), name, detail);
        }
    }
    let (values, at) = (codes.list("values"), at.child("values"));
    if values.is_empty() {
        errs.invalid(&at, codes.at("values"), "at least one value is required");
    } else if values.len() > EXIT_CODES_MAX {
        errs.too_many(&at, values.len(), EXIT_CODES_MAX);
    }
    let values: Vec<i64> = values.iter().filter_map(Value::as_int).collect();
    for (i, value) in values.iter().enumerate() {
        if operator == "In" && *value == 0 {
            errs.invalid(&at.index(i), *value, "must not be 0 for the In operator");
        }
        if values[..i].contains(value) {
            errs.duplicate(&at.index(i), *value);
        }
    }
    if !values.is_sorted() {
        errs.invalid(&at, codes.at("values"), "must be ordered");
    }
}

pub fn success(spec: &Value, at: &Path, errs: &mut Errors) {
    let (rules, at) = (spec.at("successPolicy").list("rules"), at.child("rules"));
    if rules.is_empty() {
        errs.required(&at, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > RULES_MAX {
        errs.too_many(&at, rules.len(), RULES_MAX);
    }
    for (i, rule) in rules.iter().enumerate() {
        success_rule(rule, spec.int("completions"), &at.index(i), errs);
    }
}

fn success_rule(rule: &Value, completions: i64, at: &Path, errs: &mut Errors) {
    let (wanted, count) = (rule.opt_str("succeededIndexes"), rule.opt_int("succeededCount"));
    if wanted.is_none() && count.is_none() {
        errs.required(at, "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut total = 0;
    if let Some(text) = wanted {
        let at = at.child("succeededIndexes");
        if text.len() > INDEXES_LEN_MAX {
            errs.too_long(&at, INDEXES_LEN_MAX as i64);
        }
        match indexes::count(text, completions) {
            Ok(indexes) => total = indexes,
            Err(error) => errs.invalid(&at, text, format!("error parsing succeededIndexes: {error}")),
        }
    }
    let (Some(count), at) = (count, at.child("succeededCount")) else { return };
    checks::not_negative(errs, &at, count);
    if count > completions {
        let detail = format!("must be less than or equal to {completions} (the number of specified completions)");
        errs.invalid(&at, count, detail);
    }
    if wanted.is_some() && count > total {
        let detail = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errs.invalid(&at, count, detail);
    }
}

// --- as Go prints the internal structs

pub fn shown_success(policy: &Value) -> Value {
    shown_rules(
        policy,
        |rule| value!({"SucceededIndexes": (rule.at("succeededIndexes")), "SucceededCount": (rule.at("succeededCount"))}),
    )
}

pub fn shown_failure(policy: &Value) -> Value {
    shown_rules(policy, |rule| {
        value!({
            "Action": (rule.str("action")),
            "OnExitCodes": (shown_codes(rule.at("onExitCodes"))),
            "OnPodConditions": (shown_patterns(rule.at("onPodConditions")))
        })
    })
}

fn shown_rules(policy: &Value, rule: impl Fn(&Value) -> Value) -> Value {
    match policy.at("rules") {
        _ if policy.is_null() => Value::Null,
        Value::Null => value!({"Rules": null}),
        rules => value!({"Rules": (rules.items().iter().map(rule).collect::<Value>())}),
    }
}

fn shown_codes(codes: &Value) -> Value {
    if codes.is_null() {
        return Value::Null;
    }
    value!({
        "ContainerName": (codes.at("containerName")), "Operator": (codes.str("operator")), "Values": (codes.at("values"))
    })
}

fn shown_patterns(patterns: &Value) -> Value {
    if patterns.is_null() {
        return Value::Null;
    }
    patterns.items().iter().map(|p| value!({"Type": (p.str("type")), "Status": (p.str("status"))})).collect()
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::shown_failure;

    #[test]
    fn no_patterns_are_not_the_same_as_none() {
        let shown = |patterns: api::Value| {
            let policy = value!({"rules": [{"action": "Ignore", "onPodConditions": (patterns)}]});
            shown_failure(&policy).list("Rules")[0].at("OnPodConditions").clone()
        };
        assert_eq!(shown(value!([])), value!([]));
        assert_eq!(shown(api::Value::Null), api::Value::Null);
    }
}
