//! Services and the pods behind them: what Endpoints and EndpointSlices have in common.
//!
//! Upstream: k8s.io/endpointslice/util/controller_utils.go, utils.go.

use std::{net::IpAddr, sync::Arc};

use api::{Value, selector::Selector};
use client::{Change, mirror::Key};
use jiff::Timestamp;

use crate::driver::world::World;

pub(crate) const SERVICES: &str = "v1/services";
pub(crate) const PODS: &str = "v1/pods";
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
pub(crate) const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Keys of the services that a change of a pod concerns. Upstream: GetServicesToUpdate.
pub(crate) fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && seen_of(old) == seen_of(new)
    {
        return Vec::new();
    }
    let namespace = api::meta::of(change.object()).namespace();
    let labels: Vec<&Value> =
        [&change.old, &change.new].into_iter().flatten().map(|pod| api::meta::of(pod).labels()).collect();
    let services = world.mirror(SERVICES).in_namespace(namespace);
    let selects = |service: &Arc<Value>| {
        let selector = service.at("spec").at("selector");
        !selector.is_null() && labels.iter().any(|l| Selector::from_labels(selector).matches(l))
    };
    services.iter().filter(|s| selects(s)).map(|s| Key::of(s)).collect()
}

/// What of a pod reaches endpoints; a change of anything else wakes nobody.
fn seen_of(pod: &Value) -> [&Value; 12] {
    let (meta, spec, status) = (pod.at("metadata"), pod.at("spec"), pod.at("status"));
    let ready = condition(pod, "Ready").unwrap_or(Value::NULL);
    [
        meta.at("labels"),
        meta.at("uid"),
        meta.at("deletionTimestamp"),
        spec.at("nodeName"),
        spec.at("hostname"),
        spec.at("subdomain"),
        spec.at("containers"),
        spec.at("initContainers"),
        status.at("phase"),
        status.at("podIP"),
        status.at("podIPs"),
        ready.at("status"),
    ]
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod.at("status").list("conditions").iter().find(|c| c.str("type") == kind)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.str("status") == "True")
}

/// The service, when its endpoints are made of pods: neither an alias nor without a selector.
pub(crate) fn with_pods(service: &Value) -> bool {
    let spec = service.at("spec");
    spec.str("type") != "ExternalName" && spec.has("selector")
}

/// Whether a service has an address of its own. Upstream: IsServiceIPSet.
pub(crate) fn has_address(service: &Value) -> bool {
    !matches!(service.at("spec").str("clusterIP"), "" | "None")
}

/// The pods that a service selects and that have an address, by name. Upstream: ShouldPodBeInEndpoints.
pub(crate) fn pods(world: &World<'_>, service: &Value, with_terminating: bool) -> Vec<Arc<Value>> {
    let selector = Selector::from_labels(service.at("spec").at("selector"));
    let mut pods = world.mirror(PODS).in_namespace(api::meta::of(service).namespace());
    pods.retain(|pod| {
        let meta = api::meta::of(pod);
        let over = matches!(pod.at("status").str("phase"), "Failed" | "Succeeded");
        selector.matches(meta.labels())
            && !over
            && !addresses(pod).is_empty()
            && (with_terminating || !meta.is_terminating())
    });
    pods
}

/// The addresses of a pod, in the way they are written.
pub(crate) fn addresses(pod: &Value) -> Vec<IpAddr> {
    let status = pod.at("status");
    let listed: Vec<IpAddr> = status.list("podIPs").iter().filter_map(|ip| ip.str("ip").parse().ok()).collect();
    if listed.is_empty() { status.str("podIP").parse().into_iter().collect() } else { listed }
}

pub(crate) fn sets_hostname(pod: &Value, service: &Value) -> bool {
    let spec = pod.at("spec");
    !spec.str("hostname").is_empty() && spec.str("subdomain") == api::meta::of(service).name()
}

/// The number of a port of a service on a pod. Upstream: FindPort.
pub(crate) fn port_on(pod: &Value, port: &Value) -> Option<i64> {
    match port.at("targetPort") {
        Value::Int(number) => Some(*number),
        Value::Str(name) => {
            let spec = pod.at("spec");
            let sidecars = spec.list("initContainers").iter().filter(|c| c.str("restartPolicy") == "Always");
            let mut ports = spec.list("containers").iter().chain(sidecars).flat_map(|c| c.list("ports"));
            let found = ports.find(|p| p.str("name") == name.as_str() && p.str("protocol") == port.str("protocol"));
            found.map(|p| p.int("containerPort"))
        }
        _ => Some(0),
    }
}

/// When what is written next was caused: the latest change of the service or one of its pods after `last`.
/// Upstream remembers what it saw (TriggerTimeTracker); a plan has what it wrote.
pub(crate) fn trigger(service: &Value, pods: &[Arc<Value>], last: Option<&str>) -> Option<String> {
    let created = api::meta::of(service).creation_timestamp();
    let Some(last) = last.and_then(api::time::parse) else { return (!created.is_empty()).then(|| created.into()) };
    let times = pods.iter().filter_map(|pod| condition(pod, "Ready"));
    let times = times.filter_map(|c| api::time::parse(c.str("lastTransitionTime")));
    let next: Option<Timestamp> = times.filter(|at| *at > last).min();
    next.map(api::time::seconds)
}
