//! Who is next, who has how much, and who waits how long.

use std::{sync::Arc, time::Duration};

use api::{Attributes, User};
use registry::special::{
    flow::{Beyond, Shape},
    furniture::flows,
};

use super::{
    Fairness,
    queues::{Arrival, Queues, Ticket, deal},
    share::{self, Bounds, Claim, Lately},
};

const QUEUED: Beyond = Beyond::Queued(Shape { queues: 8, hand: 2, len_max: 3 });

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn ticket(arrival: Arrival) -> Ticket {
    match arrival {
        Arrival::Served(ticket) | Arrival::Waits(ticket) => ticket,
        Arrival::Rejected(why) => panic!("rejected: {why}"),
    }
}

#[test]
fn hands_are_dealt_without_a_card_twice() {
    for hash in [0, 1, 7, 12_345, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
        let mut hand = deal(128, 6, hash);
        assert!(hand.iter().all(|card| *card < 128));
        hand.sort_unstable();
        hand.dedup();
        assert_eq!(hand.len(), 6);
    }
    assert_eq!(deal(4, 4, 0), [0, 1, 2, 3], "as upstream's dealer");
    assert_ne!(deal(128, 6, 1), deal(128, 6, 2));
}

#[test]
fn what_has_no_seat_waits_and_is_served_in_turn() {
    let mut queues = Queues::new(QUEUED, 2, at(0));
    let [a, b] = [1, 2].map(|flow| queues.arrive(flow, 1, at(0)));
    assert!(matches!((a, b), (Arrival::Served(_), Arrival::Served(_))));
    let waits = queues.arrive(3, 1, at(1));
    assert!(matches!(waits, Arrival::Waits(_)));
    assert_eq!((queues.counts.waiting, queues.counts.executing), (1, 2));
    assert_eq!(queues.finish(ticket(a), at(5)), [ticket(waits)]);
    assert_eq!((queues.counts.waiting, queues.counts.executing, queues.counts.dispatched), (0, 2, 3));
    assert!(queues.finish(ticket(b), at(6)).is_empty());
    assert!(queues.finish(ticket(waits), at(7)).is_empty());
    assert!(queues.is_idle() && queues.counts.seats_used == 0);
}

#[test]
fn a_full_queue_rejects() {
    let mut queues = Queues::new(Beyond::Queued(Shape { queues: 1, hand: 1, len_max: 2 }), 1, at(0));
    let outcomes: Vec<Arrival> = (0..4).map(|_| queues.arrive(1, 1, at(0))).collect();
    assert!(matches!(
        outcomes[..],
        [Arrival::Served(_), Arrival::Waits(_), Arrival::Waits(_), Arrival::Rejected("queue-full")]
    ));
    assert_eq!(queues.counts.rejected, 1);
    let mut none = Queues::new(Beyond::Rejected, 1, at(0));
    assert!(matches!(none.arrive(1, 1, at(0)), Arrival::Served(_)));
    assert_eq!(none.arrive(1, 1, at(0)), Arrival::Rejected("concurrency-limit"));
    let mut exempt = Queues::new(Beyond::Served, 0, at(0));
    assert!((0..50).all(|_| matches!(exempt.arrive(1, 1, at(0)), Arrival::Served(_))));
}

#[test]
fn a_flood_of_one_flow_delays_another_by_little() {
    // One seat; the flood fills its queues before somebody else comes.
    let shape = Shape { queues: 64, hand: 1, len_max: 100 };
    let mut queues = Queues::new(Beyond::Queued(shape), 1, at(0));
    let first = queues.arrive(1, 1, at(0));
    for _ in 0..60 {
        queues.arrive(1, 1, at(0));
    }
    let other = ticket(queues.arrive(2, 1, at(1)));
    let (mut served, mut running, mut now) = (0, ticket(first), 1);
    loop {
        now += 3;
        running = *queues.finish(running, at(now)).first().expect("somebody waits");
        served += 1;
        if running == other {
            break;
        }
    }
    assert!(served <= 2, "{served} of the flood came first");
}

#[test]
fn wide_requests_take_their_seats_and_too_wide_ones_go_alone() {
    let mut queues = Queues::new(QUEUED, 4, at(0));
    let three = queues.arrive(1, 3, at(0));
    assert!(matches!(queues.arrive(2, 2, at(0)), Arrival::Waits(_)), "one seat is left");
    assert_eq!(queues.finish(ticket(three), at(1)).len(), 1);
    let mut queues = Queues::new(QUEUED, 4, at(0));
    assert!(matches!(queues.arrive(1, 10, at(0)), Arrival::Served(_)), "nobody else is served");
}

#[test]
fn whoever_gives_up_leaves_the_queue() {
    let mut queues = Queues::new(QUEUED, 1, at(0));
    let served = ticket(queues.arrive(1, 1, at(0)));
    let waits = ticket(queues.arrive(2, 1, at(0)));
    assert!(queues.give_up(waits, true, at(5)));
    assert!(!queues.give_up(served, true, at(5)), "it has its turn");
    assert!(queues.finish(served, at(6)).is_empty());
    assert_eq!((queues.counts.timed_out, queues.counts.waiting, queues.counts.rejected), (1, 0, 1));
}

#[test]
fn more_seats_serve_those_who_wait() {
    let mut queues = Queues::new(QUEUED, 1, at(0));
    queues.arrive(1, 1, at(0));
    let waiting: Vec<Ticket> = [2, 3].map(|flow| ticket(queues.arrive(flow, 1, at(0)))).into();
    let mut started = queues.configure(QUEUED, 3, at(1));
    started.sort_unstable();
    assert_eq!(started, waiting);
}

#[test]
fn demand_is_seen_over_time() {
    let mut queues = Queues::new(QUEUED, 10, at(0));
    let a = ticket(queues.arrive(1, 4, at(0)));
    queues.finish(a, at(5000));
    let seen = queues.demand.take(at(10_000));
    assert_eq!((seen.average, seen.deviation, seen.highest), (2.0, 2.0, 4.0));
    assert_eq!(queues.demand.take(at(20_000)).highest, 0.0);
}

/// As kube-apiserver 1.37 shows in its metrics with 600 seats and upstream's policy.
#[test]
fn the_shares_of_upstreams_policy_are_upstreams() {
    let policy = flows::standard();
    let bounds = share::bounds(&policy.levels, 600);
    let of = |name: &str| {
        let place = policy.levels.iter().position(|l| l.name == name).expect("it is one of upstream's");
        (bounds[place].nominal, bounds[place].lower, bounds[place].upper)
    };
    assert_eq!(of("catch-all"), (13, 13, 613));
    assert_eq!(of("exempt"), (0, 0, 600));
    assert_eq!(of("global-default"), (49, 24, 649));
    assert_eq!(of("leader-election"), (25, 25, 625));
    assert_eq!(of("node-high"), (98, 73, 698));
    assert_eq!(of("system"), (74, 50, 674));
    assert_eq!(of("workload-high"), (98, 49, 698));
    assert_eq!(of("workload-low"), (245, 24, 845));
}

#[test]
fn seats_go_where_they_are_needed_and_no_level_loses_what_it_keeps() {
    let claim = |nominal, lower, highest, smoothed: f64| Claim {
        exempt: false,
        bounds: Bounds { nominal, lower, upper: nominal + 100 },
        lately: Lately { highest, smoothed, ..Lately::default() },
        current: nominal,
    };
    let idle = share::lend(&[claim(60, 30, 0, 0.0), claim(40, 20, 0, 0.0)]).seats;
    assert_eq!(idle.iter().sum::<usize>(), 100);
    let busy = share::lend(&[claim(60, 30, 90, 90.0), claim(40, 20, 1, 1.0)]).seats;
    assert_eq!(busy, [80, 20], "the other keeps what it does not lend");
    let both = share::lend(&[claim(60, 30, 90, 90.0), claim(40, 20, 90, 90.0)]).seats;
    assert_eq!(both, [60, 40], "each has its own");
}

fn alone(seats: usize) -> Arc<Fairness> {
    Arc::new(Fairness::new(seats, Duration::from_secs(15), flows::standard()))
}

fn asking(name: &str) -> (User, Arc<Attributes>) {
    let attributes = Attributes {
        verb: "list".into(),
        is_resource: true,
        resource: "pods".into(),
        version: "v1".into(),
        ..Attributes::default()
    };
    (User::new(name, &["system:authenticated"]), Arc::new(attributes))
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_turn_and_no_longer_than_it_may() {
    // So few that everyone's level has one seat.
    let fairness = alone(8);
    let (user, attributes) = asking("tom");
    let mut turns = Vec::new();
    for _ in 0..8 {
        let entered =
            tokio::time::timeout(Duration::from_secs(1), fairness.enter(&user, &attributes, || 1, || ())).await;
        match entered {
            Ok(Ok((turn, place, _))) => {
                assert_eq!(place.schema_uid, "", "the standard policy is of no cluster");
                turns.push(turn);
            }
            _ => break,
        }
    }
    assert!(!turns.is_empty() && turns.len() < 8, "its level has some of the seats: {}", turns.len());
    let (of, who, what) = (fairness.clone(), user.clone(), attributes.clone());
    let waiting = tokio::spawn(async move { of.enter(&who, &what, || 1, || ()).await.map(|(turn, ..)| turn).ok() });
    tokio::task::yield_now().await;
    drop(turns.pop());
    assert!(waiting.await.expect("it ends").is_some(), "a seat was given back");
    // Its turn is over; somebody takes the seat, and the next waits in vain.
    let _taken = fairness.enter(&user, &attributes, || 1, || ()).await.map(|(turn, ..)| turn).ok();
    let rejected = fairness.enter(&user, &attributes, || 1, || ()).await.err().expect("nobody leaves");
    assert_eq!(rejected.retry_after_seconds, 1);
    let dump = super::dump::levels(&fairness);
    let line = dump.lines().find(|l| l.starts_with("global-default,")).expect("it has a line");
    assert!(line.replace(' ', "").ends_with(",2,1,1"), "one waited too long and one went away: {line}");
    let exempt = (User::new("admin", &["system:masters"]), attributes);
    assert!(fairness.enter(&exempt.0, &exempt.1, || 1, || ()).await.is_ok(), "administrators never wait");
}
