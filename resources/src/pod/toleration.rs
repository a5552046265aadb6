//! Which taints a pod puts up with.
//!
//! Upstream: `ValidateTolerations`, `validateOnlyAddedTolerations`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{Options, annotations::TOLERATIONS};
use crate::checks::{label_name, one_of};

/// Upstream: `ValidateTolerations`.
pub fn tolerations(tolerations: &[Value], at: &Path, options: &Options, errs: &mut Errors) {
    for (i, toleration) in tolerations.iter().enumerate() {
        self::toleration(toleration, &at.index(i), options, errs);
    }
}

fn toleration(toleration: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    let (key, effect) = (toleration.str("key"), toleration.str("effect"));
    let (operator, value) = (toleration.str("operator"), toleration.str("value"));
    let operator_at = at.child("operator");
    if !key.is_empty() {
        label_name(key, &at.child("key"), errs);
    } else if operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errs.invalid(&operator_at, operator, detail);
    }
    if toleration.has("tolerationSeconds") && effect != "NoExecute" {
        errs.invalid(&at.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
    match operator {
        "Equal" | "" => {
            let texts = names::label_value(value);
            if !texts.is_empty() {
                errs.invalid(&operator_at, value, texts.join(";"));
            }
        }
        "Exists" if value.is_empty() => {}
        "Exists" => errs.invalid(&operator_at, value, "value must be empty when `operator` is 'Exists'"),
        "Lt" | "Gt" if options.comparing_tolerations => number(value, &at.child("value"), errs),
        "Lt" | "Gt" => errs.not_supported(&operator_at, operator, &["Equal", "Exists", "Lt", "Gt"]),
        _ => errs.not_supported(&operator_at, operator, &["Equal", "Exists"]),
    }
    if !effect.is_empty() {
        one_of(errs, &at.child("effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
}

/// A decimal number as a person would write it, that fits an `i64`.
fn number(text: &str, at: &Path, errs: &mut Errors) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let decimal = digits.bytes().all(|b| b.is_ascii_digit());
    if text.is_empty() {
        errs.invalid(at, text, "must be non-empty");
    } else if !decimal || digits.is_empty() || (digits.starts_with('0') && text != "0") {
        errs.invalid(at, text, "must be a valid decimal integer in canonical form");
    }
    if let Err(why) = api::intstr::parse_int(text) {
        errs.invalid(at, text, why);
    }
}

/// Old ones stay but for their seconds; new ones may come. Upstream: `validateOnlyAddedTolerations`.
pub fn only_added(new: &[Value], old: &[Value], at: &Path, options: &Options, errs: &mut Errors) {
    let same = |a: &Value, b: &Value| ["key", "operator", "value", "effect"].iter().all(|m| a.str(m) == b.str(m));
    if old.iter().any(|old| !new.iter().any(|new| same(new, old))) {
        return errs.forbidden(at, "existing toleration can not be modified except its tolerationSeconds");
    }
    tolerations(new, at, options, errs);
}

/// Tolerations as JSON in the annotation of old. Upstream: `ValidateTolerationsInPodAnnotations`.
pub fn in_annotation(text: &str, at: &Path, options: &Options, errs: &mut Errors) {
    match crate::pod::internal::parse(text) {
        Ok(list) => tolerations(list.items(), &at.child(TOLERATIONS), options, errs),
        Err(why) => errs.invalid(at, TOLERATIONS, why),
    }
}
