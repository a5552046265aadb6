//! Nodes that are not heard of: their conditions, and taints that keep pods away and drive them out.
//!
//! Not a plan: how long a node has been silent is judged by this process's own clock, from when it last saw something of
//! it, and taints that drive pods out go on zone by zone, at a rate that depends on how much of the zone is down.
//! Upstream: pkg/controller/nodelifecycle.

mod health;
mod zones;

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::{EcoString, Value, taint, value};
use async_trait::async_trait;
use client::{Client, Error, Patch, Resource};
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::{
    driver::{Failed, Parts, Spec, Steps, Wake, Work, events::Recorder, plan::Event, world::World},
    pods::{self, PODS},
};

use health::Health;
use zones::Zones;

const NODES: &str = "v1/nodes";
const LEASES: &str = "coordination.k8s.io/v1/leases";
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Upstream: `--node-monitor-period`.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub const SPEC: Spec = Spec {
    name: "node-lifecycle-controller",
    alias: "nodelifecycle",
    acts_for: "node-controller",
    tells_as: "node-controller",
    // Leases wake nobody: every node is looked at every few seconds anyway.
    wakes_on: &[Wake::Itself(NODES), Wake::Read(LEASES), Wake::Read(PODS)],
    workers: 8,
    work: Work::Steps(|parts| Arc::new(Lifecycle::new(parts))),
};

struct Lifecycle {
    recorder: Recorder,
    /// What was seen of each node, by name.
    seen: Mutex<HashMap<EcoString, Health>>,
    zones: Mutex<Zones>,
}

// === impl Lifecycle ===

impl Lifecycle {
    fn new(parts: &Parts) -> Lifecycle {
        let recorder = Recorder::new(parts.client.clone(), parts.clock.clone(), SPEC.tells_as);
        Lifecycle { recorder, seen: Mutex::default(), zones: Mutex::default() }
    }

    /// Takes in what a node shows; answers the node as it has to be if it is silent for too long.
    fn look(&self, world: &World<'_>, node: &Value) -> (bool, Option<Value>) {
        let name = EcoString::from(api::meta::of(node).name());
        let lease = world.get(LEASES, LEASE_NAMESPACE, &name);
        let mut seen = self.seen.lock();
        let is_new = !seen.contains_key(&name);
        let health = seen.entry(name).or_insert_with(|| Health::new(node, world.now));
        health.observe(node, lease.as_deref(), world.now);
        (is_new, health.silenced(node, world.now))
    }

    async fn tell(&self, node: &Arc<Value>, reason: &str, message: String) {
        // Events about nodes name the node as their uid too, as kubelets do.
        self.recorder.record(&Event::normal(node, reason, message)).await;
    }

    /// A node that is not ready any more has no ready pods. Upstream: MarkPodsNotReady.
    async fn mark_pods(&self, world: &World<'_>, client: &Client, node: &str) -> Result<(), Error> {
        let now = api::time::seconds(world.now);
        for pod in world.mirror(PODS).all().iter().filter(|p| pods::node(p) == node && pods::is_ready(p)) {
            let meta = api::meta::of(pod);
            let condition = value!({"type": "Ready", "status": "False", "lastTransitionTime": now.as_str()});
            let patch = value!({"metadata": {"uid": meta.uid()}, "status": {"conditions": [condition]}});
            let resource = Resource::new("", "v1", "pods");
            let target = resource.named(meta.namespace(), meta.name()).below("status");
            match client.patch(target, Patch::Strategic, &patch).await {
                Ok(_) => self.recorder.record(&Event::warning(pod, "NodeNotReady", "Node is not ready")).await,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The taints that a node has to have, as far as they are this controller's.
    fn taints(&self, world: &World<'_>, node: &Value) -> Vec<Value> {
        let now = api::time::seconds(world.now);
        let mut taints = health::with_no_schedule(node, &now);
        let driven_out = health::driven_out_by(node);
        let has = taints.iter().any(|t| t.str("effect") == taint::NO_EXECUTE && health::is_drive(t.str("key")));
        let mut zones = self.zones.lock();
        zones.refresh(world.now, || world.mirror(NODES).all());
        let may = match driven_out {
            Some(_) if zones.is_all_down() => false,
            // One drive in exchange for another needs no leave.
            Some(_) => has || zones.may_drive(node, world.now),
            None => false,
        };
        drop(zones);
        if driven_out.is_none() || may || self.zones.lock().is_all_down() {
            let wanted = driven_out.filter(|_| may);
            health::set_drive(&mut taints, wanted, &now);
        }
        taints
    }
}

#[async_trait]
impl Steps for Lifecycle {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let name = world.key.name.as_str();
        let Some(node) = world.itself(NODES) else {
            let last = self.seen.lock().remove(name).map(|health| health.last);
            if let Some(last) = last {
                self.tell(&last, "RemovingNode", format!("Node {name} event: Removing Node {name} from Controller"))
                    .await;
            }
            return Ok(None);
        };
        let (is_new, silenced) = self.look(world, &node);
        if is_new {
            self.tell(&node, "RegisteredNode", format!("Node {name} event: Registered Node {name} in Controller"))
                .await;
        }
        let resource = Resource::new("", "v1", "nodes");
        let target = resource.named("", name);
        if let Some(new) = silenced {
            let was_ready = health::ready(&node) == "True";
            client.update_status(target, &new).await?;
            if was_ready {
                self.tell(&node, "NodeNotReady", format!("Node {name} status is now: NodeNotReady")).await;
            }
            return Ok(Some(Duration::from_millis(100)));
        }
        if self.seen.lock().get_mut(name).is_some_and(|health| health.has_fallen(&node)) {
            self.mark_pods(world, client, name).await?;
        }
        let mut new = Value::clone(&node);
        let taints = self.taints(world, &node);
        match taints.is_empty() {
            true => drop(new.remove_path(&["spec", "taints"])),
            false => new.set_path(&["spec", "taints"], Value::array(taints)),
        }
        health::label(&mut new);
        if new != *node {
            client.update(target, &new).await?;
        }
        Ok(Some(LOOK_EVERY))
    }

    fn retry_max(&self) -> Duration {
        LOOK_EVERY
    }
}

/// Whole seconds from one time to another.
fn seconds_after(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second() - from.as_second()
}
