//! Cases stand in `cases/`; here is what a table of them does not show.

use super::*;

fn zone() -> Zone {
    Zone { domain: vec!["cluster".into(), "local".into()], ttl_seconds: 30, own_ips: Vec::new(), own_port: 53 }
}

#[test]
fn names_of_others_are_asked_elsewhere() {
    let ask =
        |name: &str| resolve(&Cluster::default(), &zone(), &Name::from_ascii(name).expect("a name"), RecordType::A);
    for other in ["example.com.", "local.", "xcluster.local.", "4.3.2.1.in-addr.arpa.", "."] {
        assert_eq!(ask(other), Answer::Elsewhere, "{other}");
    }
    assert!(matches!(ask("nothing.cluster.local."), Answer::NoName(_)));
}

#[test]
fn a_denial_speaks_in_the_letters_of_the_question() {
    let name = Name::from_ascii("Web.NS.svc.Cluster.LOCAL.").expect("a name");
    let Answer::NoName(soa) = resolve(&Cluster::default(), &zone(), &name, RecordType::A) else {
        panic!("there is nothing")
    };
    assert_eq!(soa.name.to_ascii(), "Cluster.LOCAL.");
}
