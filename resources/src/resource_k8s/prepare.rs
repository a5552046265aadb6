//! What is dropped or written before a claim or a slice is judged: alpha features that are not in use, dates of taints.
//!
//! Upstream: pkg/api/resourceclaimspec, pkg/registry/resource/{resourceclaim,resourceslice}/strategy.go.

use api::Value;
use jiff::Timestamp;

use super::taint;
use crate::{
    checks,
    row::Context,
    strategy::{drop_status, keep_spec_and_metadata, keep_status},
};

const LIST_VALUES: [&str; 4] = ["bools", "ints", "strings", "versions"];
const RESULTS: &[&str] = &["status", "allocation", "devices", "results"];

fn items_mut<'a>(of: &'a mut Value, path: &[&str]) -> &'a mut [Value] {
    of.path_mut(path).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

pub fn new_claim(new: &mut Value, context: &Context<'_>) {
    drop_status(new, context);
    drop_in_claim(new.entry("spec"), Value::NULL);
}

pub fn changed_claim(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_status(new, old, context);
    drop_in_claim(new.entry("spec"), old.at("spec"));
}

/// Derived attributes, unless the old spec has some anywhere.
pub fn drop_in_claim(new: &mut Value, old: &Value) {
    let uses = |request: &Value| request.has("derivedAttributes");
    let requests = old.at("devices").list("requests");
    if requests.iter().any(|r| uses(r.at("exactly")) || r.list("firstAvailable").iter().any(uses)) {
        return;
    }
    for request in items_mut(new, &["devices", "requests"]) {
        request.remove_path(&["exactly", "derivedAttributes"]);
        for sub in items_mut(request, &["firstAvailable"]) {
            sub.remove("derivedAttributes");
        }
    }
}

/// What drivers said of devices goes with the devices.
pub fn claim_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_spec_and_metadata(new, old, context);
    let skipping = |r: &Value| !r.list("skipNodeOperations").is_empty();
    if !old.at_path(RESULTS).items().iter().any(skipping) {
        items_mut(new, RESULTS).iter_mut().for_each(|r| {
            r.remove("skipNodeOperations");
        });
    }
    let same = |a: &Value, b: &Value| ["driver", "pool", "device", "shareID"].iter().all(|m| a.at(m) == b.at(m));
    let is = new.at_path(RESULTS).items().to_vec();
    let gone: Vec<&Value> =
        old.at_path(RESULTS).items().iter().filter(|was| !is.iter().any(|is| same(is, was))).collect();
    let Some(status) = new.get_mut("status").filter(|status| status.has("devices")) else { return };
    let devices = status.entry("devices").make_array();
    devices.retain(|device| !gone.iter().any(|gone| same(device, gone)));
    if devices.is_empty() {
        status.remove("devices");
    }
}

pub fn new_slice(new: &mut Value) {
    drop_in_slice(new, Value::NULL);
}

pub fn changed_slice(new: &mut Value, old: &Value) {
    // What is dropped next still counts as a change.
    if !checks::same(new.at("spec"), old.at("spec")) {
        new.set_path(&["metadata", "generation"], api::meta::of(old).generation() + 1);
    }
    drop_in_slice(new, old);
}

/// A change's generation is that of `changed_slice`.
pub fn slice_generation(new: &mut Value, old: Option<&Value>) {
    if old.is_none() {
        new.set_path(&["metadata", "generation"], 1);
    }
}

pub fn date_taints(slice: &mut Value, now: Timestamp) {
    for device in items_mut(slice, &["spec", "devices"]) {
        items_mut(device, &["taints"]).iter_mut().for_each(|taint| taint::date(taint, now));
    }
}

fn drop_in_slice(new: &mut Value, old: &Value) {
    for member in ["partitionTypeAttribute", "skipNodeOperations"] {
        if old.at("spec").at(member).is_empty() {
            new.remove_path(&["spec", member]);
        }
    }
    let devices = old.at("spec").list("devices");
    let in_groups = |d: &Value| d.list("consumesCounters").iter().any(|c| !c.list("compatibilityGroups").is_empty());
    let has_lists = |d: &Value| d.at("attributes").members().any(|(_, a)| LIST_VALUES.iter().any(|m| a.has(m)));
    let groups = devices.iter().any(in_groups);
    let resources = devices.iter().any(|d| !d.at("nodeAllocatableResources").is_empty());
    let lists = devices.iter().any(has_lists);
    for device in items_mut(new, &["spec", "devices"]) {
        if !groups {
            for consumption in items_mut(device, &["consumesCounters"]) {
                consumption.remove("compatibilityGroups");
            }
        }
        if !resources {
            device.remove("nodeAllocatableResources");
        }
        if !lists && let Some(attributes) = device.get_mut("attributes").and_then(Value::as_object_mut) {
            attributes.retain(|_, attribute| {
                for member in LIST_VALUES {
                    attribute.remove(member);
                }
                true
            });
        }
    }
}
