//! Which acts lead from one size to another, in which order.

use super::*;
use api::value;

fn machine() -> Machine {
    Machine { memory_bytes: 8 << 30, enforces_quota: true, quota_period_us: qos::PERIOD_US, ..Machine::default() }
}

fn container(name: &str, milli_cpu: i64, mebibytes: i64) -> Value {
    let amounts = || value!({"cpu": format!("{milli_cpu}m"), "memory": format!("{mebibytes}Mi")});
    value!({"name": name, "resources": {"requests": amounts(), "limits": amounts()}})
}

fn pod(containers: Vec<Value>) -> Value {
    value!({"status": {"qosClass": "Guaranteed"}, "spec": {"containers": containers}})
}

/// What is to be done, in short, to come from the one pod to the other.
fn from_to(old: &Value, new: &Value) -> Vec<String> {
    let machine = machine();
    let has: Vec<(String, Resources)> = old
        .at("spec")
        .list("containers")
        .iter()
        .map(|c| (c.str("name").to_owned(), qos::container_resources(old, c, &machine)))
        .collect();
    let running: Vec<Running<'_>> = has.iter().map(|(name, has)| Running { id: name, name, has }).collect();
    let acts = acts(new, &running, &qos::pod_resources(old), &machine);
    acts.iter().map(short).collect()
}

fn short(act: &Act) -> String {
    match act {
        Act::Group(limits) => {
            let cpu = limits.cpu_quota_us.map(|(quota, _)| format!("quota {quota}"));
            let shares = limits.cpu_shares.map(|shares| format!("shares {shares}"));
            let memory = limits.memory_bytes.map(|bytes| format!("memory {}", bytes >> 20));
            format!("group {}", [cpu, shares, memory].into_iter().flatten().collect::<Vec<_>>().join(" "))
        }
        Act::Container { name, resources, .. } if resources.memory_limit_bytes > 0 => {
            format!("{name} memory {}", resources.memory_limit_bytes >> 20)
        }
        Act::Container { name, resources, .. } => {
            format!("{name} cpu {} {}", resources.cpu_quota_us, resources.cpu_shares)
        }
        Act::Restart { message, .. } => message.clone(),
    }
}

#[test]
fn what_has_what_it_should_is_left_alone() {
    let pod = pod(vec![container("a", 100, 64)]);
    assert!(from_to(&pod, &pod).is_empty());
}

#[test]
fn the_group_grows_before_its_containers_and_shrinks_after_them() {
    let (small, large) = (pod(vec![container("a", 100, 64)]), pod(vec![container("a", 200, 128)]));
    let growing = ["group memory 128", "a memory 128", "group quota 20000", "group shares 204", "a cpu 20000 204"];
    assert_eq!(from_to(&small, &large), growing);
    let shrinking = ["a memory 64", "group memory 64", "a cpu 10000 102", "group shares 102", "group quota 10000"];
    assert_eq!(from_to(&large, &small), shrinking);
}

#[test]
fn what_shrinks_makes_room_for_what_grows() {
    let old = pod(vec![container("a", 100, 64), container("b", 300, 256)]);
    let new = pod(vec![container("a", 200, 128), container("b", 200, 192)]);
    let expected = ["b memory 192", "a memory 128", "b cpu 20000 204", "a cpu 20000 204"];
    assert_eq!(from_to(&old, &new), expected, "the pod as a whole stays as it is");
}

#[test]
fn a_container_may_want_to_be_started_anew() {
    let policy = || value!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    let with = |milli, mebibytes| {
        let mut own = container("a", milli, mebibytes);
        own.set("resizePolicy", policy());
        pod(vec![own])
    };
    let restart = "Container a resize requires restart";
    assert_eq!(from_to(&with(100, 64), &with(100, 128)), ["group memory 128", restart]);
    assert_eq!(from_to(&with(100, 64), &with(200, 64)), ["group quota 20000", "group shares 204", "a cpu 20000 204"]);
}

#[test]
fn what_is_reported_is_what_it_has() {
    let own = container("a", 200, 128);
    let had = qos::container_resources(&pod(vec![own.clone()]), &container("a", 100, 64), &machine());
    let reported = super::reported(&own, Some(&had));
    let at = |list: &str, name: &str| reported.at(list).str(name).to_owned();
    assert_eq!((at("limits", "cpu"), at("limits", "memory")), ("100m".into(), "64Mi".into()));
    assert_eq!((at("requests", "cpu"), at("requests", "memory")), ("100m".into(), "128Mi".into()));
    let has = qos::container_resources(&pod(vec![own.clone()]), &own, &machine());
    assert_eq!(super::reported(&own, Some(&has)), *own.at("resources"), "the words of the spec stay");
    assert_eq!(super::reported(&value!({}), Some(&has)), value!({}));
    assert_eq!(super::reported(&own, None), *own.at("resources"));
}

#[test]
fn amounts_too_small_to_be_told_apart_stay_as_they_were_asked_for() {
    let own = container("a", 1, 64);
    let has = qos::container_resources(&pod(vec![own.clone()]), &own, &machine());
    assert_eq!(super::reported(&own, Some(&has)), *own.at("resources"));
}
