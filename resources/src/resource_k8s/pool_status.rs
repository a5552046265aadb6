//! ResourcePoolStatusRequests: how full pools are, asked once. Alpha: off unless asked for.
//!
//! Upstream: pkg/registry/resource/resourcepoolstatusrequest.

use api::{
    Value,
    field::{Errors, Path},
};

use super::GROUP;
use crate::{
    cells, checks,
    row::{Column, Context, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{drop_status, drop_unless_used, keep_status, stored, text},
};

pub const LIMIT_DEFAULT: i64 = 100;
const ATTRIBUTE: &[&str] = &["spec", "defaultPartitionTypeAttribute"];

pub const ROW: Row = Row {
    status_tables: false,
    group: GROUP,
    kind: "ResourcePoolStatusRequest",
    plural: "resourcepoolstatusrequests",
    name_on_update: false,
    versions: &[Version {
        lifecycle: (36, 39, 42),
        ..Version::off("v1alpha3", "io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequest")
    }],
    stored: stored(GROUP, "v1alpha3", "resourcepoolstatusrequests"),
    subresources: &[Subresource::Status(StatusRules { validate: validate_status, ..StatusRules::STATUS_ONLY })],
    reset: &["status"],
    unconditional_update: false,
    columns: COLUMNS,
    rules: Rules {
        prepare_create: |new, context| {
            drop_status(new, context);
            drop_unless_used(new, None, ATTRIBUTE);
        },
        prepare_update: |new, old, context| {
            keep_status(new, old, context);
            drop_unless_used(new, Some(old), ATTRIBUTE);
        },
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Driver", "string", |r, _| text(r, &["spec", "driver"])),
    column("Total", "string", |r, _| sum(r, "totalDevices")),
    column("Available", "string", |r, _| sum(r, "availableDevices")),
    column("Allocated", "string", |r, _| sum(r, "allocatedDevices")),
    column("Unavailable", "string", |r, _| sum(r, "unavailableDevices")),
    column("Errors", "string", |r, _| {
        counted(r, |pools| pools.iter().filter(|p| p.has("validationError")).count() as i64)
    }),
    column("Pools", "integer", |r, _| r.at("status").int("poolCount").into()),
    column("Status", "string", |r, _| state(r)),
    column("Completed", "string", |r, now| match outcome(r) {
        Some(end) if end.str("type") == "Complete" => cells::age(end.str("lastTransitionTime"), now).into(),
        _ => cells::NONE.into(),
    }),
];

/// The first condition that says how it ended.
fn outcome(request: &Value) -> Option<&Value> {
    let mut conditions = request.at("status").list("conditions").iter();
    conditions.find(|c| c.str("status") == "True" && matches!(c.str("type"), "Complete" | "Failed"))
}

/// Something over all pools, `-` while nothing is known.
fn counted(request: &Value, count: impl Fn(&[Value]) -> i64) -> Value {
    let failed = outcome(request).is_some_and(|end| end.str("type") == "Failed");
    if failed || !request.has("status") {
        return "-".into();
    }
    count(request.at("status").list("pools")).to_string().into()
}

fn sum(request: &Value, member: &str) -> Value {
    counted(request, |pools| pools.iter().map(|p| p.int(member)).sum())
}

fn state(request: &Value) -> Value {
    let (pools, shown) = (request.at("status").int("poolCount"), request.at("status").list("pools").len());
    match outcome(request).map(|end| end.str("type")) {
        None => "Pending".into(),
        Some("Complete") if pools > shown as i64 => format!("Complete ({shown}/{pools} pools)").into(),
        Some(kind) => kind.into(),
    }
}

/// Once answered it stays.
fn validate_status(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let at = Path::new("status");
    if old.has("status") {
        checks::immutable(new.at("status"), old.at("status"), &at, &mut errs);
    } else {
        checks::conditions(new.at("status").list("conditions"), &at.child("conditions"), &mut errs);
    }
    errs
}
