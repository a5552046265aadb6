//! Who this server is: a lease in kube-system that others can count it by.
//!
//! Upstream: pkg/controlplane/apiserver/server.go, pkg/controlplane/controller/apiserverleasegc,
//! k8s.io/component-helpers/apimachinery/lease.

use api::{GroupResource, Reason, Status, Value, meta, time, value};

use super::{create, replace};
use crate::{Registry, options::DeleteOptions};

/// How long a server counts after its last sign.
const LEASE_SECONDS: i64 = 3600;
const LABEL: &str = "apiserver.kubernetes.io/identity";
const NAMESPACE: &str = "kube-system";

#[derive(Clone, Debug)]
pub struct Identity {
    /// `apiserver-` and a hash of the host's name.
    pub name: String,
    /// The name, and what is new with each start.
    pub holder: String,
    pub hostname: String,
    /// Where other servers reach this one.
    pub peer_address: String,
}

impl Identity {
    /// Makes the lease or renews it.
    pub async fn renew(&self, registry: &Registry) -> Result<(), Status> {
        let found = registry.cluster.look.get(&leases(), NAMESPACE, &self.name);
        let mut lease = found.clone().unwrap_or_else(|| {
            value!({
                "kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
                "metadata": {"name": (self.name.as_str()), "namespace": NAMESPACE}
            })
        });
        let labels = lease.entry_path(&["metadata", "labels"]);
        labels.set(LABEL, "kube-apiserver");
        labels.set("kubernetes.io/hostname", self.hostname.as_str());
        let annotations = lease.entry_path(&["metadata", "annotations"]);
        annotations.set("kubernetes.io/peer-advertise-address", self.peer_address.as_str());
        let spec = lease.entry("spec");
        spec.set("holderIdentity", self.holder.as_str());
        spec.set("leaseDurationSeconds", LEASE_SECONDS);
        spec.set("renewTime", time::micros(registry.clock.now()));
        match found {
            Some(_) => replace(registry, &leases(), &lease, "").await,
            None => create(registry, &leases(), &lease, "").await,
        }
    }
}

/// Takes away the leases of servers that have not been heard of for long.
pub async fn collect(registry: &Registry) -> Result<(), Status> {
    for lease in registry.cluster.look.list(&leases(), NAMESPACE) {
        if meta::of(&lease).label(LABEL) != Some("kube-apiserver") || !is_expired(&lease, registry.clock.now()) {
            continue;
        }
        let name = meta::of(&lease).name();
        // It may have been renewed on another server.
        let live = registry.cluster.look.get_live(&leases(), NAMESPACE, name).await?;
        let Some(live) = live.filter(|live| is_expired(live, registry.clock.now())) else { continue };
        let ask = registry.own_ask("delete", &leases(), "", NAMESPACE, name)?;
        let version = meta::of(&live).resource_version();
        let resource_version = (!version.is_empty()).then(|| version.to_string());
        match registry.remove(&ask, &DeleteOptions { resource_version, ..DeleteOptions::default() }).await {
            Err(error) if !error.is(Reason::NotFound) && !error.is(Reason::Conflict) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_expired(lease: &Value, now: jiff::Timestamp) -> bool {
    let spec = lease.at("spec");
    match (spec.opt_str("renewTime").and_then(time::parse), spec.opt_int("leaseDurationSeconds")) {
        (Some(renewed), Some(seconds)) => now.as_second() - renewed.as_second() > seconds,
        _ => true,
    }
}

fn leases() -> GroupResource {
    GroupResource::new("coordination.k8s.io", "leases")
}
