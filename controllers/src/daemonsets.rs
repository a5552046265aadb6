//! DaemonSets: a pod on every node that is fit for it.
//!
//! Upstream: pkg/controller/daemon.

mod history;
mod nodes;
mod rolling;

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, node_selector::Required};
use client::{Change, mirror::Key};
use jiff::SignedDuration;

use crate::{
    claims::{self, DAEMON_SET},
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, After, Event, Plan},
        world::World,
    },
    pods::{self, PODS},
    revisions::{self, HASH, REVISIONS},
};

use nodes::Fitness;

const NODES: &str = "v1/nodes";
/// No more pods are made or deleted in one go. Upstream: BurstReplicas.
const BURST: usize = 250;
/// So long a failed pod stays before it is replaced. Upstream lets the wait grow from 1 s to 15 min, in memory.
const FAILED_WAIT: SignedDuration = SignedDuration::from_secs(10);

pub const SPEC: Spec = Spec {
    name: "daemonset-controller",
    alias: "daemonset",
    acts_for: "daemon-set-controller",
    tells_as: "daemonset-controller",
    wakes_on: &[
        Wake::Itself(DAEMON_SET.resource),
        Wake::By(PODS, of_pod),
        Wake::By(NODES, of_node),
        Wake::By(REVISIONS, of_revision),
    ],
    workers: 2,
    work: Work::Plan(plan),
};

fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    claims::owners_of(world, change, &DAEMON_SET)
}

/// One more of a template that there is a revision of already is seen to with the next change: upstream does not look at
/// revisions that are new. Upstream: addHistory, updateHistory, deleteHistory.
fn of_revision(world: &World<'_>, change: &Change) -> Vec<Key> {
    let owners = claims::owners_of(world, change, &DAEMON_SET);
    let (Some(new), None) = (&change.new, &change.old) else { return owners };
    let meta = api::meta::of(new);
    let Some(owner) = meta.controller() else { return owners };
    let data = revisions::data(&revisions::template(new));
    let siblings = world.mirror(REVISIONS).owned_by(owner.uid());
    let is_known = siblings.iter().any(|r| api::meta::of(r).uid() != meta.uid() && revisions::is_of(r, &data));
    if is_known { Vec::new() } else { owners }
}

/// Labels and taints decide where pods go; heartbeats wake nobody.
fn of_node(world: &World<'_>, change: &Change) -> Vec<Key> {
    if let (Some(old), Some(new)) = (&change.old, &change.new) {
        let same = |path: &[&str]| old.at_path(path) == new.at_path(path);
        if same(&["metadata", "labels"]) && same(&["spec", "taints"]) {
            return Vec::new();
        }
    }
    world.mirror(DAEMON_SET.resource).all().iter().map(|set| Key::of(set)).collect()
}

/// A DaemonSet in the midst of a plan.
struct Sync<'a> {
    world: &'a World<'a>,
    set: Arc<Value>,
    /// What marks pods of the present template.
    hash: String,
    /// The pods for each node that they are on or for.
    pods: BTreeMap<String, Vec<Arc<Value>>>,
    nodes: Vec<(Arc<Value>, Fitness)>,
    plan: Plan,
}

fn plan(world: &World<'_>) -> Plan {
    let Some(set) = world.itself(DAEMON_SET.resource) else { return Plan::nothing("it is gone") };
    if set.at("spec").at("selector").is_empty() {
        let message = "This daemon set is selecting all pods. A non-empty selector is required.";
        let mut plan = Plan::nothing("it selects all pods");
        plan.events.push(Event::warning(&set, "SelectingAll", message));
        return plan;
    }
    if api::meta::of(&set).is_terminating() {
        return Plan::nothing("it goes away");
    }
    let claimed = claims::claim(world, &DAEMON_SET, &set, PODS, |_| true);
    let mut actions = claimed.actions;
    let history = match history::settle(world, &set, &claimed.kept) {
        Ok(history) => history,
        Err(plan) => {
            actions.extend(plan.actions);
            return Plan { actions, ..plan };
        }
    };
    actions.extend(history.actions);
    let required = Required::of(set.at_path(&["spec", "template", "spec"]));
    let tolerations = nodes::tolerations(&set);
    let nodes = world.mirror(NODES).all();
    let nodes = nodes.into_iter().map(|node| (node.clone(), nodes::fitness(&node, &set, &tolerations, &required)));
    let mut sync = Sync {
        world,
        hash: history.hash,
        pods: nodes::by_node(&claimed.kept),
        nodes: nodes.collect(),
        plan: Plan { actions, ..Plan::default() },
        set,
    };
    if !sync.manage() && sync.set.at("spec").at("updateStrategy").str("type") == "RollingUpdate" {
        sync.roll();
    }
    sync.plan.actions.extend(history::surplus(&sync.set, &history.old, &claimed.kept));
    sync.into_plan()
}

// === impl Sync ===

impl Sync<'_> {
    fn min_ready(&self) -> i64 {
        self.set.at("spec").int("minReadySeconds")
    }

    fn is_available(&self, pod: &Value) -> bool {
        pods::is_available(pod, self.min_ready(), self.world.now)
    }

    fn on(&self, node: &str) -> &[Arc<Value>] {
        self.pods.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether a pod is of the present template. Upstream: IsPodUpdated.
    fn is_updated(&self, pod: &Value) -> bool {
        let generation = api::meta::of(&self.set).annotation(nodes::GENERATION);
        let meta = api::meta::of(pod);
        let by_generation = generation.is_some() && meta.label(nodes::GENERATION_LABEL) == generation;
        by_generation || (!self.hash.is_empty() && meta.label(HASH) == Some(&self.hash))
    }

    /// Missing pods are made, surplus ones deleted; answers whether anything was. Upstream: manage.
    fn manage(&mut self) -> bool {
        let (mut missing, mut surplus) = (Vec::new(), Vec::new());
        for (node, fitness) in self.nodes.clone() {
            let name = api::meta::of(&node).name().to_string();
            self.look_at(&name, fitness, &mut missing, &mut surplus);
        }
        // Pods for nodes that are gone will never be placed.
        let known: Vec<&str> = self.nodes.iter().map(|(node, _)| api::meta::of(node).name()).collect();
        let lost = self.pods.iter().filter(|(node, _)| !known.contains(&node.as_str()));
        surplus.extend(lost.flat_map(|(_, pods)| pods.iter().filter(|p| pods::node(p).is_empty()).cloned()));
        let any = !missing.is_empty() || !surplus.is_empty();
        if any {
            self.plan.because =
                format!("{} nodes want a pod, {} pods are too many", missing.len(), surplus.len()).into();
        }
        self.make(&missing, &surplus);
        any
    }

    /// Upstream: syncNodes.
    fn make(&mut self, missing: &[String], surplus: &[Arc<Value>]) {
        let make =
            missing.iter().take(BURST).map(|node| pods::create(nodes::pod(&self.set, &self.hash, node), &self.set));
        let make: Vec<Action> = make.collect();
        self.plan.actions.extend(make);
        self.plan.actions.extend(surplus.iter().take(BURST).map(|pod| pods::delete(pod, &self.set)));
    }

    /// Upstream: podsShouldBeOnNode.
    fn look_at(&mut self, node: &str, fitness: Fitness, missing: &mut Vec<String>, surplus: &mut Vec<Arc<Value>>) {
        let mut alive: Vec<Arc<Value>> = self.on(node).iter().filter(|p| !pods::is_terminating(p)).cloned().collect();
        if fitness.should_run && self.on(node).is_empty() {
            missing.push(node.into());
            return;
        }
        if !fitness.may_stay {
            surplus.extend(alive);
            return;
        }
        alive.retain(|pod| {
            let (namespace, name) = (api::meta::of(pod).namespace(), api::meta::of(pod).name());
            match pods::phase(pod) {
                "Failed" => {
                    let since =
                        pods::condition(pod, "Ready").and_then(|c| api::time::parse(c.str("lastTransitionTime")));
                    let until = since.or_else(|| pods::created(pod)).map(|at| at + FAILED_WAIT);
                    if let Some(until) = until.filter(|at| *at > self.world.now) {
                        self.plan.again_at = Some(self.plan.again_at.map_or(until, |at| at.min(until)));
                        return false;
                    }
                    let message =
                        format!("Found failed daemon pod {namespace}/{name} on node {node}, will try to kill it");
                    self.plan.events.push(Event::warning(&self.set, "FailedDaemonPod", message));
                    surplus.push(pod.clone());
                    false
                }
                "Succeeded" => {
                    let message =
                        format!("Found succeeded daemon pod {namespace}/{name} on node {node}, will try to delete it");
                    self.plan.events.push(Event::normal(&self.set, "SucceededDaemonPod", message));
                    surplus.push(pod.clone());
                    false
                }
                _ => true,
            }
        });
        alive.sort_by(nodes::oldest_first);
        if !rolling::allows_surge(&self.set) {
            surplus.extend(alive.into_iter().skip(1));
        } else if alive.is_empty() && fitness.should_run {
            missing.push(node.into());
        } else if alive.len() > 1 {
            surplus.extend(self.surplus_in_surge(&alive));
        }
    }

    /// One of each generation may stay; the old one goes when it is unready or the new one is available.
    fn surplus_in_surge(&self, alive: &[Arc<Value>]) -> Vec<Arc<Value>> {
        let is_new = |pod: &&Arc<Value>| api::meta::of(pod).label(HASH) == Some(&self.hash);
        let (new, old): (Vec<&Arc<Value>>, Vec<&Arc<Value>>) = alive.iter().partition(is_new);
        let mut surplus: Vec<Arc<Value>> =
            new.iter().skip(1).chain(old.iter().skip(1)).map(|p| Arc::clone(p)).collect();
        if let (Some(new), Some(old)) = (new.first(), old.first())
            && (!pods::is_ready(old) || self.is_available(new))
        {
            surplus.push(Arc::clone(old));
        }
        surplus
    }

    /// Upstream: updateDaemonSetStatus.
    fn status(&self) -> Value {
        let mut status = self.set.at("status").clone();
        let (mut desired, mut current, mut misplaced, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
        for (node, fitness) in &self.nodes {
            let pods = self.on(api::meta::of(node).name());
            if !fitness.should_run {
                misplaced += i64::from(!pods.is_empty());
                continue;
            }
            desired += 1;
            let Some(pod) = pods.iter().min_by(|a, b| nodes::oldest_first(a, b)) else { continue };
            current += 1;
            ready += i64::from(pods::is_ready(pod));
            available += i64::from(self.is_available(pod));
            updated += i64::from(self.is_updated(pod));
        }
        for (member, number) in [
            ("currentNumberScheduled", current),
            ("numberMisscheduled", misplaced),
            ("desiredNumberScheduled", desired),
            ("numberReady", ready),
        ] {
            status.set(member, number);
        }
        for (member, number) in [
            ("observedGeneration", api::meta::of(&self.set).generation()),
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
        ] {
            conditions::int(&mut status, member, number);
        }
        status
    }

    fn into_plan(mut self) -> Plan {
        let status = self.status();
        if self.plan.because.is_empty() {
            self.plan.because = "every node has its pod".into();
        }
        if status.int("numberReady") != status.int("numberAvailable") {
            let all: Vec<Arc<Value>> = self.pods.values().flatten().cloned().collect();
            if let Some(at) = pods::next_available(&all, self.min_ready(), self.world.now) {
                self.plan.again_at = Some(self.plan.again_at.map_or(at, |known| known.min(at)));
            }
        }
        let set = self.set;
        self.plan.after = Some(After::new(move |_| {
            if status == *set.at("status") {
                return Vec::new();
            }
            let mut new = Value::clone(&set);
            new.set("status", status.clone());
            vec![Action::update_status(DAEMON_SET.resource, new)]
        }));
        self.plan
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/daemonsets.yaml"));
    }
}
