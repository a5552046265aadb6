//! The spec of a claim for storage, which stands in claims and in templates of claims.
//!
//! Upstream: `ValidatePersistentVolumeClaimSpec`, `ValidatePersistentVolumeClaimTemplate`, `ValidateCSIDriverName`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{name, require, resources};
use crate::checks::{self, messages, one_of};

pub const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];

/// What an update lets pass because the old claim had it.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub invalid_selector_values: bool,
    pub invalid_data_source_groups: bool,
}

/// Upstream: `ValidatePersistentVolumeClaimTemplate`.
pub fn template(template: &Value, at: &Path, errs: &mut Errors) {
    template_metadata(template.at("metadata"), &at.child("metadata"), errs);
    spec(template.at("spec"), &at.child("spec"), errs);
}

/// Only labels and annotations may be set. Upstream: `ValidateTemplateObjectMeta`.
pub fn template_metadata(metadata: &Value, at: &Path, errs: &mut Errors) {
    super::annotations::general(metadata.at("annotations"), &at.child("annotations"), errs);
    checks::labels(metadata.at("labels"), &at.child("labels"), errs);
    for member in METADATA.into_iter().filter(|member| is_set(metadata, member)) {
        let shown = if member == "uid" { "uID" } else { member };
        errs.forbidden(&at.child(shown), "cannot be set");
    }
}

/// No time at all is a time, of which Go has a pointer, and an empty list is one. Upstream: `validateFieldAllowList`.
fn is_set(metadata: &Value, member: &str) -> bool {
    match metadata.at(member) {
        Value::Null => false,
        Value::Array(_) => true,
        value => member == "deletionGracePeriodSeconds" || !value.is_empty(),
    }
}

/// What else metadata could have, in Go's order.
const METADATA: [&str; 13] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// The spec of a new claim.
pub fn spec(spec: &Value, at: &Path, errs: &mut Errors) {
    spec_with(spec, Options::default(), at, errs);
}

/// Upstream: `ValidatePersistentVolumeClaimSpec`.
pub fn spec_with(spec: &Value, options: Options, at: &Path, errs: &mut Errors) {
    if spec.list("accessModes").is_empty() {
        errs.required(&at.child("accessModes"), "at least 1 access mode is required");
    }
    super::selector(spec.at("selector"), options.invalid_selector_values, &at.child("selector"), errs);
    access_modes(spec.list("accessModes"), &at.child("accessModes"), errs);
    storage(spec.at_path(&["resources", "requests"]), &at.child("resources").key("storage"), errs);
    class_name(spec, "storageClassName", at, errs);
    if let Some(mode) = spec.opt_str("volumeMode") {
        one_of(errs, &at.child("volumeMode"), mode, &VOLUME_MODES);
    }
    for member in ["dataSource", "dataSourceRef"].into_iter().filter(|m| spec.has(m)) {
        data_source(spec.at(member), options, &at.child(member), errs);
    }
    data_sources_agree(spec, at, errs);
    class_name(spec, "volumeAttributesClassName", at, errs);
}

/// Known ones, and the exclusive one alone.
pub fn access_modes(modes: &[Value], at: &Path, errs: &mut Errors) {
    let modes: Vec<&str> = modes.iter().filter_map(Value::as_str).collect();
    for mode in &modes {
        one_of(errs, at, mode, &ACCESS_MODES);
    }
    let others = modes.iter().any(|m| *m != "ReadWriteOncePod" && ACCESS_MODES.contains(m));
    if modes.contains(&"ReadWriteOncePod") && others {
        errs.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn storage(requests: &Value, at: &Path, errs: &mut Errors) {
    let Some(value) = requests.get("storage").map(resources::amount) else { return errs.required(at, "") };
    if resources::positive(&value, at, errs) {
        resources::quantity("storage", &value, at, errs);
    }
}

fn class_name(spec: &Value, member: &str, at: &Path, errs: &mut Errors) {
    let text = spec.str(member);
    if !text.is_empty() {
        name(errs, &at.child(member), text, names::dns1123_subdomain);
    }
}

/// Upstream: `validateDataSource`, `validateDataSourceRef`.
fn data_source(source: &Value, options: Options, at: &Path, errs: &mut Errors) {
    require(errs, &at.child("name"), source.str("name"));
    require(errs, &at.child("kind"), source.str("kind"));
    let (group, kind) = (source.str("apiGroup"), source.str("kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errs.invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !group.is_empty() && !options.invalid_data_source_groups {
        name(errs, &at.child("apiGroup"), group, names::dns1123_subdomain);
    }
    let namespace = source.str("namespace");
    if !namespace.is_empty() {
        name(errs, &at.child("namespace"), namespace, names::dns1123_label);
    }
}

/// Upstream shows a path where the value should be, which prints as an empty struct.
fn data_sources_agree(spec: &Value, at: &Path, errs: &mut Errors) {
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    if source.is_null() || reference.is_null() {
        return;
    }
    let same = ["apiGroup", "kind", "name"].iter().all(|member| source.at(member) == reference.at(member));
    if !reference.str("namespace").is_empty() {
        errs.invalid_raw(at, "{}", "may not be specified when dataSourceRef.namespace is specified");
    } else if !same {
        errs.invalid_raw(at, "{}", "must match dataSourceRef");
    }
}

/// Upstream: `ValidateCSIDriverName`.
pub fn csi_driver_name(text: &str, at: &Path, errs: &mut Errors) {
    if !require(errs, at, text) {
        return;
    }
    if text.len() > 63 {
        errs.too_long(at, 63);
    }
    messages(errs, at, text, names::dns1123_subdomain(&text.to_lowercase()));
}
