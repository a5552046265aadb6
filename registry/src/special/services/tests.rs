//! Which ports a service takes and gives back, decided without a store.

use api::{Value, value};

use super::{
    changed_ports, first_ports, freed_ports, node_ports,
    ports::{Bits, Desk, PortRange, Stored},
};

const RANGE: PortRange = PortRange { first: 30000, last: 32767 };

fn desk(taken: &[usize]) -> Desk {
    let mut bits = Bits::default();
    taken.iter().for_each(|offset| bits.set(*offset, true));
    Desk::new(RANGE, &Stored { range: RANGE.to_string(), bits, revision: 1 }, false, vec![3, 5, 8])
}

fn service(kind: &str, ports: Value) -> Value {
    value!({"metadata": {"name": "s"}, "spec": {"type": kind, "ports": ports}})
}

fn message(outcome: Result<(), api::Status>) -> String {
    outcome.expect_err("it is refused").message().to_string()
}

#[test]
fn ports_of_one_number_share_a_node_port() {
    let mut new = service(
        "NodePort",
        value!([
            {"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP", "nodePort": 30053}, {"port": 80}
        ]),
    );
    let mut desk = desk(&[]);
    first_ports(&mut new, &mut desk).expect("there is room");
    let got: Vec<i64> = new.at("spec").list("ports").iter().map(|p| p.int("nodePort")).collect();
    assert_eq!(got[..2], [30053, 30053]);
    assert!(RANGE.offset(got[2]).is_some() && got[2] != 30053, "{got:?}");
    assert_eq!(node_ports(&new).len(), 2);
}

#[test]
fn refusals_name_the_port() {
    let mut taken = service("NodePort", value!([{"port": 80, "nodePort": 30080}]));
    let text =
        "Service \"s\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated";
    assert_eq!(message(first_ports(&mut taken, &mut desk(&[80]))), text);
    let mut health = service("LoadBalancer", value!([]));
    health.set_path(&["spec", "externalTrafficPolicy"], "Local");
    health.set_path(&["spec", "healthCheckNodePort"], 7);
    let text = message(first_ports(&mut health, &mut desk(&[])));
    assert!(
        text.contains("failed to allocate requested HealthCheck NodePort 7: provided port is not in the valid range"),
        "{text}"
    );
}

#[test]
fn a_balancer_may_do_without_node_ports() {
    let mut new = service("LoadBalancer", value!([{"port": 80}, {"port": 81, "nodePort": 30081}]));
    new.set_path(&["spec", "allocateLoadBalancerNodePorts"], false);
    first_ports(&mut new, &mut desk(&[])).expect("one is named");
    assert_eq!(node_ports(&new), [30081]);
}

#[test]
fn an_update_takes_only_what_is_new_and_frees_what_went() {
    let old = service(
        "NodePort",
        value!([{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81, "nodePort": 30081}]),
    );
    let mut new = service(
        "NodePort",
        value!([{"name": "a", "port": 80, "nodePort": 30080}, {"name": "c", "port": 82, "nodePort": 30082}]),
    );
    // 30080 is taken already: by this service.
    let mut desk = desk(&[80, 81]);
    changed_ports(&mut new, &old, &mut desk).expect("it has the one and gets the other");
    assert_eq!(node_ports(&new), [30080, 30082]);
    assert_eq!(freed_ports(&new, &old), [30080, 30081]);
    let mut twice = service(
        "NodePort",
        value!([
            {"port": 1, "protocol": "TCP", "nodePort": 30083}, {"port": 2, "protocol": "TCP", "nodePort": 30083}
        ]),
    );
    assert_eq!(message(changed_ports(&mut twice, &old, &mut desk)), "duplicate nodePort: {TCP 30083}");
}

#[test]
fn a_type_without_ports_frees_the_health_check_too() {
    let mut old = service("LoadBalancer", value!([{"port": 80, "nodePort": 30080}]));
    old.set_path(&["spec", "externalTrafficPolicy"], "Local");
    old.set_path(&["spec", "healthCheckNodePort"], 30999);
    let new = service("ClusterIP", value!([{"port": 80, "nodePort": 30080}]));
    assert_eq!(freed_ports(&new, &old), [30080, 30999]);
}
