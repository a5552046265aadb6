//! How many pods of a budget may be taken away now.
//!
//! Upstream: pkg/controller/disruption. Pods of controllers that are no built-in kind have no known scale here: such a budget
//! fails to sync unless it says a number.

use std::{collections::BTreeMap, sync::Arc};

use api::{EcoString, Value, intstr, selector::Selector, value};
use client::{Change, mirror::Key};
use jiff::{SignedDuration, Timestamp};

use crate::{
    claims::{DEPLOYMENT, Kind, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET},
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, Event, Plan},
        world::World,
    },
    pods::{self, PODS},
};

const BUDGETS: &str = "policy/v1/poddisruptionbudgets";
/// A pod that was to be evicted counts as gone for so long. Upstream: DeletionTimeout.
const DELETION: SignedDuration = SignedDuration::from_secs(120);
const ALLOWED: &str = "DisruptionAllowed";

pub const SPEC: Spec = Spec {
    name: "disruption-controller",
    alias: "disruption",
    acts_for: "disruption-controller",
    tells_as: "controllermanager",
    wakes_on: &[
        Wake::Itself(BUDGETS),
        Wake::By(PODS, of_pod),
        Wake::Read(REPLICA_SET.resource),
        Wake::Read(DEPLOYMENT.resource),
        Wake::Read(STATEFUL_SET.resource),
        Wake::Read(REPLICATION_CONTROLLER.resource),
    ],
    workers: 1,
    work: Work::Plan(plan),
};

fn selector(budget: &Value) -> Selector {
    let selector = budget.at("spec").at("selector");
    match selector.is_null() {
        true => Selector::nothing(),
        false => Selector::from_label_selector(selector).unwrap_or_else(|_| Selector::nothing()),
    }
}

fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    let budgets = world.mirror(BUDGETS).in_namespace(api::meta::of(change.object()).namespace());
    let pods: Vec<&Arc<Value>> = [&change.old, &change.new].into_iter().flatten().collect();
    let concerns = |budget: &&Arc<Value>| {
        let selector = selector(budget);
        pods.iter().any(|pod| selector.matches(api::meta::of(pod).labels()))
    };
    budgets.iter().filter(concerns).map(|budget| Key::of(budget)).collect()
}

/// What a budget comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    expected: i64,
    desired: i64,
}

fn plan(world: &World<'_>) -> Plan {
    let Some(budget) = world.itself(BUDGETS) else { return Plan::nothing("it is gone") };
    let selector = selector(&budget);
    let mut pods = world.mirror(PODS).in_namespace(&world.key.namespace);
    pods.retain(|pod| selector.matches(api::meta::of(pod).labels()));
    let mut events = Vec::new();
    if pods.is_empty() {
        events.push(Event::normal(&budget, "NoPods", "No matching pods found"));
    }
    let mut unmanaged = false;
    let status = match count(world, &budget, &pods, &mut unmanaged) {
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            events.push(Event::warning(&budget, "CalculateExpectedPodCountFailed", message));
            failed(&budget, &why, &api::time::seconds(world.now))
        }
        Ok(count) => {
            let (disrupted, again) = disrupted(&budget, &pods, world.now, &mut events);
            let status = status(&budget, count, healthy(&pods, &disrupted), disrupted, &api::time::seconds(world.now));
            let mut plan = write(&budget, status, events);
            plan.again_at = again;
            return if unmanaged { with_unmanaged(plan, &budget) } else { plan };
        }
    };
    write(&budget, status, events)
}

fn write(budget: &Arc<Value>, status: Value, events: Vec<Event>) -> Plan {
    if status == *budget.at("status") {
        // What was told then is not told again.
        return Plan::nothing("it says what is so");
    }
    let because = format!("{} disruptions are allowed", status.int("disruptionsAllowed"));
    let mut new = Value::clone(budget);
    new.set("status", status);
    Plan { events, ..Plan::of(vec![Action::update_status(BUDGETS, new)], because) }
}

fn with_unmanaged(mut plan: Plan, budget: &Arc<Value>) -> Plan {
    let selector = api::selector::format_label_selector(budget.at("spec").at("selector"));
    let message = format!(
        "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the \
         status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these \
         pods please set \".spec.minAvailable\" field of the PDB to an integer value."
    );
    if !plan.actions.is_empty() {
        plan.events.push(Event::warning(budget, "UnmanagedPods", message));
    }
    plan
}

/// Upstream: getExpectedPodCount.
fn count(world: &World<'_>, budget: &Value, pods: &[Arc<Value>], unmanaged: &mut bool) -> Result<Count, String> {
    let spec = budget.at("spec");
    if spec.has("maxUnavailable") {
        let expected = scale(world, pods, unmanaged)?;
        let max = intstr::scaled(spec.at("maxUnavailable"), expected, true)?;
        return Ok(Count { expected, desired: (expected - max).max(0) });
    }
    match spec.at("minAvailable") {
        Value::Int(number) => Ok(Count { expected: pods.len() as i64, desired: *number }),
        Value::Str(_) => {
            let expected = scale(world, pods, unmanaged)?;
            Ok(Count { expected, desired: intstr::scaled(spec.at("minAvailable"), expected, true)? })
        }
        _ => Ok(Count { expected: 0, desired: 0 }),
    }
}

/// How many pods their controllers want. Upstream: getExpectedScale.
fn scale(world: &World<'_>, pods: &[Arc<Value>], unmanaged: &mut bool) -> Result<i64, String> {
    let mut scales: BTreeMap<EcoString, i64> = BTreeMap::new();
    for pod in pods {
        let meta = api::meta::of(pod);
        let Some(owner) = meta.controller() else {
            *unmanaged = true;
            continue;
        };
        let found = controller(world, meta.namespace(), owner.api_version(), owner.kind(), owner.name(), owner.uid());
        let (uid, scale) = found.ok_or_else(|| format!("found no controllers for pod {:?}", meta.name()))?;
        scales.insert(uid, scale);
    }
    Ok(scales.values().sum())
}

/// The one that says how many: of a ReplicaSet its Deployment, when it has one.
fn controller(
    world: &World<'_>,
    namespace: &str,
    api_version: &str,
    kind: &str,
    name: &str,
    uid: &str,
) -> Option<(EcoString, i64)> {
    const KINDS: [&Kind; 4] = [&REPLICA_SET, &DEPLOYMENT, &STATEFUL_SET, &REPLICATION_CONTROLLER];
    let group = |version: &str| version.split_once('/').map_or("", |(group, _)| group).to_string();
    let kind = KINDS.iter().find(|k| k.kind == kind && group(k.api_version) == group(api_version))?;
    let found = world.get(kind.resource, namespace, name).filter(|o| api::meta::of(o).uid() == uid)?;
    if let Some(owner) =
        api::meta::of(&found).controller().filter(|o| kind.kind == "ReplicaSet" && o.kind() == "Deployment")
    {
        return controller(world, namespace, owner.api_version(), owner.kind(), owner.name(), owner.uid());
    }
    Some((uid.into(), found.at("spec").int("replicas")))
}

/// Pods that were to be evicted and are still there. Upstream: buildDisruptedPodMap.
fn disrupted(
    budget: &Value,
    pods: &[Arc<Value>],
    now: Timestamp,
    events: &mut Vec<Event>,
) -> (Value, Option<Timestamp>) {
    let known = budget.at("status").at("disruptedPods");
    let (mut left, mut again): (Value, Option<Timestamp>) = (Value::object(), None);
    for pod in pods.iter().filter(|pod| !pods::is_terminating(pod)) {
        let name = api::meta::of(pod).name();
        let Some(since) = known.opt_str(name).and_then(api::time::parse) else { continue };
        let until = since + DELETION;
        if until < now {
            let namespace = api::meta::of(budget).namespace();
            let message = format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
            events.push(Event::warning(pod, "NotDeleted", message));
            continue;
        }
        again = Some(again.map_or(until, |known| known.min(until)));
        left.set(name, known.at(name));
    }
    (left, again)
}

fn healthy(pods: &[Arc<Value>], disrupted: &Value) -> i64 {
    let counts = |pod: &&Arc<Value>| {
        !pods::is_terminating(pod) && !disrupted.has(api::meta::of(pod).name()) && pods::is_ready(pod)
    };
    pods.iter().filter(counts).count() as i64
}

/// Upstream: updatePdbStatus, UpdateDisruptionAllowedCondition.
fn status(budget: &Value, count: Count, healthy: i64, disrupted: Value, now: &str) -> Value {
    let mut status = budget.at("status").clone();
    let generation = api::meta::of(budget).generation();
    let allowed = if count.expected <= 0 { 0 } else { (healthy - count.desired).max(0) };
    status.set("disruptionsAllowed", allowed);
    status.set("currentHealthy", healthy);
    status.set("desiredHealthy", count.desired);
    status.set("expectedPods", count.expected);
    conditions::int(&mut status, "observedGeneration", generation);
    match disrupted.is_empty() {
        true => drop(status.remove("disruptedPods")),
        false => status.set("disruptedPods", disrupted),
    }
    let (value, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(&mut status, value, reason, "", generation, now);
    status
}

fn failed(budget: &Value, why: &str, now: &str) -> Value {
    let mut status = budget.at("status").clone();
    status.set("disruptionsAllowed", 0);
    for member in ["currentHealthy", "desiredHealthy", "expectedPods"] {
        status.default(member, 0);
    }
    let generation = status.int("observedGeneration");
    set_condition(&mut status, "False", "SyncFailed", why, generation, now);
    status
}

/// Upstream: apimachinery/pkg/api/meta SetStatusCondition.
fn set_condition(status: &mut Value, value: &str, reason: &str, message: &str, generation: i64, now: &str) {
    let known = conditions::find(status, ALLOWED).filter(|c| c.str("status") == value);
    let since = known.map_or(now, |c| c.str("lastTransitionTime")).to_string();
    let mut condition = value!({"type": ALLOWED, "status": value});
    if generation != 0 {
        condition.set("observedGeneration", generation);
    }
    condition.set("lastTransitionTime", since);
    condition.set("reason", reason);
    condition.set("message", message);
    let list = status.entry("conditions").make_array();
    match list.iter_mut().find(|c| c.str("type") == ALLOWED) {
        Some(known) => *known = condition,
        None => list.push(condition),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/disruption.yaml"));
    }
}
