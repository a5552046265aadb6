//! Who leads, when several run: as every part of the cluster does it.

pub use client::election::{Claim, Config, Election, claim};
