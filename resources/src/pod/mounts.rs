//! Where volumes and block devices appear in a container.
//!
//! Upstream: `ValidateVolumeMounts`, `ValidateVolumeDevices`.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
};

use super::{
    require,
    volume::{Volumes, descending_path, has_backsteps},
};
use crate::checks::one_of;

/// Upstream: `ValidateVolumeMounts`; some of its messages do not say which mount.
pub fn mounts(container: &Value, volumes: &Volumes<'_>, at: &Path, errs: &mut Errors) {
    let devices = container.list("volumeDevices");
    let mut taken = BTreeSet::new();
    for (i, mount) in container.list("volumeMounts").iter().enumerate() {
        let own = at.index(i);
        let (name, path) = (mount.str("name"), mount.str("mountPath"));
        require(errs, &own.child("name"), name);
        if !volumes.contains_key(name) {
            errs.not_found(&own.child("name"), name);
        }
        require(errs, &own.child("mountPath"), path);
        if !taken.insert(path) {
            errs.invalid(&own.child("mountPath"), path, "must be unique");
        }
        if devices.iter().any(|d| d.str("name") == name) {
            errs.invalid(&own.child("name"), name, "must not already exist in volumeDevices");
        }
        if paths(devices, "devicePath").contains(&path) {
            errs.invalid(&own.child("mountPath"), path, "must not already exist as a path in volumeDevices");
        }
        sub_paths(mount, at, &own, errs);
        propagation(mount, container, &at.child("mountPropagation"), errs);
        recursive(mount, &at.child("recursiveReadOnly"), errs);
        bind_options(mount, volumes, &own.child("bindMountOptions"), errs);
    }
}

/// The paths of a list by name, the last of a name as in a map.
fn paths<'a>(list: &'a [Value], member: &str) -> Vec<&'a str> {
    let last = |i: usize| list[i + 1..].iter().all(|later| later.str("name") != list[i].str("name"));
    (0..list.len()).filter(|i| last(*i)).map(|i| list[i].str(member)).collect()
}

fn sub_paths(mount: &Value, list_at: &Path, at: &Path, errs: &mut Errors) {
    let (path, expression) = (mount.str("subPath"), mount.str("subPathExpr"));
    if !path.is_empty() {
        descending_path(path, &list_at.child("subPath"), errs);
    }
    if !expression.is_empty() {
        if !path.is_empty() {
            errs.invalid(&at.child("subPathExpr"), expression, "subPathExpr and subPath are mutually exclusive");
        }
        descending_path(expression, &list_at.child("subPathExpr"), errs);
    }
}

fn propagation(mount: &Value, container: &Value, at: &Path, errs: &mut Errors) {
    let Some(mode) = mount.opt_str("mountPropagation") else { return };
    one_of(errs, at, mode, &["Bidirectional", "HostToContainer", "None"]);
    if mode == "Bidirectional" && !container.at("securityContext").bool("privileged") {
        errs.forbidden(at, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive(mount: &Value, at: &Path, errs: &mut Errors) {
    match mount.opt_str("recursiveReadOnly") {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !mount.bool("readOnly") {
                errs.forbidden(at, "may only be specified when readOnly is true");
            }
            if mount.opt_str("mountPropagation").is_some_and(|mode| mode != "None") {
                errs.forbidden(at, "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(other) => errs.not_supported(at, other, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn bind_options(mount: &Value, volumes: &Volumes<'_>, at: &Path, errs: &mut Errors) {
    let options = mount.list("bindMountOptions");
    for (i, option) in options.iter().enumerate() {
        one_of(errs, &at.index(i), option.as_str().unwrap_or(""), &["nodev", "noexec", "nosuid"]);
        if options[..i].contains(option) {
            errs.duplicate(&at.index(i), option);
        }
    }
    if !options.is_empty() && volumes.get(mount.str("name")).is_some_and(|v| v.has("image")) {
        errs.invalid(at, mount.at("bindMountOptions"), "bindMountOptions may not be used with image volumes");
    }
}

/// Upstream: `ValidateVolumeDevices`.
pub fn devices(container: &Value, volumes: &Volumes<'_>, at: &Path, errs: &mut Errors) {
    let mounts = container.list("volumeMounts");
    let (mut taken_paths, mut taken_names) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in container.list("volumeDevices").iter().enumerate() {
        let (name_at, path_at) = (at.index(i).child("name"), at.index(i).child("devicePath"));
        let (name, path) = (device.str("name"), device.str("devicePath"));
        require(errs, &name_at, name);
        if taken_names.contains(name) {
            errs.invalid(&name_at, name, "must be unique");
        }
        match volumes.get(name) {
            None => errs.not_found(&name_at, name),
            Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errs.invalid(&name_at, name, detail);
            }
            Some(_) => {}
        }
        require(errs, &path_at, path);
        if taken_paths.contains(path) {
            errs.invalid(&path_at, path, "must be unique");
        }
        if has_backsteps(path) {
            errs.invalid(&path_at, path, "can not contain backsteps ('..')");
        } else {
            taken_paths.insert(path);
        }
        if mounts.iter().any(|m| m.str("name") == name) {
            errs.invalid(&name_at, name, "must not already exist in volumeMounts");
        }
        if paths(mounts, "mountPath").contains(&path) {
            errs.invalid(&path_at, path, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            taken_names.insert(name);
        }
    }
}
