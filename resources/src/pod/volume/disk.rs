//! Sources of one provider each: disks, network file systems, drivers of old.
//!
//! Upstream: `validate*VolumeSource`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{Source, descending_path};
use crate::{
    checks::{messages, one_of},
    pod::require,
};

/// Members that must not be empty.
pub fn required(source: &Value, members: &[&str], at: &Path, errs: &mut Errors) {
    for member in members {
        require(errs, &at.child(member), source.str(member));
    }
}

pub fn git_repo(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["repository"], at, errs);
    descending_path(s.source.str("directory"), &at.child("directory"), errs);
}

pub fn gce(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["pdName"], at, errs);
    partition(s.source, at, errs);
}

pub fn aws(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["volumeID"], at, errs);
    partition(s.source, at, errs);
}

fn partition(source: &Value, at: &Path, errs: &mut Errors) {
    let number = source.int("partition");
    if !(0..=255).contains(&number) {
        errs.invalid(&at.child("partition"), number, names::inclusive_range_error(1, 255));
    }
}

fn lun(number: i64, at: &Path, errs: &mut Errors) {
    for text in names::in_range(number, 0, 255) {
        errs.invalid(&at.child("lun"), number, text);
    }
}

pub fn nfs(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["server", "path"], at, errs);
    let path = s.source.str("path");
    if !path.starts_with('/') {
        errs.invalid(&at.child("path"), path, "must be an absolute path");
    }
}

pub fn iscsi(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["targetPortal", "iqn"], at, errs);
    let iqn = s.source.str("iqn");
    if !iqn.is_empty() {
        iscsi_name(iqn, &at.child("iqn"), errs);
    }
    lun(s.source.int("lun"), at, errs);
    let authenticates = s.source.bool("chapAuthDiscovery") || s.source.bool("chapAuthSession");
    if authenticates && !s.source.has("secretRef") {
        errs.required(&at.child("secretRef"), "");
    }
    if let Some(initiator) = s.source.opt_str("initiatorName") {
        iscsi_name(initiator, &at.child("initiatorname"), errs);
    }
}

fn iscsi_name(name: &str, at: &Path, errs: &mut Errors) {
    let right = match name.get(..3) {
        Some("iqn") => is_iqn(name),
        Some("eui") => is_tail_of(name, 16),
        Some("naa") => is_tail_of(name, 32),
        _ => return errs.invalid(at, name, "must be valid format starting with iqn, eui, or naa"),
    };
    if !right {
        errs.invalid(at, name, "must be valid format");
    }
}

/// `iqn.2001-04.com.example:storage`; the pattern may start anywhere.
fn is_iqn(name: &str) -> bool {
    name.match_indices("iqn.").any(|(start, found)| {
        let rest = &name[start + found.len()..];
        let bytes = rest.as_bytes();
        let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
        let dated = bytes.len() > 8 && digits(0..4) && bytes[4] == b'-' && digits(5..7) && bytes[7] == b'.';
        let Some((authority, tail)) = dated.then(|| rest[8..].split_once(':')).flatten() else { return false };
        !authority.is_empty()
            && authority.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
            && !tail.is_empty()
            && !tail.contains([',', ';', '*', '&', '$', '|', ' ', '\t', '\n', '\u{c}', '\r'])
    })
}

/// Three letters, any character and exactly `len` letters or digits.
fn is_tail_of(name: &str, len: usize) -> bool {
    let mut chars = name.chars().skip(3);
    let separated = chars.next().is_some_and(|c| c != '\n');
    let tail: Vec<char> = chars.collect();
    separated && tail.len() == len && tail.iter().all(char::is_ascii_alphanumeric)
}

pub fn iscsi_name_len(volume: &Value, at: &Path, errs: &mut Errors) {
    let (source, name) = (volume.at("iscsi"), volume.str("name"));
    if source.has("initiatorName") && name.len() + 1 + source.str("targetPortal").len() > 64 {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errs.invalid(&at.child("name"), name, detail);
    }
}

pub fn flocker(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    let (name, uuid) = (s.source.str("datasetName"), s.source.str("datasetUUID"));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => errs.required(at, "one of datasetName and datasetUUID is required"),
        (false, false) => {
            errs.invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously")
        }
        _ => {}
    }
    if name.contains('/') {
        errs.invalid(&at.child("datasetName"), name, "must not contain '/'");
    }
}

pub fn rbd(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    ceph(s, at, errs);
    required(s.source, &["image"], at, errs);
}

pub fn ceph(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    if s.source.list("monitors").is_empty() {
        errs.required(&at.child("monitors"), "");
    }
}

pub fn cinder(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["volumeID"], at, errs);
    secret_name(s.source, at, errs);
}

fn secret_name(source: &Value, at: &Path, errs: &mut Errors) {
    if source.has("secretRef") {
        require(errs, &at.child("secretRef").child("name"), source.at("secretRef").str("name"));
    }
}

pub fn quobyte(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    let pairs = "must be a host:port pair or multiple pairs separated by commas";
    let registry = s.source.str("registry");
    if registry.is_empty() {
        errs.required(&at.child("registry"), pairs);
    } else if s.source.str("tenant").len() >= 65 {
        errs.required(&at.child("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in registry.split(',').filter(|pair| !is_host_port(pair)) {
            errs.invalid(&at.child("registry"), registry, pairs);
        }
    }
    required(s.source, &["volume"], at, errs);
}

/// What Go's `net.SplitHostPort` takes.
fn is_host_port(text: &str) -> bool {
    let Some((host, _)) = text.rsplit_once(':') else { return false };
    match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').is_some_and(|ip| !ip.contains(['[', ']'])),
        None => !host.contains([':', '[', ']']) && !text.contains(['[', ']']),
    }
}

pub fn fibre_channel(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    let (targets, ids) = (s.source.list("targetWWNs"), s.source.list("wwids"));
    if targets.is_empty() && ids.is_empty() {
        errs.required(&at.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both");
    }
    if !targets.is_empty() && !ids.is_empty() {
        let detail = "targetWWNs and wwids can not be specified simultaneously";
        errs.invalid(&at.child("targetWWNs"), s.source.at("targetWWNs"), detail);
    }
    match s.source.opt_int("lun") {
        _ if targets.is_empty() => {}
        None => errs.required(&at.child("lun"), "lun is required if targetWWNs is specified"),
        Some(number) => lun(number, at, errs),
    }
}

pub fn flex(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["driver"], at, errs);
    for (key, _) in s.source.at("options").members() {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace);
        let normalized = format!(".{}", namespace.to_lowercase());
        if normalized.ends_with(".kubernetes.io") || normalized.ends_with(".k8s.io") {
            let at = at.child("options").key(key);
            errs.invalid(&at, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

pub fn azure(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["diskName", "diskURI"], at, errs);
    if let Some(mode) = s.source.opt_str("cachingMode") {
        one_of(errs, &at.child("cachingMode"), mode, &["None", "ReadOnly", "ReadWrite"]);
    }
    let Some(kind) = s.source.opt_str("kind") else { return };
    one_of(errs, &at.child("kind"), kind, &["Dedicated", "Managed", "Shared"]);
    let uri = s.source.str("diskURI");
    let (prefix, form) = match kind {
        "Managed" => {
            let form =
                "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
            ("/subscriptions/", form)
        }
        _ => ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"),
    };
    if !uri.starts_with(prefix) {
        errs.not_supported(&at.child("diskURI"), uri, &[form]);
    }
}

pub fn storage_os(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    required(s.source, &["volumeName"], at, errs);
    for member in ["volumeName", "volumeNamespace"] {
        let text = s.source.str(member);
        if !text.is_empty() {
            messages(errs, &at.child(member), text, names::dns1123_label(text));
        }
    }
    secret_name(s.source, at, errs);
}
