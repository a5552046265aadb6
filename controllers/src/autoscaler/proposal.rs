//! What one metric asks for. Upstream: computeReplicasForMetric and what it calls.

use api::{
    Value,
    quantity::{Format, Quantity},
    selector::Selector,
    value,
};

use super::{
    Look,
    calculate::{self, Case, Samples, Tolerances, Usage},
    metrics::{self, Metric},
    status::quantity,
};

/// So many replicas, by this metric, which is so.
pub(super) struct Proposal {
    pub replicas: i64,
    pub name: String,
    pub status: Value,
}

/// A metric that says nothing.
pub(super) struct Refusal {
    pub reason: &'static str,
    pub why: String,
    /// What the metric was, before the reason.
    about: String,
}

// === impl Refusal ===

impl Refusal {
    pub fn whole(&self) -> String {
        format!("{}{}", self.about, self.why)
    }
}

type Found = Result<Proposal, String>;

pub(super) async fn of_metric(look: &Look<'_>, spec: &Value) -> Result<Proposal, Refusal> {
    let refuse = |reason, about: String| move |why| Refusal { reason, why, about };
    match spec.str("type") {
        "Object" => {
            let about = "failed to get object metric value: ".to_owned();
            object(look, spec.at("object")).await.map_err(refuse("FailedGetObjectMetric", about))
        }
        "Pods" => {
            let about = "failed to get pods metric value: ".to_owned();
            pods(look, spec.at("pods")).await.map_err(refuse("FailedGetPodsMetric", about))
        }
        "Resource" => {
            let source = spec.at("resource");
            let about = format!("failed to get {} resource metric value: ", source.str("name"));
            resource(look, source, "").await.map_err(refuse("FailedGetResourceMetric", about))
        }
        "ContainerResource" => {
            let source = spec.at("containerResource");
            let about = format!("failed to get {} container metric value: ", source.str("container"));
            let found = resource(look, source, source.str("container")).await;
            found.map_err(refuse("FailedGetContainerResourceMetric", about))
        }
        "External" => {
            let source = spec.at("external");
            let about = format!("failed to get {} external metric value: ", source.at("metric").str("name"));
            external(look, source).await.map_err(refuse("FailedGetExternalMetric", about))
        }
        other => {
            let why = format!("unknown metric source type {other:?}");
            Err(refuse("InvalidMetricSourceType", String::new())(why))
        }
    }
}

impl Look<'_> {
    fn case<'a>(&self, pods: &'a [std::sync::Arc<Value>], is_cpu: bool) -> Case<'a> {
        let settings = &self.world.settings.autoscaling;
        let duration = |d| jiff::SignedDuration::try_from(d).unwrap_or(jiff::SignedDuration::MAX);
        let behavior = self.hpa.at("spec").at("behavior");
        let tolerance = |rules: &str| match behavior.at(rules).at("tolerance") {
            Value::Null => settings.tolerance,
            own => Quantity::of(own).to_f64(),
        };
        Case {
            pods,
            current: self.scale.at("spec").int("replicas"),
            tolerances: Tolerances { down: tolerance("scaleDown"), up: tolerance("scaleUp") },
            is_cpu,
            now: self.world.now,
            initialization: duration(settings.cpu_initialization),
            initial_readiness: duration(settings.initial_readiness),
        }
    }

    fn pods(&self) -> Vec<std::sync::Arc<Value>> {
        calculate::selected(self.world, &self.selector)
    }

    fn namespace(&self) -> &str {
        &self.world.key.namespace
    }

    fn selector_text(&self) -> &str {
        self.scale.at("status").str("selector")
    }
}

fn some_pods(pods: &[std::sync::Arc<Value>]) -> Result<(), String> {
    match pods.is_empty() {
        true => Err("no pods returned by selector while calculating replica count".into()),
        false => Ok(()),
    }
}

/// Upstream: computeStatusForResourceMetricGeneric.
async fn resource(look: &Look<'_>, source: &Value, container: &str) -> Found {
    let (name, target) = (source.str("name"), source.at("target"));
    let format = if name == "memory" { Format::BinarySi } else { Format::DecimalSi };
    let by_value = target.has("averageValue");
    if !by_value && !target.has("averageUtilization") {
        return Err(
            "invalid resource metric source: neither an average utilization target nor an average value (usage) \
                    target was set"
                .into(),
        );
    }
    let what = if by_value { "usage" } else { "utilization" };
    let fail = |why: String| format!("failed to get {name} {what}: {why}");
    let samples = metrics::of_pods(look.client, look.namespace(), look.selector_text(), name, container).await;
    let samples = samples.map_err(|why| fail(format!("unable to get metrics for resource {name}: {why}")))?;
    let pods = look.pods();
    some_pods(&pods).map_err(fail)?;
    let case = look.case(&pods, name == "cpu");
    let (replicas, usage) = match by_value {
        true => by_average(&case, samples, Quantity::of(target.at("averageValue")).milli_value()),
        false => by_requests(&case, samples, container, name, target.int("averageUtilization")),
    }
    .map_err(fail)?;
    let mut current = value!({"averageValue": quantity(usage.average, format)});
    let told = match (by_value, container.is_empty()) {
        (true, _) => format!("{name} resource"),
        (false, true) => format!("{name} resource utilization (percentage of request)"),
        (false, false) => format!("{name} container resource utilization (percentage of request)"),
    };
    if !by_value {
        current.set("averageUtilization", usage.percent);
    }
    let status = match container {
        "" => value!({"type": "Resource", "resource": {"name": name, "current": current}}),
        _ => value!({"type": "ContainerResource",
            "containerResource": {"name": name, "container": container, "current": current}}),
    };
    Ok(Proposal { replicas, name: told, status })
}

fn by_average(case: &Case<'_>, samples: Samples, target: i64) -> Result<(i64, Usage), String> {
    case.replicas(samples, &|s| Ok(calculate::of_average(s, target)), &|_| target)
}

fn by_requests(
    case: &Case<'_>,
    samples: Samples,
    container: &str,
    name: &str,
    target: i64,
) -> Result<(i64, Usage), String> {
    // Without samples that count there is nothing to weigh, whatever is requested.
    let groups = case.groups(&samples);
    let counts = samples.keys().any(|name| !groups.ignored.contains(name) && !groups.unready.contains(name));
    let requests = match calculate::requests(case.pods, container, name) {
        Err(_) if !counts => Default::default(),
        other => other?,
    };
    let fallback = |pod: &str| requests.get(pod).copied().unwrap_or(0).saturating_mul(target.max(100)) / 100;
    case.replicas(samples, &|s| calculate::of_requests(s, &requests, target), &fallback)
}

/// A metric as a source names it.
fn metric(source: &Value) -> Result<Metric<'_>, String> {
    let metric = source.at("metric");
    let selector = match metric.at("selector") {
        Value::Null => String::new(),
        selector => Selector::from_label_selector(selector)?.to_string(),
    };
    Ok(Metric { name: metric.str("name"), selector })
}

fn identifier(source: &Value) -> Value {
    let mut identifier = value!({"name": source.at("metric").str("name")});
    if source.at("metric").has("selector") {
        identifier.set("selector", source.at("metric").at("selector"));
    }
    identifier
}

async fn pods(look: &Look<'_>, source: &Value) -> Found {
    let metric = metric(source)?;
    let samples =
        metrics::custom_of_pods(look.client, &look.catalog, look.namespace(), look.selector_text(), &metric).await;
    let samples = samples.map_err(|why| format!("unable to get metric {}: {why}", metric.name))?;
    let pods = look.pods();
    some_pods(&pods)?;
    let target = Quantity::of(source.at("target").at("averageValue")).milli_value();
    let (replicas, usage) = by_average(&look.case(&pods, false), samples, target)?;
    let current = value!({"averageValue": quantity(usage.average, Format::DecimalSi)});
    let status = value!({"type": "Pods", "pods": {"metric": identifier(source), "current": current}});
    Ok(Proposal { replicas, name: format!("pods metric {}", metric.name), status })
}

async fn object(look: &Look<'_>, source: &Value) -> Found {
    let (metric, object) = (metric(source)?, source.at("describedObject"));
    let target = source.at("target");
    let is_value = target.str("type") == "Value" && target.has("value");
    let is_average = target.str("type") == "AverageValue" && target.has("averageValue");
    if !is_value && !is_average {
        return Err("invalid object metric source: neither a value target nor an average value target was set".into());
    }
    let namespace = look.namespace();
    let used = metrics::custom_of_object(look.client, &look.catalog, namespace, object, &metric).await;
    let used = used.map_err(|why| {
        let (kind, name) = (object.str("kind"), object.str("name"));
        let why = format!("unable to get metric {} on {kind} {namespace}/{name}: {why}", metric.name);
        if is_value { why } else { format!("failed to get {} object metric: {why}", metric.name) }
    })?;
    let (replicas, current) = outer(look, used, target, is_value)?;
    let status = value!({"type": "Object",
        "object": {"describedObject": object, "metric": identifier(source), "current": current}});
    let name = match is_value {
        true => format!("{} metric {}", object.str("kind"), metric.name),
        false => format!("external metric {}({})", metric.name, printed(source.at("metric").at("selector"))),
    };
    Ok(Proposal { replicas, name, status })
}

async fn external(look: &Look<'_>, source: &Value) -> Found {
    let (metric, target) = (metric(source)?, source.at("target"));
    let is_average = target.has("averageValue");
    if !is_average && !target.has("value") {
        return Err("invalid external metric source: neither a value target nor an average value target was set".into());
    }
    let fail = |why: String| match is_average {
        true => format!("failed to get {} external metric: {why}", metric.name),
        false => format!("failed to get external metric {}: {why}", metric.name),
    };
    let selector = printed(source.at("metric").at("selector"));
    let values = metrics::external(look.client, look.namespace(), &metric).await;
    let values = values.map_err(|why| {
        fail(format!("unable to get external metric {}/{}/{selector}: {why}", look.namespace(), metric.name))
    })?;
    let used = values.iter().fold(0i64, |sum, value| sum.saturating_add(*value));
    let (replicas, current) = outer(look, used, target, !is_average).map_err(fail)?;
    let status = value!({"type": "External", "external": {"metric": identifier(source), "current": current}});
    Ok(Proposal { replicas, name: format!("external metric {}({selector})", metric.name), status })
}

/// Replicas by a number that is not the pods' own, in whole or for each of them, and what is told of it.
fn outer(look: &Look<'_>, used: i64, target: &Value, is_whole: bool) -> Result<(i64, Value), String> {
    let pods = look.pods();
    let case = look.case(&pods, false);
    if is_whole {
        let ratio = used as f64 / Quantity::of(target.at("value")).milli_value() as f64;
        let replicas = calculate::by_ratio(&case, ratio)?;
        return Ok((replicas, value!({"value": quantity(used, Format::DecimalSi)})));
    }
    let each = Quantity::of(target.at("averageValue")).milli_value() as f64;
    let there = look.scale.at("status").int("replicas");
    let ratio = used as f64 / (each * there as f64);
    let replicas = if case.tolerances.hold(ratio) { there } else { calculate::ceil(used as f64 / each) };
    let average = (used as f64 / there as f64).ceil();
    Ok((replicas, value!({"averageValue": quantity(average as i64, Format::DecimalSi)})))
}

/// A selector as Go prints it. Upstream: metav1 LabelSelector.String.
fn printed(selector: &Value) -> String {
    if selector.is_null() {
        return "nil".into();
    }
    let mut labels: Vec<(&str, &str)> = selector.strings("matchLabels").collect();
    labels.sort_unstable();
    let labels: String = labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let rules = selector.list("matchExpressions").iter().map(|rule| {
        let values: Vec<&str> = rule.list("values").iter().filter_map(Value::as_str).collect();
        let (key, operator) = (rule.str("key"), rule.str("operator"));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    });
    let rules: String = rules.collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_printed_as_go_does() {
        assert_eq!(printed(&Value::Null), "nil");
        assert_eq!(
            printed(
                &value!({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]})
            ),
            "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{\
             LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"
        );
    }
}
