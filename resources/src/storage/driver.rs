//! CSIDrivers. Upstream: pkg/apis/storage/validation, pkg/registry/storage/csidriver.

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use super::GROUP;
use crate::{
    cells, checks,
    row::{AGE, Column, Context, Generation, NAME, Row, Rules, Version, column},
    strategy::stored,
};

const TOKENS_IN_SECRETS: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true \
                                 to prevent possible logging of tokens in volume attributes";

pub const ROW: Row = Row {
    group: GROUP,
    kind: "CSIDriver",
    name_on_update: false,
    plural: "csidrivers",
    versions: &[Version::stable("v1", "io.k8s.api.storage.v1.CSIDriver")],
    stored: stored(GROUP, "v1", "csidrivers"),
    generation: Generation::Rule(generation),
    unconditional_update: false,
    columns: COLUMNS,
    rules: Rules { validate, validate_update, warn, ..Rules::NONE },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("AttachRequired", "boolean", |d, _| d.at("spec").opt_bool("attachRequired").unwrap_or(true).into()),
    column("PodInfoOnMount", "boolean", |d, _| d.at("spec").bool("podInfoOnMount").into()),
    column("StorageCapacity", "boolean", |d, _| d.at("spec").bool("storageCapacity").into()),
    column("TokenRequests", "string", |d, _| audiences(d.at("spec").at("tokenRequests"))),
    column("RequiresRepublish", "boolean", |d, _| d.at("spec").bool("requiresRepublish").into()),
    column("Modes", "string", |d, _| cells::or_none(&cells::join(d.at("spec").list("volumeLifecycleModes"), ","))),
    AGE,
];

fn audiences(requests: &Value) -> Value {
    if requests.is_null() {
        return cells::UNSET.into();
    }
    requests.items().iter().map(|r| r.str("audience")).collect::<Vec<_>>().join(",").into()
}

/// Counts changes of the spec, from 0: upstream sets nothing at creation.
fn generation(new: &mut Value, old: Option<&Value>) {
    if let Some(old) = old.filter(|old| !checks::same(old.at("spec"), new.at("spec"))) {
        new.set_path(&["metadata", "generation"], api::meta::of(old).generation() + 1);
    }
}

/// Upstream: `SetDefaults_CSIDriver`.
pub fn default(driver: &mut Value) {
    let spec = driver.entry("spec");
    spec.default("attachRequired", true);
    for member in ["podInfoOnMount", "storageCapacity"] {
        spec.default(member, false);
    }
    spec.default("fsGroupPolicy", "ReadWriteOnceWithFSType");
    if spec.list("volumeLifecycleModes").is_empty() {
        spec.set("volumeLifecycleModes", value!(["Persistent"]));
    }
    for member in ["requiresRepublish", "seLinuxMount", "preventPodSchedulingIfMissing"] {
        spec.default(member, false);
    }
}

fn validate(driver: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    validate_spec(driver.at("spec"), &Path::new("spec"), &mut errs);
    errs
}

fn validate_update(new: &Value, old: &Value, context: &Context<'_>) -> Errors {
    let mut errs = validate(new, context);
    let (new, old, at) = (new.at("spec"), old.at("spec"), Path::new("spec"));
    // Upstream's path has a "d" that the field has not.
    let attach_at = at.child("attachedRequired");
    checks::immutable(new.at("attachRequired"), old.at("attachRequired"), &attach_at, &mut errs);
    let modes = "volumeLifecycleModes";
    checks::immutable(new.at(modes), old.at(modes), &at.child(modes), &mut errs);
    errs
}

/// Upstream: `validateCSIDriverSpec`.
fn validate_spec(spec: &Value, at: &Path, errs: &mut Errors) {
    let required = [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ];
    for (member, shown) in required {
        if !spec.has(member) {
            errs.required(&at.child(shown), "");
        }
    }
    if let Some(policy) = spec.opt_str("fsGroupPolicy") {
        checks::one_of(errs, &at.child("fsGroupPolicy"), policy, &["File", "None", "ReadWriteOnceWithFSType"]);
    }
    token_requests(spec.list("tokenRequests"), &at.child("tokenRequests"), errs);
    for mode in spec.list("volumeLifecycleModes").iter().filter_map(Value::as_str) {
        checks::one_of(errs, &at.child("volumeLifecycleModes"), mode, &["Persistent", "Ephemeral"]);
    }
    if !spec.has("seLinuxMount") {
        errs.required(&at.child("seLinuxMount"), "");
    }
    if let Some(period) = spec.opt_int("nodeAllocatableUpdatePeriodSeconds").filter(|p| *p < 10) {
        let at = at.child("nodeAllocatableUpdatePeriodSeconds");
        errs.invalid(&at, period, "must be greater than or equal to 10 seconds");
    }
    if let Some(set) = spec.opt_bool("serviceAccountTokenInSecrets").filter(|_| spec.list("tokenRequests").is_empty()) {
        let at = at.child("serviceAccountTokenInSecrets");
        errs.invalid(&at, set, "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
    if !spec.has("preventPodSchedulingIfMissing") {
        errs.required(&at.child("preventPodSchedulingIfMissing"), "");
    }
}

fn token_requests(requests: &[Value], at: &Path, errs: &mut Errors) {
    for (i, request) in requests.iter().enumerate() {
        let (audience, at) = (request.str("audience"), at.index(i));
        if requests[..i].iter().any(|r| r.str("audience") == audience) {
            errs.duplicate(&at.child("audience"), audience);
            continue;
        }
        let Some(seconds) = request.opt_int("expirationSeconds") else { continue };
        let at = at.child("expirationSeconds");
        if seconds < 600 {
            errs.invalid(&at, seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds > 1 << 32 {
            errs.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds");
        }
    }
}

fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let spec = new.at("spec");
    let changed = old.is_none_or(|old| !checks::same(old.at("spec").at("tokenRequests"), spec.at("tokenRequests")));
    let asks = changed && !spec.list("tokenRequests").is_empty() && !spec.has("serviceAccountTokenInSecrets");
    if asks { vec![TOKENS_IN_SECRETS.into()] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    fn a_driver(spec: Value) -> Value {
        let mut driver = value!({"spec": spec});
        default(&mut driver);
        driver
    }

    #[test]
    fn defaults_make_a_driver_whole() {
        assert!(validate(&a_driver(value!({})), &context()).is_empty());
        assert_eq!(validate(&value!({}), &context()).len(), 5);
    }

    #[test]
    fn tokens_have_an_audience_each_and_a_sane_time() {
        let driver = a_driver(value!({"tokenRequests": [
            {"audience": "a", "expirationSeconds": 10}, {"audience": "a"}, {"audience": "b", "expirationSeconds": 5000000000_i64}
        ]}));
        assert_eq!(
            texts(&validate(&driver, &context())),
            [
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes",
                "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
                "spec.tokenRequests[2].expirationSeconds: Invalid value: 5000000000: may not specify a duration larger than 2^32 seconds",
            ]
        );
        assert_eq!(warn(&driver, None), [TOKENS_IN_SECRETS]);
        assert!(warn(&driver, Some(&driver)).is_empty());
    }

    #[test]
    fn what_a_driver_is_stays() {
        let (old, mut new) = (a_driver(value!({})), a_driver(value!({"attachRequired": false})));
        assert_eq!(
            texts(&validate_update(&new, &old, &context())),
            ["spec.attachedRequired: Invalid value: false: field is immutable"]
        );
        generation(&mut new, Some(&old));
        assert_eq!(api::meta::of(&new).generation(), 1);
    }
}
