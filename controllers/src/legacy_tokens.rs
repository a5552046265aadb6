//! Tokens that the cluster made of old for service accounts go when nobody has used them for long: first they are
//! marked invalid, and as long after that removed.
//!
//! Upstream: pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go.

use std::sync::Arc;

use api::{Value, value};
use client::{Change, mirror::Key};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::{
    driver::{
        Spec, Wake, Work,
        plan::{Action, Excuse, Plan},
        world::World,
    },
    pods::PODS,
    secrets::{self, ACCOUNT_NAME, ACCOUNT_UID, ACCOUNTS, SECRETS},
};

const MAPS: &str = "v1/configmaps";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// Upstream: DefaultCleanerSyncInterval.
const EVERY: SignedDuration = SignedDuration::from_hours(24);

pub const SPEC: Spec = Spec {
    name: "legacy-serviceaccount-token-cleaner-controller",
    alias: "legacy-service-account-token-cleaner",
    acts_for: "legacy-service-account-token-cleaner",
    tells_as: "legacy-service-account-token-cleaner",
    wakes_on: &[Wake::By(SECRETS, ours), Wake::Read(ACCOUNTS), Wake::Read(PODS), Wake::Read(MAPS)],
    workers: 1,
    work: Work::Plan(plan),
};

fn ours(_: &World<'_>, change: &Change) -> Vec<Key> {
    let is_ours = change.object().str("type") == secrets::TOKEN;
    if is_ours { vec![Key::of(change.object())] } else { Vec::new() }
}

fn plan(world: &World<'_>) -> Plan {
    let Some(secret) = world.itself(SECRETS) else { return Plan::nothing("it is gone") };
    let later = |because: &'static str| Plan { again_at: Some(world.now + EVERY), ..Plan::nothing(because) };
    let unused = SignedDuration::try_from(world.settings.legacy_token_unused).unwrap_or(SignedDuration::MAX);
    let Ok(since) = world.now.checked_sub(unused) else { return later("no time is so long ago") };
    match tracked_since(world) {
        Some(tracked) if tracked <= since => {}
        _ => return later("uses have not been noted for so long"),
    }
    let meta = api::meta::of(&secret);
    let is_old = api::time::parse(meta.creation_timestamp()).is_some_and(|at| at < since);
    if !is_old || meta.is_terminating() {
        return later("it is not old enough");
    }
    let since = day(since);
    match meta.label(LAST_USED).map(str::parse::<Date>) {
        Some(Err(_)) => return later("nobody can tell when it was used"),
        Some(Ok(used)) if used >= since => return later("it is in use"),
        _ => {}
    }
    if !is_made_by_cluster(world, &secret) {
        return later("it may be somebody's own");
    }
    let pods = world.mirror(PODS).in_namespace(meta.namespace());
    if pods.iter().any(|pod| api::pod_secrets::any(pod, |name| name == meta.name())) {
        return later("a pod names it");
    }
    match meta.label(INVALID_SINCE).unwrap_or_default().parse::<Date>() {
        Err(_) => {
            let patch = value!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": day(world.now).to_string()}}});
            let mark = Action::patch(SECRETS, secret.clone(), patch).excuse(&[Excuse::NotFound]);
            Plan { again_at: Some(world.now + EVERY), ..Plan::of(vec![mark], "nobody has used it for long") }
        }
        Ok(marked) if marked >= since => later("it has not been invalid for long"),
        Ok(_) => Plan::of(vec![Action::delete(SECRETS, secret)], "nobody has missed it"),
    }
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// The first whole day on which uses are noted. Upstream: latestPossibleTrackedSinceTime.
fn tracked_since(world: &World<'_>) -> Option<Timestamp> {
    let map = world.get(MAPS, "kube-system", "kube-apiserver-legacy-service-account-token-tracking")?;
    let day: Date = map.at("data").str("since").parse().ok()?;
    Some(day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Those have a place in their account's list.
fn is_made_by_cluster(world: &World<'_>, secret: &Arc<Value>) -> bool {
    let meta = api::meta::of(secret);
    let name = meta.annotation(ACCOUNT_NAME).unwrap_or_default();
    let uid = meta.annotation(ACCOUNT_UID).unwrap_or_default();
    let account = world.get(ACCOUNTS, meta.namespace(), name);
    account.is_some_and(|a| (uid.is_empty() || uid == api::meta::of(&a).uid()) && secrets::lists(&a, meta.name()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn cases() {
        crate::driver::cases::run(&super::SPEC, include_str!("../cases/legacy_tokens.yaml"));
    }
}
