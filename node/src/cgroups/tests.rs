//! The groups of pods in both layouts, in a directory that stands for the machine's.

use super::*;
use api::value;

fn pod(class: &str) -> Value {
    let limited = value!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "64Mi"}});
    let resources = if class == "BestEffort" { Value::Null } else { limited };
    value!({"metadata": {"uid": "a-b"}, "status": {"qosClass": class}, "spec": {"containers": [{"resources": resources}]}})
}

/// Directories in the place of hierarchies. Nothing in them is the kernel's, so that files appear where they are written.
fn separate(root: &Path) -> Cgroups {
    let names = ["cpu", "cpuset", "memory", "pids"];
    let all = names.map(|name| (name.to_owned(), root.join(name)));
    for (_, directory) in &all {
        fs::create_dir_all(directory).expect("makes");
    }
    fs::write(root.join("cpuset/cpuset.cpus"), "0-3\n").expect("writes");
    fs::write(root.join("cpuset/cpuset.mems"), "0\n").expect("writes");
    Cgroups::new(Layout::Separate(all.into()), Driver::Cgroupfs, "/nodes/one", Vec::new())
}

fn read(root: &Path, file: &str) -> String {
    fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn machine(enforces_quota: bool) -> qos::Machine {
    qos::Machine { enforces_quota, quota_period_us: qos::PERIOD_US, ..qos::Machine::default() }
}

#[test]
fn a_pod_has_a_group_in_every_hierarchy() {
    let root = tempfile::tempdir().expect("makes one");
    let (root, groups) = (root.path(), separate(root.path()));
    groups.prepare().expect("makes");
    groups.ensure_pod(&pod("Burstable"), &machine(true), Some(100)).expect("makes");
    let place = "nodes/one/kubepods/burstable/poda-b";
    assert_eq!(groups.parent_of(&pod("Burstable")), format!("/{place}"));
    assert_eq!(groups.parent_of(&pod("Guaranteed")), "/nodes/one/kubepods/poda-b");
    assert_eq!(read(root, &format!("cpu/{place}/cpu.shares")), "512");
    assert_eq!(read(root, &format!("cpu/{place}/cpu.cfs_quota_us")), "100000");
    assert_eq!(read(root, &format!("memory/{place}/memory.limit_in_bytes")), "67108864");
    assert_eq!(read(root, &format!("pids/{place}/pids.max")), "100");
    assert_eq!(read(root, &format!("cpuset/{place}/cpuset.cpus")), "0-3");
    assert_eq!(read(root, "cpu/nodes/one/kubepods/besteffort/cpu.shares"), "2");
    assert_eq!(groups.pods().expect("reads"), BTreeSet::from(["a-b".to_owned()]));
}

#[test]
fn a_group_that_is_there_is_left_alone_until_it_is_resized() {
    let root = tempfile::tempdir().expect("makes one");
    let (root, groups) = (root.path(), separate(root.path()));
    groups.prepare().expect("makes");
    groups.ensure_pod(&pod("Burstable"), &machine(true), None).expect("makes");
    let file = "cpu/nodes/one/kubepods/burstable/poda-b/cpu.shares";
    fs::write(root.join(file), "7").expect("writes");
    groups.ensure_pod(&pod("Burstable"), &machine(true), None).expect("is there");
    assert_eq!(read(root, file), "7");
    let limits = Limits { cpu_shares: Some(9), ..Limits::default() };
    groups.resize_pod(&pod("Burstable"), &limits).expect("sets");
    assert_eq!(read(root, file), "9");
    groups.weigh_burstable(1500).expect("sets");
    assert_eq!(read(root, "cpu/nodes/one/kubepods/burstable/cpu.shares"), "1536");
}

#[test]
fn a_pod_without_limits_is_not_limited() {
    let root = tempfile::tempdir().expect("makes one");
    let (root, groups) = (root.path(), separate(root.path()));
    groups.prepare().expect("makes");
    groups.ensure_pod(&pod("BestEffort"), &machine(true), None).expect("makes");
    let place = "nodes/one/kubepods/besteffort/poda-b";
    assert_eq!(read(root, &format!("cpu/{place}/cpu.shares")), "2");
    assert!(!root.join(format!("cpu/{place}/cpu.cfs_quota_us")).exists());
    assert!(!root.join(format!("memory/{place}/memory.limit_in_bytes")).exists());
}

#[test]
fn the_unified_hierarchy_gives_controllers_on() {
    let root = tempfile::tempdir().expect("makes one");
    let root = root.path();
    // A kernel would make these files in every new group.
    for directory in ["", "kubepods", "kubepods/burstable"] {
        fs::create_dir_all(root.join(directory)).expect("makes");
        fs::write(root.join(directory).join("cgroup.controllers"), "cpuset cpu io memory pids").expect("writes");
    }
    fs::write(root.join("cgroup.subtree_control"), "cpu").expect("writes");
    let groups = Cgroups::new(Layout::Unified(root.to_owned()), Driver::Cgroupfs, "/", vec!["2MB".into()]);
    groups.prepare().expect("makes");
    groups.ensure_pod(&pod("Burstable"), &machine(false), None).expect("makes");
    let given = read(root, "kubepods/cgroup.subtree_control");
    assert!(given.contains("+cpu ") && given.contains("+memory") && !given.contains("io"), "{given}");
    let place = "kubepods/burstable/poda-b";
    assert_eq!(read(root, &format!("{place}/cpu.weight")), "20");
    assert_eq!(read(root, &format!("{place}/cpu.max")), "max 100000");
    assert_eq!(read(root, &format!("{place}/memory.max")), "67108864");
    assert!(!root.join(place).join("hugetlb.2MB.max").exists(), "the kernel has no such controller");
    fs::write(root.join(place).join("memory.current"), "4096\n").expect("writes");
    assert_eq!(groups.memory_of(&pod("Burstable")), Some(4096));
}

#[test]
fn a_pods_groups_go_with_those_in_them() {
    let root = tempfile::tempdir().expect("makes one");
    let groups = separate(root.path());
    let place = root.path().join("cpu/nodes/one/kubepods/burstable/poda-b");
    fs::create_dir_all(place.join("container/inner")).expect("makes");
    groups.remove_pod("a-b").expect("removes");
    assert!(!place.exists());
    assert!(place.parent().is_some_and(Path::exists));
    groups.remove_pod("a-b").expect("is gone already");
}
