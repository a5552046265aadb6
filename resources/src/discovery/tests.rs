//! Cases for endpoint slices.

use api::{Value, value};

use super::*;
use crate::testing::texts;

#[test]
fn a_slice_is_judged_by_its_kind_of_address() {
    let cases: [(Value, &[&str]); 5] = [
        (value!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}), &[]),
        (value!({}), &["addressType: Required value"]),
        (
            value!({"addressType": "IPv4", "endpoints": [{"addresses": ["2001:db8::1", "127.0.0.1"]}, {}]}),
            &[
                "endpoints[0].addresses: Invalid value: \"2001:db8::1\": must be an IPv4 address",
                "endpoints[0].addresses[1]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, \
                 ::1/128)",
                "endpoints[1].addresses: Required value: must contain at least 1 address",
            ],
        ),
        (
            value!({"addressType": "FQDN", "endpoints": [{"addresses": ["web"]}]}),
            &[
                "endpoints[0].addresses[0]: Invalid value: \"web\": should be a domain with at least two segments separated \
               by dots",
            ],
        ),
        (
            value!({"addressType": "IPv4", "ports": [{"name": "", "protocol": "TCP"}, {"name": "", "protocol": "X"}]}),
            &[
                "ports[1].name: Duplicate value: \"\"",
                "ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
    ];
    for (slice, expected) in cases {
        assert_eq!(texts(&validate(&slice, None)), expected);
    }
}

#[test]
fn wrong_endpoints_may_stay_but_not_come() {
    let wrong = value!({"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}]});
    assert!(validate_update(&wrong, &wrong).is_empty());
    let mut other = wrong.clone();
    other.set("addressType", "IPv6");
    assert_eq!(texts(&validate_update(&other, &wrong)), ["addressType: Invalid value: \"IPv6\": field is immutable"]);
}

#[test]
fn labels_and_content_raise_the_generation() {
    let old = value!({"metadata": {"generation": 3}, "addressType": "IPv4"});
    let raised = |change: fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        (SLICE.rules.prepare_update)(&mut new, &old, &crate::testing::context());
        api::meta::of(&new).generation()
    };
    assert_eq!(raised(|new| new.set_path(&["metadata", "annotations", "a"], "b")), 3);
    assert_eq!(raised(|new| new.set_path(&["metadata", "labels", "a"], "b")), 4);
    assert_eq!(raised(|new| new.set("ports", value!([{"port": 80}]))), 4);
}

#[test]
fn a_node_known_by_topology_is_kept() {
    let endpoint = value!({"addresses": ["10.0.0.1"], "deprecatedTopology": {"kubernetes.io/hostname": "n1"}});
    let old = value!({"endpoints": [(endpoint.clone())]});
    let mut new = value!({"endpoints": [endpoint, {"addresses": ["10.0.0.2"]}]});
    drop_topology(&mut new, Some(&old));
    assert_eq!(new.list("endpoints")[0].str("nodeName"), "n1");
    assert!(!new.list("endpoints")[0].has("deprecatedTopology"));
}
