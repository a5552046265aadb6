//! Users and devices in the statuses of containers.
//!
//! Upstream: `validateContainerStatusUsers`, `validateContainerStatusAllocatedResourcesStatus`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::{checks::one_of, pod::resources::amount};

const MESSAGE_LEN_MAX: usize = 512;
const CLAIM: &str = "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty";
const REQUEST: &str = "must match one of the container's resource requests";

pub fn validate(pod: &Value, at: &Path, errs: &mut Errors) {
    let (spec, status) = (pod.at("spec"), pod.at("status"));
    let os = if spec.has("os") { spec.at("os").str("name") } else { "linux" };
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for (i, container) in status.list(list).iter().enumerate() {
            user(container.at("user"), os, &at.child(list).index(i).child("user").child("linux"), errs);
        }
    }
    for (list, containers) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        for (i, container) in status.list(list).iter().enumerate() {
            let at = at.child(list).index(i).child("allocatedResourcesStatus");
            let spec = spec.list(containers).iter().find(|c| c.str("name") == container.str("name"));
            for (j, allocated) in container.list("allocatedResourcesStatus").iter().enumerate() {
                devices(allocated, spec, status.at("extendedResourceClaimStatus"), &at.index(j), errs);
            }
        }
    }
    for (i, container) in status.list("ephemeralContainerStatuses").iter().enumerate() {
        if !container.list("allocatedResourcesStatus").is_empty() {
            let at = at.child("ephemeralContainerStatuses").index(i).child("allocatedResourcesStatus");
            errs.forbidden(&at, "must not be specified in container status");
        }
    }
}

fn user(user: &Value, os: &str, at: &Path, errs: &mut Errors) {
    let linux = user.at("linux");
    match os {
        _ if linux.is_null() => {}
        "windows" => errs.forbidden(at, "cannot be set for a windows pod"),
        "linux" => linux_user(linux, at, errs),
        _ => {}
    }
}

fn linux_user(user: &Value, at: &Path, errs: &mut Errors) {
    let (uid, gid, max) = (user.int("uid"), user.int("gid"), i64::from(u32::MAX));
    for text in names::in_range(uid, 0, max) {
        errs.invalid(&at.child("uid"), uid, text);
    }
    for text in names::group_id(gid) {
        errs.invalid(&at.child("gid"), gid, text);
    }
    for (i, group) in user.list("supplementalGroups").iter().filter_map(Value::as_int).enumerate() {
        for text in names::group_id(group) {
            errs.invalid(&at.child("supplementalGroups").index(i), group, text);
        }
    }
}

/// `container` is the spec of the container, which may be missing.
fn devices(allocated: &Value, container: Option<&Value>, extended: &Value, at: &Path, errs: &mut Errors) {
    let name = allocated.str("name");
    if let Some(container) = container {
        let requested = container.at_path(&["resources", "requests"]).has(name);
        match name.strip_prefix("claim:") {
            Some(claim) if !claims(claim, container) && !claims_extended(claim, container, extended) => {
                errs.invalid(&at.child("name"), name, CLAIM);
            }
            None if !requested => errs.invalid(&at.child("name"), name, REQUEST),
            _ => {}
        }
    }
    let resources = allocated.list("resources");
    for (i, resource) in resources.iter().enumerate() {
        let (at, id) = (at.child("resources").index(i), resource.str("resourceID"));
        one_of(errs, &at.child("health"), resource.str("health"), &["Healthy", "Unhealthy", "Unknown"]);
        match resource.opt_str("message") {
            Some("") => errs.required(&at.child("message"), "must be non-empty if specified"),
            Some(text) if text.len() > MESSAGE_LEN_MAX => errs.too_long(&at.child("message"), MESSAGE_LEN_MAX as i64),
            _ => {}
        }
        if resources[..i].iter().any(|r| r.str("resourceID") == id) {
            errs.duplicate(&at.child("resourceID"), id);
        }
    }
}

fn claims(name: &str, container: &Value) -> bool {
    container.at("resources").list("claims").iter().any(|claim| match claim.str("request") {
        "" => claim.str("name") == name,
        request => name.split_once('/') == Some((claim.str("name"), request)),
    })
}

/// Upstream: `matchesExtendedResourceClaimStatus`.
fn claims_extended(name: &str, container: &Value, extended: &Value) -> bool {
    let Some((claim, request)) =
        name.split_once('/').filter(|(claim, request)| !claim.is_empty() && !request.is_empty())
    else {
        return false;
    };
    let requests = container.at_path(&["resources", "requests"]);
    claim == extended.str("resourceClaimName")
        && extended.list("requestMappings").iter().any(|mapping| {
            mapping.str("containerName") == container.str("name")
                && mapping.str("requestName") == request
                && !amount(requests.at(mapping.str("resourceName"))).is_zero()
        })
}
