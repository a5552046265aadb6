//! What deployments, sets and jobs share: a selector, the template it has to match, counts and percentages.
//!
//! Upstream: the shared parts of pkg/apis/apps/validation/validation.go, pkg/printers/internalversion/printers.go.

use api::{
    Value,
    field::{Errors, Path},
    intstr, names,
    selector::{Selector, format_label_selector},
};

use crate::{
    checks::{self, SelectorOptions},
    pod,
    row::{Column, Context, wide},
};

/// The cells about containers that `-o wide` shows.
pub const CONTAINERS: Column = wide("Containers", "string", |o, _| joined(containers(o), "name"));
pub const IMAGES: Column = wide("Images", "string", |o, _| joined(containers(o), "image"));
pub const SELECTOR: Column = wide("Selector", "string", |o, _| selector_cell(o.at_path(&["spec", "selector"])));

const TEMPLATE: [&str; 2] = ["spec", "template"];
const UNMATCHED: &str = "`selector` does not match template `labels`";

// --- tables

fn containers(object: &Value) -> &[Value] {
    object.at_path(&["spec", "template", "spec", "containers"]).items()
}

/// A string member of each item, joined by commas. Upstream: `layoutContainerCells`.
pub fn joined(items: &[Value], member: &str) -> Value {
    items.iter().map(|c| c.str(member)).collect::<Vec<_>>().join(",").into()
}

pub fn selector_cell(selector: &Value) -> Value {
    format_label_selector(selector).into()
}

// --- selector and template

/// A selector that was always required. Upstream: the head of `ValidateDeploymentSpec` and its like.
pub fn required_selector(selector: &Value, empty: &str, at: &Path, errs: &mut Errors) {
    if selector.is_null() {
        errs.required(at, "");
        return;
    }
    checks::label_selector(selector, SelectorOptions::default(), at, errs);
    if selector_is_empty(selector) {
        errs.invalid(at, shown(selector), empty);
    }
}

/// Whether a selector that is there says nothing.
pub fn selector_is_empty(selector: &Value) -> bool {
    selector.at("matchLabels").members().next().is_none() && selector.list("matchExpressions").is_empty()
}

/// Whether a requirement has a value that no label can have. Upstream: `LabelSelectorHasInvalidLabelValue`.
pub fn selector_has_invalid_value(selector: &Value) -> bool {
    let values = selector.list("matchExpressions").iter().flat_map(|e| e.list("values"));
    values.filter_map(Value::as_str).any(|value| !names::label_value(value).is_empty())
}

/// The selector, or an error about it. Upstream: `LabelSelectorAsSelector`.
pub fn parsed_selector(selector: &Value, wrong: &str, at: &Path, errs: &mut Errors) -> Option<Selector> {
    let parsed = Selector::from_label_selector(selector).ok();
    if parsed.is_none() {
        errs.invalid(at, shown(selector), wrong);
    }
    parsed
}

/// Refuses a template that the selector does not take; `at` is the template's labels.
pub fn selector_matches(selector: &Selector, template: &Value, at: &Path, errs: &mut Errors) {
    let labels = template.at_path(&["metadata", "labels"]);
    if !selector.matches(labels) {
        errs.invalid(at, shown(labels), UNMATCHED);
    }
}

/// A template whose pods are kept running. Upstream: `ValidatePodTemplateSpecForReplicaSet` and its like.
pub fn always_restarts(template: &Value, kind: &str, at: &Path, errs: &mut Errors) {
    let pod = template.at("spec");
    let policy = pod.str("restartPolicy");
    if policy != "Always" {
        errs.not_supported(&at.child("spec").child("restartPolicy"), policy, &["Always"]);
    }
    if pod.has("activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errs.forbidden(&at.child("spec").child("activeDeadlineSeconds"), detail);
    }
}

/// A map of labels, or a selector, in the order in which Go prints it.
pub fn shown(value: &Value) -> Value {
    let mut shown = Value::object();
    match value {
        Value::Object(_) if value.has("matchLabels") || value.has("matchExpressions") => {
            if !value.at("matchLabels").is_empty() {
                shown.set("matchLabels", self::shown(value.at("matchLabels")));
            }
            if !value.list("matchExpressions").is_empty() {
                shown.set("matchExpressions", value.at("matchExpressions"));
            }
        }
        Value::Object(members) => {
            let mut sorted = (**members).clone();
            sorted.sort();
            shown = sorted.into();
        }
        _ => return value.clone(),
    }
    shown
}

/// Drops what is off from a template at `spec.template`, and the status that a client may not set.
pub fn prepare_create(new: &mut Value, context: &Context<'_>) {
    new.remove("status");
    drop_disabled(new, None, &TEMPLATE, context);
}

pub fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    crate::strategy::keep_status(new, old, context);
    drop_disabled(new, Some(old), &TEMPLATE, context);
}

/// Drops fields of features that are off from the template at a path.
pub fn drop_disabled(new: &mut Value, old: Option<&Value>, path: &[&str], context: &Context<'_>) {
    if let Some(template) = new.path_mut(path) {
        pod::features::drop_disabled(template, old.map(|old| old.at_path(path)), context);
    }
}

// --- warnings

/// Warnings about the template at `spec.template`; on an update only when the generation changes.
pub fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let generation = |object: &Value| api::meta::of(object).generation();
    match old {
        Some(old) if generation(old) == generation(new) => Vec::new(),
        _ => template_warnings(new, old),
    }
}

pub fn template_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let at = Path::new("spec").child("template");
    pod::warnings::template(new.at_path(&TEMPLATE), old.map(|old| old.at_path(&TEMPLATE)), &at)
}

/// A name that pods' host names are made of. Upstream: the strategies' `WarningsOnCreate`.
pub fn name_warning(new: &Value) -> Option<String> {
    let wrong = names::dns1123_label(api::meta::of(new).name());
    (!wrong.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; \
             a DNS label is recommended: [{}]",
            wrong.join(" ")
        )
    })
}

// --- numbers

/// Each of these members, when it is there, must not be negative.
pub fn not_negative(of: &Value, members: &[&str], at: &Path, errs: &mut Errors) {
    for member in members {
        checks::not_negative(errs, &at.child(member), of.int(member));
    }
}

/// Each of these members may not be greater than `limit`, another member.
pub fn at_most(of: &Value, members: &[&str], limit: &str, detail: &str, at: &Path, errs: &mut Errors) {
    for member in members {
        if of.int(member) > of.int(limit) {
            errs.invalid(&at.child(member), of.int(member), detail);
        }
    }
}

/// `status.collisionCount` only goes up. Upstream: `IsDecremented`.
pub fn collision_count(new: &Value, old: &Value, at: &Path, errs: &mut Errors) {
    let (new, old) = (new.opt_int("collisionCount"), old.opt_int("collisionCount"));
    if old.is_some_and(|old| new.is_none_or(|new| new < old)) {
        errs.invalid(&at.child("collisionCount"), new.unwrap_or(0), "cannot be decremented");
    }
}

/// An IntOrString that Go's zero value stands for when it is missing.
pub fn int_or_zero(value: &Value) -> Value {
    if value.is_null() { Value::Int(0) } else { value.clone() }
}

/// Upstream: `ValidatePositiveIntOrPercent`.
pub fn positive_int_or_percent(value: &Value, at: &Path, errs: &mut Errors) {
    match value {
        Value::Str(text) => checks::messages(errs, at, text, names::percent(text)),
        _ => checks::not_negative(errs, at, value.as_int().unwrap_or(0)),
    }
}

/// Upstream: `IsNotMoreThan100Percent`.
pub fn not_more_than_100_percent(value: &Value, at: &Path, errs: &mut Errors) {
    if intstr::percent(value).is_some_and(|percent| percent > 100) {
        errs.invalid(at, value, "must not be greater than 100%");
    }
}

/// The number, or the number before `%`. Upstream: `getIntOrPercentValue`.
pub fn int_or_percent_value(value: &Value) -> i64 {
    intstr::percent(value).unwrap_or_else(|| intstr::int_value(value))
}
