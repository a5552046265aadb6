//! Nodes on which CPU and memory are used in like shares are better.
//!
//! Upstream: plugins/noderesources/balanced_allocation.go.

use super::{Event, Plugin, Score};
use crate::{
    Pod, Slot,
    cycle::{Cycle, SCORE_MAX},
};

pub struct BalancedAllocation;

struct Balance<'a>(&'a Cycle<'a>);

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn score<'a>(&'a self, cycle: &'a Cycle<'a>, _: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let asks = cycle.profile.balanced.iter().any(|name| cycle.pod.requests.named(name) != 0);
        asks.then(|| Box::new(Balance(cycle)) as Box<dyn Score>)
    }

    fn may_help(&self, _: &Pod, _: &Event) -> bool {
        false
    }
}

impl Score for Balance<'_> {
    fn points(&self, slot: Slot) -> i64 {
        let with = self.evenness(slot, true);
        let without = self.evenness(slot, false);
        SCORE_MAX / 2 + (SCORE_MAX / 2 + with - without) / 2
    }
}

impl Balance<'_> {
    /// 100 when all shares are alike. Upstream: `balancedResourceScore`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "shares of 100")]
    fn evenness(&self, slot: Slot, with_pod: bool) -> i64 {
        let (node, pod) = (self.0.snapshot.node(slot), self.0.pod);
        let share = |name: &String| {
            let (has, own) = (node.allocatable.named(name), pod.requests.named(name));
            // What is neither there nor asked for does not count.
            if has == 0 || (own == 0 && name.contains('/')) {
                return None;
            }
            let asked = node.requested.named(name) + if with_pod { own } else { 0 };
            Some((asked as f64 / has as f64).min(1.0))
        };
        let shares = || self.0.profile.balanced.iter().filter_map(share);
        let mut first = shares();
        let deviation = match (first.next(), first.next(), first.next()) {
            (_, None, _) | (None, ..) => 0.0,
            (Some(a), Some(b), None) => ((a - b) / 2.0).abs(),
            _ => {
                let count = shares().count() as f64;
                let mean = shares().sum::<f64>() / count;
                (shares().map(|s| (s - mean) * (s - mean)).sum::<f64>() / count).sqrt()
            }
        };
        ((1.0 - deviation) * SCORE_MAX as f64) as i64
    }
}
