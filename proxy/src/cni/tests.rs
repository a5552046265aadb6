//! The bridge's configuration, and the way of pods to the world.

use api::names::ip::parse_cidr;

use super::*;

fn cidrs(texts: &[&str]) -> Vec<Cidr> {
    texts.iter().filter_map(|text| parse_cidr(text)).collect()
}

#[test]
fn a_bridge_gives_addresses_of_both_families() {
    let list = configuration(&cidrs(&["10.244.1.0/24", "fd00:1::/64"]));
    let bridge = &list.list("plugins")[0];
    assert_eq!(bridge.str("bridge"), BRIDGE);
    let ipam = bridge.at("ipam");
    assert_eq!(*ipam.at("ranges"), value!([[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:1::/64"}]]));
    assert_eq!(*ipam.at("routes"), value!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]));
}

#[test]
fn what_others_configured_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (text(&cidrs(&["10.244.1.0/24"])), text(&cidrs(&["10.244.2.0/24"])));
    let read = || std::fs::read_to_string(folder.path().join(FILE)).expect("it was written");
    assert!(write(folder.path(), &first).expect("it can be written"));
    assert!(!write(folder.path(), &first).expect("it is there"));
    assert!(write(folder.path(), &second).expect("ours is written anew"));
    assert_eq!(read(), second);
    std::fs::write(folder.path().join("05-other.conflist"), "{}").expect("a file");
    assert!(!write(folder.path(), &first).expect("another's is there"));
    assert_eq!(read(), second);
}

#[test]
fn pods_keep_their_address_within_the_cluster() {
    let (own, all) = (cidrs(&["10.244.1.0/24"]), cidrs(&["10.244.0.0/16", "fd00::/48"]));
    let rule = |all: &[Cidr]| masquerade(Family::V4, &own, all).and_then(|text| text.lines().last().map(String::from));
    let expected = |all: &str| {
        Some(format!(
            "add rule ip skiff-pods postrouting oifname != \"skiff0\" ip saddr {{ 10.244.1.0/24 }} ip daddr != {{ {all} }} \
             masquerade fully-random"
        ))
    };
    assert_eq!(rule(&all), expected("10.244.0.0/16"));
    assert_eq!(rule(&[]), expected("10.244.1.0/24"));
    assert_eq!(masquerade(Family::V6, &own, &all), None);
}
