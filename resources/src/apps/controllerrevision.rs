//! Controller revisions: what a daemon or stateful set looked like.
//!
//! Upstream: pkg/apis/apps/validation/validation.go `ValidateControllerRevisionCreate`,
//! pkg/registry/apps/controllerrevision/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
};

use super::GROUP;
use crate::{
    cells, checks,
    row::{AGE, NAME, Row, Rules, Version, column},
    strategy::stored,
};

pub const ROW: Row = Row {
    group: GROUP,
    kind: "ControllerRevision",
    finalizers_before_names: true,
    plural: "controllerrevisions",
    versions: &[Version::stable("v1", "io.k8s.api.apps.v1.ControllerRevision")],
    stored: stored(GROUP, "v1", "controllerrevisions"),
    columns: &[
        NAME,
        column("Controller", "string", |o, _| controller(o)),
        column("Revision", "string", |o, _| o.int("revision").into()),
        AGE,
    ],
    rules: Rules {
        validate: |new, _| validate(new),
        validate_update: |new, old, _| validate_update(new, old),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

fn validate(new: &Value) -> Errors {
    let mut errs = Errors::new();
    revision(new, &mut errs);
    match new.at("data") {
        Value::Null => errs.required(&Path::new("data"), "data is mandatory"),
        Value::Object(_) => {}
        _ => errs.required(&Path::new("data"), "data must be a valid JSON object"),
    }
    errs
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    revision(new, &mut errs);
    checks::immutable(new.at("data"), old.at("data"), &Path::new("data"), &mut errs);
    errs
}

fn revision(new: &Value, errs: &mut Errors) {
    checks::not_negative(errs, &Path::new("revision"), new.int("revision"));
}

/// `daemonset.apps/web`. Upstream: `formatResourceName`.
fn controller(revision: &Value) -> Value {
    let Some(owner) = api::meta::of(revision).controller() else { return cells::NONE.into() };
    let kind = owner.kind().to_lowercase();
    match owner.api_version().split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", owner.name()).into(),
        None => format!("{kind}/{}", owner.name()).into(),
    }
}
