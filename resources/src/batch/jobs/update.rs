//! What of a job may change.
//!
//! Upstream: pkg/apis/batch/validation/validation.go `ValidateJobUpdate`, pkg/registry/batch/job/strategy.go
//! `validationOptionsForJob`.

use api::{
    Value,
    field::{Errors, Path},
};

use super::{LABELS, TEMPLATE, has_condition, is_indexed, name_allows_completions, policies, spec_with_selector};
use crate::{checks, pod, workload};

pub fn validate(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let (at, spec, was) = (Path::new("spec"), new.at("spec"), old.at("spec"));
    let mut options = pod::Options::of_template(Some(old.at_path(&TEMPLATE)));
    options.invalid_selector_values |= workload::selector_has_invalid_value(was.at("selector"));
    spec_with_selector(spec, &options, &mut errs);
    completions(spec, was, &at.child("completions"), &mut errs);
    let selector = workload::shown(spec.at("selector"));
    checks::immutable(&selector, was.at("selector"), &at.child("selector"), &mut errs);
    template(new, old, &mut errs);
    let mut immutable = |member: &str, shown: fn(&Value) -> Value| {
        checks::immutable_shown(spec.at(member), was.at(member), shown, &at.child(member), &mut errs);
    };
    immutable("completionMode", Value::clone);
    immutable("podFailurePolicy", policies::shown_failure);
    immutable("backoffLimitPerIndex", Value::clone);
    immutable("managedBy", Value::clone);
    immutable("successPolicy", policies::shown_success);
    name_allows_completions(new, &mut errs);
    errs
}

/// Indexed jobs can be scaled, when completions and parallelism stay the same number. Upstream: `validateCompletions`.
fn completions(spec: &Value, was: &Value, at: &Path, errs: &mut Errors) {
    if !is_indexed(spec) {
        checks::immutable(spec.at("completions"), was.at("completions"), at, errs);
        return;
    }
    let (now, before) = (spec.opt_int("completions"), was.opt_int("completions"));
    if let Some(completions) = now.filter(|_| now != before)
        && completions != spec.int("parallelism")
    {
        errs.invalid(at, completions, "can only be modified in tandem with spec.parallelism");
    }
}

/// A job that is suspended, and none of whose pods run. Upstream: `shouldAllowMutablePodTemplate`.
fn is_at_rest(job: &Value) -> bool {
    let status = job.at("status");
    let never_or_no_more = status.str("startTime").is_empty() || is_true(job, "Suspended");
    job.at("spec").bool("suspend") && never_or_no_more && status.int("active") == 0
}

/// Unlike [`has_condition`], any of several conditions of the type will do. Upstream: `IsConditionTrue`.
pub(super) fn is_true(job: &Value, kind: &str) -> bool {
    has_condition(job, kind) || is(job, kind, "True")
}

pub(super) fn is(job: &Value, kind: &str, status: &str) -> bool {
    job.at("status").list("conditions").iter().any(|c| c.str("type") == kind && c.str("status") == status)
}

/// The template, but for what a job at rest may change. Upstream: `validatePodTemplateUpdate`.
fn template(new: &Value, old: &Value, errs: &mut Errors) {
    let (template, mut was) = (new.at_path(&TEMPLATE), old.at_path(&TEMPLATE).clone());
    let at_rest = is_at_rest(old);
    if at_rest {
        take_over_directives(template, &mut was);
    }
    let at = Path::new("spec").child("template");
    if !at_rest {
        if !checks::same(template, &was) {
            errs.invalid_raw(&at, pod::internal::json("PodTemplateSpec", template), checks::IMMUTABLE);
        }
        return;
    }
    let (pod, mut was) = (template.at("spec"), was.at("spec").clone());
    take_over_resources(pod, &mut was);
    if !checks::same(pod, &was) {
        errs.invalid_raw(&at.child("spec"), pod::internal::json("PodSpec", pod), checks::IMMUTABLE);
    }
}

/// What tells the scheduler where to go.
fn take_over_directives(template: &Value, was: &mut Value) {
    let affinity = template.at_path(&["spec", "affinity"]);
    if affinity.is_null() {
        was.remove_path(&["spec", "affinity", "nodeAffinity"]);
        if was.at_path(&["spec", "affinity"]).is_empty() {
            was.remove_path(&["spec", "affinity"]);
        }
    } else {
        was.set_path(&["spec", "affinity", "nodeAffinity"], affinity.at("nodeAffinity"));
    }
    for member in ["nodeSelector", "tolerations", "schedulingGates"] {
        was.set_path(&["spec", member], template.at("spec").at(member));
    }
    let metadata = template.at("metadata");
    was.set_path(&LABELS[2..], metadata.at("labels"));
    was.set_path(&["metadata", "annotations"], metadata.at("annotations"));
}

/// What containers of the same place and name may use. Upstream: `validatePodResourceUpdatesOnly`.
fn take_over_resources(pod: &Value, was: &mut Value) {
    for list in ["containers", "initContainers"] {
        let containers = pod.list(list);
        let Some(before) = was.get_mut(list).and_then(Value::as_array_mut) else { continue };
        if before.len() != containers.len() {
            continue;
        }
        for (was, now) in before.iter_mut().zip(containers).filter(|(was, now)| was.str("name") == now.str("name")) {
            was.set("resources", now.at("resources"));
        }
    }
}
