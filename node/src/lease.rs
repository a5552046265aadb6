//! The node's heartbeat: a Lease that it renews, by which others know that it lives.
//!
//! Upstream: component-helpers/apimachinery/lease/controller.go.

use std::{sync::Arc, time::Duration};

use api::{Value, time::Clock, value};
use client::{Client, Error, Resource};

const NAMESPACE: &str = "kube-node-lease";
/// It is renewed so often while it lasts. Upstream: nodeLeaseRenewIntervalFraction.
const RENEWALS: u32 = 4;
/// Between failures.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(7);

/// Renews a lease that lasts so many seconds, for ever.
pub async fn keep(client: Client, clock: Arc<dyn Clock>, node: String, seconds: i64) {
    let every = Duration::from_secs(u64::try_from(seconds).unwrap_or_default()) / RENEWALS;
    let mut known: Option<Value> = None;
    let mut wait = RETRY;
    loop {
        match renew(&client, &*clock, (&node, seconds), known.take()).await {
            Ok(lease) => {
                known = Some(lease);
                wait = RETRY;
                tokio::time::sleep(every).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the node's lease could not be renewed");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

async fn renew(
    client: &Client,
    clock: &dyn Clock,
    (node, seconds): (&str, i64),
    known: Option<Value>,
) -> Result<Value, Error> {
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
        lease.set_path(&["spec", "leaseDurationSeconds"], seconds);
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
        "spec": {"holderIdentity": node, "leaseDurationSeconds": seconds, "renewTime": now}
    });
    client.create(leases.within(NAMESPACE), &lease).await
}
