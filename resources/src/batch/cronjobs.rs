//! Cron jobs.
//!
//! Upstream: pkg/apis/batch/validation/validation.go `ValidateCronJobCreate`, pkg/registry/batch/cronjob/strategy.go.

use api::{
    Value, cron,
    field::{Errors, Path},
};

use super::{GROUP, jobs};
use crate::{
    cells, checks, pod,
    row::{AGE, Column, Context, Generation, NAME, Row, Rules, StatusRules, Subresource, Version, column, wide},
    strategy::{keep_status, stored, text},
    workload,
};

const JOB: [&str; 3] = ["spec", "jobTemplate", "spec"];
const TEMPLATE: [&str; 4] = ["spec", "jobTemplate", "spec", "template"];
/// A job's name is this one's with a dash and ten digits.
const NAME_LEN_MAX: usize = 63 - 11;

pub const ROW: Row = Row {
    group: GROUP,
    kind: "CronJob",
    name_on_update: false,
    plural: "cronjobs",
    short_names: &["cj"],
    categories: &["all"],
    versions: &[Version::stable("v1", "io.k8s.api.batch.v1.CronJob")],
    stored: stored(GROUP, "v1", "cronjobs"),
    subresources: &[Subresource::Status(StatusRules {
        finalizers_on_update: false,
        ..StatusRules::STATUS_AND_METADATA
    })],
    generation: Generation::WhenChanged(&["spec"]),
    reset: &["status"],
    columns: COLUMNS,
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
    column("Schedule", "string", |o, _| text(o, &["spec", "schedule"])),
    column("Timezone", "string", |o, _| o.at("spec").opt_str("timeZone").unwrap_or(cells::NONE).into()),
    column("Suspend", "boolean", |o, _| suspended(o).into()),
    column("Active", "integer", |o, _| o.at("status").list("active").len().into()),
    column("Last Schedule", "string", |o, now| match o.at("status").str("lastScheduleTime") {
        "" => cells::NONE.into(),
        at => cells::age(at, now).into(),
    }),
    AGE,
    wide("Containers", "string", |o, _| workload::joined(containers(o), "name")),
    wide("Images", "string", |o, _| workload::joined(containers(o), "image")),
    wide("Selector", "string", |o, _| workload::selector_cell(o.at_path(&JOB).at("selector"))),
];

/// Upstream: `SetDefaults_CronJob`.
pub fn default(cron_job: &mut Value) {
    let spec = cron_job.entry("spec");
    if spec.str("concurrencyPolicy").is_empty() {
        spec.set("concurrencyPolicy", "Allow");
    }
    spec.default("suspend", false);
    spec.default("successfulJobsHistoryLimit", 3);
    spec.default("failedJobsHistoryLimit", 1);
}

fn prepare_create(new: &mut Value, context: &Context<'_>) {
    new.remove("status");
    jobs::drop_disabled(new, None, &JOB);
    workload::drop_disabled(new, None, &TEMPLATE, context);
}

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_status(new, old, context);
    jobs::drop_disabled(new, Some(old), &JOB);
    workload::drop_disabled(new, Some(old), &TEMPLATE, context);
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let generation = |object: &Value| api::meta::of(object).generation();
    let at = Path::new("spec").child("jobTemplate").child("spec");
    let mut warnings = Vec::new();
    if old.is_none() {
        warnings.extend(workload::name_warning(new));
    }
    if old.is_none_or(|old| generation(old) != generation(new)) {
        warnings.extend(jobs::spec_warnings(new.at_path(&JOB), old.map(|old| old.at_path(&JOB)), &at));
    }
    if old.is_some() && new.at("spec").str("schedule").contains("TZ") {
        warnings.push(
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                .into(),
        );
    }
    warnings
}

/// Upstream: `validateCronJobSpec`.
fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (new.at("spec"), Path::new("spec"));
    let was = old.map(|old| old.at("spec"));
    match spec.str("schedule") {
        "" => errs.required(&at.child("schedule"), ""),
        schedule => self::schedule(schedule, spec, was, &at.child("schedule"), &mut errs),
    }
    checks::not_negative(&mut errs, &at.child("startingDeadlineSeconds"), spec.int("startingDeadlineSeconds"));
    if let Some(zone) = spec.opt_str("timeZone")
        && was.is_none_or(|was| was.opt_str("timeZone") != Some(zone))
    {
        time_zone(zone, &at.child("timeZone"), &mut errs);
    }
    match spec.str("concurrencyPolicy") {
        "" => errs.required(&at.child("concurrencyPolicy"), ""),
        policy => checks::one_of(&mut errs, &at.child("concurrencyPolicy"), policy, &["Allow", "Forbid", "Replace"]),
    }
    let options = pod::Options::of_template(old.map(|old| old.at_path(&TEMPLATE)));
    job_template(new.at_path(&JOB), &options, &at.child("jobTemplate").child("spec"), &mut errs);
    workload::not_negative(spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"], &at, &mut errs);
    let name = api::meta::of(new).name();
    if old.is_none() && name.len() > NAME_LEN_MAX {
        errs.invalid(&Path::new("metadata").child("name"), name, "must be no more than 52 characters");
    }
    errs
}

/// Upstream: `validateScheduleFormat`.
fn schedule(schedule: &str, spec: &Value, was: Option<&Value>, at: &Path, errs: &mut Errors) {
    if let Err(error) = cron::parse(schedule) {
        errs.invalid(at, schedule, error);
    }
    let had_zone = was.is_some_and(|was| was.str("schedule").contains("TZ"));
    match schedule.contains("TZ") {
        true if !had_zone => {
            errs.invalid(at, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
        true if spec.has("timeZone") => {
            errs.invalid(at, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        }
        _ => {}
    }
}

/// Upstream: `validateTimeZone`.
fn time_zone(zone: &str, at: &Path, errs: &mut Errors) {
    if zone.is_empty() {
        errs.invalid(at, zone, "timeZone must be nil or non-empty string");
        return;
    }
    let right = |part: &str| {
        let known = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+'));
        known && (1..=14).contains(&part.len()) && part != "." && part != ".." && !part.starts_with('-')
    };
    if !zone.split('/').all(right) {
        errs.invalid(at, zone, format!("unknown time zone {zone}"));
        return;
    }
    if zone.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errs.invalid(at, zone, detail);
    }
    // Go takes exactly "Local" for the machine's own zone.
    if let Err(error) = cron::time_zone(zone)
        && zone != "Local"
    {
        errs.invalid(at, zone, error);
    }
}

/// Upstream: `ValidateJobTemplateSpec`.
fn job_template(job: &Value, options: &pod::Options, at: &Path, errs: &mut Errors) {
    jobs::spec(job, options, at, errs);
    if job.has("selector") {
        errs.invalid(&at.child("selector"), workload::shown(job.at("selector")), "`selector` will be auto-generated");
    }
    if job.bool("manualSelector") {
        errs.not_supported(&at.child("manualSelector"), true, &["nil", "false"]);
    }
}

fn containers(cron_job: &Value) -> &[Value] {
    cron_job.at_path(&TEMPLATE).at_path(&["spec", "containers"]).items()
}

fn suspended(cron_job: &Value) -> &'static str {
    match cron_job.at("spec").opt_bool("suspend") {
        Some(true) => "True",
        Some(false) => "False",
        None => cells::UNSET,
    }
}
