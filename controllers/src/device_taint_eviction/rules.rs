//! What a rule says of the pods that go by it. Upstream: maybeUpdateRuleStatus.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api::{Value, value};

use super::{SLICES, taints};
use crate::{
    conditions,
    driver::world::World,
    pods::{self, PODS},
    resource_claims::CLAIMS,
};

/// A status does not change more often. Upstream: ruleStatusPeriod.
pub(super) const PERIOD: Duration = Duration::from_secs(10);
const CONDITION: &str = "EvictionInProgress";

/// What becomes of a rule's status.
pub(super) enum Told {
    Same,
    /// It was written just now.
    Later(Duration),
    News(Value),
}

/// `gone` pods have gone by the rule.
pub(super) fn status(world: &World<'_>, rule: &Arc<Value>, gone: u64) -> Told {
    let meta = api::meta::of(rule);
    let known = conditions::find(rule.at("status"), CONDITION);
    if let Some(known) = known.filter(|k| k.int("observedGeneration") == meta.generation()) {
        let since = api::time::parse(known.str("lastTransitionTime")).map(|at| world.now.duration_since(at));
        let since = since.map(|s| s.unsigned_abs()).filter(|s| *s < PERIOD);
        if let Some(since) = since {
            return Told::Later(PERIOD - since);
        }
    }
    let (status, reason, mut message) = match rule.at("spec").at("taint").str("effect") {
        "NoExecute" => in_progress(world, rule, gone),
        "None" => ("False", "NoEffect", simulated(world, rule)),
        _ => ("False", "OtherEffect", "Eviction only happens for the NoExecute effect.".to_owned()),
    };
    if gone > 0 {
        let space = if message.is_empty() { "" } else { " " };
        message =
            format!("{message}{space}{} evicted since starting the controller.", count(gone as usize, "pod", "pods"));
    }
    let same = known.is_some_and(|k| {
        (k.str("status"), k.str("reason"), k.str("message")) == (status, reason, message.as_str())
            && k.int("observedGeneration") == meta.generation()
    });
    if same {
        return Told::Same;
    }
    let mut condition = value!({
        "type": CONDITION, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": api::time::seconds(world.now)
    });
    conditions::int(&mut condition, "observedGeneration", meta.generation());
    let mut new = Value::clone(rule);
    conditions::put(new.entry("status"), condition);
    Told::News(new)
}

fn in_progress(world: &World<'_>, rule: &Arc<Value>, gone: u64) -> (&'static str, &'static str, String) {
    let (pods, namespaces) = pending(world, rule, &taints::evicting_rules(world));
    if pods == 0 {
        return ("False", if gone > 0 { "Completed" } else { "NotStarted" }, String::new());
    }
    let message = format!(
        "{} to be evicted in {}.",
        count(pods, "pod needs", "pods need"),
        count(namespaces, "namespace", "different namespaces")
    );
    ("True", "PodsPendingEviction", message)
}

/// What would happen if the rule had an effect.
fn simulated(world: &World<'_>, rule: &Arc<Value>) -> String {
    let mut acting = Value::clone(rule);
    acting.set_path(&["spec", "taint", "effect"], "NoExecute");
    let (pods, namespaces) = pending(world, rule, &[Arc::new(acting)]);
    let slices = world.mirror(SLICES).all();
    let published: usize = slices.iter().map(|slice| selected(world, rule, slice)).sum();
    let claims = world.mirror(CLAIMS).all();
    let devices = claims.iter().flat_map(|c| taints::devices(c));
    let allocated = devices.filter(|d| taints::selects(rule, d.str("driver"), d.str("pool"), d.str("device"))).count();
    format!(
        "{} selected. {} selected. {} be evicted in {} if the effect was NoExecute. This information will not be updated \
         again. Recreate the DeviceTaintRule to trigger an update.",
        count(published, "published device", "published devices"),
        count(allocated, "allocated device", "allocated devices"),
        count(pods, "pod would", "pods would"),
        count(namespaces, "namespace", "different namespaces")
    )
}

/// Devices of a slice that a rule selects; none of an old generation.
fn selected(world: &World<'_>, rule: &Value, slice: &Arc<Value>) -> usize {
    let spec = slice.at("spec");
    let (driver, pool) = (spec.str("driver"), spec.at("pool").str("name"));
    let name = api::meta::of(slice).name();
    if !taints::newest(world, driver, pool).iter().any(|s| api::meta::of(s).name() == name) {
        return 0;
    }
    spec.list("devices").iter().filter(|d| taints::selects(rule, driver, pool, d.str("name"))).count()
}

/// Pods that are to go by a rule, and in how many namespaces.
fn pending(world: &World<'_>, rule: &Value, rules: &[Arc<Value>]) -> (usize, usize) {
    let uid = api::meta::of(rule).uid();
    let all = world.mirror(PODS).all();
    let going = all
        .iter()
        .filter(|p| !pods::is_terminating(p))
        .filter(|pod| taints::verdict(world, pod, rules).is_some_and(|v| v.rules.contains(uid)));
    let namespaces: Vec<&str> = going.map(|p| api::meta::of(p).namespace()).collect();
    (namespaces.len(), namespaces.iter().collect::<BTreeSet<_>>().len())
}

fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}
