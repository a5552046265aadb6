//! Every namespace has a ConfigMap `kube-root-ca.crt` with the authorities that pods trust the API server by.
//!
//! Upstream: pkg/controller/certificates/rootcacertpublisher/publisher.go.

use api::{Value, value};
use client::{Change, mirror::Key};

use crate::driver::{
    Spec, Wake, Work,
    plan::{Action, Excuse, Plan},
    world::World,
};

const NAMESPACES: &str = "v1/namespaces";
const MAPS: &str = "v1/configmaps";
const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const DESCRIBED: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints \
    such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of \
    Kubernetes clusters.";

pub const SPEC: Spec = Spec {
    name: "root-ca-certificate-publisher-controller",
    alias: "root-ca-cert-publisher",
    acts_for: "root-ca-cert-publisher",
    tells_as: "root-ca-cert-publisher",
    wakes_on: &[Wake::Itself(NAMESPACES), Wake::By(MAPS, ours)],
    workers: 1,
    work: Work::Plan(plan),
};

/// Other ConfigMaps are nobody's business here.
fn ours(_: &World<'_>, change: &Change) -> Vec<Key> {
    let meta = api::meta::of(change.object());
    if meta.name() == NAME { vec![Key::new("", meta.namespace())] } else { Vec::new() }
}

fn plan(world: &World<'_>) -> Plan {
    let Some(namespace) = world.itself(NAMESPACES) else { return Plan::nothing("the namespace is gone") };
    if namespace.at("status").str("phase") != "Active" {
        return Plan::nothing("the namespace is not active");
    }
    let name = api::meta::of(&namespace).name();
    let data = value!({"ca.crt": world.settings.root_ca.clone()});
    let Some(known) = world.get(MAPS, name, NAME) else {
        let map = value!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": name, "annotations": {"kubernetes.io/description": DESCRIBED}}, "data": data});
        let create = Action::create(MAPS, map).excuse(&[Excuse::NotFound, Excuse::NamespaceTerminating]);
        return Plan::of(vec![create], "it is missing");
    };
    let described = api::meta::of(&known).annotation(DESCRIPTION).is_some_and(|text| !text.is_empty());
    if *known.at("data") == data && described {
        return Plan::nothing("it is as it should be");
    }
    let mut map = Value::clone(&known);
    map.set("data", data);
    map.set_path(&["metadata", "annotations", DESCRIPTION], DESCRIBED);
    Plan::of(vec![Action::update(MAPS, map)], "it says something else")
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/root_ca.yaml"));
    }
}
