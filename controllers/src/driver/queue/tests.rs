//! Orders, delays and holds of keys.

use super::*;

type Plain = Queue<&'static str, u64>;

/// What is ready now.
async fn ready(queue: &Plain) -> Vec<&'static str> {
    let mut keys = Vec::new();
    while let Ok(key) = tokio::time::timeout(Duration::from_nanos(1), queue.pop()).await {
        keys.push(key);
    }
    keys
}

#[tokio::test(start_paused = true)]
async fn a_key_stands_once() {
    let queue = Plain::default();
    queue.add("a");
    queue.add("b");
    queue.add("a");
    assert_eq!(ready(&queue).await, ["a", "b"]);
    queue.add("a");
    assert_eq!(ready(&queue).await, Vec::<&str>::new(), "it is being worked on");
    queue.done(&"a", vec![]);
    queue.done(&"b", vec![]);
    assert_eq!(ready(&queue).await, ["a"], "it was added meanwhile");
}

#[tokio::test(start_paused = true)]
async fn retries_double() {
    let queue = Plain::default();
    let mut waits = Vec::new();
    for _ in 0..20 {
        queue.failed(&"a");
        let before = Instant::now();
        assert_eq!(queue.pop().await, "a");
        waits.push(before.elapsed().as_millis());
        queue.done(&"a", vec![]);
    }
    assert!(waits.windows(2).all(|w| w[0] <= w[1]), "{waits:?}");
    assert!((5..=6).contains(&waits[0]) && (10..=11).contains(&waits[1]), "{waits:?}");
    assert!((1_000_000..=1_000_001).contains(&waits[19]), "{waits:?}");
    queue.forget(&"a");
    assert_eq!(queue.failures(&"a"), 0);
}

#[tokio::test(start_paused = true)]
async fn retries_of_many_are_spread() {
    let queue: Queue<u32, u64> = Queue::default();
    let before = Instant::now();
    for key in 0..200 {
        queue.failed(&key);
    }
    for _ in 0..200 {
        queue.pop().await;
    }
    assert_eq!(before.elapsed().as_secs(), 10, "a hundred at once, then ten a second");
}

#[tokio::test(start_paused = true)]
async fn a_held_key_waits_for_its_release() {
    let queue = Plain::default();
    let hour = Duration::from_secs(3600);
    queue.add("a");
    queue.pop().await;
    queue.done(&"a", vec![7, 9]);
    queue.add("a");
    assert_eq!(ready(&queue).await, Vec::<&str>::new());
    queue.release(Instant::now(), hour, |revision| *revision <= 8);
    assert_eq!(ready(&queue).await, Vec::<&str>::new());
    queue.release(Instant::now(), hour, |revision| *revision <= 9);
    assert_eq!(ready(&queue).await, ["a"]);
    queue.done(&"a", vec![7]);
    queue.release(Instant::now(), hour, |_| true);
    assert_eq!(ready(&queue).await, Vec::<&str>::new(), "nobody has added it");
    queue.add("a");
    queue.pop().await;
    queue.done(&"a", vec![7]);
    queue.add("a");
    queue.release(Instant::now() + hour, hour, |_| false);
    assert_eq!(ready(&queue).await, ["a"], "nothing is held for ever");
}
