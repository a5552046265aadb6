//! ReplicaSets keep so many pods of a template.
//!
//! Upstream: pkg/controller/replicaset.

use client::{Change, mirror::Key};

use crate::{
    claims::{self, REPLICA_SET},
    driver::{Spec, Wake, Work, plan::Plan, world::World},
    pods::PODS,
    replicas::{self, Replicated},
};

pub const SPEC: Spec = Spec {
    name: "replicaset-controller",
    alias: "replicaset",
    acts_for: "replicaset-controller",
    tells_as: "replicaset-controller",
    wakes_on: &[Wake::Itself(REPLICA_SET.resource), Wake::By(PODS, of_pod)],
    workers: 5,
    work: Work::Plan(plan),
};

static REPLICATED: Replicated = Replicated { kind: &REPLICA_SET, counts_terminating: true };

fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    claims::owners_of(world, change, &REPLICA_SET)
}

fn plan(world: &World<'_>) -> Plan {
    replicas::plan(world, &REPLICATED)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/replicasets.yaml"));
    }
}
