//! StatefulSets: pods with names and storage of their own, one after the other.
//!
//! Upstream: pkg/controller/statefulset.

mod claims_of;
mod identity;
mod rolling;

use std::{collections::BTreeMap, sync::Arc};

use api::Value;
use client::{Change, mirror::Key};

use crate::{
    claims::{self, STATEFUL_SET},
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, After, Event, Excuse, Plan, Tell},
        world::World,
    },
    pods::{self, PODS},
    revisions::{self, HASH, New, REVISIONS},
};

use identity::Template;

const CLAIMS: &str = "v1/persistentvolumeclaims";
/// Upstream: history.ControllerRevisionHashLabel.
const REVISION_HASH: &str = "controller.kubernetes.io/hash";
/// A revision's name begins with no more of the set's. Upstream: ControllerRevisionName.
const PREFIX_LEN_MAX: usize = 223;

pub const SPEC: Spec = Spec {
    name: "statefulset-controller",
    alias: "statefulset",
    acts_for: "statefulset-controller",
    tells_as: "statefulset-controller",
    wakes_on: &[
        Wake::Itself(STATEFUL_SET.resource),
        Wake::By(PODS, of_pod),
        Wake::Owned(REVISIONS, STATEFUL_SET.kind),
        Wake::Read(CLAIMS),
    ],
    workers: 5,
    work: Work::Plan(plan),
};

fn of_pod(world: &World<'_>, change: &Change) -> Vec<Key> {
    claims::owners_of(world, change, &STATEFUL_SET)
}

/// A StatefulSet in the midst of a plan.
struct Sync<'a> {
    world: &'a World<'a>,
    set: Arc<Value>,
    current: Template,
    update: Template,
    /// Pods by their ordinals: those that are to be, made or not, and those that are to go.
    replicas: BTreeMap<i64, Arc<Value>>,
    condemned: Vec<Arc<Value>>,
    status: Value,
    plan: Plan,
}

fn plan(world: &World<'_>) -> Plan {
    let Some(set) = world.itself(STATEFUL_SET.resource) else { return Plan::nothing("it is gone") };
    if set.at("spec").at("selector").is_empty() {
        let message = "This stateful set is selecting all pods. A non-empty selector is required.";
        let mut plan = Plan::nothing("it selects all pods");
        plan.events.push(Event::warning(&set, "SelectingAll", message));
        return plan;
    }
    let name = api::meta::of(&set).name().to_string();
    let claimed = claims::claim(world, &STATEFUL_SET, &set, PODS, |pod| identity::parent(pod) == Some(&name));
    let history = claims::claim(world, &STATEFUL_SET, &set, REVISIONS, |_| true);
    let mut revisions = history.kept;
    revisions::sort(&mut revisions);
    let mut actions = claimed.actions;
    actions.extend(history.actions);
    let data = revisions::data(set.at("spec").at("template"));
    let update = match update_revision(world, &set, &revisions, &data) {
        Ok(update) => update,
        Err(action) => {
            actions.push(*action);
            return Plan::of(actions, "its template has no newest revision");
        }
    };
    let known = set.at("status").str("currentRevision");
    let current = revisions.iter().find(|r| api::meta::of(r).name() == known).unwrap_or(&update);
    let (current, update) = (Template::of(current), Template::of(&update));
    let plan = Plan { actions, ..Plan::default() };
    let mut sync = Sync::new(world, set, current, update, plan);
    sync.sort_pods(&claimed.kept);
    let because = sync.go();
    sync.plan.because = because.into();
    sync.drop_history(&revisions, &claimed.kept);
    sync.into_plan(&claimed.kept)
}

/// The newest revision, when it is of the present template; else what brings that about.
/// Upstream: getStatefulSetRevisions.
fn update_revision(
    world: &World<'_>,
    set: &Arc<Value>,
    revisions: &[Arc<Value>],
    data: &Value,
) -> Result<Arc<Value>, Box<Action>> {
    let newest = revisions.last();
    if let Some(newest) = newest.filter(|r| revisions::is_of(r, data)) {
        return Ok(newest.clone());
    }
    let number = newest.map_or(0, |r| revisions::number(r)) + 1;
    if let Some(known) = revisions.iter().rev().find(|r| revisions::is_of(r, data)) {
        return Err(Box::new(revisions::renumber(known, number)));
    }
    let (meta, mut collisions) = (api::meta::of(set), set.at("status").int("collisionCount"));
    loop {
        let hash = revisions::hash(data, collisions);
        let prefix = &meta.name()[..meta.name().len().min(PREFIX_LEN_MAX)];
        let name = format!("{prefix}-{hash}");
        if world.get(REVISIONS, meta.namespace(), &name).is_some() {
            collisions += 1;
            continue;
        }
        let new = New { kind: &STATEFUL_SET, owner: set, name, data: data.clone(), number };
        let create = Action::create(REVISIONS, new.object(REVISION_HASH, &hash));
        return Err(Box::new(create.excuse(&[Excuse::NamespaceTerminating])));
    }
}

fn is_created(pod: &Value) -> bool {
    !pods::phase(pod).is_empty()
}

fn revision_of(pod: &Value) -> &str {
    api::meta::of(pod).label(HASH).unwrap_or("")
}

// === impl Sync ===

impl<'a> Sync<'a> {
    fn new(world: &'a World<'a>, set: Arc<Value>, current: Template, update: Template, plan: Plan) -> Sync<'a> {
        let mut status = set.at("status").clone();
        conditions::int(&mut status, "observedGeneration", api::meta::of(&set).generation());
        status.set("currentRevision", current.revision.as_str());
        status.set("updateRevision", update.revision.as_str());
        status.default("collisionCount", 0);
        let (replicas, condemned) = (BTreeMap::new(), Vec::new());
        Sync { world, set, current, update, replicas, condemned, status, plan }
    }

    fn spec(&self) -> &Value {
        self.set.at("spec")
    }

    fn name(&self) -> &str {
        api::meta::of(&self.set).name()
    }

    fn start(&self) -> i64 {
        self.spec().at("ordinals").int("start")
    }

    fn is_parallel(&self) -> bool {
        self.spec().str("podManagementPolicy") == "Parallel"
    }

    fn is_available(&self, pod: &Value) -> bool {
        pods::is_available(pod, self.spec().int("minReadySeconds"), self.world.now)
    }

    fn is_unavailable(&self, pod: &Value) -> bool {
        !self.is_available(pod) || pods::is_terminating(pod)
    }

    /// Tells of what is done with a pod. Upstream: recordPodEvent.
    fn tell(&self, verb: &str, done: &'static str, failed: &'static str, pod: &str) -> Tell {
        let subject = format!("{verb} Pod {pod} in StatefulSet {}", self.name());
        let failure = format!("{subject} failed error: {{}}");
        let done = Some((done, format!("{subject} successful")));
        Tell { regarding: self.set.clone(), done, failed: Some((failed, failure)) }
    }

    fn delete(&mut self, pod: &Arc<Value>) {
        let tell = self.tell("Delete", "SuccessfulDelete", "FailedDelete", api::meta::of(pod).name());
        self.plan.actions.push(Action::delete(PODS, pod.clone()).tell(tell));
    }

    fn sort_pods(&mut self, pods: &[Arc<Value>]) {
        let (start, count) = (self.start(), self.spec().int("replicas"));
        for pod in pods {
            match identity::ordinal(pod) {
                Some(ordinal) if (start..start + count).contains(&ordinal) => {
                    self.replicas.insert(ordinal, pod.clone());
                }
                Some(_) => self.condemned.push(pod.clone()),
                None => {}
            }
        }
        for ordinal in start..start + count {
            if !self.replicas.contains_key(&ordinal) {
                let template = if self.is_of_current(ordinal) { &self.current } else { &self.update };
                let pod = identity::pod(&self.set, template, ordinal);
                self.replicas.insert(ordinal, Arc::new(pod));
            }
        }
        self.condemned.sort_by_key(|pod| std::cmp::Reverse(identity::ordinal(pod)));
    }

    /// Whether a new pod with this ordinal is still of the old template. Upstream: newVersionedStatefulSetPod.
    fn is_of_current(&self, ordinal: i64) -> bool {
        let strategy = self.spec().at("updateStrategy");
        let rolling = strategy.at("rollingUpdate");
        if rolling.is_null() {
            let done = self.set.at("status").int("currentReplicas");
            return strategy.str("type") == "RollingUpdate" && ordinal < self.start() + done;
        }
        ordinal < self.start() + rolling.int("partition")
    }

    /// Upstream: updateStatefulSet.
    fn go(&mut self) -> String {
        if api::meta::of(&self.set).is_terminating() {
            return "it goes away".into();
        }
        let all: Vec<(i64, Arc<Value>)> = self.replicas.iter().map(|(o, p)| (*o, p.clone())).collect();
        for (ordinal, pod) in all {
            if let Some(because) = self.look_at(ordinal, &pod).filter(|_| !self.is_parallel()) {
                return because;
            }
        }
        let condemned = self.condemned.clone();
        for pod in &condemned {
            self.keep_claims(pod);
        }
        let first_unhealthy = self.first_unhealthy();
        for pod in &condemned {
            if let Some(because) = self.condemn(pod, first_unhealthy.as_ref()).filter(|_| !self.is_parallel()) {
                return because;
            }
        }
        if self.spec().at("updateStrategy").str("type") == "OnDelete" {
            return "its pods are as they should be".into();
        }
        self.roll()
    }

    fn first_unhealthy(&self) -> Option<Arc<Value>> {
        let rest = self.condemned.iter().rev();
        self.replicas.values().chain(rest).find(|pod| self.is_unavailable(pod)).cloned()
    }

    /// Sees to one replica; answers what has to be waited for. Upstream: processReplica.
    fn look_at(&mut self, ordinal: i64, pod: &Arc<Value>) -> Option<String> {
        let name = api::meta::of(pod).name().to_string();
        if pods::is_finished(pod) {
            if !pods::is_terminating(pod) {
                self.delete(pod);
            }
            return Some(format!("{name} has ended"));
        }
        if !is_created(pod) {
            if self.is_claim_stale(pod, ordinal) {
                return Some(format!("{name} waits for the claim of the last one of its name to go"));
            }
            self.create_claims(pod, ordinal);
            let tell = self.tell("Create", "SuccessfulCreate", "FailedCreate", &name);
            let create = Action::create(PODS, Value::clone(pod)).excuse(&[Excuse::NamespaceTerminating]);
            self.plan.actions.push(create.tell(tell));
            return Some(format!("{name} is missing"));
        }
        if pods::phase(pod) == "Pending" {
            self.create_claims(pod, ordinal);
        }
        if !self.is_parallel() {
            if pods::is_terminating(pod) {
                return Some(format!("{name} goes away"));
            }
            if pods::phase(pod) != "Running" || !pods::is_ready(pod) {
                return Some(format!("{name} is not ready"));
            }
            if !self.is_available(pod) {
                return Some(format!("{name} is not available yet"));
            }
        }
        self.keep_identity(pod, ordinal);
        self.keep_claims(pod);
        None
    }

    /// Upstream: UpdateStatefulPod, but for claims.
    fn keep_identity(&mut self, pod: &Arc<Value>, ordinal: i64) {
        let mut new = Value::clone(pod);
        if !identity::has_identity(pod) {
            identity::set_identity(&mut new, ordinal);
        }
        if new == **pod {
            return;
        }
        let tell = self.tell("Update", "SuccessfulUpdate", "FailedUpdate", api::meta::of(pod).name());
        self.plan.actions.push(Action::update(PODS, new).tell(tell));
    }

    /// Upstream: processCondemned.
    fn condemn(&mut self, pod: &Arc<Value>, first_unhealthy: Option<&Arc<Value>>) -> Option<String> {
        let name = api::meta::of(pod).name().to_string();
        if pods::is_terminating(pod) {
            return Some(format!("{name} goes away"));
        }
        let is_first = first_unhealthy.is_some_and(|first| Arc::ptr_eq(first, pod));
        let is_well = pods::phase(pod) == "Running" && self.is_available(pod);
        if !self.is_parallel() && !is_well && !is_first {
            return Some("another pod is not well yet".into());
        }
        self.delete(pod);
        Some(format!("{name} is too many"))
    }

    /// Upstream: truncateHistory.
    fn drop_history(&mut self, revisions: &[Arc<Value>], pods: &[Arc<Value>]) {
        let live = |revision: &Value| {
            let name = api::meta::of(revision).name();
            let named = name == self.current.revision || name == self.update.revision;
            named || pods.iter().any(|pod| revision_of(pod) == name)
        };
        let dead: Vec<&Arc<Value>> = revisions.iter().filter(|r| !live(r)).collect();
        let limit = usize::try_from(self.spec().opt_int("revisionHistoryLimit").unwrap_or(10)).unwrap_or(usize::MAX);
        let surplus = dead.len().saturating_sub(limit);
        let surplus: Vec<Action> = dead[..surplus].iter().map(|r| Action::delete(REVISIONS, Arc::clone(r))).collect();
        self.plan.actions.extend(surplus);
    }

    /// Upstream: updateStatus, completeUpdate.
    fn count(&mut self, pods: &[Arc<Value>], deleted_current: i64) {
        let count = |wanted: &dyn Fn(&Value) -> bool| pods.iter().filter(|p| wanted(p)).count() as i64;
        let of = |name: &str| count(&|p: &Value| is_created(p) && !pods::is_terminating(p) && revision_of(p) == name);
        let is_up = |p: &Value| pods::phase(p) == "Running" && pods::is_ready(p);
        let (all, ready) = (count(&is_created), count(&is_up));
        let available = count(&|p: &Value| is_up(p) && self.is_available(p));
        let (mut current, updated) = (of(&self.current.revision) - deleted_current, of(&self.update.revision));
        let wanted = self.spec().int("replicas");
        let mut status = std::mem::take(&mut self.status);
        if [updated, ready, all] == [wanted; 3] {
            current = updated;
            status.set("currentRevision", self.update.revision.as_str());
        }
        status.set("replicas", all);
        status.set("availableReplicas", available);
        conditions::int(&mut status, "readyReplicas", ready);
        conditions::int(&mut status, "currentReplicas", current);
        conditions::int(&mut status, "updatedReplicas", updated);
        self.status = status;
    }

    fn into_plan(mut self, pods: &[Arc<Value>]) -> Plan {
        let deleted = self.plan.actions.iter().filter(|a| self.is_deletion_of_current(a)).count() as i64;
        self.count(pods, deleted);
        if self.status.int("readyReplicas") != self.status.int("availableReplicas") {
            self.plan.again_at = pods::next_available(pods, self.spec().int("minReadySeconds"), self.world.now);
        }
        let (set, status) = (self.set, self.status);
        self.plan.after = Some(After::new(move |_| {
            if status == *set.at("status") {
                return Vec::new();
            }
            let mut new = Value::clone(&set);
            new.set("status", status.clone());
            vec![Action::update_status(STATEFUL_SET.resource, new)]
        }));
        self.plan
    }

    /// Pods that an update takes away no longer count as current.
    fn is_deletion_of_current(&self, action: &Action) -> bool {
        let crate::driver::plan::Deed::Delete { object, .. } = &action.deed else { return false };
        let of_update = self.update.revision != self.current.revision;
        let is_replica = identity::ordinal(object).is_some_and(|o| self.replicas.contains_key(&o));
        of_update && action.resource == PODS && is_replica && revision_of(object) == self.current.revision
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/statefulsets.yaml"));
    }
}
