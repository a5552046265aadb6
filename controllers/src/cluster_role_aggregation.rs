//! Cluster roles that are made of others: their rules are those of all roles that they select.
//!
//! They are applied: what somebody else has set stays where no role is selected. Upstream: pkg/controller/clusterroleaggregation.

use std::sync::Arc;

use api::{Value, selector::Selector, value};
use client::{Change, mirror::Key};

use crate::driver::{
    Spec, Wake, Work,
    plan::{Action, Plan},
    world::World,
};

const MANAGER: &str = "clusterrole-aggregation-controller";
const ROLES: &str = "rbac.authorization.k8s.io/v1/clusterroles";

pub const SPEC: Spec = Spec {
    name: MANAGER,
    alias: "clusterrole-aggregation",
    acts_for: MANAGER,
    tells_as: MANAGER,
    wakes_on: &[Wake::By(ROLES, aggregating)],
    workers: 5,
    work: Work::Plan(plan),
};

/// Any role may be part of any aggregated one.
fn aggregating(world: &World<'_>, _: &Change) -> Vec<Key> {
    let roles = world.mirror(ROLES).all();
    roles.iter().filter(|role| role.has("aggregationRule")).map(|role| Key::of(role)).collect()
}

fn plan(world: &World<'_>) -> Plan {
    let Some(role) = world.itself(ROLES).filter(|role| role.has("aggregationRule")) else {
        return Plan::nothing("it is made of nothing else");
    };
    let all = world.mirror(ROLES).all();
    let mut rules: Vec<Value> = Vec::new();
    for selector in role.at("aggregationRule").list("clusterRoleSelectors") {
        let Ok(selector) = Selector::from_label_selector(selector) else { continue };
        for part in all.iter().filter(|part| is_part(part, &role, &selector)) {
            let new: Vec<Value> = part.list("rules").iter().filter(|rule| !rules.contains(rule)).cloned().collect();
            rules.extend(new);
        }
    }
    if rules == role.list("rules") {
        return Plan::nothing("its rules are those of its parts");
    }
    let mut configuration = value!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": (api::meta::of(&role).name())}
    });
    if !rules.is_empty() {
        configuration.set("rules", Value::array(rules));
    }
    Plan::of(vec![Action::apply(ROLES, configuration, MANAGER)], "its parts have other rules")
}

fn is_part(part: &Arc<Value>, role: &Value, selector: &Selector) -> bool {
    let meta = api::meta::of(part);
    meta.name() != api::meta::of(role).name() && selector.matches(meta.labels())
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/cluster_role_aggregation.yaml"));
    }
}
