//! Ranges for service addresses are ready as soon as they are there, and stay while addresses come from them.
//!
//! Upstream: pkg/controller/servicecidrs. An address keeps a range from going unless another range has it too.

use std::{net::IpAddr, sync::Arc};

use api::{Value, value};
use client::{Change, mirror::Key};
use jiff::SignedDuration;

use crate::{
    conditions,
    driver::{
        Spec, Wake, Work,
        plan::{Action, Plan},
        world::World,
    },
};

const CIDRS: &str = "networking.k8s.io/v1/servicecidrs";
const ADDRESSES: &str = "networking.k8s.io/v1/ipaddresses";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// An address that is being taken just now is seen by then. Upstream: deletionGracePeriod.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

pub const SPEC: Spec = Spec {
    name: "service-cidr-controller",
    alias: "servicecidr",
    acts_for: "service-cidrs-controller",
    tells_as: "service-cidrs-controller",
    wakes_on: &[Wake::By(CIDRS, all), Wake::By(ADDRESSES, of_address)],
    workers: 5,
    work: Work::Plan(plan),
};

/// Ranges lie within each other: a change of one concerns the others.
fn all(world: &World<'_>, change: &Change) -> Vec<Key> {
    let mut keys: Vec<Key> = world.mirror(CIDRS).all().iter().map(|cidr| Key::of(cidr)).collect();
    keys.push(Key::of(change.object()));
    keys.dedup();
    keys
}

fn of_address(world: &World<'_>, change: &Change) -> Vec<Key> {
    let Ok(address) = api::meta::of(change.object()).name().parse::<IpAddr>() else { return Vec::new() };
    let cidrs = world.mirror(CIDRS).all();
    cidrs.iter().filter(|cidr| has(cidr, address)).map(|cidr| Key::of(cidr)).collect()
}

/// Whether an address is in one of the ranges of an object.
fn has(cidr: &Value, address: IpAddr) -> bool {
    let ranges = cidr.at("spec").list("cidrs").iter().filter_map(Value::as_str);
    ranges.filter_map(|range| range.split_once('/')).any(|(base, bits)| {
        let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
        match (base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let shift = 32u32.saturating_sub(bits);
                u64::from(u32::from(base)) >> shift == u64::from(u32::from(address)) >> shift
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let shift = 128u32.saturating_sub(bits);
                shift >= 128 || u128::from(base) >> shift == u128::from(address) >> shift
            }
            _ => false,
        }
    })
}

fn plan(world: &World<'_>) -> Plan {
    let Some(cidr) = world.itself(CIDRS) else { return Plan::nothing("it is gone") };
    let meta = api::meta::of(&cidr);
    let protected = meta.finalizers().any(|f| f == FINALIZER);
    let now = api::time::seconds(world.now);
    if !meta.is_terminating() {
        if !protected {
            return Plan::of(vec![with_finalizer(&cidr, true)], "it is not protected");
        }
        let condition = conditions::new("Ready", "True", &now, "", "Kubernetes Service CIDR is ready");
        return say(&cidr, condition, "it is ready");
    }
    if !protected {
        return Plan::nothing("it goes away");
    }
    if is_needed(world, &cidr) {
        let message =
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
        return say(&cidr, conditions::new("Ready", "False", &now, "Terminating", message), "it is still in use");
    }
    let until = api::time::parse(meta.deletion_timestamp()).map(|at| at + GRACE);
    if let Some(until) = until.filter(|at| *at > world.now) {
        return Plan { again_at: Some(until), ..Plan::nothing("addresses may still be on their way") };
    }
    Plan::of(vec![with_finalizer(&cidr, false)], "nobody uses it any more")
}

fn is_needed(world: &World<'_>, cidr: &Arc<Value>) -> bool {
    let name = api::meta::of(cidr).name();
    let others = world.mirror(CIDRS).all();
    let others: Vec<&Arc<Value>> =
        others.iter().filter(|o| api::meta::of(o).name() != name && !api::meta::of(o).is_terminating()).collect();
    let addresses = world.mirror(ADDRESSES).all();
    let addresses = addresses.iter().filter_map(|a| api::meta::of(a).name().parse::<IpAddr>().ok());
    addresses.filter(|a| has(cidr, *a)).any(|a| !others.iter().any(|o| has(o, a)))
}

fn with_finalizer(cidr: &Value, protected: bool) -> Action {
    let kept = api::meta::of(cidr).finalizers().filter(|f| *f != FINALIZER);
    let mut all: Vec<Value> = kept.map(Value::from).collect();
    if protected {
        all.push(FINALIZER.into());
    }
    let mut new = cidr.clone();
    new.set_path(&["metadata", "finalizers"], Value::array(all));
    Action::update(CIDRS, new)
}

fn say(cidr: &Arc<Value>, mut condition: Value, because: &'static str) -> Plan {
    let known = conditions::find(cidr.at("status"), "Ready");
    let same = known.is_some_and(|k| ["status", "reason", "message"].iter().all(|m| k.str(m) == condition.str(m)));
    if same {
        return Plan::nothing(because);
    }
    condition.default("reason", "");
    let patch = value!({"status": {"conditions": [condition]}});
    Plan::of(vec![Action::patch_status(CIDRS, cidr.clone(), patch)], because)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/service_cidrs.yaml"));
    }
}
