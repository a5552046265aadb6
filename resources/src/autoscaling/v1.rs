//! autoscaling/v1: one target for CPU; everything else travels in annotations.
//!
//! Upstream: pkg/apis/autoscaling/v1/conversion.go, pkg/apis/autoscaling/helpers.go.

use api::{Value, field::go_json, value};

use super::{CPU_PERCENT, cpu};
use crate::pod::internal;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const ANNOTATIONS: [&str; 6] = [
    METRICS,
    BEHAVIOR,
    CURRENT_METRICS,
    CONDITIONS,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

/// A member's two names: in the hub (a path) and in v1; `true`: always written there, zero when it is missing.
type Names = (&'static [&'static str], &'static str, bool);

/// How a source (or its status) is written in v1, in the order of its members.
struct Form {
    member: &'static str,
    spec: &'static [Names],
    status: &'static [Names],
}

const METRIC: &[&str] = &["metric", "name"];
const SELECTOR: &[&str] = &["metric", "selector"];
const VALUE: &[&str] = &["target", "value"];
const AVERAGE: &[&str] = &["target", "averageValue"];
const UTILIZATION: &[&str] = &["target", "averageUtilization"];
const CURRENT: &[&str] = &["current", "value"];
const CURRENT_AVERAGE: &[&str] = &["current", "averageValue"];
const CURRENT_UTILIZATION: &[&str] = &["current", "averageUtilization"];

const FORMS: &[Form] = &[
    Form {
        member: "object",
        spec: &[
            (&["describedObject"], "target", true),
            (METRIC, "metricName", true),
            (VALUE, "targetValue", true),
            (SELECTOR, "selector", false),
            (AVERAGE, "averageValue", false),
        ],
        status: &[
            (&["describedObject"], "target", true),
            (METRIC, "metricName", true),
            (CURRENT, "currentValue", true),
            (SELECTOR, "selector", false),
            (CURRENT_AVERAGE, "averageValue", false),
        ],
    },
    Form {
        member: "pods",
        spec: &[(METRIC, "metricName", true), (AVERAGE, "targetAverageValue", true), (SELECTOR, "selector", false)],
        status: &[
            (METRIC, "metricName", true),
            (CURRENT_AVERAGE, "currentAverageValue", true),
            (SELECTOR, "selector", false),
        ],
    },
    Form {
        member: "resource",
        spec: &[
            (&["name"], "name", true),
            (UTILIZATION, "targetAverageUtilization", false),
            (AVERAGE, "targetAverageValue", false),
        ],
        status: &[
            (&["name"], "name", true),
            (CURRENT_UTILIZATION, "currentAverageUtilization", false),
            (CURRENT_AVERAGE, "currentAverageValue", true),
        ],
    },
    Form {
        member: "containerResource",
        spec: &[
            (&["name"], "name", true),
            (UTILIZATION, "targetAverageUtilization", false),
            (AVERAGE, "targetAverageValue", false),
            (&["container"], "container", true),
        ],
        status: &[
            (&["name"], "name", true),
            (CURRENT_UTILIZATION, "currentAverageUtilization", false),
            (CURRENT_AVERAGE, "currentAverageValue", true),
            (&["container"], "container", true),
        ],
    },
    Form {
        member: "external",
        spec: &[
            (METRIC, "metricName", true),
            (SELECTOR, "metricSelector", false),
            (VALUE, "targetValue", false),
            (AVERAGE, "targetAverageValue", false),
        ],
        status: &[
            (METRIC, "metricName", true),
            (SELECTOR, "metricSelector", false),
            (CURRENT, "currentValue", true),
            (CURRENT_AVERAGE, "currentAverageValue", false),
        ],
    },
];

/// Takes out what only v1 writes. Upstream: `DropRoundTripHorizontalPodAutoscalerAnnotations`.
pub fn drop_annotations(autoscaler: &mut Value) {
    let Some(annotations) = autoscaler.path_mut(&["metadata", "annotations"]) else { return };
    for key in ANNOTATIONS {
        annotations.remove(key);
    }
}

// --- from the hub

pub fn from_hub(autoscaler: &mut Value) {
    drop_annotations(autoscaler);
    let spec = autoscaler.at("spec").clone();
    let status = autoscaler.at("status").clone();
    let (first_cpu, others) = split(spec.list("metrics"));
    if !others.is_empty() {
        annotate(autoscaler, METRICS, &others.into_iter().map(|m| to_v1(m, |f| f.spec)).collect());
    }
    let current = status.list("currentMetrics");
    if !current.is_empty() {
        annotate(autoscaler, CURRENT_METRICS, &current.iter().map(|m| to_v1(m, |f| f.status)).collect());
    }
    if spec.has("behavior") {
        annotate(autoscaler, BEHAVIOR, &behavior_to_go(spec.at("behavior")));
    }
    if !status.list("conditions").is_empty() {
        annotate(autoscaler, CONDITIONS, &status.list("conditions").iter().map(condition).collect());
    }
    let out = autoscaler.entry("spec");
    out.remove("metrics");
    out.remove("behavior");
    out.set("targetCPUUtilizationPercentage", first_cpu);
    let used = |m: &&Value| is_cpu(m) && m.at_path(&["resource", "current"]).has("averageUtilization");
    let used = current.iter().rev().find(used).map(|m| m.at_path(&["resource", "current", "averageUtilization"]));
    let out = autoscaler.entry("status");
    out.remove("currentMetrics");
    out.remove("conditions");
    out.set("currentCPUUtilizationPercentage", used.cloned().unwrap_or_default());
}

fn is_cpu(metric: &Value) -> bool {
    metric.str("type") == "Resource" && metric.at("resource").str("name") == "cpu"
}

/// The first target for CPU in percent, and the metrics that are none such.
fn split(metrics: &[Value]) -> (Value, Vec<&Value>) {
    let percent = |m: &Value| m.at_path(&["resource", "target", "averageUtilization"]).clone();
    let is_target = |m: &&Value| is_cpu(m) && !percent(m).is_null();
    let first = metrics.iter().find(is_target).map(percent).unwrap_or_default();
    (first, metrics.iter().filter(|m| !is_target(m)).collect())
}

fn annotate(autoscaler: &mut Value, key: &str, value: &Value) {
    autoscaler.set_path(&["metadata", "annotations", key], go_json(value));
}

fn to_v1(metric: &Value, names: fn(&Form) -> &'static [Names]) -> Value {
    let mut out = value!({"type": (metric.str("type"))});
    for form in FORMS.iter().filter(|form| metric.has(form.member)) {
        let source = metric.at(form.member);
        let mut to = Value::object();
        for (path, name, always) in names(form) {
            match source.at_path(path) {
                Value::Null if !always => {}
                Value::Null => to.set(name, zero(name)),
                object if *name == "target" => to.set(name, self::reference(object)),
                value => to.set(name, value),
            }
        }
        out.set(form.member, to);
    }
    out
}

/// What Go writes where nothing is.
fn zero(name: &str) -> Value {
    match name {
        "target" => reference(Value::NULL),
        _ if name.ends_with("Value") => "0".into(),
        _ => "".into(),
    }
}

fn reference(object: &Value) -> Value {
    let mut out = value!({"kind": (object.str("kind")), "name": (object.str("name"))});
    if !object.str("apiVersion").is_empty() {
        out.set("apiVersion", object.str("apiVersion"));
    }
    out
}

fn condition(condition: &Value) -> Value {
    let mut out = value!({"type": (condition.str("type")), "status": (condition.str("status"))});
    out.set("lastTransitionTime", condition.at("lastTransitionTime"));
    for member in ["reason", "message", "observedGeneration"] {
        if !condition.at(member).is_empty() {
            out.set(member, condition.at(member));
        }
    }
    out
}

/// Upstream writes its internal struct, whose members have Go's names.
fn behavior_to_go(behavior: &Value) -> Value {
    value!({"ScaleUp": (rules_to_go(behavior.at("scaleUp"))), "ScaleDown": (rules_to_go(behavior.at("scaleDown")))})
}

fn rules_to_go(rules: &Value) -> Value {
    if rules.is_null() {
        return Value::Null;
    }
    let policy = |p: &Value| value!({"Type": (p.str("type")), "Value": (p.int("value")), "PeriodSeconds": (p.int("periodSeconds"))});
    let policies = match rules.at("policies") {
        Value::Array(policies) => policies.iter().map(policy).collect(),
        _ => Value::Null,
    };
    value!({
        "StabilizationWindowSeconds": (rules.at("stabilizationWindowSeconds")),
        "SelectPolicy": (rules.at("selectPolicy")),
        "Policies": policies,
        "Tolerance": (rules.at("tolerance"))
    })
}

// --- to the hub

pub fn to_hub(autoscaler: &mut Value) {
    let annotations = autoscaler.at_path(&["metadata", "annotations"]).clone();
    let read = |key: &str| annotations.opt_str(key).and_then(|text| internal::parse(text).ok());
    let spec = autoscaler.entry("spec");
    let percent = spec.remove("targetCPUUtilizationPercentage").unwrap_or_default();
    let mut metrics: Vec<Value> = match read(METRICS) {
        Some(others) => others.items().iter().map(|m| from_v1(m, |f| f.spec)).collect(),
        None => Vec::new(),
    };
    if !percent.is_null() {
        metrics.push(cpu(percent));
    }
    if metrics.is_empty() {
        metrics.push(cpu(CPU_PERCENT.into()));
    }
    spec.set("metrics", metrics);
    if let Some(behavior) = read(BEHAVIOR).map(|b| behavior_from_go(&b)).filter(|b| !b.is_empty()) {
        spec.set("behavior", behavior);
    }
    let status = autoscaler.entry("status");
    let used = status.remove("currentCPUUtilizationPercentage").unwrap_or_default();
    if let Some(current) = read(CURRENT_METRICS) {
        status.set("currentMetrics", current.items().iter().map(|m| from_v1(m, |f| f.status)).collect::<Value>());
    } else if !used.is_null() {
        let current = value!({"name": "cpu", "current": {"averageUtilization": used}});
        status.set("currentMetrics", value!([{"type": "Resource", "resource": current}]));
    }
    if let Some(conditions) = read(CONDITIONS) {
        status.set("conditions", conditions);
    }
    drop_annotations(autoscaler);
}

fn from_v1(metric: &Value, names: fn(&Form) -> &'static [Names]) -> Value {
    let mut out = value!({"type": (metric.str("type"))});
    for form in FORMS.iter().filter(|form| metric.has(form.member)) {
        let source = metric.at(form.member);
        let mut to = Value::object();
        for (path, name, _) in names(form).iter().filter(|(_, name, _)| source.has(name)) {
            to.set_path(path, source.at(name));
        }
        if to.has("target") {
            finish_target(form.member, &mut to);
        }
        out.set(form.member, to);
    }
    out
}

/// v1 has no type of target: it follows from what is there.
fn finish_target(member: &str, source: &mut Value) {
    let target = source.entry("target");
    // An object's targetValue is always written, also where the average counts.
    let average_counts = target.has("averageValue");
    if member == "object" && average_counts && matches!(target.str("value"), "" | "0") {
        target.remove("value");
    }
    let kind = match member {
        "object" if average_counts => "AverageValue",
        "object" => "Value",
        "external" if target.has("value") => "Value",
        "resource" | "containerResource" if target.has("averageUtilization") => "Utilization",
        _ => "AverageValue",
    };
    target.set("type", kind);
}

/// Go reads names of members in any case.
fn behavior_from_go(behavior: &Value) -> Value {
    const MEMBERS: [&str; 9] = [
        "scaleUp",
        "scaleDown",
        "stabilizationWindowSeconds",
        "selectPolicy",
        "policies",
        "tolerance",
        "type",
        "value",
        "periodSeconds",
    ];
    match behavior {
        Value::Object(members) => {
            let mut out = Value::object();
            for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                if let Some(member) = MEMBERS.iter().find(|member| member.eq_ignore_ascii_case(key)) {
                    out.set(member, behavior_from_go(value));
                }
            }
            out
        }
        Value::Array(items) => items.iter().map(behavior_from_go).collect(),
        other => other.clone(),
    }
}
