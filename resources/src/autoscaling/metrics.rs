//! What is wrong with what an autoscaler measures.
//!
//! Upstream: pkg/apis/autoscaling/validation/validation.go `validateMetrics`.

use api::{
    Value,
    field::{Errors, Path},
    names,
    quantity::Quantity,
};

use super::{ReferenceOptions, reference};
use crate::{checks, pod};

const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// The sources of a metric in the order in which upstream looks for them.
const SOURCES: [(&str, &str); 5] = [
    ("object", "Object"),
    ("external", "External"),
    ("pods", "Pods"),
    ("resource", "Resource"),
    ("containerResource", "ContainerResource"),
];

pub fn list(spec: &Value, options: ReferenceOptions, at: &Path, errs: &mut Errors) {
    let metrics = spec.list("metrics");
    for (i, metric) in metrics.iter().enumerate() {
        self::metric(metric, options, &at.index(i), errs);
    }
    let outside = metrics.iter().any(|m| matches!(m.str("type"), "Object" | "External"));
    if spec.opt_int("minReplicas") == Some(0) && !outside {
        errs.forbidden(at, "must specify at least one Object or External metric to support scaling to zero replicas");
    }
}

/// Upstream: `validateMetricSpec`.
fn metric(metric: &Value, options: ReferenceOptions, at: &Path, errs: &mut Errors) {
    let (kind, kind_at) = (metric.str("type"), at.child("type"));
    if kind.is_empty() {
        errs.required(&kind_at, "must specify a metric source type");
    }
    checks::one_of(errs, &kind_at, kind, &TYPES);
    let present: Vec<&str> = SOURCES.iter().map(|(source, _)| *source).filter(|source| metric.has(source)).collect();
    if let Some(first) = present.first() {
        source(first, metric.at(first), options, &at.child(first), errs);
    }
    let expected = SOURCES.iter().find(|(_, of)| *of == kind).map(|(source, _)| *source);
    match expected {
        Some(source) if !metric.has(source) => {
            errs.required(&at.child(source), "must populate information for the given metric source");
        }
        Some(_) => {}
        None => checks::one_of(errs, &kind_at, kind, &TYPES),
    }
    if present.len() > 1 {
        for other in present.into_iter().filter(|source| Some(*source) != expected) {
            errs.forbidden(&at.child(other), "must populate the given metric source only");
        }
    }
}

fn source(kind: &str, source: &Value, options: ReferenceOptions, at: &Path, errs: &mut Errors) {
    match kind {
        "object" => object(source, options, at, errs),
        "external" => external(source, at, errs),
        "pods" => pods(source, at, errs),
        _ => resource(kind, source, at, errs),
    }
}

fn object(source: &Value, options: ReferenceOptions, at: &Path, errs: &mut Errors) {
    reference(source.at("describedObject"), options, &at.child("describedObject"), errs);
    let target = identified(source, at, errs);
    if !target.has("value") && !target.has("averageValue") {
        let at = at.child("target").child("averageValue");
        errs.required(&at, "must set either a target value or averageValue");
    }
}

fn external(source: &Value, at: &Path, errs: &mut Errors) {
    let target = identified(source, at, errs);
    let at = at.child("target");
    match (target.has("value"), target.has("averageValue")) {
        (false, false) => {
            let detail = "must set either a target value for metric or a per-pod target";
            errs.required(&at.child("averageValue"), detail);
        }
        (true, true) => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errs.forbidden(&at.child("value"), detail);
        }
        _ => {}
    }
}

fn pods(source: &Value, at: &Path, errs: &mut Errors) {
    if !identified(source, at, errs).has("averageValue") {
        errs.required(&at.child("target").child("averageValue"), "must specify a positive target averageValue");
    }
}

fn resource(kind: &str, source: &Value, at: &Path, errs: &mut Errors) {
    let of_container = kind == "containerResource";
    match source.str("name") {
        "" => errs.required(&at.child("name"), "must specify a resource name"),
        name if of_container => pod::resources::container_name(name, &at.child("name"), errs),
        _ => {}
    }
    if of_container {
        match source.str("container") {
            "" => errs.required(&at.child("container"), "must specify a container"),
            name => checks::messages(errs, &at.child("container"), name, names::dns1123_label(name)),
        }
    }
    let (target, at) = (source.at("target"), at.child("target"));
    self::target(target, &at, errs);
    match (target.has("averageUtilization"), target.has("averageValue")) {
        (false, false) => {
            let detail = "must set either a target raw value or a target utilization";
            errs.required(&at.child("averageUtilization"), detail);
        }
        (true, true) => {
            let detail = "may not set both a target raw value and a target utilization";
            errs.forbidden(&at.child("averageValue"), detail);
        }
        _ => {}
    }
}

/// A metric with a name, and its target.
fn identified<'a>(source: &'a Value, at: &Path, errs: &mut Errors) -> &'a Value {
    let at_name = at.child("metric").child("name");
    match source.at("metric").str("name") {
        "" => errs.required(&at_name, "must specify a metric name"),
        name => checks::messages(errs, &at_name, name, names::is_valid_path_segment_name(name)),
    }
    target(source.at("target"), &at.child("target"), errs);
    source.at("target")
}

/// Upstream: `validateMetricTarget`.
fn target(target: &Value, at: &Path, errs: &mut Errors) {
    let kind = target.str("type");
    if kind.is_empty() {
        errs.required(&at.child("type"), "must specify a metric target type");
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        errs.invalid(&at.child("type"), kind, "must be either Utilization, Value, or AverageValue");
    }
    for member in ["value", "averageValue"] {
        if target.has(member) && Quantity::of(target.at(member)).sign() != 1 {
            errs.invalid(&at.child(member), target.at(member), "must be positive");
        }
    }
    if let Some(percent) = target.opt_int("averageUtilization").filter(|percent| *percent < 1) {
        errs.invalid(&at.child("averageUtilization"), percent, "must be greater than 0");
    }
}
