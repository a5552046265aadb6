//! CSINodes. Upstream: pkg/apis/storage/validation, pkg/registry/storage/csinode.

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use super::GROUP;
use crate::{
    checks,
    pod::claim::csi_driver_name,
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{drop_unless_used, keep_spec_and_metadata, keep_status, stored},
};

const NODE_ID_LEN_MAX: usize = 256;
const HEALTH: &[&str] = &["status", "storageHealth"];

pub const ROW: Row = Row {
    group: GROUP,
    kind: "CSINode",
    plural: "csinodes",
    versions: &[Version::stable("v1", "io.k8s.api.storage.v1.CSINode")],
    stored: stored(GROUP, "v1", "csinodes"),
    unconditional_update: false,
    subresources: &[Subresource::Status(STATUS)],
    reset: &["status"],
    columns: COLUMNS,
    rules: Rules {
        prepare_create: crate::strategy::drop_status,
        prepare_update,
        validate,
        validate_update,
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const STATUS: StatusRules =
    StatusRules { prepare: prepare_status, validate: validate_status, ..StatusRules::STATUS_ONLY };

const COLUMNS: &[Column] = &[NAME, column("Drivers", "integer", |n, _| n.at("spec").list("drivers").len().into()), AGE];

fn prepare_update(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_status(new, old, context);
    drop_unless_used(new, Some(old), HEALTH);
}

/// Volume health is an alpha feature; what is not in use is dropped.
fn prepare_status(new: &mut Value, old: &Value, context: &Context<'_>) {
    keep_spec_and_metadata(new, old, context);
    drop_unless_used(new, Some(old), HEALTH);
}

fn validate(node: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let drivers = node.at("spec").list("drivers");
    for (i, driver) in drivers.iter().enumerate() {
        validate_driver(driver, &drivers[..i], &Path::new("spec").child("drivers").index(i), &mut errs);
    }
    errs
}

/// Upstream: `validateCSINodeDriver`.
fn validate_driver(driver: &Value, before: &[Value], at: &Path, errs: &mut Errors) {
    csi_driver_name(driver.str("name"), &at.child("name"), errs);
    let (id, id_at) = (driver.str("nodeID"), at.child("nodeID"));
    if id.is_empty() {
        errs.required(&id_at, "");
    }
    if id.len() > NODE_ID_LEN_MAX {
        errs.invalid(&id_at, id, format!("must be {NODE_ID_LEN_MAX} characters or less"));
    }
    let count = driver.at("allocatable").int("count");
    checks::not_negative(errs, &at.child("allocatable").child("count"), count);
    if before.iter().any(|b| b.str("name") == driver.str("name")) {
        errs.duplicate(&at.child("name"), driver.str("name"));
    }
    let keys = driver.list("topologyKeys");
    for (i, key) in keys.iter().enumerate() {
        let text = key.as_str().unwrap_or("");
        if text.is_empty() {
            errs.required(at, "");
        }
        if keys[..i].contains(key) {
            errs.duplicate(at, text);
        }
        checks::label_name(text, at, errs);
    }
}

/// A driver's entry may come and go, but of one that stays only the allocatable count may change.
fn validate_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = validate(new, context);
    let at = Path::new("spec").child("drivers");
    let shown = |d: &Value| {
        value!({
            "Name": (d.str("name")), "NodeID": (d.str("nodeID")),
            "TopologyKeys": (d.at("topologyKeys")), "Allocatable": null
        })
    };
    for was in old.at("spec").list("drivers") {
        for is in new.at("spec").list("drivers").iter().filter(|is| is.str("name") == was.str("name")) {
            checks::immutable(&shown(is), &shown(was), &at, &mut errs);
        }
    }
    errs
}

fn validate_status(new: &Value, _old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let health = new.at_path(HEALTH).items();
    for (i, entry) in health.iter().enumerate() {
        let at = Path::new("status").child("storageHealth").index(i);
        if health[..i].iter().any(|h| h.str("name") == entry.str("name")) {
            errs.duplicate(&at, entry.str("name"));
        }
        csi_driver_name(entry.str("name"), &at.child("name"), &mut errs);
        let conditions = entry.list("healthConditions");
        if conditions.len() > 16 {
            errs.too_many(&at.child("healthConditions"), conditions.len(), 16);
            continue;
        }
        for (j, condition) in conditions.iter().enumerate() {
            health_condition(condition, &at.child("healthConditions").index(j), &mut errs);
        }
    }
    errs
}

/// Upstream: `validateStorageHealthCondition`.
fn health_condition(condition: &Value, at: &Path, errs: &mut Errors) {
    checks::one_of(errs, &at.child("status"), condition.str("status"), &["StorageDegraded", "StorageUnreachable"]);
    match condition.str("reason") {
        "" => errs.required(&at.child("reason"), ""),
        reason => {
            checks::messages(errs, &at.child("reason"), reason, checks::condition_reason(reason));
            if reason.len() > 256 {
                errs.too_long(&at.child("reason"), 256);
            }
        }
    }
    if condition.str("message").len() > 1024 {
        errs.too_long(&at.child("message"), 1024);
    }
    let modes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    if let Some(mode) = condition.opt_str("accessMode") {
        checks::one_of(errs, &at.child("accessMode"), mode, &modes);
    }
    if let Some(mode) = condition.opt_str("volumeMode") {
        checks::one_of(errs, &at.child("volumeMode"), mode, &["Filesystem", "Block"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    #[test]
    fn drivers_are_named_once() {
        let node = value!({"spec": {"drivers": [
            {"name": "a.b", "nodeID": "n", "topologyKeys": ["k", "k"]}, {"name": "a.b", "allocatable": {"count": (-1)}}
        ]}});
        assert_eq!(
            texts(&validate(&node, &context())),
            [
                "spec.drivers[0]: Duplicate value: \"k\"",
                "spec.drivers[1].nodeID: Required value",
                "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
                "spec.drivers[1].name: Duplicate value: \"a.b\"",
            ]
        );
    }

    #[test]
    fn of_a_driver_only_the_count_changes() {
        let node = |id: &str, count: i64| value!({"spec": {"drivers": [{"name": "a", "nodeID": id, "allocatable": {"count": count}}]}});
        assert!(validate_update(&node("n", 2), &node("n", 1), &context()).is_empty());
        assert_eq!(
            texts(&validate_update(&node("m", 1), &node("n", 1), &context())),
            [
                "spec.drivers: Invalid value: {\"Name\":\"a\",\"NodeID\":\"m\",\"TopologyKeys\":null,\"Allocatable\":null}: field is immutable"
            ]
        );
    }
}
