//! One device of a slice. Upstream: validation.go validateDevice.

use api::{
    Value,
    field::{Errors, Path},
};

use super::{
    capacity,
    lists::{self, label},
    slice::counters,
    taint,
};
use crate::{checks, names, pod};

const ENTRIES_MAX: usize = 32;
const VALUES_MAX: usize = 48;
const VALUE_LEN_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const CONSUMPTIONS_MAX: usize = 2;
const COUNTERS_MAX: usize = 32;
const BINDING_MAX: usize = 4;
const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];

pub fn has_list_attributes(device: &Value) -> bool {
    device.at("attributes").members().any(|(_, a)| LISTS.iter().any(|list| a.has(list)))
}

/// What is as it was in `old` is not judged again where upstream does not.
pub fn validate(device: &Value, old: Option<&Value>, has_place: bool, at: &Path, errs: &mut Errors) {
    label(device.str("name"), &at.child("name"), errs);
    let (attributes, capacities) = (device.at("attributes"), device.at("capacity"));
    let entries = attributes.members().count() + capacities.members().count();
    if entries > ENTRIES_MAX {
        let text = format!("the total number of attributes and capacities must not exceed {ENTRIES_MAX}");
        errs.invalid(at, entries, text);
    }
    let values: usize = attributes.members().map(|(_, a)| values_of(a)).sum();
    if values > VALUES_MAX {
        errs.invalid(at, values, format!("the total number of attribute values must not exceed {VALUES_MAX}"));
    }
    lists::map(attributes, &at.child("attributes"), errs, validate_attribute);
    let changed = |member: &str| old.is_none_or(|old| !checks::same(old.at(member), device.at(member)));
    if changed("capacity") {
        let shared = device.bool("allowMultipleAllocations");
        lists::map(capacities, &at.child("capacity"), errs, |one, at, errs| capacity::validate(one, shared, at, errs));
    }
    if changed("taints") {
        lists::slice(device.list("taints"), TAINTS_MAX, &at.child("taints"), errs, |one, at, errs| {
            taint::validate(one, None, at, errs);
        });
    }
    let key = |consumption: &Value| consumption.str("counterSet").to_string();
    let consumed_at = at.child("consumesCounters");
    lists::set(device.list("consumesCounters"), CONSUMPTIONS_MAX, &consumed_at, errs, key, |one, at, errs| {
        counters(one, "counterSet", COUNTERS_MAX, at, errs);
    });
    placed(device, has_place, at, errs);
    binding_conditions(device, at, errs);
}

fn values_of(attribute: &Value) -> usize {
    let listed: usize = LISTS.iter().map(|list| attribute.list(list).len()).sum();
    listed.max(1)
}

/// Where this device can be used, when the slice leaves it to each.
fn placed(device: &Value, has_place: bool, at: &Path, errs: &mut Errors) {
    if !has_place {
        if ["nodeName", "nodeSelector", "allNodes"].iter().any(|member| device.has(member)) {
            let text = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true \
                        in the ResourceSlice spec";
            errs.invalid(at, Value::Null, text);
        }
        return;
    }
    let mut said = Vec::new();
    match device.opt_str("nodeName") {
        None => {}
        Some("") => errs.invalid(&at.child("nodeName"), "", "must not be empty"),
        Some(name) => {
            said.push("`nodeName`");
            checks::messages(errs, &at.child("nodeName"), name, names::dns_subdomain(name, false));
        }
    }
    if device.has("nodeSelector") {
        said.push("`nodeSelector`");
        pod::affinity::node_selector(device.at("nodeSelector"), false, &at.child("nodeSelector"), errs);
    }
    match device.opt_bool("allNodes") {
        None => {}
        Some(true) => said.push("`allNodes`"),
        Some(false) => errs.invalid(&at.child("allNodes"), false, "must be either unset or set to true"),
    }
    let text = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to \
                true in the ResourceSlice spec";
    match said.len() {
        0 => errs.required(at, text),
        1 => {}
        _ => errs.invalid(at, format!("{{{}}}", said.join(", ")), text),
    }
}

/// Upstream: `validateDeviceAttribute`: one value of one kind.
fn validate_attribute(attribute: &Value, at: &Path, errs: &mut Errors) {
    if let Some(text) = attribute.opt_str("string") {
        length(text, &at.child("string"), errs);
    }
    if let Some(text) = attribute.opt_str("version") {
        version(text, &at.child("version"), errs);
    }
    for list in LISTS.into_iter().filter(|list| attribute.has(list)) {
        let (values, at) = (attribute.at(list), at.child(list));
        if values.items().is_empty() {
            errs.invalid(&at, values, "must not be empty if specified");
        }
        for (i, value) in values.items().iter().enumerate() {
            match list {
                "strings" => length(&lists::text_of(value), &at.index(i), errs),
                "versions" => version(&lists::text_of(value), &at.index(i), errs),
                _ => {}
            }
        }
    }
    let kinds = ["bool", "int", "string", "version"].into_iter().chain(LISTS).filter(|m| attribute.has(m)).count();
    match kinds {
        0 => errs.invalid(at, "", "exactly one value must be specified"),
        1 => {}
        _ => errs.invalid(at, attribute, "exactly one value must be specified"),
    }
}

fn length(text: &str, at: &Path, errs: &mut Errors) {
    if text.len() > VALUE_LEN_MAX {
        errs.too_long(at, VALUE_LEN_MAX as i64);
    }
}

fn version(text: &str, at: &Path, errs: &mut Errors) {
    if !is_semantic_version(text) {
        errs.invalid(at, text, "must be a string compatible with semver.org spec 2.0.0");
    }
    length(text, at, errs);
}

/// `1.2.3`, perhaps `-alpha.1`, perhaps `+build.7`.
fn is_semantic_version(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, release) = rest.split_once('-').map_or((rest, None), |(core, release)| (core, Some(release)));
    let number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()) && (t == "0" || !t.starts_with('0'));
    let word = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let identifier = |t: &str| word(t) && (!t.bytes().all(|b| b.is_ascii_digit()) || number(t));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && release.is_none_or(|release| release.split('.').all(identifier))
        && build.is_none_or(|build| build.split('.').all(word))
}

/// Upstream: `validateDeviceBindingParameters`.
pub fn binding_conditions(of: &Value, at: &Path, errs: &mut Errors) {
    let (good, bad) = (of.at("bindingConditions"), of.at("bindingFailureConditions"));
    let (good_at, bad_at) = (at.child("bindingConditions"), at.child("bindingFailureConditions"));
    for (list, at) in [(good, &good_at), (bad, &bad_at)] {
        lists::slice(list.items(), BINDING_MAX, at, errs, |name, at, errs| {
            checks::label_name(&lists::text_of(name), at, errs);
        });
    }
    for (list, at) in [(good, &good_at), (bad, &bad_at)] {
        for (i, name) in list.items().iter().enumerate() {
            if list.items()[..i].contains(name) {
                errs.duplicate(&at.index(i), name);
            }
            if at == &bad_at && good.items().contains(name) {
                errs.invalid(&at.index(i), name, "bindingFailureConditions must not overlap with bindingConditions");
            }
        }
    }
    match (good.items().is_empty(), bad.items().is_empty()) {
        (true, false) => errs.invalid(&good_at, good, "bindingConditions are required to use bindingFailureConditions"),
        (false, true) => errs.invalid(&bad_at, bad, "bindingFailureConditions are required to use bindingConditions"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic() {
        for right in ["0.0.1", "1.2.3-alpha.1", "1.2.3+build.007", "1.2.3-x-y+z"] {
            assert!(is_semantic_version(right), "{right}");
        }
        for wrong in ["1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "v1.2.3"] {
            assert!(!is_semantic_version(wrong), "{wrong}");
        }
    }
}
