//! Deployments.
//!
//! Upstream: pkg/apis/apps/validation/validation.go `ValidateDeployment`, pkg/registry/apps/deployment/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
    selector::Selector,
    value,
};

use super::{GROUP, SCALE};
use crate::{
    checks, pod,
    row::{AGE, Context, Generation, NAME, Row, Rules, StatusRules, Subresource, Version, column, wide},
    strategy::{self, stored},
    workload,
};

/// Where clients of a version without `spec.rollbackTo` find it. Upstream: `DeprecatedRollbackTo`.
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";

pub const ROW: Row = Row {
    group: GROUP,
    kind: "Deployment",
    name_on_update: false,
    plural: "deployments",
    short_names: &["deploy"],
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.apps.v1.Deployment")],
    stored: stored(GROUP, "v1", "deployments"),
    subresources: &[Subresource::Status(STATUS), SCALE],
    generation: Generation::WhenChanged(&["spec", "metadata.annotations"]),
    reset: &["status"],
    columns: &[
        NAME,
        column("Ready", "string", ready),
        column("Up-to-date", "string", |o, _| o.at("status").int("updatedReplicas").into()),
        column("Available", "string", |o, _| o.at("status").int("availableReplicas").into()),
        AGE,
        workload::CONTAINERS,
        workload::IMAGES,
        wide("Selector", "string", |o, _| selector(o)),
    ],
    rules: Rules {
        prepare_create: workload::prepare_create,
        prepare_update: workload::prepare_update,
        validate: |new, _| validate(new, None),
        validate_update: |new, old, _| validate(new, Some(old)),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const STATUS: StatusRules = StatusRules {
    prepare: prepare_status,
    validate: |new, old, _| validate_status(new, old),
    reset: &["spec", "metadata.labels"],
    ..StatusRules::STATUS
};

/// Upstream: `SetDefaults_Deployment`.
pub fn default(deployment: &mut Value) {
    if let Some(annotations) = deployment.path_mut(&["metadata", "annotations"])
        && annotations.str(ROLLBACK_TO).is_empty()
    {
        annotations.remove(ROLLBACK_TO);
    }
    let spec = deployment.entry("spec");
    spec.default("replicas", 1);
    let strategy = spec.entry("strategy");
    if strategy.str("type").is_empty() {
        strategy.set("type", "RollingUpdate");
    }
    if strategy.str("type") == "RollingUpdate" {
        let rolling = strategy.entry("rollingUpdate");
        rolling.default("maxUnavailable", "25%");
        rolling.default("maxSurge", "25%");
    }
    spec.default("revisionHistoryLimit", 10);
    spec.default("progressDeadlineSeconds", 600);
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let name = if old.is_none() { workload::name_warning(new) } else { None };
    name.into_iter().chain(workload::warn(new, old)).collect()
}

fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    let options = pod::Options::of_template(old.map(|old| old.at_path(&["spec", "template"])));
    checks::not_negative(&mut errs, &at.child("replicas"), spec.int("replicas"));
    super::replicaset::selector_and_template(spec, &at, &options, &mut errs);
    self::strategy(spec.at("strategy"), &at.child("strategy"), &mut errs);
    workload::not_negative(spec, &["minReadySeconds", "revisionHistoryLimit"], &at, &mut errs);
    if let Some(revision) = new.at_path(&["metadata", "annotations"]).opt_str(ROLLBACK_TO) {
        checks::not_negative(&mut errs, &at.child("rollback").child("version"), revision.parse().unwrap_or(0));
    }
    progress_deadline(spec, &at.child("progressDeadlineSeconds"), &mut errs);
    if let Some(old) = old {
        let selector = workload::shown(spec.at("selector"));
        checks::immutable(&selector, old.at_path(&["spec", "selector"]), &at.child("selector"), &mut errs);
    }
    errs
}

fn progress_deadline(spec: &Value, at: &Path, errs: &mut Errors) {
    let Some(deadline) = spec.opt_int("progressDeadlineSeconds") else { return };
    checks::not_negative(errs, at, deadline);
    if deadline <= spec.int("minReadySeconds") {
        errs.invalid(at, deadline, "must be greater than minReadySeconds");
    }
}

/// Upstream: `ValidateDeploymentStrategy`.
fn strategy(strategy: &Value, at: &Path, errs: &mut Errors) {
    let rolling = strategy.at("rollingUpdate");
    let rolling_at = at.child("rollingUpdate");
    match strategy.str("type") {
        "Recreate" if !rolling.is_null() => {
            errs.forbidden(&rolling_at, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if rolling.is_null() => {
            errs.required(&rolling_at, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => rolling_update(rolling, &rolling_at, errs),
        kind => {
            let shown = value!({"Type": kind, "RollingUpdate": (shown_rolling_update(rolling))});
            errs.not_supported(at, shown, &["Recreate", "RollingUpdate"]);
        }
    }
}

/// As Go prints the internal struct, of deployments and daemon sets alike.
pub(super) fn shown_rolling_update(rolling: &Value) -> Value {
    if rolling.is_null() {
        return Value::Null;
    }
    value!({
        "MaxUnavailable": (workload::int_or_zero(rolling.at("maxUnavailable"))),
        "MaxSurge": (workload::int_or_zero(rolling.at("maxSurge")))
    })
}

fn rolling_update(rolling: &Value, at: &Path, errs: &mut Errors) {
    let unavailable = workload::int_or_zero(rolling.at("maxUnavailable"));
    let surge = workload::int_or_zero(rolling.at("maxSurge"));
    let unavailable_at = at.child("maxUnavailable");
    workload::positive_int_or_percent(&unavailable, &unavailable_at, errs);
    workload::positive_int_or_percent(&surge, &at.child("maxSurge"), errs);
    if workload::int_or_percent_value(&unavailable) == 0 && workload::int_or_percent_value(&surge) == 0 {
        errs.invalid(&unavailable_at, &unavailable, "may not be 0 when `maxSurge` is 0");
    }
    workload::not_more_than_100_percent(&unavailable, &unavailable_at, errs);
}

fn prepare_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    strategy::keep_spec(new, old, context);
    strategy::keep(new.entry("metadata"), old.at("metadata"), "labels");
}

/// Upstream: `ValidateDeploymentStatusUpdate`.
fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let (status, at) = (new.at("status"), Path::new("status"));
    let counts = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    workload::not_negative(status, &counts, &at, &mut errs);
    let within = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    workload::at_most(status, &within, "replicas", "cannot be greater than status.replicas", &at, &mut errs);
    let ready = "cannot be greater than readyReplicas";
    workload::at_most(status, &["availableReplicas"], "readyReplicas", ready, &at, &mut errs);
    workload::collision_count(status, old.at("status"), &at, &mut errs);
    errs
}

fn ready(deployment: &Value, _now: jiff::Timestamp) -> Value {
    let ready = deployment.at("status").int("readyReplicas");
    format!("{ready}/{}", deployment.at("spec").int("replicas")).into()
}

/// Unlike other kinds', an empty selector is shown as nothing at all.
fn selector(deployment: &Value) -> Value {
    match Selector::from_label_selector(deployment.at_path(&["spec", "selector"])) {
        Ok(selector) => selector.to_string().into(),
        Err(_) => "<invalid>".into(),
    }
}
