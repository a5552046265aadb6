//! How much of what there is was in use over time: each nanosecond counts once, with the part that was in use then.
//!
//! Upstream: flowcontrol/metrics/timing_ratio_histogram.go over component-base's `TimingHistogram`.

use std::time::Duration;

use parking_lot::Mutex;

use super::queues::Counts;
use crate::metrics::{Family, rows};

/// A part of a whole over time.
#[derive(Clone, Debug)]
pub struct Timing {
    bounds: &'static [f64],
    /// Nanoseconds by bound; one more than bounds, the last is beyond all of them.
    nanos: Box<[u64]>,
    /// Of the parts, each as often as nanoseconds it lasted.
    sum: f64,
    value: f64,
    whole: f64,
    since: Duration,
}

/// What a level was asked for, and what of it was given, over time.
#[derive(Clone, Debug)]
pub struct Worked {
    /// Seats that could have been used.
    pub demand: Timing,
    /// Seats that were used.
    pub seats: Timing,
    pub requests_waiting: Timing,
    pub requests_executing: Timing,
}

/// How many requests of each kind wait and are served, over time.
pub struct Kinds(Mutex<[(f64, Timing); 4]>);

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Waiting,
    Executing,
}

// === impl Timing ===

impl Timing {
    /// Nothing of one, from `now` on.
    pub fn new(bounds: &'static [f64], now: Duration) -> Timing {
        let nanos = vec![0; bounds.len() + 1].into_boxed_slice();
        Timing { bounds, nanos, sum: 0.0, value: 0.0, whole: 1.0, since: now }
    }

    /// So much of it is in use from now on.
    pub fn set(&mut self, value: f64, now: Duration) {
        self.pass(now);
        self.value = value;
    }

    /// There is so much from now on; at least one.
    pub fn set_whole(&mut self, whole: usize, now: Duration) {
        self.pass(now);
        self.whole = whole.max(1) as f64;
    }

    /// Writes it as it is `now`.
    pub fn write(&self, family: &mut Family<'_>, labels: &[&str], now: Duration) {
        let mut then = self.clone();
        then.pass(now);
        let buckets = then.bounds.iter().copied().zip(then.nanos.iter().copied());
        family.histogram(labels, buckets, then.nanos.iter().sum(), then.sum);
    }

    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since).as_nanos() as u64;
        self.since = self.since.max(now);
        let part = self.value / self.whole;
        self.nanos[self.bounds.partition_point(|bound| *bound < part)] += passed;
        self.sum += part * passed as f64;
    }
}

// === impl Worked ===

impl Worked {
    pub fn new(now: Duration) -> Worked {
        Worked {
            demand: Timing::new(&rows::DEMAND_PARTS, now),
            seats: Timing::new(&rows::SEAT_PARTS, now),
            requests_waiting: Timing::new(&rows::REQUEST_PARTS, now),
            requests_executing: Timing::new(&rows::REQUEST_PARTS, now),
        }
    }

    /// How many seats there are, and how many requests may wait.
    pub fn set_whole(&mut self, seats: usize, waiting: usize, now: Duration) {
        for timing in [&mut self.demand, &mut self.seats, &mut self.requests_executing] {
            timing.set_whole(seats, now);
        }
        self.requests_waiting.set_whole(waiting, now);
    }

    pub fn set(&mut self, counts: Counts, now: Duration) {
        self.demand.set((counts.seats_used + counts.seats_waiting) as f64, now);
        self.seats.set(counts.seats_used as f64, now);
        self.requests_waiting.set(counts.waiting as f64, now);
        self.requests_executing.set(counts.executing as f64, now);
    }
}

// === impl Kinds ===

impl Kinds {
    pub fn new() -> Kinds {
        Kinds(Mutex::new([(); 4].map(|()| (0.0, Timing::new(&rows::KIND_PARTS, Duration::ZERO)))))
    }

    /// How many requests may wait, and be served.
    pub fn set_whole(&self, waiting: usize, executing: usize, now: Duration) {
        let mut all = self.0.lock();
        for mutates in [false, true] {
            all[place(Phase::Waiting, mutates)].1.set_whole(waiting, now);
            all[place(Phase::Executing, mutates)].1.set_whole(executing, now);
        }
    }

    /// So many more do this.
    pub fn add(&self, phase: Phase, mutates: bool, more: f64, now: Duration) {
        let (number, timing) = &mut self.0.lock()[place(phase, mutates)];
        *number += more;
        timing.set(*number, now);
    }

    pub fn write(&self, family: &mut Family<'_>, now: Duration) {
        let all = self.0.lock();
        for (phase, name) in [(Phase::Executing, "executing"), (Phase::Waiting, "waiting")] {
            for (mutates, kind) in [(true, "mutating"), (false, "readOnly")] {
                all[place(phase, mutates)].1.write(family, &[name, kind], now);
            }
        }
    }
}

fn place(phase: Phase, mutates: bool) -> usize {
    usize::from(phase == Phase::Executing) * 2 + usize::from(mutates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Page, rows};

    #[test]
    fn each_nanosecond_counts_where_its_part_lies() {
        let at = Duration::from_nanos;
        let mut timing = Timing::new(&[0.0, 0.5, 1.0], at(10));
        timing.set_whole(4, at(20));
        timing.set(1.0, at(30));
        timing.set(4.0, at(40));
        timing.set(6.0, at(45));
        let mut page = Page::default();
        page.add(&rows::LEVEL_DEMAND, |family| timing.write(family, &["level"], at(47)));
        let text = page.finish();
        let counts: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit(' ').next()).collect();
        // 20 of nothing, 10 of a quarter, 5 of all, 2 of more than that.
        assert_eq!(counts, ["20", "30", "35", "37", "10.5", "37"], "{text}");
    }
}
