//! How long a worker waits before it tries again what failed.
//!
//! A pod that says something else, or needs something else, is seen to at once. Upstream: pod_workers.go completeWork,
//! nestedpendingoperations.go.

use api::{Value, value};
use jiff::{SignedDuration, Timestamp};

use super::plan::Step;

/// Upstream: backOffPeriod.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// Volumes are mostly waited for because somebody is about to make what they need.
/// Upstream: exponentialbackoff initialDurationBeforeRetry, maxDurationBeforeRetry.
const VOLUMES_FIRST: SignedDuration = SignedDuration::from_millis(500);
const VOLUMES_LONGEST: SignedDuration = SignedDuration::from_secs(122);

/// That something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    pub at: Timestamp,
    /// The pod's volumes are not there.
    pub volumes: bool,
}

/// What was tried last.
#[derive(Debug, Default)]
pub struct Patience {
    steps: Vec<Step>,
    said: Value,
    times: u32,
}

/// What of a pod makes a worker try at once when it changes.
pub fn said(pod: &Value) -> Value {
    let meta = pod.at("metadata");
    value!({"generation": meta.int("generation"), "labels": meta.at("labels").clone(),
        "annotations": meta.at("annotations").clone()})
}

// === impl Patience ===

impl Patience {
    /// Until when the same steps are not taken again.
    pub fn until(&self, steps: &[Step], said: &Value, failed: Option<Failed>) -> Option<Timestamp> {
        let failed = failed.filter(|_| self.is_same(steps, said))?;
        let wait = match failed.volumes {
            true => VOLUMES_FIRST.saturating_mul(1 << self.times.saturating_sub(1).min(8)).min(VOLUMES_LONGEST),
            false => RETRY,
        };
        failed.at.checked_add(wait).ok()
    }

    /// The steps are taken now.
    pub fn tries(&mut self, steps: &[Step], said: Value) {
        let times = if self.is_same(steps, &said) { self.times.saturating_add(1) } else { 1 };
        *self = Patience { steps: steps.to_vec(), said, times };
    }

    fn is_same(&self, steps: &[Step], said: &Value) -> bool {
        self.steps == steps && self.said == *said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::plan::Kind;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(1_700_000_000 + second, 0).expect("is a time")
    }

    fn start(name: &str) -> Vec<Step> {
        vec![Step::Start { kind: Kind::Container, name: name.into() }]
    }

    fn pod(label: &str) -> Value {
        said(&value!({"metadata": {"generation": 1, "labels": {"l": label}}}))
    }

    #[test]
    fn the_same_again_waits_and_something_else_does_not() {
        let mut patience = Patience::default();
        let failed = Some(Failed { at: at(0), volumes: false });
        assert_eq!(patience.until(&start("a"), &pod("x"), failed), None);
        patience.tries(&start("a"), pod("x"));
        assert_eq!(patience.until(&start("a"), &pod("x"), failed), Some(at(10)));
        assert_eq!(patience.until(&start("b"), &pod("x"), failed), None);
        assert_eq!(patience.until(&start("a"), &pod("y"), failed), None);
        assert_eq!(patience.until(&start("a"), &pod("x"), None), None, "it did not fail");
    }

    #[test]
    fn volumes_are_tried_soon_and_then_less_and_less() {
        let mut patience = Patience::default();
        let mut wait = |times: u32| {
            (0..times).for_each(|_| patience.tries(&start("a"), pod("x")));
            let failed = Some(Failed { at: at(0), volumes: true });
            patience.until(&start("a"), &pod("x"), failed).map(|until| until.duration_since(at(0)).as_millis())
        };
        assert_eq!((wait(1), wait(1), wait(1), wait(20)), (Some(500), Some(1000), Some(2000), Some(122_000)));
    }
}
