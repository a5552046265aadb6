//! How fast nodes of a zone may lose their pods.
//!
//! When much of a zone is down, the fault may be ours or the network's: fewer pods are driven out, and none at all when
//! everything is down everywhere. Upstream: handleDisruption, ComputeZoneState, setLimiterInZone.

use std::{collections::HashMap, sync::Arc};

use api::Value;
use jiff::{SignedDuration, Timestamp};

use super::{health::ready, seconds_after};

/// Upstream: `--unhealthy-zone-threshold`, `--large-cluster-size-threshold`.
const UNHEALTHY_SHARE: f64 = 0.55;
const LARGE_LEN: usize = 50;
/// Upstream: `--node-eviction-rate` 0.1, `--secondary-node-eviction-rate` 0.01.
const SECONDS_BETWEEN: i64 = 10;
const SECONDS_BETWEEN_SLOW: i64 = 100;
/// The state of the zones is looked at so often.
const LOOK_EVERY_SECONDS: i64 = 5;
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

/// What is known of all zones.
#[derive(Debug, Default)]
pub(super) struct Zones {
    looked: Option<Timestamp>,
    counts: HashMap<String, Count>,
    /// When the next node of a zone may be taken.
    next: HashMap<String, Timestamp>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    ready: usize,
    down: usize,
}

fn key(node: &Value) -> String {
    let meta = api::meta::of(node);
    let label = |name: &str| meta.label(name).unwrap_or("");
    format!("{}:{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

// === impl Count ===

impl Count {
    fn is_down(self) -> bool {
        self.ready == 0 && self.down > 0
    }

    /// Seconds between two nodes; none when no node may be taken.
    fn seconds_between(self) -> Option<i64> {
        let all = self.ready + self.down;
        let is_partial = self.down > 2 && self.down as f64 / all as f64 >= UNHEALTHY_SHARE;
        match (self.is_down(), is_partial, all > LARGE_LEN) {
            (true, ..) | (_, false, _) => Some(SECONDS_BETWEEN),
            (_, true, true) => Some(SECONDS_BETWEEN_SLOW),
            (_, true, false) => None,
        }
    }
}

// === impl Zones ===

impl Zones {
    pub fn refresh(&mut self, now: Timestamp, nodes: impl FnOnce() -> Vec<Arc<Value>>) {
        if self.looked.is_some_and(|at| seconds_after(at, now) < LOOK_EVERY_SECONDS) {
            return;
        }
        self.looked = Some(now);
        self.counts.clear();
        for node in nodes().iter().filter(|n| api::meta::of(n).label(EXCLUDED).is_none()) {
            let count = self.counts.entry(key(node)).or_default();
            if ready(node) == "True" { count.ready += 1 } else { count.down += 1 }
        }
    }

    /// Nothing is ready anywhere: it is more likely that we see nothing.
    pub fn is_all_down(&self) -> bool {
        !self.counts.is_empty() && self.counts.values().all(|count| count.is_down())
    }

    /// Whether this node's pods may be driven out now; whoever hears yes has used the zone's turn.
    pub fn may_drive(&mut self, node: &Value, now: Timestamp) -> bool {
        let zone = key(node);
        let Some(seconds) = self.counts.get(&zone).copied().unwrap_or_default().seconds_between() else { return false };
        if self.next.get(&zone).is_some_and(|at| *at > now) {
            return false;
        }
        self.next.insert(zone, now + SignedDuration::from_secs(seconds));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    fn nodes(ready: usize, down: usize) -> Vec<Arc<Value>> {
        let node = |status: &str| {
            Arc::new(value!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z"}},
                "status": {"conditions": [{"type": "Ready", "status": status}]}}))
        };
        let down = (0..down).map(|_| node("Unknown"));
        (0..ready).map(|_| node("True")).chain(down).collect()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("it is a time")
    }

    #[test]
    fn nodes_of_a_zone_go_one_after_the_other() {
        let (mut zones, all) = (Zones::default(), nodes(8, 2));
        zones.refresh(at(0), || all.clone());
        assert!(!zones.is_all_down());
        assert!(zones.may_drive(&all[9], at(0)));
        assert!(!zones.may_drive(&all[8], at(9)));
        assert!(zones.may_drive(&all[8], at(10)));
    }

    #[test]
    fn where_most_is_down_nothing_more_goes() {
        let (mut zones, all) = (Zones::default(), nodes(4, 6));
        zones.refresh(at(0), || all.clone());
        assert!(!zones.may_drive(&all[9], at(0)), "a small zone");
        let all = nodes(24, 36);
        zones.refresh(at(4), || unreachable!("it was looked at just now"));
        zones.refresh(at(5), || all.clone());
        assert!(zones.may_drive(&all[59], at(5)));
        assert!(!zones.may_drive(&all[59], at(104)) && zones.may_drive(&all[59], at(105)), "slowly in a large one");
        zones.refresh(at(200), || nodes(0, 3));
        assert!(zones.is_all_down());
    }
}
