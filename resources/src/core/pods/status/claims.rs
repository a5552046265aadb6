//! Claims for devices in a pod's status.
//!
//! Upstream: `validatePodResourceClaimStatuses`, `validatePodExtendedResourceClaimStatus`,
//! `validateNodeAllocatableResourceClaimStatus`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::{
    checks::messages,
    pod::resources::{amount, is_huge_pages},
};

pub fn validate(status: &Value, spec: &Value, at: &Path, errs: &mut Errors) {
    claims(status, spec, &at.child("resourceClaimStatuses"), errs);
    let extended = status.at("extendedResourceClaimStatus");
    if !extended.is_null() {
        self::extended(extended, spec, &at.child("extendedResourceClaimStatus"), errs);
    }
    let at = at.child("nodeAllocatableResourceClaimStatuses");
    for (i, claim) in status.list("nodeAllocatableResourceClaimStatuses").iter().enumerate() {
        node_allocatable(claim, status, spec, &at.index(i), errs);
    }
}

fn claims(status: &Value, spec: &Value, at: &Path, errs: &mut Errors) {
    let claims = status.list("resourceClaimStatuses");
    for (i, claim) in claims.iter().enumerate() {
        let (at, name) = (at.index(i), claim.str("name"));
        if !spec.list("resourceClaims").iter().any(|c| c.str("name") == name) {
            errs.invalid(&at.child("name"), name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if claims[..i].iter().any(|c| c.str("name") == name) {
            errs.duplicate(&at.child("name"), name);
        }
        if let Some(name) = claim.opt_str("resourceClaimName") {
            messages(errs, &at.child("resourceClaimName"), name, names::dns1123_subdomain(name));
        }
    }
}

fn extended(status: &Value, spec: &Value, at: &Path, errs: &mut Errors) {
    let mappings_at = at.child("requestMappings");
    let mappings = status.list("requestMappings");
    if mappings.is_empty() {
        errs.required(&mappings_at, "at least one request mapping is required");
    }
    for (i, mapping) in mappings.iter().enumerate() {
        let own = mappings_at.index(i);
        let member = |name: &str| mapping.str(name).to_string();
        let (container, resource, request) = (member("containerName"), member("resourceName"), member("requestName"));
        let containers = spec.list("initContainers").iter().chain(spec.list("containers"));
        match containers.rev().find(|c| c.str("name") == container) {
            None => {
                let detail = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errs.invalid(&own.child("containerName"), &container, detail);
            }
            Some(c) if !c.at_path(&["resources", "requests"]).has(&resource) => {
                let detail = "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests";
                errs.invalid(&own.child("resourceName"), &resource, detail);
            }
            Some(_) => {}
        }
        messages(errs, &at.child("requestName"), &request, names::dns1123_label(&request));
        if mappings[..i].contains(mapping) {
            for (member, value) in [("containerName", container), ("resourceName", resource), ("requestName", request)]
            {
                errs.duplicate(&own.child(member), value);
            }
        }
    }
    match status.str("resourceClaimName") {
        "" => errs.required(&at.child("resourceClaimName"), ""),
        name => messages(errs, &at.child("resourceClaimName"), name, names::dns1123_subdomain(name)),
    }
}

fn node_allocatable(claim: &Value, status: &Value, spec: &Value, at: &Path, errs: &mut Errors) {
    let name = claim.str("resourceClaimName");
    if name.is_empty() {
        return;
    }
    let mut known = spec.list("resourceClaims").iter().chain(status.list("resourceClaimStatuses"));
    if !known.any(|c| c.opt_str("resourceClaimName") == Some(name)) {
        errs.invalid(&at.child("resourceClaimName"), name, "no mapping found in pod reference");
    }
    for (i, item) in claim.list("mapping").iter().enumerate() {
        let at = at.child("mapping").index(i);
        allocatable_name(item, &at, errs);
        not_negative(item, "quantity", &at, errs);
    }
    for (i, item) in claim.list("overhead").iter().enumerate() {
        let at = at.child("overhead").index(i);
        allocatable_name(item, &at, errs);
        if !item.has("perPod") && !item.has("perContainer") {
            errs.invalid(&at, "", "at least one of perPod or perContainer must be set");
        }
        not_negative(item, "perPod", &at, errs);
        not_negative(item, "perContainer", &at, errs);
    }
}

fn allocatable_name(item: &Value, at: &Path, errs: &mut Errors) {
    let name = item.str("name");
    if !matches!(name, "cpu" | "memory") && !is_huge_pages(name) {
        errs.invalid(&at.child("name"), name, "must be a node allocatable resource name");
    }
}

fn not_negative(item: &Value, member: &str, at: &Path, errs: &mut Errors) {
    let value = amount(item.at(member));
    if value.sign() < 0 {
        errs.invalid(&at.child(member), value.to_string(), "must be non-negative");
    }
}
