//! Daemon sets.
//!
//! The hub has no `spec.templateGeneration`: it lies in an annotation, where upstream's conversion puts it. Upstream:
//! pkg/apis/apps/validation/validation.go `ValidateDaemonSet`, pkg/registry/apps/daemonset/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
    intstr,
    selector::Selector,
    value,
};

use super::GROUP;
use crate::{
    cells, checks, pod,
    row::{AGE, Column, Context, Generation, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{keep_spec, keep_status, stored},
    workload,
};

/// Upstream: `DeprecatedTemplateGeneration`.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const TEMPLATE: [&str; 2] = ["spec", "template"];

pub const ROW: Row = Row {
    group: GROUP,
    kind: "DaemonSet",
    name_on_update: false,
    plural: "daemonsets",
    short_names: &["ds"],
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.apps.v1.DaemonSet")],
    stored: stored(GROUP, "v1", "daemonsets"),
    subresources: &[Subresource::Status(STATUS)],
    generation: Generation::WhenChanged(&["spec"]),
    reset: &["status"],
    columns: COLUMNS,
    converted_annotations: &[(TEMPLATE_GENERATION, "0")],
    convertible: |set| said_generation(set).map(drop),
    rules: Rules {
        prepare_create,
        prepare_update,
        validate: |new, _| validate(new, None),
        validate_update: |new, old, _| validate(new, Some(old)),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Desired", "integer", |o, _| o.at("status").int("desiredNumberScheduled").into()),
    column("Current", "integer", |o, _| o.at("status").int("currentNumberScheduled").into()),
    column("Ready", "integer", |o, _| o.at("status").int("numberReady").into()),
    column("Up-to-date", "integer", |o, _| o.at("status").int("updatedNumberScheduled").into()),
    column("Available", "integer", |o, _| o.at("status").int("numberAvailable").into()),
    column("Node Selector", "string", |o, _| {
        cells::labels(o.at_path(&["spec", "template", "spec", "nodeSelector"])).into()
    }),
    AGE,
    workload::CONTAINERS,
    workload::IMAGES,
    workload::SELECTOR,
];

const STATUS: StatusRules = StatusRules {
    prepare: |new, old, context| {
        keep_spec(new, old, context);
        // To upstream it is a part of the spec.
        set_template_generation(new, template_generation(old));
    },
    validate: |new, old, _| validate_status(new, old),
    ..StatusRules::STATUS_AND_METADATA
};

/// Upstream: `SetDefaults_DaemonSet`, and the annotation that every conversion to v1 writes.
pub fn default(set: &mut Value) {
    set.entry("metadata").entry("annotations").default(TEMPLATE_GENERATION, "0");
    let spec = set.entry("spec");
    let strategy = spec.entry("updateStrategy");
    if strategy.str("type").is_empty() {
        strategy.set("type", "RollingUpdate");
    }
    if strategy.str("type") == "RollingUpdate" {
        let rolling = strategy.entry("rollingUpdate");
        rolling.default("maxUnavailable", 1);
        rolling.default("maxSurge", 0);
    }
    // Upstream's internal struct has no difference between 0 and nothing.
    if let Some(rolling) = spec.path_mut(&["updateStrategy", "rollingUpdate"]).filter(|rolling| !rolling.is_null()) {
        rolling.default("maxUnavailable", 0);
        rolling.default("maxSurge", 0);
    }
    spec.default("revisionHistoryLimit", 10);
}

/// Upstream: `Convert_v1_DaemonSet_To_apps_DaemonSet`.
fn said_generation(set: &Value) -> Result<Option<i64>, String> {
    api::meta::of(set).annotation(TEMPLATE_GENERATION).map(intstr::parse_int).transpose()
}

fn template_generation(set: &Value) -> i64 {
    said_generation(set).ok().flatten().unwrap_or(0)
}

fn set_template_generation(set: &mut Value, generation: i64) {
    set.set_path(&["metadata", "annotations", TEMPLATE_GENERATION], generation.to_string());
}

fn prepare_create(new: &mut Value, context: &Context<'_>) {
    workload::prepare_create(new, context);
    let generation = template_generation(new).max(1);
    set_template_generation(new, generation);
}

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    workload::drop_disabled(new, Some(old), &TEMPLATE, context);
    keep_status(new, old, context);
    let changed = !pod::internal::same("PodTemplateSpec", new.at_path(&TEMPLATE), old.at_path(&TEMPLATE));
    set_template_generation(new, template_generation(old) + i64::from(changed));
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    match old {
        Some(old) if template_generation(old) == template_generation(new) => Vec::new(),
        _ => workload::template_warnings(new, old),
    }
}

fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    let mut options = pod::Options::of_template(old.map(|old| old.at_path(&TEMPLATE)));
    if let Some(old) = old {
        let (selector, old_selector) = (workload::shown(spec.at("selector")), old.at_path(&["spec", "selector"]));
        checks::immutable(&selector, old_selector, &at.child("selector"), &mut errs);
        options.invalid_selector_values |= workload::selector_has_invalid_value(old_selector);
    }
    self::spec(spec, &at, &options, &mut errs);
    errs
}

/// Upstream: `ValidateDaemonSetSpec`.
fn spec(spec: &Value, at: &Path, options: &pod::Options, errs: &mut Errors) {
    let (selector, selector_at) = (spec.at("selector"), at.child("selector"));
    let allowed = checks::SelectorOptions { invalid_values: options.invalid_selector_values, ..Default::default() };
    checks::label_selector(selector, allowed, &selector_at, errs);
    let (template, template_at) = (spec.at("template"), at.child("template"));
    if let Ok(selector) = Selector::from_label_selector(selector) {
        workload::selector_matches(&selector, template, &template_at.child("metadata").child("labels"), errs);
    }
    if !selector.is_null() && workload::selector_is_empty(selector) {
        errs.invalid(&selector_at, workload::shown(selector), "empty selector is invalid for daemonset");
    }
    pod::template(template, &template_at, options, errs);
    workload::always_restarts(template, "DaemonSet", &template_at, errs);
    checks::not_negative(errs, &at.child("minReadySeconds"), spec.int("minReadySeconds"));
    update_strategy(spec.at("updateStrategy"), &at.child("updateStrategy"), errs);
    checks::not_negative(errs, &at.child("revisionHistoryLimit"), spec.int("revisionHistoryLimit"));
}

/// Upstream: `ValidateDaemonSetUpdateStrategy`.
fn update_strategy(strategy: &Value, at: &Path, errs: &mut Errors) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.str("type") {
        "OnDelete" => {}
        "RollingUpdate" if rolling.is_null() => errs.required(&at.child("rollingUpdate"), ""),
        "RollingUpdate" => rolling_update(rolling, &at.child("rollingUpdate"), errs),
        kind => {
            let shown = value!({"Type": kind, "RollingUpdate": (super::deployment::shown_rolling_update(rolling))});
            errs.not_supported(at, shown, &["RollingUpdate", "OnDelete"]);
        }
    }
}

fn rolling_update(rolling: &Value, at: &Path, errs: &mut Errors) {
    let unavailable = workload::int_or_zero(rolling.at("maxUnavailable"));
    let surge = workload::int_or_zero(rolling.at("maxSurge"));
    let (unavailable_at, surge_at) = (at.child("maxUnavailable"), at.child("maxSurge"));
    workload::positive_int_or_percent(&unavailable, &unavailable_at, errs);
    workload::positive_int_or_percent(&surge, &surge_at, errs);
    workload::not_more_than_100_percent(&unavailable, &unavailable_at, errs);
    workload::not_more_than_100_percent(&surge, &surge_at, errs);
    let has_unavailable = workload::int_or_percent_value(&unavailable) != 0;
    let has_surge = workload::int_or_percent_value(&surge) != 0;
    match (has_unavailable, has_surge) {
        (true, true) => errs.invalid(&surge_at, &surge, "may not be set when maxUnavailable is non-zero"),
        (false, false) => errs.required(&unavailable_at, "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

/// Upstream: `ValidateDaemonSetStatusUpdate`.
fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let (status, at) = (new.at("status"), Path::new("status"));
    let counts = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    workload::not_negative(status, &counts, &at, &mut errs);
    workload::collision_count(status, old.at("status"), &at, &mut errs);
    errs
}
