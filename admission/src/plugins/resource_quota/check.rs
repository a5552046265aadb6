//! Whether a request fits its quotas, and what they have used if it does.
//!
//! Upstream: apiserver/pkg/admission/plugin/resourcequota/controller.go CheckRequest.

use api::{GroupResource, Status, Value, meta};

use super::{Charge, Quota, measure::Scope};
use crate::{Cluster, Operation, amounts::Amounts};

/// A resource that may be used only where a quota covers it. Upstream: `resourcequotaapi.LimitedResource`.
pub struct Limited {
    resource: GroupResource,
    match_contains: Vec<String>,
    match_scopes: Vec<Scope>,
}

impl Limited {
    pub(super) fn read(limited: &Value) -> Limited {
        Limited {
            resource: GroupResource::new(limited.str("apiGroup"), limited.str("resource")),
            match_contains: limited.list("matchContains").iter().filter_map(|m| m.as_str().map(Into::into)).collect(),
            match_scopes: limited.list("matchScopes").iter().map(Scope::read).collect(),
        }
    }

    /// Whether using this resource needs a quota. Upstream: `limitedByDefault`.
    fn covers(&self, name: &str) -> bool {
        self.match_contains.iter().any(|part| name.contains(part))
    }
}

/// The quotas as they are when the request goes through.
pub(super) fn check(
    charge: &Charge,
    quotas: &[Quota],
    limited: &[Limited],
    cluster: &Cluster,
) -> Result<Vec<Quota>, Status> {
    let measure = &charge.measure;
    let usage = measure.usage(&charge.object, cluster);
    let interesting = interesting(charge, quotas, cluster)?;
    let negative: Vec<&str> = usage.iter().filter(|(_, amount)| amount.sign() < 0).map(|(name, _)| name).collect();
    if !negative.is_empty() {
        return Err(charge.forbid(format!("quota usage is negative for resource(s): {}", negative.join(","))));
    }
    let deltas = deltas(charge, quotas, &interesting, &usage, cluster)?;
    let uncovered_delta = match interesting.is_empty() {
        true => change(charge, &usage, cluster),
        false => Amounts::default(),
    };
    if deltas.iter().all(Amounts::is_empty) && uncovered_delta.is_empty() {
        return Ok(quotas.to_vec());
    }
    check_limited(charge, quotas, &interesting, &usage, limited, cluster)?;
    let mut new = quotas.to_vec();
    for (index, delta) in interesting.into_iter().zip(deltas) {
        if !delta.is_empty() {
            add(charge, &mut new[index], &delta)?;
        }
    }
    Ok(new)
}

/// The quotas that are about this object. One whose use is not known yet, or that wants what the object lacks, refuses.
fn interesting(charge: &Charge, quotas: &[Quota], cluster: &Cluster) -> Result<Vec<usize>, Status> {
    let mut found = Vec::new();
    for (index, quota) in quotas.iter().enumerate() {
        let matched = matching_scopes(charge, &scopes_of(quota));
        matched.map_err(|e| charge.fail(format!("error matching scopes of quota {}, err: {e}", quota.name())))?;
        if !matches(charge, quota, &charge.object, cluster)? {
            continue;
        }
        let restricted = charge.measure.matching(quota.hard.names(), cluster);
        if let Err(why) = charge.measure.constraints(&restricted, &charge.object) {
            return Err(charge.forbid(format!("failed quota: {}: {why}", quota.name())));
        }
        if !restricted.iter().all(|name| quota.used.has(name)) {
            let names = restricted.join(",");
            return Err(charge.forbid(format!("status unknown for quota: {}, resources: {names}", quota.name())));
        }
        found.push(index);
    }
    Ok(found)
}

/// What each interesting quota has to give, without what is nothing.
fn deltas(
    charge: &Charge,
    quotas: &[Quota],
    interesting: &[usize],
    usage: &Amounts,
    cluster: &Cluster,
) -> Result<Vec<Amounts>, Status> {
    if charge.operation == Operation::Update && charge.old.is_null() {
        let why = "unable to get previous usage since prior version of object was not found";
        return Err(charge.forbid(why.into()));
    }
    let updates = charge.operation == Operation::Update && !meta::of(&charge.old).resource_version().is_empty();
    let mut deltas = Vec::with_capacity(interesting.len());
    for index in interesting {
        // A quota that the object only now falls under has all of it to give.
        let counted = updates && matches(charge, &quotas[*index], &charge.old, cluster)?;
        deltas.push(if counted { change(charge, usage, cluster) } else { usage.clone().without_zeros() });
    }
    Ok(deltas)
}

/// What is used more than before.
fn change(charge: &Charge, usage: &Amounts, cluster: &Cluster) -> Amounts {
    let updates = charge.operation == Operation::Update && !meta::of(&charge.old).resource_version().is_empty();
    match updates {
        true => usage.minus(&charge.measure.usage(&charge.old, cluster)).without_zeros(),
        false => usage.clone().without_zeros(),
    }
}

/// What is limited by configuration needs a quota that covers it.
fn check_limited(
    charge: &Charge,
    quotas: &[Quota],
    interesting: &[usize],
    usage: &Amounts,
    limited: &[Limited],
    cluster: &Cluster,
) -> Result<(), Status> {
    let own = || limited.iter().filter(|l| l.resource == charge.resource);
    let covered: Vec<String> =
        interesting.iter().flat_map(|i| charge.measure.matching(quotas[*i].hard.names(), cluster)).collect();
    let names: Vec<&str> = usage
        .iter()
        .filter(|(name, amount)| amount.sign() > 0 && own().any(|l| l.covers(name)))
        .map(|(name, _)| name)
        .filter(|name| !covered.iter().any(|c| c == name))
        .collect();
    if !names.is_empty() {
        return Err(charge.forbid(format!("insufficient quota to consume: {}", names.join(","))));
    }
    let mut wanted = Vec::new();
    for limit in limited {
        wanted.extend(matching_scopes(charge, &limit.match_scopes).map_err(|e| charge.fail(e))?);
    }
    let mut restricted = Vec::new();
    for quota in quotas {
        restricted.extend(matching_scopes(charge, &scopes_of(quota)).map_err(|e| charge.fail(e))?);
    }
    let missing: Vec<String> =
        wanted.iter().filter(|w| !restricted.iter().any(|r| r.name == w.name)).map(ToString::to_string).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(charge.fail(format!("insufficient quota to match these scopes: [{}]", missing.join(" ")))),
    }
}

fn add(charge: &Charge, quota: &mut Quota, delta: &Amounts) -> Result<(), Status> {
    let requested = delta.only(|name| quota.hard.has(name));
    let used = quota.used.plus(&requested);
    let over = |name: &str| match (used.get(name), quota.hard.get(name)) {
        (Some(used), Some(hard)) => requested.has(name) && used > hard,
        _ => false,
    };
    let exceeded = requested.only(over);
    if charge.subresource != "status" && !exceeded.is_empty() {
        return Err(charge.forbid(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            quota.name(),
            exceeded.shown(),
            quota.used.only(over).shown(),
            quota.hard.only(over).shown()
        )));
    }
    quota.used = used;
    Ok(())
}

/// Upstream: `generic.Matches`.
fn matches(charge: &Charge, quota: &Quota, object: &Value, cluster: &Cluster) -> Result<bool, Status> {
    let mut all = !charge.measure.matching(quota.hard.names(), cluster).is_empty();
    for scope in scopes_of(quota) {
        all &= charge.measure.matches_scope(&scope, object).map_err(|e| charge.fail(e))?;
    }
    Ok(all)
}

fn matching_scopes(charge: &Charge, scopes: &[Scope]) -> Result<Vec<Scope>, String> {
    let mut matched = Vec::new();
    for scope in scopes {
        let matches = charge.measure.matches_scope(scope, &charge.object);
        if matches.map_err(|e| format!("error on matching scope {scope}: {e}"))? {
            matched.push(scope.clone());
        }
    }
    Ok(matched)
}

fn scopes_of(quota: &Quota) -> Vec<Scope> {
    let spec = quota.object.at("spec");
    let plain = spec.list("scopes").iter().filter_map(Value::as_str).map(Scope::exists);
    plain.chain(spec.at("scopeSelector").list("matchExpressions").iter().map(Scope::read)).collect()
}
