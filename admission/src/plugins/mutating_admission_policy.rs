//! Asks users' mutating policies what they want to change, one after the other: each sees what those before it have done.
//!
//! Upstream: apiserver/pkg/admission/plugin/policy/mutating/{plugin,dispatcher,reinvocationcontext}.go.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use api::{Reason, Status, Value, field::quote, meta, patch::json_patch, status::Cause};
use async_trait::async_trait;

use crate::{
    Cluster, Operation, Plugin, Request,
    expressions::{Activation, Stage, View, conditions},
    policy::{Invocation, Mutator, Patch, Policies, concerned, namespace_of},
    tally::{Checked, Tally, error_kind},
};

pub struct MutatingAdmissionPolicy {
    policies: Policies<Mutator>,
    tally: Arc<dyn Tally>,
}

/// What is remembered between the two times. Upstream: `policyReinvokeContext`.
#[derive(Default)]
struct Memory {
    /// The object when this plugin was done with it.
    last: Value,
    /// Those that were asked and want to be asked again when something changes after them.
    invoked: BTreeSet<Key>,
    /// Those that are asked again.
    again: BTreeSet<Key>,
}

/// Names of the policy, the binding, and namespace and name of the parameters.
type Key = (String, String, String, String);

/// A policy that did not work.
struct Wrong {
    message: String,
    reason: Reason,
}

/// Why a mutation did not work.
enum Failed {
    /// The failure policy decides; upstream's text.
    Said(String),
    /// The request cannot go on whatever the policy.
    Own(Status),
}

const NAME: &str = "MutatingAdmissionPolicy";
const MANAGED: &[&str] = &["metadata", "managedFields"];

impl MutatingAdmissionPolicy {
    pub fn new(tally: Arc<dyn Tally>) -> MutatingAdmissionPolicy {
        let policies = Policies::of("mutatingadmissionpolicies", "mutatingadmissionpolicybindings");
        MutatingAdmissionPolicy { policies, tally }
    }
}

#[async_trait]
impl Plugin for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Delete
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let Some(bound) = self.policies.for_request(request, cluster) else { return Ok(()) };
        let (mut wrong, mut invocations) = (Vec::new(), Vec::new());
        for concerned in concerned(&bound, request, cluster).await {
            match concerned {
                Ok(invocation) => invocations.push(invocation),
                Err(one) if one.policy.ignores_failure => {}
                Err(one) => {
                    let binding = one.binding.map(|binding| binding.name.as_str());
                    let message = denied(&one.policy.name, binding, &one.why);
                    wrong.push(Wrong { message, reason: Reason::Forbidden });
                }
            }
        }
        if !invocations.is_empty() {
            let mut memory = std::mem::take(request.again.kept::<Memory>(NAME));
            if request.again.is_second && !memory.last.is_same(&request.object) {
                memory.require();
            }
            // Policies, unlike our own plugins, are told who owns what.
            if let Some(managed) = request.managed.take() {
                request.object.set_path(MANAGED, managed);
            }
            let outcome = invoke(&invocations, request, &mut memory, cluster, &*self.tally).await;
            request.managed = request.object.remove_path(MANAGED);
            memory.last = if memory.invoked.is_empty() { Value::Null } else { request.object.clone() };
            *request.again.kept(NAME) = memory;
            wrong.extend(outcome?);
        }
        refuse(request, wrong)
    }
}

/// Upstream: dispatchInvocations.
async fn invoke(
    invocations: &[Invocation<'_, Mutator>],
    request: &mut Request<'_>,
    memory: &mut Memory,
    cluster: &Cluster,
    tally: &dyn Tally,
) -> Result<Vec<Wrong>, Status> {
    let namespace = namespace_of(request, cluster).await?;
    let (mut wrong, mut kept) = (Vec::new(), None::<View>);
    let mut is_written = false;
    for invocation in invocations {
        let view = match kept.take().filter(|view| view.seen == invocation.seen) {
            Some(view) => view,
            None => View::of(request, &request.object, invocation.seen.clone(), cluster).await?,
        };
        let view = kept.insert(view);
        let mut failed = |why: &str| {
            let (policy, binding) = (invocation.policy, invocation.binding);
            if !policy.ignores_failure {
                let message = denied(&policy.name, Some(&binding.name), why);
                wrong.push(Wrong { message, reason: Reason::Invalid });
            }
        };
        match holds(invocation, request, view, cluster, tally) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(why) => {
                failed(&why);
                continue;
            }
        }
        let key = key(invocation);
        if request.again.is_second && !memory.again.contains(&key) {
            continue;
        }
        let before = view.object.clone();
        for mutation in 0..invocation.policy.evaluator.mutations.len() {
            if view.object.is_null() {
                break;
            }
            let since = Instant::now();
            let outcome = mutate_once(invocation, mutation, request, view, namespace.as_ref(), cluster).await;
            let error = match &outcome {
                Ok(_) => "no_error",
                Err(Failed::Said(why)) => error_kind(why),
                Err(Failed::Own(status)) => error_kind(status.message()),
            };
            let (policy, binding) = (invocation.policy.name.as_str(), invocation.binding.name.as_str());
            tally.checked(&Checked { policy, binding, error, action: None, took: since.elapsed() });
            match outcome {
                Ok(hub) => {
                    view.object = Arc::new(cluster.look.in_version(request, &hub, &view.seen.kind).await?);
                    request.object = hub;
                    is_written = true;
                }
                Err(Failed::Said(why)) => failed(&why),
                Err(Failed::Own(status)) => return Err(status),
            }
        }
        if !before.is_same(&view.object) {
            memory.require();
            request.again.wanted = true;
        }
        if invocation.policy.evaluator.reinvoked_if_needed {
            memory.invoked.insert(key);
        }
    }
    // Whatever was laid over the object counts in the end, be it that nothing became of it.
    if is_written {
        memory.require();
        request.again.wanted = true;
    }
    Ok(wrong)
}

fn holds(
    invocation: &Invocation<'_, Mutator>,
    request: &Request<'_>,
    view: &View,
    cluster: &Cluster,
    tally: &dyn Tally,
) -> Result<bool, String> {
    let policy = invocation.policy;
    if policy.conditions.is_empty() {
        return Ok(true);
    }
    let scene = Stage::new(request, cluster).conditions_scene(view, policy.needs, invocation.params.as_ref());
    let counted = policy.counted(request.operation.word(), tally);
    conditions::hold(&policy.conditions, &Activation::with(scene, &policy.variables), policy.ignores_failure, &counted)
}

/// The hub object after one mutation. Upstream: dispatchOne.
async fn mutate_once(
    invocation: &Invocation<'_, Mutator>,
    mutation: usize,
    request: &Request<'_>,
    view: &View,
    namespace: Option<&Arc<Value>>,
    cluster: &Cluster,
) -> Result<Value, Failed> {
    let (policy, kind) = (invocation.policy, &view.seen.kind);
    let patch = {
        let stage = Stage::new(request, cluster);
        let scene = stage.scene(view, policy.needs, invocation.params.as_ref(), namespace);
        let activation = Activation::with(scene, &policy.variables);
        policy.evaluator.mutations[mutation].evaluate(&activation).map_err(Failed::Said)?
    };
    match patch {
        Patch::Configuration(mut configuration) => {
            meta::set_gvk(&mut configuration, &meta::gvk(&view.object));
            let merged = cluster.look.merge(request, &view.object, &configuration, kind).await.map_err(Failed::Own)?;
            let merged = merged.map_err(|why| Failed::Said(format!("error applying patch: {why}")))?;
            let hub = cluster.look.to_hub(request, &merged, kind).await;
            hub.map_err(|status| Failed::Said(status.message().into()))
        }
        Patch::Operations(operations) => {
            let patch = json_patch::Patch::decode(operations);
            let patch = patch.map_err(|status| Failed::Said(format!("JSON Patch: {}", status.message())))?;
            let patched = match patch.apply(Value::clone(&view.object)) {
                Ok(patched) => patched,
                // A test that fails keeps the patch from being applied, and is no error.
                Err(why) if json_patch::is_failed_test(&why) => return Ok(request.object.clone()),
                Err(why) => return Err(Failed::Said(format!("JSON Patch: {why}"))),
            };
            let hub = cluster.look.to_hub_strictly(request, &patched, kind).await;
            hub.map_err(|status| Failed::Own(Status::internal(status)))
        }
    }
}

fn key(invocation: &Invocation<'_, Mutator>) -> Key {
    let params = invocation.params.as_deref().unwrap_or(Value::NULL);
    let params = meta::of(params);
    let Invocation { policy, binding, .. } = invocation;
    (policy.name.clone(), binding.name.clone(), params.namespace().into(), params.name().into())
}

/// Upstream: `PolicyError.Error`.
fn denied(policy: &str, binding: Option<&str>, why: &str) -> String {
    match binding {
        Some(binding) => format!("policy '{policy}' with binding '{binding}' denied request: {why}"),
        None => format!("policy {} denied request: {why}", quote(policy)),
    }
}

/// The first that went wrong is the answer, the others are its causes.
fn refuse(request: &Request<'_>, wrong: Vec<Wrong>) -> Result<(), Status> {
    let Some(first) = wrong.first() else { return Ok(()) };
    let mut status = request.forbid("admission request denied by policy");
    let failure = status.failure_mut();
    (failure.message, failure.reason) = (first.message.clone(), first.reason);
    for Wrong { message, .. } in wrong {
        status = status.with_cause(Cause { message, ..Cause::default() });
    }
    Err(status)
}

// === impl Memory ===

impl Memory {
    /// Everybody who was asked and wants to hear of changes is asked again.
    fn require(&mut self) {
        self.again.append(&mut self.invoked);
    }
}
