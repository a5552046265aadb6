//! What a job's status may say: its parts have to agree, and what is over stays over.
//!
//! A rule about parts that did not change is not applied: older controllers wrote what they wrote. Upstream:
//! pkg/apis/batch/validation/validation.go `ValidateJobStatusUpdate`, pkg/registry/batch/job/strategy.go
//! `getStatusValidationOptions`.

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use super::{
    indexes, is_indexed,
    policies::omitted,
    update::{is, is_true},
};
use crate::{checks, workload};

/// A job's change, read from both sides.
struct Change<'a> {
    new: &'a Value,
    old: &'a Value,
}

// === impl Change ===

impl Change<'_> {
    fn member(&self, name: &str) -> bool {
        let of = |job: &Value| job.at("status").at(name).clone();
        let (new, old) = (of(self.new), of(self.old));
        // Go has no difference between 0 or "" and nothing in the members that are no pointers.
        let plain = matches!(name, "active" | "completedIndexes");
        !(checks::same(&new, &old) || plain && new.is_empty() && old.is_empty())
    }

    fn condition(&self, kind: &str) -> bool {
        is_true(self.new, kind) != is_true(self.old, kind)
    }

    fn finished(&self) -> bool {
        is_finished(self.new) != is_finished(self.old)
    }
}

fn is_finished(job: &Value) -> bool {
    is_true(job, "Complete") || is_true(job, "Failed")
}

pub fn validate(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status");
    let change = Change { new, old };
    counts(new.at("status"), &at, &mut errs);
    ends(&change, &at, &mut errs);
    finished(&change, &at, &mut errs);
    index_lists(&change, &at, &mut errs);
    rest(&change, &at, &mut errs);
    history(&change, &at, &mut errs);
    errs
}

fn counts(status: &Value, at: &Path, errs: &mut Errors) {
    workload::not_negative(status, &["active", "succeeded", "failed", "ready", "terminating"], at, errs);
    let at = at.child("uncountedTerminatedPods");
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        let uids = status.at("uncountedTerminatedPods").list(list);
        for (i, uid) in uids.iter().filter_map(Value::as_str).enumerate() {
            let at = at.child(list).index(i);
            match uid {
                "" => errs.invalid(&at, uid, "must not be empty"),
                _ if seen.contains(&uid) => errs.duplicate(&at, uid),
                _ => seen.push(uid),
            }
        }
    }
}

/// Conditions that end a job, and the time of its end.
fn ends(change: &Change<'_>, at: &Path, errs: &mut Errors) {
    let (job, status) = (change.new, change.new.at("status"));
    let (complete, failed) = (is_true(job, "Complete"), is_true(job, "Failed"));
    let (conditions, completion) = (at.child("conditions"), at.child("completionTime"));
    let complete_changed = change.condition("Complete");
    if (complete_changed || change.condition("Failed")) && complete && failed {
        omitted(errs, &conditions, "cannot set Complete=True and Failed=true conditions");
    }
    if (complete_changed || change.condition("FailureTarget")) && complete && is_true(job, "FailureTarget") {
        omitted(errs, &conditions, "cannot set Complete=True and FailureTarget=true conditions");
    }
    let time = status.str("completionTime");
    if complete_changed || change.member("completionTime") {
        if !time.is_empty() && !complete {
            errs.invalid(&completion, time, "cannot set completionTime when there is no Complete=True condition");
        }
        if time.is_empty() && complete {
            errs.required(&completion, "completionTime is required for Complete jobs");
        }
    }
    if change.member("startTime") || change.member("completionTime") {
        let times = (api::time::parse(status.str("startTime")), api::time::parse(time));
        if matches!(times, (Some(start), Some(end)) if end < start) {
            errs.invalid(&completion, time, "must be equal to or after `startTime`");
        }
    }
    if (change.condition("Failed") || change.member("failedIndexes")) && failed && !is_true(job, "FailureTarget") {
        omitted(errs, &conditions, "cannot set Failed=True condition without the FailureTarget=true condition");
    }
    let met = is_true(job, "SuccessCriteriaMet");
    if (complete_changed || change.condition("SuccessCriteriaMet")) && complete && !met {
        omitted(errs, &conditions, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    }
}

/// What a job that is over cannot have.
fn finished(change: &Change<'_>, at: &Path, errs: &mut Errors) {
    let (job, status, spec) = (change.new, change.new.at("status"), change.new.at("spec"));
    if !is_finished(job) {
        return;
    }
    let changed = change.finished();
    if (changed || change.member("active")) && status.int("active") > 0 {
        errs.invalid(&at.child("active"), status.int("active"), "active>0 is invalid for finished job");
    }
    let never_ran = spec.bool("suspend") && spec.opt_int("completions") == Some(0);
    if (changed || change.member("startTime")) && !never_ran && status.str("startTime").is_empty() {
        errs.required(&at.child("startTime"), "startTime is required for finished job");
    }
    let uncounted = status.at("uncountedTerminatedPods");
    let any = ["failed", "succeeded"].iter().any(|list| !uncounted.list(list).is_empty());
    if (changed || change.member("uncountedTerminatedPods")) && any {
        let shown = value!({"Succeeded": (uncounted.at("succeeded")), "Failed": (uncounted.at("failed"))});
        errs.invalid(&at.child("uncountedTerminatedPods"), shown, "must be empty for finished job");
    }
}

fn index_lists(change: &Change<'_>, at: &Path, errs: &mut Errors) {
    let (spec, status) = (change.new.at("spec"), change.new.at("status"));
    let (completed, failed) = (status.str("completedIndexes"), status.opt_str("failedIndexes"));
    let (completed_at, failed_at) = (at.child("completedIndexes"), at.child("failedIndexes"));
    let (completed_changed, failed_changed) = (change.member("completedIndexes"), change.member("failedIndexes"));
    let per_index = spec.has("backoffLimitPerIndex");
    let completions = spec.opt_int("completions");
    if let Some(Err(error)) = completions.filter(|_| completed_changed).map(|n| indexes::count(completed, n)) {
        errs.invalid(&completed_at, completed, format!("error parsing completedIndexes: {error}"));
    }
    if let (Some(text), Some(completions)) = (failed.filter(|_| failed_changed && per_index), completions)
        && let Err(error) = indexes::count(text, completions)
    {
        errs.invalid(&failed_at, text, format!("error parsing failedIndexes: {error}"));
    }
    if completed_changed && !completed.is_empty() && !is_indexed(spec) {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errs.invalid(&completed_at, completed, detail);
    }
    if let Some(text) = failed.filter(|_| failed_changed && !per_index) {
        errs.invalid(&failed_at, text, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if let (Some(text), Some(completions)) = (failed.filter(|_| failed_changed || completed_changed), completions)
        && let Some(index) = indexes::overlap(completed, text, completions)
    {
        errs.invalid(&failed_at, text, format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

fn rest(change: &Change<'_>, at: &Path, errs: &mut Errors) {
    let (job, status) = (change.new, change.new.at("status"));
    let terminating = status.int("terminating");
    if (change.finished() || change.member("terminating")) && terminating > 0 && is_finished(job) {
        errs.invalid(&at.child("terminating"), terminating, "terminating>0 is invalid for finished job");
    }
    let ready = status.int("ready");
    if (change.member("ready") || change.member("active")) && ready > status.int("active") && status.has("ready") {
        errs.invalid(&at.child("ready"), ready, "cannot set more ready pods than active");
    }
    let conditions = at.child("conditions");
    let met = is_true(job, "SuccessCriteriaMet");
    if met && is_true(job, "Failed") {
        omitted(errs, &conditions, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if met && is_true(job, "FailureTarget") {
        omitted(errs, &conditions, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    if job.at("spec").has("successPolicy") && !met && is_true(job, "Complete") {
        let detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        omitted(errs, &conditions, detail);
    }
}

/// What has happened cannot be undone.
fn history(change: &Change<'_>, at: &Path, errs: &mut Errors) {
    let (new, old) = (change.new, change.old);
    let (status, was, spec) = (new.at("status"), old.at("status"), new.at("spec"));
    let conditions = at.child("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, kind) && !is_true(new, kind) {
            omitted(errs, &conditions, &format!("cannot disable the terminal {kind}=True condition"));
        }
    }
    if status.int("failed") < was.int("failed") {
        errs.invalid(&at.child("failed"), status.int("failed"), "cannot decrease the failed counter");
    }
    let scales = is_indexed(spec) && spec.opt_int("completions") == spec.opt_int("parallelism");
    if !scales && status.int("succeeded") < was.int("succeeded") {
        errs.invalid(&at.child("succeeded"), status.int("succeeded"), "cannot decrease the succeeded counter");
    }
    let (time, before) = (status.str("completionTime"), was.str("completionTime"));
    if !time.is_empty() && !before.is_empty() && time != before {
        errs.invalid(&at.child("completionTime"), time, checks::IMMUTABLE);
    }
    let resuming = is_true(old, "Suspended") && is(new, "Suspended", "False");
    let restarted = !was.str("startTime").is_empty() && status.str("startTime") != was.str("startTime");
    if restarted && !resuming && !spec.bool("suspend") {
        let detail = "field is immutable for unsuspended job once set";
        errs.invalid(&at.child("startTime"), status.at("startTime"), detail);
    }
    let (met, was_met) = (is_true(new, "SuccessCriteriaMet"), is_true(old, "SuccessCriteriaMet"));
    if was_met && !met {
        omitted(errs, &conditions, "cannot disable the SuccessCriteriaMet=True condition");
    }
    if is_true(old, "Complete") && !was_met && met {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        omitted(errs, &conditions, detail);
    }
}
