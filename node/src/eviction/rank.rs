//! Which pod goes first. Upstream: helpers.go rankMemoryPressure, rankPIDPressure, rankDiskPressureFunc.

use std::{cmp::Ordering, sync::Arc};

use api::{
    Value,
    pod_resources::{self, Basis},
    quantity::Quantity,
};

use super::{signals::Signal, usage::Usage};

/// A pod that could go, and what it uses; none: nothing is known of it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub pod: Arc<Value>,
    pub usage: Option<Usage>,
}

/// Sorts pods, the first to go first.
pub fn rank(candidates: &mut [Candidate], signal: Signal) {
    candidates.sort_by(|a, b| {
        let by_priority = || priority(&a.pod).cmp(&priority(&b.pod));
        if signal == Signal::Pids {
            return by_priority().then_with(|| known(a, b, |a, b| b.processes.cmp(&a.processes)));
        }
        known(a, b, |of_a, of_b| {
            let exceeds =
                |candidate: &Candidate, usage: &Usage| used(usage, signal) > asked(&candidate.pod, signal.resource());
            exceeds(b, of_b).cmp(&exceeds(a, of_a))
        })
        .then_with(by_priority)
        .then_with(|| {
            known(a, b, |of_a, of_b| {
                // What is used of inodes is compared with what was asked for of bytes, as upstream does.
                let resource = if signal.is_memory() { "memory" } else { "ephemeral-storage" };
                let over = |candidate: &Candidate, usage: &Usage| used(usage, signal) - asked(&candidate.pod, resource);
                over(b, of_b).cmp(&over(a, of_a))
            })
        })
    });
}

/// Pods of which nothing is known go first.
fn known(a: &Candidate, b: &Candidate, compare: impl Fn(&Usage, &Usage) -> Ordering) -> Ordering {
    match (&a.usage, &b.usage) {
        (Some(of_a), Some(of_b)) => compare(of_a, of_b),
        (of_a, of_b) => of_a.is_some().cmp(&of_b.is_some()),
    }
}

fn used(usage: &Usage, signal: Signal) -> i64 {
    match signal {
        Signal::Memory | Signal::AllocatableMemory => usage.memory,
        Signal::NodeFs | Signal::ImageFs => usage.disk(),
        Signal::NodeFsInodes | Signal::ImageFsInodes => usage.inodes(),
        Signal::Pids => usage.processes,
    }
}

fn asked(pod: &Value, resource: &str) -> i64 {
    pod_resources::requests(pod, Basis::default()).get(resource).map_or(0, Quantity::value)
}

fn priority(pod: &Value) -> i64 {
    pod.at("spec").int("priority")
}

/// Whether a pod is never evicted, and taken however short the node is. Upstream: IsCriticalPod.
pub fn is_critical(pod: &Value) -> bool {
    const SYSTEM_CRITICAL: i64 = 2_000_000_000;
    let meta = api::meta::of(pod);
    let is_static = meta.annotation("kubernetes.io/config.source").is_some_and(|source| source != "api");
    is_static || meta.annotation("kubernetes.io/config.mirror").is_some() || priority(pod) >= SYSTEM_CRITICAL
}
