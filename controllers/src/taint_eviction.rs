//! Pods leave nodes whose taints they do not tolerate, at once or when their time is up.
//!
//! Not a plan: a toleration's time begins when its taint is seen first, and nothing in the objects says when that was.
//! Upstream: pkg/controller/tainteviction.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::{EcoString, Value, taint, value};
use async_trait::async_trait;
use client::{Change, Client, DeleteOptions, Patch, Resource, mirror::Key};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::{
    driver::{Failed, Parts, Spec, Steps, Wake, Work, events::Recorder, plan::Event, world::World},
    pods::{self, PODS},
};

const NODES: &str = "v1/nodes";

pub const SPEC: Spec = Spec {
    name: "taint-eviction-controller",
    alias: "taint-eviction",
    // Upstream: startTaintEvictionController takes the node controller's client.
    acts_for: "node-controller",
    tells_as: "taint-eviction-controller",
    wakes_on: &[Wake::Itself(PODS), Wake::By(NODES, of_node)],
    workers: 8,
    work: Work::Steps(|parts| Arc::new(Eviction::new(parts))),
};

/// Pods on a node whose taints have changed.
fn of_node(world: &World<'_>, change: &Change) -> Vec<Key> {
    let taints = |node: &Option<Arc<Value>>| node.as_deref().map_or_else(Vec::new, no_execute);
    if taints(&change.old) == taints(&change.new) {
        return Vec::new();
    }
    let name = api::meta::of(change.object()).name();
    world.mirror(PODS).all().iter().filter(|pod| pods::node(pod) == name).map(|pod| Key::of(pod)).collect()
}

fn no_execute(node: &Value) -> Vec<Value> {
    node.at("spec").list("taints").iter().filter(|t| t.str("effect") == taint::NO_EXECUTE).cloned().collect()
}

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    /// After so long.
    GoesAfter(SignedDuration),
}

/// Upstream: processPodOnNode, getMinTolerationTime.
fn fate(taints: &[Value], tolerations: &[Value]) -> Fate {
    if taints.is_empty() {
        return Fate::Stays;
    }
    let mut least: Option<i64> = None;
    for taint in taints {
        let fitting: Vec<&Value> = tolerations.iter().filter(|t| taint::tolerates(t, taint)).collect();
        // The first one that fits counts, as upstream's GetMatchingTolerations takes them.
        let Some(first) = fitting.first() else { return Fate::Goes };
        if let Some(seconds) = first.opt_int("tolerationSeconds") {
            least = Some(least.map_or(seconds, |known| known.min(seconds)));
        }
    }
    match least {
        None => Fate::Stays,
        Some(seconds) if seconds <= 0 => Fate::Goes,
        Some(seconds) => Fate::GoesAfter(SignedDuration::from_secs(seconds)),
    }
}

struct Eviction {
    recorder: Recorder,
    /// Since when pods have been on their way, by uid.
    waiting: Mutex<HashMap<EcoString, Timestamp>>,
}

// === impl Eviction ===

impl Eviction {
    fn new(parts: &Parts) -> Eviction {
        let recorder = Recorder::new(parts.client.clone(), parts.clock.clone(), SPEC.tells_as);
        Eviction { recorder, waiting: Mutex::default() }
    }

    async fn stay(&self, pod: &Arc<Value>) {
        let meta = api::meta::of(pod);
        if self.waiting.lock().remove(meta.uid()).is_some() {
            let message = format!("Cancelling deletion of Pod {}/{}", meta.namespace(), meta.name());
            self.recorder.record(&Event::normal(pod, "TaintManagerEviction", message)).await;
        }
    }

    async fn evict(&self, world: &World<'_>, client: &Client, pod: &Arc<Value>) -> Result<(), Failed> {
        let meta = api::meta::of(pod);
        self.waiting.lock().remove(meta.uid());
        let message = format!("Marking for deletion Pod {}/{}", meta.namespace(), meta.name());
        self.recorder.record(&Event::normal(pod, "TaintManagerEviction", message)).await;
        let condition = value!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": api::time::seconds(world.now), "observedGeneration": meta.generation()
        });
        let patch = value!({"metadata": {"uid": meta.uid()}, "status": {"conditions": [condition]}});
        let resource = Resource::new("", "v1", "pods");
        let target = resource.named(meta.namespace(), meta.name());
        let gone = |error: &client::Error| error.is_not_found();
        match client.patch(target.below("status"), Patch::Strategic, &patch).await {
            Err(error) if !gone(&error) => return Err(error.into()),
            _ => {}
        }
        let options = DeleteOptions { uid: meta.uid().into(), ..DeleteOptions::default() };
        match client.delete(resource.named(meta.namespace(), meta.name()), &options).await {
            Err(error) if !gone(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Steps for Eviction {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(pod) = world.itself(PODS) else { return Ok(None) };
        if pods::is_terminating(&pod) || pods::node(&pod).is_empty() {
            self.waiting.lock().remove(api::meta::of(&pod).uid());
            return Ok(None);
        }
        let node = world.get(NODES, "", pods::node(&pod));
        let taints = node.as_deref().map_or_else(Vec::new, no_execute);
        match fate(&taints, pod.at("spec").list("tolerations")) {
            Fate::Stays => self.stay(&pod).await,
            Fate::Goes => self.evict(world, client, &pod).await?,
            Fate::GoesAfter(time) => {
                let uid = EcoString::from(api::meta::of(&pod).uid());
                let since = *self.waiting.lock().entry(uid).or_insert(world.now);
                let left = (since + time).duration_since(world.now);
                if left.is_positive() {
                    return Ok(Some(left.unsigned_abs()));
                }
                self.evict(world, client, &pod).await?;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_toleration_counts() {
        let taints = [value!({"key": "a", "effect": "NoExecute"}), value!({"key": "b", "effect": "NoExecute"})];
        let tolerate = |key: &str, seconds: Option<i64>| {
            let mut toleration = value!({"key": key, "operator": "Exists", "effect": "NoExecute"});
            if let Some(seconds) = seconds {
                toleration.set("tolerationSeconds", seconds);
            }
            toleration
        };
        assert_eq!(fate(&[], &[]), Fate::Stays);
        assert_eq!(fate(&taints, &[tolerate("a", None)]), Fate::Goes);
        assert_eq!(fate(&taints, &[tolerate("a", None), tolerate("b", None)]), Fate::Stays);
        let both = [tolerate("a", Some(300)), tolerate("b", Some(60))];
        assert_eq!(fate(&taints, &both), Fate::GoesAfter(SignedDuration::from_secs(60)));
        assert_eq!(fate(&taints, &[tolerate("a", None), tolerate("b", Some(0))]), Fate::Goes);
    }
}
