//! Taints of devices, what tolerates them, and rules that put them on. Upstream: pkg/registry/resource/devicetaintrule.

use api::{
    Value,
    field::{Errors, Path},
    names,
};
use jiff::Timestamp;

use super::{
    GROUP,
    lists::{driver_name, label, pool_name},
};
use crate::{
    cells, checks,
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{SPEC, drop_status, keep_status, stored, text},
};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
const CONDITIONS_MAX: usize = 8;
const TAINT: &[&str] = &["spec", "taint"];

pub const ROW: Row = Row {
    status_tables: false,
    group: GROUP,
    kind: "DeviceTaintRule",
    plural: "devicetaintrules",
    versions: &[
        Version::stable("v1", "io.k8s.api.resource.v1.DeviceTaintRule"),
        Version {
            lifecycle: (36, 39, 42),
            returns_deleted: true,
            ..Version::off("v1beta2", "io.k8s.api.resource.v1beta2.DeviceTaintRule")
        },
        Version {
            lifecycle: (33, 36, 39),
            returns_deleted: true,
            ..Version::off("v1alpha3", "io.k8s.api.resource.v1alpha3.DeviceTaintRule")
        },
    ],
    stored: stored(GROUP, "v1beta2", "devicetaintrules"),
    subresources: &[Subresource::Status(StatusRules { validate: validate_status, ..StatusRules::STATUS_ONLY })],
    reset: &["status"],
    generation: SPEC,
    unconditional_update: false,
    unconditional_in: &["v1beta2", "v1alpha3"],
    name_on_update: false,
    columns: COLUMNS,
    dated: Some(|rule, now| date(rule.entry_path(TAINT), now)),
    rules: Rules {
        prepare_create: drop_status,
        prepare_update,
        validate: |new, _| validate_rule(new, None),
        validate_update: |new, old, _| validate_rule(new, Some(old)),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Key", "string", |r, _| text(r, &["spec", "taint", "key"])),
    column("Value", "string", |r, _| text(r, &["spec", "taint", "value"])),
    column("Effect", "string", |r, _| text(r, &["spec", "taint", "effect"])),
    column("TimeAdded", "string", |r, now| {
        r.at_path(TAINT).opt_str("timeAdded").map_or_else(String::new, |at| cells::age(at, now)).into()
    }),
    AGE,
];

/// When a taint was put on, where it does not say. Upstream: `SetDefaults_DeviceTaint`.
pub fn date(taint: &mut Value, now: Timestamp) {
    taint.default("timeAdded", api::time::seconds(now));
}

/// Another effect is another taint: it starts anew unless the client says since when.
fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_status(new, old, context);
    let (is, was) = (new.at_path(TAINT), old.at_path(TAINT));
    if is.str("effect") != was.str("effect") && is.at("timeAdded") == was.at("timeAdded") {
        new.entry_path(TAINT).set("timeAdded", api::time::seconds(context.now));
    }
}

fn validate_rule(rule: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (selector, at) = (rule.at("spec").at("deviceSelector"), Path::new("spec").child("deviceSelector"));
    if let Some(driver) = selector.opt_str("driver") {
        driver_name(driver, &at.child("driver"), &mut errs);
    }
    if let Some(pool) = selector.opt_str("pool") {
        pool_name(pool, &at.child("pool"), &mut errs);
    }
    if let Some(device) = selector.opt_str("device") {
        label(device, &at.child("device"), &mut errs);
    }
    validate(rule.at_path(TAINT), old.map(|old| old.at_path(TAINT)), &Path::new("spec").child("taint"), &mut errs);
    errs
}

/// Upstream: `validateDeviceTaint`.
pub fn validate(taint: &Value, old: Option<&Value>, at: &Path, errs: &mut Errors) {
    checks::label_name(taint.str("key"), &at.child("key"), errs);
    let (value, effect) = (taint.str("value"), taint.str("effect"));
    checks::messages(errs, &at.child("value"), value, names::label_value(value));
    if old.is_none_or(|old| old.str("effect") != effect) {
        match effect {
            "" => errs.required(&at.child("effect"), ""),
            _ => checks::one_of(errs, &at.child("effect"), effect, &EFFECTS),
        }
    }
}

/// Upstream: `validateDeviceToleration`.
pub fn toleration(toleration: &Value, at: &Path, errs: &mut Errors) {
    let (key, value) = (toleration.str("key"), toleration.str("value"));
    if !key.is_empty() {
        checks::label_name(key, &at.child("key"), errs);
    }
    match toleration.str("operator") {
        "Exists" if !value.is_empty() => {
            errs.invalid(&at.child("value"), value, "must be empty for operator `Exists`");
        }
        "Exists" => {}
        "Equal" => checks::messages(errs, &at.child("value"), value, names::label_value(value)),
        "" => errs.required(&at.child("operator"), ""),
        operator => errs.not_supported(&at.child("operator"), operator, &["Equal", "Exists"]),
    }
    let effect = toleration.str("effect");
    if !effect.is_empty() {
        checks::one_of(errs, &at.child("effect"), effect, &EFFECTS);
    }
}

fn validate_status(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (conditions, at) = (new.at("status").list("conditions"), Path::new("status").child("conditions"));
    checks::conditions(conditions, &at, &mut errs);
    if conditions.len() > CONDITIONS_MAX {
        errs.too_many(&at, conditions.len(), CONDITIONS_MAX);
    }
    errs
}
