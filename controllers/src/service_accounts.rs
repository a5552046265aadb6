//! Every namespace has a service account `default`.
//!
//! Upstream: pkg/controller/serviceaccount/serviceaccounts_controller.go.

use api::value;

use crate::driver::{
    Spec, Wake, Work,
    plan::{Action, Excuse, Plan},
    world::World,
};

const NAMESPACES: &str = "v1/namespaces";
const ACCOUNTS: &str = "v1/serviceaccounts";
const NAME: &str = "default";

pub const SPEC: Spec = Spec {
    name: "serviceaccount-controller",
    alias: "serviceaccount",
    acts_for: "service-account-controller",
    tells_as: "service-account-controller",
    wakes_on: &[Wake::Itself(NAMESPACES), Wake::Namespace(ACCOUNTS)],
    workers: 1,
    work: Work::Plan(plan),
};

fn plan(world: &World<'_>) -> Plan {
    let Some(namespace) = world.itself(NAMESPACES) else { return Plan::nothing("the namespace is gone") };
    let name = api::meta::of(&namespace).name();
    if namespace.at("status").str("phase") != "Active" {
        return Plan::nothing("the namespace is not active");
    }
    if world.get(ACCOUNTS, name, NAME).is_some() {
        return Plan::nothing("it is there");
    }
    let account = value!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": name}});
    let create = Action::create(ACCOUNTS, account);
    Plan::of(vec![create.excuse(&[Excuse::AlreadyExists, Excuse::NamespaceTerminating])], "it is missing")
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/service_accounts.yaml"));
    }
}
