//! PersistentVolumes. Upstream: `ValidatePersistentVolume*`, pkg/registry/core/persistentvolume.

mod sources;

use api::{
    Value,
    field::{Errors, Path},
    names,
    quantity::Quantity,
    value,
};

use super::quotas;
use crate::{
    cells, checks, node_labels,
    pod::{affinity, claim, diff, internal, resources},
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column, wide},
    strategy::{keep, keep_status, stored, text},
};

pub const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
const INLINE: &str = "may not be specified in the context of inline volumes";

pub const VOLUME: Row = Row {
    kind: "PersistentVolume",
    plural: "persistentvolumes",
    short_names: &["pv"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.PersistentVolume")],
    stored: stored("", "v1", "persistentvolumes"),
    subresources: &[Subresource::Status(StatusRules {
        prepare: prepare_status,
        validate: |new, _, _| has_revision(new),
        ..StatusRules::STATUS
    })],
    reset: &["status"],
    columns: COLUMNS,
    rules: Rules {
        prepare_create,
        prepare_update: keep_status,
        validate: |new, _| validate(new, false),
        validate_update: |new, old, _| validate_update(new, old),
        warn: |new, _| warn(new),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

pub const DEFAULT: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.PersistentVolume", run: default };

fn default(volume: &mut Value) {
    for (path, text) in [
        (["status", "phase"], "Pending"),
        (["spec", "persistentVolumeReclaimPolicy"], "Retain"),
        (["spec", "volumeMode"], "Filesystem"),
    ] {
        let member = volume.entry_path(&path);
        if member.is_null() || (path[1] != "volumeMode" && member.is_empty()) {
            *member = text.into();
        }
    }
    quotas::round(volume.entry("spec"), &["capacity"]);
}

// --- tables

const COLUMNS: &[Column] = &[
    NAME,
    column("Capacity", "string", |o, _| Quantity::of(o.at_path(&["spec", "capacity", "storage"])).into()),
    column("Access Modes", "string", |o, _| access_modes(o.at("spec").list("accessModes")).into()),
    column("Reclaim Policy", "string", |o, _| text(o, &["spec", "persistentVolumeReclaimPolicy"])),
    column("Status", "string", |o, _| phase(o)),
    column("Claim", "string", |o, _| claim_name(o).into()),
    column("StorageClass", "string", |o, _| class(o).into()),
    column("VolumeAttributesClass", "string", |o, _| or_unset(o, "volumeAttributesClassName")),
    column("Reason", "string", |o, _| text(o, &["status", "reason"])),
    AGE,
    wide("VolumeMode", "string", |o, _| or_unset(o, "volumeMode")),
];

/// `RWO,ROX`. Upstream: `GetAccessModesAsString`.
pub fn access_modes(modes: &[Value]) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| modes.iter().any(|m| m.as_str() == Some(mode));
    short.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// The phase of a volume or claim.
pub fn phase(object: &Value) -> Value {
    match api::meta::of(object).is_terminating() {
        true => "Terminating".into(),
        false => text(object, &["status", "phase"]),
    }
}

/// The class of a volume or claim: the annotation of old first.
pub fn class(object: &Value) -> &str {
    api::meta::of(object).annotation(BETA_CLASS).unwrap_or(object.at("spec").str("storageClassName"))
}

/// A member of the spec that Go has as a pointer.
pub fn or_unset(object: &Value, member: &str) -> Value {
    object.at("spec").opt_str(member).unwrap_or(cells::UNSET).into()
}

fn claim_name(volume: &Value) -> String {
    let claim = volume.at_path(&["spec", "claimRef"]);
    if claim.is_null() { String::new() } else { format!("{}/{}", claim.str("namespace"), claim.str("name")) }
}

// --- preparation

fn prepare_create(new: &mut Value, context: &Context<'_>) {
    let now = api::time::seconds(context.now);
    new.set("status", value!({"phase": "Pending", "lastPhaseTransitionTime": now}));
}

fn prepare_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep(new, old, "spec");
    let (was, status) = (old.at("status"), new.entry("status"));
    let time = "lastPhaseTransitionTime";
    let same_phase = was.str("phase") == status.str("phase");
    if same_phase && !status.has(time) && was.has(time) {
        status.set(time, was.at(time));
    } else if !same_phase && (!status.has(time) || status.at(time) == was.at(time)) {
        status.set(time, api::time::seconds(context.now));
    }
}

// --- validation

/// A status is written over a known revision only. Upstream: `ValidatePersistentVolumeStatusUpdate`.
pub fn has_revision(object: &Value) -> Errors {
    let mut errs = Errors::new();
    if api::meta::of(object).resource_version().is_empty() {
        errs.required(&Path::new("resourceVersion"), "");
    }
    errs
}

fn validate(volume: &Value, invalid_values: bool) -> Errors {
    let mut errs = Errors::new();
    let name = api::meta::of(volume).name();
    spec(volume.at("spec"), Place { name, inline: false, invalid_values }, &Path::new("spec"), &mut errs);
    let mountable = sources::TAKES_MOUNT_OPTIONS.iter().any(|m| volume.at("spec").has(m));
    if !mountable && api::meta::of(volume).annotation(MOUNT_OPTIONS).is_some() {
        let at = Path::new("metadata").child("annotations").child(MOUNT_OPTIONS);
        errs.forbidden(&at, "may not specify mount options for this volume type");
    }
    errs
}

/// Where a spec stands.
#[derive(Clone, Copy, Default)]
pub struct Place<'a> {
    /// The volume's name.
    pub name: &'a str,
    /// In a VolumeAttachment.
    pub inline: bool,
    /// The old object selects nodes by wrong label values.
    pub invalid_values: bool,
}

/// Upstream: `ValidatePersistentVolumeSpec`.
pub fn spec(spec: &Value, place: Place<'_>, at: &Path, errs: &mut Errors) {
    if place.inline {
        inline(spec, at, errs);
    }
    if spec.list("accessModes").is_empty() {
        errs.required(&at.child("accessModes"), "");
    }
    claim::access_modes(spec.list("accessModes"), &at.child("accessModes"), errs);
    if !place.inline {
        capacity(spec.at("capacity"), &at.child("capacity"), errs);
    }
    reclaim_policy(spec.str("persistentVolumeReclaimPolicy"), place, &at.child("persistentVolumeReclaimPolicy"), errs);
    node_affinity(spec.at("nodeAffinity"), place, &at.child("nodeAffinity"), errs);
    sources::validate(spec, place, at, errs);
    let root = spec.has("hostPath") && cleaned_is_root(spec.at("hostPath").str("path"));
    if root && spec.str("persistentVolumeReclaimPolicy") == "Recycle" {
        let at = at.child("persistentVolumeReclaimPolicy");
        errs.forbidden(&at, "may not be 'recycle' for a hostPath mount of '/'");
    }
    classes(spec, place, at, errs);
}

fn inline(spec: &Value, at: &Path, errs: &mut Errors) {
    for (member, is_set) in [("claimRef", spec.has("claimRef")), ("capacity", !spec.at("capacity").is_empty())] {
        if is_set {
            errs.forbidden(&at.child(member), INLINE);
        }
    }
    if !spec.has("csi") {
        errs.required(&at.child("csi"), "has to be specified in the context of inline volumes");
    }
}

fn capacity(capacity: &Value, at: &Path, errs: &mut Errors) {
    let len = capacity.members().count();
    if len == 0 {
        errs.required(at, "");
    }
    if len > 1 || !capacity.has("storage") {
        errs.not_supported(at, capacity, &["storage"]);
    }
    for (name, value) in capacity.members() {
        let (at, value) = (at.key(name), resources::amount(value));
        basic_amount(&value, &at, errs);
        resources::positive(&value, &at, errs);
    }
}

/// Upstream: `validateBasicResource`. Returns whether it is right.
pub fn basic_amount(value: &Quantity, at: &Path, errs: &mut Errors) -> bool {
    let right = value.value() >= 0;
    if !right {
        errs.invalid(at, value.value(), "must be a valid resource quantity");
    }
    right
}

fn reclaim_policy(policy: &str, place: Place<'_>, at: &Path, errs: &mut Errors) {
    match policy {
        "" => {}
        _ if !place.inline => checks::one_of(errs, at, policy, &RECLAIM_POLICIES),
        "Retain" => {}
        _ => errs.forbidden(at, "may only be Retain in the context of inline volumes"),
    }
}

fn node_affinity(wanted: &Value, place: Place<'_>, at: &Path, errs: &mut Errors) {
    if wanted.is_null() {
        return;
    }
    if place.inline {
        errs.forbidden(at, INLINE);
    } else if wanted.has("required") {
        affinity::node_selector(wanted.at("required"), place.invalid_values, &at.child("required"), errs);
    } else {
        errs.required(&at.child("required"), "must specify required node constraints");
    }
}

/// Go's `path.Clean` of an absolute path that leads to the root.
fn cleaned_is_root(path: &str) -> bool {
    let mut depth: usize = 0;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

fn classes(spec: &Value, place: Place<'_>, at: &Path, errs: &mut Errors) {
    let named =
        |text: &str, at: &Path, errs: &mut Errors| checks::messages(errs, at, text, names::dns1123_subdomain(text));
    match spec.str("storageClassName") {
        "" => {}
        _ if place.inline => errs.forbidden(&at.child("storageClassName"), INLINE),
        class => named(class, &at.child("storageClassName"), errs),
    }
    match spec.opt_str("volumeMode") {
        None => {}
        Some(mode) if !place.inline => checks::one_of(errs, &at.child("volumeMode"), mode, &claim::VOLUME_MODES),
        Some("Filesystem") => {}
        Some(_) => {
            let detail = "may not specify volumeMode other than Filesystem in the context of inline volumes";
            errs.forbidden(&at.child("volumeMode"), detail);
        }
    }
    // Nobody tells an attachment's rules that classes of attributes are on.
    let Some(class) = spec.opt_str("volumeAttributesClassName").filter(|_| !place.inline) else { return };
    let class_at = at.child("volumeAttributesClassName");
    match class {
        "" => errs.required(&class_at, "an empty string is disallowed"),
        _ => named(class, &class_at, errs),
    }
    if !spec.has("csi") {
        errs.required(&at.child("csi"), "has to be specified when using volumeAttributesClassName");
    }
}

/// Upstream validates the new volume twice; the second time says the same.
fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errs = validate(new, sources::has_invalid_node_values(old.at("spec")));
    let (spec, was) = (sources::only(new.at("spec"), old.at("spec")), sources::only(old.at("spec"), Value::NULL));
    if !checks::same(&spec, &was) {
        let pretty = |source: &Value| internal::pretty("PersistentVolumeSource", source);
        let difference = diff::unified(&pretty(&was), &pretty(&spec));
        let detail = format!("spec.persistentvolumesource is immutable after creation\n{difference}");
        errs.forbidden(&Path::new("spec").child("persistentvolumesource"), detail);
    }
    let (spec, was) = (new.at("spec"), old.at("spec"));
    checks::immutable(spec.at("volumeMode"), was.at("volumeMode"), &Path::new("volumeMode"), &mut errs);
    // Where a volume can be reached from is a fact that upstream may change only behind a feature that is off.
    if was.has("nodeAffinity") && !sources::same_affinity(spec.at("nodeAffinity"), was.at("nodeAffinity")) {
        let shown = internal::json("VolumeNodeAffinity", spec.at("nodeAffinity"));
        let detail = format!("{}, except for updating from beta label to GA", checks::IMMUTABLE);
        errs.invalid_raw(
            &Path::new("nodeAffinity"),
            if spec.has("nodeAffinity") { shown } else { "null".into() },
            detail,
        );
    }
    if was.has("volumeAttributesClassName") && !spec.has("volumeAttributesClassName") {
        let at = Path::new("spec").child("volumeAttributesClassName");
        errs.forbidden(&at, "update from non-nil value to nil is forbidden");
    }
    errs
}

// --- warnings

/// Upstream: `GetWarningsForPersistentVolume`.
fn warn(volume: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let annotations = [
        (BETA_CLASS, "deprecated since v1.8; use \"storageClassName\" attribute instead"),
        (MOUNT_OPTIONS, "deprecated since v1.31; use \"mountOptions\" attribute instead"),
    ];
    for (key, text) in annotations {
        if api::meta::of(volume).annotation(key).is_some() {
            warnings.push(format!("metadata.annotations[{key}]: {text}"));
        }
    }
    let spec = volume.at("spec");
    if spec.str("persistentVolumeReclaimPolicy") == "Recycle" {
        warnings.push("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".into());
    }
    let terms = spec.at_path(&["nodeAffinity", "required", "nodeSelectorTerms"]);
    let at = Path::new("spec").children(&["nodeAffinity", "required", "nodeSelectorTerms"]);
    for (i, term) in terms.items().iter().enumerate() {
        warnings.extend(node_labels::selector_warnings(
            &value!({"matchExpressions": (term.at("matchExpressions"))}),
            &at.index(i),
        ));
    }
    let gone = sources::GONE.iter().filter(|(member, _, _)| spec.has(member));
    warnings.extend(gone.map(|(_, shown, text)| format!("spec.{shown}: {text}")));
    warnings
}

#[cfg(test)]
mod tests;
