//! Families of priority and fairness.

use super::{Counter, Gauge, Histogram, Row, row};

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
    &["priority_level"],
    "Nominal number of execution seats configured for each priority level",
);
pub const LEVEL_LOWER: Row = row(
    "apiserver_flowcontrol_lower_limit_seats",
    Gauge,
    "ALPHA",
    &["priority_level"],
    "Configured lower bound on number of execution seats available to each priority level",
);
pub const LEVEL_UPPER: Row = row(
    "apiserver_flowcontrol_upper_limit_seats",
    Gauge,
    "ALPHA",
    &["priority_level"],
    "Configured upper bound on number of execution seats available to each priority level",
);
pub const LEVEL_CURRENT: Row = row(
    "apiserver_flowcontrol_current_limit_seats",
    Gauge,
    "ALPHA",
    &["priority_level"],
    "current derived number of execution seats available to each priority level",
);
pub const FLOW_WAITED: Row = row(
    "apiserver_flowcontrol_request_wait_duration_seconds",
    Histogram,
    "BETA",
    &["execute", "flow_schema", "priority_level"],
    "Length of time a request spent waiting in its queue",
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
];

const OF_FLOW: &[&str] = &["flow_schema", "priority_level"];

pub static WAITED_SECONDS: [f64; 13] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
