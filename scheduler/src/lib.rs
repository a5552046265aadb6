//! Which node a pod goes to.
//!
//! Read [`cycle::schedule`] first: it is a plain function from what the cluster looks like ([`Snapshot`]) and a [`Pod`] to
//! a [`Verdict`]. [`queue`] says which pod is next and what wakes one that did not fit, [`preempt`] who would have to go,
//! and [`run`] is the only place that waits, reads clocks through what it was handed, and writes.
//! A plugin is one file in [`plugins`] and a name in its table.

pub mod around;
pub mod config;
pub mod cycle;
pub mod node;
pub mod plugins;
pub mod pod;
pub mod preempt;
pub mod queue;
pub mod requests;
pub mod run;
pub mod snapshot;
pub mod taints;
mod tally;
pub mod verdict;

pub use around::Around;
pub use config::Profile;
pub use node::Node;
pub use pod::Pod;
pub use requests::Requests;
pub use snapshot::{Slot, Snapshot};
pub use verdict::{Diagnosis, Refusal, Verdict};
