//! What may stand in `metadata`, and what of it may change.
//!
//! Upstream: apimachinery/pkg/api/validation/objectmeta.go.

#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path},
    gvk::GroupVersion,
    names,
};

use crate::checks;

/// All annotations together, keys and values.
pub const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// Upstream: `FieldManagerMaxLength`.
pub const FIELD_MANAGER_LEN_MAX: usize = 128;
/// Upstream: `MaxSubresourceNameLength`.
const SUBRESOURCE_LEN_MAX: usize = 256;

/// Groups whose kinds take finalizers without a domain only when they are standard ones. Upstream: those that call
/// `ValidateObjectMeta` of pkg/apis/core and not apimachinery's.
const STANDARD_FINALIZER_GROUPS: [&str; 15] = [
    "",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "lifecycle.k8s.io",
    "networking.k8s.io",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// The metadata of a new object, whose name has been generated. Upstream: `ValidateObjectMeta`.
pub fn validate(object: &Value, namespaced: bool, wrong_name: &dyn Fn(&str, bool) -> Vec<String>, at: &Path) -> Errors {
    let mut errs = validate_any(object, namespaced, wrong_name, at);
    errs.extend(standard_finalizers(object, at));
    errs
}

/// Of what [`validate`] finds, what the kind's own rule says about names: where the rest is said already.
pub fn validate_names(
    object: &Value,
    namespaced: bool,
    wrong_name: &dyn Fn(&str, bool) -> Vec<String>,
    at: &Path,
) -> Errors {
    let names = [at.child("name").to_string(), at.child("generateName").to_string()];
    let mut errs = validate(object, namespaced, wrong_name, at);
    errs.0.retain(|error| names.contains(&error.field));
    errs
}

/// As [`validate`], by what holds for all kinds. Upstream: apimachinery's `ValidateObjectMeta`.
pub fn validate_any(
    object: &Value,
    namespaced: bool,
    wrong_name: &dyn Fn(&str, bool) -> Vec<String>,
    at: &Path,
) -> Errors {
    let mut errs = Errors::new();
    let meta = object.at("metadata");
    let (generate_name, name) = (meta.str("generateName"), meta.str("name"));
    if !generate_name.is_empty() {
        checks::messages(&mut errs, &at.child("generateName"), generate_name, wrong_name(generate_name, true));
    }
    match name {
        "" => errs.required(&at.child("name"), "name or generateName is required"),
        _ => checks::messages(&mut errs, &at.child("name"), name, wrong_name(name, false)),
    }
    namespace(meta.str("namespace"), namespaced, &at.child("namespace"), &mut errs);
    checks::not_negative(&mut errs, &at.child("generation"), meta.int("generation"));
    checks::labels(meta.at("labels"), &at.child("labels"), &mut errs);
    annotations(meta.at("annotations"), &at.child("annotations"), &mut errs);
    owner_references(meta.list("ownerReferences"), &at.child("ownerReferences"), &mut errs);
    finalizers(meta.at("finalizers"), &at.child("finalizers"), &mut errs);
    managed_fields(meta.list("managedFields"), &at.child("managedFields"), &mut errs);
    errs
}

/// A change of metadata. Upstream: `ValidateObjectMetaUpdate`.
pub fn validate_update(new: &Value, old: &Value, at: &Path) -> Errors {
    let mut errs = Errors::new();
    let (meta, was) = (new.at("metadata"), old.at("metadata"));
    if was.has("deletionTimestamp") {
        no_new_finalizers(meta.list("finalizers"), was.list("finalizers"), &at.child("finalizers"), &mut errs);
    }
    if meta.str("resourceVersion").is_empty() {
        errs.invalid(&at.child("resourceVersion"), "", "must be specified for an update");
    }
    let generation = meta.int("generation");
    checks::not_negative(&mut errs, &at.child("generation"), generation);
    if generation < was.int("generation") {
        errs.invalid(&at.child("generation"), generation, "must not be decremented");
    }
    for member in ["name", "namespace", "uid"] {
        if meta.str(member) != was.str(member) {
            errs.invalid(&at.child(member), meta.str(member), checks::IMMUTABLE);
        }
    }
    for member in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        checks::immutable(meta.at(member), was.at(member), &at.child(member), &mut errs);
    }
    checks::labels(meta.at("labels"), &at.child("labels"), &mut errs);
    annotations(meta.at("annotations"), &at.child("annotations"), &mut errs);
    owner_references(meta.list("ownerReferences"), &at.child("ownerReferences"), &mut errs);
    managed_fields(meta.list("managedFields"), &at.child("managedFields"), &mut errs);
    errs
}

/// Upstream: `ValidateAnnotations`.
pub fn annotations(annotations: &Value, at: &Path, errs: &mut Errors) {
    let mut bytes = 0;
    for (key, value) in annotations.members() {
        checks::messages(errs, at, key, names::qualified_name(&key.to_lowercase()));
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errs.too_long(at, ANNOTATIONS_BYTES_MAX as i64);
    }
}

/// Upstream: `ValidateOwnerReferences`.
pub fn owner_references(owners: &[Value], at: &Path, errs: &mut Errors) {
    let mut controller: Option<String> = None;
    for (i, owner) in owners.iter().enumerate() {
        owner_reference(owner, &at.index(i), errs);
        if !owner.bool("controller") {
            continue;
        }
        let name = format!("{}/{}", owner.str("kind"), owner.str("name"));
        match &controller {
            None => controller = Some(name),
            Some(first) => {
                let found = format!("Found \"true\" in references for {first} and {name}");
                let detail = format!("Only one reference can have Controller set to true. {found}");
                errs.invalid(at, Value::array(owners.to_vec()), detail);
            }
        }
    }
}

/// Upstream: `ValidateFinalizers`.
pub fn finalizers(finalizers: &Value, at: &Path, errs: &mut Errors) {
    let named = |name: &str| finalizers.items().iter().any(|f| f.as_str() == Some(name));
    for finalizer in finalizers.items().iter().filter_map(Value::as_str) {
        finalizer_name(finalizer, at, errs);
    }
    if named("orphan") && named("foregroundDeletion") {
        errs.invalid(at, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

pub fn standard_finalizers(object: &Value, at: &Path) -> Errors {
    let mut errs = Errors::new();
    let gvk = api::meta::gvk(object);
    if gvk.kind != "Event" && STANDARD_FINALIZER_GROUPS.contains(&gvk.group.as_str()) {
        each_standard_finalizer(object, &at.child("finalizers"), &mut errs);
    }
    errs
}

pub fn each_standard_finalizer(object: &Value, at: &Path, errs: &mut Errors) {
    for (i, name) in api::meta::of(object).finalizers().enumerate() {
        standard_finalizer(name, &at.index(i), errs);
    }
}

/// Upstream: `validateKubeFinalizerName`.
pub fn standard_finalizer(name: &str, at: &Path, errs: &mut Errors) {
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        errs.invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

/// Upstream: apimachinery's `ValidateFinalizerName`.
pub fn finalizer_name(name: &str, at: &Path, errs: &mut Errors) {
    checks::messages(errs, at, name, names::qualified_name(name));
}

/// Upstream: `ValidateFieldManager`.
pub fn field_manager(name: &str, at: &Path, errs: &mut Errors) {
    if name.len() > FIELD_MANAGER_LEN_MAX {
        errs.too_long(at, FIELD_MANAGER_LEN_MAX as i64);
    }
    for (i, c) in name.char_indices().filter(|(_, c)| !is_print(*c)) {
        errs.invalid(at, name, format!("invalid character U+{:04X} (at position {i})", u32::from(c)));
    }
}

fn namespace(namespace: &str, namespaced: bool, at: &Path, errs: &mut Errors) {
    match (namespaced, namespace) {
        (true, "") => errs.required(at, ""),
        (true, _) => checks::messages(errs, at, namespace, names::dns1123_label(namespace)),
        (false, "") => {}
        (false, _) => errs.forbidden(at, "not allowed on this type"),
    }
}

fn owner_reference(owner: &Value, at: &Path, errs: &mut Errors) {
    let api_version = owner.str("apiVersion");
    let parsed = GroupVersion::parse(api_version).ok();
    if api_version.is_empty() {
        errs.required(&at.child("apiVersion"), "must not be empty");
    } else if parsed.as_ref().is_none_or(|gv| gv.version.is_empty()) {
        errs.invalid(&at.child("apiVersion"), api_version, "must be <group>/<version> or <version>");
    }
    for member in ["kind", "name", "uid"] {
        if owner.str(member).is_empty() {
            errs.required(&at.child(member), "must not be empty");
        }
    }
    if api_version == "v1" && owner.str("kind") == "Event" {
        errs.invalid(at, owner, "/v1, Kind=Event is disallowed from being an owner");
    }
}

fn no_new_finalizers(new: &[Value], old: &[Value], at: &Path, errs: &mut Errors) {
    let mut extra: Vec<&str> = new.iter().filter(|f| !old.contains(f)).filter_map(Value::as_str).collect();
    extra.sort_unstable();
    extra.dedup();
    if !extra.is_empty() {
        let shown: Vec<String> = extra.into_iter().map(api::field::quote).collect();
        let shown = format!("[]string{{{}}}", shown.join(", "));
        errs.forbidden(
            at,
            format!("no new finalizers can be added if the object is being deleted, found new finalizers {shown}"),
        );
    }
}

/// Upstream: `ValidateManagedFields`.
fn managed_fields(entries: &[Value], at: &Path, errs: &mut Errors) {
    for (i, entry) in entries.iter().enumerate() {
        let at = at.index(i);
        match entry.str("operation") {
            "" => errs.required(&at.child("operation"), "must not be empty"),
            operation => checks::one_of(errs, &at.child("operation"), operation, &["Apply", "Update"]),
        }
        let kind = entry.str("fieldsType");
        if !kind.is_empty() && kind != "FieldsV1" {
            errs.invalid(&at.child("fieldsType"), kind, "must be `FieldsV1`");
        }
        field_manager(entry.str("manager"), &at.child("manager"), errs);
        if entry.str("subresource").len() > SUBRESOURCE_LEN_MAX {
            errs.too_long(&at.child("subresource"), SUBRESOURCE_LEN_MAX as i64);
        }
    }
}

/// Nearly Go's `unicode.IsPrint`: what has a shape, and the space; unassigned code points count as printable here.
pub fn is_print(c: char) -> bool {
    let format = matches!(u32::from(c), 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe000..=0xf8ff);
    c == ' ' || !(c.is_control() || c.is_whitespace() || format)
}
