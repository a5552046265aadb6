//! Metrics: of the resources of pods, of objects, and of what is outside, from the APIs that others serve.
//!
//! Upstream: pkg/controller/podautoscaler/metrics/client.go, k8s.io/metrics/pkg/client.

use api::{Value, quantity::Quantity};
use client::{Catalog, Client, Error, ListOptions, Resource};
use jiff::{SignedDuration, Timestamp};

use super::calculate::{Sample, Samples};

/// Upstream: metricServerDefaultMetricWindow.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
const CUSTOM: &str = "custom.metrics.k8s.io";

/// What pods use of a resource, all of each or one of its containers.
pub(super) async fn of_pods(
    client: &Client,
    namespace: &str,
    selector: &str,
    resource: &str,
    container: &str,
) -> Result<Samples, String> {
    let metrics = Resource::new("metrics.k8s.io", "v1beta1", "pods");
    let options = ListOptions { labels: selector.to_owned(), ..ListOptions::default() };
    let list = client.list(metrics.within(namespace), &options).await;
    let list = list.map_err(|error| {
        format!("unable to fetch metrics from resource metrics API: {}", told(&error, "get pods.metrics.k8s.io"))
    })?;
    if list.items.is_empty() {
        return Err("no metrics returned from resource metrics API".into());
    }
    Ok(list.items.iter().filter_map(|pod| Some((name(pod), sample(pod, used(pod, resource, container)?)?))).collect())
}

fn name(object: &Value) -> String {
    api::meta::of(object).name().to_owned()
}

/// In thousandths; nothing when a container does not say.
fn used(pod: &Value, resource: &str, container: &str) -> Option<i64> {
    let all = pod.list("containers");
    let of = |c: &Value| c.at("usage").has(resource).then(|| Quantity::of(c.at("usage").at(resource)).milli_value());
    if !container.is_empty() {
        return of(all.iter().find(|c| c.str("name") == container)?);
    }
    let each: Option<Vec<i64>> = all.iter().map(of).collect();
    each.filter(|each| !each.is_empty()).map(|each| each.into_iter().fold(0, i64::saturating_add))
}

fn sample(metric: &Value, value: i64) -> Option<Sample> {
    let at = api::time::parse(metric.str("timestamp")).unwrap_or(Timestamp::UNIX_EPOCH);
    let window = api::duration::parse(metric.str("window")).ok();
    Some(Sample { at, window: window.map_or(WINDOW, SignedDuration::from_nanos), value })
}

/// A metric of each of these pods.
pub(super) async fn custom_of_pods(
    client: &Client,
    catalog: &Catalog,
    namespace: &str,
    selector: &str,
    metric: &Metric<'_>,
) -> Result<Samples, String> {
    let path = format!("namespaces/{namespace}/pods/*/{}", metric.name);
    let query = [("labelSelector", selector), ("metricLabelSelector", metric.selector.as_str())];
    let items = custom(client, catalog, &path, &query).await?;
    if items.is_empty() {
        return Err("no metrics returned from custom metrics API".into());
    }
    let of = |item: &Value| {
        let at = api::time::parse(item.str("timestamp")).unwrap_or(Timestamp::UNIX_EPOCH);
        let window = item.opt_int("windowSeconds").or_else(|| item.opt_int("window"));
        let window = window.map_or(WINDOW, SignedDuration::from_secs);
        let value = Quantity::of(item.at("value")).milli_value();
        (item.at("describedObject").str("name").to_owned(), Sample { at, window, value })
    };
    Ok(items.iter().map(of).collect())
}

/// A metric by its name and the labels that it is to have.
pub(super) struct Metric<'a> {
    pub name: &'a str,
    pub selector: String,
}

/// A metric of one object, in thousandths.
pub(super) async fn custom_of_object(
    client: &Client,
    catalog: &Catalog,
    namespace: &str,
    object: &Value,
    metric: &Metric<'_>,
) -> Result<i64, String> {
    let fail = |why: String| format!("unable to fetch metrics from custom metrics API: {why}");
    let (group, _) = object.str("apiVersion").split_once('/').unwrap_or_default();
    let kind = object.str("kind");
    let path = match (group, kind) {
        ("", "Namespace") => format!("namespaces/{namespace}/metrics/{}", metric.name),
        _ => {
            let mut found = catalog.resources.iter().filter(|f| f.resource.group == group && f.kind == kind);
            let Some(found) = found.next() else {
                return Err(fail(format!("no matches for kind {kind:?} in group {group:?}")));
            };
            let dot = if group.is_empty() { "" } else { "." };
            let resource = format!("{}{dot}{group}", found.resource.plural);
            format!("namespaces/{namespace}/{resource}/{}/{}", object.str("name"), metric.name)
        }
    };
    let items = custom(client, catalog, &path, &[("metricLabelSelector", &metric.selector)]).await?;
    match items.as_slice() {
        [one] => Ok(Quantity::of(one.at("value")).milli_value()),
        all => Err(fail(format!(
            "the custom metrics API server returned {} results when we asked for exactly one",
            all.len()
        ))),
    }
}

async fn custom(client: &Client, catalog: &Catalog, path: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, String> {
    let fail = |why: String| format!("unable to fetch metrics from custom metrics API: {why}");
    let serves =
        |version: &str| catalog.resources.iter().any(|f| f.resource.group == CUSTOM && f.resource.version == version);
    let Some(version) = ["v1beta2", "v1beta1"].into_iter().find(|version| serves(version)) else {
        return Err(fail(format!("no custom metrics API ({CUSTOM}) registered")));
    };
    let path = with_query(&format!("/apis/{CUSTOM}/{version}/{path}"), query);
    let list = client.get_path(&path).await.map_err(|error| fail(error.to_string()))?;
    Ok(list.list("items").to_vec())
}

/// All values of a metric from outside, in thousandths.
pub(super) async fn external(client: &Client, namespace: &str, metric: &Metric<'_>) -> Result<Vec<i64>, String> {
    let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{}", metric.name);
    let list = client.get_path(&with_query(&path, &[("labelSelector", &metric.selector)])).await;
    let list = list.map_err(|error| {
        let asked = format!("get {}.external.metrics.k8s.io", metric.name);
        format!("unable to fetch metrics from external metrics API: {}", told(&error, &asked))
    })?;
    let values: Vec<i64> = list.list("items").iter().map(|i| Quantity::of(i.at("value")).milli_value()).collect();
    if values.is_empty() { Err("no metrics returned from external metrics API".into()) } else { Ok(values) }
}

/// As upstream's clients tell what nobody serves.
fn told(error: &Error, asked: &str) -> String {
    match error.is_not_found() {
        true => format!("the server could not find the requested resource ({asked})"),
        false => error.to_string(),
    }
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let set = query.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = set.map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn a_pod_uses_what_all_its_containers_use() {
        let pod = value!({"metadata": {"name": "p"}, "timestamp": "2026-01-02T03:04:05Z", "window": "15.5s", "containers": [
            {"name": "a", "usage": {"cpu": "100m", "memory": "1Ki"}}, {"name": "b", "usage": {"cpu": "1500000n"}}]});
        assert_eq!(used(&pod, "cpu", ""), Some(102));
        assert_eq!(used(&pod, "cpu", "b"), Some(2));
        assert_eq!(used(&pod, "memory", ""), None, "one of them does not say");
        assert_eq!(used(&pod, "memory", "a"), Some(1_024_000));
        assert_eq!(sample(&pod, 1).map(|s| s.window), Some(SignedDuration::from_millis(15_500)));
    }

    #[test]
    fn selectors_stand_in_paths() {
        assert_eq!(with_query("/a", &[("x", ""), ("y", "a in (b)")]), "/a?y=a%20in%20%28b%29");
        assert_eq!(with_query("/a", &[("x", "")]), "/a");
    }
}
