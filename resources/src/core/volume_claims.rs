//! PersistentVolumeClaims. Upstream: `ValidatePersistentVolumeClaim*`, pkg/registry/core/persistentvolumeclaim.

use api::{
    Value,
    field::{Errors, Path},
    names,
    quantity::Quantity,
};

use super::{
    quotas,
    volumes::{BETA_CLASS, access_modes, basic_amount, class, has_revision, or_unset, phase},
};
use crate::{
    checks,
    pod::{claim, diff, internal, resources},
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column, wide},
    strategy::{keep, stored, text},
};

const SNAPSHOTS: &str = "snapshot.storage.k8s.io";
const RESIZE_STATUSES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

pub const CLAIM: Row = Row {
    kind: "PersistentVolumeClaim",
    finalizers_before_names: true,
    plural: "persistentvolumeclaims",
    short_names: &["pvc"],
    versions: &[Version::stable("v1", "io.k8s.api.core.v1.PersistentVolumeClaim")],
    stored: stored("", "v1", "persistentvolumeclaims"),
    subresources: &[Subresource::Status(StatusRules {
        prepare: prepare_status,
        validate: |new, _, _| validate_status(new),
        ..StatusRules::STATUS
    })],
    reset: &["status"],
    filled_on_read: true,
    columns: COLUMNS,
    rules: Rules {
        prepare_create: |new, _| {
            new.remove("status");
            prepare(new.entry("spec"), Value::NULL);
        },
        prepare_update: |new, old, _| {
            keep(new, old, "status");
            prepare(new.entry("spec"), old.at("spec"));
        },
        validate: |new, _| validate(new, claim::Options::default()),
        validate_update: |new, old, _| validate_update(new, old),
        warn: |new, _| warn(new),
        on_read: Some(|claim| same_sources(claim.entry("spec"))),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

pub const DEFAULT: TypeDefault = TypeDefault { schema: "io.k8s.api.core.v1.PersistentVolumeClaim", run: default };
pub const DEFAULT_STATUS: TypeDefault = TypeDefault {
    schema: "io.k8s.api.core.v1.PersistentVolumeClaimStatus",
    run: |status| quotas::round(status, &["capacity", "allocatedResources"]),
};

fn default(claim: &mut Value) {
    if claim.at("status").str("phase").is_empty() {
        claim.set_path(&["status", "phase"], "Pending");
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    column("Status", "string", |o, _| phase(o)),
    column("Volume", "string", |o, _| text(o, &["spec", "volumeName"])),
    column("Capacity", "string", |o, _| bound(o, |s| Quantity::of(s.at("capacity").at("storage")).to_string())),
    column("Access Modes", "string", |o, _| bound(o, |s| access_modes(s.list("accessModes")))),
    column("StorageClass", "string", |o, _| class(o).into()),
    column("VolumeAttributesClass", "string", |o, _| or_unset(o, "volumeAttributesClassName")),
    AGE,
    wide("VolumeMode", "string", |o, _| or_unset(o, "volumeMode")),
];

/// What the status says, once there is a volume.
fn bound(claim: &Value, cell: impl Fn(&Value) -> String) -> Value {
    match claim.at("spec").str("volumeName") {
        "" => "".into(),
        _ => cell(claim.at("status")).into(),
    }
}

// --- preparation

/// Drops a reference into another namespace (a feature that is off) and sources of kinds that only the newer member may
/// name, then makes both members agree. Upstream: pkg/api/persistentvolumeclaim `DropDisabledFields`,
/// `EnforceDataSourceBackwardsCompatibility`, `NormalizeDataSources`.
fn prepare(spec: &mut Value, old: &Value) {
    if !spec.at("dataSourceRef").str("namespace").is_empty() && !old.has("dataSourceRef") {
        spec.remove("dataSourceRef");
    }
    let had_one = old.has("dataSource") || old.has("dataSourceRef");
    if !had_one && !spec.has("dataSourceRef") && !is_claim_or_snapshot(spec.at("dataSource")) {
        spec.remove("dataSource");
    }
    same_sources(spec);
}

fn is_claim_or_snapshot(source: &Value) -> bool {
    matches!(
        (source.str("kind"), source.str("apiGroup")),
        ("PersistentVolumeClaim", "") | ("VolumeSnapshot", SNAPSHOTS)
    )
}

fn same_sources(spec: &mut Value) {
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    let (from, to) = match (source.is_null(), reference.is_null()) {
        (false, true) => (source, "dataSourceRef"),
        (true, false) if reference.str("namespace").is_empty() => (reference, "dataSource"),
        _ => return,
    };
    let mut copy = Value::object();
    for member in ["apiGroup", "kind", "name"] {
        if let Some(value) = from.get(member).filter(|v| !v.is_null()) {
            copy.set(member, value);
        }
    }
    spec.set(to, copy);
}

fn prepare_status(new: &mut Value, old: &Value, _context: &Context<'_>) {
    keep(new, old, "spec");
    // Volume health is a feature that is off.
    if !old.at("status").has("healthStatus") {
        new.remove_path(&["status", "healthStatus"]);
    }
}

/// Upstream: `GetWarningsForPersistentVolumeClaim`.
fn warn(claim: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if api::meta::of(claim).annotation(BETA_CLASS).is_some() {
        let text = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        warnings.push(format!("metadata.annotations[{BETA_CLASS}]: {text}"));
    }
    for list in ["requests", "limits"] {
        let amount = Quantity::of(claim.at_path(&["spec", "resources", list, "storage"]));
        if !amount.is_whole() {
            let shown = api::field::quote(&amount.to_string());
            let at = format!("spec.resources.{list}[storage]");
            warnings.push(format!("{at}: fractional byte value {shown} is invalid, must be an integer"));
        }
    }
    warnings
}

// --- validation

fn validate(claim: &Value, options: claim::Options) -> Errors {
    let mut errs = Errors::new();
    claim::spec_with(claim.at("spec"), options, &Path::new("spec"), &mut errs);
    errs
}

/// Upstream: `ValidationOptionsForPersistentVolumeClaim`.
fn options(old: &Value) -> claim::Options {
    let spec = old.at("spec");
    claim::Options {
        invalid_selector_values: spec.has("selector") && checks::selector_is_invalid(spec.at("selector")),
        invalid_data_source_groups: ["dataSource", "dataSourceRef"].iter().any(|m| spec.at(m).has("apiGroup")),
    }
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut old = old.clone();
    same_sources(old.entry("spec"));
    let mut errs = validate(new, options(&old));
    let (wanted, was) = compared(new, &old, &mut errs);
    if !checks::same(&wanted, &was) {
        let pretty = |spec: &Value| internal::pretty("PersistentVolumeClaimSpec", spec);
        let difference = diff::unified(&pretty(&was), &pretty(&wanted));
        let detail =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errs.forbidden(&Path::new("spec"), format!("{detail}\n{difference}"));
    }
    let (spec, was) = (new.at("spec"), old.at("spec"));
    let size = |spec: &Value| Quantity::of(spec.at_path(&["resources", "requests", "storage"]));
    let has = Quantity::of(old.at_path(&["status", "capacity", "storage"]));
    if size(spec) < size(was) && size(spec) <= has {
        let at = Path::new("spec").children(&["resources", "requests", "storage"]);
        errs.forbidden(&at, "field can not be less than status.capacity");
    }
    checks::immutable(spec.at("volumeMode"), was.at("volumeMode"), &Path::new("volumeMode"), &mut errs);
    attributes_class(new, &old, &mut errs);
    errs
}

/// The specs without what may change: the volume once, the class from an annotation or from nothing, and of a bound claim
/// its size and attributes.
fn compared(new: &Value, old: &Value, errs: &mut Errors) -> (Value, Value) {
    let (mut wanted, mut was) = (new.at("spec").clone(), old.at("spec").clone());
    if was.str("volumeName").is_empty() {
        keep(&mut was, new.at("spec"), "volumeName");
    }
    let annotation = |claim| api::meta::of(claim).annotation(BETA_CLASS);
    let (before, after) = (annotation(old), annotation(new));
    let class = wanted.opt_str("storageClassName").filter(|_| !was.has("storageClassName"));
    let from_annotation = before.is_some() && class == before && (after.is_none() || after == before);
    if from_annotation {
        wanted.remove("storageClassName");
    } else {
        if before.unwrap_or("") != after.unwrap_or("") {
            let at = Path::new("metadata").child("annotations").child(BETA_CLASS);
            errs.invalid(&at, after.unwrap_or(""), checks::IMMUTABLE);
        }
        if class.is_some() && (before.is_none() || before == class) {
            wanted.remove("storageClassName");
        }
    }
    if new.at("status").str("phase") == "Bound" {
        if wanted.at("resources").has("requests") {
            let size = was.at_path(&["resources", "requests", "storage"]).clone();
            wanted.set_path(&["resources", "requests", "storage"], size);
        }
        keep(&mut wanted, old.at("spec"), "volumeAttributesClassName");
    }
    (wanted, was)
}

fn attributes_class(new: &Value, old: &Value, errs: &mut Errors) {
    let (class, was) =
        (new.at("spec").opt_str("volumeAttributesClassName"), old.at("spec").opt_str("volumeAttributesClassName"));
    if class == was || !old.at("status").has("currentVolumeAttributesClassName") {
        return;
    }
    let to = match class {
        None => "nil",
        Some("") => "empty string",
        Some(_) => return,
    };
    let at = Path::new("spec").child("volumeAttributesClassName");
    errs.forbidden(&at, format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil"));
}

/// Upstream: `ValidatePersistentVolumeClaimStatusUpdate`.
fn validate_status(new: &Value) -> Errors {
    let mut errs = has_revision(new);
    if new.at("spec").list("accessModes").is_empty() {
        errs.required(&Path::new("Spec").child("accessModes"), "");
    }
    let (status, at) = (new.at("status"), Path::new("status"));
    for (name, value) in status.at("capacity").members() {
        basic_amount(&resources::amount(value), &at.child("capacity").key(name), &mut errs);
    }
    let health = at.child("healthStatus").child("healthConditions");
    for (i, condition) in status.at("healthStatus").list("healthConditions").iter().enumerate() {
        let reason = condition.str("reason");
        if !reason.is_empty() {
            checks::messages(&mut errs, &health.index(i).child("reason"), reason, checks::condition_reason(reason));
        }
    }
    let statuses = at.child("allocatedResourceStatuses");
    for (name, value) in status.at("allocatedResourceStatuses").members() {
        resource_key(name, &statuses, &mut errs);
        if !value.as_str().is_some_and(|v| RESIZE_STATUSES.contains(&v)) {
            // Upstream shows the key.
            errs.not_supported(&statuses, name, &RESIZE_STATUSES);
        }
    }
    let allocated = at.child("allocatedResources");
    for (name, value) in status.at("allocatedResources").members() {
        let (value, at) = (resources::amount(value), allocated.key(name));
        if resource_key(name, &allocated, &mut errs) && basic_amount(&value, &at, &mut errs) {
            resources::quantity("storage", &value, &at, &mut errs);
        }
    }
    errs
}

/// Upstream: `validatePersistentVolumeClaimResourceKey`. Returns whether it is right.
fn resource_key(name: &str, at: &Path, errs: &mut Errors) -> bool {
    let wrong = names::qualified_name(name);
    let unknown = wrong.is_empty() && resources::is_native(name) && name != "storage";
    let right = wrong.is_empty() && !unknown;
    checks::messages(errs, at, name, wrong);
    if unknown {
        errs.not_supported(at, name, &["storage"]);
    }
    right
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::texts;

    fn claim() -> Value {
        value!({"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}, "volumeMode": "Filesystem", "storageClassName": "fast"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}})
    }

    fn with(path: &[&str], member: impl Into<Value>) -> Value {
        let mut claim = claim();
        claim.set_path(path, member);
        claim
    }

    #[test]
    fn sources_are_kept_alike() {
        let mut spec =
            value!({"dataSource": {"kind": "VolumeSnapshot", "apiGroup": "snapshot.storage.k8s.io", "name": "s"}});
        prepare(&mut spec, Value::NULL);
        assert_eq!(spec.at("dataSourceRef"), spec.at("dataSource"));
        let mut spec = value!({"dataSource": {"kind": "Other", "apiGroup": "x.io", "name": "s"}});
        prepare(&mut spec, Value::NULL);
        assert!(!spec.has("dataSource"));
        let mut spec = value!({"dataSourceRef": {"kind": "Other", "apiGroup": "x.io", "name": "s"}});
        prepare(&mut spec, Value::NULL);
        assert!(spec.has("dataSource"));
    }

    #[test]
    fn a_bound_claim_may_grow() {
        let old = claim();
        assert!(validate(&old, claim::Options::default()).is_empty());
        assert!(validate_update(&with(&["spec", "resources", "requests", "storage"], "2Gi"), &old).is_empty());
        assert_eq!(
            texts(&validate_update(&with(&["spec", "resources", "requests", "storage"], "512Mi"), &old)),
            ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
        );
    }

    #[test]
    fn the_rest_of_a_spec_stays() {
        let old = claim();
        let errs = texts(&validate_update(&with(&["spec", "storageClassName"], "slow"), &old));
        let head = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n@@ ";
        assert!(errs.len() == 1 && errs[0].starts_with(head), "{errs:?}");
        assert!(errs[0].contains("- \"StorageClassName\": \"fast\",\n+ \"StorageClassName\": \"slow\",\n"), "{errs:?}");
        let mut nameless = claim();
        nameless.remove_path(&["spec", "storageClassName"]);
        assert!(validate_update(&claim(), &nameless).is_empty());
        assert!(validate_update(&with(&["spec", "volumeName"], "pv"), &old).is_empty());
    }

    #[test]
    fn a_status_has_known_resources() {
        let new = with(&["status", "allocatedResourceStatuses"], value!({"cpu": "X", "storage": "NodeResizePending"}));
        assert_eq!(
            texts(&validate_status(&new)),
            [
                "status.allocatedResourceStatuses: Unsupported value: \"cpu\": supported values: \"storage\"",
                "status.allocatedResourceStatuses: Unsupported value: \"cpu\": supported values: \"ControllerResizeInProgress\", \"ControllerResizeInfeasible\", \"NodeResizeInProgress\", \"NodeResizeInfeasible\", \"NodeResizePending\"",
            ]
        );
    }

    #[test]
    fn parts_of_bytes_warn() {
        let new = with(&["spec", "resources", "requests", "storage"], "1500m");
        assert_eq!(
            warn(&new),
            ["spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer"]
        );
    }

    #[test]
    fn a_table_shows_what_is_bound() {
        assert_eq!(bound(&claim(), |_| "x".into()), "".into());
        assert_eq!(bound(&with(&["spec", "volumeName"], "pv"), |s| access_modes(s.list("accessModes"))), "".into());
        assert_eq!(phase(&claim()), "Bound".into());
    }
}
