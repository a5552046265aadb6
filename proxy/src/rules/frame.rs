//! What stands in a table whatever services there are: chains that the kernel enters, the look-ups, masquerading.

use crate::{
    ruleset::{Element, Ruleset, Set},
    snapshot::{Family, Settings, Snapshot},
};

/// Where the kernel comes in: chain, hook.
const HOOKS: &[(&str, &str)] = &[
    // Before addresses are translated: source ranges speak of the address that the client used.
    ("filter-prerouting-pre-dnat", "type filter hook prerouting priority -110 ;"),
    ("filter-output-pre-dnat", "type filter hook output priority -110 ;"),
    ("filter-input", "type filter hook input priority 0 ;"),
    ("filter-forward", "type filter hook forward priority 0 ;"),
    ("filter-output", "type filter hook output priority 0 ;"),
    ("nat-prerouting", "type nat hook prerouting priority -100 ;"),
    ("nat-output", "type nat hook output priority -100 ;"),
    ("nat-postrouting", "type nat hook postrouting priority 100 ;"),
];

/// From where to where, and what has to be true of a packet.
const JUMPS: &[(&str, &str, &str)] = &[
    ("filter-input", "nodeport-endpoints-check", "ct state new "),
    ("filter-input", "service-endpoints-check", "ct state new "),
    ("filter-forward", "service-endpoints-check", "ct state new "),
    ("filter-output", "service-endpoints-check", "ct state new "),
    ("filter-prerouting-pre-dnat", "firewall-check", "ct state new "),
    ("filter-output-pre-dnat", "firewall-check", "ct state new "),
    ("nat-output", "services", ""),
    ("nat-prerouting", "services", ""),
    ("nat-postrouting", "masquerading", ""),
    ("filter-forward", "cluster-ips-check", "ct state new "),
    ("filter-output", "cluster-ips-check", "ct state new "),
];

/// Name, what its keys are (with `ADDRESS` for the family's), comment. Those with a verdict are maps.
const SETS: &[(&str, &str, &str)] = &[
    ("cluster-ips", "ADDRESS", "Active ClusterIPs"),
    ("hairpin-connections", "ADDRESS . ADDRESS . inet_proto . inet_service", "service hairpin connections"),
    (
        "service-ips",
        "ADDRESS . inet_proto . inet_service : verdict",
        "ClusterIP, ExternalIP and LoadBalancer IP traffic",
    ),
    ("service-nodeports", "inet_proto . inet_service : verdict", "NodePort traffic"),
    (
        "no-endpoint-services",
        "ADDRESS . inet_proto . inet_service : verdict",
        "vmap to drop or reject packets to services with no endpoints",
    ),
    (
        "no-endpoint-nodeports",
        "inet_proto . inet_service : verdict",
        "vmap to drop or reject packets to service nodeports with no endpoints",
    ),
    (
        "firewall-ips",
        "ADDRESS . inet_proto . inet_service : verdict",
        "destinations that are subject to LoadBalancerSourceRanges",
    ),
];

/// The table without a service in it.
pub(super) fn frame(snapshot: &Snapshot, settings: &Settings, family: Family) -> Ruleset {
    let mut table = Ruleset::new(family);
    for (name, keys, comment) in SETS {
        let keys = keys.replace("ADDRESS", family.address_type());
        let spec = format!("type {keys} ; comment \"{comment}\" ;");
        let is_map = keys.ends_with("verdict");
        table.sets.insert((*name).into(), Set { is_map, spec, ..Set::default() });
    }
    for (name, hook) in HOOKS {
        table.chain(name).hook = hook;
    }
    if family == Family::V4 {
        refuse_martians(&mut table);
    }
    for (from, to, when) in JUMPS {
        table.chain(to);
        table.rule(from, format!("{when}jump {to}"));
    }
    masquerade(&mut table, settings);
    check_cluster_ips(&mut table, snapshot);
    table.rule("reject-chain", "reject");
    let ip = family.nft();
    let key = format!("{ip} daddr . meta l4proto . th dport vmap");
    table.rule("service-endpoints-check", format!("{key} @no-endpoint-services"));
    table.rule("firewall-check", format!("{key} @firewall-ips"));
    dispatch(&mut table, snapshot, settings);
    table
}

/// Packets to the loopback network that come from outside: a host with `route_localnet` would take them, and with them
/// whatever listens on loopback alone would be open to neighbours (CVE-2020-8558). What somebody's rule has translated
/// to loopback is somebody's will. IPv6 has no such switch.
fn refuse_martians(table: &mut Ruleset) {
    let rule = "iifname != \"lo\" ip daddr 127.0.0.0/8 ct status ! dnat drop comment \"martian packets to loopback\"";
    table.rule("filter-input", rule);
}

/// Packets that are marked leave with the node's address, as do those that a pod sends to itself through a service.
fn masquerade(table: &mut Ruleset, settings: &Settings) {
    let (ip, mark) = (table.family.nft(), settings.masquerade_mark());
    table.rule("masquerading", format!("mark and {mark} != 0 mark set mark xor {mark} masquerade fully-random"));
    table.rule(
        "masquerading",
        format!("ct status dnat {ip} saddr . {ip} daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random"),
    );
}

/// Addresses of services have no other ports than the services', and addresses of nobody lead nowhere.
fn check_cluster_ips(table: &mut Ruleset, snapshot: &Snapshot) {
    let ip = table.family.nft();
    table.rule(
        "cluster-ips-check",
        format!("{ip} daddr @cluster-ips reject comment \"Reject traffic to invalid ports of ClusterIPs\""),
    );
    let cidrs = snapshot.service_cidrs(table.family);
    if !cidrs.is_empty() {
        let cidrs = cidrs.join(", ");
        table.rule(
            "cluster-ips-check",
            format!("{ip} daddr {{ {cidrs} }} drop comment \"Drop traffic to unallocated ClusterIPs\""),
        );
    }
}

/// The chain `services`, and what it is for node ports that have no endpoints.
fn dispatch(table: &mut Ruleset, snapshot: &Snapshot, settings: &Settings) {
    let (family, ip) = (table.family, table.family.nft());
    let mark = mark_rule(settings);
    if settings.masquerade_all {
        table.rule("services", format!("{ip} daddr @cluster-ips {mark} comment \"masquerade all clusterIP traffic\""));
    } else if let Some(outside) = settings.not_from_pod(snapshot, family) {
        table.rule(
            "services",
            format!(
                "{ip} daddr @cluster-ips {outside} {mark} comment \"masquerade clusterIP traffic from outside cluster\""
            ),
        );
    }
    table.rule("services", format!("{ip} daddr . meta l4proto . th dport vmap @service-ips"));
    let mut here = format!("{ip} daddr != {}", family.loopback());
    if let Some(networks) = settings.node_port_networks(snapshot, family) {
        let spec =
            format!("type {} ; flags interval ; comment \"IPs that accept NodePort traffic\" ;", family.address_type());
        let elements = networks.into_iter().map(|network| (network, Element::default())).collect();
        table.sets.insert("nodeport-ips".into(), Set { is_map: false, spec, elements });
        here = format!("{here} {ip} daddr @nodeport-ips");
    }
    let ports = "meta l4proto . th dport vmap";
    table.rule("nodeport-endpoints-check", format!("{here} {ports} @no-endpoint-nodeports"));
    table.rule("services", format!("fib daddr type local {here} {ports} @service-nodeports"));
}

/// Marks a packet for masquerading.
pub(super) fn mark_rule(settings: &Settings) -> String {
    format!("mark set mark or {}", settings.masquerade_mark())
}
