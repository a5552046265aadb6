//! Policies, what the pod adds, and limits that are kept and told.

use super::*;
use api::value;

const NODE: &str = "# a comment\nnameserver 9.9.9.9\nsearch old\nsearch example.com. .\noptions ndots:1 rotate\n\
                    nameserver 8.8.8.8\noptions ndots:2\n";

fn config() -> Config {
    Config {
        cluster_servers: vec!["10.96.0.10".into()],
        cluster_domain: "cluster.local".into(),
        node_file: Some(NODE.into()),
        node_ips: vec!["192.0.2.1".into(), "fd00::1".into()],
    }
}

fn of(spec: Value, config: &Config) -> (String, Vec<Telling>) {
    let pod = value!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec});
    let (dns, told) = super::of(&pod, config);
    (format!("{} | {} | {}", dns.servers.join(" "), dns.searches.join(" "), dns.options.join(" ")), told)
}

const CLUSTER: &str = "10.96.0.10 | ns.svc.cluster.local svc.cluster.local cluster.local example.com | ndots:5";
const OF_NODE: &str = "9.9.9.9 8.8.8.8 | example.com | ndots:2 rotate";

#[test]
fn the_policy_says_whose_settings_they_are() {
    let policy = |policy: &str, on_host: bool| of(value!({"dnsPolicy": policy, "hostNetwork": on_host}), &config()).0;
    assert_eq!(policy("ClusterFirst", false), CLUSTER);
    assert_eq!(policy("ClusterFirst", true), OF_NODE);
    assert_eq!(policy("ClusterFirstWithHostNet", true), CLUSTER);
    assert_eq!(policy("Default", false), OF_NODE);
    assert_eq!(policy("None", false), " |  | ");
}

#[test]
fn what_the_pod_says_is_added() {
    let own = value!({"nameservers": ["1.1.1.1", "10.96.0.10"], "searches": ["a.b"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    let made = of(value!({"dnsPolicy": "ClusterFirst", "dnsConfig": own.clone()}), &config()).0;
    let searches = "ns.svc.cluster.local svc.cluster.local cluster.local example.com a.b";
    assert_eq!(made, format!("10.96.0.10 1.1.1.1 | {searches} | ndots:2 edns0"));
    assert_eq!(
        of(value!({"dnsPolicy": "None", "dnsConfig": own}), &config()).0,
        "1.1.1.1 10.96.0.10 | a.b | ndots:2 edns0"
    );
}

#[test]
fn without_a_server_of_the_cluster_the_nodes_serve_and_it_is_told() {
    let (made, told) = of(value!({"dnsPolicy": "ClusterFirst"}), &Config { cluster_servers: vec![], ..config() });
    assert_eq!(made, OF_NODE);
    assert_eq!(told[0].reason, "MissingClusterDNS");
    assert!(told[0].message.starts_with("pod: \"p_ns(u)\". kubelet does not have ClusterDNS IP configured"));
}

#[test]
fn a_node_without_a_file_asks_itself() {
    let made = of(value!({"dnsPolicy": "Default"}), &Config { node_file: None, ..config() }).0;
    assert_eq!(made, "127.0.0.1 ::1 | . | ");
}

#[test]
fn limits_are_kept_and_told() {
    let many: Vec<String> = (0..40).map(|i| format!("d{i}.example")).collect();
    let spec = value!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1", "2", "3", "4"], "searches": many}});
    let (made, told) = of(spec, &config());
    assert!(made.starts_with("1 2 3 | ") && made.contains("d31.example") && !made.contains("d32.example"), "{made}");
    let messages: Vec<_> = told.iter().map(|telling| telling.message.as_str()).collect();
    assert!(messages[0].ends_with("the applied nameserver line is: 1 2 3"));
    assert!(messages[1].starts_with("Search Line limits were exceeded, some search paths have been omitted"));
    let long = value!({"dnsPolicy": "None", "dnsConfig": {"searches": ["x".repeat(254), "short"]}});
    assert_eq!(of(long, &config()).0, " | short | ");
}
