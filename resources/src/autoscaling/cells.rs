//! An autoscaler's targets in a table: `cpu: 10%/80%`.
//!
//! Upstream: pkg/printers/internalversion/printers.go `formatHPAMetrics`.

use api::Value;

use crate::cells::{NONE, UNKNOWN};

const SHOWN_MAX: usize = 2;

pub fn reference(target: &Value) -> String {
    format!("{}/{}", target.str("kind"), target.str("name"))
}

pub fn metrics(specs: &[Value], statuses: &[Value]) -> String {
    if specs.is_empty() {
        return NONE.into();
    }
    let of = |(i, spec): (usize, &Value)| metric(spec, statuses.get(i).unwrap_or(Value::NULL));
    let texts: Vec<String> = specs.iter().enumerate().take(SHOWN_MAX).map(of).collect();
    let shown = texts.join(", ");
    if specs.len() > SHOWN_MAX { format!("{shown} + {} more...", specs.len() - SHOWN_MAX) } else { shown }
}

fn metric(spec: &Value, status: &Value) -> String {
    match spec.str("type") {
        "External" => measured(spec.at("external"), status.at("external")),
        "Object" => measured(spec.at("object"), status.at("object")),
        "Pods" => {
            let current = current(status.at("pods"), "averageValue");
            format!("{current}/{}", quantity(spec.at("pods").at("target").at("averageValue")))
        }
        "Resource" => resource(spec.at("resource"), status.at("resource")),
        "ContainerResource" => resource(spec.at("containerResource"), status.at("containerResource")),
        _ => "<unknown type>".into(),
    }
}

fn measured(source: &Value, status: &Value) -> String {
    let target = source.at("target");
    if target.has("averageValue") {
        let found = status.at("current").opt_str("averageValue").unwrap_or(UNKNOWN);
        return format!("{found}/{} (avg)", quantity(target.at("averageValue")));
    }
    format!("{}/{}", current(status, "value"), quantity(target.at("value")))
}

fn resource(source: &Value, status: &Value) -> String {
    let (name, target) = (source.str("name"), source.at("target"));
    if target.has("averageValue") {
        return format!("{name}: {}/{}", current(status, "averageValue"), quantity(target.at("averageValue")));
    }
    let percent = |of: &Value| of.opt_int("averageUtilization").map(|percent| format!("{percent}%"));
    let current = percent(status.at("current")).unwrap_or(UNKNOWN.into());
    format!("{name}: {current}/{}", percent(target).unwrap_or("<auto>".into()))
}

/// What was measured, `<unknown>` without a status for the metric.
fn current(status: &Value, member: &str) -> String {
    if status.is_null() { UNKNOWN.into() } else { quantity(status.at("current").at(member)) }
}

/// As Go prints a pointer to a quantity.
fn quantity(value: &Value) -> String {
    value.as_str().unwrap_or("<nil>").into()
}
