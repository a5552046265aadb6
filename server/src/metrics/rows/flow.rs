//! Families of priority and fairness.

use super::{Counter, Gauge, Histogram, Row, Timing, row};

pub const FLOW_EXECUTING: Row = row(
    "apiserver_flowcontrol_current_executing_requests",
    Gauge,
    "BETA",
    OF_FLOW,
    "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
);
pub const FLOW_SEATS: Row = row(
    "apiserver_flowcontrol_current_executing_seats",
    Gauge,
    "BETA",
    OF_FLOW,
    "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
);
pub const FLOW_WAITING: Row = row(
    "apiserver_flowcontrol_current_inqueue_requests",
    Gauge,
    "BETA",
    OF_FLOW,
    "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
);
pub const FLOW_DISPATCHED: Row = row(
    "apiserver_flowcontrol_dispatched_requests_total",
    Counter,
    "BETA",
    OF_FLOW,
    "Number of requests executed by API Priority and Fairness subsystem",
);
pub const FLOW_REJECTED: Row = row(
    "apiserver_flowcontrol_rejected_requests_total",
    Counter,
    "BETA",
    &["flow_schema", "priority_level", "reason"],
    "Number of requests rejected by API Priority and Fairness subsystem",
);
pub const LEVEL_NOMINAL: Row = row(
    "apiserver_flowcontrol_nominal_limit_seats",
    Gauge,
    "BETA",
    OF_LEVEL,
    "Nominal number of execution seats configured for each priority level",
);
pub const LEVEL_LOWER: Row = row(
    "apiserver_flowcontrol_lower_limit_seats",
    Gauge,
    "ALPHA",
    OF_LEVEL,
    "Configured lower bound on number of execution seats available to each priority level",
);
pub const LEVEL_UPPER: Row = row(
    "apiserver_flowcontrol_upper_limit_seats",
    Gauge,
    "ALPHA",
    OF_LEVEL,
    "Configured upper bound on number of execution seats available to each priority level",
);
pub const LEVEL_CURRENT: Row = row(
    "apiserver_flowcontrol_current_limit_seats",
    Gauge,
    "ALPHA",
    OF_LEVEL,
    "current derived number of execution seats available to each priority level",
);
pub const FLOW_WAITED: Row = row(
    "apiserver_flowcontrol_request_wait_duration_seconds",
    Histogram,
    "BETA",
    &["execute", "flow_schema", "priority_level"],
    "Length of time a request spent waiting in its queue",
);
pub const FLOW_SEATS_WAITING: Row = row(
    "apiserver_flowcontrol_current_inqueue_seats",
    Gauge,
    "ALPHA",
    OF_FLOW,
    "Number of seats currently pending in queues of the API Priority and Fairness subsystem",
);
pub const FLOW_QUEUE_LENS: Row = row(
    "apiserver_flowcontrol_request_queue_length_after_enqueue",
    Histogram,
    "ALPHA",
    OF_FLOW,
    "Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is enqueued",
);
pub const FLOW_TOOK: Row = row(
    "apiserver_flowcontrol_request_execution_seconds",
    Histogram,
    "ALPHA",
    &["flow_schema", "priority_level", "type"],
    "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem",
);
pub const FLOW_NEEDS: Row = row(
    "apiserver_flowcontrol_work_estimated_seats",
    Histogram,
    "ALPHA",
    OF_FLOW,
    "Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and Fairness",
);
pub const FLOW_UNFIT: Row = row(
    "apiserver_flowcontrol_request_dispatch_no_accommodation_total",
    Counter,
    "ALPHA",
    OF_FLOW,
    "Number of times a dispatch attempt resulted in a non accommodation due to lack of available seats",
);
pub const LEVEL_NOW_R: Row = row("apiserver_flowcontrol_current_r", Gauge, "ALPHA", OF_LEVEL, "R(time of last change)");
pub const LEVEL_CHOSEN_AT_R: Row =
    row("apiserver_flowcontrol_dispatch_r", Gauge, "ALPHA", OF_LEVEL, "R(time of last dispatch)");
pub const LEVEL_CHOSEN_R: Row =
    row("apiserver_flowcontrol_latest_s", Gauge, "ALPHA", OF_LEVEL, "S(most recently dispatched request)");
pub const LEVEL_NEXT_R: Row = row(
    "apiserver_flowcontrol_next_s_bounds",
    Gauge,
    "ALPHA",
    &["bound", "priority_level"],
    "min and max, over queues, of S(oldest waiting request in queue)",
);
pub const LEVEL_DISCOUNTED_R: Row = row(
    "apiserver_flowcontrol_next_discounted_s_bounds",
    Gauge,
    "ALPHA",
    &["bound", "priority_level"],
    "min and max, over queues, of S(oldest waiting request in queue) - estimated work in progress",
);
pub const LEVEL_DEMAND: Row = row(
    "apiserver_flowcontrol_demand_seats",
    Timing,
    "ALPHA",
    OF_LEVEL,
    "Observations, at the end of every nanosecond, of (the number of seats each priority level could use) / (nominal number of seats for that level)",
);
pub const LEVEL_DEMAND_HIGHEST: Row = row(
    "apiserver_flowcontrol_demand_seats_high_watermark",
    Gauge,
    "ALPHA",
    OF_LEVEL,
    "High watermark, over last adjustment period, of demand_seats",
);
pub const LEVEL_DEMAND_AVERAGE: Row = row(
    "apiserver_flowcontrol_demand_seats_average",
    Gauge,
    "ALPHA",
    OF_LEVEL,
    "Time-weighted average, over last adjustment period, of demand_seats",
);
pub const LEVEL_DEMAND_DEVIATION: Row = row(
    "apiserver_flowcontrol_demand_seats_stdev",
    Gauge,
    "ALPHA",
    OF_LEVEL,
    "Time-weighted standard deviation, over last adjustment period, of demand_seats",
);
pub const LEVEL_DEMAND_SMOOTHED: Row =
    row("apiserver_flowcontrol_demand_seats_smoothed", Gauge, "ALPHA", OF_LEVEL, "Smoothed seat demands");
pub const LEVEL_TARGET: Row =
    row("apiserver_flowcontrol_target_seats", Gauge, "ALPHA", OF_LEVEL, "Seat allocation targets");
pub const LEVEL_SEATS_USED: Row = row(
    "apiserver_flowcontrol_priority_level_seat_utilization",
    Timing,
    "ALPHA",
    &["phase", "priority_level"],
    "Observations, at the end of every nanosecond, of utilization of seats for any stage of execution (but only initial stage for WATCHes)",
);
pub const LEVEL_REQUESTS: Row = row(
    "apiserver_flowcontrol_priority_level_request_utilization",
    Timing,
    "ALPHA",
    &["phase", "priority_level"],
    "Observations, at the end of every nanosecond, of number of requests (as a fraction of the relevant limit) waiting or in any stage of execution (but only initial stage for WATCHes)",
);
pub const FAIR_PART: Row = row(
    "apiserver_flowcontrol_seat_fair_frac",
    Gauge,
    "ALPHA",
    &[],
    "Fair fraction of server's concurrency to allocate to each priority level that can use it",
);
pub const KIND_REQUESTS: Row = row(
    "apiserver_flowcontrol_read_vs_write_current_requests",
    Timing,
    "ALPHA",
    &["phase", "request_kind"],
    "Observations, at the end of every nanosecond, of the number of requests (as a fraction of the relevant limit) waiting or in regular stage of execution",
);

/// All of them.
pub const ALL: &[&Row] = &[
    &FLOW_EXECUTING,
    &FLOW_SEATS,
    &FLOW_WAITING,
    &FLOW_DISPATCHED,
    &FLOW_REJECTED,
    &LEVEL_NOMINAL,
    &LEVEL_LOWER,
    &LEVEL_UPPER,
    &LEVEL_CURRENT,
    &FLOW_WAITED,
    &FLOW_SEATS_WAITING,
    &FLOW_QUEUE_LENS,
    &FLOW_TOOK,
    &FLOW_NEEDS,
    &FLOW_UNFIT,
    &LEVEL_NOW_R,
    &LEVEL_CHOSEN_AT_R,
    &LEVEL_CHOSEN_R,
    &LEVEL_NEXT_R,
    &LEVEL_DISCOUNTED_R,
    &LEVEL_DEMAND,
    &LEVEL_DEMAND_HIGHEST,
    &LEVEL_DEMAND_AVERAGE,
    &LEVEL_DEMAND_DEVIATION,
    &LEVEL_DEMAND_SMOOTHED,
    &LEVEL_TARGET,
    &LEVEL_SEATS_USED,
    &LEVEL_REQUESTS,
    &FAIR_PART,
    &KIND_REQUESTS,
];

const OF_FLOW: &[&str] = &["flow_schema", "priority_level"];
const OF_LEVEL: &[&str] = &["priority_level"];

/// How long requests wait, and how long they take.
pub static TURN_SECONDS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
pub static QUEUE_LENS: [f64; 8] = [0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
pub static NEEDED_SEATS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0];
pub static DEMAND_PARTS: [f64; 12] = [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 2.8, 4.0, 6.0];
pub static SEAT_PARTS: [f64; 13] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];
pub static REQUEST_PARTS: [f64; 10] = [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1.0];
pub static KIND_PARTS: [f64; 15] = [0.0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];
