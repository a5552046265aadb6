//! ReplicationControllers: ReplicaSets of old, with labels for a selector.
//!
//! Upstream: pkg/controller/replication.

use client::{Change, mirror::Key};

use crate::{
    claims::{self, REPLICATION_CONTROLLER},
    driver::{Spec, Wake, Work, plan::Plan, world::World},
    pods::PODS,
    replicas::{self, Replicated},
};

pub const SPEC: Spec = Spec {
    name: "replicationcontroller-controller",
    alias: "replicationcontroller",
    acts_for: "replication-controller",
    tells_as: "replication-controller",
    wakes_on: &[Wake::Itself(REPLICATION_CONTROLLER.resource), Wake::By(PODS, of_pod)],
    workers: 5,
    work: Work::Plan(plan),
};

static REPLICATED: Replicated = Replicated { kind: &REPLICATION_CONTROLLER, counts_terminating: false };

fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    claims::owners_of(world, change, &REPLICATION_CONTROLLER)
}

fn plan(world: &World<'_>) -> Plan {
    replicas::plan(world, &REPLICATED)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/replicationcontrollers.yaml"));
    }
}
