//! PriorityLevelConfigurations: how many seats, and who waits where.

use api::{
    Value,
    field::{Errors, Path},
    value,
};

use super::{GROUP, default_for_zero, status_errors, validate_status};
use crate::{
    cells, checks,
    row::{AGE, Column, Context, NAME, Row, Rules, StatusRules, Subresource, Version, column},
    strategy::{SPEC, drop_status, keep_status, stored, text},
};

const QUEUES_MAX: i64 = 10_000_000;
const HASH_BITS_MAX: f64 = 60.0;
const ZERO_SHARES: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
const NOT_NEGATIVE: &str = "must be a non-negative integer";

pub const ROW: Row = Row {
    group: GROUP,
    kind: "PriorityLevelConfiguration",
    plural: "prioritylevelconfigurations",
    versions: &[Version::stable("v1", "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration")],
    stored: stored(GROUP, "v1", "prioritylevelconfigurations"),
    subresources: &[Subresource::Status(StatusRules { validate: validate_status, ..StatusRules::STATUS_ONLY })],
    reset: &["status"],
    generation: SPEC,
    columns: COLUMNS,
    rules: Rules {
        prepare_create: drop_status,
        prepare_update: keep_status,
        validate,
        validate_update: |new, _, context| validate(new, context),
        ..Rules::NONE
    },
    ..Row::CLUSTER
};

const COLUMNS: &[Column] = &[
    NAME,
    column("Type", "string", |l, _| text(l, &["spec", "type"])),
    column("NominalConcurrencyShares", "string", |l, _| number(l.at_path(LIMITED), "nominalConcurrencyShares")),
    column("Queues", "string", |l, _| number(l.at_path(QUEUING), "queues")),
    column("HandSize", "string", |l, _| number(l.at_path(QUEUING), "handSize")),
    column("QueueLengthLimit", "string", |l, _| number(l.at_path(QUEUING), "queueLengthLimit")),
    AGE,
];

const LIMITED: &[&str] = &["spec", "limited"];
const QUEUING: &[&str] = &["spec", "limited", "limitResponse", "queuing"];

fn number(of: &Value, member: &str) -> Value {
    if of.is_null() { cells::NONE.into() } else { of.int(member).into() }
}

/// Upstream: `SetDefaults_ExemptPriorityLevelConfiguration`.
pub fn default_exempt(exempt: &mut Value) {
    exempt.default("nominalConcurrencyShares", 0);
    exempt.default("lendablePercent", 0);
}

/// Upstream: `SetDefaults_LimitedPriorityLevelConfiguration`.
pub fn default_limited(limited: &mut Value) {
    limited.default("nominalConcurrencyShares", 30);
    limited.default("lendablePercent", 0);
}

/// Upstream: `SetDefaults_QueuingConfiguration`.
pub fn default_queuing(queuing: &mut Value) {
    default_for_zero(queuing, "handSize", 8);
    default_for_zero(queuing, "queues", 64);
    default_for_zero(queuing, "queueLengthLimit", 50);
}

fn validate(level: &Value, _context: &Context<'_>) -> Errors {
    let mut errs = Errors::new();
    let (meta, spec, at) = (api::meta::of(level), level.at("spec"), Path::new("spec"));
    if meta.annotation(ZERO_SHARES).is_some() {
        let at = Path::new("metadata").child("annotations");
        errs.forbidden(&at, format!("annotation '{ZERO_SHARES}' is forbidden"));
    }
    validate_spec(meta.name(), spec, &at, &mut errs);
    mandatory_unchanged(meta.name(), spec, &at, &mut errs);
    errs.extend(status_errors(level));
    errs
}

/// The spec of the two levels that every cluster has. Upstream: apiserver/pkg/apis/flowcontrol/bootstrap.
pub fn mandatory(name: &str) -> Option<Value> {
    match name {
        "exempt" => Some(value!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}})),
        "catch-all" => Some(value!({
            "type": "Limited",
            "limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}, "lendablePercent": 0}
        })),
        _ => None,
    }
}

/// Upstream: `ValidateIfMandatoryPriorityLevelConfigurationObject`.
fn mandatory_unchanged(name: &str, spec: &Value, at: &Path, errs: &mut Errors) {
    let Some(fixed) = mandatory(name) else { return };
    let mut compared = spec.clone();
    let but = if name == "exempt" {
        compared.set("exempt", fixed.at("exempt"));
        " except the 'spec.exempt' field"
    } else {
        ""
    };
    if !checks::same(&fixed, &compared) {
        errs.invalid(at, spec, format!("spec of '{name}'{but} must equal the fixed value"));
    }
}

/// Upstream: `ValidatePriorityLevelConfigurationSpec`.
fn validate_spec(name: &str, spec: &Value, at: &Path, errs: &mut Errors) {
    let kind = spec.str("type");
    if (name == "exempt") != (kind == "Exempt") {
        errs.invalid(&at.child("type"), kind, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind {
        "Exempt" => {
            if spec.has("limited") {
                errs.forbidden(&at.child("limited"), "must be nil if the type is not Limited");
            }
            let (exempt, at) = (spec.at("exempt"), at.child("exempt"));
            shares(exempt, &at, errs);
            lendable(exempt, &at, errs);
        }
        "Limited" => {
            if spec.has("exempt") {
                errs.forbidden(&at.child("exempt"), "must be nil if the type is Limited");
            }
            if spec.has("limited") {
                validate_limited(spec.at("limited"), &at.child("limited"), errs);
            } else {
                errs.required(&at.child("limited"), "must not be empty when type is Limited");
            }
        }
        "" => errs.required(&at.child("type"), ""),
        _ => errs.not_supported(&at.child("type"), kind, &["Exempt", "Limited"]),
    }
}

fn shares(level: &Value, at: &Path, errs: &mut Errors) {
    let shares = level.int("nominalConcurrencyShares");
    if shares < 0 {
        errs.invalid(&at.child("nominalConcurrencyShares"), shares, NOT_NEGATIVE);
    }
}

fn lendable(level: &Value, at: &Path, errs: &mut Errors) {
    let percent = level.int("lendablePercent");
    if !(0..=100).contains(&percent) {
        errs.invalid(&at.child("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

/// Upstream: `ValidateLimitedPriorityLevelConfiguration`, `ValidateLimitResponse`.
fn validate_limited(limited: &Value, at: &Path, errs: &mut Errors) {
    shares(limited, at, errs);
    let (response, response_at) = (limited.at("limitResponse"), at.child("limitResponse"));
    let queuing_at = response_at.child("queuing");
    match response.str("type") {
        "Reject" if response.has("queuing") => {
            errs.forbidden(&queuing_at, "must be nil if limited.limitResponse.type is not Limited");
        }
        "Queue" if !response.has("queuing") => {
            errs.required(&queuing_at, "must not be empty if limited.limitResponse.type is Limited");
        }
        "Queue" => validate_queuing(response.at("queuing"), &queuing_at, errs),
        "Reject" => {}
        "" => errs.required(&response_at.child("type"), ""),
        kind => errs.not_supported(&response_at.child("type"), kind, &["Queue", "Reject"]),
    }
    lendable(limited, at, errs);
    let borrowing = limited.int("borrowingLimitPercent");
    if borrowing < 0 {
        errs.invalid(&at.child("borrowingLimitPercent"), borrowing, format!("if specified, {NOT_NEGATIVE}"));
    }
}

/// Upstream: `ValidatePriorityLevelQueuingConfiguration`.
fn validate_queuing(queuing: &Value, at: &Path, errs: &mut Errors) {
    let limit = queuing.int("queueLengthLimit");
    if limit <= 0 {
        errs.invalid(&at.child("queueLengthLimit"), limit, "must be positive");
    }
    let queues = queuing.int("queues");
    if queues <= 0 {
        errs.invalid(&at.child("queues"), queues, "must be positive");
    } else if queues > QUEUES_MAX {
        errs.invalid(&at.child("queues"), queues, format!("must not be greater than {QUEUES_MAX}"));
    }
    let (hand, at) = (queuing.int("handSize"), at.child("handSize"));
    if hand <= 0 {
        errs.invalid(&at, hand, "must be positive");
    } else if hand > queues {
        errs.invalid(&at, hand, format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS_MAX {
        let text = "required entropy bits of deckSize";
        errs.invalid(
            &at,
            hand,
            format!("{text} {queues} and handSize {hand} should not be greater than {HASH_BITS_MAX}"),
        );
    }
}

/// Upstream: `shufflesharding.RequiredEntropyBits`.
fn entropy_bits(queues: i64, hand: i64) -> f64 {
    ((queues as f64).log2() * hand as f64).ceil()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, texts};

    fn a_level(name: &str, spec: Value) -> Value {
        value!({"metadata": {"name": name}, "spec": spec})
    }

    #[test]
    fn a_hand_of_cards_has_to_fit_into_a_hash() {
        let queuing = |queues: i64, hand: i64| {
            a_level(
                "a",
                value!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {
                    "queues": queues, "handSize": hand, "queueLengthLimit": 1
                }}}}),
            )
        };
        assert!(validate(&queuing(64, 8), &context()).is_empty());
        let at = "spec.limited.limitResponse.queuing.handSize: Invalid value";
        assert_eq!(
            texts(&validate(&queuing(64, 11), &context())),
            [format!("{at}: 11: required entropy bits of deckSize 64 and handSize 11 should not be greater than 60")]
        );
        assert_eq!(
            texts(&validate(&queuing(4, 5), &context())),
            [format!("{at}: 5: should not be greater than queues (4)")]
        );
    }

    #[test]
    fn type_and_member_go_together() {
        let level = a_level("a", value!({"type": "Exempt", "limited": {}}));
        assert_eq!(
            texts(&validate(&level, &context())),
            [
                "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
                "spec.limited: Forbidden: must be nil if the type is not Limited",
            ]
        );
    }

    #[test]
    fn of_the_mandatory_levels_only_shares_of_exempt_change() {
        for name in ["exempt", "catch-all"] {
            let spec = mandatory(name).expect("it is mandatory");
            assert!(validate(&a_level(name, spec), &context()).is_empty(), "{name}");
        }
        let mut spec = mandatory("exempt").expect("it is mandatory");
        spec.set_path(&["exempt", "nominalConcurrencyShares"], 7);
        assert!(validate(&a_level("exempt", spec), &context()).is_empty());
        let mut spec = mandatory("catch-all").expect("it is mandatory");
        spec.set_path(&["limited", "nominalConcurrencyShares"], 7);
        assert_eq!(validate(&a_level("catch-all", spec), &context()).len(), 1);
    }
}
