//! The figures, one file each; [`ALL`] is their order.

use std::{future::Future, pin::Pin};

use anyhow::Result;

use super::{Plan, Table};

mod create;
mod deploy;
mod fan_out;
mod get;
mod hold;
mod idle;
mod lease;
mod list;
mod schedule;
mod start;
mod watch;

/// A figure's measurement.
pub type Measure = for<'a> fn(&'a Plan, &'a mut Table) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// The figures by number.
pub const ALL: &[(&str, Measure)] = &[
    ("P1", |plan, table| Box::pin(start::measure(plan, table))),
    ("P2", |plan, table| Box::pin(idle::measure(plan, table))),
    ("P3", |plan, table| Box::pin(create::measure(plan, table))),
    ("P4", |plan, table| Box::pin(list::measure(plan, table))),
    ("P5a", |plan, table| Box::pin(watch::measure(plan, table))),
    ("P5b", |plan, table| Box::pin(fan_out::measure(plan, table))),
    ("P6", |plan, table| Box::pin(get::measure(plan, table))),
    ("P7", |plan, table| Box::pin(schedule::measure(plan, table))),
    ("P8", |plan, table| Box::pin(lease::measure(plan, table))),
    ("P10", |plan, table| Box::pin(hold::measure(plan, table))),
    ("P13", |plan, table| Box::pin(deploy::measure(plan, table))),
];

const MEGABYTE: f64 = 1_000_000.0;
/// Of the CPU that the load generator takes.
const LOAD_UNIT: &str = "% of both's CPU";
