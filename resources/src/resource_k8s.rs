//! resource.k8s.io: devices, who offers them, and who has asked for which.
//!
//! Whether a user may bind is not judged here. Upstream: pkg/apis/resource/validation, pkg/registry/resource.

mod admin;
mod capacity;
mod claim;
mod convert;
mod device;
mod lists;
mod pool_status;
mod prepare;
mod slice;
mod status;
mod taint;
#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path},
};

use crate::{
    checks, names,
    pod::internal,
    row::{
        AGE, Column, Generation, NAME, NAME_AND_AGE, Row, Rules, Selectable, StatusRules, Subresource, TypeDefault,
        Version, column,
    },
    strategy::{SPEC, stored, text},
};

const GROUP: &str = "resource.k8s.io";

pub const ROWS: &[Row] =
    &[DEVICE_CLASS, RESOURCE_CLAIM, RESOURCE_CLAIM_TEMPLATE, RESOURCE_SLICE, taint::ROW, pool_status::ROW];

/// The three versions of what was there from the first beta on.
macro_rules! versions {
    ($kind:literal, $convert:expr) => {
        &[
            Version::stable("v1", concat!("io.k8s.api.resource.v1.", $kind)),
            Version {
                lifecycle: (33, 36, 39),
                ..Version::off("v1beta2", concat!("io.k8s.api.resource.v1beta2.", $kind))
            },
            Version {
                lifecycle: (32, 35, 38),
                convert: $convert,
                ..Version::off("v1beta1", concat!("io.k8s.api.resource.v1beta1.", $kind))
            },
        ]
    };
}

const DEVICE_CLASS: Row = Row {
    group: GROUP,
    kind: "DeviceClass",
    // Upstream: ValidateObjectMetaWithOpts, which leaves generateName alone.
    name_rule: names::drawn_dns_subdomain,
    plural: "deviceclasses",
    versions: versions!("DeviceClass", None),
    stored: stored(GROUP, "v1", "deviceclasses"),
    generation: SPEC,
    columns: NAME_AND_AGE,
    rules: Rules {
        validate: |new, _| claim::validate_class(new, None),
        validate_update: |new, old, _| claim::validate_class(new, Some(old)),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const RESOURCE_CLAIM: Row = Row {
    status_tables: false,
    group: GROUP,
    kind: "ResourceClaim",
    plural: "resourceclaims",
    versions: versions!("ResourceClaim", Some(convert::CLAIM)),
    stored: stored(GROUP, "v1", "resourceclaims"),
    subresources: &[Subresource::Status(StatusRules {
        prepare: prepare::claim_status,
        validate: |new, old, context| {
            let mut errs = admin::of_status(new, old, context);
            errs.extend(status::validate(new, old));
            errs
        },
        ..StatusRules::STATUS_ONLY
    })],
    reset: &["status"],
    columns: &[NAME, column("State", "string", |c, _| state(c)), AGE],
    rules: Rules {
        prepare_create: prepare::new_claim,
        prepare_update: prepare::changed_claim,
        validate: |new, context| {
            let mut errs = admin::of_spec(new.at("spec"), new, context);
            errs.extend(claim::validate(new));
            errs
        },
        validate_update: |new, old, _| unchanged(new, old),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const RESOURCE_CLAIM_TEMPLATE: Row = Row {
    group: GROUP,
    kind: "ResourceClaimTemplate",
    plural: "resourceclaimtemplates",
    versions: versions!("ResourceClaimTemplate", Some(convert::CLAIM_TEMPLATE)),
    stored: stored(GROUP, "v1", "resourceclaimtemplates"),
    columns: NAME_AND_AGE,
    rules: Rules {
        prepare_create: |new, _| prepare::drop_in_claim(new.entry_path(&["spec", "spec"]), Value::NULL),
        prepare_update: |new, old, _| {
            prepare::drop_in_claim(new.entry_path(&["spec", "spec"]), old.at_path(&["spec", "spec"]))
        },
        validate: |new, context| {
            let mut errs = admin::of_spec(new.at_path(&["spec", "spec"]), new, context);
            errs.extend(claim::validate_template(new));
            errs
        },
        validate_update: |new, old, _| {
            let mut errs = claim::validate_template(new);
            let (is, was) = (new.at("spec"), old.at("spec"));
            if !internal::same("ResourceClaimTemplateSpec", is, was) {
                let shown = internal::json("ResourceClaimTemplateSpec", is);
                errs.invalid_raw(&Path::new("spec"), shown, checks::IMMUTABLE);
            }
            errs
        },
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const RESOURCE_SLICE: Row = Row {
    group: GROUP,
    kind: "ResourceSlice",
    name_on_update: false,
    plural: "resourceslices",
    versions: versions!("ResourceSlice", Some(convert::SLICE)),
    stored: stored(GROUP, "v1", "resourceslices"),
    generation: Generation::Rule(prepare::slice_generation),
    selectable: &[
        Selectable { label: "spec.nodeName", value: |s| s.at("spec").str("nodeName").into() },
        Selectable { label: "spec.driver", value: |s| s.at("spec").str("driver").into() },
        Selectable { label: "spec.pool.name", value: |s| s.at("spec").at("pool").str("name").into() },
    ],
    label_words: crate::row::LabelWords::Version,
    columns: SLICE_COLUMNS,
    dated: Some(prepare::date_taints),
    rules: Rules {
        prepare_create: |new, _| prepare::new_slice(new),
        prepare_update: |new, old, _| prepare::changed_slice(new, old),
        validate: |new, _| slice::validate(new, None),
        validate_update: |new, old, _| slice::validate(new, Some(old)),
        warn: |new, _| slice::warn(new),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const SLICE_COLUMNS: &[Column] = &[
    NAME,
    column("Node", "string", |s, _| text(s, &["spec", "nodeName"])),
    column("Driver", "string", |s, _| text(s, &["spec", "driver"])),
    column("Pool", "string", |s, _| text(s, &["spec", "pool", "name"])),
    AGE,
];

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.resource.v1.ExactDeviceRequest", run: default_request },
    TypeDefault { schema: "io.k8s.api.resource.v1.DeviceSubRequest", run: default_request },
    TypeDefault { schema: "io.k8s.api.resource.v1beta2.ExactDeviceRequest", run: default_request },
    TypeDefault { schema: "io.k8s.api.resource.v1beta2.DeviceSubRequest", run: default_request },
    TypeDefault { schema: "io.k8s.api.resource.v1beta1.DeviceSubRequest", run: default_request },
    TypeDefault {
        schema: "io.k8s.api.resource.v1beta1.DeviceRequest",
        // Without a class it has alternatives, which have modes of their own.
        run: |request| {
            if !request.str("deviceClassName").is_empty() {
                default_request(request);
            }
        },
    },
    TypeDefault {
        schema: "io.k8s.api.resource.v1alpha3.ResourcePoolStatusRequestSpec",
        run: |spec| {
            spec.default("limit", pool_status::LIMIT_DEFAULT);
        },
    },
];

/// Upstream: `SetDefaults_ExactDeviceRequest`, `SetDefaults_DeviceSubRequest`.
fn default_request(request: &mut Value) {
    // Of a request that was converted it may be left open: then it is there, and empty.
    if !request.has("allocationMode") {
        request.set("allocationMode", "ExactCount");
    }
    if request.str("allocationMode") == "ExactCount" && !request.has("count") {
        request.set("count", 1);
    }
}

/// Upstream: `resourceClaimState`.
fn state(claim: &Value) -> Value {
    let deleted = api::meta::of(claim).is_terminating();
    let status = claim.at("status");
    let mut states = Vec::new();
    if deleted {
        states.push("deleted");
    }
    match status.has("allocation") {
        false if deleted => {}
        false => states.push("pending"),
        true => states.push("allocated"),
    }
    if status.has("allocation") && !status.list("reservedFor").is_empty() {
        states.push("reserved");
    }
    states.join(",").into()
}

/// The spec of a claim never changes; what else is wrong with it does not matter then.
fn unchanged(new: &Value, old: &Value) -> Errors {
    let mut errs = Errors::new();
    checks::immutable(new.at("spec"), old.at("spec"), &Path::new("spec"), &mut errs);
    errs
}
