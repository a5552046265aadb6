//! Pods: binding to a node, eviction within disruption budgets.
//!
//! Upstream: pkg/registry/core/pod/storage/{storage,eviction}.go.

use admission::Operation;
use api::{GroupResource, Status, Value, field::quote, meta, selector::Selector, status::Cause, time, value};
use async_trait::async_trait;

use super::Special;
use crate::{
    Answer, Ask, Registry,
    options::{DeleteOptions, WriteOptions},
};

pub struct Pods;

/// Upstream: `MaxDisruptedPodSize`.
const DISRUPTED_LEN_MAX: usize = 2000;

#[async_trait]
impl Special for Pods {
    async fn create_below(
        &self,
        registry: &Registry,
        ask: &Ask,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let body = registry.mutate(ask, Operation::Create, body, Value::NULL, options).await?;
        match ask.attributes.subresource.as_str() {
            "binding" => bind(registry, ask, ask.name(), &body, options).await,
            _ => evict(registry, ask, &body, options).await,
        }
    }
}

/// Puts a pod on a node.
pub async fn bind(
    registry: &Registry,
    ask: &Ask,
    name: &str,
    binding: &Value,
    options: &WriteOptions,
) -> Result<Answer, Status> {
    let said = meta::of(binding);
    if said.name() != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    check_binding(binding)?;
    registry.validate(ask, Operation::Create, binding, Value::NULL, options).await?;
    let now = time::seconds(registry.clock.now());
    let pods = GroupResource::new("", "pods");
    check_name(name)?;
    let pod_ask = registry.own_ask("update", &pods, "binding", ask.namespace(), name)?;
    let conflict = |why: String| Status::conflict(&GroupResource::new("", "pods/binding"), name, why);
    registry
        .edit(&pod_ask, ask.namespace(), name, options.dry_run, |pod| {
            let found = meta::of(pod);
            for (what, wanted, found) in [
                ("UID", said.uid(), found.uid()),
                ("ResourceVersion", said.resource_version(), found.resource_version()),
            ] {
                if !wanted.is_empty() && wanted != found {
                    return Err(registry.precondition_failed(&pod_ask, options.dry_run, what, (wanted, found)));
                }
            }
            if found.is_terminating() {
                return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
            }
            let node = pod.at("spec").str("nodeName");
            if !node.is_empty() {
                return Err(conflict(format!("pod {name} is already assigned to node {}", quote(node))));
            }
            if !pod.at("spec").list("schedulingGates").is_empty() {
                return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
            }
            assign(pod, binding, &now);
            Ok(())
        })
        .await?;
    Ok(Answer::Value { object: success(), code: 201 })
}

fn assign(pod: &mut Value, binding: &Value, now: &str) {
    pod.set_path(&["spec", "nodeName"], binding.at("target").str("name"));
    if let Some(status) = pod.get_mut("status") {
        status.remove("nominatedNodeName");
    }
    for members in ["annotations", "labels"] {
        for (key, text) in binding.at("metadata").strings(members) {
            pod.entry_path(&["metadata", members]).set(key, text);
        }
    }
    set_condition(pod, value!({"type": "PodScheduled", "status": "True"}), now);
}

/// Upstream: `NamespaceKeyFunc`.
pub(super) fn check_name(name: &str) -> Result<(), Status> {
    if name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    match api::names::is_valid_path_segment_name(name).as_slice() {
        [] => Ok(()),
        problems => {
            Err(Status::bad_request(format!("Name parameter invalid: {}: {}", quote(name), problems.join(";"))))
        }
    }
}

/// Upstream: `ValidatePodBinding`.
fn check_binding(binding: &Value) -> Result<(), Status> {
    let kind = binding.at("target").str("kind");
    let mut errors = api::field::Errors::new();
    let path = api::field::Path::new("target");
    if !matches!(kind, "" | "Node") {
        errors.not_supported(&path.child("kind"), kind, &["Node", "<empty>"]);
    }
    match binding.at("target").str("name") {
        "" => errors.required(&path.child("name"), ""),
        name if matches!(kind, "" | "Node") => resources::names::dns_subdomain(name, false)
            .into_iter()
            .for_each(|problem| errors.invalid(&path.child("name"), name, problem)),
        _ => {}
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::new(500, api::Reason::Unknown, errors.message()))
}

/// Puts a condition in place of the one of its type. Upstream: `podutil.UpdatePodCondition`.
fn set_condition(pod: &mut Value, mut condition: Value, now: &str) {
    let conditions = pod.entry_path(&["status", "conditions"]).make_array();
    let found = conditions.iter_mut().find(|c| c.str("type") == condition.str("type"));
    let since = match &found {
        Some(old) if old.str("status") == condition.str("status") => old.str("lastTransitionTime").to_string(),
        _ => now.to_string(),
    };
    condition.set("lastTransitionTime", since);
    match found {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

fn success() -> Value {
    value!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}

/// Deletes a pod if no budget stands against it.
async fn evict(registry: &Registry, ask: &Ask, eviction: &Value, options: &WriteOptions) -> Result<Answer, Status> {
    if meta::of(eviction).name() != ask.name() {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    registry.validate(ask, Operation::Create, eviction, Value::NULL, options).await?;
    let mut delete = DeleteOptions::read(eviction.at("deleteOptions").clone())?;
    delete.dry_run |= options.dry_run;
    let key = ask.definition.local_key(ask.namespace(), ask.name());
    let Some(entry) = ask.definition.cache.get(&key) else {
        return Err(Status::not_found(&ask.definition.resource, ask.name()));
    };
    let pod = entry.tree();
    if !may_ignore_budgets(&pod) {
        let enforce = budgets(registry, ask, &pod, delete.dry_run).await?;
        if enforce && delete.resource_version.is_none() {
            delete.resource_version = Some(entry.revision.to_string());
        }
    }
    let pods = GroupResource::new("", "pods");
    let own = registry.own_ask("delete", &pods, "", ask.namespace(), ask.name())?;
    if !delete.dry_run {
        let now = time::seconds(registry.clock.now());
        let wanted = delete.resource_version.clone();
        let edited = registry
            .edit(&own, ask.namespace(), ask.name(), false, |pod| {
                if wanted.as_deref().is_some_and(|w| w != meta::of(pod).resource_version()) {
                    return Err(too_many(ask.name()));
                }
                let condition = value!({
                    "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                    "message": "Eviction API: evicting"
                });
                set_condition(pod, condition, &now);
                Ok(())
            })
            .await?;
        delete.resource_version = delete.resource_version.map(|_| edited.revision.to_string());
    }
    registry.remove(&own, &delete).await?;
    Ok(Answer::Value { object: success(), code: 201 })
}

/// Upstream: `canIgnorePDB`.
fn may_ignore_budgets(pod: &Value) -> bool {
    matches!(pod.at("status").str("phase"), "Succeeded" | "Failed" | "Pending") || meta::of(pod).is_terminating()
}

/// Takes the eviction off the pod's budget; whether the pod must still be as it was seen.
async fn budgets(registry: &Registry, ask: &Ask, pod: &Value, dry_run: bool) -> Result<bool, Status> {
    let target = GroupResource::new("policy", "poddisruptionbudgets");
    let mut found: Vec<Value> = registry.cluster.look.list(&target, ask.namespace());
    found.retain(|budget| {
        let selector = Selector::from_label_selector(budget.at_path(&["spec", "selector"]));
        selector.is_ok_and(|s| s.matches(meta::of(pod).labels()))
    });
    let budget = match found.as_slice() {
        [] => return Ok(false),
        [one] => one,
        _ => {
            let text =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::new(500, api::Reason::Unknown, text));
        }
    };
    let (spec, status) = (budget.at("spec"), budget.at("status"));
    if !is_ready(pod) {
        let healthy = status.int("currentHealthy") >= status.int("desiredHealthy") && status.int("desiredHealthy") > 0;
        if spec.str("unhealthyPodEvictionPolicy") == "AlwaysAllow" || healthy {
            return Ok(true);
        }
    }
    let name = meta::of(budget).name().to_string();
    let own = registry.own_ask("update", &target, "status", ask.namespace(), &name)?;
    let now = time::seconds(registry.clock.now());
    registry.edit(&own, ask.namespace(), &name, dry_run, |budget| take_one(budget, ask.name(), &now)).await?;
    Ok(false)
}

/// Upstream: `checkAndDecrement`.
fn take_one(budget: &mut Value, pod: &str, now: &str) -> Result<(), Status> {
    let name = meta::of(budget).name().to_string();
    let status = budget.at("status");
    if status.int("observedGeneration") < meta::of(budget).generation() {
        return Err(too_many(&name));
    }
    let target = GroupResource::new("policy", "poddisruptionbudgets");
    let allowed = status.int("disruptionsAllowed");
    if allowed < 0 {
        return Err(Status::forbidden(&target, &name, "pdb disruptions allowed is negative"));
    }
    if status.at("disruptedPods").members().count() > DISRUPTED_LEN_MAX {
        return Err(Status::forbidden(
            &target,
            &name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let (desired, current) = (status.int("desiredHealthy"), status.int("currentHealthy"));
        let message = format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently");
        return Err(Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
            .with_cause(Cause { kind: "DisruptionBudget".into(), message, field: String::new() }));
    }
    budget.set_path(&["status", "disruptionsAllowed"], allowed - 1);
    budget.entry_path(&["status", "disruptedPods"]).set(pod, now);
    Ok(())
}

fn too_many(budget: &str) -> Status {
    let message = format!("The disruption budget {budget} is still being processed by the server.");
    Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
        .with_cause(Cause { kind: "DisruptionBudget".into(), message, field: String::new() })
}

fn is_ready(pod: &Value) -> bool {
    pod.at("status").list("conditions").iter().any(|c| c.str("type") == "Ready" && c.str("status") == "True")
}
