//! What is counted of sealing and opening.

use std::time::Duration;

/// Which way a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToStorage,
    FromStorage,
}

/// One value that was sealed or opened, or not.
#[derive(Clone, Debug)]
pub struct Transformation<'a> {
    /// `secrets`, `deployments.apps`
    pub resource: &'a str,
    pub direction: Direction,
    /// `k8s:enc:aescbc:v1:`, a key's `key1:`, `identity` or `unknown`.
    pub prefix: &'a str,
    /// `OK`, or why not.
    pub code: &'static str,
    pub took: Duration,
}

/// Counts. Upstream: apiserver/pkg/storage/value/metrics.go.
pub trait Tally: Send + Sync + 'static {
    fn transformed(&self, what: &Transformation<'_>);
}

// === impl Direction ===

impl Direction {
    pub fn word(self) -> &'static str {
        match self {
            Direction::ToStorage => "to_storage",
            Direction::FromStorage => "from_storage",
        }
    }
}
