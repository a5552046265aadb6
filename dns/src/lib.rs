//! Cluster DNS: names of services and pods, and a way to all other names.
//!
//! [`resolve::resolve`] is a plain function from what there is to an answer; [`run`] keeps what there is in step with the
//! server, and asks others about names that are not the cluster's.

pub mod cache;
pub mod cluster;
pub mod forward;
pub mod health;
pub mod question;
pub mod resolv_conf;
pub mod resolve;
pub mod run;
pub mod serve;

pub use run::{Parts, run};
