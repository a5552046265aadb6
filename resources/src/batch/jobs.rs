//! Jobs.
//!
//! Upstream: pkg/apis/batch/validation/validation.go `ValidateJobCreate`, `ValidateJobUpdate`,
//! pkg/registry/batch/job/strategy.go.

mod indexes;
mod policies;
mod status;
mod update;

use api::{
    Value,
    field::{Errors, Path},
    names,
    selector::Selector,
};

use super::GROUP;
use crate::{
    cells,
    checks::{self, SelectorOptions},
    pod,
    row::{
        AGE, Column, Context, Deletion, Generation, LabelWords, NAME, Policy, Row, Rules, Selectable, StatusRules,
        Subresource, Version, column,
    },
    strategy::{drop_unless_used, keep_status, stored},
    workload,
};

const LEGACY_JOB_NAME: &str = "job-name";
const LEGACY_CONTROLLER_UID: &str = "controller-uid";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
const TEMPLATE: [&str; 2] = ["spec", "template"];
const LABELS: [&str; 4] = ["spec", "template", "metadata", "labels"];
/// Above so many completions an indexed job is bounded more strictly.
const MANY_COMPLETIONS: i64 = 100_000;
const PARALLELISM_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
const MANY_COMPLETIONS_LIMIT: i64 = 10_000;
const MANAGED_BY_LEN_MAX: usize = 63;

const ORPHANS_PODS: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

pub const ROW: Row = Row {
    group: GROUP,
    kind: "Job",
    name_on_update: false,
    label_words: LabelWords::Kind,
    plural: "jobs",
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.batch.v1.Job")],
    stored: stored(GROUP, "v1", "jobs"),
    subresources: &[Subresource::Status(STATUS)],
    filled_on_read: true,
    generation: Generation::WhenChanged(&["spec"]),
    reset: &["status"],
    columns: COLUMNS,
    selectable: &[Selectable { label: "status.successful", value: |o| o.at("status").int("succeeded").to_string() }],
    // For clients that came before garbage collection.
    deletion: Deletion { default_policy: Policy::Orphan, grace: None, warning: ORPHANS_PODS },
    rules: Rules {
        prepare_create,
        prepare_update,
        validate: |new, _| validate(new),
        validate_update: |new, old, _| update::validate(new, old),
        warn,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const STATUS: StatusRules =
    StatusRules { validate: |new, old, _| status::validate(new, old), ..StatusRules::STATUS_AND_METADATA };

const COLUMNS: &[Column] = &[
    NAME,
    column("Status", "string", |o, _| state(o).into()),
    column("Completions", "string", |o, _| completions(o).into()),
    column("Duration", "string", took),
    AGE,
    workload::CONTAINERS,
    workload::IMAGES,
    workload::SELECTOR,
];

/// Upstream: `SetDefaults_Job`.
pub fn default(job: &mut Value) {
    let spec = job.entry("spec");
    if !spec.has("completions") && !spec.has("parallelism") {
        spec.set("completions", 1);
    }
    spec.default("parallelism", 1);
    let limit = if spec.has("backoffLimitPerIndex") { i64::from(i32::MAX) } else { 6 };
    spec.default("backoffLimit", limit);
    spec.default("completionMode", "NonIndexed");
    spec.default("suspend", false);
    let replacement = if spec.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    spec.default("podReplacementPolicy", replacement);
    spec.default("manualSelector", false);
    share_labels(job);
}

/// A job without labels has those of its template. Defaults say so, and say it again of a stored job, when the template
/// has got its generated labels.
fn share_labels(job: &mut Value) {
    let labels = job.at_path(&LABELS).clone();
    if labels.members().next().is_some() && job.at_path(&["metadata", "labels"]).members().next().is_none() {
        job.set_path(&["metadata", "labels"], labels);
    }
}

// --- preparation

fn prepare_create(new: &mut Value, context: &Context<'_>) {
    if !new.at("spec").bool("manualSelector") {
        generate_selector(new);
    }
    new.remove("status");
    drop_disabled(new, None, &["spec"]);
    workload::drop_disabled(new, None, &TEMPLATE, context);
}

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_status(new, old, context);
    drop_disabled(new, Some(old), &["spec"]);
    workload::drop_disabled(new, Some(old), &TEMPLATE, context);
}

/// Jobs that are scheduled as a group: a feature that is off.
pub fn drop_disabled(new: &mut Value, old: Option<&Value>, job_spec: &[&str]) {
    let path: Vec<&str> = job_spec.iter().copied().chain(["scheduling"]).collect();
    drop_unless_used(new, old, &path);
}

/// Labels that no other job's pods have, and a selector on them. Upstream: `generateSelector`.
fn generate_selector(job: &mut Value) {
    let meta = api::meta::of(job);
    let (name, uid) = (meta.name().to_string(), meta.uid().to_string());
    // Labels that defaults took over from the template are the template's own, so that they get these, too.
    let shared = !meta.labels().is_empty() && meta.labels() == job.at_path(&LABELS);
    let labels = job.entry_path(&LABELS);
    for (key, value) in
        [(LEGACY_JOB_NAME, &name), (JOB_NAME, &name), (LEGACY_CONTROLLER_UID, &uid), (CONTROLLER_UID, &uid)]
    {
        labels.default(key, value);
    }
    if shared {
        let labels = labels.clone();
        job.set_path(&["metadata", "labels"], labels);
    }
    job.entry_path(&["spec", "selector", "matchLabels"]).default(CONTROLLER_UID, uid);
}

// --- warnings

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let generation = |object: &Value| api::meta::of(object).generation();
    let mut warnings = Vec::new();
    if old.is_none() {
        warnings.extend(workload::name_warning(new));
    }
    if old.is_none_or(|old| generation(old) != generation(new)) {
        warnings.extend(spec_warnings(new.at("spec"), old.map(|old| old.at("spec")), &Path::new("spec")));
    }
    warnings
}

/// Upstream: `WarningsForJobSpec`.
pub fn spec_warnings(spec: &Value, old: Option<&Value>, at: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    let many = spec.int("completions") > MANY_COMPLETIONS && spec.int("parallelism") > MANY_COMPLETIONS_LIMIT;
    if is_indexed(spec) && many {
        warnings.push(format!(
            "{at}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
             Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    let old = old.map(|old| old.at("template"));
    warnings.extend(pod::warnings::template(spec.at("template"), old, &at.child("template")));
    warnings
}

// --- validation

fn is_indexed(spec: &Value) -> bool {
    spec.str("completionMode") == "Indexed"
}

fn validate(job: &Value) -> Errors {
    let mut errs = Errors::new();
    generated_selector(job, &mut errs);
    spec_with_selector(job.at("spec"), &pod::Options::of_template(None), &mut errs);
    name_allows_completions(job, &mut errs);
    errs
}

/// Upstream: `validateGeneratedSelector`.
fn generated_selector(job: &Value, errs: &mut Errors) {
    let spec = job.at("spec");
    if spec.bool("manualSelector") || !spec.has("selector") {
        return;
    }
    let meta = api::meta::of(job);
    let (name, uid) = (meta.name(), meta.uid());
    if uid.is_empty() {
        errs.required(&Path::new("metadata").child("uid"), "");
    }
    let expected = [(LEGACY_CONTROLLER_UID, uid), (LEGACY_JOB_NAME, name), (CONTROLLER_UID, uid), (JOB_NAME, name)];
    let labels = job.at_path(&LABELS);
    for (key, value) in expected {
        let at = Path::new("spec").children(&["template", "metadata", "labels"]).key(key);
        match labels.opt_str(key) {
            Some(found) if found == value => {}
            Some(_) => errs.invalid(&at, workload::shown(labels), format!("must be '{value}'")),
            None => errs.required(&at, format!("must be '{value}'")),
        }
    }
    let wanted = |key: &str| expected.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    if let Ok(selector) = Selector::from_label_selector(spec.at("selector"))
        && !selector.matches_with(wanted)
    {
        let shown = workload::shown(spec.at("selector"));
        errs.invalid(&Path::new("spec").child("selector"), shown, "`selector` not auto-generated");
    }
}

/// Upstream: `ValidateJobSpec`.
fn spec_with_selector(spec: &Value, options: &pod::Options, errs: &mut Errors) {
    let at = Path::new("spec");
    self::spec(spec, options, &at, errs);
    let selector = spec.at("selector");
    if selector.is_null() {
        errs.required(&at.child("selector"), "");
    } else {
        let allowed = SelectorOptions { invalid_values: options.invalid_selector_values, ..Default::default() };
        checks::label_selector(selector, allowed, &at.child("selector"), errs);
    }
    if let Ok(selector) = Selector::from_label_selector(selector) {
        let at = at.children(&["template", "metadata", "labels"]);
        workload::selector_matches(&selector, spec.at("template"), &at, errs);
    }
}

/// The last pod's host name has to be one. Upstream: `validateNameAllowsCompletions`.
fn name_allows_completions(job: &Value, errs: &mut Errors) {
    let completions = job.at("spec").int("completions");
    if !is_indexed(job.at("spec")) || completions <= 0 {
        return;
    }
    let name = api::meta::of(job).name();
    let host = format!("{name}-{}", completions - 1);
    if !names::dns1123_label(&host).is_empty() {
        let detail = format!("will not able to create pod with invalid DNS label: {host}");
        errs.invalid(&Path::new("metadata").child("name"), name, detail);
    }
}

/// The part that a cron job's template shares. Upstream: `validateJobSpec`.
pub fn spec(spec: &Value, options: &pod::Options, at: &Path, errs: &mut Errors) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    workload::not_negative(spec, &counts, at, errs);
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        errs.required(&at.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = spec.opt_str("managedBy") {
        errs.extend(names::domain_prefixed_path(&at.child("managedBy"), manager));
        if manager.len() > MANAGED_BY_LEN_MAX {
            errs.too_long(&at.child("managedBy"), MANAGED_BY_LEN_MAX as i64);
        }
    }
    completion_mode(spec, at, errs);
    if spec.has("podFailurePolicy") {
        policies::failure(spec, &at.child("podFailurePolicy"), errs);
    }
    if spec.has("successPolicy") {
        let at = at.child("successPolicy");
        if is_indexed(spec) {
            policies::success(spec, &at, errs);
        } else {
            errs.invalid(&at, policies::shown_success(spec.at("successPolicy")), "requires indexed completion mode");
        }
    }
    pod_replacement(spec, &at.child("podReplacementPolicy"), errs);
    pod::template(spec.at("template"), &at.child("template"), options, errs);
    restart_policy(spec, &at.children(&["template", "spec", "restartPolicy"]), errs);
}

fn completion_mode(spec: &Value, at: &Path, errs: &mut Errors) {
    if let Some(mode) = spec.opt_str("completionMode") {
        checks::one_of(errs, &at.child("completionMode"), mode, &["NonIndexed", "Indexed"]);
    }
    match spec.opt_str("completionMode") {
        Some("Indexed") => indexed(spec, at, errs),
        None | Some("NonIndexed") => {
            for member in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(value) = spec.opt_int(member) {
                    errs.invalid(&at.child(member), value, "requires indexed completion mode");
                }
            }
        }
        _ => {}
    }
}

fn indexed(spec: &Value, at: &Path, errs: &mut Errors) {
    let (parallelism, completions) = (spec.int("parallelism"), spec.opt_int("completions"));
    let failed = spec.opt_int("maxFailedIndexes");
    let (parallelism_at, failed_at) = (at.child("parallelism"), at.child("maxFailedIndexes"));
    if completions.is_none() {
        errs.required(&at.child("completions"), "when completion mode is Indexed");
    }
    if parallelism > PARALLELISM_MAX {
        let detail = format!("must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed");
        errs.invalid(&parallelism_at, parallelism, detail);
    }
    if let (Some(failed), Some(completions)) = (failed, completions)
        && failed > completions
    {
        errs.invalid(&failed_at, failed, "must be less than or equal to completions");
    }
    if let Some(failed) = failed.filter(|failed| *failed > FAILED_INDEXES_MAX) {
        errs.invalid(&failed_at, failed, format!("must be less than or equal to {FAILED_INDEXES_MAX}"));
    }
    if completions.unwrap_or(0) <= MANY_COMPLETIONS || !spec.has("backoffLimitPerIndex") {
        return;
    }
    if failed.is_none() {
        errs.required(&failed_at, format!("must be specified when completions is above {MANY_COMPLETIONS}"));
    }
    let detail = format!(
        "must be less than or equal to {MANY_COMPLETIONS_LIMIT} when completions are above {MANY_COMPLETIONS} and used \
         with backoff limit per index"
    );
    if parallelism > MANY_COMPLETIONS_LIMIT {
        errs.invalid(&parallelism_at, parallelism, detail.clone());
    }
    if let Some(failed) = failed.filter(|failed| *failed > MANY_COMPLETIONS_LIMIT) {
        errs.invalid(&failed_at, failed, detail);
    }
}

/// Upstream: `validatePodReplacementPolicy`.
fn pod_replacement(spec: &Value, at: &Path, errs: &mut Errors) {
    let Some(policy) = spec.opt_str("podReplacementPolicy") else { return };
    let valid: &[&str] = if spec.has("podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    checks::one_of(errs, at, policy, valid);
}

fn restart_policy(spec: &Value, at: &Path, errs: &mut Errors) {
    match spec.at_path(&["template", "spec"]).str("restartPolicy") {
        "Always" | "" => errs.required(at, "valid values: \"OnFailure\", \"Never\""),
        policy @ ("OnFailure" | "Never") => {
            if spec.has("podFailurePolicy") && policy != "Never" {
                errs.invalid(at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
            }
        }
        other => errs.not_supported(at, other, &["OnFailure", "Never"]),
    }
}

// --- cells

fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = job.at("status").list("conditions");
    conditions.iter().find(|c| c.str("type") == kind).is_some_and(|c| c.str("status") == "True")
}

fn state(job: &Value) -> &'static str {
    match () {
        () if has_condition(job, "Complete") => "Complete",
        () if has_condition(job, "Failed") => "Failed",
        () if api::meta::of(job).is_terminating() => "Terminating",
        () if has_condition(job, "Suspended") => "Suspended",
        () if has_condition(job, "FailureTarget") => "FailureTarget",
        () if has_condition(job, "SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(job: &Value) -> String {
    let (spec, succeeded) = (job.at("spec"), job.at("status").int("succeeded"));
    match (spec.opt_int("completions"), spec.int("parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn took(job: &Value, now: jiff::Timestamp) -> Value {
    let status = job.at("status");
    match status.str("startTime") {
        "" => "".into(),
        start => cells::age(start, api::time::parse(status.str("completionTime")).unwrap_or(now)).into(),
    }
}
