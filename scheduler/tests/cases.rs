//! `cases/*.yaml`: nodes, pods on them, a pod, and what comes of it. Adding a case is adding a document.
//!
//! A document: `case` (what it shows), `nodes`, `placed` (pods with `node`), `around` (namespaces, services, …), `pod`,
//! `config` (a KubeSchedulerConfiguration), and what is expected: `feasible` nodes, the `points` that plugins give them, the
//! `message`, the `victims` of preemption as `node: [names]`.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use api::{Value, meta};
use scheduler::{
    Around, Pod, Profile, Snapshot, Verdict,
    config::Config,
    cycle::{self, Course, Cycle},
    preempt::{self, Outcome},
};

#[test]
fn every_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("it is there").filter_map(Result::ok).collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(file.path()).expect("it can be read");
        for document in text.split("\n---\n") {
            let case: Value = yaml_serde::from_str(document).unwrap_or_else(|e| panic!("{:?}: {e}", file.path()));
            run(&case);
            seen += 1;
        }
    }
    assert!(seen > 0, "there are cases");
}

fn run(case: &Value) {
    let name = case.str("case");
    let around = around(case.at("around"));
    let mut snapshot = snapshot(case);
    let config = match case.get("config") {
        Some(text) => Config::read(text).unwrap_or_else(|why| panic!("{name}: {why}")),
        None => Config::default(),
    };
    let profile = &config.profiles[0];
    let pod = pod(case.at("pod"), "incoming");
    let mut course = Course::new(1);
    if case.has("feasible") {
        check_points(case, &mut snapshot, &around, profile, &pod);
    }
    let diagnosis = match cycle::schedule(&mut snapshot, &around, profile, &pod, &mut course) {
        Verdict::Nowhere(diagnosis) => Some(diagnosis),
        Verdict::Node { slot, .. } => {
            let chosen = snapshot.node(slot).name.to_string();
            let expected = names(case.list("feasible"));
            assert!(expected.contains(&chosen.as_str()), "{name}: {chosen} was chosen of {expected:?}");
            None
        }
    };
    if let Some(expected) = case.opt_str("message") {
        assert_eq!(diagnosis.as_ref().map(|d| d.message()).as_deref(), Some(expected), "{name}");
    }
    if let Some(expected) = case.get("victims") {
        let diagnosis = diagnosis.unwrap_or_else(|| panic!("{name}: it fits without anybody going"));
        let outcome = preempt::preempt(&mut snapshot, &around, profile, &pod, &diagnosis, &mut course);
        match (outcome, expected.as_str()) {
            (Outcome::Nothing { message, .. }, Some(expected)) => assert_eq!(message, expected, "{name}"),
            (Outcome::Make(candidate), None) => {
                let node = snapshot.node(candidate.slot).name.as_str();
                let victims: Vec<&str> = candidate.victims.iter().map(|v| v.key.name.as_str()).collect();
                let expected = names(expected.list(node));
                assert_eq!(victims, expected, "{name}: on {node}");
            }
            (outcome, expected) => panic!("{name}: {outcome:?} instead of {expected:?}"),
        }
    }
}

/// Which nodes would do, and what plugins give them.
fn check_points(case: &Value, snapshot: &mut Snapshot, around: &Around, profile: &Profile, pod: &Pod) {
    let name = case.str("case");
    snapshot.settle();
    let all = snapshot.order().to_vec();
    let feasible: Vec<_> =
        all.into_iter().filter(|slot| cycle::fits(snapshot, around, profile, pod, *slot).is_none()).collect();
    let mut nodes: Vec<&str> = feasible.iter().map(|slot| snapshot.node(*slot).name.as_str()).collect();
    let cycle = Cycle { snapshot, around, profile, pod };
    for (plugin, expected) in case.at("points").members() {
        let points = cycle::points(&cycle, plugin, &feasible).unwrap_or_default();
        let points: BTreeMap<&str, i64> = nodes.iter().copied().zip(points).collect();
        let expected = expected.members().map(|(node, points)| (node, points.as_int().unwrap_or(-1))).collect();
        assert_eq!(points, expected, "{name}: {plugin}");
    }
    nodes.sort_unstable();
    assert_eq!(nodes, names(case.list("feasible")), "{name}");
}

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().filter_map(Value::as_str).collect()
}

fn snapshot(case: &Value) -> Snapshot {
    let mut snapshot = Snapshot::new();
    for node in case.list("nodes") {
        let mut object = api::value!({"metadata": {"name": node.str("name"), "labels": node.at("labels").clone()},
            "spec": {"taints": node.at("taints").clone(), "unschedulable": node.bool("unschedulable")}});
        let mut allocatable = api::value!({"cpu": "4", "memory": "8Gi", "pods": "110"});
        node.at("allocatable").members().for_each(|(name, amount)| allocatable.set(name, amount.clone()));
        object.set("status", api::value!({"allocatable": allocatable, "images": node.at("images").clone()}));
        snapshot.set_node(Arc::new(object));
    }
    for (i, placed) in case.list("placed").iter().enumerate() {
        snapshot.put(Arc::new(pod(placed, &format!("placed-{i}"))));
    }
    for waiting in case.list("nominated") {
        let waiting = Arc::new(pod(waiting, waiting.str("name")));
        snapshot.nominate(&waiting, &waiting.nominated);
    }
    snapshot
}

/// The short form of a pod: `cpu`, `memory` and what is its spec's; `labels`, `namespace`, `node`, `status`.
fn pod(short: &Value, uid: &str) -> Pod {
    let name = short.opt_str("name").unwrap_or(uid);
    let namespace = short.opt_str("namespace").unwrap_or("default");
    let mut requests = Value::object();
    for resource in ["cpu", "memory", "example.com/gpu"] {
        if let Some(amount) = short.get(resource) {
            requests.set(resource, amount.clone());
        }
    }
    let mut spec = api::value!({"containers": [
        {"name": "c", "image": short.str("image"), "ports": short.at("ports").clone(), "resources": {"requests": requests}}]});
    short.at("spec").members().for_each(|(member, value)| spec.set(member, value.clone()));
    spec.set("nodeName", short.str("node"));
    spec.set("priority", short.int("priority"));
    let mut meta =
        api::value!({"name": name, "namespace": namespace, "uid": uid, "labels": short.at("labels").clone()});
    if short.bool("terminating") {
        meta.set("deletionTimestamp", "2026-01-01T00:00:00Z");
    }
    let object = api::value!({"metadata": meta, "spec": spec, "status": short.at("status").clone()});
    Pod::read(Arc::new(object))
}

fn around(case: &Value) -> Around {
    let around = Around::new();
    for mirror in around.mirrors() {
        for object in case.list(&mirror.resource.plural) {
            assert!(!meta::of(object).name().is_empty(), "objects around have names");
            mirror.set(object.clone());
        }
    }
    around
}
