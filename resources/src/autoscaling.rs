//! autoscaling: horizontal pod autoscalers, and the scale of what can be scaled.
//!
//! Upstream: pkg/apis/autoscaling, pkg/registry/autoscaling.

mod cells;
mod metrics;
#[cfg(test)]
mod tests;
mod v1;

use api::{
    Value,
    field::{Errors, Path},
    names, value,
};

use crate::{
    checks, pod,
    row::{AGE, Column, Convert, Generation, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column},
    strategy::{drop_status, keep_status, stored},
};

const GROUP: &str = "autoscaling";
const CPU_PERCENT: i64 = 80;
const PERIOD_SECONDS_MAX: i64 = 1800;
const STABILIZATION_SECONDS_MAX: i64 = 3600;

pub const ROWS: &[Row] = &[AUTOSCALER];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", run: default },
    TypeDefault {
        schema: "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler",
        run: |autoscaler| {
            autoscaler.entry("spec").default("minReplicas", 1);
        },
    },
];

const AUTOSCALER: Row = Row {
    group: GROUP,
    kind: "HorizontalPodAutoscaler",
    name_on_update: false,
    plural: "horizontalpodautoscalers",
    short_names: &["hpa"],
    categories: &["all"],
    versions: &[
        Version::stable("v2", "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"),
        Version {
            convert: Some(Convert { to_hub: v1::to_hub, from_hub: v1::from_hub }),
            ..Version::stable("v1", "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler")
        },
    ],
    stored: stored(GROUP, "v2", "horizontalpodautoscalers"),
    subresources: &[Subresource::Status(STATUS)],
    generation: Generation::WhenChanged(&["spec"]),
    reset: &["status"],
    columns: COLUMNS,
    rules: Rules {
        prepare_create: drop_status,
        prepare_update: keep_status,
        validate: |new, _| validate(new, None),
        validate_update: |new, old, _| validate(new, Some(old)),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const STATUS: StatusRules =
    StatusRules { validate: |new, _, _| validate_status(new.at("status")), ..StatusRules::STATUS_AND_METADATA };

const COLUMNS: &[Column] = &[
    NAME,
    column("Reference", "string", |o, _| cells::reference(o.at_path(&["spec", "scaleTargetRef"])).into()),
    column("Targets", "string", |o, _| {
        cells::metrics(o.at("spec").list("metrics"), o.at("status").list("currentMetrics")).into()
    }),
    column("MinPods", "string", |o, _| match o.at("spec").opt_int("minReplicas") {
        Some(replicas) => replicas.to_string().into(),
        None => crate::cells::UNSET.into(),
    }),
    column("MaxPods", "string", |o, _| o.at("spec").int("maxReplicas").into()),
    column("Replicas", "string", |o, _| o.at("status").int("currentReplicas").into()),
    AGE,
];

// --- defaults

/// Upstream: `SetDefaults_HorizontalPodAutoscaler` of autoscaling/v2.
fn default(autoscaler: &mut Value) {
    v1::drop_annotations(autoscaler);
    let spec = autoscaler.entry("spec");
    spec.default("minReplicas", 1);
    if spec.list("metrics").is_empty() {
        spec.set("metrics", Value::array(vec![cpu(CPU_PERCENT.into())]));
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|b| !b.is_null()) else { return };
    let percent = value!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = value!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up = behavior.entry("scaleUp");
    up.default("stabilizationWindowSeconds", 0);
    default_rules(up, vec![pods, percent.clone()]);
    default_rules(behavior.entry("scaleDown"), vec![percent]);
}

fn default_rules(rules: &mut Value, policies: Vec<Value>) {
    rules.default("selectPolicy", "Max");
    rules.default("policies", Value::array(policies));
}

/// The metric that stands where none does.
fn cpu(percent: Value) -> Value {
    value!({
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
    })
}

// --- validation

/// What an update lets pass.
#[derive(Clone, Copy)]
struct ReferenceOptions {
    any_version: bool,
    core_group: bool,
}

/// Upstream: `validateHorizontalPodAutoscalerSpec`, `validationOptionsForHorizontalPodAutoscaler`.
fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    let (min, max) = (spec.opt_int("minReplicas"), spec.int("maxReplicas"));
    checks::not_negative(&mut errs, &at.child("minReplicas"), min.unwrap_or(0));
    let max_at = at.child("maxReplicas");
    match max {
        0 => errs.required(&max_at, "must be set and greater than 0"),
        ..0 => errs.invalid(&max_at, max, "must be greater than or equal to 1"),
        _ => {}
    }
    if min.is_some_and(|min| max < min) {
        errs.invalid(&max_at, max, "must be greater than or equal to `minReplicas`");
    }
    let target = spec.at("scaleTargetRef");
    reference(target, target_options(target, old), &at.child("scaleTargetRef"), &mut errs);
    metrics::list(spec, metric_options(old), &at.child("metrics"), &mut errs);
    for direction in ["scaleUp", "scaleDown"] {
        let rules = spec.at("behavior").at(direction);
        if !rules.is_null() {
            scaling_rules(rules, &at.child("behavior").child(direction), &mut errs);
        }
    }
    errs
}

fn target_options(target: &Value, old: Option<&Value>) -> ReferenceOptions {
    let was = old.map(|old| old.at_path(&["spec", "scaleTargetRef"]));
    let same = was.is_some_and(|was| ["apiVersion", "kind"].iter().all(|m| was.str(m) == target.str(m)));
    ReferenceOptions { any_version: same, core_group: !same && target.str("kind") == "ReplicationController" }
}

fn metric_options(old: Option<&Value>) -> ReferenceOptions {
    let options = ReferenceOptions { any_version: false, core_group: true };
    let was = old.map_or(&[][..], |old| old.at("spec").list("metrics"));
    let objects = was.iter().filter(|m| m.str("type") == "Object" && m.has("object"));
    let wrong = |metric: &Value| api_version(metric.at("object").at("describedObject"), options).is_some();
    ReferenceOptions { any_version: objects.into_iter().any(wrong), ..options }
}

/// Upstream: `ValidateCrossVersionObjectReference`.
fn reference(reference: &Value, options: ReferenceOptions, at: &Path, errs: &mut Errors) {
    for member in ["kind", "name"] {
        match reference.str(member) {
            "" => errs.required(&at.child(member), ""),
            text => checks::messages(errs, &at.child(member), text, names::is_valid_path_segment_name(text)),
        }
    }
    if let Some(error) = api_version(reference, options) {
        errs.invalid(&at.child("apiVersion"), reference.str("apiVersion"), error);
    }
}

/// What is wrong with a reference's version. Upstream: `ValidateAPIVersion`.
fn api_version(reference: &Value, options: ReferenceOptions) -> Option<String> {
    if options.any_version {
        return None;
    }
    let text = reference.str("apiVersion");
    match text.split('/').count() {
        1 | 2 => {
            let group = text.split_once('/').map_or("", |(group, _)| group);
            let missing = group.is_empty() && !options.core_group;
            missing.then(|| "apiVersion must specify API group".into())
        }
        _ => Some(format!("unexpected GroupVersion string: {text}")),
    }
}

/// Upstream: `validateScalingRules`.
fn scaling_rules(rules: &Value, at: &Path, errs: &mut Errors) {
    let window_at = at.child("stabilizationWindowSeconds");
    let window = rules.int("stabilizationWindowSeconds");
    if window < 0 {
        errs.invalid(&window_at, window, "must be greater than or equal to zero");
    }
    if window > STABILIZATION_SECONDS_MAX {
        errs.invalid(&window_at, window, format!("must be less than or equal to {STABILIZATION_SECONDS_MAX}"));
    }
    if let Some(policy) = rules.opt_str("selectPolicy") {
        checks::one_of(errs, &at.child("selectPolicy"), policy, &["Disabled", "Max", "Min"]);
    }
    let policies_at = at.child("policies");
    if rules.list("policies").is_empty() {
        errs.required(&policies_at, "must specify at least one Policy");
    }
    for (i, policy) in rules.list("policies").iter().enumerate() {
        scaling_policy(policy, &policies_at.index(i), errs);
    }
    if rules.has("tolerance") {
        pod::resources::not_negative(&pod::resources::amount(rules.at("tolerance")), &at.child("tolerance"), errs);
    }
}

/// Upstream: `validateScalingPolicy`.
fn scaling_policy(policy: &Value, at: &Path, errs: &mut Errors) {
    checks::one_of(errs, &at.child("type"), policy.str("type"), &["Percent", "Pods"]);
    for member in ["value", "periodSeconds"] {
        if policy.int(member) <= 0 {
            errs.invalid(&at.child(member), policy.int(member), "must be greater than zero");
        }
    }
    let period = policy.int("periodSeconds");
    if period > PERIOD_SECONDS_MAX {
        errs.invalid(&at.child("periodSeconds"), period, format!("must be less than or equal to {PERIOD_SECONDS_MAX}"));
    }
}

/// Upstream: `ValidateHorizontalPodAutoscalerStatusUpdate`.
fn validate_status(status: &Value) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status");
    for (i, condition) in status.list("conditions").iter().enumerate() {
        let at = at.child("conditions").index(i).child("observedGeneration");
        checks::not_negative(&mut errs, &at, condition.int("observedGeneration"));
    }
    for member in ["currentReplicas", "desiredReplicas"] {
        checks::not_negative(&mut errs, &at.child(member), status.int(member));
    }
    errs
}

/// What is wrong with a Scale that a client sends to a scale subresource. Upstream: `ValidateScale`; its managed fields
/// are validated with the rest of its metadata.
pub fn validate_scale(scale: &Value) -> Errors {
    let mut errs = Errors::new();
    checks::not_negative(&mut errs, &Path::new("spec").child("replicas"), scale.at("spec").int("replicas"));
    errs
}

/// The columns of a Scale.
pub const SCALE_COLUMNS: &[Column] = &[
    Column { format: "", ..NAME },
    column("Desired", "integer", |o, _| o.at("spec").int("replicas").into()),
    column("Available", "integer", |o, _| o.at("status").int("replicas").into()),
    AGE,
];
