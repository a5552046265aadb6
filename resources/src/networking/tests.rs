//! Cases for ingresses, policies and addresses.

use api::{Value, value};

use super::*;
use crate::testing::{context, texts};

fn found(row: &Row, new: Value) -> Vec<String> {
    texts(&(row.rules.validate)(&new, &context()))
}

#[test]
fn an_ingress_leads_somewhere() {
    let path = |path: &str, kind: &str| {
        let backend = value!({"service": {"name": "web", "port": {"number": 80}}});
        value!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}]}})
    };
    let at = "spec.rules[0].http.paths[0]";
    assert_eq!(found(&ingresses::ROW, path("/x", "Prefix")), Vec::<String>::new());
    assert_eq!(
        found(&ingresses::ROW, path("x//y/..", "Exact")),
        [
            format!("{at}.path: Invalid value: \"x//y/..\": must be an absolute path"),
            format!("{at}.path: Invalid value: \"x//y/..\": must not contain '//'"),
            format!("{at}.path: Invalid value: \"x//y/..\": cannot end with '/..'"),
        ]
    );
    assert_eq!(
        found(&ingresses::ROW, path("/x", "No")),
        [format!(
            "{at}.pathType: Unsupported value: \"No\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\""
        )]
    );
    assert_eq!(
        found(&ingresses::ROW, value!({"spec": {}})),
        ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]
    );
    let both = value!({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"name": "a", "number": 1}}}}});
    let expected = "spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number";
    assert_eq!(found(&ingresses::ROW, both), [expected]);
}

#[test]
fn an_ingress_class_keeps_its_controller() {
    let class = |controller: &str| value!({"spec": {"controller": controller}});
    assert_eq!(found(&ingress_class::ROW, class("a.io/b")), Vec::<String>::new());
    assert_eq!(found(&ingress_class::ROW, class("")), ["spec.controller: Required value"]);
    let errs = (ingress_class::ROW.rules.validate_update)(&class("a.io/c"), &class("a.io/b"), &context());
    assert_eq!(texts(&errs), ["spec.controller: Invalid value: \"a.io/c\": field is immutable"]);
    let mut scoped = class("a.io/b");
    scoped.set_path(&["spec", "parameters"], value!({"kind": "K", "name": "n", "namespace": "x"}));
    ingress_class::default(&mut scoped);
    let expected = "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'";
    assert_eq!(found(&ingress_class::ROW, scoped), [expected]);
}

#[test]
fn a_policy_names_its_peers() {
    let with = |rule: Value| {
        let mut policy = value!({"spec": {"ingress": [rule]}});
        policies::default(&mut policy);
        found(&policies::ROW, policy)
    };
    assert_eq!(
        with(value!({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]})),
        Vec::<String>::new()
    );
    assert_eq!(with(value!({"from": [{}]})), ["spec.ingress[0].from[0]: Required value: must specify a peer"]);
    assert_eq!(
        with(value!({"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/16", "except": ["10.0.0.0/8"]}}]})),
        [
            "spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ]
    );
    assert_eq!(
        with(value!({"ports": [{"port": 80, "endPort": 79}, {"endPort": 1}, {"port": "web", "endPort": 1}]})),
        [
            "spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`",
            "spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is not specified",
            "spec.ingress[0].ports[2].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
        ]
    );
}

#[test]
fn addresses_belong_to_something_for_good() {
    let address =
        |name: &str| value!({"spec": {"parentRef": {"resource": "services", "namespace": "ns", "name": name}}});
    assert_eq!(found(&addresses::IP_ADDRESS, address("web")), Vec::<String>::new());
    assert_eq!(found(&addresses::IP_ADDRESS, value!({"spec": {}})), ["spec.parentRef: Required value"]);
    let errs = (addresses::IP_ADDRESS.rules.validate_update)(&address("a"), &address("b"), &context());
    let expected = "spec.parentRef: Invalid value: {\"Group\":\"\",\"Resource\":\"services\",\"Namespace\":\"ns\",\
                    \"Name\":\"a\"}: field is immutable";
    assert_eq!(texts(&errs), [expected]);
    assert_eq!((addresses::IP_ADDRESS.name_rule)("10.0.0.01", false), ["must not have leading 0s"]);
}

#[test]
fn a_range_may_only_get_a_second_family() {
    let range = |cidrs: Value| value!({"spec": {"cidrs": cidrs}});
    let same = found(&addresses::SERVICE_CIDR, range(value!(["10.0.0.0/24", "10.1.0.0/24"])));
    assert_eq!(
        same,
        [
            "spec.cidrs: Invalid value: [\"10.0.0.0/24\",\"10.1.0.0/24\"]: may specify no more than one IP for each IP family, \
          i.e 192.168.0.0/24 and 2001:db8::/64"
        ]
    );
    let update = |new: Value, old: Value| {
        texts(&(addresses::SERVICE_CIDR.rules.validate_update)(&range(new), &range(old), &context()))
    };
    let (one, two) = (value!(["10.0.0.0/24"]), value!(["10.0.0.0/24", "2001:db8::/112"]));
    assert_eq!(update(two.clone(), one.clone()), Vec::<String>::new());
    assert_eq!(update(one, two), ["spec.cidrs: Invalid value: [\"10.0.0.0/24\"]: field is immutable"]);
}
