//! Leases of the store that objects with an end hang on: many objects share one.
//!
//! Upstream: `apiserver/pkg/storage/etcd3/lease_manager.go`.

use parking_lot::Mutex;
use store::{Error, LeaseId, Store};

/// How many objects hang on one lease at most. Upstream: `defaultLeaseMaxObjectCount`.
const OBJECTS_MAX: u32 = 1000;
/// A lease is shared for at most this part of the objects' time. Upstream: `newDefaultLeaseManager`.
const SHARED_FOR_AT_MOST: i64 = 20;

/// The lease that was taken last.
#[derive(Debug, Default)]
pub struct Leases(Mutex<Option<Taken>>);

#[derive(Clone, Copy, Debug)]
struct Taken {
    lease: LeaseId,
    /// When it ends, in seconds of the epoch.
    ends: i64,
    objects: u32,
}

// === impl Leases ===

impl Leases {
    /// A lease for one more object that ends after `ttl` seconds, and at most the twentieth part of them or `reuse` seconds
    /// later, whichever is less.
    pub async fn take(&self, store: &dyn Store, now: i64, ttl: i64, reuse: i64) -> Result<LeaseId, Error> {
        let reuse = reuse.min(ttl / SHARED_FOR_AT_MOST).max(0);
        if let Some(lease) = self.shared(now, ttl, reuse) {
            return Ok(lease);
        }
        let lease = store.lease(ttl + reuse).await?;
        *self.0.lock() = Some(Taken { lease, ends: now + ttl + reuse, objects: 1 });
        Ok(lease)
    }

    fn shared(&self, now: i64, ttl: i64, reuse: i64) -> Option<LeaseId> {
        let mut taken = self.0.lock();
        let taken = taken.as_mut()?;
        let (lasts, is_not_too_long) = (now + ttl < taken.ends, now + ttl + reuse >= taken.ends);
        if !(lasts && is_not_too_long && taken.objects < OBJECTS_MAX) {
            return None;
        }
        taken.objects += 1;
        Some(taken.lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases() -> Leases {
        Leases(Mutex::new(Some(Taken { lease: 7, ends: 1_000 + 3_660, objects: 1 })))
    }

    #[test]
    fn one_is_shared_while_its_objects_end_in_time() {
        for (now, ttl, shared) in [
            (1_000, 3_600, Some(7)),
            (1_059, 3_600, Some(7)),
            // It ends too early, or later than what is asked for allows.
            (1_060, 3_600, None),
            (1_000, 3_700, None),
            (1_000, 1_800, None),
        ] {
            assert_eq!(leases().shared(now, ttl, 60), shared, "{ttl} s at {now}");
        }
    }

    #[test]
    fn a_thousand_objects_share_one_and_no_more() {
        let leases = leases();
        let shared = (0..2_000).take_while(|_| leases.shared(1_000, 3_600, 60).is_some()).count();
        assert_eq!(shared, 999, "and the one it was taken for");
    }

    #[tokio::test]
    async fn what_is_to_end_soon_ends_soon() -> Result<(), Error> {
        let store = store::backends::memory::Memory::new();
        let leases = Leases::default();
        for (ttl, reuse, ends) in [(1, 60, 1_001), (40, 60, 1_042), (3_600, 60, 4_660), (3_600, 5, 4_605)] {
            *leases.0.lock() = None;
            leases.take(&store, 1_000, ttl, reuse).await?;
            assert_eq!(leases.0.lock().map(|taken| taken.ends), Some(ends), "{ttl} s");
        }
        Ok(())
    }
}
