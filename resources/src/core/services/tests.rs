//! Cases for services.

use api::{Value, value};

use super::*;
use crate::testing::texts;

fn service(spec: Value) -> Value {
    let mut service = value!({"metadata": {"name": "web"}, "spec": spec});
    default(&mut service);
    service
}

#[test]
fn a_plain_service_is_defaulted_and_right() {
    let service = service(value!({"ports": [{"port": 80}], "selector": {"app": "web"}}));
    let spec = service.at("spec");
    assert_eq!(spec.str("type"), "ClusterIP");
    assert_eq!(spec.str("sessionAffinity"), "None");
    assert_eq!(spec.str("internalTrafficPolicy"), "Cluster");
    assert_eq!(spec.list("ports")[0].int("targetPort"), 80);
    assert_eq!(texts(&validate::service(&service, None)), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_said_in_upstreams_order() {
    let cases: [(Value, &[&str]); 5] = [
        (value!({}), &["spec.ports: Required value"]),
        (
            value!({"ports": [{"port": 0, "protocol": "X"}, {"name": "A", "port": 80}]}),
            &[
                "spec.ports[0].name: Required value",
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
                "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[1].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case \
                 alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  \
                 or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            value!({"ports": [{"name": "a", "port": 80, "nodePort": 1}, {"name": "b", "port": 80}]}),
            &[
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
                "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\
                 \"TargetPort\":0,\"NodePort\":0}",
            ],
        ),
        (value!({"type": "ExternalName"}), &["spec.externalName: Required value"]),
        (
            value!({"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]}),
            &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
    ];
    for (spec, expected) in cases {
        assert_eq!(texts(&validate::service(&service(spec), None)), expected);
    }
}

#[test]
fn addresses_are_kept_or_refused() {
    let old = service(value!({"ports": [{"port": 80}], "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}));
    let mut new = service(value!({"ports": [{"port": 80}]}));
    allocated::patch(&mut new, &old);
    assert_eq!(new.at("spec").str("clusterIP"), "10.0.0.1");
    let other = service(value!({"ports": [{"port": 80}], "clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]}));
    let found = texts(&validate::update(&other, &old));
    assert_eq!(found, ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"]);
}

#[test]
fn node_ports_follow_their_name_unless_taken() {
    let old = service(value!({"type": "NodePort", "ports": [
        {"name": "a", "port": 80, "nodePort": 30001}, {"name": "b", "port": 81, "nodePort": 30002}
    ]}));
    let mut new = service(value!({"type": "NodePort", "ports": [
        {"name": "a", "port": 80}, {"name": "c", "port": 82}, {"name": "b", "port": 81, "nodePort": 30001}
    ]}));
    allocated::patch(&mut new, &old);
    let ports: Vec<i64> = new.at("spec").list("ports").iter().map(|p| p.int("nodePort")).collect();
    assert_eq!(ports, [0, 0, 30001]);
}

#[test]
fn a_change_of_type_gives_up_what_it_has_no_use_for() {
    let spec = value!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30009,
        "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "nodePort": 30001}]});
    let old = service(spec);
    let mut new = old.clone();
    new.set_path(&["spec", "type"], "ExternalName");
    allocated::drop_type_dependent_fields(&mut new, &old);
    let gone =
        ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort", "externalTrafficPolicy"];
    for member in gone.iter().chain(&["allocateLoadBalancerNodePorts"]) {
        assert!(!new.at("spec").has(member), "{member}");
    }
    assert!(!new.at("spec").list("ports")[0].has("nodePort"));
}

#[test]
fn families_are_filled_in_for_the_cluster() {
    let dual = [families::IPV4, families::IPV6];
    let mut plain = service(value!({"ports": [{"port": 80}]}));
    families::init(&mut plain, None, &dual).expect("it is right");
    assert_eq!(plain.at("spec").at("ipFamilies"), &value!(["IPv4"]));
    assert_eq!(plain.at("spec").str("ipFamilyPolicy"), "SingleStack");
    let mut prefers = service(value!({"ports": [{"port": 80}], "ipFamilyPolicy": "PreferDualStack"}));
    families::init(&mut prefers.clone(), None, &dual[..1]).expect("it is right");
    families::init(&mut prefers, None, &dual).expect("it is right");
    assert_eq!(prefers.at("spec").at("ipFamilies"), &value!(["IPv4", "IPv6"]));
    let mut requires = service(value!({"ports": [{"port": 80}], "ipFamilyPolicy": "RequireDualStack"}));
    let wrong = families::init(&mut requires, None, &dual[..1]).expect_err("one family is not two");
    let expected = "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": \
                    this cluster is not configured for dual-stack services";
    assert_eq!(texts(&wrong), [expected]);
}

#[test]
fn cells_say_where_it_can_be_reached() {
    let ingress = value!({"loadBalancer": {"ingress": [{"ip": "1.2.3.5"}, {"ip": "1.2.3.4"}]}});
    let mut balanced = service(value!({"type": "LoadBalancer", "externalIPs": ["9.9.9.9"], "ports": [
        {"port": 80, "nodePort": 30001}, {"port": 53, "protocol": "UDP"}
    ]}));
    assert_eq!(external_ip(&service(value!({"type": "LoadBalancer"}))), "<pending>");
    balanced.set("status", ingress);
    assert_eq!(external_ip(&balanced), "1.2.3.4,1.2.3.5,9.9.9.9");
    assert_eq!(ports(balanced.at("spec").list("ports")), "80:30001/TCP,53/UDP");
}
