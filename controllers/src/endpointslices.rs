//! The addresses behind a service, in slices of bounded length.
//!
//! Slices that are there are changed as little as possible: endpoints stay where they are, what is new goes where there
//! is room, and only what fits nowhere makes a new slice. Upstream: k8s.io/endpointslice/reconciler.go.

pub(crate) mod fill;

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, value};
use client::{Change, mirror::Key};
use jiff::SignedDuration;

use crate::{
    driver::{
        Spec, Wake, Work,
        plan::{Action, Excuse, Plan},
        world::World,
    },
    services::{self, HEADLESS, PODS, SERVICES, TRIGGERED},
};

pub(crate) const SLICES: &str = "discovery.k8s.io/v1/endpointslices";
const NODES: &str = "v1/nodes";
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// A pod on a node that is not there is looked at again.
const NODE_AGAIN: SignedDuration = SignedDuration::from_secs(2);

pub const SPEC: Spec = Spec {
    name: "endpointslice-controller",
    alias: "endpointslice",
    acts_for: "endpointslice-controller",
    tells_as: "endpoint-slice-controller",
    wakes_on: &[
        Wake::Itself(SERVICES),
        Wake::By(PODS, services::of_pod),
        Wake::By(SLICES, of_slice),
        Wake::Read(NODES),
    ],
    workers: 5,
    work: Work::Plan(plan),
};

/// Endpoints with the same ports, by what tells them apart.
#[derive(Default)]
struct Group {
    ports: Value,
    endpoints: BTreeMap<String, Value>,
}

fn of_slice(_: &World<'_>, change: &Change) -> Vec<Key> {
    let slices = [&change.old, &change.new].into_iter().flatten().map(|slice| api::meta::of(slice));
    let ours = slices.filter(|meta| meta.label(MANAGED_BY) == Some(MANAGER));
    ours.filter_map(|meta| Some(Key::new(meta.namespace(), meta.label(SERVICE_NAME)?))).collect()
}

fn plan(world: &World<'_>) -> Plan {
    let Some(service) = world.itself(SERVICES) else { return Plan::nothing("the service is gone") };
    if !services::with_pods(&service) {
        return Plan::nothing("its endpoints are not made of pods");
    }
    let pods = services::pods(world, &service, true);
    let slices = world.mirror(SLICES).labelled(&world.key.namespace, SERVICE_NAME, &world.key.name);
    let slices: Vec<Arc<Value>> = slices
        .into_iter()
        .filter(|s| api::meta::of(s).label(MANAGED_BY) == Some(MANAGER) && !api::meta::of(s).is_terminating())
        .collect();
    let families = families(&service);
    let mut plan = Plan::default();
    for family in &families {
        let own: Vec<Arc<Value>> = slices.iter().filter(|s| s.str("addressType") == *family).cloned().collect();
        plan_family(world, &service, &pods, &own, family, &mut plan);
    }
    let others = slices.iter().filter(|s| !families.contains(&s.str("addressType")));
    plan.actions.extend(others.map(|slice| Action::delete(SLICES, slice.clone())));
    let writes = plan.actions.len();
    plan.because = format!("{} pods, {} slices, {writes} to write", pods.len(), slices.len()).into();
    plan
}

/// The families of addresses that a service has. Upstream: getAddressTypesForService.
fn families(service: &Value) -> Vec<&'static str> {
    let spec = service.at("spec");
    let said: Vec<&str> = spec.list("ipFamilies").iter().filter_map(Value::as_str).collect();
    let of = |family: &'static str| said.contains(&family).then_some(family);
    let named: Vec<&'static str> = [of("IPv4"), of("IPv6")].into_iter().flatten().collect();
    match (named.is_empty(), services::has_address(service)) {
        (false, _) => named,
        (true, true) if spec.str("clusterIP").contains(':') => vec!["IPv6"],
        (true, true) => vec!["IPv4"],
        (true, false) => vec!["IPv4", "IPv6"],
    }
}

fn plan_family(
    world: &World<'_>,
    service: &Value,
    pods: &[Arc<Value>],
    slices: &[Arc<Value>],
    family: &str,
    plan: &mut Plan,
) {
    let (owned, foreign): (Vec<_>, Vec<_>) = slices.iter().cloned().partition(|slice| is_owned(slice, service));
    let mut changes = fill::Changes { delete: foreign, ..fill::Changes::default() };
    let mut wanted = wanted(world, service, pods, family, plan);
    let mut by_ports: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
    for slice in owned {
        by_ports.entry(ports_key(slice.at("ports"))).or_default().push(slice);
    }
    let max = world.settings.endpoints_per_slice_max.max(1);
    let fresh = |ports: Value| fresh(service, family, ports);
    for (key, group) in std::mem::take(&mut wanted) {
        let there = by_ports.remove(&key).unwrap_or_default();
        fill::fill(&mut changes, there, group.endpoints, max, &|| fresh(group.ports.clone()), &labels(service));
    }
    changes.delete.extend(by_ports.into_values().flatten());
    // A service without endpoints keeps one empty slice.
    if changes.delete.len() == slices.len() && changes.create.is_empty() {
        let empty = fresh(Value::array(vec![]));
        let only = &changes.delete[..];
        match only {
            [slice] if is_placeholder(slice, &empty) => changes.delete.clear(),
            _ => changes.create.push(empty),
        }
    }
    changes.reuse(|slice| is_owned(slice, service));
    plan.actions.extend(changes.actions(service, pods));
}

/// What endpoints there have to be, by their ports.
fn wanted(
    world: &World<'_>,
    service: &Value,
    pods: &[Arc<Value>],
    family: &str,
    plan: &mut Plan,
) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for pod in pods {
        let ports = ports(service, pod);
        let group = groups.entry(ports_key(&ports)).or_default();
        group.ports = ports;
        let node = world.get(NODES, "", pod.at("spec").str("nodeName"));
        if node.is_none() && !service.at("spec").bool("publishNotReadyAddresses") {
            plan.again_at = Some(world.now + NODE_AGAIN);
            continue;
        }
        let endpoint = endpoint(service, pod, node.as_deref(), family);
        if !endpoint.list("addresses").is_empty() {
            group.endpoints.insert(endpoint_key(&endpoint), endpoint);
        }
    }
    groups
}

/// A pod as an endpoint. Upstream: podToEndpoint, and trafficdist's hints.
fn endpoint(service: &Value, pod: &Value, node: Option<&Value>, family: &str) -> Value {
    let meta = api::meta::of(pod);
    let (serving, terminating) = (services::is_ready(pod), meta.is_terminating());
    let ready = service.at("spec").bool("publishNotReadyAddresses") || (serving && !terminating);
    let addresses = services::addresses(pod).into_iter().filter(|ip| ip.is_ipv6() == (family == "IPv6"));
    let mut endpoint = value!({
        "addresses": addresses.map(|ip| ip.to_string()).collect::<Value>(),
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating}
    });
    if services::sets_hostname(pod, service) {
        endpoint.set("hostname", pod.at("spec").str("hostname"));
    }
    let target = value!({"kind": "Pod", "namespace": meta.namespace(), "name": meta.name(), "uid": meta.uid()});
    endpoint.set("targetRef", target);
    let node_name = pod.at("spec").str("nodeName");
    if !node_name.is_empty() {
        endpoint.set("nodeName", node_name);
    }
    let zone = node.and_then(|node| api::meta::of(node).label("topology.kubernetes.io/zone")).unwrap_or("");
    if !zone.is_empty() {
        endpoint.set("zone", zone);
    }
    let distribution = service.at("spec").str("trafficDistribution");
    if ready && matches!(distribution, "PreferClose" | "PreferSameZone" | "PreferSameNode") {
        if !zone.is_empty() {
            endpoint.set_path(&["hints", "forZones"], value!([{"name": zone}]));
        }
        if distribution == "PreferSameNode" && !node_name.is_empty() {
            endpoint.set_path(&["hints", "forNodes"], value!([{"name": node_name}]));
        }
    }
    endpoint
}

/// The ports of a service on a pod. Upstream: getEndpointPorts.
fn ports(service: &Value, pod: &Value) -> Value {
    let port = |port: &Value| {
        let number = services::port_on(pod, port)?;
        let mut found = value!({"name": port.str("name"), "protocol": port.str("protocol"), "port": number});
        if let Some(protocol) = port.opt_str("appProtocol") {
            found.set("appProtocol", protocol);
        }
        Some(found)
    };
    service.at("spec").list("ports").iter().filter_map(port).collect()
}

/// What tells sets of ports apart, in whatever order and form they are written.
pub(crate) fn ports_key(ports: &Value) -> String {
    let one = |p: &Value| {
        let protocol = p.opt_str("protocol").unwrap_or("TCP");
        format!("{}/{protocol}/{}/{}", p.str("name"), p.opt_int("port").unwrap_or(-1), p.str("appProtocol"))
    };
    let mut all: Vec<String> = ports.items().iter().map(one).collect();
    all.sort();
    all.join(",")
}

/// What tells endpoints apart. Upstream: hashEndpoint.
pub(crate) fn endpoint_key(endpoint: &Value) -> String {
    let mut addresses: Vec<&str> = endpoint.list("addresses").iter().filter_map(Value::as_str).collect();
    addresses.sort_unstable();
    let target = endpoint.at("targetRef");
    format!("{} {} {}/{}", addresses.join(","), endpoint.str("hostname"), target.str("namespace"), target.str("name"))
}

fn is_owned(slice: &Value, service: &Value) -> bool {
    let uid = api::meta::of(service).uid();
    api::meta::of(slice).owners().any(|o| o.uid() == uid && o.kind() == "Service" && o.api_version() == "v1")
}

/// A new slice of a service. Upstream: newEndpointSlice.
fn fresh(service: &Value, family: &str, ports: Value) -> Value {
    let meta = api::meta::of(service);
    let dashed = format!("{}-", meta.name());
    // A name of the longest kind leaves no room for the dash.
    let prefix = if dashed.len() > 253 { meta.name().to_string() } else { dashed };
    value!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "generateName": prefix, "namespace": meta.namespace(), "labels": labels(service),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": meta.name(), "uid": meta.uid(),
                "controller": true, "blockOwnerDeletion": true}]
        },
        "addressType": family, "endpoints": [], "ports": ports
    })
}

/// The labels of a service's slices: its own, and those by which slices are found. Upstream: setEndpointSliceLabels.
fn labels(service: &Value) -> Value {
    let mut labels = Value::object();
    let meta = api::meta::of(service);
    for (key, text) in meta.0.strings("labels").filter(|(key, _)| !is_reserved(key)) {
        labels.set(key, text);
    }
    if !services::has_address(service) {
        labels.set(HEADLESS, "");
    }
    labels.set(SERVICE_NAME, meta.name());
    labels.set(MANAGED_BY, MANAGER);
    labels
}

fn is_reserved(label: &str) -> bool {
    matches!(label, SERVICE_NAME | MANAGED_BY | HEADLESS)
}

fn is_placeholder(slice: &Value, empty: &Value) -> bool {
    let same = |member: &str| slice.at("metadata").at(member) == empty.at("metadata").at(member);
    slice.list("endpoints").is_empty() && slice.list("ports").is_empty() && same("labels") && same("ownerReferences")
}

impl fill::Changes {
    /// The requests that make the changes.
    fn actions(self, service: &Value, pods: &[Arc<Value>]) -> Vec<Action> {
        let mut actions = Vec::new();
        // What goes away with its service is not made anew under the collector's hands.
        if !api::meta::of(service).is_terminating() {
            for mut slice in self.create {
                if let Some(at) = services::trigger(service, pods, None) {
                    slice.set_path(&["metadata", "annotations", TRIGGERED], at);
                }
                actions.push(Action::create(SLICES, slice).excuse(&[Excuse::NamespaceTerminating]));
            }
        }
        for mut slice in self.update {
            let last = api::meta::of(&slice).annotation(TRIGGERED).map(str::to_string);
            match services::trigger(service, pods, last.as_deref()) {
                Some(at) => slice.set_path(&["metadata", "annotations", TRIGGERED], at),
                None => drop(slice.remove_path(&["metadata", "annotations", TRIGGERED])),
            }
            actions.push(Action::update(SLICES, slice));
        }
        actions.extend(self.delete.into_iter().map(|slice| Action::delete(SLICES, slice)));
        actions
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/endpointslices.yaml"));
    }
}
