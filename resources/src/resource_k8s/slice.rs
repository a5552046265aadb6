//! ResourceSlices: the devices of one driver in one pool. Upstream: validation.go validateResourceSliceSpec.

use api::{
    Value,
    field::{Errors, Path, quote},
};

use super::{
    device,
    lists::{self, driver_name, fully_qualified_name, label, name_of, pool_name},
    status::skipped_operations,
};
use crate::{checks, names, pod};

const DEVICES_MAX: usize = 128;
const ADVANCED_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
const WHERE: &str = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

/// Upstream: `WarningsOnCreate`.
pub fn warn(slice: &Value) -> Vec<String> {
    let driver = slice.at("spec").str("driver");
    if driver == driver.to_lowercase() {
        return Vec::new();
    }
    let shown = quote(driver);
    vec![format!("spec.driver: driver names should be lowercase; {shown} contains uppercase characters")]
}

pub fn validate(slice: &Value, old: Option<&Value>) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (slice.at("spec"), Path::new("spec"));
    driver_name(spec.str("driver"), &at.child("driver"), &mut errs);
    pool(spec.at("pool"), &at.child("pool"), &mut errs);
    if let Some(was) = old.map(|old| old.at("spec")) {
        let name = |spec: &Value| spec.at("pool").at("name").clone();
        checks::immutable(&name(spec), &name(was), &at.child("pool").child("name"), &mut errs);
        checks::immutable(spec.at("driver"), was.at("driver"), &at.child("driver"), &mut errs);
        checks::immutable(spec.at("nodeName"), was.at("nodeName"), &at.child("nodeName"), &mut errs);
    }
    placed(spec, &at, &mut errs);
    if spec.has("sharedCounters") && spec.has("devices") {
        errs.invalid(&at, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    devices(spec, old.map(|old| old.at("spec")), &at, &mut errs);
    let counters_at = at.child("sharedCounters");
    lists::set(spec.list("sharedCounters"), COUNTER_SETS_MAX, &counters_at, &mut errs, name_of, |set, at, errs| {
        counters(set, "name", COUNTERS_MAX, at, errs);
    });
    if let Some(attribute) = spec.opt_str("partitionTypeAttribute") {
        partition_type(spec, attribute, &at, &mut errs);
    }
    skipped_operations(spec.at("skipNodeOperations"), &at.child("skipNodeOperations"), &mut errs);
    errs
}

fn pool(pool: &Value, at: &Path, errs: &mut Errors) {
    pool_name(pool.str("name"), &at.child("name"), errs);
    let (slices, generation) = (pool.int("resourceSliceCount"), pool.int("generation"));
    if slices <= 0 {
        errs.invalid(&at.child("resourceSliceCount"), slices, "must be greater than zero");
    }
    if generation < 0 {
        errs.invalid(&at.child("generation"), generation, "must be greater than or equal to zero");
    }
}

/// Where the devices can be used, said in one way.
fn placed(spec: &Value, at: &Path, errs: &mut Errors) {
    let mut said = Vec::new();
    match spec.opt_str("nodeName") {
        None => {}
        Some("") => errs.invalid(&at.child("nodeName"), "", "must be either unset or set to a non-empty string"),
        Some(name) => {
            said.push("`nodeName`");
            checks::messages(errs, &at.child("nodeName"), name, names::dns_subdomain(name, false));
        }
    }
    let (selector, selector_at) = (spec.at("nodeSelector"), at.child("nodeSelector"));
    if !selector.is_null() {
        said.push("`nodeSelector`");
        pod::affinity::node_selector(selector, false, &selector_at, errs);
        let terms = selector.at("nodeSelectorTerms");
        if terms.items().len() != 1 {
            errs.invalid(&selector_at.child("nodeSelectorTerms"), terms, "must have exactly one node selector term");
        }
    }
    for (member, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")] {
        match spec.opt_bool(member) {
            None => {}
            Some(true) => said.push(shown),
            Some(false) => errs.invalid(&at.child(member), false, "must be either unset or set to true"),
        }
    }
    match said.len() {
        0 => errs.required(at, WHERE),
        1 => {}
        _ => errs.invalid(at, format!("{{{}}}", said.join(", ")), format!("{WHERE}, but multiple fields are set")),
    }
}

fn devices(spec: &Value, was: Option<&Value>, at: &Path, errs: &mut Errors) {
    let list = spec.list("devices");
    let advanced = |d: &Value| {
        !d.list("taints").is_empty() || !d.list("consumesCounters").is_empty() || device::has_list_attributes(d)
    };
    let max = if list.iter().any(advanced) { ADVANCED_DEVICES_MAX } else { DEVICES_MAX };
    let each_has_place = spec.bool("perDeviceNodeSelection");
    lists::set(list, max, &at.child("devices"), errs, name_of, |one, at, errs| {
        let old = was.and_then(|was| was.list("devices").iter().find(|d| d.str("name") == one.str("name")));
        device::validate(one, old, each_has_place, at, errs);
    });
}

/// A set of counters, or what a device takes of one. Upstream: `validateCounterSet`, `validateDeviceCounterConsumption`.
pub fn counters(set: &Value, name: &str, max: usize, at: &Path, errs: &mut Errors) {
    match set.str(name) {
        "" => errs.required(&at.child(name), ""),
        text => label(text, &at.child(name), errs),
    }
    let (counters, at) = (set.at("counters"), at.child("counters"));
    let len = counters.members().count();
    if len == 0 {
        errs.required(&at, "");
    } else if len > max {
        errs.too_many(&at, len, max);
    } else {
        counters.members().for_each(|(key, _)| label(key, &at, errs));
    }
}

/// Upstream: `validatePartitionTypeAttribute`.
fn partition_type(spec: &Value, name: &str, at: &Path, errs: &mut Errors) {
    let consumes = |d: &Value| !d.list("consumesCounters").is_empty();
    if !spec.list("devices").iter().any(consumes) {
        let text = "may only be set on a slice which declares devices that consume counters";
        return errs.invalid(&at.child("partitionTypeAttribute"), name, text);
    }
    let mut wrong = Errors::new();
    fully_qualified_name(name, &Path::root(), &mut wrong);
    if !wrong.is_empty() {
        return;
    }
    // In the driver's own domain it may stand without the domain.
    let bare = name.strip_prefix(&format!("{}/", spec.str("driver"))).unwrap_or(name);
    for (i, device) in spec.list("devices").iter().enumerate().filter(|(_, d)| consumes(d)) {
        let at = at.child("devices").index(i).child("attributes").key(name);
        let attributes = device.at("attributes");
        match attributes.get(name).or_else(|| attributes.get(bare)) {
            None => {
                let text =
                    "device consumes counters and `partitionTypeAttribute` names this attribute, so it must be set";
                errs.required(&at, text);
            }
            Some(attribute) if !attribute.has("string") => {
                errs.invalid(
                    &at,
                    attribute,
                    "must be a string value because `partitionTypeAttribute` names this attribute",
                );
            }
            Some(_) => {}
        }
    }
}
