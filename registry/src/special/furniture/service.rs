//! The API's own service: its range, its address, and the servers behind it.
//!
//! Each server keeps a key with an end of its own under `masterleases`; the endpoints are those whose keys are there.
//! Upstream: pkg/controlplane/{controller/kubernetesservice,controller/defaultservicecidr,reconcilers}.

use std::net::IpAddr;

use api::{GroupResource, Gvk, Status, Value, meta, time, value};
use store::{Guard, Op, Outcome, Range, Txn};

use super::{apply_status, create, ensure, replace};
use crate::{Registry, options::DeleteOptions, storage, unavailable};

/// Also the name of the default ServiceCIDR.
const NAME: &str = "kubernetes";
const NAMESPACE: &str = "default";
const RANGE_KEEPER: &str = "kubernetes-service-cidr-controller";
/// Under the server's prefix.
const LEASES: &str = "masterleases";
/// A server that does not renew its key within this is gone. Upstream: `DefaultEndpointReconcilerTTL`.
const LEASE_SECONDS: i64 = 15;
const ATTEMPTS_MAX: usize = 16;

#[derive(Clone, Debug)]
pub struct Settings {
    /// The first of the service range.
    pub service_ip: IpAddr,
    /// Where clients in the cluster reach this server; none: it stands behind no endpoints.
    pub advertise: Option<IpAddr>,
    pub port: u16,
}

/// Makes the default ServiceCIDR and says that it is ready. Upstream: `Controller.sync` of defaultservicecidr.
pub async fn keep_range(registry: &Registry) -> Result<(), Status> {
    let ranges = GroupResource::new("networking.k8s.io", "servicecidrs");
    let wanted: Value = registry.config.service_ranges.iter().cloned().collect();
    let look = &registry.cluster.look;
    if look.get(&ranges, "", NAME).is_none() {
        let object = value!({
            "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": NAME},
            "spec": {"cidrs": (wanted.clone())}
        });
        create(registry, &ranges, &object, "").await?;
    }
    let Some(mut found) = look.get(&ranges, "", NAME) else { return Ok(()) };
    let cidrs = found.at("spec").list("cidrs");
    if wanted.items().len() == 2 && cidrs.len() == 1 && wanted.items().first() == cidrs.first() {
        found.set_path(&["spec", "cidrs"], wanted);
        return replace(registry, &ranges, &found, "").await;
    }
    let conditions = found.at("status").list("conditions");
    let said = conditions.iter().any(|c| c.str("type") == "Ready" && c.str("status") != "Unknown");
    if meta::of(&found).is_terminating() || cidrs != wanted.items() || said {
        return Ok(());
    }
    let status = value!({
        "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": NAME},
        "status": {"conditions": [{
            "type": "Ready", "status": "True", "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": (time::seconds(registry.clock.now()))
        }]}
    });
    apply_status(registry, &ranges, &status, RANGE_KEEPER).await
}

/// Makes the service, renews this server's key and puts the servers that are there behind it.
pub async fn keep(registry: &Registry, settings: &Settings) -> Result<(), Status> {
    let service = value!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE, "labels": {"provider": "kubernetes", "component": "apiserver"}
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": (settings.service_ip.to_string()), "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": (i64::from(settings.port))}]
        }
    });
    ensure(registry, "", "services", &service).await?;
    let Some(advertise) = settings.advertise else { return Ok(()) };
    renew(registry, advertise).await?;
    reconcile(registry, settings, false).await
}

/// Takes this server from behind the service: it stops.
pub async fn leave(registry: &Registry, settings: &Settings) -> Result<(), Status> {
    let Some(advertise) = settings.advertise else { return Ok(()) };
    let txn = Txn { guards: Vec::new(), ops: vec![Op::Delete { key: lease_key(registry, &advertise.to_string()) }] };
    registry.store.commit(txn).await.map_err(|e| failed(e, "delete"))?;
    reconcile(registry, settings, true).await
}

async fn renew(registry: &Registry, advertise: IpAddr) -> Result<(), Status> {
    let key = lease_key(registry, &advertise.to_string());
    let gvk = Gvk::new("", "v1", "Endpoints");
    let mut found = registry.store.get(&key).await.map_err(|e| failed(e, "get"))?.0;
    for _ in 0..ATTEMPTS_MAX {
        let before = found.as_ref().and_then(|e| storage::decode_as(&e.value, &gvk, schema::builtin()).ok());
        // Upstream counts on so that the value differs each time.
        let generation = before.map_or(0, |before| meta::of(&before).generation()) + 1;
        let object = value!({
            "kind": "Endpoints", "apiVersion": "v1", "metadata": {"generation": generation},
            "subsets": [{"addresses": [{"ip": (advertise.to_string())}]}]
        });
        let value = storage::encode_as(&object, &gvk, schema::builtin(), registry.config.storage_media);
        let guard = match &found {
            None => Guard::Absent(key.clone()),
            Some(found) => Guard::AtRevision(key.clone(), found.mod_revision),
        };
        let lease = registry.store.lease(LEASE_SECONDS).await.map_err(|e| failed(e, "update"))?;
        let txn = Txn { guards: vec![guard], ops: vec![Op::Put { key: key.clone(), value, lease }] };
        match registry.store.commit(txn).await.map_err(|e| failed(e, "update"))? {
            Outcome::Committed(_) => return Ok(()),
            Outcome::Refused(mut standing) => found = standing.pop().flatten(),
        }
    }
    Err(Status::server_timeout(&GroupResource::new("", "endpoints"), "update", 1))
}

/// The servers whose keys are there.
async fn servers(registry: &Registry) -> Result<Vec<String>, Status> {
    let prefix = lease_key(registry, "");
    let range = Range { prefix: prefix.clone(), ..Range::default() };
    let page = registry.store.range(range).await.map_err(|e| failed(e, "list"))?;
    Ok(page.entries.iter().map(|entry| entry.key[prefix.len()..].to_string()).collect())
}

/// Upstream: `leaseEndpointReconciler.doReconcile`.
async fn reconcile(registry: &Registry, settings: &Settings, leaving: bool) -> Result<(), Status> {
    let resource = GroupResource::new("", "endpoints");
    let found = registry.cluster.look.get_live(&resource, NAMESPACE, NAME).await?;
    if leaving && found.is_none() {
        return Ok(());
    }
    let servers = servers(registry).await?;
    if servers.is_empty() && !leaving {
        return Err(Status::internal(
            "no API server IP addresses were listed in storage, refusing to erase all endpoints for the kubernetes Service",
        ));
    }
    let mut endpoints = found.clone().unwrap_or_else(
        || value!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {"name": NAME, "namespace": NAMESPACE}}),
    );
    endpoints.entry_path(&["metadata", "labels"]).set("endpointslice.kubernetes.io/skip-mirror", "true");
    let ports = value!([{"name": "https", "port": (i64::from(settings.port)), "protocol": "TCP"}]);
    place(&mut endpoints, &servers, ports);
    match &found {
        Some(found) if *found == endpoints => {}
        Some(_) => replace(registry, &resource, &endpoints, "").await?,
        None => create(registry, &resource, &endpoints, "").await?,
    }
    slice(registry, &endpoints).await
}

/// Puts the servers into the one subset; ports that are there stay.
fn place(endpoints: &mut Value, servers: &[String], ports: Value) {
    let kept = match endpoints.list("subsets") {
        [only] => only.at("ports").clone(),
        _ => Value::Null,
    };
    if servers.is_empty() {
        endpoints.remove("subsets");
        return;
    }
    let mut sorted: Vec<&String> = servers.iter().collect();
    sorted.sort();
    let addresses: Value = sorted.into_iter().map(|ip| value!({"ip": ip})).collect();
    let ports = if kept.is_empty() { ports } else { kept };
    endpoints.set("subsets", value!([{"addresses": addresses, "ports": ports}]));
}

/// Keeps the slice that says the same. Upstream: `EnsureEndpointSliceFromEndpoints`.
async fn slice(registry: &Registry, endpoints: &Value) -> Result<(), Status> {
    let resource = GroupResource::new("discovery.k8s.io", "endpointslices");
    let wanted = slice_of(endpoints);
    let Some(found) = registry.cluster.look.get_live(&resource, NAMESPACE, NAME).await? else {
        return create(registry, &resource, &wanted, "").await;
    };
    if found.str("addressType") != wanted.str("addressType") {
        let ask = registry.own_ask("delete", &resource, "", NAMESPACE, NAME)?;
        registry.remove(&ask, &DeleteOptions::default()).await?;
        return create(registry, &resource, &wanted, "").await;
    }
    let same = ["endpoints", "ports"].iter().all(|key| crate::prepare::same(found.at(key), wanted.at(key)))
        && crate::prepare::same(meta::of(&found).labels(), meta::of(&wanted).labels());
    if same { Ok(()) } else { replace(registry, &resource, &wanted, "").await }
}

fn slice_of(endpoints: &Value) -> Value {
    let subset = endpoints.list("subsets").first().cloned().unwrap_or_default();
    let addresses: Vec<&str> = subset.list("addresses").iter().map(|a| a.str("ip")).collect();
    let v6 = !addresses.is_empty() && addresses.iter().all(|ip| ip.contains(':'));
    let of_family = addresses.into_iter().filter(|ip| ip.contains(':') == v6);
    let targets: Value = of_family.map(|ip| value!({"addresses": [ip], "conditions": {"ready": true}})).collect();
    let mut slice = value!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": (if v6 { "IPv6" } else { "IPv4" }), "endpoints": targets
    });
    slice.set("ports", subset.at("ports"));
    slice
}

fn lease_key(registry: &Registry, address: &str) -> String {
    format!("{}/{LEASES}/{address}", registry.config.prefix)
}

fn failed(error: store::Error, operation: &str) -> Status {
    unavailable(error, &GroupResource::new("", "endpoints"), operation)
}
