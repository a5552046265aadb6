//! This server's own documents of what there is, with what other servers told put in at its place.
//!
//! Upstream: kube-aggregator/pkg/apiserver/handler_apis.go, handler_discovery.go.

use api::{Value, value};

use super::{Aggregate, Remotes};

/// The groups of `/apis`, each as `{name, versions, preferredVersion}`.
pub fn groups(own: Vec<Value>, remotes: &Remotes) -> Vec<Value> {
    merged(
        own,
        remotes,
        |group| group.str("name").to_owned(),
        |name, found, versions| {
            let own: Vec<Value> = found.map_or_else(Vec::new, |group| group.list("versions").to_vec());
            let version = |v: &String| value!({"groupVersion": (format!("{name}/{v}")), "version": (v.as_str())});
            let versions = ordered(own, versions, version);
            let preferred = versions.first().cloned();
            value!({"name": name, "versions": versions, "preferredVersion": preferred})
        },
    )
}

/// The items of the aggregated document of `/apis`.
pub fn list(own: Vec<Value>, remotes: &Remotes, aggregate: &Aggregate) -> Vec<Value> {
    merged(
        own,
        remotes,
        |group| api::meta::of(group).name().to_owned(),
        |name, found, versions| {
            let mut group = found.unwrap_or_else(|| {
                let metadata = value!({"name": name, "creationTimestamp": null});
                value!({"metadata": metadata, "versions": []})
            });
            let own = group.at("versions").items().to_vec();
            let version = |v: &String| {
                let told = remotes.get(name, v).and_then(|remote| aggregate.told(&remote.name));
                let mut version = match &told {
                    Some(told) if !told.version.is_null() => told.version.clone(),
                    _ => value!({"version": (v.as_str())}),
                };
                let fresh = told.is_some_and(|told| told.is_fresh);
                version.set("freshness", if fresh { "Current" } else { "Stale" });
                version
            };
            group.set("versions", ordered(own, versions, version));
            group
        },
    )
}

/// Puts the groups of other servers among the own ones. `make` makes a group that has to have at least the remote versions
/// it is given out of the own one.
fn merged(
    own: Vec<Value>,
    remotes: &Remotes,
    name_of: impl Fn(&Value) -> String,
    make: impl Fn(&str, Option<Value>, &[(String, bool)]) -> Value,
) -> Vec<Value> {
    let mut groups = own;
    for (place, (name, versions)) in remotes.order.iter().enumerate() {
        let versions: Vec<(String, bool)> =
            versions.iter().map(|v| (v.clone(), remotes.get(name, v).is_some())).collect();
        if name.is_empty() || !versions.iter().any(|(_, remote)| *remote) {
            continue;
        }
        if let Some(at) = groups.iter().position(|group| name_of(group) == *name) {
            groups[at] = make(name, Some(groups[at].clone()), &versions);
            continue;
        }
        let later = &remotes.order[place + 1..];
        let behind = |group: &Value| later.iter().any(|(other, _)| *other == name_of(group));
        let at = groups.iter().position(behind).unwrap_or(groups.len());
        groups.insert(at, make(name, None, &versions));
    }
    groups
}

/// Versions in the order of their preference: the own ones as they are, the others as `make` makes them.
fn ordered(own: Vec<Value>, versions: &[(String, bool)], make: impl Fn(&String) -> Value) -> Vec<Value> {
    let mut rest = own;
    let mut all = Vec::new();
    for (version, is_remote) in versions {
        let found = rest.iter().position(|v| v.str("version") == version).map(|at| rest.remove(at));
        match (is_remote, found) {
            (true, _) => all.push(make(version)),
            (false, Some(own)) => all.push(own),
            (false, None) => {}
        }
    }
    all.extend(rest);
    all
}
