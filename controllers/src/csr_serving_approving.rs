//! Nodes' requests for serving certificates are approved when they are for the node that asks, by its own addresses.
//!
//! Upstream leaves this to the cluster's administrator, since a node's own word is all that a node's addresses rest on
//! (pkg/controller/certificates/approver has no rule for kubelet-serving). So this one runs only when it is named, and looks at
//! who else an address could be: the API server, a service, another node. Whoever is not certain is left to somebody's hand.

use std::net::IpAddr;

use api::{Value, value};
use certs::Request;
use client::{Change, mirror::Key};

use crate::{
    csr::{self, REQUESTS},
    driver::{
        Spec, Wake, Work,
        plan::{Action, Deed, Event, Excuse, Plan},
        world::World,
    },
};

pub const SPEC: Spec = Spec {
    name: "kubelet-serving-approver",
    alias: "",
    acts_for: "kubelet-serving-approver",
    tells_as: "kubelet-serving-approver",
    wakes_on: &[Wake::Itself(REQUESTS), Wake::By(NODES, of_node), Wake::Read(SERVICES), Wake::Read(SLICES)],
    workers: 1,
    work: Work::Plan(plan),
};

const SIGNER: &str = "kubernetes.io/kubelet-serving";
const NODES: &str = "v1/nodes";
const SERVICES: &str = "v1/services";
const SLICES: &str = "discovery.k8s.io/v1/endpointslices";
const USER: &str = "system:node:";
const GROUP: &str = "system:nodes";
const MESSAGE: &str = "Auto approving kubelet serving certificate: it is for the node that asks, and its addresses.";

/// What a node says of itself comes after it has asked, at first.
fn of_node(world: &World<'_>, change: &Change) -> Vec<Key> {
    let user = format!("{USER}{}", api::meta::of(change.object()).name());
    let all = world.mirror(REQUESTS).all();
    let own = all.iter().filter(|csr| csr.at("spec").str("username") == user && is_open(csr));
    own.map(|csr| Key::of(csr)).collect()
}

fn plan(world: &World<'_>) -> Plan {
    let Some(csr) = world.itself(REQUESTS).filter(|csr| is_open(csr)) else {
        return Plan::nothing("there is nothing to decide");
    };
    let (request, node) = match asked(&csr) {
        Ok(found) => found,
        Err(why) => return refused(&csr, why),
    };
    // It may come yet, and then wakes this.
    let Some(node) = world.get(NODES, "", &node) else { return Plan::nothing("its node is not there") };
    let own = Own::of(&node);
    if let Some(other) = own.other(&request) {
        return Plan::nothing(format!("{other} is not among the addresses of its node"));
    }
    if let Some(why) = somebody_elses(world, api::meta::of(&node).name(), &request) {
        return refused(&csr, why);
    }
    let condition = value!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": MESSAGE});
    let deed = Deed::Update(csr::with_condition(&csr, condition), "approval");
    let action = Action { resource: REQUESTS, deed, excused: &[Excuse::NotFound], tell: None };
    Plan::of(vec![action], "it is for its node")
}

/// Left to somebody's hand, who hears why.
fn refused(csr: &std::sync::Arc<Value>, why: String) -> Plan {
    let event = Event::warning(csr, "NotApproved", why.clone());
    Plan { events: vec![event], ..Plan::nothing(why) }
}

/// Whether this is for it to decide, and nobody has.
fn is_open(csr: &Value) -> bool {
    csr.at("spec").str("signerName") == SIGNER
        && !csr::is_issued(csr)
        && !csr::has(csr, "Approved")
        && !csr::has(csr, "Denied")
        && !csr::has(csr, "Failed")
}

/// What is asked for, and the node that asks for itself.
fn asked(csr: &Value) -> Result<(Request, String), String> {
    let request = csr::read(csr)?;
    request.check_kubelet_serving(&csr::usages(csr))?;
    let spec = csr.at("spec");
    let user = spec.str("username");
    if user != request.common_name {
        return Err(format!("{user:?} asks for a certificate of {:?}", request.common_name));
    }
    if !spec.list("groups").iter().any(|group| group.as_str() == Some(GROUP)) {
        return Err(format!("{user:?} is not in the group {GROUP}"));
    }
    match user.strip_prefix(USER).filter(|node| !node.is_empty()) {
        Some(node) => Ok((request, node.to_owned())),
        None => Err(format!("{user:?} is no node")),
    }
}

/// What a node says that it is reached by.
struct Own {
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
}

// === impl Own ===

impl Own {
    fn of(node: &Value) -> Own {
        let all = node.at("status").list("addresses").iter().map(|address| address.str("address"));
        let (mut own, name) = (Own { hosts: Vec::new(), addresses: Vec::new() }, api::meta::of(node).name());
        for text in all.chain([name]) {
            match text.parse() {
                Ok(address) => own.addresses.push(address),
                Err(_) => own.hosts.push(text.to_owned()),
            }
        }
        own
    }

    /// The first name of a request that is not the node's.
    fn other(&self, request: &Request) -> Option<String> {
        let host = request.dns_names.iter().find(|name| !self.hosts.contains(name)).cloned();
        host.or_else(|| {
            let wanted = request.addresses.iter().map(|octets| address(octets).ok_or(octets));
            let other = wanted.into_iter().find(|wanted| !wanted.as_ref().is_ok_and(|ip| self.addresses.contains(ip)));
            other.map(|wanted| wanted.map_or_else(|octets| format!("{octets:?}"), |ip| ip.to_string()))
        })
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// Whom clients mean by one of the names, if that is somebody else than the node.
fn somebody_elses(world: &World<'_>, node: &str, request: &Request) -> Option<String> {
    if let Some(name) = request.dns_names.iter().find(|name| is_service(name)) {
        return Some(format!("{name:?} is what a service is called"));
    }
    let all: Vec<IpAddr> = request.addresses.iter().filter_map(|octets| address(octets)).collect();
    // Whoever could answer at the machine itself is on it already.
    let addresses: Vec<IpAddr> = all.iter().copied().filter(|address| !address.is_loopback()).collect();
    let has = |texts: &[&Value]| {
        let read = texts.iter().filter_map(|text| text.as_str()?.parse::<IpAddr>().ok());
        read.into_iter().find(|address| addresses.contains(address))
    };
    for service in world.mirror(SERVICES).all() {
        let texts: Vec<&Value> = service.at("spec").list("clusterIPs").iter().collect();
        if let Some(address) = has(&texts) {
            return Some(format!("{address} is the address of service {}", Key::of(&service)));
        }
    }
    if let Some(slice) = world.get(SLICES, "default", "kubernetes") {
        let texts: Vec<&Value> = slice.list("endpoints").iter().flat_map(|e| e.list("addresses")).collect();
        if let Some(address) = has(&texts) {
            return Some(format!("{address} is the address of the API server"));
        }
    }
    for other in world.mirror(NODES).all() {
        let name = api::meta::of(&other).name();
        let theirs = Own::of(&other);
        let is_another = name != node;
        let host = request.dns_names.iter().find(|host| theirs.hosts.contains(host));
        let address = all.iter().find(|address| theirs.addresses.contains(address)).map(ToString::to_string);
        if let Some(found) = host.cloned().or(address).filter(|_| is_another) {
            return Some(format!("{found} is node {name} too"));
        }
    }
    None
}

/// The API server in short, the machine itself, and everything of the form NAME.NAMESPACE.svc….
fn is_service(name: &str) -> bool {
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    matches!(labels.as_slice(), ["kubernetes"] | ["kubernetes", "default"] | ["localhost"])
        || labels.get(2).is_some_and(|label| label.eq_ignore_ascii_case("svc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        crate::driver::cases::run(&SPEC, include_str!("../cases/csr_serving_approving.yaml"));
    }

    #[test]
    fn names_of_services_are_nobodys_nodes() {
        for name in ["kubernetes", "kubernetes.default", "a.b.svc", "a.b.SVC.cluster.local", "localhost"] {
            assert!(is_service(name), "{name}");
        }
        for name in ["node-1", "kubernetes.example.com", "svc", "node.svc", "kubernetes-1"] {
            assert!(!is_service(name), "{name}");
        }
    }
}
