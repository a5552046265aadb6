//! Pods go when devices that they use are tainted and their claims do not tolerate it.
//!
//! Not a plan: which pods were to go is remembered, to say so when they are not any more, and how many have gone by each
//! rule. When a pod goes is in the objects: a taint says since when it is. Upstream: pkg/controller/devicetainteviction.

mod rules;
mod taints;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use api::{EcoString, Value, value};
use async_trait::async_trait;
use client::{Change, Client, DeleteOptions, Patch, Resource, mirror::Key};
use parking_lot::Mutex;

use crate::{
    driver::{Failed, Parts, Spec, Steps, Wake, Work, events::Recorder, plan::Event, world::World},
    pods::{self, PODS},
    resource_claims::{CLAIMS, claims},
};

const SLICES: &str = "resource.k8s.io/v1/resourceslices";
const RULES: &str = "resource.k8s.io/v1/devicetaintrules";

pub const SPEC: Spec = Spec {
    name: "device-taint-eviction-controller",
    alias: "",
    acts_for: "device-taint-eviction-controller",
    tells_as: "device-taint-eviction-controller",
    wakes_on: &[
        Wake::By(PODS, of_pod),
        Wake::By(CLAIMS, of_claim),
        Wake::By(SLICES, of_slice),
        Wake::By(RULES, of_rule),
    ],
    workers: 10,
    work: Work::Steps(|parts| Arc::new(Eviction::new(parts))),
};

/// The pod, and the rules by which pods go: their statuses count them.
fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    if claims(change.object()).is_empty() {
        return Vec::new();
    }
    let rules = world.mirror(RULES).all();
    let evicting = rules.iter().filter(|r| taints::evicts(r.at("spec").at("taint"))).map(|r| Key::of(r));
    evicting.chain([Key::of(change.object())]).collect()
}

/// Pods that have or had a place in it.
fn of_claim(_: &World<'_>, change: &Change) -> Vec<Key> {
    let users = |claim: &Arc<Value>| consumers(claim);
    [&change.old, &change.new].into_iter().flatten().flat_map(users).collect()
}

fn consumers(claim: &Value) -> Vec<Key> {
    let namespace = api::meta::of(claim).namespace();
    let pods = claim.at("status").list("reservedFor").iter().filter(|r| r.str("resource") == "pods");
    pods.map(|r| Key::new(namespace, r.str("name"))).collect()
}

/// Pods whose claims have devices of its pool.
fn of_slice(world: &World<'_>, change: &Change) -> Vec<Key> {
    let spec = change.object().at("spec");
    let (driver, pool) = (spec.str("driver"), spec.at("pool").str("name"));
    let is_of = |device: &Value| device.str("driver") == driver && device.str("pool") == pool;
    let all = world.mirror(CLAIMS).all();
    all.iter().filter(|c| taints::devices(c).iter().any(is_of)).flat_map(|c| consumers(c)).collect()
}

/// The rule, and every pod that has devices. What its status says wakes nobody.
fn of_rule(world: &World<'_>, change: &Change) -> Vec<Key> {
    let generation = |object: &Option<Arc<Value>>| object.as_deref().map(|o| api::meta::of(o).generation());
    if change.old.is_some() && generation(&change.old) == generation(&change.new) {
        return Vec::new();
    }
    let all = world.mirror(CLAIMS).all();
    let users = all.iter().filter(|c| !taints::devices(c).is_empty()).flat_map(|c| consumers(c));
    users.chain([Key::of(change.object())]).collect()
}

struct Eviction {
    recorder: Recorder,
    /// Pods that are to go, by uid.
    waiting: Mutex<HashSet<EcoString>>,
    /// How many have gone by each rule, by uid.
    gone: Mutex<HashMap<EcoString, u64>>,
}

// === impl Eviction ===

impl Eviction {
    fn new(parts: &Parts) -> Eviction {
        let recorder = Recorder::new(parts.client.clone(), parts.clock.clone(), SPEC.tells_as);
        Eviction { recorder, waiting: Mutex::default(), gone: Mutex::default() }
    }

    async fn tell(&self, pod: &Arc<Value>, message: &str) {
        self.recorder.record(&Event::normal(pod, "DeviceTaintManagerEviction", message)).await;
    }

    async fn pod(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(pod) = world.itself(PODS) else { return Ok(None) };
        let uid = EcoString::from(api::meta::of(&pod).uid());
        if pods::is_terminating(&pod) {
            self.waiting.lock().remove(&uid);
            return Ok(None);
        }
        let Some(verdict) = taints::verdict(world, &pod, &taints::evicting_rules(world)) else {
            if self.waiting.lock().remove(&uid) {
                self.tell(&pod, "Cancelling deletion").await;
            }
            return Ok(None);
        };
        let left = verdict.at.duration_since(world.now);
        if left.is_positive() {
            self.waiting.lock().insert(uid);
            return Ok(Some(left.unsigned_abs()));
        }
        self.tell(&pod, "Marking for deletion").await;
        evict(world, client, &pod).await?;
        self.waiting.lock().remove(&uid);
        let mut gone = self.gone.lock();
        verdict.rules.iter().for_each(|rule| *gone.entry(rule.clone()).or_default() += 1);
        Ok(None)
    }

    async fn rule(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(rule) = world.itself(RULES) else { return Ok(None) };
        let gone = self.gone.lock().get(api::meta::of(&rule).uid()).copied().unwrap_or(0);
        match rules::status(world, &rule, gone) {
            rules::Told::Later(after) => Ok(Some(after)),
            rules::Told::Same => Ok(None),
            rules::Told::News(new) => {
                let resource = Resource::parse(RULES).expect("it is a resource");
                match client.update_status(resource.named("", api::meta::of(&rule).name()), &new).await {
                    Err(error) if !error.is_not_found() => Err(error.into()),
                    _ => Ok(Some(rules::PERIOD)),
                }
            }
        }
    }
}

async fn evict(world: &World<'_>, client: &Client, pod: &Value) -> Result<(), Failed> {
    let meta = api::meta::of(pod);
    let condition = value!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByDeviceTaintManager",
        "message": "Device Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": api::time::seconds(world.now)
    });
    let patch = value!({"metadata": {"uid": meta.uid()}, "status": {"conditions": [condition]}});
    let resource = Resource::new("", "v1", "pods");
    let target = resource.named(meta.namespace(), meta.name());
    match client.patch(target.below("status"), Patch::Strategic, &patch).await {
        Err(error) if !error.is_not_found() => return Err(error.into()),
        _ => {}
    }
    let options = DeleteOptions { uid: meta.uid().into(), ..DeleteOptions::default() };
    match client.delete(target, &options).await {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

#[async_trait]
impl Steps for Eviction {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        match world.key.namespace.is_empty() {
            true => self.rule(world, client).await,
            false => self.pod(world, client).await,
        }
    }
}

#[cfg(test)]
mod tests;
