//! Stateful sets.
//!
//! Upstream: pkg/apis/apps/validation/validation.go `ValidateStatefulSet`, pkg/registry/apps/statefulset/strategy.go.

use api::{
    Value,
    field::{Errors, Path},
    names as words, value,
};

use super::{GROUP, SCALE};
use crate::{
    checks, names, pod,
    row::{AGE, Generation, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{stored, text},
    workload,
};

const ONLY_ROLLING: &str = "only allowed for updateStrategy 'RollingUpdate'";

pub const ROW: Row = Row {
    group: GROUP,
    kind: "StatefulSet",
    name_on_update: false,
    plural: "statefulsets",
    short_names: &["sts"],
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.apps.v1.StatefulSet")],
    stored: stored(GROUP, "v1", "statefulsets"),
    subresources: &[Subresource::Status(STATUS), SCALE],
    generation: Generation::WhenChanged(&["spec"]),
    name_rule: names::dns_label,
    reset: &["status"],
    columns: &[NAME, column("Ready", "string", |o, _| ready(o)), AGE, workload::CONTAINERS, workload::IMAGES],
    rules: Rules {
        prepare_create: workload::prepare_create,
        prepare_update: workload::prepare_update,
        validate: |new, _| validate(new),
        validate_update: |new, old, _| validate_update(new, old),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const STATUS: StatusRules =
    StatusRules { validate: |new, old, _| validate_status(new, old), ..StatusRules::STATUS_AND_METADATA };

/// What an update lets pass beyond what a create does. Upstream: `StatefulSetValidationOptions`.
#[derive(Clone, Copy, Default)]
struct Options {
    invalid_service_name: bool,
    skip_template: bool,
    skip_claims: bool,
    recreate: bool,
}

/// Upstream: `SetDefaults_StatefulSet`, and the kinds that every conversion to v1 writes into the claims.
pub fn default(set: &mut Value) {
    let spec = set.entry("spec");
    if spec.str("podManagementPolicy").is_empty() {
        spec.set("podManagementPolicy", "OrderedReady");
    }
    let strategy = spec.entry("updateStrategy");
    if strategy.str("type").is_empty() {
        strategy.set("type", "RollingUpdate");
        strategy.entry("rollingUpdate").make_object();
    }
    if strategy.str("type") == "RollingUpdate" && strategy.has("rollingUpdate") {
        let rolling = strategy.entry("rollingUpdate");
        rolling.default("partition", 0);
        rolling.default("maxUnavailable", 1);
    }
    let retention = spec.entry("persistentVolumeClaimRetentionPolicy");
    for member in ["whenDeleted", "whenScaled"] {
        if retention.str(member).is_empty() {
            retention.set(member, "Retain");
        }
    }
    spec.default("replicas", 1);
    spec.default("revisionHistoryLimit", 10);
    for claim in spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
        claim.set("kind", "PersistentVolumeClaim");
        claim.set("apiVersion", "v1");
    }
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings = workload::warn(new, old);
    let spec = new.at("spec");
    for (i, claim) in spec.list("volumeClaimTemplates").iter().enumerate() {
        let at = Path::new("spec").child("volumeClaimTemplates").index(i);
        // Upstream names a member of its own on updates.
        let at = if old.is_some() { at.child("Spec") } else { at };
        pod::warnings::claim_spec(claim.at("spec"), &at, &mut warnings);
    }
    if spec.int("revisionHistoryLimit") < 0 {
        let text =
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
        warnings.push(text.into());
    }
    warnings
}

fn validate(new: &Value) -> Errors {
    let mut errs = Errors::new();
    spec(new.at("spec"), &Path::new("spec"), &pod::Options::of_template(None), Options::default(), &mut errs);
    errs
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let (at, new, old) = (Path::new("spec"), new.at("spec"), old.at("spec"));
    let recreate = old.at("updateStrategy").str("type") == "Recreate";
    let mut options = Options { invalid_service_name: true, skip_claims: true, recreate, ..Options::default() };
    let pod_options = pod::Options::of_template(Some(old.at("template")));
    let mut already = Errors::new();
    spec(old, &at, &pod_options, options, &mut already);
    options.skip_template = !already.is_empty();
    spec(new, &at, &pod_options, options, &mut errs);
    checks::immutable_shown(new.at("selector"), old.at("selector"), workload::shown, &at.child("selector"), &mut errs);
    let claims = new.at("volumeClaimTemplates");
    if !checks::same(claims, old.at("volumeClaimTemplates")) {
        let shown = pod::internal::json("[]PersistentVolumeClaim", claims);
        errs.invalid_raw(&at.child("volumeClaimTemplates"), shown, checks::IMMUTABLE);
    }
    for member in ["serviceName", "podManagementPolicy"] {
        checks::immutable(&text(new, &[member]), &text(old, &[member]), &at.child(member), &mut errs);
    }
    errs
}

/// Upstream: `ValidateStatefulSetSpec`.
fn spec(spec: &Value, at: &Path, pod_options: &pod::Options, options: Options, errs: &mut Errors) {
    match spec.str("podManagementPolicy") {
        "" => errs.required(&at.child("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        other => errs.invalid(&at.child("podManagementPolicy"), other, "must be 'OrderedReady' or 'Parallel'"),
    }
    update_strategy(spec.at("updateStrategy"), options.recreate, &at.child("updateStrategy"), errs);
    retention(spec.at("persistentVolumeClaimRetentionPolicy"), &at.child("persistentVolumeClaimRetentionPolicy"), errs);
    if !options.skip_claims {
        for (i, claim) in spec.list("volumeClaimTemplates").iter().enumerate() {
            let at = at.child("volumeClaimTemplates").index(i).child("spec");
            pod::claim::spec(claim.at("spec"), &at, errs);
        }
    }
    workload::not_negative(spec, &["replicas", "minReadySeconds"], at, errs);
    checks::not_negative(errs, &at.child("ordinals.start"), spec.at("ordinals").int("start"));
    let service = spec.str("serviceName");
    if !options.invalid_service_name && !service.is_empty() {
        checks::messages(errs, &at.child("serviceName"), service, words::dns1123_label(service));
    }
    let selector_at = at.child("selector");
    workload::required_selector(spec.at("selector"), "empty selector is invalid for statefulset", &selector_at, errs);
    template(spec, at, pod_options, options, errs);
    workload::always_restarts(spec.at("template"), "StatefulSet", &at.child("template"), errs);
}

fn update_strategy(strategy: &Value, recreate: bool, at: &Path, errs: &mut Errors) {
    let rolling = strategy.at("rollingUpdate");
    let rolling_at = at.child("rollingUpdate");
    match strategy.str("type") {
        "" => errs.required(at, ""),
        "Recreate" if !recreate => unknown_strategy(strategy, recreate, at, errs),
        "OnDelete" | "Recreate" => {
            if !rolling.is_null() {
                errs.invalid(&rolling_at, shown_rolling_update(rolling), ONLY_ROLLING);
            }
        }
        "RollingUpdate" if rolling.is_null() => {}
        "RollingUpdate" => rolling_update(rolling, &rolling_at, errs),
        _ => unknown_strategy(strategy, recreate, at, errs),
    }
}

fn unknown_strategy(strategy: &Value, recreate: bool, at: &Path, errs: &mut Errors) {
    let rolling = shown_rolling_update(strategy.at("rollingUpdate"));
    let shown = value!({"Type": (strategy.at("type")), "RollingUpdate": rolling});
    errs.invalid(
        at,
        shown,
        if recreate {
            "must be 'RollingUpdate', 'OnDelete', or 'Recreate'"
        } else {
            "must be 'RollingUpdate' or 'OnDelete'"
        },
    );
}

/// As Go prints the internal struct.
fn shown_rolling_update(rolling: &Value) -> Value {
    if rolling.is_null() {
        return Value::Null;
    }
    value!({"Partition": (rolling.int("partition")), "MaxUnavailable": (rolling.at("maxUnavailable"))})
}

/// Upstream: `validateRollingUpdateStatefulSet`.
fn rolling_update(rolling: &Value, at: &Path, errs: &mut Errors) {
    checks::not_negative(errs, &at.child("partition"), rolling.int("partition"));
    let (unavailable, at) = (rolling.at("maxUnavailable"), at.child("maxUnavailable"));
    if unavailable.is_null() {
        return;
    }
    workload::positive_int_or_percent(unavailable, &at, errs);
    if workload::int_or_percent_value(unavailable) == 0 {
        errs.invalid(&at, unavailable, "cannot be 0");
    }
    workload::not_more_than_100_percent(unavailable, &at, errs);
}

fn retention(policy: &Value, at: &Path, errs: &mut Errors) {
    if policy.is_null() {
        return;
    }
    for member in ["whenDeleted", "whenScaled"] {
        checks::one_of(errs, &at.child(member), policy.str(member), &["Retain", "Delete"]);
    }
}

/// The template as its pods will be: with the claims' volumes, and without what the controller overwrites.
fn template(spec: &Value, at: &Path, pod_options: &pod::Options, options: Options, errs: &mut Errors) {
    let Some(selector) = workload::parsed_selector(spec.at("selector"), "", &at.child("selector"), errs) else {
        return;
    };
    let (template, at) = (as_made(spec), at.child("template"));
    workload::selector_matches(&selector, &template, &at.child("metadata").child("labels"), errs);
    if !options.skip_template {
        pod::template(&template, &at, pod_options, errs);
    }
    let metadata = template.at("metadata");
    checks::labels(metadata.at("labels"), &at.child("labels"), errs);
    pod::annotations::general(metadata.at("annotations"), &at.child("annotations"), errs);
    let annotations_at = at.child("annotations");
    pod::annotations::specific(metadata.at("annotations"), template.at("spec"), &annotations_at, pod_options, errs);
}

fn as_made(spec: &Value) -> Value {
    let mut template = spec.at("template").clone();
    let pod = template.entry("spec");
    pod.remove("subdomain");
    pod.remove("hostname");
    let claims = spec.list("volumeClaimTemplates");
    if claims.is_empty() {
        return template;
    }
    let mut volumes: Vec<Value> = Vec::new();
    for name in claims.iter().map(|claim| api::meta::of(claim).name()) {
        if !volumes.iter().any(|volume| volume.str("name") == name) {
            volumes.push(value!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        }
    }
    let from_claims = volumes.len();
    for volume in pod.list("volumes") {
        if !volumes[..from_claims].iter().any(|v| v.str("name") == volume.str("name")) {
            volumes.push(volume.clone());
        }
    }
    pod.set("volumes", volumes);
    template
}

/// Upstream: `ValidateStatefulSetStatusUpdate`.
fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let (status, at) = (new.at("status"), Path::new("status"));
    let within = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    checks::not_negative(&mut errs, &at.child("replicas"), status.int("replicas"));
    workload::not_negative(status, &within, &at, &mut errs);
    workload::not_negative(status, &["observedGeneration", "collisionCount"], &at, &mut errs);
    workload::at_most(status, &within, "replicas", "cannot be greater than status.replicas", &at, &mut errs);
    let ready = "cannot be greater than status.readyReplicas";
    workload::at_most(status, &["availableReplicas"], "readyReplicas", ready, &at, &mut errs);
    workload::collision_count(status, old.at("status"), &at, &mut errs);
    errs
}

fn ready(set: &Value) -> Value {
    let ready = set.at("status").int("readyReplicas");
    format!("{ready}/{}", set.at("spec").int("replicas")).into()
}
