//! ClusterIPs: each is an IPAddress object with the service as its parent, so that nobody gets one twice.
//!
//! Ranges come from ServiceCIDR objects that are ready. The lower part of a range is left to those who name an address;
//! who does not gets one from the upper part as long as there are any. Upstream:
//! pkg/registry/core/service/ipallocator/{ipallocator,cidrallocator}.go.

use std::{net::IpAddr, time::Instant};

use api::{GroupResource, Reason, Status, Value, meta, names, value};
use resources::core::services::families::{IPV4, IPV6};

use crate::{Registry, options::DeleteOptions, tally::Wish};

pub const MANAGED_BY: &str = "ipallocator.k8s.io";

/// The shortest prefix that addresses of IPv6 are taken from.
const PREFIX_LEN_MIN_V6: u8 = 64;

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("range is full")]
    Full,
    #[error("provided IP is already allocated")]
    Allocated,
    #[error("the provided network does not match the current range")]
    Mismatch,
    #[error("allocator not ready")]
    NotReady,
    #[error("the provided IP ({0}) is not in the valid range. The range of valid IPs is {1}")]
    NotInRange(IpAddr, String),
    #[error("{}", .0.message())]
    Other(Status),
}

/// Addresses that can be given out: of one CIDR, whoever names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pool {
    cidr: String,
    network: u128,
    /// Both can be given out; `first > last` when nothing can.
    first: u128,
    last: u128,
    /// How many from the first on are left to those who name one.
    named_len: u128,
    ready: bool,
    v6: bool,
}

/// Takes `wanted`, or any address of the family when it is empty. Nothing is taken on dry run.
pub async fn take(
    registry: &Registry,
    service: &Value,
    family: &str,
    wanted: &str,
    dry_run: bool,
) -> Result<String, Refusal> {
    let pools = pools(registry, family == IPV6);
    if wanted.is_empty() {
        return if dry_run { show_any(&pools) } else { take_any(registry, service, &pools).await };
    }
    let Some(ip) = names::parse_ip(wanted) else {
        return Err(Refusal::Other(Status::internal(format!(
            "failed to parse service IP {}",
            api::field::quote(wanted)
        ))));
    };
    if dry_run {
        let Some(pool) = pools.first().filter(|p| p.ready) else { return Err(Refusal::NotReady) };
        let number = number(ip);
        let inside = (pool.first..=pool.last).contains(&number);
        return if inside { Ok(wanted.into()) } else { Err(Refusal::NotInRange(ip, pool.cidr.clone())) };
    }
    let (number, since) = (number(ip), Instant::now());
    let within = pools.iter().filter(|p| p.ready && (p.first..=p.last).contains(&number));
    // The narrowest counts, where ranges lie in one another.
    let Some(pool) = within.min_by_key(|p| p.last - p.first) else { return Err(Refusal::Mismatch) };
    created(registry, service, ip, pool, Wish::Named).await?;
    registry.tally.address_took(&pool.cidr, since.elapsed());
    Ok(wanted.into())
}

/// Makes the object for an address of a range, which counts.
async fn created(registry: &Registry, service: &Value, ip: IpAddr, pool: &Pool, wish: Wish) -> Result<(), Refusal> {
    let created = create(registry, service, ip).await;
    registry.tally.address(&pool.cidr, wish, created.is_ok());
    created
}

/// Gives an address back; one that is not there is no error.
pub async fn release(registry: &Registry, address: &str) -> Result<(), Status> {
    let Some(ip) = names::parse_ip(address) else { return Ok(()) };
    let ask = registry.own_ask("delete", &resource(), "", "", &ip.to_string())?;
    match registry.remove(&ask, &DeleteOptions::default()).await {
        Err(error) if !error.is(Reason::NotFound) => Err(error),
        _ => Ok(()),
    }
}

/// Makes the object that says whose an address is.
pub async fn create(registry: &Registry, service: &Value, ip: IpAddr) -> Result<(), Refusal> {
    let family = if ip.is_ipv6() { IPV6 } else { IPV4 };
    let parent = meta::of(service);
    let object = value!({
        "kind": "IPAddress", "apiVersion": "networking.k8s.io/v1",
        "metadata": {
            "name": (ip.to_string()),
            "labels": {"ipaddress.kubernetes.io/ip-family": family, "ipaddress.kubernetes.io/managed-by": MANAGED_BY}
        },
        "spec": {"parentRef": {
            "group": "", "resource": "services", "namespace": (parent.namespace()), "name": (parent.name())
        }}
    });
    match registry.own_create(&resource(), &object).await {
        Ok(_) => Ok(()),
        Err(error) if error.is(Reason::AlreadyExists) => Err(Refusal::Allocated),
        Err(error) => Err(Refusal::Other(error)),
    }
}

pub fn resource() -> GroupResource {
    GroupResource::new("networking.k8s.io", "ipaddresses")
}

/// On dry run nobody looks for a free one: the range's own address stands for it.
fn show_any(pools: &[Pool]) -> Result<String, Refusal> {
    let pool = pools.first().filter(|p| p.ready).ok_or(Refusal::NotReady)?;
    Ok(address(pool.network, pool.v6).to_string())
}

async fn take_any(registry: &Registry, service: &Value, pools: &[Pool]) -> Result<String, Refusal> {
    let cached = registry.catalog.get(&resource()).map(|definition| definition.cache.clone());
    let since = Instant::now();
    for pool in pools.iter().filter(|p| p.ready && p.first <= p.last) {
        let middle = pool.first + pool.named_len;
        for (first, last) in [(middle, pool.last), (pool.first, middle.wrapping_sub(1))] {
            let Some(len) = last.checked_sub(first).map(|n| n + 1) else { continue };
            let start = u128::from(registry.draw(u64::try_from(len).unwrap_or(u64::MAX)));
            for step in 0..len {
                let ip = address(first + (start + step) % len, pool.v6);
                if cached.as_ref().is_some_and(|cache| cache.get(&ip.to_string()).is_some()) {
                    continue;
                }
                match created(registry, service, ip, pool, Wish::Any).await {
                    Ok(()) => {
                        registry.tally.address_took(&pool.cidr, since.elapsed());
                        return Ok(ip.to_string());
                    }
                    // Somebody else was faster, here or on another server.
                    Err(Refusal::Allocated) => {}
                    Err(other) => {
                        registry.tally.address(&pool.cidr, Wish::Any, false);
                        return Err(other);
                    }
                }
            }
        }
        registry.tally.address(&pool.cidr, Wish::Any, false);
    }
    Err(Refusal::Full)
}

/// A range, how many of its addresses are given out, and how many are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub cidr: String,
    pub used: u64,
    pub free: u64,
}

/// How much of each range is given out. Upstream: `Allocator.Used`, `Allocator.Free`.
pub fn usage(registry: &Registry) -> Vec<Usage> {
    let given: Vec<(bool, u128)> = registry.cluster.look.list(&resource(), "").iter().filter_map(given_out).collect();
    let pools = [false, true].into_iter().flat_map(|v6| pools(registry, v6));
    pools.map(|pool| pool.usage(&given)).collect()
}

/// The family and number of an address that this server, or one of upstream's, has given out.
fn given_out(address: &Value) -> Option<(bool, u128)> {
    let meta = meta::of(address);
    let ip = names::parse_ip(meta.name())?;
    let family = if ip.is_ipv6() { IPV6 } else { IPV4 };
    let is_ours = meta.label("ipaddress.kubernetes.io/managed-by") == Some(MANAGED_BY)
        && meta.label("ipaddress.kubernetes.io/ip-family") == Some(family);
    is_ours.then(|| (ip.is_ipv6(), number(ip)))
}

/// The ranges of a family, the server's own first.
fn pools(registry: &Registry, v6: bool) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::new();
    for range in registry.cluster.look.list(&GroupResource::new("networking.k8s.io", "servicecidrs"), "") {
        let ready = is_ready(&range) && !meta::of(&range).is_terminating();
        for cidr in range.at("spec").list("cidrs").iter().filter_map(Value::as_str) {
            let Some(mut pool) = Pool::new(cidr).filter(|p| p.v6 == v6) else { continue };
            match pools.iter_mut().find(|p| p.cidr == pool.cidr) {
                Some(known) => known.ready |= ready,
                None => {
                    pool.ready = ready;
                    pools.push(pool);
                }
            }
        }
    }
    pools.sort_by_key(|p| !registry.config.service_ranges.contains(&p.cidr));
    pools
}

/// Without a condition it counts as ready: the controller that sets it may not run. Upstream: `isReady`.
fn is_ready(range: &Value) -> bool {
    let conditions = range.at("status").list("conditions");
    conditions.iter().find(|c| c.str("type") == "Ready").is_none_or(|c| c.str("status") == "True")
}

// === impl Pool ===

impl Pool {
    fn new(cidr: &str) -> Option<Pool> {
        let parsed = names::parse_cidr(cidr)?;
        let (network, length) = (parsed.network(), parsed.prefix_length());
        let v6 = network.is_ipv6();
        if v6 && length < PREFIX_LEN_MIN_V6 {
            return None;
        }
        let host_bits = u32::from(if v6 { 128 } else { 32 } - length);
        let len = 1u128 << host_bits;
        let network = number(network);
        // Neither the network's address nor, of IPv4, the broadcast's.
        let last = network + (len - 1) - u128::from(!v6);
        Some(Pool { cidr: cidr.into(), network, first: network + 1, last, named_len: named_len(len), ready: false, v6 })
    }

    /// More than Go's `int` can hold are never left.
    fn usage(&self, given: &[(bool, u128)]) -> Usage {
        let mine = given.iter().filter(|(v6, number)| *v6 == self.v6 && (self.network..=self.last).contains(number));
        let used = mine.count() as u64;
        let size = self.last.checked_sub(self.first).map_or(0, |more| more.saturating_add(1));
        let size = u64::try_from(size).unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs());
        Usage { cidr: self.cidr.clone(), used, free: size.saturating_sub(used) }
    }
}

/// How much of a range is left to those who name an address. Upstream: `calculateRangeOffset`.
fn named_len(len: u128) -> u128 {
    const MIN: u128 = 16;
    const MAX: u128 = 256;
    const STEP: u128 = 16;
    if len <= MIN { 0 } else { (len / STEP).clamp(MIN, MAX) }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(number: u128, v6: bool) -> IpAddr {
    match (v6, u32::try_from(number)) {
        (false, Ok(v4)) => IpAddr::V4(v4.into()),
        _ => IpAddr::V6(number.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_leaves_out_what_is_no_host() {
        let pool = Pool::new("10.96.0.0/16").expect("a CIDR");
        assert_eq!(address(pool.first, false).to_string(), "10.96.0.1");
        assert_eq!(address(pool.last, false).to_string(), "10.96.255.254");
        assert_eq!(pool.named_len, 256);
        let small = Pool::new("10.0.0.0/28").expect("a CIDR");
        assert_eq!((small.last - small.first + 1, small.named_len), (14, 0));
        let v6 = Pool::new("fd00::/112").expect("a CIDR");
        assert_eq!(address(v6.first, true).to_string(), "fd00::1");
        assert_eq!(address(v6.last, true).to_string(), "fd00::ffff");
        assert!(Pool::new("fd00::/48").is_none());
        let single = Pool::new("10.0.0.7/32").expect("a CIDR");
        assert!(single.first > single.last);
    }

    #[test]
    fn what_is_left_of_a_pool_is_counted_as_upstream_counts_it() {
        let given: Vec<(bool, u128)> =
            [(10 << 24) + 1, (10 << 24) + 14, (10 << 24) + 200].into_iter().map(|n| (false, n)).collect();
        let usage = |cidr: &str| {
            let Usage { used, free, .. } = Pool::new(cidr).expect("a CIDR").usage(&given);
            (used, free)
        };
        assert_eq!(usage("10.0.0.0/24"), (3, 251));
        assert_eq!(usage("10.0.0.0/28"), (2, 12));
        assert_eq!(usage("10.0.0.7/32"), (0, 0));
        assert_eq!(usage("::/112"), (0, 65_535), "the addresses of one family are none of the other");
        assert_eq!(usage("fd00::/64"), (0, i64::MAX.unsigned_abs()));
        assert_eq!(usage("ffff:ffff:ffff:ffff::/64"), (0, i64::MAX.unsigned_abs()));
    }
}
