//! Cases for leases and candidates.

use api::{Value, value};

use super::*;
use crate::testing::texts;

#[test]
fn a_lease_is_judged_by_its_durations() {
    let cases: [(Value, &[&str]); 4] = [
        (value!({"leaseDurationSeconds": 15, "leaseTransitions": 0}), &[]),
        (value!({"leaseDurationSeconds": 0}), &["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]),
        (
            value!({"leaseTransitions": (-1)}),
            &["spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            value!({"preferredHolder": "a"}),
            &["spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(texts(&validate_lease(&value!({"spec": spec}))), expected);
    }
}

#[test]
fn a_candidate_needs_versions_in_order() {
    let right = value!({"spec": {
        "leaseName": "a", "binaryVersion": "1.37.0", "emulationVersion": "1.36.0", "strategy": "OldestEmulationVersion"
    }});
    assert!(validate_candidate(&right).is_empty());
    let wrong = value!({"spec": {"binaryVersion": "1.35.0-rc.1", "emulationVersion": "1.35.0", "strategy": "Other"}});
    assert_eq!(
        texts(&validate_candidate(&wrong)),
        [
            "spec.leaseName: Required value",
            "spec.binaryVersion: Invalid value: \"1.35.0-rc.1\": must be greater than or equal to `emulationVersion`",
            "spec.strategy.strategy: Unsupported value: \"Other\": supported values: \"OldestEmulationVersion\"",
        ]
    );
}

#[test]
fn fields_of_coordinated_election_are_dropped_unless_in_use() {
    let mut lease = value!({"spec": {"strategy": "OldestEmulationVersion"}});
    let old = lease.clone();
    drop_disabled(&mut lease, Some(&old));
    assert_eq!(lease, old);
    drop_disabled(&mut lease, None);
    assert!(!lease.at("spec").has("strategy"));
}
