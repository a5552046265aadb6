//! Classes, figures and scores as cases, and the bounds a table does not show.

use std::path::Path;

use super::*;

/// `cases/qos.yaml`: a pod, and what is made of it.
#[test]
fn every_case() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/qos.yaml");
    let text = std::fs::read_to_string(path).expect("it is there");
    let mut seen = 0;
    for document in text.split("\n---\n") {
        let case: Value = yaml_serde::from_str(document).expect("is YAML");
        let (name, pod) = (case.str("case"), case.at("pod"));
        assert_eq!(computed_class(pod).as_str(), case.str("class"), "{name}");
        let whole = pod_resources(pod);
        let expected = case.at("whole");
        assert_eq!(whole.cpu_shares, expected.int("shares"), "{name}");
        assert_eq!(whole.cpu_quota_us.map(|(quota, _)| quota), expected.opt_int("quota"), "{name}");
        assert_eq!(whole.memory_limit_bytes, expected.int("memory"), "{name}");
        check_containers(name, pod, case.at("containers"));
        seen += 1;
    }
    assert!(seen > 5, "there are cases");
}

fn check_containers(name: &str, pod: &Value, expected: &Value) {
    let machine = machine();
    for (container, expected) in expected.members() {
        let spec = pod.at("spec");
        let mut all = spec.list("containers").iter().chain(spec.list("initContainers"));
        let found = all.find(|c| c.str("name") == container).expect("the case names a container of its pod");
        let made = container_resources(pod, found, &machine);
        assert_eq!(made.cpu_shares, expected.int("shares"), "{name}: {container}");
        assert_eq!(made.cpu_quota_us, expected.int("quota"), "{name}: {container}");
        assert_eq!(made.memory_limit_bytes, expected.int("memory"), "{name}: {container}");
        assert_eq!(made.oom_score_adj, expected.int("oom"), "{name}: {container}");
    }
}

fn machine() -> Machine {
    Machine {
        memory_bytes: 4 << 30,
        hugepage_sizes: vec!["2MB".into(), "1GB".into()],
        enforces_quota: true,
        quota_period_us: PERIOD_US,
        ..Machine::default()
    }
}

#[test]
fn figures_have_their_bounds() {
    assert_eq!((shares(0), shares(1), shares(100), shares(1000), shares(300_000_000)), (2, 2, 102, 1024, SHARES_MAX));
    assert_eq!((quota_us(0, PERIOD_US), quota_us(1, PERIOD_US), quota_us(1500, PERIOD_US)), (0, 1000, 150_000));
    assert_eq!((milli_cpu_of_shares(1024), milli_cpu_of_shares(1)), (1000, 0));
    assert_eq!((milli_cpu_of_quota(150_000, PERIOD_US), milli_cpu_of_quota(-1, PERIOD_US)), (1500, 0));
    assert_eq!(
        (page_size_name(2 << 20), page_size_name(1 << 30), page_size_name(1536)),
        ("2MB".into(), "1GB".into(), "1536B".into())
    );
}

#[test]
fn huge_pages_that_nobody_asks_for_are_forbidden() {
    let pod = api::value!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"hugepages-2Mi": "4Mi"}}}]}});
    let made = container_resources(&pod, &pod.at("spec").list("containers")[0], &machine());
    assert_eq!(made.hugepages, [("2MB".to_owned(), 4 << 20), ("1GB".to_owned(), 0)]);
}

#[test]
fn the_unified_hierarchy_is_told_more() {
    let pod = api::value!({"spec": {"containers": [{"name": "c"}]}});
    let machine = Machine { cgroup_v2: true, limits_swap: true, ..machine() };
    let made = container_resources(&pod, &pod.at("spec").list("containers")[0], &machine);
    let files: Vec<_> = made.unified.iter().map(|(file, value)| format!("{file}={value}")).collect();
    assert_eq!(files, ["memory.low=0", "memory.min=0", "memory.oom.group=1", "memory.swap.max=0"]);
    assert_eq!(made.memory_swap_limit_bytes, 0);
}

#[test]
fn a_score_that_may_not_be_set_is_raised() {
    let pod = api::value!({"status": {"qosClass": "Guaranteed"}});
    let machine = Machine { oom_score_min: Some(0), ..machine() };
    assert_eq!(oom_score_adj(&pod, Value::NULL, &machine), 0);
}
