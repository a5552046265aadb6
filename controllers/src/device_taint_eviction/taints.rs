//! Which taints a pod's devices have that its claims do not tolerate, and when it goes for them.
//!
//! Upstream: podEvictionTime, claimEvictionTime, allEvictingDeviceTaints, resourceclaim.ToleratesTaint.

use std::{collections::BTreeSet, sync::Arc};

use api::{EcoString, Value};
use jiff::{SignedDuration, Timestamp};

use super::{RULES, SLICES};
use crate::{
    driver::world::World,
    pods,
    resource_claims::{CLAIMS, claims, is_for, is_reserved_for, name_of},
};

/// A pod goes then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub at: Timestamp,
    /// The rules among the reasons, by uid.
    pub rules: BTreeSet<EcoString>,
}

pub(super) fn evicts(taint: &Value) -> bool {
    taint.str("effect") == "NoExecute"
}

pub(super) fn evicting_rules(world: &World<'_>) -> Vec<Arc<Value>> {
    world.mirror(RULES).all().into_iter().filter(|r| evicts(r.at("spec").at("taint"))).collect()
}

/// Devices that a claim has.
pub(super) fn devices(claim: &Value) -> &[Value] {
    claim.at_path(&["status", "allocation", "devices"]).list("results")
}

/// When a pod goes, if it does.
pub(super) fn verdict(world: &World<'_>, pod: &Value, rules: &[Arc<Value>]) -> Option<Verdict> {
    if pods::node(pod).is_empty() {
        return None;
    }
    let namespace = api::meta::of(pod).namespace();
    let used = claims(pod).iter().filter_map(|pod_claim| {
        let claim = world.get(CLAIMS, namespace, name_of(pod, pod_claim).ok()??)?;
        (is_for(pod, pod_claim, &claim) && is_reserved_for(&claim, pod)).then_some(claim)
    });
    let all: Vec<Verdict> = used.filter_map(|claim| of_claim(world, &claim, rules)).collect();
    all.into_iter().reduce(|a, b| Verdict { at: a.at.min(b.at), rules: a.rules.into_iter().chain(b.rules).collect() })
}

fn of_claim(world: &World<'_>, claim: &Value, rules: &[Arc<Value>]) -> Option<Verdict> {
    let mut verdict: Option<Verdict> = None;
    for device in devices(claim) {
        let mut add = |taint: &Value, rule: Option<&Value>| {
            let Some(at) = until(taint, device.list("tolerations")) else { return };
            let verdict = verdict.get_or_insert(Verdict { at, rules: BTreeSet::new() });
            verdict.at = verdict.at.min(at);
            verdict.rules.extend(rule.map(|r| EcoString::from(api::meta::of(r).uid())));
        };
        published(world, device).iter().filter(|t| evicts(t)).for_each(|taint| add(taint, None));
        for rule in rules.iter().filter(|r| selects(r, device.str("driver"), device.str("pool"), device.str("device")))
        {
            add(rule.at("spec").at("taint"), Some(rule));
        }
    }
    verdict
}

/// Until when a taint is borne; nothing when it is borne for ever.
fn until(taint: &Value, tolerations: &[Value]) -> Option<Timestamp> {
    let since = api::time::parse(taint.str("timeAdded"))?;
    let mut least: Option<i64> = None;
    for toleration in tolerations.iter().filter(|t| evicts(t) && tolerates(t, taint)) {
        let seconds = toleration.opt_int("tolerationSeconds")?.max(0);
        least = Some(least.map_or(seconds, |known| known.min(seconds)));
    }
    since.checked_add(SignedDuration::from_secs(least.unwrap_or(0))).ok()
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let any_key = toleration.str("key").is_empty();
    let fits = any_key || toleration.str("key") == taint.str("key");
    fits && match toleration.str("operator") {
        "" | "Equal" => toleration.str("value") == taint.str("value"),
        "Exists" => true,
        _ => false,
    }
}

/// The slices of a pool that are of its newest generation.
pub(super) fn newest(world: &World<'_>, driver: &str, pool: &str) -> Vec<Arc<Value>> {
    let of_pool = |slice: &Arc<Value>| {
        let spec = slice.at("spec");
        spec.str("driver") == driver && spec.at("pool").str("name") == pool
    };
    let generation = |slice: &Arc<Value>| slice.at("spec").at("pool").int("generation");
    let all: Vec<Arc<Value>> = world.mirror(SLICES).all().into_iter().filter(of_pool).collect();
    let newest = all.iter().map(generation).max();
    all.into_iter().filter(|s| Some(generation(s)) == newest).collect()
}

/// The taints that a device's driver says it has.
fn published(world: &World<'_>, device: &Value) -> Vec<Value> {
    let slices = newest(world, device.str("driver"), device.str("pool"));
    let devices = slices.iter().flat_map(|s| s.at("spec").list("devices"));
    let found = devices.into_iter().find(|d| d.str("name") == device.str("device"));
    found.map(|d| d.list("taints").to_vec()).unwrap_or_default()
}

/// Upstream: ruleMatchesDevice.
pub(super) fn selects(rule: &Value, driver: &str, pool: &str, device: &str) -> bool {
    let selector = rule.at("spec").at("deviceSelector");
    let fits = |member: &str, name: &str| selector.opt_str(member).is_none_or(|wanted| wanted == name);
    !selector.is_null() && fits("driver", driver) && fits("pool", pool) && fits("device", device)
}
