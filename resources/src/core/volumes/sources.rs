//! What a persistent volume is made of. Most kinds are a pod's volumes' too and judged as there.
//!
//! Upstream: the middle of `ValidatePersistentVolumeSpec`, `validate*PersistentVolumeSource`.

use api::{
    Map, Value,
    field::{Errors, Path},
    names, value,
};

use super::Place;
use crate::{
    checks,
    pod::{claim, volume},
};

/// A kind of source: the member, where a second kind is refused, and what is checked beyond the pods' rules, if those hold.
struct Kind {
    member: &'static str,
    refused_at: &'static str,
    check: Check,
}

enum Check {
    /// As in pods.
    Pod,
    /// As in pods, then this.
    PodAnd(fn(&Value, &Path, &mut Errors)),
    Own(fn(&Value, Place<'_>, &Path, &mut Errors)),
}

const fn kind(member: &'static str, check: Check) -> Kind {
    Kind { member, refused_at: member, check }
}

/// In upstream's order.
const KINDS: &[Kind] = &[
    kind("hostPath", Check::Pod),
    kind("gcePersistentDisk", Check::Pod),
    kind("awsElasticBlockStore", Check::Pod),
    kind("glusterfs", Check::PodAnd(glusterfs)),
    kind("flocker", Check::Pod),
    kind("nfs", Check::Pod),
    kind("rbd", Check::Pod),
    kind("quobyte", Check::Pod),
    Kind { refused_at: "cephFS", ..kind("cephfs", Check::Pod) },
    kind("iscsi", Check::Own(iscsi)),
    kind("cinder", Check::PodAnd(secret_namespace)),
    kind("fc", Check::Pod),
    kind("flexVolume", Check::Pod),
    kind("azureFile", Check::PodAnd(azure_file)),
    kind("vsphereVolume", Check::Pod),
    kind("photonPersistentDisk", Check::Pod),
    kind("portworxVolume", Check::Pod),
    kind("azureDisk", Check::Pod),
    kind("scaleIO", Check::Pod),
    kind("local", Check::Own(local)),
    kind("storageos", Check::PodAnd(secret_namespace)),
    kind("csi", Check::Own(csi)),
];

/// Kinds whose mount options could stand in an annotation.
pub(super) const TAKES_MOUNT_OPTIONS: [&str; 13] = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "nfs",
    "rbd",
    "quobyte",
    "iscsi",
    "cinder",
    "cephfs",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
];

/// Kinds that no longer work: the member, its name in the warning, the warning.
pub(super) const GONE: [(&str, &str, &str); 6] = [
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const BETA_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// Exactly one kind, and that right. A flexVolume is taken beside others, as upstream forgets to ask.
pub(super) fn validate(spec: &Value, place: Place<'_>, at: &Path, errs: &mut Errors) {
    let mut found = false;
    for kind in KINDS.iter().filter(|kind| spec.has(kind.member)) {
        if found && kind.member != "flexVolume" {
            errs.forbidden(&at.child(kind.refused_at), "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        let (source, source_at) = (spec.at(kind.member), at.child(kind.member));
        match kind.check {
            Check::Pod => volume::source_of(spec, kind.member, at, errs),
            Check::PodAnd(more) => {
                volume::source_of(spec, kind.member, at, errs);
                more(source, &source_at, errs);
            }
            Check::Own(check) => check(source, place, &source_at, errs),
        }
        if kind.member == "local" && !spec.has("nodeAffinity") {
            errs.required(&at.child("nodeAffinity"), "Local volume requires node affinity");
        }
    }
    if !found {
        errs.required(at, "must specify a volume type");
    }
}

/// The sources of a spec alone; a secret for expansion may be added to an `old` one that has none.
pub(super) fn only(spec: &Value, old: &Value) -> Value {
    let kinds = KINDS.iter().filter(|kind| spec.has(kind.member));
    let mut sources: Value = kinds.map(|kind| (kind.member, spec.at(kind.member).clone())).collect::<Map>().into();
    let secret = ["csi", "controllerExpandSecretRef"];
    if old.has("csi") && old.at_path(&secret).is_null() {
        sources.remove_path(&secret);
    }
    sources
}

/// Whether nodes are chosen alike, beta labels and their successors being one.
pub(super) fn same_affinity(new: &Value, old: &Value) -> bool {
    let mut renamed = old.clone();
    let news = new.at_path(&["required", "nodeSelectorTerms"]).items();
    let olds = renamed.path_mut(&["required", "nodeSelectorTerms"]).and_then(Value::as_array_mut);
    for (new, old) in news.iter().zip(olds.into_iter().flatten()) {
        for list in ["matchExpressions", "matchFields"] {
            let olds = old.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            for (new, old) in new.list(list).iter().zip(olds) {
                let key = new.str("key");
                if BETA_LABELS.contains(&(old.str("key"), key)) {
                    old.set("key", key);
                }
            }
        }
    }
    checks::same(new, &renamed)
}

/// Whether nodes are chosen by labels that can have no such value. Upstream: `HasInvalidLabelValueInNodeSelectorTerms`.
pub(super) fn has_invalid_node_values(spec: &Value) -> bool {
    let terms = spec.at_path(&["nodeAffinity", "required", "nodeSelectorTerms"]).items();
    let values = terms.iter().flat_map(|t| t.list("matchExpressions")).flat_map(|e| e.list("values"));
    values.filter_map(Value::as_str).any(|value| !names::label_value(value).is_empty())
}

fn required(source: &Value, members: &[&str], at: &Path, errs: &mut Errors) {
    for member in members.iter().filter(|m| source.str(m).is_empty()) {
        errs.required(&at.child(member), "");
    }
}

fn glusterfs(source: &Value, at: &Path, errs: &mut Errors) {
    let at = at.child("endpointsNamespace");
    match source.opt_str("endpointsNamespace") {
        None => {}
        Some("") => errs.invalid(&at, "", "if the endpointnamespace is set, it must be a valid namespace name"),
        Some(namespace) => checks::messages(errs, &at, namespace, names::dns1123_label(namespace)),
    }
}

fn secret_namespace(source: &Value, at: &Path, errs: &mut Errors) {
    if source.has("secretRef") {
        required(source.at("secretRef"), &["namespace"], &at.child("secretRef"), errs);
    }
}

fn azure_file(source: &Value, at: &Path, errs: &mut Errors) {
    if source.opt_str("secretNamespace") == Some("") {
        errs.required(&at.child("secretNamespace"), "");
    }
}

fn local(source: &Value, _place: Place<'_>, at: &Path, errs: &mut Errors) {
    match source.str("path") {
        "" => errs.required(&at.child("path"), ""),
        path => volume::no_backsteps(path, &at.child("path"), errs),
    }
}

/// As in pods with two checks between, and without naming the forms of a name.
fn iscsi(source: &Value, place: Place<'_>, at: &Path, errs: &mut Errors) {
    let mut as_in_pods = Errors::new();
    volume::source_of(&value!({"iscsi": source}), "iscsi", &Path::root(), &mut as_in_pods);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for mut error in as_in_pods.0 {
        let member = error.field.trim_start_matches("iscsi").trim_start_matches('.').to_string();
        error.field = at.child(&member).to_string();
        error.detail = error.detail.replace(" starting with iqn, eui, or naa", "");
        match member.as_str() {
            "targetPortal" => errs.0.push(error),
            "initiatorname" => after.push(error),
            _ => before.push(error),
        }
    }
    let portal = source.str("targetPortal");
    if source.has("initiatorName") && place.name.len() + 1 + portal.len() > 64 {
        let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        errs.invalid(&at.child("targetportal"), portal, detail);
    }
    errs.0.extend(before);
    if source.has("secretRef") {
        required(source.at("secretRef"), &["name"], &at.child("secretRef"), errs);
    }
    errs.0.extend(after);
}

fn csi(source: &Value, _place: Place<'_>, at: &Path, errs: &mut Errors) {
    claim::csi_driver_name(source.str("driver"), &at.child("driver"), errs);
    required(source, &["volumeHandle"], at, errs);
    for member in
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"]
    {
        if source.has(member) {
            secret(source.at(member), &at.child(member), errs);
        }
    }
}

/// Upstream: `validatePVSecretReference`.
fn secret(secret: &Value, at: &Path, errs: &mut Errors) {
    let named = |member: &str, rule: fn(&str) -> Vec<String>, errs: &mut Errors| match secret.str(member) {
        "" => errs.required(&at.child(member), ""),
        text => checks::messages(errs, &at.child(member), text, rule(text)),
    };
    named("name", names::dns1123_subdomain, errs);
    named("namespace", names::dns1123_label, errs);
}
