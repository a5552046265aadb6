//! How evenly pods are spread, and labels whose values are the pod's own.
//!
//! Upstream: `validateTopologySpreadConstraints`, `ValidateMatchLabelKeysAndMismatchLabelKeys`.

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use super::{Options, selector};
use crate::checks::{label_name, one_of, selector_is_invalid};

/// Upstream: `validateTopologySpreadConstraints`.
pub fn constraints(constraints: &[Value], at: &Path, options: &Options, errs: &mut Errors) {
    for (i, constraint) in constraints.iter().enumerate() {
        let at = at.index(i);
        positive(constraint.int("maxSkew"), &at.child("maxSkew"), errs);
        let (key, action) = (constraint.str("topologyKey"), constraint.str("whenUnsatisfiable"));
        if key.is_empty() {
            errs.required(&at.child("topologyKey"), "can not be empty");
        }
        one_of(errs, &at.child("whenUnsatisfiable"), action, &["DoNotSchedule", "ScheduleAnyway"]);
        let same = |c: &Value| c.str("topologyKey") == key && c.str("whenUnsatisfiable") == action;
        if constraints[i + 1..].iter().any(same) {
            errs.duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        min_domains(constraint, action, &at.child("minDomains"), errs);
        for member in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if let Some(policy) = constraint.opt_str(member) {
                one_of(errs, &at.child(member), policy, &["Honor", "Ignore"]);
            }
        }
        if options.invalid_match_label_keys {
            keys_by_the_old_rule(constraint, &at.child("matchLabelKeys"), errs);
        } else {
            keys(constraint, &at, errs);
        }
        if !options.invalid_spread_selectors {
            selector(constraint.at("labelSelector"), false, &at.child("labelSelector"), errs);
        }
    }
}

fn positive(value: i64, at: &Path, errs: &mut Errors) {
    if value <= 0 {
        errs.invalid(at, value, "must be greater than zero");
    }
}

fn min_domains(constraint: &Value, action: &str, at: &Path, errs: &mut Errors) {
    let Some(min) = constraint.opt_int("minDomains") else { return };
    positive(min, at, errs);
    if action != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errs.invalid(at, min, detail);
    }
}

/// `matchLabelKeys` and `mismatchLabelKeys` against the selector beside them, into which they have been merged.
/// Upstream: `ValidateMatchLabelKeysAndMismatchLabelKeys`.
pub fn keys(holder: &Value, at: &Path, errs: &mut Errors) {
    let selector = holder.at("labelSelector");
    for member in ["matchLabelKeys", "mismatchLabelKeys"] {
        let at = at.child(member);
        if !holder.list(member).is_empty() && selector.is_null() {
            errs.forbidden(&at, "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, key) in holder.list(member).iter().filter_map(Value::as_str).enumerate() {
            label_name(key, &at.index(i), errs);
        }
    }
    let matched = holder.list("matchLabelKeys");
    let mut seen: Vec<&str> = selector.at("matchLabels").members().map(|(key, _)| key).collect();
    for key in selector.list("matchExpressions").iter().map(|e| e.str("key")) {
        let last = matched.iter().rposition(|k| k.as_str() == Some(key));
        if let Some(i) = last.filter(|_| seen.contains(&key)) {
            errs.invalid(&at.index(i), key, "exists in both matchLabelKeys and labelSelector");
        }
        seen.push(key);
    }
    for (i, key) in matched.iter().enumerate().filter(|(_, key)| holder.list("mismatchLabelKeys").contains(key)) {
        errs.invalid(&at.child("matchLabelKeys").index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// Upstream: `ValidateMatchLabelKeysInTopologySpread`.
fn keys_by_the_old_rule(constraint: &Value, at: &Path, errs: &mut Errors) {
    let (keys, selector) = (constraint.list("matchLabelKeys"), constraint.at("labelSelector"));
    if keys.is_empty() {
        return;
    }
    if selector.is_null() {
        errs.forbidden(at, "must not be specified when labelSelector is not set");
    }
    for (i, key) in keys.iter().filter_map(Value::as_str).enumerate() {
        label_name(key, &at.index(i), errs);
        let selected = selector.at("matchLabels").get(key).is_some()
            || selector.list("matchExpressions").iter().any(|e| e.str("key") == key);
        if selected {
            errs.invalid(&at.index(i), key, "exists in both matchLabelKeys and labelSelector");
        }
    }
}

/// Upstream: `hasInvalidTopologySpreadConstraintLabelSelector`.
pub fn has_invalid_selector(spec: &Value) -> bool {
    spec.list("topologySpreadConstraints").iter().any(|c| selector_is_invalid(c.at("labelSelector")))
}

/// Upstream: `hasInvalidTopologySpreadConstrainMatchLabelKeys`.
pub fn has_invalid_keys(spec: &Value) -> bool {
    spec.list("topologySpreadConstraints").iter().any(|constraint| {
        let mut errs = Errors::new();
        keys(constraint, &Path::root(), &mut errs);
        !errs.is_empty()
    })
}

/// Upstream: `mutateTopologySpreadConstraints`.
pub fn apply_label_keys(spec: &mut Value, labels: &Value) {
    for constraint in spec.get_mut("topologySpreadConstraints").and_then(Value::as_array_mut).into_iter().flatten() {
        merge_keys(constraint, labels);
    }
}

/// Adds a requirement for each key that the pod has a label of. A missing selector selects nothing and stays missing.
/// Upstream: `applyMatchLabelKeysAndMismatchLabelKeys`.
pub fn merge_keys(holder: &mut Value, labels: &Value) {
    if !holder.has("labelSelector") {
        return;
    }
    for (member, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys: Vec<String> = holder.list(member).iter().filter_map(Value::as_str).map(Into::into).collect();
        for key in keys {
            let Some(label) = labels.opt_str(&key) else { continue };
            let requirement = value!({"key": key, "operator": operator, "values": [label]});
            holder.entry_path(&["labelSelector", "matchExpressions"]).make_array().push(requirement);
        }
    }
}
