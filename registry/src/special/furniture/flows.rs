//! Flow schemas and priority levels: upstream's, kept as they are unless somebody took them over.
//!
//! Upstream: pkg/registry/flowcontrol/{rest,ensurer}, k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap.

use std::sync::Arc;

use api::{GroupResource, Status, Value, meta, time, value};

use super::{Work, apply_status, create, replace, spawn};
use crate::{Registry, prepare};

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

/// The condition that its priority level is there.
async fn found(registry: &Registry, resource: &GroupResource, schema: &Value) -> Result<(), Status> {
    let name = meta::of(schema).name();
    let live = registry.cluster.look.get(resource, "", name).unwrap_or_default();
    let conditions = live.at("status").list("conditions");
    if conditions.iter().any(|c| c.str("type") == "Dangling" && c.str("status") == "False") {
        return Ok(());
    }
    let level = schema.at_path(&["spec", "priorityLevelConfiguration"]).str("name");
    let message = format!(
        "This FlowSchema references the PriorityLevelConfiguration object named {} and it exists",
        api::field::quote(level)
    );
    let status = value!({
        "kind": "FlowSchema", "apiVersion": (format!("{GROUP}/v1")), "metadata": {"name": name},
        "status": {"conditions": [{
            "type": "Dangling", "status": "False", "reason": "Found", "message": message,
            "lastTransitionTime": (time::seconds(registry.clock.now()))
        }]}
    });
    apply_status(registry, resource, &status, CONSUMER).await
}
