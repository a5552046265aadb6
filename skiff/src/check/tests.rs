//! What `skiff check` makes of machines.

use super::{look::Port, *};

fn fit() -> Seen {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Seen {
        is_root: true,
        kernel: "6.1.0-13-amd64".into(),
        cgroups: Cgroups::Two(names(&["cpuset", "cpu", "io", "memory", "pids"])),
        runtime: Some("/run/containerd/containerd.sock".into()),
        cni_plugins: names(&["bridge", "host-local", "loopback", "portmap", "vlan"]),
        nft: Some("nftables v1.0.6".into()),
        address: Some([192, 0, 2, 7].into()),
        ports: vec![Port { number: 6443, is_api: true, is_free: true }],
        disk_free: DISK_MIN,
    }
}

/// What is wrong, as lines.
fn lines(seen: &Seen) -> Vec<String> {
    let wrong = judge(seen).into_iter().filter(|finding| finding.verdict != Verdict::Fit);
    wrong.map(|finding| finding.line()).collect()
}

#[test]
fn a_machine_that_has_everything_is_fit() {
    assert_eq!(lines(&fit()), Vec::<String>::new());
    assert_eq!(no_node(&fit()), None);
    let one = ["blkio", "cpu", "cpuset", "memory", "pids"].map(str::to_owned).to_vec();
    assert_eq!(lines(&Seen { cgroups: Cgroups::One(one), ..fit() }), Vec::<String>::new());
}

#[test]
fn each_lack_is_a_line_that_says_what_to_do() {
    let cases: [(Seen, &str); 9] = [
        (Seen { is_root: false, ..fit() }, "-- user               not root: run it as root"),
        (Seen { kernel: "5.4.0".into(), ..fit() }, "-- kernel             5.4.0: Linux 5.6"),
        (Seen { cgroups: Cgroups::None, ..fit() }, "-- cgroups            none, without cpu, cpuset, memory, pids: "),
        (
            Seen { cgroups: Cgroups::Two(vec!["cpu".into()]), ..fit() },
            "-- cgroups            version 2, without cpuset",
        ),
        (Seen { runtime: None, ..fit() }, "-- container runtime  nobody answers: install containerd"),
        (Seen { cni_plugins: vec!["bridge".into()], ..fit() }, "-- network plugins    without host-local, loopback"),
        (Seen { nft: None, ..fit() }, "-- nft                not found: install nftables"),
        (Seen { address: None, ..fit() }, "-- address            only loopback: give this machine a network"),
        (Seen { disk_free: 1 << 29, ..fit() }, "-- disk               0.5 GiB are free: free 2 GiB"),
    ];
    for (seen, wanted) in cases {
        let found = lines(&seen);
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{wanted}: {found:?}");
    }
}

#[test]
fn a_port_in_use_stops_whom_it_belongs_to() {
    let taken = |number, is_api| Port { number, is_api, is_free: false };
    let seen = Seen { ports: vec![taken(6443, true), taken(10250, false)], ..fit() };
    let verdicts: Vec<Verdict> = judge(&seen).into_iter().map(|f| f.verdict).filter(|v| *v != Verdict::Fit).collect();
    assert!(matches!(verdicts[..], [Verdict::Unfit(_), Verdict::NoNode(_)]), "{verdicts:?}");
    // What stops everything is the server's own to say.
    assert_eq!(no_node(&seen).as_deref(), Some("port: 10250 is taken: stop what listens there"));
}

#[test]
fn layouts_of_cgroups_are_told_apart() {
    let place = tempfile::tempdir().expect("a directory");
    assert_eq!(look::cgroups(place.path()), Cgroups::None);
    for name in ["cpu", "memory"] {
        std::fs::create_dir(place.path().join(name)).expect("a directory");
        std::fs::write(place.path().join(name).join("cgroup.procs"), "").expect("a file");
    }
    assert_eq!(look::cgroups(place.path()), Cgroups::One(vec!["cpu".into(), "memory".into()]));
    std::fs::write(place.path().join("cgroup.controllers"), "cpu memory\n").expect("a file");
    assert_eq!(look::cgroups(place.path()), Cgroups::Two(vec!["cpu".into(), "memory".into()]));
}
