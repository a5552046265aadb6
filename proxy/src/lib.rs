//! The service proxy: what makes addresses of services work on a node.
//!
//! [`rules::rules`] is a plain function from a snapshot to a table of nftables; [`run`] keeps the snapshot in step with
//! the server and the kernel's table in step with the rules. Nothing outside its own two tables is ever touched.

pub mod cni;
pub mod conntrack;
pub mod endpoints;
pub mod health;
pub mod kernel;
pub mod metrics;
pub mod names;
pub mod rules;
pub mod ruleset;
pub mod run;
pub mod services;
pub mod snapshot;

pub use run::{Parts, clean_up, run};
