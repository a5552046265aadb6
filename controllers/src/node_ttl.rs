//! Nodes say how long what pods read of the API may be old there: the longer the more nodes there are.
//!
//! Upstream: pkg/controller/ttl. A node's own word tells which step the cluster is on, since steps overlap.

use std::sync::Arc;

use api::{Value, value};

use crate::driver::{
    Spec, Wake, Work,
    plan::{Action, Plan},
    world::World,
};

const NODES: &str = "v1/nodes";
const TTL: &str = "node.alpha.kubernetes.io/ttl";

pub const SPEC: Spec = Spec {
    name: "ttl-controller",
    alias: "ttl",
    acts_for: "ttl-controller",
    tells_as: "ttl-controller",
    // Nodes tell how they are every few seconds: soon enough for a cluster that grows.
    wakes_on: &[Wake::Itself(NODES)],
    workers: 5,
    work: Work::Plan(plan),
};

/// So many nodes at least and at most, and seconds. Upstream: ttlBoundaries.
const STEPS: [(usize, usize, i64); 5] =
    [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, usize::MAX, 300)];

fn plan(world: &World<'_>) -> Plan {
    let Some(node) = world.itself(NODES) else { return Plan::nothing("it is gone") };
    let known = seconds(&node);
    let wanted = wanted(known, world.mirror(NODES).len());
    if known == Some(wanted) {
        return Plan::nothing("it says so already");
    }
    let patch = value!({"metadata": {"annotations": {"node.alpha.kubernetes.io/ttl": wanted.to_string()}}});
    Plan::of(vec![Action::patch(NODES, node, patch)], "there are more nodes or fewer")
}

fn seconds(node: &Arc<Value>) -> Option<i64> {
    api::meta::of(node).annotation(TTL)?.parse().ok()
}

fn wanted(known: Option<i64>, nodes: usize) -> i64 {
    let stays =
        STEPS.iter().find(|(least, most, seconds)| Some(*seconds) == known && (*least..=*most).contains(&nodes));
    let first = STEPS.iter().find(|(_, most, _)| nodes <= *most);
    stays.or(first).map_or(0, |(_, _, seconds)| *seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        crate::driver::cases::run(&SPEC, include_str!("../cases/node_ttl.yaml"));
    }

    #[test]
    fn steps_overlap() {
        assert_eq!([1, 100, 101, 500, 501, 2001].map(|n| wanted(None, n)), [0, 0, 15, 15, 30, 300]);
        assert_eq!([89, 90, 100].map(|n| wanted(Some(15), n)), [0, 15, 15]);
        assert_eq!(wanted(Some(7), 5), 0, "no step has seven seconds");
    }
}
