//! The node's heartbeat: a Lease that it renews, by which others know that it lives.
//!
//! Upstream: component-helpers/apimachinery/lease/controller.go.

use std::{sync::Arc, time::Duration};

use api::{Value, time::Clock, value};
use client::{Client, Error, Resource};

const NAMESPACE: &str = "kube-node-lease";
/// Upstream: nodeLeaseDurationSeconds, renewed each quarter of it.
const DURATION_SECONDS: i64 = 40;
const EVERY: Duration = Duration::from_secs(10);
/// Between failures.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(7);

/// Renews for ever.
pub async fn keep(client: Client, clock: Arc<dyn Clock>, node: String) {
    let mut known: Option<Value> = None;
    let mut wait = RETRY;
    loop {
        match renew(&client, &*clock, &node, known.take()).await {
            Ok(lease) => {
                known = Some(lease);
                wait = RETRY;
                tokio::time::sleep(EVERY).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the node's lease could not be renewed");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

async fn renew(client: &Client, clock: &dyn Clock, node: &str, known: Option<Value>) -> Result<Value, Error> {
    let leases = Resource::new("coordination.k8s.io", "v1", "leases");
    let target = leases.named(NAMESPACE, node);
    let known = match known {
        Some(known) => Some(known),
        None => match client.get(target).await {
            Ok(lease) => Some(lease),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        },
    };
    let now = api::time::micros(clock.now());
    if let Some(mut lease) = known {
        lease.set_path(&["spec", "renewTime"], now.as_str());
        lease.set_path(&["spec", "holderIdentity"], node);
        lease.set_path(&["spec", "leaseDurationSeconds"], DURATION_SECONDS);
        return client.update(target, &lease).await;
    }
    let nodes = Resource::new("", "v1", "nodes");
    let owner = client.get(nodes.named("", node)).await?;
    let lease = value!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": node, "namespace": NAMESPACE,
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": node, "uid": api::meta::of(&owner).uid()}
            ]
        },
        "spec": {"holderIdentity": node, "leaseDurationSeconds": DURATION_SECONDS, "renewTime": now}
    });
    client.create(leases.within(NAMESPACE), &lease).await
}
