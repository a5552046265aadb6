//! Pods through each of their doors, against what kube-apiserver v1.37.1 answered (`cases.jsonl`); cells; deletion.

use std::collections::BTreeSet;

use api::{Value, value};

use super::*;
use crate::{
    row::Cell,
    testing::{context, texts},
};

static CASES: &str = include_str!("cases.jsonl");

/// What is wrong with a request through a door: `create`, `update` or a subresource.
fn judged(door: &str, mut new: Value, old: &Value) -> Errors {
    let (context, rules) = (context(), POD.rules);
    match door {
        "create" => {
            (rules.prepare_create)(&mut new, &context);
            (rules.validate)(&new, &context)
        }
        "update" => {
            (rules.prepare_update)(&mut new, old, &context);
            (rules.validate_update)(&new, old, &context)
        }
        _ => {
            let door = SUBRESOURCES.iter().find(|s| s.name() == door).and_then(|s| s.rules()).expect("it is a door");
            (door.prepare)(&mut new, old, &context);
            (door.validate)(&new, old, &context)
        }
    }
}

#[test]
fn every_case_is_judged_as_upstream_does() {
    let mut count = 0;
    for line in CASES.lines() {
        let case = pod::internal::parse(line).expect("a case is JSON");
        let found: BTreeSet<String> =
            texts(&judged(case.str("door"), case.at("new").clone(), case.at("old"))).into_iter().collect();
        let expected: BTreeSet<String> = case.list("errors").iter().filter_map(Value::as_str).map(Into::into).collect();
        assert_eq!(found, expected, "{} {}", case.str("door"), case.str("name"));
        count += 1;
    }
    assert!(count > 100, "only {count} cases");
}

#[test]
fn a_new_pod_is_pending_with_a_class_and_its_gates() {
    let mut pod = value!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}], "schedulingGates": [{"name": "g"}]
    }, "status": {"phase": "Running"}});
    prepare_create(&mut pod, &context());
    let status = pod.at("status");
    assert_eq!((status.str("phase"), status.str("qosClass")), ("Pending", "Burstable"));
    assert_eq!(status.list("conditions")[0].str("reason"), "SchedulingGated");
}

#[test]
fn annotations_of_old_become_fields() {
    let mut pod = value!({
        "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "localhost/x"}},
        "spec": {"containers": [{"name": "c"}, {"name": "d"}]}
    });
    prepare_create(&mut pod, &context());
    let containers = pod.at("spec").list("containers");
    let profile = value!({"type": "Localhost", "localhostProfile": "x"});
    assert_eq!(containers[0].at_path(&["securityContext", "appArmorProfile"]), &profile);
    assert_eq!(containers[1].at("securityContext"), Value::NULL);
}

#[test]
fn a_pod_that_never_ran_goes_at_once() {
    let pod = |node: &str, phase: &str| value!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}, "status": {"phase": phase}});
    let cases = [
        ("", "Pending", None, 0),
        ("n", "Running", None, 30),
        ("n", "Failed", Some(9), 0),
        ("n", "Running", Some(-4), 1),
    ];
    for (node, phase, asked, seconds) in cases {
        assert_eq!(grace(&pod(node, phase), asked), seconds, "{node} {phase} {asked:?}");
    }
}

#[test]
fn changes_are_counted_through_every_door() {
    let old = value!({"metadata": {"generation": 3}, "spec": {"containers": [{"name": "c"}]}, "status": {}});
    let mut new = old.clone();
    prepare_ephemeral_containers(&mut new, &old, &context());
    assert_eq!(api::meta::of(&new).generation(), 3);
    new.set_path(&["spec", "ephemeralContainers"], value!([{"name": "e"}]));
    new.set_path(&["spec", "hostname"], "other");
    prepare_ephemeral_containers(&mut new, &old, &context());
    assert_eq!((api::meta::of(&new).generation(), new.at("spec").str("hostname")), (4, ""));
}

fn cells(pod: &Value) -> Vec<String> {
    let now = "2026-01-01T00:10:00Z".parse().expect("it is a timestamp");
    let texts = POD.columns.iter().filter_map(|c| match c.cell {
        Cell::Fn(cell) => cell(pod, now).as_str().map(Into::into),
        _ => None,
    });
    texts.collect()
}

#[test]
fn cells_tell_what_is_going_on() {
    let status = |status: Value| value!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}, "status": status});
    let ended = |code: i64| value!({"terminated": {"exitCode": code, "finishedAt": "2026-01-01T00:05:00Z"}});
    let cases = [
        (value!({"phase": "Pending", "reason": "Lost"}), ["0/2", "Lost", "0"]),
        (value!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {}}]}), ["0/2", "Init:0/1", "0"]),
        (
            value!({"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "restartCount": 2, "lastState": (ended(1)), "state": (ended(3))}
            ]}),
            ["0/2", "Init:ExitCode:3", "2 (5m ago)"],
        ),
        (
            value!({"phase": "Running", "containerStatuses": [
                {"name": "a", "ready": true, "state": {"running": {}}},
                {"name": "b", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            ]}),
            ["1/2", "CrashLoopBackOff", "0"],
        ),
        (
            value!({"phase": "Running", "containerStatuses": [
                {"name": "a", "state": {"terminated": {"reason": "Completed"}}},
                {"name": "b", "ready": true, "state": {"running": {}}}
            ]}),
            ["1/2", "NotReady", "0"],
        ),
    ];
    for (report, expected) in cases {
        assert_eq!(cells(&status(report.clone()))[..3], expected, "{report:?}");
    }
    let mut pod = status(value!({"phase": "Running"}));
    pod.set_path(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(cells(&pod)[1], "Terminating");
}
