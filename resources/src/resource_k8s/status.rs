//! What was allocated for a claim, and who uses it. Upstream: validation.go validateResourceClaimStatusUpdate.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{
    claim::{Requests, configuration},
    device::binding_conditions,
    lists::{self, driver_name, label, pool_name, uid},
    taint::toleration,
};
use crate::{checks, pod};

const RESERVED_FOR_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const CONFIG_MAX: usize = 64;
const CONDITIONS_MAX: usize = 8;
const DATA_LEN_MAX: usize = 10 * 1024;

/// A device, and which share of it.
fn device_key(of: &Value) -> String {
    let share = of.opt_str("shareID").map(|share| format!("/{share}")).unwrap_or_default();
    format!("{}/{}/{}{share}", of.str("driver"), of.str("pool"), of.str("device"))
}

pub fn validate(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    let (status, was, at) = (new.at("status"), old.at("status"), Path::new("status"));
    let requests = Requests::of(new.at("spec").at("devices"));
    let reserved_at = at.child("reservedFor");
    let key = |consumer: &Value| consumer.str("uid").to_string();
    lists::set(status.list("reservedFor"), RESERVED_FOR_MAX, &reserved_at, &mut errs, key, |consumer, at, errs| {
        for member in ["resource", "name", "uid"] {
            if consumer.str(member).is_empty() {
                errs.required(&at.child(member), "");
            }
        }
    });
    let results = status.at("allocation").at("devices").list("results");
    let allocated: Vec<String> = results.iter().map(device_key).collect();
    lists::set(status.list("devices"), usize::MAX, &at.child("devices"), &mut errs, device_key, |device, at, errs| {
        validate_device(device, &allocated, at, errs);
    });
    reserved(status, was, api::meta::of(new).is_terminating(), &reserved_at, &mut errs);
    let at = at.child("allocation");
    if was.has("allocation") && status.has("allocation") {
        checks::immutable(status.at("allocation"), was.at("allocation"), &at, &mut errs);
    } else if status.has("allocation") {
        validate_allocation(status.at("allocation"), &requests, &at, &mut errs);
    }
    errs
}

/// Only what is allocated can be used, and nobody new comes while the claim goes.
fn reserved(status: &Value, was: &Value, deleted: bool, at: &Path, errs: &mut Errors) {
    let (users, before) = (status.list("reservedFor"), was.list("reservedFor"));
    if !users.is_empty() && !status.has("allocation") {
        errs.forbidden(at, "may not be specified when `allocated` is not set");
    } else if deleted && !users.iter().all(|user| before.contains(user)) {
        let text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errs.forbidden(at, text);
    }
}

/// Upstream: `validateAllocationResult`.
fn validate_allocation(allocation: &Value, requests: &Requests<'_>, at: &Path, errs: &mut Errors) {
    let (devices, devices_at) = (allocation.at("devices"), at.child("devices"));
    lists::slice(devices.list("results"), RESULTS_MAX, &devices_at.child("results"), errs, |result, at, errs| {
        validate_result(result, requests, at, errs);
    });
    lists::slice(devices.list("config"), CONFIG_MAX, &devices_at.child("config"), errs, |config, at, errs| {
        match config.str("source") {
            "" => errs.required(&at.child("source"), ""),
            source => checks::one_of(errs, &at.child("source"), source, &["FromClaim", "FromClass"]),
        }
        requests.references(config, at, errs);
        configuration(config, false, at, errs);
    });
    if allocation.has("nodeSelector") {
        pod::affinity::node_selector(allocation.at("nodeSelector"), false, &at.child("nodeSelector"), errs);
    }
}

fn validate_result(result: &Value, requests: &Requests<'_>, at: &Path, errs: &mut Errors) {
    requests.reference(result.str("request"), &at.child("request"), errs);
    driver_name(result.str("driver"), &at.child("driver"), errs);
    pool_name(result.str("pool"), &at.child("pool"), errs);
    label(result.str("device"), &at.child("device"), errs);
    binding_conditions(result, at, errs);
    for (i, one) in result.list("tolerations").iter().enumerate() {
        toleration(one, &at.child("tolerations").index(i), errs);
    }
    if let Some(share) = result.opt_str("shareID") {
        uid(share, &at.child("shareID"), errs);
    }
    skipped_operations(result.at("skipNodeOperations"), &at.child("skipNodeOperations"), errs);
}

/// Upstream: `validateSkipNodeOperations`.
pub fn skipped_operations(operations: &Value, at: &Path, errs: &mut Errors) {
    let has = |name: &str| operations.items().iter().any(|o| o.as_str() == Some(name));
    if has("NodePrepareResources") && !has("NodeUnprepareResources") && !has("*") {
        let text = "NodePrepareResources cannot be skipped unless NodeUnprepareResources is also skipped";
        errs.invalid(at, operations, text);
    }
}

/// Upstream: `validateDeviceStatus`.
fn validate_device(device: &Value, allocated: &[String], at: &Path, errs: &mut Errors) {
    driver_name(device.str("driver"), &at.child("driver"), errs);
    pool_name(device.str("pool"), &at.child("pool"), errs);
    label(device.str("device"), &at.child("device"), errs);
    if let Some(share) = device.opt_str("shareID") {
        uid(share, &at.child("shareID"), errs);
    }
    if !allocated.contains(&device_key(device)) {
        let text = |member: &str| Value::from(device.str(member));
        let shown = api::value!({
            "Driver": (text("driver")), "Pool": (text("pool")), "Device": (text("device")), "ShareID": (text("shareID"))
        });
        errs.invalid(at, shown, "must be an allocated device in the claim");
    }
    let (conditions, conditions_at) = (device.list("conditions"), at.child("conditions"));
    if conditions.len() > CONDITIONS_MAX {
        errs.too_many(&conditions_at, conditions.len(), CONDITIONS_MAX);
    }
    checks::conditions(conditions, &conditions_at, errs);
    if device.has("data") {
        lists::raw(device.at("data"), false, DATA_LEN_MAX, &at.child("data"), errs);
    }
    let (network, at) = (device.at("networkData"), at.child("networkData"));
    for (member, max) in [("interfaceName", 256), ("hardwareAddress", 128)] {
        if network.str(member).len() > max {
            errs.too_long(&at.child(member), max as i64);
        }
    }
    lists::set(network.list("ips"), 16, &at.child("ips"), errs, lists::text_of, |address, at, errs| {
        errs.extend(names::valid_interface_address(at, &lists::text_of(address)));
    });
}
