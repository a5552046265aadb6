//! Flow schemas and priority levels: upstream's, kept as they are unless somebody took them over.
//!
//! Upstream: pkg/registry/flowcontrol/{rest,ensurer}, k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap.

use std::sync::Arc;

use api::{GroupResource, Status, Value, meta, time, value};

use super::{Work, apply_status, create, replace, spawn};
use crate::{Registry, prepare, special::flow::Policy};

static FACTS: &str = include_str!("../../../../schema/facts/flow_schemas.json");

const AUTO: &str = "apf.kubernetes.io/autoupdate-spec";
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// Makes and keeps priority levels.
pub(super) fn levels(work: &mut Work, registry: &Arc<Registry>) -> Result<(), Status> {
    each(work, registry, "PriorityLevelConfiguration", "prioritylevelconfigurations", "PriorityLevels")
}

/// Makes and keeps flow schemas, and says of each that its level is there.
pub(super) fn schemas(work: &mut Work, registry: &Arc<Registry>) -> Result<(), Status> {
    each(work, registry, "FlowSchema", "flowschemas", "FlowSchemas")
}

fn each(work: &mut Work, registry: &Arc<Registry>, kind: &str, plural: &'static str, list: &str) -> Result<(), Status> {
    let facts = codec::json::any(FACTS.as_bytes()).map_err(Status::internal)?.value;
    for (set, mandatory) in [("mandatory", true), ("suggested", false)] {
        for fact in facts.list(&format!("{set}{list}")) {
            let mut object = value!({"kind": kind, "apiVersion": (format!("{GROUP}/v1"))});
            object.set("metadata", fact.at("metadata"));
            object.set("spec", fact.at("spec"));
            spawn(work, registry, move |registry| async move {
                let resource = GroupResource::new(GROUP, plural);
                keep(&registry, &resource, &object, mandatory).await?;
                if plural == "flowschemas" { found(&registry, &resource, &object).await } else { Ok(()) }
            });
        }
    }
    Ok(())
}

/// Upstream: `EnsureConfiguration`, `ReviseIfNeeded`.
async fn keep(registry: &Registry, resource: &GroupResource, wanted: &Value, mandatory: bool) -> Result<(), Status> {
    let Some(found) = registry.cluster.look.get(resource, "", meta::of(wanted).name()) else {
        return create(registry, resource, wanted, PRODUCER).await;
    };
    let said = meta::of(&found).annotation(AUTO).and_then(|text| text.parse::<bool>().ok());
    let ours = mandatory || said.unwrap_or(meta::of(&found).generation() == 1);
    let mut mended = found.clone();
    if said != Some(ours) {
        mended.entry_path(&["metadata", "annotations"]).set(AUTO, ours.to_string());
    }
    if ours && !covers(wanted.at("spec"), found.at("spec")) {
        mended.set("spec", wanted.at("spec"));
    }
    if mended == found { Ok(()) } else { replace(registry, resource, &mended, PRODUCER).await }
}

/// Whether `found` says all that `wanted` says; defaults may be more.
fn covers(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(_), Value::Object(_)) => wanted.members().all(|(key, value)| covers(value, found.at(key))),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| covers(a, b)),
        _ => prepare::same(wanted, found),
    }
}

/// What upstream's policy is before anybody changed it.
pub fn standard() -> Policy {
    let facts = codec::json::any(FACTS.as_bytes()).map(|d| d.value).unwrap_or_default();
    let all = |list: &str| -> Vec<Value> {
        ["mandatory", "suggested"].iter().flat_map(|set| facts.list(&format!("{set}{list}")).to_vec()).collect()
    };
    Policy::new(&all("FlowSchemas"), &all("PriorityLevels"))
}

/// What the policy is now. What has to be there and is not (yet) is as it has to be.
fn present(schemas: Vec<Value>, levels: Vec<Value>) -> Policy {
    let facts = codec::json::any(FACTS.as_bytes()).map(|d| d.value).unwrap_or_default();
    let with = |mut found: Vec<Value>, list: &str| {
        for fact in facts.list(list) {
            if !found.iter().any(|object| meta::of(object).name() == meta::of(fact).name()) {
                found.push(fact.clone());
            }
        }
        found
    };
    Policy::new(&with(schemas, "mandatoryFlowSchemas"), &with(levels, "mandatoryPriorityLevels"))
}

/// Says of every flow schema whether its level is there, each time one of either changes, and tells the policy to those
/// who let requests in. Does not end.
/// Upstream: k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go `presyncFlowSchemaStatus`.
pub async fn follow(registry: Arc<Registry>, tell: impl Fn(Policy) + Send + Sync) {
    let [schemas, levels] =
        ["flowschemas", "prioritylevelconfigurations"].map(|plural| GroupResource::new(GROUP, plural));
    let (Some(of_schemas), Some(of_levels)) = (registry.catalog.get(&schemas), registry.catalog.get(&levels)) else {
        return;
    };
    loop {
        let mut schema_changes = of_schemas.cache.snapshot_and_cursor(0).1;
        let mut level_changes = of_levels.cache.snapshot_and_cursor(0).1;
        let found_schemas = registry.cluster.look.list(&schemas, "");
        tell(present(found_schemas.clone(), registry.cluster.look.list(&levels, "")));
        for schema in found_schemas {
            if let Err(error) = found(&registry, &schemas, &schema).await {
                tracing::warn!(name = meta::of(&schema).name(), %error, "a flow schema was not told about its level");
            }
        }
        // What the loop itself wrote wakes it once more, and then there is nothing to say.
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let _ = tokio::select! {
            changed = schema_changes.next(1, &mut one) => changed,
            changed = level_changes.next(1, &mut other) => changed,
        };
    }
}

/// The condition that says whether its priority level is there.
async fn found(registry: &Registry, resource: &GroupResource, schema: &Value) -> Result<(), Status> {
    let name = meta::of(schema).name();
    let level = schema.at_path(&["spec", "priorityLevelConfiguration"]).str("name");
    let levels = GroupResource::new(GROUP, "prioritylevelconfigurations");
    let (status, reason, end) = match registry.cluster.look.get(&levels, "", level) {
        Some(_) => ("False", "Found", "and it exists"),
        None => ("True", "NotFound", "but there is no such object"),
    };
    let quoted = api::field::quote(level);
    let message = format!("This FlowSchema references the PriorityLevelConfiguration object named {quoted} {end}");
    let Some(live) = registry.cluster.look.get(resource, "", name) else { return Ok(()) };
    let told = live.at("status").list("conditions").iter().find(|c| c.str("type") == "Dangling");
    if told.is_some_and(|c| (c.str("status"), c.str("reason"), c.str("message")) == (status, reason, message.as_str()))
    {
        return Ok(());
    }
    let since = told.filter(|c| c.str("status") == status).map(|c| c.str("lastTransitionTime").to_string());
    let since = since.unwrap_or_else(|| time::seconds(registry.clock.now()));
    let status = value!({
        "kind": "FlowSchema", "apiVersion": (format!("{GROUP}/v1")), "metadata": {"name": name},
        "status": {"conditions": [{
            "type": "Dangling", "status": status, "reason": reason, "message": message, "lastTransitionTime": since
        }]}
    });
    apply_status(registry, resource, &status, CONSUMER).await
}
