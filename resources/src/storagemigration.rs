//! storagemigration.k8s.io: writing every object of a resource anew.
//!
//! Upstream: pkg/apis/storagemigration/validation, pkg/registry/storagemigration.

use api::{
    Value,
    field::{Errors, Path},
    names, value,
};

use crate::{
    checks,
    row::{Column, Context, NAME, Row, Rules, StatusRules, Subresource, TypeDefault, Version, column},
    strategy::{drop_status, keep_status, stored},
};

const GROUP: &str = "storagemigration.k8s.io";

pub const ROWS: &[Row] = &[MIGRATION];
pub const DEFAULTS: &[TypeDefault] = &[];

const MIGRATION: Row = Row {
    group: GROUP,
    kind: "StorageVersionMigration",
    plural: "storageversionmigrations",
    versions: &[
        Version::stable("v1", "io.k8s.api.storagemigration.v1.StorageVersionMigration"),
        Version {
            lifecycle: (35, 37, 40),
            replacement: "storagemigration.k8s.io/v1 StorageVersionMigration",
            ..Version::off("v1beta1", "io.k8s.api.storagemigration.v1beta1.StorageVersionMigration")
        },
    ],
    stored: stored(GROUP, "v1beta1", "storageversionmigrations"),
    subresources: &[Subresource::Status(StatusRules { validate: validate_status, ..StatusRules::STATUS_ONLY })],
    reset: &["status"],
    unconditional_update: false,
    columns: &[
        Column { format: "", ..NAME },
        column("Resource", "string", |m, _| resource(m)),
        column("Status", "string", |m, _| state(m)),
    ],
    rules: Rules { prepare_create: drop_status, prepare_update: keep_status, validate, validate_update, ..Rules::NONE },
    ..Row::CLUSTER
};

fn resource(migration: &Value) -> Value {
    let resource = migration.at("spec").at("resource");
    api::GroupResource::new(resource.str("group"), resource.str("resource")).to_string().into()
}

fn state(migration: &Value) -> Value {
    let known = |c: &&Value| c.str("status") == "True" && matches!(c.str("type"), "Running" | "Failed" | "Succeeded");
    let last = migration.at("status").list("conditions").iter().rfind(known);
    last.map_or("Unknown", |c| c.str("type")).into()
}

fn validate(migration: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (resource, at) = (migration.at("spec").at("resource"), Path::new("spec").child("resource"));
    let (group, name) = (resource.str("group"), resource.str("resource"));
    if name.is_empty() {
        errs.required(&at.child("resource"), "resource is required to be set");
    } else {
        joined(&mut errs, &at.child("resource"), name, &names::dns1035_label(name));
    }
    if !group.is_empty() {
        joined(&mut errs, &at.child("group"), group, &names::dns1123_subdomain(group));
    }
    errs
}

fn joined(errs: &mut Errors, at: &Path, value: &str, texts: &[String]) {
    if !texts.is_empty() {
        errs.invalid(at, value, texts.join(","));
    }
}

fn validate_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = validate(new, context);
    let shown = |spec: &Value| {
        let resource = spec.at("resource");
        value!({"Resource": {"group": (resource.str("group")), "resource": (resource.str("resource"))}})
    };
    checks::immutable_shown(new.at("spec"), old.at("spec"), shown, &Path::new("spec"), &mut errs);
    errs
}

/// Upstream: `ValidateStorageVersionMigrationStatusUpdate`.
fn validate_status(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status");
    let (is, was) = (new.at("status"), old.at("status"));
    let revision = is.str("resourceVersion");
    if !revision.is_empty() && !is_revision(revision) {
        let text = format!("resource version is not well formed: {revision}");
        errs.invalid(&at.child("resourceVersion"), revision, text);
    }
    let (conditions, at_conditions) = (is.at("conditions"), at.child("conditions"));
    checks::conditions(conditions.items(), &at_conditions, &mut errs);
    if !was.str("resourceVersion").is_empty() && was.str("resourceVersion") != revision {
        errs.invalid(&at.child("resourceVersion"), revision, checks::IMMUTABLE);
    }
    let holds = |status: &Value, kind: &str| {
        status.list("conditions").iter().find(|c| c.str("type") == kind).is_some_and(|c| c.str("status") == "True")
    };
    if holds(is, "Succeeded") && holds(is, "Failed") {
        errs.invalid(&at_conditions, conditions, "Both success and failed conditions cannot be true at the same time");
    }
    for (kind, word) in [("Succeeded", "Success"), ("Failed", "Failed")] {
        if holds(was, kind) && !holds(is, kind) {
            let text = format!("{word} condition cannot be set to false once it is true");
            errs.invalid(&at_conditions, conditions, text);
        }
    }
    errs
}

/// Digits without a leading zero.
fn is_revision(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    fn a_migration(resource: &str) -> Value {
        value!({"spec": {"resource": {"group": "apps", "resource": resource}}})
    }

    #[test]
    fn a_revision_is_a_number_and_shown_as_it_is() {
        let mut new = a_migration("deployments");
        new.set_path(&["status", "resourceVersion"], "a b");
        let errs = texts(&validate_status(&new, &a_migration("deployments"), &context()));
        assert_eq!(errs, ["status.resourceVersion: Invalid value: \"a b\": resource version is not well formed: a b"]);
    }

    #[test]
    fn a_resource_is_named_and_stays() {
        assert!(validate(&a_migration("deployments"), &context()).is_empty());
        assert_eq!(
            texts(&validate(&a_migration(""), &context())),
            ["spec.resource.resource: Required value: resource is required to be set"]
        );
        assert_eq!(
            texts(&validate_update(&a_migration("a"), &a_migration("b"), &context())),
            ["spec: Invalid value: {\"Resource\":{\"group\":\"apps\",\"resource\":\"a\"}}: field is immutable"]
        );
        assert_eq!(resource(&a_migration("deployments")), "deployments.apps".into());
    }

    #[test]
    fn an_end_is_an_end() {
        let done = |kind: &str| {
            value!({"status": {"resourceVersion": "7", "conditions": [{
                "type": kind, "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"
            }]}})
        };
        assert_eq!(state(&done("Succeeded")), "Succeeded".into());
        let found = texts(&validate_status(&done("Failed"), &done("Succeeded"), &context()));
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("Success condition cannot be set to false once it is true"));
        let changed = value!({"status": {"resourceVersion": "08"}});
        assert_eq!(validate_status(&changed, &value!({"status": {"resourceVersion": "7"}}), &context()).len(), 2);
    }
}
