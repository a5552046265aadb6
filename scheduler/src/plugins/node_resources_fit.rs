//! What a pod asks for has to be left on the node; emptier nodes (or fuller ones) are better.
//!
//! Upstream: plugins/noderesources/fit.go, least_allocated.go, most_allocated.go, requested_to_capacity_ratio.go.

use std::borrow::Cow;

use api::{Value, pod_resources};

use super::{Event, Filter, Filtering, Plugin, Score};
use crate::{
    Node, Pod, Refusal, Requests, Slot,
    config::Strategy,
    cycle::{Cycle, SCORE_MAX},
};

pub struct NodeResourcesFit;

struct Fit<'a>(&'a Cycle<'a>);

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn filter<'a>(&'a self, cycle: &'a Cycle<'a>) -> Filtering<'a> {
        Filtering::Each(Box::new(Fit(cycle)))
    }

    fn score<'a>(&'a self, cycle: &'a Cycle<'a>, _: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(Fit(cycle)))
    }

    fn may_help(&self, pod: &Pod, event: &Event) -> bool {
        match event {
            Event::PodGone(_) => true,
            Event::PodChanged { old, new } => frees(pod, &old.held, &new.held),
            Event::Itself { old, new } => old.requests != new.requests,
            other => other.node().is_some_and(|node| {
                let now = offer(node);
                lacking(pod, &now, &[]).is_none()
                    && other.old_node().is_none_or(|old| has_grown(pod, &offer(old), &now))
            }),
        }
    }
}

/// A node as it would be without pods.
fn offer(node: &Value) -> Node {
    let mut empty = Node::default();
    let amounts = pod_resources::amounts(node.at("status").at("allocatable"));
    empty.allocatable = Requests::from(&amounts);
    empty.pods_max = amounts.get("pods").map_or(0, api::quantity::Quantity::value);
    empty
}

/// Whether less of something is held that the pod asks for.
fn frees(pod: &Pod, old: &Requests, new: &Requests) -> bool {
    names(&pod.requests).any(|name| old.named(name) > new.named(name))
}

fn has_grown(pod: &Pod, old: &Node, new: &Node) -> bool {
    new.pods_max > old.pods_max
        || names(&pod.requests).any(|name| new.allocatable.named(name) > old.allocatable.named(name))
}

/// Names of what is asked for.
fn names(requests: &Requests) -> impl Iterator<Item = &str> {
    let own = ["cpu", "memory", "ephemeral-storage"].into_iter().filter(|name| requests.named(name) > 0);
    own.chain(requests.others.iter().filter(|(_, amount)| *amount > 0).map(|(name, _)| name.as_str()))
}

impl Filter for Fit<'_> {
    fn refuse(&self, slot: Slot) -> Option<Refusal> {
        lacking(self.0.pod, self.0.snapshot.node(slot), &self.0.profile.ignored_resources)
    }
}

/// What the node has too little of. Upstream: `fitsRequest`.
fn lacking(pod: &Pod, node: &Node, ignored: &[String]) -> Option<Refusal> {
    let (asked, free) = (&pod.requests, |name: &str| node.allocatable.named(name) - node.requested.named(name));
    let too_many = i64::try_from(node.pods.len()).unwrap_or(i64::MAX) >= node.pods_max;
    // The common case, without looking at names.
    let plain = asked.milli_cpu <= node.allocatable.milli_cpu - node.requested.milli_cpu
        && asked.memory <= node.allocatable.memory - node.requested.memory
        && asked.storage <= node.allocatable.storage - node.requested.storage
        && asked.others.is_empty();
    if plain && !too_many {
        return None;
    }
    let (mut reasons, mut is_resolvable) = (Vec::new(), true);
    if too_many {
        reasons.push(Cow::Borrowed("Too many pods"));
    }
    for name in names(asked).filter(|name| !is_ignored(name, ignored)) {
        let amount = asked.named(name);
        if amount > free(name) {
            reasons.push(Cow::Owned(format!("Insufficient {name}")));
            is_resolvable &= amount <= node.allocatable.named(name);
        }
    }
    let mut reasons = reasons.into_iter();
    Some(Refusal { reason: reasons.next()?, more: reasons.collect(), is_resolvable })
}

/// By its name or by its group, `example.com`.
fn is_ignored(name: &str, ignored: &[String]) -> bool {
    name.contains('/') && ignored.iter().any(|i| i == name || name.split('/').next() == Some(i))
}

impl Score for Fit<'_> {
    fn points(&self, slot: Slot) -> i64 {
        let (node, pod) = (self.0.snapshot.node(slot), self.0.pod);
        let strategy = &self.0.profile.strategy;
        let (mut points, mut weights) = (0, 0);
        for (name, weight) in &strategy.resources {
            let has = node.allocatable.named(name);
            if has == 0 {
                continue;
            }
            let asked = match name.as_str() {
                "cpu" => node.weighed.0 + pod.weighed.0,
                "memory" => node.weighed.1 + pod.weighed.1,
                other => match pod.requests.named(other) {
                    0 => continue,
                    own => node.requested.named(other) + own,
                },
            };
            let own = points_for(strategy, asked, has);
            // With a shape, what gives no points does not count.
            if own > 0 || strategy.shape.is_empty() {
                points += own * weight;
                weights += weight;
            }
        }
        match weights {
            0 => 0,
            weights if strategy.shape.is_empty() => points / weights,
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "rounded, and below 100")]
            weights => (points as f64 / weights as f64).round() as i64,
        }
    }
}

fn points_for(strategy: &Strategy, asked: i64, has: i64) -> i64 {
    if !strategy.shape.is_empty() {
        let used = if asked > has { SCORE_MAX } else { asked * 100 / has };
        return along(&strategy.shape, used);
    }
    match (strategy.is_most, asked > has) {
        (false, true) => 0,
        (false, false) => (has - asked) * SCORE_MAX / has,
        (true, _) => asked.min(has) * SCORE_MAX / has,
    }
}

/// Between the points of a shape on a straight line. Upstream: `BuildBrokenLinearFunction`.
fn along(shape: &[(i64, i64)], at: i64) -> i64 {
    for (i, (x, y)) in shape.iter().enumerate() {
        if at <= *x {
            let Some((x0, y0)) = i.checked_sub(1).map(|before| shape[before]) else { return *y };
            return y0 + (y - y0) * (at - x0) / (x - x0);
        }
    }
    shape.last().map_or(0, |(_, y)| *y)
}
