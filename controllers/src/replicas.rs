//! So many pods of a template: what ReplicaSets and ReplicationControllers have in common.
//!
//! Upstream: pkg/controller/replicaset, which runs both through adapters.

use std::sync::Arc;

use api::{Value, selector::Selector};

use crate::{
    claims::{self, Kind},
    conditions,
    driver::{
        plan::{Action, After, Plan},
        world::World,
    },
    pods::{self, PODS},
};

/// No more pods are made or deleted in one go. Upstream: BurstReplicas.
const BURST: usize = 500;
const FAILURE: &str = "ReplicaFailure";

/// What tells the two kinds apart.
pub(crate) struct Replicated {
    pub kind: &'static Kind,
    /// Whether the status counts pods on their way out.
    pub counts_terminating: bool,
}

pub(crate) fn plan(world: &World<'_>, what: &'static Replicated) -> Plan {
    let Some(set) = world.itself(what.kind.resource) else { return Plan::nothing("it is gone") };
    let claimed = claims::claim(world, what.kind, &set, PODS, pods::is_active);
    let wanted = usize::try_from(set.at("spec").int("replicas")).unwrap_or(0);
    let (active, mut actions) = (claimed.kept, claimed.actions);
    let mut because = format!("{} pods, as there should be", active.len());
    if !api::meta::of(&set).is_terminating() && active.len() != wanted {
        because = format!("{} pods of {wanted}", active.len());
        actions.extend(replicate(world, what.kind, &set, &active, wanted));
    }
    let min_ready = set.at("spec").int("minReadySeconds");
    let status = status(world, what, &set, &active);
    let again_at = (min_ready > 0 && status.int("readyReplicas") != status.int("availableReplicas"))
        .then(|| pods::next_available(&active, min_ready, world.now))
        .flatten();
    let told = Told { kind: what.kind, set, status, have: active.len(), wanted, now: api::time::seconds(world.now) };
    let after = After::new(move |came| told.actions(came.failure.map(ToString::to_string)));
    Plan { actions, because: because.into(), again_at, after: Some(after), ..Plan::default() }
}

/// Pods to make, or to delete. Upstream: manageReplicas.
fn replicate(world: &World<'_>, kind: &Kind, set: &Arc<Value>, active: &[Arc<Value>], wanted: usize) -> Vec<Action> {
    if active.len() < wanted {
        let pod = pods::from_template(set.at("spec").at("template"), set, kind);
        return (active.len()..wanted).take(BURST).map(|_| pods::create(pod.clone(), set)).collect();
    }
    let mut active = active.to_vec();
    let count = (active.len() - wanted).min(BURST);
    if count < active.len() {
        pods::sort_for_deletion(&mut active, &related(world, kind, set), world.now);
    }
    active[..count].iter().map(|pod| pods::delete(pod, set)).collect()
}

/// The pods of all sets that have the same controller. Upstream: getIndirectlyRelatedPods.
fn related(world: &World<'_>, kind: &Kind, set: &Value) -> Vec<Arc<Value>> {
    let Some(owner) = api::meta::of(set).controller() else { return Vec::new() };
    let siblings = world.mirror(kind.resource).owned_by(owner.uid());
    siblings.iter().flat_map(|sibling| claims::controlled(world, PODS, sibling)).collect()
}

/// Upstream: calculateStatus.
fn status(world: &World<'_>, what: &Replicated, set: &Value, active: &[Arc<Value>]) -> Value {
    let spec = set.at("spec");
    let min_ready = spec.int("minReadySeconds");
    let template = Selector::from_labels(spec.at("template").at("metadata").at("labels"));
    let labelled = active.iter().filter(|p| template.matches(api::meta::of(p).labels())).count();
    let ready = active.iter().filter(|p| pods::is_ready(p)).count();
    let available = active.iter().filter(|p| pods::is_available(p, min_ready, world.now)).count();
    let mut status = set.at("status").clone();
    status.set("replicas", active.len());
    conditions::count(&mut status, "fullyLabeledReplicas", labelled);
    conditions::count(&mut status, "readyReplicas", ready);
    conditions::count(&mut status, "availableReplicas", available);
    if what.counts_terminating {
        let selector = what.kind.selector(set);
        let owned = claims::controlled(world, PODS, set);
        let going = |p: &&Arc<Value>| pods::is_terminating(p) && !pods::is_finished(p);
        let going = owned.iter().filter(going).filter(|p| selector.matches(api::meta::of(p).labels()));
        status.set("terminatingReplicas", going.count());
    }
    conditions::int(&mut status, "observedGeneration", api::meta::of(set).generation());
    status
}

/// What the status says once it is known whether the pods could be made.
struct Told {
    kind: &'static Kind,
    set: Arc<Value>,
    status: Value,
    have: usize,
    wanted: usize,
    now: String,
}

impl Told {
    fn actions(&self, failure: Option<String>) -> Vec<Action> {
        let mut status = self.status.clone();
        match failure {
            Some(why) if conditions::find(&status, FAILURE).is_none() => {
                let reason = match self.have.cmp(&self.wanted) {
                    std::cmp::Ordering::Less => "FailedCreate",
                    std::cmp::Ordering::Greater => "FailedDelete",
                    std::cmp::Ordering::Equal => "",
                };
                conditions::put(&mut status, conditions::new(FAILURE, "True", &self.now, reason, &why));
            }
            None => conditions::drop_kind(&mut status, FAILURE),
            Some(_) => {}
        }
        if status == *self.set.at("status") {
            return Vec::new();
        }
        let mut new = Value::clone(&self.set);
        new.set("status", status);
        vec![Action::update_status(self.kind.resource, new)]
    }
}
