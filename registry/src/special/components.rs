//! Component statuses: asked at the components each time, never stored.
//!
//! Upstream: pkg/registry/core/componentstatus/rest.go.

use std::sync::Arc;

use api::{GroupResource, Status, Value, value};
use async_trait::async_trait;

use super::{Reads, Special};
use crate::{Ask, Registry};

/// A part of the cluster beside this server.
pub struct Component {
    /// `scheduler`, `etcd-0`, …
    pub name: &'static str,
    pub probe: Arc<dyn Probe>,
}

/// Asks a component whether it is well.
#[async_trait]
pub trait Probe: Send + Sync {
    async fn ask(&self) -> Health;
}

/// What a component said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// None when it could not be found out.
    pub well: Option<bool>,
    pub message: String,
    pub error: String,
}

pub struct Components;

impl Special for Components {
    fn reads(&self) -> Option<&dyn Reads> {
        Some(self)
    }
}

#[async_trait]
impl Reads for Components {
    async fn get(&self, registry: &Registry, ask: &Ask) -> Result<Value, Status> {
        let components = &registry.outside()?.components;
        match components.iter().find(|c| c.name == ask.name()) {
            Some(component) => Ok(status(component.name, &component.probe.ask().await)),
            // Upstream names it in the singular here.
            None => Err(Status::not_found(&GroupResource::new("", "componentstatus"), ask.name())),
        }
    }

    async fn list(&self, registry: &Registry) -> Result<Vec<Value>, Status> {
        let asked = registry.outside()?.components.iter().map(|component| {
            let (name, probe) = (component.name, component.probe.clone());
            (name, tokio::spawn(async move { probe.ask().await }))
        });
        let mut statuses = Vec::new();
        for (name, asked) in asked.collect::<Vec<_>>() {
            statuses.push(status(name, &asked.await.unwrap_or_default()));
        }
        Ok(statuses)
    }
}

fn status(name: &str, health: &Health) -> Value {
    let status = match health.well {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let mut condition = value!({"type": "Healthy", "status": status});
    for (member, text) in [("message", &health.message), ("error", &health.error)] {
        if !text.is_empty() {
            condition.set(member, text.as_str());
        }
    }
    value!({"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_as_upstreams() {
        let well = Health { well: Some(true), message: "ok".into(), error: String::new() };
        let text = codec::json::to_string(&status("etcd-0", &well));
        assert_eq!(
            text,
            r#"{"kind":"ComponentStatus","apiVersion":"v1","metadata":{"name":"etcd-0"},"conditions":[{"type":"Healthy","status":"True","message":"ok"}]}"#
        );
        let unknown = status("scheduler", &Health { error: "no".into(), ..Health::default() });
        let condition = &unknown.list("conditions")[0];
        assert_eq!(
            (condition.str("status"), condition.str("error"), condition.has("message")),
            ("Unknown", "no", false)
        );
    }
}
