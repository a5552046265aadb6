//! coordination.k8s.io: leases, and those who would like one.
//!
//! Upstream: pkg/apis/coordination/validation/validation.go, pkg/registry/coordination.

mod semver;
#[cfg(test)]
mod tests;

use api::{
    Value,
    field::{Errors, Path},
    names as words,
};

use crate::{
    checks,
    row::{AGE, Context, NAME, Row, Rules, TypeDefault, Version, column},
    strategy::{drop_unless_used, stored, text},
};

const GROUP: &str = "coordination.k8s.io";
const OLDEST: &str = "OldestEmulationVersion";

pub const ROWS: &[Row] = &[LEASE, LEASE_CANDIDATE];
pub const DEFAULTS: &[TypeDefault] = &[];

const LEASE: Row = Row {
    group: GROUP,
    kind: "Lease",
    name_on_update: false,
    plural: "leases",
    versions: &[Version::stable("v1", "io.k8s.api.coordination.v1.Lease")],
    stored: stored(GROUP, "v1", "leases"),
    unconditional_update: false,
    create_on_update: true,
    columns: &[NAME, column("Holder", "string", |o, _| text(o, &["spec", "holderIdentity"])), AGE],
    rules: Rules {
        prepare_create: |new, _| drop_disabled(new, None),
        prepare_update: |new, old, _| drop_disabled(new, Some(old)),
        validate: |new, _| validate_lease(new),
        validate_update: |new, _, _| validate_lease(new),
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

const LEASE_CANDIDATE: Row = Row {
    group: GROUP,
    kind: "LeaseCandidate",
    plural: "leasecandidates",
    versions: &[
        Version::off("v1beta1", "io.k8s.api.coordination.v1beta1.LeaseCandidate"),
        Version::off("v1alpha2", "io.k8s.api.coordination.v1alpha2.LeaseCandidate"),
    ],
    stored: stored(GROUP, "v1beta1", "leasecandidates"),
    unconditional_update: false,
    create_on_update: true,
    name_on_update: false,
    name_rule: |name, _| words::config_map_key(name),
    columns: &[
        NAME,
        column("LeaseName", "string", |o, _| text(o, &["spec", "leaseName"])),
        column("BinaryVersion", "string", |o, _| text(o, &["spec", "binaryVersion"])),
        column("EmulationVersion", "string", |o, _| text(o, &["spec", "emulationVersion"])),
        AGE,
    ],
    rules: Rules {
        validate: |new, _| validate_candidate(new),
        validate_update: validate_candidate_update,
        ..Rules::NONE
    },
    ..Row::NAMESPACED
};

/// Coordinated leader election is off.
fn drop_disabled(new: &mut Value, old: Option<&Value>) {
    for member in ["strategy", "preferredHolder"] {
        drop_unless_used(new, old, &["spec", member]);
    }
}

/// Upstream: `ValidateLeaseSpec`.
fn validate_lease(lease: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (lease.at("spec"), Path::new("spec"));
    if let Some(seconds) = spec.opt_int("leaseDurationSeconds").filter(|s| *s <= 0) {
        errs.invalid(&at.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    checks::not_negative(&mut errs, &at.child("leaseTransitions"), spec.int("leaseTransitions"));
    if let Some(strategy) = spec.opt_str("strategy") {
        self::strategy(strategy, &at.child("strategy"), &mut errs);
    }
    if !spec.str("preferredHolder").is_empty() && spec.str("strategy").is_empty() {
        errs.forbidden(&at.child("preferredHolder"), "may only be specified if `strategy` is defined");
    }
    errs
}

fn validate_candidate_update(new: &Value, old: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = validate_candidate(new);
    let at = Path::new("spec").child("leaseName");
    checks::immutable(&text(new, &["spec", "leaseName"]), &text(old, &["spec", "leaseName"]), &at, &mut errs);
    errs
}

/// Upstream: `ValidateLeaseCandidateSpec`.
fn validate_candidate(candidate: &Value) -> Errors {
    let mut errs = Errors::new();
    let (spec, at) = (candidate.at("spec"), Path::new("spec"));
    if spec.str("leaseName").is_empty() {
        errs.required(&at.child("leaseName"), "");
    }
    let emulation = version(spec, "emulationVersion", &at, &mut errs);
    if spec.str("binaryVersion").is_empty() {
        errs.required(&at.child("binaryVersion"), "");
    }
    let binary = version(spec, "binaryVersion", &at, &mut errs);
    let both = !spec.str("binaryVersion").is_empty() && !spec.str("emulationVersion").is_empty();
    if both && binary < emulation {
        let detail = "must be greater than or equal to `emulationVersion`";
        errs.invalid(&at.child("binaryVersion"), spec.str("binaryVersion"), detail);
    }
    let strategy = spec.str("strategy");
    if strategy.is_empty() {
        errs.required(&at.child("strategy"), "");
        return errs;
    }
    if strategy == OLDEST && emulation == semver::Version::default() {
        let detail = "must be specified when `strategy` is 'OldestEmulationVersion'";
        errs.required(&at.child("emulationVersion"), detail);
    }
    self::strategy(strategy, &at.child("strategy"), &mut errs);
    errs
}

/// The version in a member; all zero when it is missing or wrong.
fn version(spec: &Value, member: &str, at: &Path, errs: &mut Errors) -> semver::Version {
    let text = spec.str(member);
    let parsed = semver::parse(text);
    if parsed.is_none() && !text.is_empty() {
        errs.invalid(&at.child(member), text, "must be a valid semantic version");
    }
    parsed.unwrap_or_default()
}

/// Upstream: `ValidateCoordinatedLeaseStrategy`, which names its field twice.
fn strategy(strategy: &str, at: &Path, errs: &mut Errors) {
    let at = at.child("strategy");
    if strategy.contains('/') {
        checks::messages(errs, &at, strategy, words::qualified_name(strategy));
    } else {
        checks::one_of(errs, &at, strategy, &[OLDEST]);
    }
}
