//! Shortage, who goes, and what is said, without a machine.

use std::sync::Arc;

use api::{Value, value};

use super::{
    rank::Candidate,
    usage::{ContainerUsage, Space, Usage},
    *,
};

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + second, 0).expect("is a time")
}

fn policy(said: Value) -> Policy {
    let mut said = said;
    said.default("evictionPressureTransitionPeriod", "5m0s");
    Policy::read(&said).expect("it is right")
}

fn memory(available: i64) -> Observations {
    Observations::from([(Signal::Memory, Observation { available, capacity: 1000 })])
}

#[test]
fn who_says_nothing_is_kept_from_filling_up() {
    let default = policy(value!({"enforceNodeAllocatable": ["pods"]}));
    let told: Vec<_> = default.thresholds.iter().map(|t| t.signal).collect();
    use Signal::*;
    assert_eq!(told, [ImageFs, ImageFsInodes, Memory, NodeFs, NodeFsInodes, AllocatableMemory]);
    assert_eq!(default.kept(Memory, 1 << 30).value(), 100 << 20);
    let one = policy(value!({"evictionHard": {"memory.available": "5%", "nodefs.available": "0%"}}));
    assert_eq!(one.thresholds.len(), 1, "who says one has only that");
    let merged = policy(value!({"evictionHard": {"pid.available": "10"}, "mergeDefaultEvictionSettings": true}));
    assert_eq!(merged.thresholds.len(), 6);
}

#[test]
fn what_cannot_be_is_refused() {
    let error = |said: Value| Policy::read(&said).expect_err("it is wrong");
    let soft = value!({"evictionHard": {}, "evictionSoft": {"memory.available": "1Gi"}});
    assert_eq!(error(soft), "grace period must be specified for the soft eviction threshold memory.available");
    let none = value!({"evictionHard": {"memory.available": "0"}});
    assert_eq!(error(none), "eviction threshold memory.available must be positive: 0");
    let much = value!({"evictionHard": {"memory.available": "101%"}});
    assert_eq!(error(much), "eviction percentage threshold memory.available must be <= 100%: 101%");
}

#[test]
fn a_condition_outlives_its_cause_and_a_soft_threshold_waits() {
    let policy = policy(value!({
        "evictionHard": {"memory.available": "100"}, "evictionSoft": {"memory.available": "300"},
        "evictionSoftGracePeriod": {"memory.available": "30s"}, "evictionMinimumReclaim": {"memory.available": "50"}
    }));
    let mut state = State::default();
    let mut see = |available, second| state.see(&policy, &memory(available), at(second));
    assert_eq!(see(400, 0), Shortage::default());
    let soft = see(299, 10);
    assert!(soft.pressure.memory && soft.due.is_empty(), "it has not lasted yet");
    assert_eq!(see(299, 40).due, [1]);
    assert_eq!(see(99, 50).due, [0, 1], "at once");
    assert_eq!(see(149, 60).due, [0, 1], "150 have to be free again");
    assert_eq!(see(350, 70).due, Vec::<usize>::new());
    assert!(see(900, 300).pressure.memory, "told for five minutes more");
    assert!(!see(900, 361).pressure.memory);
}

fn pod(name: &str, priority: i64, request: &str) -> Arc<Value> {
    Arc::new(value!({
        "metadata": {"name": name, "uid": name},
        "spec": {"priority": priority, "containers": [{"name": "c", "resources": {"requests": {"memory": request}}}]}
    }))
}

fn uses(memory: i64) -> Option<Usage> {
    let container = ContainerUsage { name: "c".into(), memory: Some(memory), ..ContainerUsage::default() };
    Some(Usage { memory, processes: memory, containers: vec![container], ..Usage::default() })
}

#[test]
fn who_exceeds_what_it_asked_for_goes_first() {
    let of = |name, priority, request, usage| Candidate { pod: pod(name, priority, request), usage };
    let mut all = [
        of("modest", 0, "100", uses(50)),
        of("important", 9, "100", uses(500)),
        of("greedy", 0, "100", uses(300)),
        of("greedier", 0, "100", uses(301)),
        of("unknown", 9, "100", None),
    ];
    let order = |all: &[Candidate]| {
        all.iter().map(|c| c.pod.at("metadata").str("name").to_owned()).collect::<Vec<_>>().join(" ")
    };
    rank::rank(&mut all, Signal::Memory);
    assert_eq!(order(&all), "unknown greedier greedy important modest");
    rank::rank(&mut all, Signal::Pids);
    assert_eq!(order(&all), "greedier greedy modest unknown important");
    assert!(rank::is_critical(&pod("system", 2_000_001_000, "1")));
    assert!(!rank::is_critical(&all[0].pod));
}

#[test]
fn what_is_said_is_upstreams() {
    let policy = policy(value!({"evictionHard": {"memory.available": "100Mi"}}));
    let observed = Observations::from([(Signal::Memory, Observation { available: 80 << 20, capacity: 1 << 30 })]);
    let message = message::of(&pod("p", 0, "10Mi"), uses(1 << 30).as_ref(), &policy, &[0], &observed);
    assert_eq!(
        message,
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. Container c was using 1Gi, \
         request is 10Mi, has larger consumption of memory. "
    );
}

#[test]
fn who_fills_the_disk_goes() {
    let pod = value!({"spec": {
        "containers": [{"name": "c", "resources": {"limits": {"ephemeral-storage": "1Ki"}}}],
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "2Ki"}}]
    }});
    let usage = |volume, logs, rootfs| Usage {
        volumes: vec![("v".into(), Space { bytes: volume, inodes: 1 })],
        containers: vec![ContainerUsage {
            name: "c".into(),
            logs: Some(logs),
            rootfs: Some(rootfs),
            ..ContainerUsage::default()
        }],
        ..Usage::default()
    };
    assert!(local::is_bounded(&pod));
    assert_eq!(local::excess(&pod, &usage(0, 512, 512), false), None);
    let message = local::excess(&pod, &usage(2049, 0, 0), false).expect("the volume is full");
    assert_eq!(message, "Usage of EmptyDir volume \"v\" exceeds the limit \"2Ki\". ");
    let message = local::excess(&pod, &usage(0, 512, 513), false).expect("it is too much together");
    assert_eq!(message, "Pod ephemeral local storage usage exceeds the total limit of containers 1Ki. ");
    assert!(!local::is_bounded(&value!({"spec": {"containers": [{"name": "c"}]}})));
}

#[test]
fn directories_are_measured_whole() {
    let directory = tempfile::tempdir().expect("there is room");
    std::fs::create_dir(directory.path().join("a")).expect("there is room");
    std::fs::write(directory.path().join("a/b"), vec![1; 10_000]).expect("there is room");
    let found = usage::space(directory.path()).expect("it is there");
    assert_eq!(found.inodes, 3);
    assert!(found.bytes >= 10_000);
}
