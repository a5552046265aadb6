//! Endpoints that people write by hand for services without a selector, as slices.
//!
//! Upstream: pkg/controller/endpointslicemirroring.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use api::{Value, value};
use client::{Change, mirror::Key};

use crate::{
    driver::{
        Spec, Wake, Work,
        plan::{Action, Event, Excuse, Plan},
        world::World,
    },
    endpoints::{ENDPOINTS, LEADER, repack},
    endpointslices::{
        MANAGED_BY, SERVICE_NAME, SLICES, endpoint_key,
        fill::{self, Changes},
        ports_key,
    },
    services::{SERVICES, TRIGGERED},
};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Upstream: `--mirroring-max-endpoints-per-subset`.
const ENDPOINTS_MAX: usize = 1000;

pub const SPEC: Spec = Spec {
    name: "endpointslice-mirroring-controller",
    alias: "endpointslicemirroring",
    acts_for: "endpointslicemirroring-controller",
    tells_as: "endpoint-slice-mirroring-controller",
    wakes_on: &[Wake::Itself(ENDPOINTS), Wake::Itself(SERVICES), Wake::By(SLICES, of_slice)],
    workers: 5,
    work: Work::Plan(plan),
};

/// Endpoints of one family with the same ports.
#[derive(Default)]
struct Group {
    family: &'static str,
    ports: Value,
    endpoints: BTreeMap<String, Value>,
}

fn of_slice(_: &World<'_>, change: &Change) -> Vec<Key> {
    let slices = [&change.old, &change.new].into_iter().flatten().map(|slice| api::meta::of(slice));
    let ours = slices.filter(|meta| meta.label(MANAGED_BY) == Some(MANAGER));
    ours.filter_map(|meta| Some(Key::new(meta.namespace(), meta.label(SERVICE_NAME)?))).collect()
}

fn plan(world: &World<'_>) -> Plan {
    let mut slices = world.mirror(SLICES).labelled(&world.key.namespace, SERVICE_NAME, &world.key.name);
    slices.retain(|slice| api::meta::of(slice).label(MANAGED_BY) == Some(MANAGER));
    let mirrored = world.itself(ENDPOINTS).filter(|endpoints| {
        let meta = api::meta::of(endpoints);
        let service = world.itself(SERVICES).filter(|service| !service.at("spec").has("selector"));
        meta.label(SKIP) != Some("true") && meta.annotation(LEADER).is_none() && service.is_some()
    });
    let Some(endpoints) = mirrored else {
        let actions = slices.into_iter().map(|slice| Action::delete(SLICES, slice)).collect();
        return Plan::of(actions, "they are not to be mirrored");
    };
    let mut plan = Plan::default();
    let mut by_key: BTreeMap<String, Vec<Arc<Value>>> = BTreeMap::new();
    for slice in slices {
        by_key.entry(key(slice.str("addressType"), slice.at("ports"))).or_default().push(slice);
    }
    let mut changes = Changes::default();
    for (key, group) in groups(&endpoints, &mut plan) {
        let there = by_key.remove(&key).unwrap_or_default();
        settle(&mut changes, &endpoints, group, there);
    }
    changes.delete.extend(by_key.into_values().flatten());
    changes.reuse(|_| true);
    if !api::meta::of(&endpoints).is_terminating() {
        let create = |slice| Action::create(SLICES, slice).excuse(&[Excuse::NamespaceTerminating]);
        plan.actions.extend(changes.create.into_iter().map(create));
    }
    plan.actions.extend(changes.update.into_iter().map(|slice| Action::update(SLICES, slice)));
    plan.actions.extend(changes.delete.into_iter().map(|slice| Action::delete(SLICES, slice)));
    plan.because = format!("{} slices to write", plan.actions.len()).into();
    plan
}

fn key(family: &str, ports: &Value) -> String {
    format!("{family} {}", ports_key(ports))
}

/// What slices there have to be. What cannot be mirrored is told.
fn groups(endpoints: &Arc<Value>, plan: &mut Plan) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let (mut invalid, mut skipped) = (0, 0);
    for subset in repack(endpoints.list("subsets")) {
        let ports: Value = subset.list("ports").iter().map(port).collect();
        let ready = subset.list("addresses").iter().map(|a| (a, true));
        let mut added = 0;
        for (address, ready) in ready.chain(subset.list("notReadyAddresses").iter().map(|a| (a, false))) {
            if added >= ENDPOINTS_MAX {
                skipped += 1;
                continue;
            }
            let Ok(ip) = address.str("ip").parse::<IpAddr>() else {
                (invalid, skipped) = (invalid + 1, skipped + 1);
                continue;
            };
            added += 1;
            let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
            let group = groups.entry(key(family, &ports)).or_default();
            (group.family, group.ports) = (family, ports.clone());
            let endpoint = endpoint(address, ip, ready);
            group.endpoints.insert(endpoint_key(&endpoint), endpoint);
        }
    }
    let mut tell = |reason: &str, message: String| {
        plan.events.push(Event { regarding: endpoints.clone(), warning: true, reason: reason.into(), message });
    };
    if invalid > 0 {
        let text = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
        tell("InvalidIPAddress", text);
    }
    if skipped > invalid {
        let text = format!(
            "A max of {ENDPOINTS_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were skipped"
        );
        tell("TooManyAddressesToMirror", text);
    }
    groups
}

fn port(port: &Value) -> Value {
    let mut found = value!({"name": port.str("name"), "port": port.int("port"),
        "protocol": port.opt_str("protocol").unwrap_or("TCP")});
    if let Some(protocol) = port.opt_str("appProtocol") {
        found.set("appProtocol", protocol);
    }
    found
}

fn endpoint(address: &Value, ip: IpAddr, ready: bool) -> Value {
    let mut endpoint = value!({"addresses": [ip.to_string()], "conditions": {"ready": ready}});
    for member in ["targetRef", "nodeName", "hostname"] {
        if !address.at(member).is_empty() {
            endpoint.set(member, address.at(member).clone());
        }
    }
    endpoint
}

/// One slice for a group: the first that is there, when there is one. Upstream: reconcileByPortMapping.
fn settle(changes: &mut Changes, endpoints: &Value, group: Group, there: Vec<Arc<Value>>) {
    let mut there = there.into_iter();
    let first = there.next();
    changes.delete.extend(there);
    let mut new = fresh(endpoints, &group);
    let members: Vec<Value> = group.endpoints.into_values().take(ENDPOINTS_MAX).collect();
    let Some(old) = first else {
        new.set("endpoints", Value::array(members));
        return changes.create.push(new);
    };
    let known: BTreeMap<String, &Value> = old.list("endpoints").iter().map(|e| (endpoint_key(e), e)).collect();
    let kept = |new: &Value| known.get(&endpoint_key(new)).is_some_and(|old| fill::same(old, new));
    let same = |member: &str| {
        let empty = Value::object();
        let of = |slice: &Value| {
            Some(slice.at("metadata").at(member)).filter(|m| !m.is_null()).cloned().unwrap_or(empty.clone())
        };
        of(&old) == of(&new)
    };
    let owned = old.at("metadata").at("ownerReferences") == new.at("metadata").at("ownerReferences");
    if known.len() == members.len() && members.iter().all(kept) && same("labels") && same("annotations") && owned {
        return;
    }
    new.set("endpoints", Value::array(members));
    let meta = api::meta::of(&old);
    new.set_path(&["metadata", "name"], meta.name());
    new.set_path(&["metadata", "resourceVersion"], meta.resource_version());
    changes.update.push(new);
}

/// An empty slice of endpoints. Upstream: newEndpointSlice.
fn fresh(endpoints: &Value, group: &Group) -> Value {
    let meta = api::meta::of(endpoints);
    let mut labels = Value::object();
    for (key, text) in meta.0.strings("labels") {
        labels.set(key, text);
    }
    labels.set(SERVICE_NAME, meta.name());
    labels.set(MANAGED_BY, MANAGER);
    let mut annotations = Value::object();
    for (key, text) in meta.0.strings("annotations").filter(|(key, _)| *key != TRIGGERED && *key != APPLIED) {
        annotations.set(key, text);
    }
    let dashed = format!("{}-", meta.name());
    let prefix = if dashed.len() > 253 { meta.name().to_string() } else { dashed };
    value!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "generateName": prefix, "namespace": meta.namespace(), "labels": labels, "annotations": annotations,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Endpoints", "name": meta.name(), "uid": meta.uid(),
                "controller": true, "blockOwnerDeletion": true}]
        },
        "addressType": group.family, "endpoints": [], "ports": group.ports.clone()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/endpointslices_mirrored.yaml"));
    }
}
