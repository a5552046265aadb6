//! The graph after any changes is the graph of what there is, and says what a walk over it would.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NODES: [&str; 3] = ["n0", "n1", "n2"];
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Kinds that are put in, and those that are named.
const PUT: [Kind; 5] = [Kind::Pod, Kind::Volume, Kind::Attachment, Kind::Slice, Kind::CertificateRequest];
const NAMED: [Kind; 5] = [Kind::Secret, Kind::ConfigMap, Kind::ServiceAccount, Kind::Claim, Kind::ResourceClaim];

/// Kind and name by their places above.
type Place = (usize, usize);

/// What an object leads to, and what it names; None when it goes.
type Change = (Place, Option<(usize, Vec<Place>)>);

fn put(place: Place) -> Name<'static> {
    let kind = PUT[place.0];
    let namespace = if matches!(kind, Kind::Pod | Kind::CertificateRequest) { "ns" } else { "" };
    Name { kind, namespace, name: NAMES[place.1] }
}

fn named(place: Place) -> Name<'static> {
    Name { kind: NAMED[place.0], namespace: "ns", name: NAMES[place.1] }
}

fn node(name: &'static str) -> Name<'static> {
    Name { kind: Kind::Node, namespace: "", name }
}

fn links(of: Place, to: usize, names: &[Place]) -> Links<'static> {
    match PUT[of.0] {
        Kind::Pod => Links { to: node(NODES[to]), named: names.iter().map(|place| named(*place)).collect() },
        // Volumes name secrets alone.
        Kind::Volume => Links { to: named((3, to)), named: names.iter().map(|(_, name)| named((0, *name))).collect() },
        _ => Links { to: node(NODES[to]), named: Vec::new() },
    }
}

fn change() -> impl Strategy<Value = Change> {
    let place = || (0..PUT.len(), 0..NAMES.len());
    let links = (0..NODES.len(), prop::collection::vec(place(), 0..5));
    // Pods and volumes are where the work is.
    let of = prop_oneof![3 => (0..2_usize, 0..NAMES.len()), 1 => place()];
    (of, prop::option::weighted(0.7, links))
}

fn names() -> impl Iterator<Item = Name<'static>> {
    let places = (0..5).flat_map(|kind| (0..3).map(move |name| (kind, name)));
    places.flat_map(|place| [put(place), named(place)])
}

/// Whether there is a way, one step at a time.
fn walk(objects: &BTreeMap<Place, Links<'static>>, from: Name<'static>, to: Name<'static>) -> bool {
    from == to
        || objects.iter().any(|(place, links)| {
            (put(*place) == from && walk(objects, links.to, to))
                || (links.named.contains(&from) && walk(objects, put(*place), to))
        })
}

proptest! {
    #[test]
    fn a_changed_graph_is_the_graph_of_what_is_left(changes in prop::collection::vec(change(), 0..60)) {
        let (mut changed, mut left) = (Graph::default(), BTreeMap::new());
        for (place, what) in &changes {
            match what {
                Some((to, names)) => {
                    let links = links(*place, *to, names);
                    changed.set(put(*place), Some(&links));
                    left.insert(*place, links);
                }
                None => {
                    changed.remove(put(*place));
                    left.remove(place);
                }
            }
        }
        let mut fresh = Graph::default();
        left.iter().for_each(|(place, links)| fresh.set(put(*place), Some(links)));
        prop_assert_eq!(changed.size(), fresh.size());
        for name in names() {
            for to in NODES {
                let expected = walk(&left, name, node(to));
                prop_assert_eq!(changed.leads(name, to), expected, "{:?} to {}", name, to);
                prop_assert_eq!(fresh.leads(name, to), expected, "{:?} to {}", name, to);
            }
        }
        // What goes altogether leaves nothing behind.
        PUT.iter().for_each(|kind| changed.retain(*kind, |_| false));
        prop_assert_eq!(changed.size(), (0, 0));
    }
}

fn pod(name: &str) -> Name<'_> {
    Name { kind: Kind::Pod, namespace: "ns", name }
}

#[test]
fn what_a_node_reads_ends_with_the_last_pod_that_names_it() {
    let mut graph = Graph::default();
    let secret = named((0, 0));
    // Named twice by one pod, and by another of the same node.
    graph.set(pod("a"), Some(&Links { to: node("n0"), named: vec![secret, secret] }));
    graph.set(pod("b"), Some(&Links { to: node("n0"), named: vec![secret] }));
    graph.remove(pod("a"));
    assert!(graph.leads(secret, "n0") && !graph.leads(secret, "n1"));
    graph.set(pod("b"), Some(&Links { to: node("n1"), named: vec![secret] }));
    assert!(!graph.leads(secret, "n0") && graph.leads(secret, "n1"));
    graph.set(pod("b"), None);
    assert!(!graph.leads(secret, "n1"));
    assert_eq!(graph.size(), (0, 0));
}

#[test]
fn names_are_told_apart_where_they_end() {
    let mut graph = Graph::default();
    let of = |namespace, name| Name { kind: Kind::Secret, namespace, name };
    graph.set(pod("a"), Some(&Links { to: node("n0"), named: vec![of("a", "b/c")] }));
    assert!(graph.leads(of("a", "b/c"), "n0"));
    assert!(!graph.leads(of("a/b", "c"), "n0") && !graph.leads(of("", "a/b/c"), "n0"));
}

#[test]
fn what_is_not_wanted_any_more_goes() {
    let mut graph = Graph::default();
    let secret = named((0, 0));
    for name in ["a", "b"] {
        graph.set(pod(name), Some(&Links { to: node("n0"), named: vec![secret] }));
    }
    graph.set(put((1, 0)), Some(&Links { to: named((3, 0)), named: Vec::new() }));
    graph.retain(Kind::Pod, |key| key == "ns/b");
    assert!(!graph.leads(pod("a"), "n0") && graph.leads(pod("b"), "n0") && graph.leads(secret, "n0"));
    // Three objects for the pod, its secret and its node, two for the volume.
    assert_eq!(graph.size(), (5, 3));
}
