//! Checks that kinds of several groups share: labels, selectors, conditions, what may not change.
//!
//! Upstream: apimachinery/pkg/apis/meta/v1/validation/validation.go, apimachinery/pkg/api/validation.

use api::{
    Value,
    field::{Bad, Errors, Kind, Path},
    names,
};

pub const IMMUTABLE: &str = "field is immutable";
pub const NEGATIVE: &str = "must be greater than or equal to 0";

/// What a label selector may hold beyond what is right.
#[derive(Clone, Copy, Default)]
pub struct SelectorOptions {
    /// The old object has a wrong value already.
    pub invalid_values: bool,
    /// The operator is judged elsewhere.
    pub unknown_operator: bool,
}

/// Whether upstream's semantic equality would call these equal.
pub fn same(a: &Value, b: &Value) -> bool {
    a.is_same(b)
}

/// Refuses a change. Returns whether there was one. Upstream: `ValidateImmutableField`.
pub fn immutable(new: &Value, old: &Value, at: &Path, errs: &mut Errors) -> bool {
    let changed = !same(new, old);
    if changed {
        errs.invalid(at, new, IMMUTABLE);
    }
    changed
}

/// Refuses a change of something that upstream shows in a form of its own.
pub fn immutable_shown(new: &Value, old: &Value, shown: impl FnOnce(&Value) -> Value, at: &Path, errs: &mut Errors) {
    if !same(new, old) {
        errs.invalid(at, shown(new), IMMUTABLE);
    }
}

/// One error for each message about a value.
pub fn messages(errs: &mut Errors, at: &Path, value: &str, texts: Vec<String>) {
    for text in texts {
        errs.invalid(at, value, text);
    }
}

/// Refuses a string that is not one of `valid`, which is listed as it stands.
pub fn one_of(errs: &mut Errors, at: &Path, value: &str, valid: &[&str]) {
    if !valid.contains(&value) {
        errs.not_supported(at, value, valid);
    }
}

/// Upstream: `ValidateNonnegativeField`.
pub fn not_negative(errs: &mut Errors, at: &Path, value: i64) {
    if value < 0 {
        errs.invalid(at, value, NEGATIVE);
    }
}

/// Upstream: `ValidateLabelName`, `ValidateQualifiedName`.
pub fn label_name(name: &str, at: &Path, errs: &mut Errors) {
    messages(errs, at, name, names::qualified_name(name));
}

/// A map of labels. Upstream: `ValidateLabels`.
pub fn labels(labels: &Value, at: &Path, errs: &mut Errors) {
    for (key, value) in labels.members() {
        label_name(key, at, errs);
        let value = value.as_str().unwrap_or("");
        messages(errs, at, value, names::label_value(value));
    }
}

/// Upstream: `ValidateLabelSelector`.
pub fn label_selector(selector: &Value, options: SelectorOptions, at: &Path, errs: &mut Errors) {
    labels(selector.at("matchLabels"), &at.child("matchLabels"), errs);
    for (i, requirement) in selector.list("matchExpressions").iter().enumerate() {
        selector_requirement(requirement, options, &at.child("matchExpressions").index(i), errs);
    }
}

/// Upstream: `ValidateLabelSelectorRequirement`.
pub fn selector_requirement(requirement: &Value, options: SelectorOptions, at: &Path, errs: &mut Errors) {
    selector_operator(requirement, options.unknown_operator, at, errs);
    label_name(requirement.str("key"), &at.child("key"), errs);
    if options.invalid_values {
        return;
    }
    for (i, value) in requirement.list("values").iter().filter_map(Value::as_str).enumerate() {
        messages(errs, &at.child("values").index(i), value, names::label_value(value));
    }
}

/// Whether operator and values of a requirement go together.
pub fn selector_operator(requirement: &Value, unknown_allowed: bool, at: &Path, errs: &mut Errors) {
    let no_values = requirement.list("values").is_empty();
    match requirement.str("operator") {
        "In" | "NotIn" if no_values => {
            errs.required(&at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !no_values => {
            errs.forbidden(&at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ if unknown_allowed => {}
        other => errs.invalid(&at.child("operator"), other, "not a valid selector operator"),
    }
}

/// Whether a stored selector is wrong already, so that an update may keep it so.
pub fn selector_is_invalid(selector: &Value) -> bool {
    let mut errs = Errors::new();
    label_selector(selector, SelectorOptions::default(), &Path::root(), &mut errs);
    !errs.is_empty()
}

/// Upstream: `ValidateConditions`.
pub fn conditions(conditions: &[Value], at: &Path, errs: &mut Errors) {
    for (i, condition) in conditions.iter().enumerate() {
        let kind = condition.str("type");
        if conditions[..i].iter().any(|c| c.str("type") == kind) {
            errs.duplicate(&at.index(i), kind);
        }
        self::condition(condition, &at.index(i), errs);
    }
}

/// Upstream: `ValidateCondition`.
pub fn condition(condition: &Value, at: &Path, errs: &mut Errors) {
    match condition.str("type") {
        "" => errs.required(&at.child("type"), "is required"),
        kind => label_name(kind, &at.child("type"), errs),
    }
    match condition.str("status") {
        "" => errs.required(&at.child("status"), ""),
        status => one_of(errs, &at.child("status"), status, &["False", "True", "Unknown"]),
    }
    let generation = condition.int("observedGeneration");
    if generation < 0 {
        errs.invalid(&at.child("observedGeneration"), generation, "must be greater than or equal to zero");
    }
    if condition.str("lastTransitionTime").is_empty() {
        errs.required(&at.child("lastTransitionTime"), "");
    }
    match condition.str("reason") {
        "" => errs.required(&at.child("reason"), ""),
        reason => {
            messages(errs, &at.child("reason"), reason, condition_reason(reason));
            if reason.len() > 1024 {
                errs.too_long(&at.child("reason"), 1024);
            }
        }
    }
    if condition.str("message").len() > 32 * 1024 {
        errs.push(Kind::TooLong, &at.child("message"), Bad::Omitted, "may not be more than 32768 bytes");
    }
}

/// What is wrong with a condition's reason. Upstream: `IsValidConditionReason`.
pub fn condition_reason(reason: &str) -> Vec<String> {
    let bytes = reason.as_bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let right = match bytes {
        [] => false,
        [only] => only.is_ascii_alphabetic(),
        [first, middle @ .., last] => {
            first.is_ascii_alphabetic() && word(*last) && middle.iter().all(|b| word(*b) || matches!(b, b',' | b':'))
        }
    };
    if right {
        return Vec::new();
    }
    vec![
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
         characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or \
         'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
         '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
            .into(),
    ]
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn nothing_and_empty_are_the_same_and_order_does_not_count() {
        assert!(same(&value!({"a": [], "b": 1}), &value!({"b": 1})));
        assert!(!same(&value!({"a": ""}), &value!({})));
        assert!(!same(&value!({"selector": {}}), &value!({})));
        assert!(!same(&value!([1, 2]), &value!([2, 1])));
    }

    #[test]
    fn a_selector_is_judged_as_upstream_does() {
        let selector = value!({"matchExpressions": [
            {"key": "a", "operator": "In"},
            {"key": "b", "operator": "Exists", "values": ["x"]},
            {"key": "c", "operator": "Near", "values": ["x y"]}
        ]});
        let mut errs = Errors::new();
        label_selector(
            &selector,
            SelectorOptions { invalid_values: true, ..Default::default() },
            &Path::new("s"),
            &mut errs,
        );
        let texts: Vec<String> = errs.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                "s.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                "s.matchExpressions[2].operator: Invalid value: \"Near\": not a valid selector operator",
            ]
        );
        assert!(selector_is_invalid(&selector));
    }

    #[test]
    fn a_reason_is_a_word() {
        for right in ["A", "NodeReady", "a_b,c:d_"] {
            assert!(condition_reason(right).is_empty(), "{right}");
        }
        for wrong in ["", "1a", "a b", "a:", "é"] {
            assert_eq!(condition_reason(wrong).len(), 1, "{wrong}");
        }
    }
}
