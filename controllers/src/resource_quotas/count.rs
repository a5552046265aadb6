//! How much of a quota objects use, by resource. Upstream: pkg/quota/v1/evaluator/core.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    Value,
    quantity::{Format, Quantity},
};
use client::Resource;
use jiff::Timestamp;

use super::pods;

/// Amounts by the name a quota gives them.
pub(super) type Usage = BTreeMap<String, Quantity>;

const CLASS: &str = ".storageclass.storage.k8s.io/";

/// Whether a quota with these limits counts objects of a resource. Upstream: the evaluators' MatchingResources.
pub(super) fn concerns(resource: &Resource, hard: &Value) -> bool {
    hard.members().any(|(name, _)| counts(resource, name))
}

/// Whether `name` is an amount of this resource.
fn counts(resource: &Resource, name: &str) -> bool {
    if name == count_name(resource) {
        return true;
    }
    if !resource.group.is_empty() {
        return false;
    }
    match resource.plural.as_str() {
        "pods" => pods::counts(name),
        "services" => matches!(name, "services" | "services.loadbalancers" | "services.nodeports"),
        "persistentvolumeclaims" => {
            matches!(name, "persistentvolumeclaims" | "requests.storage") || name.contains(CLASS)
        }
        "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => name == resource.plural.as_str(),
        _ => false,
    }
}

/// `count/configmaps`, `count/deployments.apps`.
fn count_name(resource: &Resource) -> String {
    match resource.group.as_str() {
        "" => format!("count/{}", resource.plural),
        group => format!("count/{}.{group}", resource.plural),
    }
}

/// Adds what objects use, for those amounts that the quota limits and that this resource has; at least zero of each.
pub(super) fn add(used: &mut Usage, resource: &Resource, objects: &[Arc<Value>], spec: &Value, now: Timestamp) {
    let wanted: Vec<&str> = spec.at("hard").members().map(|(name, _)| name).filter(|n| counts(resource, n)).collect();
    for name in &wanted {
        used.entry((*name).into()).or_insert(Quantity::ZERO);
    }
    for object in objects.iter().filter(|object| is_in_scope(resource, object, spec)) {
        let own = usage(resource, object, now);
        for name in &wanted {
            if let (Some(amount), Some(sum)) = (own.get(*name), used.get_mut(*name)) {
                *sum = sum.add(amount);
            }
        }
    }
}

fn usage(resource: &Resource, object: &Value, now: Timestamp) -> Usage {
    let one = || Quantity::new(1, Format::DecimalSi);
    let mut usage = Usage::from([(count_name(resource), one())]);
    if !resource.group.is_empty() {
        return usage;
    }
    usage.insert(resource.plural.to_string(), one());
    match resource.plural.as_str() {
        "pods" => {
            usage.remove("pods");
            usage.extend(pods::usage(object, now));
        }
        "services" => services(&mut usage, object.at("spec")),
        "persistentvolumeclaims" => claims(&mut usage, object),
        _ => {}
    }
    usage
}

fn services(usage: &mut Usage, spec: &Value) {
    let number = |n: usize| Quantity::new(n as i64, Format::DecimalSi);
    let ports = spec.list("ports");
    let (node_ports, balancers) = match spec.str("type") {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if spec.opt_bool("allocateLoadBalancerNodePorts") == Some(false) => {
            (ports.iter().filter(|p| p.int("nodePort") != 0).count(), 1)
        }
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    };
    usage.insert("services.nodeports".into(), number(node_ports));
    usage.insert("services.loadbalancers".into(), number(balancers));
}

fn claims(usage: &mut Usage, claim: &Value) {
    let spec = claim.at("spec");
    let one = Quantity::new(1, Format::DecimalSi);
    let annotated = api::meta::of(claim).annotation("volume.beta.kubernetes.io/storage-class");
    let class = annotated.or_else(|| spec.opt_str("storageClassName")).unwrap_or("");
    let asked = Quantity::of(spec.at_path(&["resources", "requests", "storage"]));
    // A volume that was asked to grow and then not uses what was allocated for it.
    let storage = asked.max(Quantity::of(claim.at_path(&["status", "allocatedResources", "storage"])));
    if !class.is_empty() {
        usage.insert(format!("{class}{CLASS}persistentvolumeclaims"), one);
        usage.insert(format!("{class}{CLASS}requests.storage"), storage.clone());
    }
    usage.insert("requests.storage".into(), storage);
}

/// Whether a quota with scopes is about an object. Only pods have scopes, and claims one.
fn is_in_scope(resource: &Resource, object: &Value, spec: &Value) -> bool {
    let plain = spec.list("scopes").iter().filter_map(Value::as_str).map(|scope| (scope, "Exists", &[][..]));
    let selected = spec.at("scopeSelector").list("matchExpressions").iter();
    let selected = selected.map(|e| (e.str("scopeName"), e.str("operator"), e.list("values")));
    let core = resource.group.is_empty();
    plain.chain(selected).all(|(scope, operator, values)| match resource.plural.as_str() {
        "pods" if core => pods::matches(object, scope, operator, values),
        "persistentvolumeclaims" if core && scope == "VolumeAttributesClass" => {
            pods::names(object.at("spec").str("volumeAttributesClassName"), operator, values)
        }
        _ => false,
    })
}

/// Whether an update may have freed something. Upstream: DefaultUpdateFilter.
pub(super) fn may_be_less(resource: &Resource, old: &Value, new: &Value) -> bool {
    if !resource.group.is_empty() {
        return false;
    }
    let spec = |o: &Value, member: &str| o.at("spec").at(member).clone();
    match resource.plural.as_str() {
        "pods" => {
            (!pods::is_over(old) && pods::is_over(new))
                || spec(old, "containers") != spec(new, "containers")
                || spec(old, "resources") != spec(new, "resources")
                || old.at("metadata").at("deletionTimestamp") != new.at("metadata").at("deletionTimestamp")
        }
        "services" => spec(old, "type") != spec(new, "type") || spec(old, "ports") != spec(new, "ports"),
        "persistentvolumeclaims" => {
            spec(old, "resources") != spec(new, "resources")
                || spec(old, "volumeAttributesClassName") != spec(new, "volumeAttributesClassName")
                || old.at("status").at("allocatedResources") != new.at("status").at("allocatedResources")
        }
        _ => false,
    }
}
