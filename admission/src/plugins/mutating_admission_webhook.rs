//! Asks users' webhooks what they want to change, one after the other: each sees what those before it have done.
//!
//! Upstream: apiserver/pkg/admission/plugin/webhook/mutating/{dispatcher,reinvocationcontext}.go.

use std::collections::BTreeSet;

use api::{Status, Value, field::quote, patch::json_patch::Patch};
use async_trait::async_trait;

use crate::{
    Cluster, Operation, Plugin, Request,
    expressions::View,
    tally::Side,
    webhook::{Failure, Hook, Hooks, Outside, review::Verdict},
};

pub struct MutatingAdmissionWebhook {
    hooks: Hooks,
    outside: Outside,
}

/// What is remembered between the two times. Upstream: `webhookReinvokeContext`.
#[derive(Default)]
struct Memory {
    /// The object when this plugin was done with it.
    last: Value,
    /// Those that were asked and want to be asked again when something changes after them.
    invoked: BTreeSet<String>,
    /// Those that are asked again.
    again: BTreeSet<String>,
}

const NAME: &str = "MutatingAdmissionWebhook";
const MANAGED: &[&str] = &["metadata", "managedFields"];

// === impl MutatingAdmissionWebhook ===

impl MutatingAdmissionWebhook {
    pub fn new(outside: Outside) -> MutatingAdmissionWebhook {
        MutatingAdmissionWebhook { hooks: Hooks::of("mutatingwebhookconfigurations"), outside }
    }

    async fn ask_all(
        &self,
        hooks: &[Hook],
        request: &mut Request<'_>,
        memory: &mut Memory,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        let mut kept: Option<View> = None;
        for (i, hook) in hooks.iter().enumerate() {
            let Some(seen) = hook.criteria.wants(request, &request.object, cluster).await? else { continue };
            let view = match kept.take().filter(|view| view.seen == seen) {
                Some(view) => view,
                None => View::of(request, &request.object, seen, cluster).await?,
            };
            let view = &*kept.insert(view);
            if !hook.conditions_hold(request, view, cluster, Side::Mutating, &self.outside)? {
                continue;
            }
            // Who was not asked the first time is not asked the second.
            if request.again.is_second && !memory.again.contains(&hook.uid) {
                continue;
            }
            let outcome = self.ask_one(hook, i, request, view, cluster).await;
            let changed = match &outcome {
                Ok(changed) => changed.clone(),
                Err(_) => None,
            };
            if changed.is_some() {
                memory.require();
                request.again.wanted = true;
            }
            if hook.reinvoked_if_needed {
                memory.invoked.insert(hook.uid.clone());
            }
            match outcome {
                Ok(None) => {}
                Ok(Some(object)) => {
                    request.object = object;
                    kept = None;
                }
                Err(failure) => {
                    if let Some(status) = hook.refusal(failure) {
                        return Err(status);
                    }
                    note(request, "failed-open.mutation", i, &hook.name);
                }
            }
        }
        Ok(())
    }

    /// The new hub object, when the webhook changes it.
    async fn ask_one(
        &self,
        hook: &Hook,
        place: usize,
        request: &Request<'_>,
        view: &View,
        cluster: &Cluster,
    ) -> Result<Option<Value>, Failure> {
        let since = cluster.clock.now();
        let outcome = match hook.ask(request, view, Side::Mutating, &self.outside).await {
            Ok(verdict) => patched(hook, &verdict, request, view, cluster).await,
            Err(failure) => Err(failure),
        };
        hook.count(&outcome, request, Side::Mutating, (since, cluster.clock.now()), &self.outside);
        let mutated = matches!(outcome, Ok(Some(_)));
        let said = format!(
            "{{\"configuration\":{},\"webhook\":{},\"mutated\":{mutated}}}",
            quote(&hook.configuration),
            quote(&hook.name)
        );
        note(request, "mutation", place, &said);
        outcome
    }
}

/// What the webhook's patch makes of the object; none when that is the same.
async fn patched(
    hook: &Hook,
    verdict: &Verdict,
    request: &Request<'_>,
    view: &View,
    cluster: &Cluster,
) -> Result<Option<Value>, Failure> {
    if verdict.patch.is_empty() {
        return Ok(None);
    }
    let undecodable =
        |why: String| Failure::calling(format!("received undecodable patch in webhook response: {why}"), 503);
    let document: Value = serde_json::from_slice(&verdict.patch).map_err(|e| undecodable(e.to_string()))?;
    if document.items().is_empty() && matches!(document, Value::Array(_) | Value::Null) {
        return Ok(None);
    }
    let patch = Patch::decode(document).map_err(|status| undecodable(status.message().into()))?;
    if view.object.is_null() {
        let text = format!(
            "admission webhook {} attempted to modify the object, which is not supported for this operation",
            quote(&hook.name)
        );
        return Err(Failure::Own(Status::internal(text)));
    }
    if verdict.patch_type != "JSONPatch" {
        return Err(Failure::calling(format!("unsupported patch type {}", quote(&verdict.patch_type)), 400));
    }
    let own = |why: String| Failure::Own(Status::internal(why));
    let patched = patch.apply(Value::clone(&view.object)).map_err(own)?;
    let hub = cluster.look.to_hub(request, &patched, &view.seen.kind).await;
    let hub = hub.map_err(|status| own(status.message().into()))?;
    let again = cluster.look.in_version(request, &hub, &view.seen.kind).await;
    let again = again.map_err(|status| Failure::Own(Status::internal(status)))?;
    Ok(if again.is_same(&view.object) { None } else { Some(hub) })
}

fn note(request: &Request<'_>, what: &str, place: usize, text: &str) {
    let round = i32::from(request.again.is_second);
    request.annotate(&format!("{what}.webhook.admission.k8s.io/round_{round}_index_{place}"), text);
}

// === impl Memory ===

impl Memory {
    /// Everybody who was asked and wants to hear of changes is asked again.
    fn require(&mut self) {
        self.again.append(&mut self.invoked);
    }
}

#[async_trait]
impl Plugin for MutatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn mutate(&self, request: &mut Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let hooks = self.hooks.for_request(request, cluster);
        if hooks.is_empty() {
            return Ok(());
        }
        let mut memory = std::mem::take(request.again.kept::<Memory>(NAME));
        if request.again.is_second && !memory.last.is_same(&request.object) {
            memory.require();
        }
        // Webhooks, unlike our own plugins, are handed who owns what.
        if let Some(managed) = request.managed.take() {
            request.object.set_path(MANAGED, managed);
        }
        let outcome = self.ask_all(&hooks, request, &mut memory, cluster).await;
        request.managed = request.object.remove_path(MANAGED);
        memory.last = if memory.invoked.is_empty() { Value::Null } else { request.object.clone() };
        *request.again.kept(NAME) = memory;
        outcome
    }
}
