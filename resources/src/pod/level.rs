//! Resources of a whole pod: sums over its containers, their defaults, and how they must fit.
//!
//! Upstream: component-helpers/resource/helpers.go, pkg/api/pod/util.go `DefaultPodLevelResources`,
//! `validatePodResources`.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
    quantity::Quantity,
};

use super::{
    Options, every_container, is_sidecar, is_windows,
    resources::{self, Amounts, amount, amounts, is_huge_pages, is_overcommittable, is_pod_level},
};

/// Whether a pod asks for anything as a whole. Upstream: `IsPodLevelResourcesSet`.
pub fn is_set(spec: &Value) -> bool {
    ["requests", "limits"].iter().any(|m| spec.at("resources").at(m).members().any(|(name, _)| is_pod_level(name)))
}

/// What the containers ask for together at the worst moment: all that run beside each other, or an init container with
/// the sidecars started before it. `member` is `requests` or `limits`. Upstream: `AggregateContainerRequests`,
/// `AggregateContainerLimits`.
pub fn aggregate(spec: &Value, member: &str) -> Amounts {
    let of = |container: &Value| amounts(container.at("resources").at(member));
    let mut total = Amounts::new();
    for container in spec.list("containers") {
        add_all(&mut total, &of(container));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in spec.list("initContainers") {
        let own = of(container);
        if is_sidecar(container) {
            add_all(&mut total, &own);
            add_all(&mut sidecars, &own);
            max_all(&mut starting, &sidecars);
        } else {
            let mut together = own;
            add_all(&mut together, &sidecars);
            max_all(&mut starting, &together);
        }
    }
    max_all(&mut total, &starting);
    total
}

fn add_all(list: &mut Amounts, more: &Amounts) {
    for (name, value) in more {
        match list.get_mut(name) {
            Some(sum) => *sum = sum.add(value),
            None => drop(list.insert(name.clone(), value.clone())),
        }
    }
}

fn max_all(list: &mut Amounts, more: &Amounts) {
    for (name, value) in more {
        if list.get(name).is_none_or(|old| value > old) {
            list.insert(name.clone(), value.clone());
        }
    }
}

// --- defaults

/// Fills in what a pod asks for as a whole from what its containers say. Upstream: `DefaultPodLevelResources`.
pub fn default(spec: &mut Value) {
    let own = spec.at("resources");
    if own.at("requests").is_empty() && own.at("limits").is_empty() {
        return;
    }
    default_huge_page_limits(spec);
    default_requests(spec);
    default_limits(spec);
}

fn default_huge_page_limits(spec: &mut Value) {
    for (name, value) in aggregate(spec, "limits") {
        let own = spec.at("resources");
        if is_huge_pages(&name) && own.at("requests").get(&name).is_none() && own.at("limits").get(&name).is_none() {
            set(spec, "limits", &name, &value);
        }
    }
}

fn default_requests(spec: &mut Value) {
    for (name, value) in aggregate(spec, "requests") {
        if is_pod_level(&name)
            && is_overcommittable(&name)
            && spec.at_path(&["resources", "requests"]).get(&name).is_none()
        {
            set(spec, "requests", &name, &value);
        }
    }
    for (name, value) in amounts(spec.at_path(&["resources", "limits"])) {
        if is_pod_level(&name) && spec.at_path(&["resources", "requests"]).get(&name).is_none() {
            set(spec, "requests", &name, &value);
        }
    }
}

/// The limit is the sum of the containers' where all have one, and never below the request.
fn default_limits(spec: &mut Value) {
    let limits = spec.at_path(&["resources", "limits"]);
    let mut missing = amounts(spec.at_path(&["resources", "requests"]));
    missing.retain(|name, _| is_pod_level(name) && limits.get(name).is_none());
    missing.retain(|name, _| every_container(spec).all(|c| c.at_path(&["resources", "limits"]).has(name)));
    if missing.is_empty() {
        return;
    }
    let sums = aggregate(spec, "limits");
    for (name, request) in missing {
        if let Some(sum) = sums.get(&name) {
            let limit = if request > *sum { &request } else { sum };
            set(spec, "limits", &name, limit);
        }
    }
}

fn set(spec: &mut Value, member: &str, name: &str, value: &Quantity) {
    spec.set_path(&["resources", member, name], value.to_string());
    if let Some(list) = spec.path_mut(&["resources", member]).and_then(Value::as_object_mut) {
        list.sort();
    }
}

// --- validation

/// Upstream: `validatePodResources`.
pub fn validate(spec: &Value, claims: &BTreeSet<&str>, at: &Path, options: &Options, errs: &mut Errors) {
    let own = spec.at("resources");
    if own.is_null() {
        return;
    }
    let at = at.child("resources");
    if is_windows(spec) {
        errs.forbidden(&at, "may not be set for a windows pod");
        return;
    }
    if own.has("claims") {
        errs.forbidden(&at.child("claims"), "claims may not be set for Resources at pod-level");
    }
    resources::requirements(own, resources::pod_level_name, claims, &at, options, errs);
    fits(spec, &at, errs);
}

/// Upstream: `validatePodResourceConsistency`.
fn fits(spec: &Value, at: &Path, errs: &mut Errors) {
    let own = spec.at("resources");
    for (name, sum) in aggregate(spec, "requests") {
        let Some(request) = own.at("requests").get(&name).map(amount) else { continue };
        if sum > request {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            errs.invalid(&at.child("requests").key(&name), request.to_string(), detail);
        }
    }
    for (name, sum) in aggregate(spec, "limits") {
        let Some(limit) = own.at("limits").get(&name).map(amount).filter(|_| is_huge_pages(&name)) else { continue };
        if sum > limit {
            let detail = format!("must be greater than or equal to aggregate container limits of {sum}");
            errs.invalid(&at.child("limits").key(&name), limit.to_string(), detail);
        }
    }
    for (i, container) in spec.list("containers").iter().enumerate() {
        for (name, limit) in amounts(container.at_path(&["resources", "limits"])) {
            let Some(whole) = own.at("limits").get(&name).map(amount) else { continue };
            if limit > whole {
                let at = at.child("containers").index(i).key(&name).child("limits");
                errs.invalid(&at, limit.to_string(), format!("must be less than or equal to pod limits of {whole}"));
            }
        }
    }
}
