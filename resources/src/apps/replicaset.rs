//! Replica sets, and the selector with its template that deployments share with them.
//!
//! Upstream: pkg/apis/apps/validation/validation.go `ValidateReplicaSet`, pkg/registry/apps/replicaset/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
};

use super::{GROUP, SCALE};
use crate::{
    checks, pod,
    row::{AGE, Generation, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::stored,
    workload,
};

pub const ROW: Row = Row {
    group: GROUP,
    kind: "ReplicaSet",
    name_on_update: false,
    plural: "replicasets",
    short_names: &["rs"],
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.apps.v1.ReplicaSet")],
    stored: stored(GROUP, "v1", "replicasets"),
    subresources: &[Subresource::Status(STATUS), SCALE],
    generation: Generation::WhenChanged(&["spec"]),
    reset: &["status"],
    columns: &[
        NAME,
        column("Desired", "integer", |o, _| o.at("spec").int("replicas").into()),
        column("Current", "integer", |o, _| o.at("status").int("replicas").into()),
        column("Ready", "integer", |o, _| o.at("status").int("readyReplicas").into()),
        AGE,
        workload::CONTAINERS,
        workload::IMAGES,
        workload::SELECTOR,
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

const STATUS: StatusRules =
    StatusRules { validate: |new, _, _| validate_status(new.at("status")), ..StatusRules::STATUS_AND_METADATA };

/// Upstream: `SetDefaults_ReplicaSet`.
pub fn default(set: &mut Value) {
    set.entry("spec").default("replicas", 1);
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let name = if old.is_none() { workload::name_warning(new) } else { None };
    name.into_iter().chain(workload::warn(new, old)).collect()
}

fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    let options = pod::Options::of_template(old.map(|old| old.at_path(&["spec", "template"])));
    workload::not_negative(spec, &["replicas", "minReadySeconds"], &at, &mut errs);
    selector_and_template(spec, &at, &options, &mut errs);
    if let Some(old) = old {
        let selector = workload::shown(spec.at("selector"));
        checks::immutable(&selector, old.at_path(&["spec", "selector"]), &at.child("selector"), &mut errs);
    }
    errs
}

/// The part of a spec that says which pods and how they are made. Upstream: `ValidatePodTemplateSpecForReplicaSet`.
pub(super) fn selector_and_template(spec: &Value, at: &Path, options: &pod::Options, errs: &mut Errors) {
    let selector_at = at.child("selector");
    workload::required_selector(spec.at("selector"), "empty selector is invalid for deployment", &selector_at, errs);
    let parsed = workload::parsed_selector(spec.at("selector"), "invalid label selector", &selector_at, errs);
    let Some(selector) = parsed else { return };
    let (template, at) = (spec.at("template"), at.child("template"));
    workload::selector_matches(&selector, template, &at.child("metadata").child("labels"), errs);
    pod::template(template, &at, options, errs);
    workload::always_restarts(template, "ReplicaSet", &at, errs);
}

/// Upstream: `ValidateReplicaSetStatus`.
fn validate_status(status: &Value) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status");
    let counts = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ];
    workload::not_negative(status, &counts, &at, &mut errs);
    let within = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    workload::at_most(status, &within, "replicas", "cannot be greater than status.replicas", &at, &mut errs);
    let ready = "cannot be greater than readyReplicas";
    workload::at_most(status, &["availableReplicas"], "readyReplicas", ready, &at, &mut errs);
    errs
}
