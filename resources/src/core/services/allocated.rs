//! What an update keeps of what was allocated, and what a change of type gives up.
//!
//! In this order, around the allocation: [`patch`], [`normalize_cluster_ips`], allocate, [`prepare_update`]. Upstream:
//! pkg/registry/core/service/storage/storage.go, pkg/registry/core/service/strategy.go.

use api::Value;

use super::{is_externally_accessible, kind, needs_health_check};
use crate::{row::Context, strategy::keep};

/// A service of this type has addresses of its own.
pub fn needs_cluster_ip(service: &Value) -> bool {
    kind(service) != "ExternalName"
}

/// Whether the allocator gives it node ports. Upstream: `needsNodePort` of the storage.
pub fn needs_node_ports(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => service.at("spec").opt_bool("allocateLoadBalancerNodePorts") != Some(false),
        _ => false,
    }
}

/// Takes over allocated values that a client left out of an update. Upstream: `patchAllocatedValues`.
pub fn patch(new: &mut Value, old: &Value) {
    let was = old.at("spec");
    if needs_cluster_ip(old) && needs_cluster_ip(new) {
        let spec = new.entry("spec");
        if spec.str("clusterIP").is_empty() {
            keep(spec, was, "clusterIP");
        }
        if spec.list("clusterIPs").is_empty() && !was.list("clusterIPs").is_empty() {
            keep(spec, was, "clusterIPs");
        }
    }
    if needs_node_ports(old) && needs_node_ports(new) {
        patch_node_ports(new, old);
    }
    if needs_health_check(old) && needs_health_check(new) && new.at("spec").int("healthCheckNodePort") == 0 {
        keep(new.entry("spec"), was, "healthCheckNodePort");
    }
}

/// Ports keep their node port by name, unless another port has it now.
fn patch_node_ports(new: &mut Value, old: &Value) {
    let before = node_ports(old);
    let used: Vec<i64> = node_ports(new).into_iter().filter(|port| before.contains(port)).collect();
    let old_ports = old.at("spec").list("ports");
    let ports = new.path_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter(|p| p.int("nodePort") == 0) {
        // The last of equal names counts.
        let known = old_ports.iter().rev().find(|p| p.str("name") == port.str("name")).map_or(0, |p| p.int("nodePort"));
        if known != 0 && !used.contains(&known) {
            port.set("nodePort", known);
        }
    }
}

fn node_ports(service: &Value) -> Vec<i64> {
    service.at("spec").list("ports").iter().map(|p| p.int("nodePort")).filter(|p| *p != 0).collect()
}

/// Brings `clusterIP` and `clusterIPs` together for clients that know only one. Upstream: `normalizeClusterIPs`.
pub fn normalize_cluster_ips(new: &mut Value, old: Option<&Value>) {
    let spec = new.entry("spec");
    let ip = spec.str("clusterIP").to_string();
    let Some(was) = old.map(|old| old.at("spec")) else {
        if !ip.is_empty() && spec.list("clusterIPs").is_empty() {
            spec.set("clusterIPs", vec![ip]);
        }
        return;
    };
    let old_ip = was.str("clusterIP");
    if !was.list("clusterIPs").is_empty() && spec.list("clusterIPs").is_empty() && old_ip == ip {
        keep(spec, was, "clusterIPs");
    }
    if old_ip == ip || was.list("clusterIPs") != spec.list("clusterIPs") {
        return;
    }
    if ip.is_empty() {
        spec.remove("clusterIPs");
    } else {
        spec.set("clusterIPs", vec![ip]);
    }
}

/// The strategy's preparation: the status stays, and so does nothing that the new type does not have.
pub fn prepare_update(new: &mut Value, old: &Value, _context: &Context<'_>) {
    keep(new, old, "status");
    drop_type_dependent_fields(new, old);
}

/// What the old type had and the new one does not is cleared, unless the client changed it: then validation refuses it.
/// Upstream: `dropTypeDependentFields`.
pub fn drop_type_dependent_fields(new: &mut Value, old: &Value) {
    let balanced = |service: &Value| kind(service) == "LoadBalancer";
    if needs_cluster_ip(old) && !needs_cluster_ip(new) {
        if same(new, old, "clusterIP") && same(new, old, "clusterIPs") {
            clear(new, "clusterIP");
            clear(new, "clusterIPs");
        }
        drop_same(new, old, "ipFamilies");
        drop_same(new, old, "ipFamilyPolicy");
    }
    let has_node_ports = |service: &Value| matches!(kind(service), "NodePort" | "LoadBalancer");
    if has_node_ports(old) && !has_node_ports(new) {
        drop_node_ports(new, old);
    }
    if needs_health_check(old) && !needs_health_check(new) {
        drop_same(new, old, "healthCheckNodePort");
    }
    if balanced(old) && !balanced(new) {
        drop_same(new, old, "allocateLoadBalancerNodePorts");
        drop_same(new, old, "loadBalancerClass");
    }
    if is_externally_accessible(old) && !is_externally_accessible(new) {
        drop_same(new, old, "externalTrafficPolicy");
    }
    if !balanced(new)
        && let Some(status) = new.get_mut("status")
    {
        status.remove("loadBalancer");
    }
}

fn drop_node_ports(new: &mut Value, old: &Value) {
    let before = node_ports(old);
    if !node_ports(new).iter().all(|port| before.contains(port)) {
        return;
    }
    let ports = new.path_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        port.remove("nodePort");
    }
}

fn same(new: &Value, old: &Value, member: &str) -> bool {
    crate::checks::same(new.at("spec").at(member), old.at("spec").at(member))
}

fn clear(service: &mut Value, member: &str) {
    service.remove_path(&["spec", member]);
}

fn drop_same(new: &mut Value, old: &Value, member: &str) {
    if same(new, old, member) {
        clear(new, member);
    }
}
