//! Cases for nodes.

use super::*;
use crate::testing::{context, texts};

#[test]
fn taints_are_unique_and_have_effects() {
    let node = value!({"spec": {"taints": [
        {"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "X"}, {"key": "c"}
    ]}});
    assert_eq!(
        texts(&validate(&node)),
        [
            "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair",
            "metadata.taints[2].effect: Unsupported value: \"X\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
            "metadata.taints[3].effect: Required value",
        ]
    );
}

#[test]
fn ranges_are_one_per_family() {
    let node = |cidrs: Value| value!({"spec": {"podCIDRs": cidrs}});
    assert!(validate(&node(value!(["10.0.0.0/24", "2001:db8::/64"]))).is_empty());
    assert_eq!(
        texts(&validate(&node(value!(["10.0.0.0/24", "10.0.1.0/24"])))),
        [
            "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.1.0/24\"]: may specify no more than one CIDR for each IP family"
        ]
    );
    let mut spec = value!({"podCIDR": "10.0.0.0/24"});
    pod_cidrs(&mut spec);
    assert_eq!(spec.list("podCIDRs"), [Value::from("10.0.0.0/24")]);
    let mut spec = value!({"podCIDRs": ["10.0.0.0/24"]});
    pod_cidrs(&mut spec);
    assert_eq!(spec.str("podCIDR"), "10.0.0.0/24");
}

#[test]
fn what_was_set_stays() {
    let old = value!({"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "a"}});
    let new = value!({"spec": {"podCIDRs": ["10.0.1.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "1.1.1.1"}, {"type": "InternalIP", "address": "1.1.1.1"}]}});
    assert_eq!(
        texts(&validate_change(&new, &old)),
        [
            "status.addresses[1]: Duplicate value: {\"Type\":\"InternalIP\",\"Address\":\"1.1.1.1\"}",
            "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
            "spec.providerID: Invalid value: null: field cannot be cleared once set",
        ]
    );
}

#[test]
fn declared_features_are_sorted_names() {
    let node = value!({"status": {"declaredFeatures": ["B/x", "A", "A", "a"]}});
    let errs = texts(&validate(&node));
    assert_eq!(errs[0], "status.declaredFeatures[1]: Invalid value: \"A\": list must be sorted alphabetically");
    assert_eq!(errs[1], "status.declaredFeatures[2]: Duplicate value: \"A\"");
    assert!(
        errs[2].starts_with("status.declaredFeatures[3]: Invalid value: \"a\": invalid feature name \"a\": must start")
    );
}

#[test]
fn amounts_are_not_negative() {
    let mut node = value!({"status": {"capacity": {"cpu": "-1", "pods": "110"}}});
    assert_eq!(
        texts(&validate(&node)),
        ["status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0"]
    );
    allocatable(node.entry("status"));
    assert_eq!(node.at("status").at("allocatable"), node.at("status").at("capacity"));
}

#[test]
fn a_table_tells_state_and_roles() {
    let node = value!({
        "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "False"}], "nodeInfo": {"architecture": "amd64"}}
    });
    assert_eq!(status(&node), "NotReady,SchedulingDisabled");
    assert_eq!(roles(&node), "control-plane,edge");
    assert_eq!(kernel(&node), "<unknown> (amd64)");
    assert_eq!(address(&node, "InternalIP"), "<none>".into());
    assert_eq!(status(&value!({})), "Unknown");
}

#[test]
fn a_status_write_keeps_the_spec() {
    let old = value!({"spec": {"unschedulable": true}});
    let mut new = value!({"spec": {}, "status": {"config": {}, "phase": "x"}});
    prepare_status(&mut new, &old, &context());
    assert_eq!(new, value!({"spec": {"unschedulable": true}, "status": {"phase": "x"}}));
}
