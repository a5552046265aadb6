//! What is counted of sealing and opening, and of the plugins that are asked for it.

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

/// Something about a plugin that keeps keys. `provider` is the name that the file gives it.
#[derive(Clone, Debug)]
pub enum Kept<'a> {
    /// The plugin was asked: `/v2.KeyManagementService/Status`.
    Called { provider: &'a str, method: &'static str, code: &'static str, took: Duration },
    /// A value went its way under a key of this id.
    Used { provider: &'a str, direction: Direction, key_id: &'a str },
    /// The plugin says that this is the id of its key.
    Told { provider: &'a str, key_id: &'a str },
    /// The plugin says an id that none can be: `empty`, `too_long`.
    Misnamed { provider: &'a str, why: &'static str },
    /// So many seeds are known in the clear.
    Known { provider: &'a str, count: usize },
    /// A seed had to be asked for.
    Missed,
    /// A seed was drawn.
    Drawn { took: Duration },
}

/// Counts. Upstream: apiserver/pkg/storage/value/metrics.go, encrypt/envelope/metrics/metrics.go.
pub trait Tally: Send + Sync + 'static {
    fn transformed(&self, what: &Transformation<'_>);

    fn kept(&self, what: &Kept<'_>);
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
