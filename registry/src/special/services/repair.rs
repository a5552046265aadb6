//! What a crash between a service and its addresses or ports left behind.
//!
//! Upstream: pkg/registry/core/service/portallocator/controller/repair.go,
//! pkg/registry/core/service/ipallocator/controller/repairip.go.

use std::collections::HashMap;

use api::{GroupResource, Status, Value, meta, names, time};

use super::{addresses, cluster_ips, ports};
use crate::Registry;

/// A create has this long between its address and its service.
const GRACE_SECONDS: i64 = 60;
/// A port without a service is given back after it was seen so often.
const SIGHTINGS: u32 = 3;

/// Ports that nobody seems to have, and how often they were seen so.
#[derive(Default)]
pub struct Suspects(HashMap<usize, u32>);

/// Gives back at once what no service has. For a server that nobody has asked anything yet, on a store of its own: what a
/// crash left between a service and what was taken for it can be on its way to nobody.
pub async fn leftovers(registry: &Registry) -> Result<(), Status> {
    ports_after(registry, &mut Suspects::default(), 1).await?;
    addresses_after(registry, None).await
}

/// Makes the stored bitmap say what the services say.
pub async fn ports(registry: &Registry, suspects: &mut Suspects) -> Result<(), Status> {
    ports_after(registry, suspects, SIGHTINGS).await
}

async fn ports_after(registry: &Registry, suspects: &mut Suspects, sightings: u32) -> Result<(), Status> {
    let range = registry.config.node_ports;
    let _turn = registry.ports.lock().await;
    let stored = ports::read(registry).await?;
    let mut bits = ports::held(registry);
    // Another server may be about to store the service that such a port is for.
    let before = ports_in(&stored, range);
    let alone: Vec<usize> = before.into_iter().filter(|offset| !bits.has(*offset)).collect();
    suspects.0.retain(|offset, _| alone.contains(offset));
    for offset in alone {
        let seen = suspects.0.entry(offset).or_insert(0);
        *seen += 1;
        if *seen < sightings {
            bits.set(offset, true);
        }
    }
    let unchanged = stored.revision != 0 && bits == stored.bits && stored.range == range.to_string();
    if !unchanged && ports::swap(registry, &range.to_string(), &bits, stored.revision).await?.is_err() {
        // Somebody took a port meanwhile; the next round sees it.
        tracing::debug!("the node ports changed during their repair");
    }
    Ok(())
}

fn ports_in(stored: &ports::Stored, range: ports::PortRange) -> Vec<usize> {
    let Some(was) = ports::PortRange::parse(&stored.range) else { return Vec::new() };
    stored.bits.iter().filter_map(|offset| range.offset(i64::from(was.first) + offset as i64)).collect()
}

/// Makes addresses that services have and lack, and gives back those that no service has.
pub async fn addresses(registry: &Registry) -> Result<(), Status> {
    addresses_after(registry, Some(GRACE_SECONDS)).await
}

async fn addresses_after(registry: &Registry, grace_seconds: Option<i64>) -> Result<(), Status> {
    let look = &registry.cluster.look;
    for service in look.list(&services(), "") {
        for ip in cluster_ips(&service).iter().filter_map(|ip| names::parse_ip(ip)) {
            if look.get(&addresses::resource(), "", &ip.to_string()).is_some() {
                continue;
            }
            match addresses::create(registry, &service, ip).await {
                Ok(()) | Err(addresses::Refusal::Allocated) => {}
                Err(error) => tracing::warn!(%ip, %error, "the address of a service could not be noted"),
            }
        }
    }
    let now = registry.clock.now();
    for address in look.list(&addresses::resource(), "") {
        let labels = meta::of(&address).label("ipaddress.kubernetes.io/managed-by").map(str::to_string);
        if labels.as_deref() != Some(addresses::MANAGED_BY) || is_held(registry, &address).await? {
            continue;
        }
        let age = time::parse(meta::of(&address).creation_timestamp()).map_or(0, |at| now.as_second() - at.as_second());
        if grace_seconds.is_none_or(|grace| age > grace) {
            addresses::release(registry, meta::of(&address).name()).await?;
        }
    }
    Ok(())
}

/// Whether its parent has it, by what the store says now.
async fn is_held(registry: &Registry, address: &Value) -> Result<bool, Status> {
    let parent = address.at_path(&["spec", "parentRef"]);
    if !parent.str("group").is_empty() || parent.str("resource") != "services" {
        return Ok(false);
    }
    let service = registry.cluster.look.get_live(&services(), parent.str("namespace"), parent.str("name")).await?;
    let name = meta::of(address).name();
    let has = |ip: &String| names::parse_ip(ip).is_some_and(|ip| ip.to_string() == name);
    Ok(service.is_some_and(|service| cluster_ips(&service).iter().any(has)))
}

fn services() -> GroupResource {
    GroupResource::new("", "services")
}
