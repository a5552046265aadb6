//! Whose turn it is, on a clock that the test moves.

use std::sync::Arc;

use api::{Value, value};

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).expect("it is a time")
}

fn pod(name: &str, priority: i64) -> Arc<Pod> {
    let object = value!({
        "metadata": {"name": name, "namespace": "n", "uid": name},
        "spec": {"priority": priority, "containers": [{"name": "c"}]}
    });
    Arc::new(Pod::read(Arc::new(object)))
}

fn queue() -> Queue {
    Queue::new(Duration::from_secs(1), Duration::from_secs(10))
}

fn popped(queue: &mut Queue, now: Timestamp) -> Option<String> {
    queue.pop(now).map(|pod| pod.key.name.to_string())
}

fn node(labels: Value) -> Event {
    Event::NodeAdded(Arc::new(value!({"metadata": {"name": "a", "labels": labels}, "spec": {}})))
}

#[test]
fn higher_priority_goes_first_and_then_who_came_first() {
    let mut queue = queue();
    queue.put(pod("late", 0), at(2));
    queue.put(pod("early", 0), at(1));
    queue.put(pod("high", 5), at(3));
    let order: Vec<_> = std::iter::from_fn(|| popped(&mut queue, at(4))).collect();
    assert_eq!(order, ["high", "early", "late"]);
}

#[test]
fn who_was_refused_waits_for_what_may_help_and_for_longer_each_time() {
    let mut queue = queue();
    queue.put(pod("p", 0), at(0));
    for (round, wait) in [1, 2, 4, 8, 10, 10].into_iter().enumerate() {
        let start = 100 * i64::try_from(round).expect("few");
        assert_eq!(popped(&mut queue, at(start)).as_deref(), Some("p"), "round {round}");
        queue.refused("p", vec!["NodeName"], at(start));
        assert_eq!(popped(&mut queue, at(start + 50)), None, "nothing happened");
        queue.happened(&Event::PodGone(pod("other", 0)), at(start));
        assert_eq!(queue.next_at(), Some(at(start) + WAIT_MAX), "that cannot help");
        queue.happened(&node(value!({})), at(start));
        assert_eq!(queue.next_at(), Some(at(start + wait)), "round {round}");
    }
}

#[test]
fn what_happens_while_a_pod_is_tried_is_not_missed() {
    let mut queue = queue();
    queue.put(pod("p", 0), at(0));
    queue.pop(at(0));
    queue.happened(&node(value!({})), at(0));
    queue.refused("p", vec!["NodeName"], at(0));
    assert_eq!(queue.next_at(), Some(at(1)), "it backs off and is tried again");
}

#[test]
fn who_backs_off_is_taken_early_when_nobody_else_is_there_but_not_after_a_failure() {
    let mut queue = queue();
    queue.put(pod("refused", 0), at(0));
    queue.put(pod("failed", 9), at(0));
    queue.pop(at(0));
    queue.pop(at(0));
    queue.failed("failed", at(0));
    queue.refused("refused", vec!["NodeName"], at(0));
    queue.happened(&node(value!({})), at(0));
    assert_eq!(popped(&mut queue, at(0)).as_deref(), Some("refused"));
    assert_eq!(popped(&mut queue, at(0)), None);
    assert_eq!(popped(&mut queue, at(1)).as_deref(), Some("failed"));
}

#[test]
fn gates_keep_a_pod_out_until_they_are_gone() {
    let mut queue = queue();
    let gated = |gates: Value| {
        Arc::new(Pod::read(Arc::new(value!({
            "metadata": {"name": "p", "namespace": "n", "uid": "p"}, "spec": {"schedulingGates": gates}
        }))))
    };
    queue.put(gated(value!([{"name": "g"}])), at(0));
    queue.happened(&Event::Other, at(0));
    assert_eq!((popped(&mut queue, at(999)), queue.len()), (None, 1));
    queue.put(gated(value!([])), at(1));
    assert_eq!(popped(&mut queue, at(1)).as_deref(), Some("p"));
}

#[test]
fn nobody_waits_for_more_than_five_minutes() {
    let mut queue = queue();
    queue.put(pod("p", 0), at(0));
    queue.pop(at(0));
    queue.refused("p", vec!["NodeName"], at(0));
    assert_eq!(popped(&mut queue, at(299)), None);
    assert_eq!(popped(&mut queue, at(300)).as_deref(), Some("p"));
}

#[test]
fn who_is_gone_is_nowhere() {
    let mut queue = queue();
    queue.put(pod("a", 0), at(0));
    queue.put(pod("b", 0), at(0));
    queue.remove("a");
    queue.pop(at(0));
    queue.refused("b", vec!["NodeName"], at(0));
    queue.happened(&node(value!({})), at(0));
    queue.remove("b");
    assert_eq!((popped(&mut queue, at(99)), queue.is_empty(), queue.next_at()), (None, true, None));
}
