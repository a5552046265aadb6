//! What a machine reads of a cluster before it trusts it is signed with each bootstrap token that may sign.
//!
//! Upstream: pkg/controller/bootstrap/bootstrapsigner.go.

use api::Value;
use client::{Change, mirror::Key};

use crate::{
    bootstrap_tokens::{self as tokens, NAMESPACE},
    driver::{
        Spec, Wake, Work,
        plan::{Action, Excuse, Plan},
        world::World,
    },
    secrets::SECRETS,
};

const MAPS: &str = "v1/configmaps";
const MAP: (&str, &str) = ("kube-public", "cluster-info");
const PREFIX: &str = "jws-kubeconfig-";

pub const SPEC: Spec = Spec {
    name: "bootstrap-signer-controller",
    alias: "bootstrapsigner",
    acts_for: "bootstrap-signer",
    tells_as: "bootstrap-signer",
    wakes_on: &[Wake::By(MAPS, of_map), Wake::By(SECRETS, of_secret)],
    workers: 1,
    work: Work::Plan(plan),
};

fn of_map(_: &World<'_>, change: &Change) -> Vec<Key> {
    let key = Key::of(change.object());
    if (key.namespace.as_str(), key.name.as_str()) == MAP { vec![key] } else { Vec::new() }
}

fn of_secret(_: &World<'_>, change: &Change) -> Vec<Key> {
    if tokens::is_token(change.object()) { vec![Key::new(MAP.0, MAP.1)] } else { Vec::new() }
}

fn plan(world: &World<'_>) -> Plan {
    let Some(map) = world.itself(MAPS) else { return Plan::nothing("there is nothing to sign") };
    let Some(content) = map.at("data").opt_str("kubeconfig") else { return Plan::nothing("it has no kubeconfig") };
    let mut new = Value::clone(&map);
    if let Some(data) = new.get_mut("data").and_then(Value::as_object_mut) {
        data.retain(|key, _| !key.starts_with(PREFIX));
    }
    let secrets = world.mirror(SECRETS).in_namespace(NAMESPACE);
    let usable = secrets.iter().filter(|s| tokens::is_token(s)).filter_map(|s| tokens::for_signing(s, world.now));
    for (id, secret) in usable {
        new.set_path(&["data", &format!("{PREFIX}{id}")], certs::jws::detached(content, &id, &secret));
    }
    if new.at("data").is_same(map.at("data")) {
        return Plan::nothing("its signatures are right");
    }
    Plan::of(vec![Action::update(MAPS, new).excuse(&[Excuse::NotFound])], "its signatures are others")
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/bootstrap_signer.yaml"));
    }
}
