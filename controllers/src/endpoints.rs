//! The addresses behind a service as one object, for those that do not know slices yet.
//!
//! Upstream: pkg/controller/endpoint/endpoints_controller.go, pkg/api/v1/endpoints RepackSubsets. Subsets stand in the
//! order of their addresses and ports; upstream's order is that of a hash.

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, value};
use client::{Change, mirror::Key};

use crate::{
    driver::{
        Spec, Wake, Work,
        plan::{Action, Excuse, Plan},
        world::World,
    },
    services::{self, HEADLESS, PODS, SERVICES, TRIGGERED},
};

pub(crate) const ENDPOINTS: &str = "v1/endpoints";
/// Locks of old were kept on endpoints. Upstream: resourcelock.LeaderElectionRecordAnnotationKey.
pub(crate) const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// More addresses do not go into one object. Upstream: maxCapacity.
const ADDRESSES_MAX: usize = 1000;

pub const SPEC: Spec = Spec {
    name: "endpoints-controller",
    alias: "endpoint",
    acts_for: "endpoint-controller",
    tells_as: "endpoint-controller",
    wakes_on: &[Wake::Itself(SERVICES), Wake::By(PODS, services::of_pod), Wake::By(ENDPOINTS, of_endpoints)],
    workers: 5,
    work: Work::Plan(plan),
};

/// What tells addresses apart: the address, and the uid of its pod.
type AddressKey = (String, String);

/// Ports with the addresses that they have.
type Ported = (Vec<Value>, Addresses);

/// Addresses, and whether each is ready.
type Addresses = BTreeMap<AddressKey, (Value, bool)>;

/// Endpoints that others make are theirs, with or without a service; that they are gone, or that ours were changed,
/// concerns us. Upstream: onEndpointsDelete.
fn of_endpoints(_: &World<'_>, change: &Change) -> Vec<Key> {
    let ours = api::meta::of(change.object()).label(MANAGED_BY) == Some(MANAGER);
    if change.new.is_none() || ours { vec![Key::of(change.object())] } else { Vec::new() }
}

fn plan(world: &World<'_>) -> Plan {
    let known = world.itself(ENDPOINTS);
    let Some(service) = world.itself(SERVICES) else { return leftover(known) };
    if !services::with_pods(&service) {
        return Plan::nothing("its endpoints are not made of pods");
    }
    let publish = service.at("spec").bool("publishNotReadyAddresses");
    let pods = services::pods(world, &service, publish);
    let mut subsets = subsets(&service, &pods, publish);
    let truncated = truncate(&mut subsets);
    let labels = labels(&service);
    let Some(known) = known else {
        let mut new = value!({"apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": world.key.name.clone(), "namespace": world.key.namespace.clone()}});
        finish(&mut new, subsets, labels, truncated, services::trigger(&service, &pods, None));
        let create = Action::create(ENDPOINTS, new).excuse(&[Excuse::NamespaceTerminating]);
        return Plan::of(vec![create], format!("{} pods and no endpoints", pods.len()));
    };
    let meta = api::meta::of(&known);
    let marked = meta.annotation(OVER_CAPACITY).is_some();
    let current = repack(known.list("subsets"));
    if current == subsets && *meta.labels() == labels && marked == truncated {
        return Plan::nothing("they are as they should be");
    }
    let mut new = Value::clone(&known);
    finish(&mut new, subsets, labels, truncated, services::trigger(&service, &pods, meta.annotation(TRIGGERED)));
    Plan::of(vec![Action::update(ENDPOINTS, new)], format!("{} pods, other endpoints", pods.len()))
}

/// The endpoints of a service that is gone go, whoever made them, but for those that hold a lock of old.
fn leftover(known: Option<Arc<Value>>) -> Plan {
    let Some(known) = known else { return Plan::nothing("the service is gone") };
    let meta = api::meta::of(&known);
    let lock = meta.annotation(LEADER).is_some();
    if lock || meta.is_terminating() {
        return Plan::nothing("the service is gone, and these are no endpoints of it");
    }
    Plan::of(vec![Action::delete(ENDPOINTS, known)], "the service is gone")
}

fn finish(endpoints: &mut Value, subsets: Vec<Value>, labels: Value, truncated: bool, trigger: Option<String>) {
    endpoints.set("subsets", Value::array(subsets));
    endpoints.set_path(&["metadata", "labels"], labels);
    let mut annotate = |key: &str, text: Option<String>| match text {
        Some(text) => endpoints.set_path(&["metadata", "annotations", key], text),
        None => drop(endpoints.remove_path(&["metadata", "annotations", key])),
    };
    annotate(TRIGGERED, trigger);
    annotate(OVER_CAPACITY, truncated.then(|| "truncated".into()));
}

fn labels(service: &Value) -> Value {
    let mut labels = Value::object();
    for (key, text) in api::meta::of(service).0.strings("labels").filter(|(key, _)| *key != HEADLESS) {
        labels.set(key, text);
    }
    if !services::has_address(service) {
        labels.set(HEADLESS, "");
    }
    labels.set(MANAGED_BY, MANAGER);
    labels
}

/// What subsets there have to be.
fn subsets(service: &Value, pods: &[Arc<Value>], publish: bool) -> Vec<Value> {
    let spec = service.at("spec");
    let mut single = Vec::new();
    for pod in pods {
        let Some(address) = address(service, pod) else { continue };
        let list = if publish || services::is_ready(pod) { "addresses" } else { "notReadyAddresses" };
        let mut add = |ports: Value| {
            let mut subset = value!({"ports": ports});
            subset.set(list, value!([address.clone()]));
            single.push(subset);
        };
        if spec.list("ports").is_empty() {
            if spec.str("clusterIP") == "None" {
                add(Value::array(vec![]));
            }
            continue;
        }
        for port in spec.list("ports") {
            let Some(number) = services::port_on(pod, port) else { continue };
            let mut found = Value::object();
            if !port.str("name").is_empty() {
                found.set("name", port.str("name"));
            }
            found.set("port", number);
            found.set("protocol", port.str("protocol"));
            if let Some(protocol) = port.opt_str("appProtocol") {
                found.set("appProtocol", protocol);
            }
            add(value!([found]));
        }
    }
    repack(&single)
}

/// A pod as an address, of the service's first family. Upstream: podToEndpointAddressForService.
fn address(service: &Value, pod: &Value) -> Option<Value> {
    let spec = service.at("spec");
    let six = match spec.list("ipFamilies").first().and_then(Value::as_str) {
        Some(family) => family == "IPv6",
        None if services::has_address(service) => spec.str("clusterIP").contains(':'),
        None => services::addresses(pod).first()?.is_ipv6(),
    };
    let ip = services::addresses(pod).into_iter().find(|ip| ip.is_ipv6() == six)?;
    let meta = api::meta::of(pod);
    let mut address = value!({"ip": ip.to_string()});
    if services::sets_hostname(pod, service) {
        address.set("hostname", pod.at("spec").str("hostname"));
    }
    if !pod.at("spec").str("nodeName").is_empty() {
        address.set("nodeName", pod.at("spec").str("nodeName"));
    }
    address.set(
        "targetRef",
        value!({"kind": "Pod", "namespace": meta.namespace(), "name": meta.name(), "uid": meta.uid()}),
    );
    Some(address)
}

/// Ports that have the same addresses stand together; an address that is unready for a port is unready.
pub(crate) fn repack(subsets: &[Value]) -> Vec<Value> {
    let mut by_port: BTreeMap<String, (Option<Value>, Addresses)> = BTreeMap::new();
    for subset in subsets {
        let none = [Value::Null];
        let ports = if subset.list("ports").is_empty() { &none[..] } else { subset.list("ports") };
        for port in ports {
            let entry = by_port.entry(port_key(port)).or_insert_with(|| (None, Addresses::new()));
            entry.0 = Some(port.clone()).filter(|p| !p.is_null());
            for (list, ready) in [("addresses", true), ("notReadyAddresses", false)] {
                for address in subset.list(list) {
                    let key = (address.str("ip").to_string(), address.at("targetRef").str("uid").to_string());
                    let known = entry.1.entry(key).or_insert_with(|| (plain(address), ready));
                    known.1 &= ready;
                }
            }
        }
    }
    let mut together: BTreeMap<Vec<(AddressKey, bool)>, Ported> = BTreeMap::new();
    for (port, addresses) in by_port.into_values() {
        let key = addresses.iter().map(|(key, (_, ready))| (key.clone(), *ready)).collect();
        let entry = together.entry(key).or_insert_with(|| (Vec::new(), addresses));
        entry.0.extend(port);
    }
    together.into_values().map(|(ports, addresses)| subset(ports, addresses)).collect()
}

fn subset(ports: Vec<Value>, addresses: Addresses) -> Value {
    let mut subset = Value::object();
    let (ready, unready): (Vec<_>, Vec<_>) = addresses.into_values().partition(|(_, ready)| *ready);
    for (list, members) in [("addresses", ready), ("notReadyAddresses", unready)] {
        if !members.is_empty() {
            subset.set(list, members.into_iter().map(|(address, _)| address).collect::<Value>());
        }
    }
    if !ports.is_empty() {
        subset.set("ports", Value::array(ports));
    }
    subset
}

/// The revision of the pod is nothing that endpoints are about.
fn plain(address: &Value) -> Value {
    let mut address = address.clone();
    address.remove_path(&["targetRef", "resourceVersion"]);
    address
}

fn port_key(port: &Value) -> String {
    let protocol = port.opt_str("protocol").unwrap_or("TCP");
    format!("{} {protocol} {} {}", port.str("name"), port.int("port"), port.str("appProtocol"))
}

/// Drops what is too much, the unready first, in proportion. Upstream: truncateEndpoints.
fn truncate(subsets: &mut [Value]) -> bool {
    let count = |subsets: &[Value], list: &str| subsets.iter().map(|s| s.list(list).len()).sum::<usize>();
    let (ready, unready) = (count(subsets, "addresses"), count(subsets, "notReadyAddresses"));
    if ready + unready <= ADDRESSES_MAX {
        return false;
    }
    let too_many_ready = ready > ADDRESSES_MAX;
    let (list, total, max) = match too_many_ready {
        true => ("addresses", ready, ADDRESSES_MAX),
        false => ("notReadyAddresses", unready, ADDRESSES_MAX - ready),
    };
    let mut left = max;
    for subset in subsets {
        let len = subset.list(list).len();
        let share = (len * max).div_ceil(total).min(left);
        if too_many_ready {
            subset.remove("notReadyAddresses");
        }
        if let Some(addresses) = subset.get_mut(list).and_then(Value::as_array_mut) {
            addresses.truncate(share);
        }
        left -= share.min(len);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        crate::driver::cases::run(&SPEC, include_str!("../cases/endpoints.yaml"));
    }

    #[test]
    fn too_many_addresses_are_cut_in_proportion() {
        let addresses = |n: usize| (0..n).map(|i| value!({"ip": i.to_string()})).collect::<Value>();
        let mut subsets = [
            value!({"addresses": addresses(900)}),
            value!({"addresses": addresses(600), "notReadyAddresses": addresses(9)}),
        ];
        assert!(truncate(&mut subsets));
        let lens = subsets.iter().map(|s| (s.list("addresses").len(), s.list("notReadyAddresses").len()));
        assert_eq!(lens.collect::<Vec<_>>(), [(600, 0), (400, 0)]);
        let mut few = [value!({"addresses": addresses(900), "notReadyAddresses": addresses(300)})];
        assert!(truncate(&mut few));
        assert_eq!((few[0].list("addresses").len(), few[0].list("notReadyAddresses").len()), (900, 100));
        assert!(!truncate(&mut few));
    }
}
