//! What `/metrics` says of levels, flows and queues.
//!
//! Upstream: apiserver/pkg/util/flowcontrol/metrics/metrics.go.

use std::time::Duration;

use super::{Fairness, Flow, State, queues::Chosen};
use crate::metrics::{Histogram, Page, Row, rows};

/// A family, and its number out of what it is about.
type Told<T, N = f64> = (&'static Row, fn(&T) -> N);
/// A family, and its histogram out of what it is about.
type Seen<T> = (&'static Row, fn(&T) -> &Histogram);

/// Of each level.
const OF_LEVELS: [Told<State>; 10] = [
    (&rows::LEVEL_NOMINAL, |s| s.bounds.nominal as f64),
    (&rows::LEVEL_LOWER, |s| s.bounds.lower as f64),
    (&rows::LEVEL_UPPER, |s| s.bounds.upper as f64),
    (&rows::LEVEL_CURRENT, |s| s.queues.limit() as f64),
    (&rows::LEVEL_DEMAND_HIGHEST, |s| s.lately.highest as f64),
    (&rows::LEVEL_DEMAND_AVERAGE, |s| s.lately.average),
    (&rows::LEVEL_DEMAND_DEVIATION, |s| s.lately.deviation),
    (&rows::LEVEL_DEMAND_SMOOTHED, |s| s.lately.smoothed),
    (&rows::LEVEL_TARGET, |s| s.target),
    (&rows::LEVEL_NOW_R, |s| s.queues.now_r()),
];
/// Of each level where something has been chosen out of a queue.
const OF_CHOICES: [Told<Chosen>; 2] =
    [(&rows::LEVEL_CHOSEN_AT_R, |chosen| chosen.now_r), (&rows::LEVEL_CHOSEN_R, |chosen| chosen.next_r)];
/// The same, the least and the most of all queues.
const OF_QUEUES: [Told<Chosen, (f64, f64)>; 2] = [
    (&rows::LEVEL_NEXT_R, |chosen| chosen.next_r_bounds),
    (&rows::LEVEL_DISCOUNTED_R, |chosen| chosen.discounted_bounds),
];
const OF_FLOWS: [Told<Flow>; 6] = [
    (&rows::FLOW_EXECUTING, |f| f.executing as f64),
    (&rows::FLOW_SEATS, |f| f.seats as f64),
    (&rows::FLOW_WAITING, |f| f.waiting as f64),
    (&rows::FLOW_SEATS_WAITING, |f| f.seats_waiting as f64),
    (&rows::FLOW_DISPATCHED, |f| f.dispatched as f64),
    (&rows::FLOW_UNFIT, |f| f.unfit as f64),
];
const HISTOGRAMS: [Seen<Flow>; 2] = [(&rows::FLOW_NEEDS, |f| &f.needs), (&rows::FLOW_QUEUE_LENS, |f| &f.queue_lens)];

impl Fairness {
    /// Writes all of its families.
    pub fn write(&self, page: &mut Page) {
        for (row, number) in OF_LEVELS {
            page.add(row, |family| self.each_level(|level, state| family.number(&[level], number(state))));
        }
        for (row, number) in OF_CHOICES {
            page.add(row, |family| self.each_choice(|level, chosen| family.number(&[level], number(chosen))));
        }
        for (row, bounds) in OF_QUEUES {
            page.add(row, |family| {
                self.each_choice(|level, chosen| {
                    let (least, most) = bounds(chosen);
                    family.number(&["max", level], most);
                    family.number(&["min", level], least);
                });
            });
        }
        for (row, number) in OF_FLOWS {
            page.add(row, |family| self.each_flow(|schema, level, flow| family.number(&[schema, level], number(flow))));
        }
        for (row, histogram) in HISTOGRAMS {
            page.add(row, |family| {
                self.each_flow(|schema, level, flow| histogram(flow).write(family, &[schema, level]));
            });
        }
        page.add(&rows::FLOW_WAITED, |family| {
            self.each_flow(|schema, level, flow| {
                for (served, waits) in &flow.waits {
                    waits.write(family, &[if *served { "true" } else { "false" }, schema, level]);
                }
            });
        });
        page.add(&rows::FLOW_TOOK, |family| {
            self.each_flow(|schema, level, flow| {
                for (watches, took) in &flow.took {
                    took.write(family, &[schema, level, if *watches { "watch" } else { "regular" }]);
                }
            });
        });
        page.add(&rows::FLOW_REJECTED, |family| {
            self.each_flow(|schema, level, flow| {
                flow.rejected.iter().for_each(|(why, n)| family.number(&[schema, level, why], *n as f64));
            });
        });
        page.add(&rows::FAIR_PART, |family| family.number(&[], self.fair.get()));
        self.write_worked(page, self.begun.elapsed());
    }

    fn write_worked(&self, page: &mut Page, now: Duration) {
        page.add(&rows::LEVEL_DEMAND, |family| {
            self.each_level(|level, state| state.queues.worked.demand.write(family, &[level], now));
        });
        page.add(&rows::LEVEL_SEATS_USED, |family| {
            self.each_level(|level, state| state.queues.worked.seats.write(family, &["executing", level], now));
        });
        page.add(&rows::LEVEL_REQUESTS, |family| {
            self.each_level(|level, state| {
                let worked = &state.queues.worked;
                worked.requests_executing.write(family, &["executing", level], now);
                worked.requests_waiting.write(family, &["waiting", level], now);
            });
        });
        page.add(&rows::KIND_REQUESTS, |family| self.kinds.write(family, now));
    }

    fn each_level(&self, mut visit: impl FnMut(&str, &State)) {
        for standing in self.levels() {
            let level = standing.level();
            standing.look(|state| visit(&level.name, state));
        }
    }

    fn each_choice(&self, mut visit: impl FnMut(&str, &Chosen)) {
        self.each_level(|level, state| state.queues.chosen.iter().for_each(|chosen| visit(level, chosen)));
    }

    fn each_flow(&self, mut visit: impl FnMut(&str, &str, &Flow)) {
        self.each_level(|level, state| state.flows.iter().for_each(|(schema, flow)| visit(schema, level, flow)));
    }
}
