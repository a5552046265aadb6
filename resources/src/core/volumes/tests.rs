//! Cases for persistent volumes.

use super::*;
use crate::testing::{context, texts};

fn volume() -> Value {
    value!({"metadata": {"name": "pv1", "resourceVersion": "1"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": "Filesystem", "csi": {"driver": "a.b", "volumeHandle": "h"}}})
}

fn with(path: &[&str], member: Value) -> Value {
    let mut volume = volume();
    volume.set_path(path, member);
    volume
}

#[test]
fn a_volume_is_filled_in() {
    let mut volume = value!({"spec": {}});
    default(&mut volume);
    assert_eq!(
        volume,
        value!({"spec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}})
    );
}

#[test]
fn a_spec_has_capacity_modes_and_one_source() {
    assert!(validate(&volume(), false).is_empty());
    assert_eq!(
        texts(&validate(&value!({"spec": {}}), false)),
        [
            "spec.accessModes: Required value",
            "spec.capacity: Required value",
            "spec.capacity: Unsupported value: null: supported values: \"storage\"",
            "spec: Required value: must specify a volume type",
        ]
    );
    assert_eq!(
        texts(&validate(&with(&["spec", "nfs"], value!({"server": "s", "path": "p"})), false)),
        [
            "spec.nfs.path: Invalid value: \"p\": must be an absolute path",
            "spec.csi: Forbidden: may not specify more than 1 volume type",
        ]
    );
    let local = {
        let mut volume = volume();
        volume.remove_path(&["spec", "csi"]);
        volume.set_path(&["spec", "local"], value!({"path": "a/../b"}));
        volume
    };
    assert_eq!(
        texts(&validate(&local, false)),
        [
            "spec.local.path: Invalid value: \"a/../b\": must not contain '..'",
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
        ]
    );
}

#[test]
fn iscsi_has_rules_of_its_own() {
    let mut volume = volume();
    volume.remove_path(&["spec", "csi"]);
    volume.set_path(
        &["spec", "iscsi"],
        value!({"targetPortal": "p", "iqn": "x", "lun": 300, "secretRef": {}, "initiatorName": "y"}),
    );
    assert_eq!(
        texts(&validate(&volume, false)),
        [
            "spec.iscsi.iqn: Invalid value: \"x\": must be valid format",
            "spec.iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive",
            "spec.iscsi.secretRef.name: Required value",
            "spec.iscsi.initiatorname: Invalid value: \"y\": must be valid format",
        ]
    );
}

#[test]
fn a_source_stays() {
    let old = volume();
    assert!(validate_update(&old, &old).is_empty());
    let secret = value!({"name": "a", "namespace": "b"});
    assert!(validate_update(&with(&["spec", "csi", "controllerExpandSecretRef"], secret), &old).is_empty());
    let errs = texts(&validate_update(&with(&["spec", "csi", "volumeHandle"], "other".into()), &old));
    assert_eq!(errs.len(), 1);
    assert!(
        errs[0].starts_with(
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n@@ "
        ),
        "{errs:?}"
    );
    assert!(errs[0].contains("-  \"VolumeHandle\": \"h\",\n+  \"VolumeHandle\": \"other\",\n"), "{errs:?}");
}

#[test]
fn nodes_stay_but_for_names_of_labels() {
    let with_key = |key: &str| {
        let terms = value!([{"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}]);
        with(&["spec", "nodeAffinity", "required", "nodeSelectorTerms"], terms)
    };
    let old = with_key("failure-domain.beta.kubernetes.io/zone");
    assert!(validate_update(&with_key("topology.kubernetes.io/zone"), &old).is_empty());
    let errs = texts(&validate_update(&with_key("other"), &old));
    assert_eq!(errs.len(), 1);
    assert!(errs[0].starts_with("nodeAffinity: Invalid value: {\"Required\":{\"NodeSelectorTerms\":["), "{errs:?}");
}

#[test]
fn the_time_of_a_phase_is_kept() {
    let old = value!({"status": {"phase": "Pending", "lastPhaseTransitionTime": "2020-01-01T00:00:00Z"}});
    let mut new = value!({"status": {"phase": "Bound"}});
    prepare_status(&mut new, &old, &context());
    assert_eq!(new.at("status").str("lastPhaseTransitionTime"), "2026-01-02T03:04:05Z");
    let mut new = value!({"status": {"phase": "Pending"}});
    prepare_status(&mut new, &old, &context());
    assert_eq!(new.at("status").str("lastPhaseTransitionTime"), "2020-01-01T00:00:00Z");
}

#[test]
fn an_inline_spec_says_less() {
    let place = Place { inline: true, ..Place::default() };
    let mut errs = Errors::new();
    spec(volume().at("spec"), place, &Path::new("inline"), &mut errs);
    assert_eq!(texts(&errs), ["inline.capacity: Forbidden: may not be specified in the context of inline volumes"]);
}

#[test]
fn old_ways_warn() {
    let volume = value!({"spec": {"persistentVolumeReclaimPolicy": "Recycle", "rbd": {}}});
    assert_eq!(warn(&volume).len(), 2);
    assert!(warn(&volume)[1].starts_with("spec.rbd: deprecated in v1.28"));
    assert_eq!(access_modes(value!(["ReadOnlyMany", "ReadWriteOnce"]).items()), "RWO,ROX");
    assert!(cleaned_is_root("/a/..") && !cleaned_is_root("/a"));
}
