//! What a decision about a node costs, and what the graph holds: 5,000 nodes of 30 pods each.
//!
//! `cargo run --release -p auth --example node_rights [NODES [PODS]]`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use api::{Attributes, User, Value, value};
use auth::authorize::node::graph::Kind;
use auth::authorize::{Mode as _, Node, Relations, Verdict};

const NAMESPACES: usize = 100;
/// What a pod of these leads to: its node, its account, two config maps, two secrets.
const EDGES_OF_POD: usize = 6;
const TURNS: usize = 200_000;

/// A pod as deployments have them: an account and a configuration that its namespace shares, one that its workload shares,
/// and a secret of its own.
fn pod(number: usize, node: usize) -> Value {
    let (workload, own) = (number / 10, format!("web-{number}"));
    value!({"metadata": {"namespace": (namespace(number)), "name": (format!("web-{workload}-7d4b9c6f5d-{number:05}"))}, "spec": {
        "nodeName": (format!("node-{node:05}")), "serviceAccountName": "default",
        "imagePullSecrets": [{"name": "registry"}],
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": (format!("settings-{workload}"))}}]}],
        "volumes": [{"secret": {"secretName": own}},
            {"projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}]
    }})
}

fn namespace(pod: usize) -> String {
    format!("team-{}", pod / 10 % NAMESPACES)
}

fn asked(resource: &str, pod: usize, name: String) -> Attributes {
    let (verb, resource) = ("get".to_owned(), resource.to_owned());
    Attributes { verb, is_resource: true, resource, namespace: namespace(pod), name, ..Attributes::default() }
}

/// Memory of this process in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_usize) * 4096
}

#[allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program to be used by hand")]
fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("it is a number"));
    let (nodes, pods) = (arguments.next().unwrap_or(5000), arguments.next().unwrap_or(30));
    let mode = Node { relations: Arc::new(Relations::default()), rules: Arc::default() };
    let (before, start) = (resident(), Instant::now());
    for number in 0..nodes * pods {
        mode.relations.put(Kind::Pod, &pod(number, number % nodes));
    }
    let (objects, edges) = mode.relations.size();
    let bytes = resident().saturating_sub(before);
    println!("{nodes} nodes × {pods} pods: {objects} objects, {edges} edges, {} MB", bytes >> 20);
    println!("a pod: {} bytes; of {EDGES_OF_POD} edges, each: {}", bytes / (nodes * pods), bytes / edges);
    println!("put: {:.2} µs a pod", start.elapsed().as_secs_f64() * 1e6 / (nodes * pods) as f64);

    let of_pod = |what: &str, number: usize| match what {
        "a secret of a pod's own" => asked("secrets", number, format!("web-{number}")),
        "a config map of the whole namespace" => asked("configmaps", number, "kube-root-ca.crt".into()),
        _ => asked("pods", number, format!("web-{}-7d4b9c6f5d-{number:05}", number / 10)),
    };
    for what in ["a secret of a pod's own", "a config map of the whole namespace", "a pod"] {
        for (of, far) in [("its", 0), ("another", nodes / 2 + 1)] {
            let questions: Vec<(User, Attributes)> = (0..TURNS)
                .map(|turn| {
                    let number = turn * 7919 % (nodes * pods);
                    let node = format!("system:node:node-{:05}", (number + far) % nodes);
                    (User::new(node, &["system:nodes", "system:authenticated"]), of_pod(what, number))
                })
                .collect();
            let start = Instant::now();
            let allowed =
                questions.iter().filter(|(user, asked)| black_box(mode.decide(user, asked)).verdict == Verdict::Allow);
            let allowed = allowed.count();
            let each = start.elapsed().as_secs_f64() * 1e6 / TURNS as f64;
            println!("{what}, asked by {of} node: {each:.2} µs ({allowed} of {TURNS} allowed)");
        }
    }
    let start = Instant::now();
    for number in 0..TURNS.min(nodes * pods) {
        mode.relations.put(Kind::Pod, &pod(number, (number + 1) % nodes));
    }
    let moved = TURNS.min(nodes * pods);
    println!("a pod elsewhere: {:.2} µs", start.elapsed().as_secs_f64() * 1e6 / moved as f64);
}
