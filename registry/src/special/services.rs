//! Services: the addresses and node ports they are given around their commit.
//!
//! Taken before the service is stored, given back when it is not; what an update lets go of is given back only once the
//! update stands: better an address that nobody uses than one that two services have. All of it is in the store
//! ([`addresses`] are objects, [`ports`] one stored range), nothing in this process, so that several servers may share
//! it. What a crash leaves behind is found by [`repair`]. Upstream: pkg/registry/core/service/storage.

pub mod addresses;
pub mod ports;
pub mod repair;
#[cfg(test)]
mod tests;

use api::{
    GroupResource, Status, Value,
    field::{Errors, Path},
    meta,
};
use async_trait::async_trait;
use resources::core::services::{NO_CLUSTER_IP, allocated, families, is_headless, kind, needs_health_check};

use super::{Reservation, Special};
use crate::{Ask, Registry};
use ports::Desk;

pub struct Services;

/// Addresses and node ports that belong to a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub addresses: Vec<String>,
    pub ports: Vec<u16>,
}

#[async_trait]
impl Special for Services {
    async fn reserve(
        &self,
        registry: &Registry,
        ask: &Ask,
        new: &mut Value,
        old: &Value,
        dry_run: bool,
    ) -> Result<Reservation, Status> {
        // The status endpoint allocates nothing.
        if !ask.attributes.subresource.is_empty() {
            return Ok(Reservation::default());
        }
        let old = (!old.is_null()).then_some(old);
        if let Some(old) = old {
            allocated::patch(new, old);
        }
        allocated::normalize_cluster_ips(new, old);
        let configured = registry.config.service_families();
        families::init(new, old, &configured).or_else(|errors| refuse(new, errors))?;
        let mut reservation = Reservation::default();
        match allocate(registry, new, old, dry_run, &mut reservation).await {
            Ok(()) => Ok(reservation),
            Err(error) => {
                reservation.settle(registry, Err(&error)).await;
                Err(error)
            }
        }
    }

    async fn after_delete(&self, registry: &Registry, _: &Ask, object: &Value) {
        let addresses = cluster_ips(object);
        let mut ports = node_ports(object);
        if needs_health_check(object) {
            ports.extend(health_port(object));
        }
        release(registry, &Held { addresses, ports }).await;
    }
}

/// Gives back. What cannot be given back now is found by the repair.
pub async fn release(registry: &Registry, held: &Held) {
    for address in &held.addresses {
        if let Err(error) = addresses::release(registry, address).await {
            tracing::warn!(address, %error, "an address of a service was not given back");
        }
    }
    if let Err(error) = ports::release(registry, &held.ports).await {
        tracing::warn!(ports = ?held.ports, %error, "node ports of a service were not given back");
    }
}

async fn allocate(
    registry: &Registry,
    new: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
    reservation: &mut Reservation,
) -> Result<(), Status> {
    match old {
        None => all_addresses(registry, new, dry_run, &mut reservation.taken).await?,
        Some(old) => changed_addresses(registry, new, old, dry_run, reservation).await?,
    }
    if old.is_none_or(|old| !has_ports(old)) && !has_ports(new) {
        return Ok(());
    }
    let freed = old.map_or_else(Vec::new, |old| freed_ports(new, old));
    if has_ports(new) {
        reservation.taken.ports = ports::take(registry, new, dry_run, |service, desk| match old {
            None => first_ports(service, desk),
            Some(old) => changed_ports(service, old, desk),
        })
        .await?;
    }
    if !dry_run {
        // A port that another of its ports holds now was only renamed. What a type without ports says is dropped later.
        let still = if has_ports(new) { node_ports(new) } else { Vec::new() };
        reservation.freed.ports = freed.into_iter().filter(|port| !still.contains(port)).collect();
    }
    Ok(())
}

// --- addresses

/// Upstream: `allocClusterIPs`.
async fn all_addresses(registry: &Registry, new: &mut Value, dry_run: bool, taken: &mut Held) -> Result<(), Status> {
    if kind(new) == "ExternalName" || is_first_none(new) {
        return Ok(());
    }
    let count = new.at("spec").list("ipFamilies").len();
    let ips = new.entry("spec").entry("clusterIPs").make_array();
    while ips.len() < count {
        ips.push("".into());
    }
    for i in 0..count {
        take_address(registry, new, i, dry_run, taken).await?;
    }
    let first = new.at("spec").list("clusterIPs").first().cloned();
    if let Some(first) = first.filter(|_| count > 0) {
        new.set_path(&["spec", "clusterIP"], first);
    }
    Ok(())
}

/// Upstream: `updateClusterIPs`.
async fn changed_addresses(
    registry: &Registry,
    new: &mut Value,
    old: &Value,
    dry_run: bool,
    reservation: &mut Reservation,
) -> Result<(), Status> {
    if families::keeps_prefer_dual(new, old) {
        return Ok(());
    }
    let external = |service: &Value| kind(service) == "ExternalName";
    if external(old) && !external(new) {
        return all_addresses(registry, new, dry_run, &mut reservation.taken).await;
    }
    if is_first_none(old) {
        return Ok(());
    }
    let families = |service: &Value| service.at("spec").list("ipFamilies").len();
    let mut freed = Vec::new();
    if !external(old) && external(new) {
        freed = cluster_ips(old);
    } else if families(old) == 1 && families(new) == 2 {
        let ips = new.entry("spec").entry("clusterIPs").make_array();
        if ips.len() < 2 {
            ips.push("".into());
        }
        take_address(registry, new, 1, dry_run, &mut reservation.taken).await?;
    } else if families(old) == 2 && families(new) == 1 {
        freed = cluster_ips(old).split_off(1);
    }
    if !dry_run {
        reservation.freed.addresses = freed;
    }
    Ok(())
}

/// Takes the address at `i` of the list, or any of its family when the list says none.
async fn take_address(
    registry: &Registry,
    new: &mut Value,
    i: usize,
    dry_run: bool,
    taken: &mut Held,
) -> Result<(), Status> {
    let family = new.at("spec").list("ipFamilies").get(i).and_then(Value::as_str).unwrap_or("").to_string();
    let wanted = new.at("spec").list("clusterIPs").get(i).and_then(Value::as_str).unwrap_or("").to_string();
    let got = addresses::take(registry, new, &family, &wanted, dry_run).await;
    let address = match got {
        Ok(address) => address,
        Err(addresses::Refusal::Full) if wanted.is_empty() => {
            let name = api::field::quote(meta::of(new).name());
            return Err(Status::internal(format!("failed to allocate a serviceIP for Service {name}: range is full")));
        }
        Err(refusal) => {
            let what = if wanted.is_empty() { String::new() } else { format!(" {wanted}") };
            let mut errors = Errors::new();
            let at = Path::new("spec").child("clusterIPs");
            errors.invalid(&at, new.at("spec").at("clusterIPs"), format!("failed to allocate IP{what}: {refusal}"));
            return refuse(new, errors);
        }
    };
    if !dry_run {
        taken.addresses.push(address.clone());
    }
    if let Some(slot) =
        new.path_mut(&["spec", "clusterIPs"]).and_then(Value::as_array_mut).and_then(|ips| ips.get_mut(i))
    {
        *slot = address.into();
    }
    Ok(())
}

fn is_first_none(service: &Value) -> bool {
    is_headless(service) || service.at("spec").list("clusterIPs").first().and_then(Value::as_str) == Some(NO_CLUSTER_IP)
}

/// The addresses that a stored service holds.
pub(crate) fn cluster_ips(service: &Value) -> Vec<String> {
    if kind(service) == "ExternalName" || is_first_none(service) {
        return Vec::new();
    }
    service.at("spec").list("clusterIPs").iter().filter_map(Value::as_str).map(Into::into).collect()
}

// --- ports

fn has_ports(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
}

/// Ports of a new service. Upstream: `initNodePorts`, `allocHealthCheckNodePort`.
fn first_ports(service: &mut Value, desk: &mut Desk) -> Result<(), Status> {
    let allocates = allocated::needs_node_ports(service);
    let ports = service.at("spec").list("ports").to_vec();
    // Ports of one number share a node port (TCP and UDP of the same).
    let mut shared: Vec<(i64, i64)> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let (number, wanted) = (port.int("port"), port.int("nodePort"));
        if wanted == 0 && !allocates {
            continue;
        }
        match shared.iter().find(|(known, _)| *known == number) {
            None => {
                let requested = ports.iter().find(|p| p.int("port") == number && p.int("nodePort") != 0);
                let node_port = match requested.map(|p| p.int("nodePort")) {
                    Some(requested) => take_port(service, i, requested, desk)?,
                    None => any_port(desk)?,
                };
                set_port(service, i, node_port);
                shared.push((number, node_port));
            }
            Some((_, known)) if wanted == 0 => set_port(service, i, *known),
            Some((_, known)) if wanted != *known => {
                take_port(service, i, wanted, desk)?;
            }
            Some(_) => {}
        }
    }
    if needs_health_check(service) { take_health_port(service, desk) } else { Ok(()) }
}

/// Ports that an update asks for. Upstream: `updateNodePorts`, `updateHealthCheckNodePort`.
fn changed_ports(service: &mut Value, old: &Value, desk: &mut Desk) -> Result<(), Status> {
    let allocates = allocated::needs_node_ports(service);
    let before: Vec<u16> = node_ports(old);
    let ports = service.at("spec").list("ports").to_vec();
    let mut seen: Vec<(String, i64)> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let wanted = port.int("nodePort");
        if wanted == 0 && !allocates {
            continue;
        }
        let node_port = match wanted {
            0 => any_port(desk)?,
            wanted => {
                let known = before.iter().any(|p| i64::from(*p) == wanted) || seen.iter().any(|(_, p)| *p == wanted);
                if known { wanted } else { take_port(service, i, wanted, desk)? }
            }
        };
        set_port(service, i, node_port);
        let this = (port.str("protocol").to_string(), node_port);
        if seen.contains(&this) {
            let why = format!("duplicate nodePort: {{{} {}}}", this.0, this.1);
            return Err(Status::new(500, api::Reason::Unknown, why));
        }
        seen.push(this);
    }
    if !needs_health_check(old) && needs_health_check(service) { take_health_port(service, desk) } else { Ok(()) }
}

/// What the new service no longer needs, to be given back when it stands.
fn freed_ports(new: &Value, old: &Value) -> Vec<u16> {
    let mut freed = if has_ports(old) { node_ports(old) } else { Vec::new() };
    if needs_health_check(old) && !needs_health_check(new) {
        freed.extend(health_port(old));
    }
    freed
}

fn take_port(service: &Value, i: usize, wanted: i64, desk: &mut Desk) -> Result<i64, Status> {
    match desk.take(wanted) {
        Ok(()) => Ok(wanted),
        Err(why) => {
            let mut errors = Errors::new();
            errors.invalid(&Path::new("spec").child("ports").index(i).child("nodePort"), wanted, why.to_string());
            refuse(service, errors)
        }
    }
}

fn any_port(desk: &mut Desk) -> Result<i64, Status> {
    desk.take_any().map_err(|why| Status::internal(format!("failed to allocate a nodePort: {why}")))
}

fn take_health_port(service: &mut Value, desk: &mut Desk) -> Result<(), Status> {
    let wanted = service.at("spec").int("healthCheckNodePort");
    if wanted != 0 {
        return desk.take(wanted).map_err(|why| {
            Status::internal(format!("failed to allocate requested HealthCheck NodePort {wanted}: {why}"))
        });
    }
    let port = desk
        .take_any()
        .map_err(|why| Status::internal(format!("failed to allocate a HealthCheck NodePort 0: {why}")))?;
    service.set_path(&["spec", "healthCheckNodePort"], port);
    Ok(())
}

fn set_port(service: &mut Value, i: usize, port: i64) {
    let ports = service.path_mut(&["spec", "ports"]).and_then(Value::as_array_mut);
    if let Some(entry) = ports.and_then(|ports| ports.get_mut(i)) {
        entry.set("nodePort", port);
    }
}

/// The node ports that a service says, each once.
pub(crate) fn node_ports(service: &Value) -> Vec<u16> {
    let mut ports: Vec<u16> = service
        .at("spec")
        .list("ports")
        .iter()
        .filter_map(|p| u16::try_from(p.int("nodePort")).ok())
        .filter(|p| *p != 0)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

pub(crate) fn health_port(service: &Value) -> Option<u16> {
    u16::try_from(service.at("spec").int("healthCheckNodePort")).ok().filter(|port| *port != 0)
}

fn refuse<T>(service: &Value, errors: Errors) -> Result<T, Status> {
    match errors.into_status(&GroupResource::new("", "Service"), meta::of(service).name()) {
        Err(status) => Err(status),
        Ok(()) => Err(Status::internal("a service was refused without a reason")),
    }
}
