//! Replication controllers: a count, a selector of plain labels and a template.
//!
//! Upstream: pkg/registry/core/replicationcontroller, `ValidateReplicationController*`.

use api::{
    Value,
    field::{Bad, Errors, FieldError, Kind, Path},
    names,
    selector::Selector,
};

use crate::{
    cells,
    checks::{not_negative, same},
    pod::{self, Options, features},
    row::{
        AGE, Context, Deletion, NAME, Policy, Row, Rules, ScaleSelector, Selectable, StatusRules, Subresource,
        TypeDefault, Version, column, wide,
    },
    strategy::{SPEC, drop_status, keep, stored},
    workload::{CONTAINERS, IMAGES},
};

pub const CONTROLLER: Row = Row {
    kind: "ReplicationController",
    // Upstream: ValidateObjectMetaWithOpts, which leaves generateName alone.
    name_rule: crate::names::drawn_dns_subdomain,
    name_on_update: false,
    plural: "replicationcontrollers",
    short_names: &["rc"],
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.ReplicationController")],
    stored: stored("", "v1", "controllers"),
    subresources: &[
        Subresource::Scale {
            replicas: &["spec", "replicas"],
            observed: &["status", "replicas"],
            selector: ScaleSelector::Map(&["spec", "selector"]),
        },
        Subresource::Status(StatusRules {
            validate: |new, _, _| validate_status(new.at("status")),
            ..StatusRules::STATUS_AND_METADATA
        }),
    ],
    generation: SPEC,
    reset: &["status"],
    columns: &[
        NAME,
        column("Desired", "integer", |o, _| o.at("spec").int("replicas").into()),
        column("Current", "integer", |o, _| o.at("status").int("replicas").into()),
        column("Ready", "integer", |o, _| o.at("status").int("readyReplicas").into()),
        AGE,
        CONTAINERS,
        IMAGES,
        wide("Selector", "string", |o, _| cells::labels(o.at_path(&["spec", "selector"])).into()),
    ],
    selectable: &[Selectable { label: "status.replicas", value: |o| o.at("status").int("replicas").to_string() }],
    deletion: Deletion { default_policy: Policy::Orphan, grace: None, warning: "" },
    rules: Rules {
        prepare_create,
        prepare_update,
        validate: |new, _| validate(new, None),
        validate_update: |new, old, _| validate_update(new, old),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

/// The template's labels stand in for a missing selector and missing labels. Upstream:
/// `SetDefaults_ReplicationController`.
pub const DEFAULT: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.ReplicationController", run: default };

fn default(controller: &mut Value) {
    let labels = controller.at_path(&["spec", "template", "metadata", "labels"]).clone();
    if labels.is_empty() {
        return;
    }
    for path in [["spec", "selector"], ["metadata", "labels"]] {
        if controller.at_path(&path).is_empty() {
            controller.set_path(&path, labels.clone());
        }
    }
}

fn prepare_create(new: &mut Value, context: &Context<'_>) {
    drop_status(new, context);
    drop_disabled(new, None, context);
}

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep(new, old, "status");
    drop_disabled(new, Some(old), context);
}

fn drop_disabled(new: &mut Value, old: Option<&Value>, context: &Context<'_>) {
    if let Some(template) = new.path_mut(&["spec", "template"]) {
        features::drop_disabled(template, old.map(|old| old.at_path(&["spec", "template"])), context);
    }
}

// --- validation

/// Upstream: `ValidateReplicationControllerSpec`.
fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    not_negative(&mut errs, &at.child("minReadySeconds"), spec.int("minReadySeconds"));
    if spec.at("selector").is_empty() {
        errs.required(&at.child("selector"), "");
    }
    match spec.opt_int("replicas") {
        None => errs.required(&at.child("replicas"), ""),
        Some(count) => not_negative(&mut errs, &at.child("replicas"), count),
    }
    let options = Options::of_template(old.map(|old| old.at_path(&["spec", "template"])));
    template(spec, &at.child("template"), &options, &mut errs);
    errs
}

/// Upstream: `ValidatePodTemplateSpecForRC`.
fn template(spec: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    let (template, selector) = (spec.at("template"), spec.at("selector"));
    if template.is_null() {
        return errs.required(at, "");
    }
    let labels = template.at_path(&["metadata", "labels"]);
    if !selector.is_empty() && !Selector::from_labels(selector).matches(labels) {
        let at = at.child("metadata").child("labels");
        errs.invalid(&at, labels, "`selector` does not match template `labels`");
    }
    pod::template(template, at, options, errs);
    let (pod, at) = (template.at("spec"), at.child("spec"));
    if pod.str("restartPolicy") != "Always" {
        errs.not_supported(&at.child("restartPolicy"), pod.str("restartPolicy"), &["Always"]);
    }
    if pod.has("activeDeadlineSeconds") {
        let detail = "activeDeadlineSeconds in ReplicationController is not Supported";
        errs.forbidden(&at.child("activeDeadlineSeconds"), detail);
    }
}

/// Annotations say which fields could not be converted, and then may not change.
fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errs = validate(new, Some(old));
    for (key, value) in old.at("metadata").strings("annotations") {
        let Some(field) = key.strip_prefix("non-convertible.kubernetes.io").and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        match field.1 {
            field if field.contains('/') => {}
            field if field.contains("selector") => {
                let (selector, was) = (new.at_path(&["spec", "selector"]), old.at_path(&["spec", "selector"]));
                if !same(selector, was) {
                    let at = Path::new("spec").child("selector");
                    errs.invalid(&at, selector, "cannot update non-convertible selector");
                }
            }
            field => errs.0.push(FieldError {
                kind: Kind::NotFound,
                field: field.into(),
                bad: Bad::Value(value.into()),
                detail: "unknown non-convertible field".into(),
            }),
        }
    }
    errs
}

/// Upstream: `ValidateReplicationControllerStatus`.
fn validate_status(status: &Value) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status");
    for member in ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"] {
        not_negative(&mut errs, &at.child(member), status.int(member));
    }
    for member in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
        if status.int(member) > status.int("replicas") {
            errs.invalid(&at.child(member), status.int(member), "cannot be greater than status.replicas");
        }
    }
    let available = status.int("availableReplicas");
    if available > status.int("readyReplicas") {
        errs.invalid(&at.child("availableReplicas"), available, "cannot be greater than readyReplicas");
    }
    errs
}

// --- warnings

/// Upstream looks at the old template when one changes.
fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let at = Path::new("spec").child("template");
    let template = |object: &Value| pod::warnings::warnings(object.at_path(&["spec", "template"]), &at);
    match old {
        Some(old) if api::meta::of(old).generation() == api::meta::of(new).generation() => Vec::new(),
        Some(old) => template(old),
        None => {
            let texts = names::dns1123_label(api::meta::of(new).name());
            let mut out = Vec::new();
            if !texts.is_empty() {
                let texts = texts.join(" ");
                out.push(format!("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{texts}]"));
            }
            out.extend(template(new));
            out
        }
    }
}
