//! Volumes of a pod, whatever they come from.
//!
//! Upstream: `ValidateVolumes`, `validateVolumeSource`.

mod disk;
mod projected;

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Value,
    field::{Errors, Path, quote},
    names,
};

use super::{Options, claim, env, name, require, resources::amount};
use crate::checks::{messages, one_of};

pub const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const EMPTY_DIR_MODE: &str = "must be a number between 0 and 01777 (octal), both inclusive";
const TWO_TYPES: &str = "may not specify more than 1 volume type";

/// The volumes that are right, by name; others cannot be mounted.
pub type Volumes<'a> = BTreeMap<&'a str, &'a Value>;

/// What a rule about a volume's source sees.
struct Source<'a> {
    source: &'a Value,
    volume: &'a Value,
    /// Of a real pod; of a template nothing.
    pod_name: &'a str,
    options: &'a Options,
    /// Of the volume.
    at: &'a Path,
}

/// A kind of source: the member, where its errors stand, where a second kind is refused, what is checked.
struct Kind {
    member: &'static str,
    at: &'static str,
    refused_at: &'static str,
    check: fn(&Source<'_>, &Path, &mut Errors),
}

const fn kind(member: &'static str, check: fn(&Source<'_>, &Path, &mut Errors)) -> Kind {
    Kind { member, at: member, refused_at: member, check }
}

/// In upstream's order, with upstream's slips of the pen in paths.
const KINDS: &[Kind] = &[
    kind("emptyDir", empty_dir),
    kind("hostPath", host_path),
    kind("gitRepo", disk::git_repo),
    Kind { at: "persistentDisk", ..kind("gcePersistentDisk", disk::gce) },
    kind("awsElasticBlockStore", disk::aws),
    kind("secret", secret),
    kind("nfs", disk::nfs),
    kind("iscsi", disk::iscsi),
    kind("glusterfs", |s, at, errs| disk::required(s.source, &["endpoints", "path"], at, errs)),
    kind("flocker", disk::flocker),
    kind("persistentVolumeClaim", |s, at, errs| disk::required(s.source, &["claimName"], at, errs)),
    kind("rbd", disk::rbd),
    kind("cinder", disk::cinder),
    Kind { refused_at: "cephFS", ..kind("cephfs", disk::ceph) },
    kind("quobyte", disk::quobyte),
    Kind { refused_at: "downwarAPI", ..kind("downwardAPI", downward_api) },
    kind("fc", disk::fibre_channel),
    kind("flexVolume", disk::flex),
    kind("configMap", config_map),
    kind("azureFile", |s, at, errs| disk::required(s.source, &["secretName", "shareName"], at, errs)),
    kind("vsphereVolume", |s, at, errs| disk::required(s.source, &["volumePath"], at, errs)),
    kind("photonPersistentDisk", |s, at, errs| disk::required(s.source, &["pdID"], at, errs)),
    kind("portworxVolume", |s, at, errs| disk::required(s.source, &["volumeID"], at, errs)),
    kind("azureDisk", disk::azure),
    kind("storageos", disk::storage_os),
    kind("projected", projected::projected),
    kind("scaleIO", |s, at, errs| disk::required(s.source, &["gateway", "system", "volumeName"], at, errs)),
    kind("csi", csi),
    kind("ephemeral", ephemeral),
    kind("image", image),
];

/// Upstream: `ValidateVolumes`. `pod` is the metadata of a real pod.
pub fn volumes<'a>(
    volumes: &'a [Value],
    pod: Option<&Value>,
    at: &Path,
    options: &Options,
    errs: &mut Errors,
) -> Volumes<'a> {
    let pod_name = pod.map_or("", |pod| pod.str("name"));
    let created: BTreeSet<String> = volumes
        .iter()
        .filter(|v| !pod_name.is_empty() && v.has("ephemeral"))
        .map(|v| format!("{pod_name}-{}", v.str("name")))
        .collect();
    let mut right = Volumes::new();
    for (i, volume) in volumes.iter().enumerate() {
        let (at, text) = (at.index(i), volume.str("name"));
        let mut own = Errors::new();
        source(volume, pod_name, &at, options, &mut own);
        if require(&mut own, &at.child("name"), text) {
            name(&mut own, &at.child("name"), text, names::dns1123_label);
        }
        if right.contains_key(text) {
            own.duplicate(&at.child("name"), text);
        }
        if own.is_empty() {
            right.insert(text, volume);
        }
        errs.extend(own);
        let claim = volume.at("persistentVolumeClaim").str("claimName");
        if volume.has("persistentVolumeClaim") && created.contains(claim) {
            let at = at.child("persistentVolumeClaim").child("claimName");
            errs.invalid(&at, claim, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    right
}

fn source(volume: &Value, pod_name: &str, at: &Path, options: &Options, errs: &mut Errors) {
    let mut found = false;
    for kind in KINDS.iter().filter(|kind| volume.has(kind.member)) {
        if found {
            errs.forbidden(&at.child(kind.refused_at), TWO_TYPES);
        } else {
            let source = Source { source: volume.at(kind.member), volume, pod_name, options, at };
            (kind.check)(&source, &at.child(kind.at), errs);
            found = true;
        }
        if kind.member == "iscsi" {
            disk::iscsi_name_len(volume, at, errs);
        }
    }
    if !found {
        errs.required(at, "must specify a volume type");
    }
}

/// The source `member` of something that is no volume of a pod (a persistent volume's spec); `at` is the path of that.
/// Kinds that pods do not know are not looked at.
pub fn source_of(holder: &Value, member: &str, at: &Path, errs: &mut Errors) {
    if let Some(kind) = KINDS.iter().find(|kind| kind.member == member) {
        let source =
            Source { source: holder.at(member), volume: holder, pod_name: "", options: &Options::default(), at };
        (kind.check)(&source, &at.child(kind.at), errs);
    }
}

// --- directories and files

fn empty_dir(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    if s.source.has("sizeLimit") && amount(s.source.at("sizeLimit")).sign() < 0 {
        errs.forbidden(&at.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
    }
    mode(s.source, "mode", 0o1777, EMPTY_DIR_MODE, at, errs);
}

fn host_path(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    let path = s.source.str("path");
    if !require(errs, &at.child("path"), path) {
        return;
    }
    no_backsteps(path, &at.child("path"), errs);
    if let Some(kind) = s.source.opt_str("type") {
        let kinds =
            ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
        one_of(errs, &at.child("type"), kind, &kinds);
    }
}

fn secret(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    require(errs, &at.child("secretName"), s.source.str("secretName"));
    files(s.source, at, errs);
}

fn config_map(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    require(errs, &at.child("name"), s.source.str("name"));
    files(s.source, at, errs);
}

fn files(source: &Value, at: &Path, errs: &mut Errors) {
    mode(source, "defaultMode", 0o777, FILE_MODE, at, errs);
    user(source, "defaultUser", at, errs);
    for (i, item) in source.list("items").iter().enumerate() {
        key_to_path(item, &at.child("items").index(i), errs);
    }
}

/// Upstream: `validateKeyToPath`.
fn key_to_path(item: &Value, at: &Path, errs: &mut Errors) {
    require(errs, &at.child("key"), item.str("key"));
    require(errs, &at.child("path"), item.str("path"));
    local_path(item.str("path"), &at.child("path"), errs);
    mode(item, "mode", 0o777, FILE_MODE, at, errs);
    user(item, "user", at, errs);
}

fn downward_api(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    mode(s.source, "defaultMode", 0o777, FILE_MODE, at, errs);
    user(s.source, "defaultUser", at, errs);
    // Upstream does not say which of the files it is.
    for file in s.source.list("items") {
        downward_file(file, at, errs);
    }
}

/// Upstream: `validateDownwardAPIVolumeFile`.
fn downward_file(file: &Value, at: &Path, errs: &mut Errors) {
    let path = file.str("path");
    require(errs, &at.child("path"), path);
    local_path(path, &at.child("path"), errs);
    if file.has("fieldRef") {
        env::object_field(file.at("fieldRef"), &env::VOLUME_FIELDS, &at.child("fieldRef"), errs);
        if file.has("resourceFieldRef") {
            errs.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if file.has("resourceFieldRef") {
        env::container_field(file.at("resourceFieldRef"), &at.child("resourceFieldRef"), true, errs);
    } else {
        errs.required(at, "one of fieldRef and resourceFieldRef is required");
    }
    mode(file, "mode", 0o777, FILE_MODE, at, errs);
    user(file, "user", at, errs);
}

fn mode(source: &Value, member: &str, max: i64, detail: &str, at: &Path, errs: &mut Errors) {
    if let Some(mode) = source.opt_int(member).filter(|mode| !(0..=max).contains(mode)) {
        errs.invalid(&at.child(member), mode, detail);
    }
}

/// Upstream: `validateUserField`.
fn user(source: &Value, member: &str, at: &Path, errs: &mut Errors) {
    let Some(user) = source.opt_int(member) else { return };
    for text in names::user_id(user) {
        errs.invalid(&at.child(member), user, text);
    }
}

// --- drivers, claims, images

fn csi(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    claim::csi_driver_name(s.source.str("driver"), &at.child("driver"), errs);
    if !s.source.has("nodePublishSecretRef") {
        return;
    }
    let text = s.source.at("nodePublishSecretRef").str("name");
    if require(errs, &at.child("nodePublishSecretRef").child("name"), text) {
        name(errs, &at.child("name"), text, names::dns1123_subdomain);
    }
}

fn ephemeral(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    let (template, at) = (s.source.at("volumeClaimTemplate"), at.child("volumeClaimTemplate"));
    match template.is_null() {
        true => errs.required(&at, ""),
        false => claim::template(template, &at, errs),
    }
    let volume = s.volume.str("name");
    if s.pod_name.is_empty() || volume.is_empty() {
        return;
    }
    let claim = format!("{}-{volume}", s.pod_name);
    let texts = names::dns1123_subdomain(&claim).into_iter().map(|text| format!("PVC name {}: {text}", quote(&claim)));
    messages(errs, &s.at.child("name"), volume, texts.collect());
}

fn image(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    if !s.options.empty_image_references {
        require(errs, &at.child("reference"), s.source.str("reference"));
    }
    super::container::pull_policy(s.source.str("pullPolicy"), &at.child("pullPolicy"), errs);
}

// --- paths

/// Relative and without `..`. Upstream: `validateLocalDescendingPath`.
pub fn descending_path(path: &str, at: &Path, errs: &mut Errors) {
    if path.starts_with('/') {
        errs.invalid(at, path, "must be a relative path");
    }
    no_backsteps(path, at, errs);
}

/// Upstream: `ValidateLocalNonReservedPath`.
pub fn local_path(path: &str, at: &Path, errs: &mut Errors) {
    descending_path(path, at, errs);
    if path.starts_with("..") && !path.starts_with("../") {
        errs.invalid(at, path, "must not start with '..'");
    }
}

/// Upstream: `validatePathNoBacksteps`.
pub fn no_backsteps(path: &str, at: &Path, errs: &mut Errors) {
    if has_backsteps(path) {
        errs.invalid(at, path, "must not contain '..'");
    }
}

pub fn has_backsteps(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}
