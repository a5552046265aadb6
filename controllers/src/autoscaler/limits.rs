//! How far and how fast a workload may be scaled: bounds, stabilisation, and policies.
//!
//! Upstream: horizontal.go normalizeDesiredReplicas, normalizeDesiredReplicasWithBehaviors, and what they call.

use std::time::Duration;

use api::Value;
use jiff::{SignedDuration, Timestamp};

/// What was recommended, and what was done.
#[derive(Debug, Default)]
pub(super) struct Memory {
    recommended: Vec<(i64, Timestamp)>,
    added: Vec<(i64, Timestamp)>,
    removed: Vec<(i64, Timestamp)>,
}

/// What metrics ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub current: i64,
    pub wanted: i64,
    pub least: i64,
    pub most: i64,
    pub now: Timestamp,
}

/// A number, and why it is not what was wanted.
pub(super) type Stable = (i64, Option<(&'static str, &'static str)>);
/// A number, with a reason and a message either way.
pub(super) type Limited = (i64, &'static str, &'static str);

const UP: Option<(&str, &str)> = Some((
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
));
const DOWN: Option<(&str, &str)> = Some((
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
));
const WITHIN: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: (&str, &str) = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const FAST_UP: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const FAST_DOWN: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");

// === impl Memory ===

impl Memory {
    /// What there was when it was seen first counts as recommended.
    pub fn begin(&mut self, current: i64, now: Timestamp) {
        if self.recommended.is_empty() {
            self.recommended.push((current, now));
        }
    }

    /// A workload was scaled. Upstream: storeScaleEvent.
    pub fn scaled(&mut self, behavior: &Value, from: i64, to: i64, now: Timestamp) {
        let (rules, events) = match to > from {
            true => (behavior.at("scaleUp"), &mut self.added),
            false => (behavior.at("scaleDown"), &mut self.removed),
        };
        let longest = rules.list("policies").iter().map(|p| p.int("periodSeconds")).max().unwrap_or(0);
        events.retain(|(_, at)| *at >= now - SignedDuration::from_secs(longest));
        events.push(((to - from).abs(), now));
    }

    fn remember(&mut self, wanted: i64, now: Timestamp, oldest: Timestamp) {
        self.recommended.retain(|(_, at)| *at >= oldest);
        self.recommended.push((wanted, now));
    }
}

/// Without behaviours: the highest recommendation of a while, doubled at most.
pub(super) fn plain(memory: &mut Memory, wish: &Wish, window: Duration) -> (Stable, Limited) {
    let cutoff = wish.now - SignedDuration::try_from(window).unwrap_or(SignedDuration::ZERO);
    let recent = memory.recommended.iter().filter(|(_, at)| *at >= cutoff).map(|(n, _)| *n);
    let stable = recent.max().unwrap_or(wish.wanted).max(wish.wanted);
    memory.remember(wish.wanted, wish.now, cutoff);
    let fastest = (2 * wish.current).max(4);
    let (most, why) = if wish.most > fastest { (fastest, FAST_UP) } else { (wish.most, TOO_MANY) };
    let limited = match stable {
        n if n < wish.least => (wish.least, TOO_FEW),
        n if n > most => (most, why),
        n => (n, WITHIN),
    };
    ((stable, DOWN.filter(|_| stable != wish.wanted)), (limited.0, limited.1.0, limited.1.1))
}

/// With behaviours.
pub(super) fn with_behavior(memory: &mut Memory, wish: &Wish, behavior: &Value, window: Duration) -> (Stable, Limited) {
    let (up, down) = (behavior.at("scaleUp"), behavior.at("scaleDown"));
    let default = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
    let up_window = up.opt_int("stabilizationWindowSeconds").unwrap_or(0);
    let down_window = down.opt_int("stabilizationWindowSeconds").unwrap_or(default);
    let stable = stabilized(memory, wish, up_window, down_window);
    let limited = rated(memory, &Wish { wanted: stable, ..*wish }, up, down);
    let why = if wish.wanted >= wish.current { UP } else { DOWN };
    ((stable, why.filter(|_| stable != wish.wanted)), limited)
}

/// Upstream: stabilizeRecommendationWithBehaviors.
fn stabilized(memory: &mut Memory, wish: &Wish, up_seconds: i64, down_seconds: i64) -> i64 {
    let cutoff = |seconds: i64| wish.now - SignedDuration::from_secs(seconds);
    let since = |cutoff: Timestamp| memory.recommended.iter().filter(move |(_, at)| *at > cutoff).map(|(n, _)| *n);
    let up = since(cutoff(up_seconds)).fold(wish.wanted, i64::min);
    let down = since(cutoff(down_seconds)).fold(wish.wanted, i64::max);
    let stable = wish.current.max(up).min(down);
    memory.remember(wish.wanted, wish.now, cutoff(up_seconds.max(down_seconds)));
    stable
}

/// Upstream: convertDesiredReplicasWithBehaviorRate.
fn rated(memory: &Memory, wish: &Wish, up: &Value, down: &Value) -> Limited {
    let tell = |n: i64, why: (&'static str, &'static str)| (n, why.0, why.1);
    if wish.wanted > wish.current {
        let limit = up_limit(memory, wish, up).max(wish.current);
        let (most, why) = if wish.most > limit { (limit, FAST_UP) } else { (wish.most, TOO_MANY) };
        if wish.wanted > most {
            return tell(most, why);
        }
    } else if wish.wanted < wish.current {
        let limit = down_limit(memory, wish, down).min(wish.current);
        let (least, why) = if wish.least < limit { (limit, FAST_DOWN) } else { (wish.least, TOO_FEW) };
        if wish.wanted < least {
            return tell(least, why);
        }
    }
    tell(wish.wanted, WITHIN)
}

/// What there was when a policy's period began.
fn at_start(memory: &Memory, wish: &Wish, policy: &Value) -> i64 {
    let cutoff = wish.now - SignedDuration::from_secs(policy.int("periodSeconds"));
    let sum = |events: &[(i64, Timestamp)]| events.iter().filter(|(_, at)| *at > cutoff).map(|(n, _)| n).sum::<i64>();
    wish.current - sum(&memory.added) + sum(&memory.removed)
}

fn up_limit(memory: &Memory, wish: &Wish, rules: &Value) -> i64 {
    let select = rules.str("selectPolicy");
    if select == "Disabled" {
        return wish.current;
    }
    let limits = rules.list("policies").iter().map(|policy| {
        let start = at_start(memory, wish, policy);
        match policy.str("type") {
            "Pods" => start + policy.int("value"),
            _ => (start as f64 * (1.0 + policy.int("value") as f64 / 100.0)).ceil() as i64,
        }
    });
    if select == "Min" { limits.min() } else { limits.max() }.unwrap_or(wish.current)
}

fn down_limit(memory: &Memory, wish: &Wish, rules: &Value) -> i64 {
    let select = rules.str("selectPolicy");
    if select == "Disabled" {
        return wish.current;
    }
    let limits = rules.list("policies").iter().map(|policy| {
        let start = at_start(memory, wish, policy);
        match policy.str("type") {
            "Pods" => start - policy.int("value"),
            _ => (start as f64 * (1.0 - policy.int("value") as f64 / 100.0)) as i64,
        }
    });
    if select == "Min" { limits.max() } else { limits.min() }.unwrap_or(wish.current)
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(300);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("it is a time")
    }

    fn wish(current: i64, wanted: i64, seconds: i64) -> Wish {
        Wish { current, wanted, least: 1, most: 20, now: at(seconds) }
    }

    #[test]
    fn without_behaviours_it_goes_up_at_once_and_down_after_a_while() {
        let mut memory = Memory::default();
        memory.begin(3, at(0));
        assert_eq!(plain(&mut memory, &wish(3, 10, 0), WINDOW), ((10, None), (6, FAST_UP.0, FAST_UP.1)));
        assert_eq!(plain(&mut memory, &wish(6, 2, 15), WINDOW), ((10, DOWN), (10, WITHIN.0, WITHIN.1)));
        assert_eq!(plain(&mut memory, &wish(10, 2, 301), WINDOW), ((2, None), (2, WITHIN.0, WITHIN.1)));
        let tight = Wish { least: 3, most: 5, ..wish(4, 1, 700) };
        assert_eq!(plain(&mut memory, &tight, WINDOW).1, (3, TOO_FEW.0, TOO_FEW.1));
        assert_eq!(plain(&mut memory, &Wish { wanted: 9, ..tight }, WINDOW).1, (5, TOO_MANY.0, TOO_MANY.1));
    }

    #[test]
    fn policies_count_from_where_their_period_began() {
        let behavior = value!({
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max",
                "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}, {"type": "Percent", "value": 100, "periodSeconds": 60}]},
            "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Min",
                "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}]}
        });
        let mut memory = Memory::default();
        assert_eq!(with_behavior(&mut memory, &wish(3, 15, 0), &behavior, WINDOW).1, (7, FAST_UP.0, FAST_UP.1));
        memory.scaled(&behavior, 3, 7, at(0));
        assert_eq!(with_behavior(&mut memory, &wish(7, 15, 30), &behavior, WINDOW).1.0, 7, "the period is used up");
        assert_eq!(with_behavior(&mut memory, &wish(7, 15, 61), &behavior, WINDOW).1.0, 14);
        // The least change counts: two pods rather than a half.
        assert_eq!(with_behavior(&mut memory, &wish(14, 1, 200), &behavior, WINDOW).1, (12, FAST_DOWN.0, FAST_DOWN.1));
    }

    #[test]
    fn what_is_disabled_stays() {
        let behavior = value!({"scaleUp": {"selectPolicy": "Disabled"}, "scaleDown": {"selectPolicy": "Disabled"}});
        let mut memory = Memory::default();
        assert_eq!(with_behavior(&mut memory, &wish(5, 9, 0), &behavior, WINDOW).1.0, 5);
        assert_eq!(with_behavior(&mut memory, &wish(5, 1, 999), &behavior, WINDOW).1.0, 5);
    }

    #[test]
    fn recommendations_of_a_window_hold_both_ways() {
        let behavior = value!({
            "scaleUp": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]},
            "scaleDown": {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
        });
        let mut memory = Memory::default();
        memory.begin(5, at(0));
        assert_eq!(with_behavior(&mut memory, &wish(5, 10, 1), &behavior, WINDOW).0, (5, UP));
        assert_eq!(with_behavior(&mut memory, &wish(5, 10, 70), &behavior, WINDOW).0, (10, None));
        assert_eq!(with_behavior(&mut memory, &wish(10, 2, 80), &behavior, WINDOW).0, (10, DOWN));
    }
}
