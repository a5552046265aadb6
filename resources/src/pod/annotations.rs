//! Annotations of pods, those that are read as settings among them.
//!
//! Upstream: `ValidateAnnotations`, `ValidatePodSpecificAnnotations`, `validateSeccompAnnotationsAndFields`,
//! `validateAppArmorAnnotationsAndFieldsMatchOnCreate`.

use api::{
    Value,
    field::{Errors, Path, quote},
};

use super::{
    MIRROR, Options, containers, is_windows,
    options::{DELETION_COST, deletion_cost_is_valid},
    toleration,
    volume::descending_path,
};
use crate::meta::ANNOTATIONS_BYTES_MAX;

pub const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
pub const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Any object's annotations. Upstream: apimachinery's `ValidateAnnotations`.
pub use crate::meta::annotations as general;

/// Upstream: `ValidateAnnotationsSize`.
pub fn size(annotations: &Value, at: &Path, errs: &mut Errors) {
    let len: usize = annotations.members().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if len > ANNOTATIONS_BYTES_MAX {
        errs.too_long(at, ANNOTATIONS_BYTES_MAX as i64);
    }
}

/// Upstream: `ValidatePodSpecificAnnotations`.
pub fn specific(annotations: &Value, spec: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    if let Some(value) = annotations.opt_str(MIRROR).filter(|_| spec.str("nodeName").is_empty()) {
        errs.invalid(&at.key(MIRROR), value, "must set spec.nodeName if mirror pod annotation is set");
    }
    let text = annotations.str(TOLERATIONS);
    if !text.is_empty() {
        toleration::in_annotation(text, at, options, errs);
    }
    if !options.invalid_deletion_cost && !deletion_cost_is_valid(annotations) {
        errs.invalid(&at.key(DELETION_COST), annotations.str(DELETION_COST), "must be a 32bit integer");
    }
    seccomp(annotations, at, errs);
    app_armor(annotations, spec, at, errs);
}

/// Annotations that an update may neither add nor take nor change, and then all the rest.
/// Upstream: `ValidatePodSpecificAnnotationUpdates`.
pub fn update(new: &Value, old: &Value, spec: &Value, at: &Path, options: &Options, errs: &mut Errors) {
    for (key, value) in old.members().filter(|(key, value)| new.get(key) != Some(value)) {
        let _ = value;
        if key.starts_with(APP_ARMOR) {
            errs.forbidden(&at.key(key), "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            errs.forbidden(&at.key(key), "may not remove or update mirror pod annotation");
        }
    }
    for (key, _) in new.members().filter(|(key, _)| old.get(key).is_none()) {
        if key.starts_with(APP_ARMOR) {
            errs.forbidden(&at.key(key), "may not add AppArmor annotations");
        }
        if key == MIRROR {
            errs.forbidden(&at.key(key), "may not add mirror pod annotation");
        }
    }
    specific(new, spec, at, options, errs);
}

// --- seccomp

fn seccomp(annotations: &Value, at: &Path, errs: &mut Errors) {
    if let Some(profile) = annotations.opt_str(SECCOMP_POD) {
        seccomp_profile(profile, &at.child(SECCOMP_POD), errs);
    }
    for (key, profile) in annotations.members().filter(|(key, _)| key.starts_with(SECCOMP_CONTAINER)) {
        seccomp_profile(profile.as_str().unwrap_or(""), &at.child(key), errs);
    }
}

fn seccomp_profile(profile: &str, at: &Path, errs: &mut Errors) {
    match profile.strip_prefix("localhost/") {
        _ if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        Some(path) => descending_path(path, at, errs),
        None => errs.invalid(at, profile, "must be a valid seccomp profile"),
    }
}

/// Annotations and fields must say the same where both are. Upstream: `validateSeccompAnnotationsAndFields`.
pub fn seccomp_agrees(annotations: &Value, spec: &Value, at: &Path, errs: &mut Errors) {
    let profile = |holder: &Value| holder.at_path(&["securityContext", "seccompProfile"]).clone();
    let check = |key: &str, profile: Value, at: &Path, errs: &mut Errors| {
        let Some(text) = annotations.opt_str(key).filter(|_| !profile.is_null()) else { return };
        let at = at.child("securityContext").child("seccompProfile");
        let named = match profile.str("type") {
            "Unconfined" => text == "unconfined",
            "RuntimeDefault" => matches!(text, "runtime/default" | "docker/default"),
            "Localhost" => return localhost_agrees(text, &profile, "seccomp", &at, errs),
            _ => true,
        };
        if !named {
            errs.forbidden(&at.child("type"), "seccomp type in annotation and field must match");
        }
    };
    check(SECCOMP_POD, profile(spec), at, errs);
    for (container, at) in containers(spec, at) {
        check(&format!("{SECCOMP_CONTAINER}{}", container.str("name")), profile(container), &at, errs);
    }
}

fn localhost_agrees(text: &str, profile: &Value, what: &str, at: &Path, errs: &mut Errors) {
    match text.strip_prefix("localhost/") {
        None => errs.forbidden(&at.child("type"), format!("{what} type in annotation and field must match")),
        path if path != profile.opt_str("localhostProfile") => {
            errs.forbidden(&at.child("localhostProfile"), format!("{what} profile in annotation and field must match"));
        }
        _ => {}
    }
}

// --- AppArmor

fn app_armor(annotations: &Value, spec: &Value, at: &Path, errs: &mut Errors) {
    for (key, profile) in annotations.members() {
        let Some(name) = key.strip_prefix(APP_ARMOR) else { continue };
        if !super::every_container(spec).any(|c| c.str("name") == name) {
            errs.invalid(&at.key(key), name, "container not found");
        }
        let profile = profile.as_str().unwrap_or("");
        let known = matches!(profile, "" | "runtime/default" | "unconfined") || profile.starts_with("localhost/");
        if !known {
            errs.invalid(&at.key(key), profile, format!("invalid AppArmor profile name: {}", quote(profile)));
        }
    }
}

/// Upstream: `validateAppArmorAnnotationsAndFieldsMatchOnCreate`.
pub fn app_armor_agrees(annotations: &Value, spec: &Value, at: &Path, errs: &mut Errors) {
    if is_windows(spec) {
        return;
    }
    let profile_of = |holder: &Value| holder.at_path(&["securityContext", "appArmorProfile"]).clone();
    let of_pod = profile_of(spec);
    for (container, at) in containers(spec, at) {
        let own = profile_of(container);
        let profile = if own.is_null() { &of_pod } else { &own };
        let key = format!("{APP_ARMOR}{}", container.str("name"));
        let Some(text) = annotations.opt_str(&key).filter(|_| !profile.is_null()) else { continue };
        let at = at.child("securityContext").child("appArmorProfile");
        let named = match profile.str("type") {
            "Unconfined" => text == "unconfined",
            "RuntimeDefault" => text == "runtime/default",
            "Localhost" => {
                localhost_agrees(text, profile, "apparmor", &at, errs);
                continue;
            }
            _ => true,
        };
        if !named {
            errs.forbidden(&at.child("type"), "apparmor type in annotation and field must match");
        }
    }
}

/// The profile that an annotation stands for. Upstream: `ApparmorFieldForAnnotation`.
pub fn app_armor_field(text: &str) -> Option<Value> {
    match text.strip_prefix("localhost/") {
        _ if text == "unconfined" => Some(api::value!({"type": "Unconfined"})),
        _ if text == "runtime/default" => Some(api::value!({"type": "RuntimeDefault"})),
        Some(path) if !path.is_empty() => Some(api::value!({"type": "Localhost", "localhostProfile": path})),
        _ => None,
    }
}
