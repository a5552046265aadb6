//! What is counted of resources; who counts is handed in.
//!
//! Upstream: pkg/registry/core/service/{ipallocator,portallocator}/metrics.go, pkg/registry/core/pod/rest/metrics.go,
//! pkg/registry/certificates/certificates/storage/metrics.go.

use std::time::Duration;

/// Whoever counts. A dry run is never counted.
pub trait Tally: Send + Sync {
    /// An address of a range was taken, or could not be.
    fn address(&self, _range: &str, _wish: Wish, _is_taken: bool) {}

    /// How long it took until an address of a range was taken.
    fn address_took(&self, _range: &str, _took: Duration) {}

    /// A node port was taken, or could not be.
    fn node_port(&self, _wish: Wish, _is_taken: bool) {}

    /// Somebody wants to read a container's log, and says that it does not matter whether the node is who it should be.
    fn log(&self, _unverified: bool) {}

    /// A certificate was issued to one who had said for how long it should be good.
    fn certificate(&self, _signer: &str, _is_as_long: bool) {}
}

/// What is wanted of something that is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This very one.
    Named,
    Any,
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncounted;

impl Tally for Uncounted {}

// === impl Wish ===

impl Wish {
    /// Upstream's label `scope`.
    pub fn word(self) -> &'static str {
        match self {
            Wish::Named => "static",
            Wish::Any => "dynamic",
        }
    }
}
